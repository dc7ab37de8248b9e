//! gRPC over it: the server finds the peer in a request's extensions, clients reconnect by themselves.

use crate::world::{World, describe};
use shardlift_model::{Peer, Role};
use shardlift_pki::enrolment::EnrolmentToken;
use shardlift_pki::tls::{ALPN_HTTP2, Expected, Incoming, ServerTls, channel, mutual_server_config, pinned_channel};
use shardlift_pki::tls::{TlsError, server_only_config};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::transport::{Channel, Server};
use tower::Service;

/// Answers every call with who called.
#[derive(Clone)]
struct WhoAmI;

impl tonic::server::NamedService for WhoAmI {
    const NAME: &'static str = "test.WhoAmI";
}

impl Service<http::Request<tonic::body::Body>> for WhoAmI {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let who = describe(request.extensions().get::<Peer>().unwrap());
        let response = http::Response::builder().header("grpc-status", "0").header("who", who);
        std::future::ready(Ok(response.body(tonic::body::Body::empty()).unwrap()))
    }
}

struct Service1 {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<()>,
}

impl Service1 {
    async fn start(tls: ServerTls, address: &str) -> Self {
        let incoming = Incoming::new(TcpListener::bind(address).await.unwrap(), tls).unwrap();
        let address = incoming.local_address();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = Server::builder().add_service(WhoAmI).serve_with_incoming_shutdown(incoming, async {
            drop(stopped.await);
        });
        let ended = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, stop: Some(stop), ended }
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        self.ended.await.unwrap();
    }
}

async fn ask(channel: &mut Channel) -> Result<String, tonic::transport::Error> {
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await?;
    let request = http::Request::post("http://x/test.WhoAmI/Ask").body(tonic::body::Body::empty()).unwrap();
    let response = channel.call(request).await?;
    Ok(response.headers()["who"].to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_service_knows_its_caller_and_a_channel_survives_a_restart() {
    let world = World::new("c1");
    let tls = mutual_server_config(&world.credentials(Role::Shard, "a"), &[ALPN_HTTP2]).unwrap();
    let service = Service1::start(tls.clone(), "127.0.0.1:0").await;
    let address = service.address.to_string();
    let client = world.credentials(Role::Controller, "one");
    let mut good = channel(&client, &address, Expected::one(Role::Shard, "a"));
    assert_eq!(ask(&mut good).await.unwrap(), "member shardlift://c1/controller/one issuing-1");
    let mut wrong = channel(&client, &address, Expected::any(Role::Router));
    assert!(ask(&mut wrong).await.is_err());

    service.stop().await;
    assert!(ask(&mut good).await.is_err());
    let service = Service1::start(tls, &address).await;
    let mut answer = ask(&mut good).await;
    for _ in 0..100 {
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        answer = ask(&mut good).await;
    }
    assert_eq!(answer.unwrap(), "member shardlift://c1/controller/one issuing-1");
    service.stop().await;
}

#[tokio::test]
async fn a_fingerprint_leads_to_the_controller_and_nowhere_else() {
    let world = World::new("c1");
    let fingerprint = world.authority.fingerprint();
    let start = async |role, name| {
        let tls = server_only_config(&world.credentials(role, name), &[ALPN_HTTP2]).unwrap();
        Service1::start(tls, "127.0.0.1:0").await
    };
    let controller = start(Role::Controller, "one").await;
    let shard = start(Role::Shard, "a").await;
    let token = EnrolmentToken::parse(&EnrolmentToken::create(&fingerprint).unwrap().text()).unwrap();
    let to = |address: SocketAddr, fingerprint: &str| pinned_channel(&address.to_string(), fingerprint).unwrap();
    assert_eq!(ask(&mut to(controller.address, token.root_fingerprint())).await.unwrap(), "nobody");
    assert!(ask(&mut to(shard.address, &fingerprint)).await.is_err(), "a shard is no controller");
    let other = World::new("c1").authority.fingerprint();
    assert!(ask(&mut to(controller.address, &other)).await.is_err(), "another root");
    controller.stop().await;
    shard.stop().await;
}

#[tokio::test]
async fn what_is_no_fingerprint_or_address_is_an_error() {
    let world = World::new("c1");
    for text in ["", "abc", &"g".repeat(64), &"a".repeat(65)] {
        assert!(matches!(pinned_channel("127.0.0.1:1", text), Err(TlsError::Fingerprint)), "{text}");
    }
    let client = world.credentials(Role::Controller, "one");
    for address in ["", "nowhere", "127.0.0.1", "127.0.0.1:x", ":80", "127.0.0.1:99999"] {
        assert!(ask(&mut channel(&client, address, Expected::any(Role::Shard))).await.is_err(), "{address}");
    }
}
