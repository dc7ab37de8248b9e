//! The service over TLS on loopback.

use super::stage::two_customers;
use crate::{Portal, PortalConfig};
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use shardlift_model::{Identity, Role};
use shardlift_pki::authority::{Authority, CertifiedName};
use shardlift_pki::profile::{Kind, Profile};
use shardlift_pki::request::{check, create_key_and_request};
use shardlift_pki::tls::{ALPN_HTTP1, ALPN_HTTP2, CredentialPaths, Credentials, Expected, connect};
use shardlift_pki::{Passphrase, bundle};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

fn credentials(folder: &Path) -> Arc<Credentials> {
    let now = crate::access::now();
    let cluster = "c1".parse().unwrap();
    let authority = Authority::init(&folder.join("ca"), &cluster, &Passphrase::from("correct horse"), now).unwrap();
    let (key, csr) = create_key_and_request().unwrap();
    let profile = Profile::built_in(Kind::from(Role::Controller)).unwrap();
    let identity = Identity::new(cluster, Role::Controller, "main").unwrap();
    let names: [CertifiedName; 1] = ["localhost".parse().unwrap()];
    let issued = authority.issue(&profile, &identity, &names, &check(&csr).unwrap(), now).unwrap();
    let paths = CredentialPaths {
        certificate: folder.join("main.pem"),
        key: folder.join("main.key"),
        ca: folder.join("ca.pem"),
        legacy_ca: Vec::new(),
    };
    bundle::write(&paths.certificate, &issued.chain_pem).unwrap();
    bundle::write_private(&paths.key, &key).unwrap();
    bundle::write(&paths.ca, &authority.ca_pem()).unwrap();
    Credentials::load(paths).unwrap()
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("an answer in time")
}

async fn status_of(
    credentials: &Arc<Credentials>,
    address: SocketAddr,
    token: &str,
    http2: bool,
) -> (StatusCode, String) {
    let alpn = if http2 { ALPN_HTTP2 } else { ALPN_HTTP1 };
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = connect(credentials, stream, "localhost", Expected::any(Role::Controller), &[alpn]).await.unwrap();
    let request = Request::builder()
        .uri("https://localhost/v1/nodes")
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap();
    let response = if http2 {
        let io = TokioIo::new(stream);
        let (mut sender, driver) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(driver);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(driver);
        sender.send_request(request).await.unwrap()
    };
    let status = response.status();
    (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap())
}

#[tokio::test]
async fn both_versions_of_http_are_answered_over_tls_until_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = credentials(folder.path());
    let (stage, acme, _) = two_customers();
    let config = PortalConfig { listen: "127.0.0.1:0".parse().unwrap(), credentials: credentials.clone() };
    let portal = Portal::build(config, stage.world.subscribe()).unwrap();
    let ((stop, stopped), (tell, told)) = (oneshot::channel::<()>(), std::sync::mpsc::channel());
    let running = tokio::spawn(portal.run(
        async {
            stopped.await.ok();
        },
        move |name, address| tell.send((name.to_owned(), address)).unwrap(),
    ));
    let (name, address) = in_time(tokio::task::spawn_blocking(move || told.recv().unwrap())).await.unwrap();
    assert_eq!(name, "status");
    for http2 in [false, true] {
        let (status, body) = in_time(status_of(&credentials, address, &acme.text(), http2)).await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("acme/web-1") && !body.contains("bolt"));
        let (status, body) = in_time(status_of(&credentials, address, "sla1.x", http2)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
    }
    // Plain HTTP gets no HTTP answer.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let read = in_time(plain.read_to_end(&mut answer)).await;
    assert!(read.is_err() || !answer.starts_with(b"HTTP"));
    stop.send(()).unwrap();
    in_time(running).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
