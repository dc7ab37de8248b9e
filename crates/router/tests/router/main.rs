//! A whole router on loopback: real TLS clients and shards, and the controller's commands over mutual TLS.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod revoked;
mod sever;

use shardlift_api::v1;
use shardlift_api::v1::router_control_client::RouterControlClient;
use shardlift_model::{ClusterId, Identity, Role};
use shardlift_pki::authority::Authority;
use shardlift_pki::profile::{Kind, Profile};
use shardlift_pki::tls::{CredentialPaths, Credentials, Expected, channel};
use shardlift_pki::{Passphrase, request};
use shardlift_router::server::{Router, RouterConfig};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// A cluster's certificates in a folder of the test's own.
struct Pki {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Pki {
    fn new() -> Self {
        shardlift_pki::install_crypto_provider();
        let folder = tempfile::tempdir().unwrap();
        let cluster: ClusterId = "c1".parse().unwrap();
        let passphrase = Passphrase::from("correct horse");
        let authority = Authority::init(&folder.path().join("ca"), &cluster, &passphrase, now()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.ca_pem()).unwrap();
        Self { folder, authority }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes certificate and key of a member; returns where they are.
    fn member(&self, role: Role, name: &str) -> CredentialPaths {
        let identity = Identity::new("c1".parse().unwrap(), role, name).unwrap();
        let (key, csr) = request::create_key_and_request().unwrap();
        let checked = request::check_for(&csr, &identity).unwrap();
        let profile = Profile::built_in(Kind::from(role)).unwrap();
        let issued = self.authority.issue(&profile, &identity, &[], &checked, now()).unwrap();
        let paths = CredentialPaths {
            certificate: self.path(&format!("{role}-{name}.pem")),
            key: self.path(&format!("{role}-{name}.key")),
            ca: self.path("ca.pem"),
            legacy_ca: Vec::new(),
        };
        std::fs::write(&paths.certificate, issued.chain_pem).unwrap();
        std::fs::write(&paths.key, key.expose()).unwrap();
        paths
    }
}

fn now() -> shardlift_model::UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    shardlift_model::UnixMillis(u64::try_from(since.as_millis()).unwrap())
}

/// A running router.
struct Running {
    client: SocketAddr,
    control: SocketAddr,
    metrics: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(pki: &Pki, state: &Path) -> Running {
    let paths = pki.member(Role::Router, "router-1");
    let text = format!(
        "name = \"router-1\"\ncluster = \"c1\"\nstate = {state:?}\nclient_listen = \"127.0.0.1:0\"\n\
         control_listen = \"127.0.0.1:0\"\nmetrics_listen = \"127.0.0.1:0\"\nconnections_max = 2000\n[tls]\ncertificate = {:?}\nkey = {:?}\nca = {:?}\n",
        paths.certificate, paths.key, paths.ca
    );
    let config = RouterConfig::parse(&text, &pki.path("router.toml")).unwrap();
    let router = Router::build(config).unwrap();
    let stop = CancellationToken::new();
    let (sender, mut addresses) = tokio::sync::mpsc::unbounded_channel();
    let ended = stop.clone();
    let task = tokio::spawn(async move {
        let announce = move |name: &str, address| sender.send((name.to_owned(), address)).unwrap();
        router.run(ended.cancelled_owned(), announce).await.unwrap();
    });
    let mut listeners = std::collections::BTreeMap::new();
    while listeners.len() < 3 {
        let (name, address) = addresses.recv().await.unwrap();
        listeners.insert(name, address);
    }
    let [client, control, metrics] = ["client", "control", "metrics"].map(|name| listeners[name]);
    Running { client, control, metrics, stop, task }
}

impl Running {
    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn control(pki: &Pki, running: &Running, role: Role) -> RouterControlClient<Channel> {
    let credentials = Credentials::load(pki.member(role, "caller")).unwrap();
    let expected = Expected::one(Role::Router, "router-1");
    RouterControlClient::new(channel(&credentials, &running.control.to_string(), expected))
}

fn route(name: &str, node: &str, shard: &str, address: SocketAddr, generation: u64) -> v1::Route {
    v1::Route {
        server_name: name.to_owned(),
        node: node.to_owned(),
        shard: shard.to_owned(),
        client_address: address.to_string(),
        token: Some(v1::Token { term: 1, generation, step: 0 }),
        sever: false,
    }
}

async fn apply(
    client: &mut RouterControlClient<Channel>,
    version: u64,
    upserts: Vec<v1::Route>,
) -> Result<u64, tonic::Status> {
    let answer = client.apply_routes(v1::ApplyRoutesRequest { version, upserts }).await?;
    Ok(answer.into_inner().version)
}

/// A TLS server that says its name to everyone and then repeats what it hears.
async fn shard(name: &'static str, server_names: &[&str]) -> (SocketAddr, rustls::pki_types::CertificateDer<'static>) {
    let names: Vec<String> = server_names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let certificate = made.cert.der().clone();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.clone()], key);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                stream.write_all(name.as_bytes()).await.unwrap();
                let mut buffer = [0; 1024];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    stream.write_all(&buffer[..count]).await.unwrap();
                }
            });
        }
    });
    (address, certificate)
}

type Tls = tokio_rustls::client::TlsStream<TcpStream>;

/// Connects through the router and reads the one letter that the shard says first.
async fn reach(
    running: &Running,
    name: &str,
    roots: &[rustls::pki_types::CertificateDer<'static>],
) -> std::io::Result<(Tls, String)> {
    let mut store = rustls::RootCertStore::empty();
    roots.iter().for_each(|root| store.add(root.clone()).unwrap());
    let config = rustls::ClientConfig::builder().with_root_certificates(store).with_no_client_auth();
    let stream = TcpStream::connect(running.client).await?;
    stream.set_nodelay(true)?;
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let mut letter = [0; 1];
    stream.read_exact(&mut letter).await?;
    Ok((stream, char::from(letter[0]).to_string()))
}

async fn echo(stream: &mut Tls, text: &[u8]) {
    stream.write_all(text).await.unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back, text);
}

#[tokio::test]
async fn a_flip_moves_new_connections_and_leaves_open_ones() {
    let pki = Pki::new();
    let running = start(&pki, &pki.path("state")).await;
    let names = ["web.example", "db.example"];
    let (a, root_a) = shard("a", &names).await;
    let (b, root_b) = shard("b", &names).await;
    let roots = [root_a, root_b];
    let mut client = control(&pki, &running, Role::Controller);
    let both = vec![route(names[0], "web", "a", a, 1), route(names[1], "db", "a", a, 1)];
    assert_eq!(apply(&mut client, 1, both.clone()).await.unwrap(), 1);
    assert_eq!(apply(&mut client, 1, both).await.unwrap(), 1, "a repetition");

    let (mut open, letter) = reach(&running, names[0], &roots).await.unwrap();
    assert_eq!(letter, "a");
    apply(&mut client, 2, vec![route(names[0], "web", "b", b, 2)]).await.unwrap();
    assert_eq!(reach(&running, names[0], &roots).await.unwrap().1, "b");
    assert_eq!(reach(&running, names[1], &roots).await.unwrap().1, "a");
    echo(&mut open, b"still here").await;

    let back = client.get_routes(v1::GetRoutesRequest { limit: 1, ..Default::default() }).await.unwrap().into_inner();
    assert_eq!(
        (back.version, back.routes[0].server_name.as_str(), back.next.as_str()),
        (2, "db.example", "db.example")
    );
    let stale = apply(&mut client, 3, vec![route(names[0], "web", "a", a, 1)]).await.unwrap_err();
    assert!(stale.message().contains("stale"), "{stale}");
    assert_eq!(apply(&mut client, 1, Vec::new()).await.unwrap_err().code(), tonic::Code::FailedPrecondition);
    assert_eq!(reach(&running, names[0], &roots).await.unwrap().1, "b", "a refused change changes nothing");
    drop(open);
    running.end().await;
}

#[tokio::test]
async fn a_restarted_router_has_the_routes_that_it_acknowledged() {
    let pki = Pki::new();
    let running = start(&pki, &pki.path("state")).await;
    let (a, root) = shard("a", &["web.example"]).await;
    let mut client = control(&pki, &running, Role::Controller);
    apply(&mut client, 7, vec![route("web.example", "web", "a", a, 3)]).await.unwrap();
    running.end().await;

    let running = start(&pki, &pki.path("state")).await;
    assert_eq!(reach(&running, "web.example", &[root]).await.unwrap().1, "a");
    let mut client = control(&pki, &running, Role::Controller);
    let seen = client.describe_router(v1::DescribeRouterRequest {}).await.unwrap().into_inner();
    assert_eq!((seen.router.as_str(), seen.version, seen.routes), ("router-1", 7, 1));
    assert_eq!(seen.client_address, running.client.to_string());
    running.end().await;
}

#[tokio::test]
async fn only_the_controller_may_change_or_read_routes() {
    let pki = Pki::new();
    let running = start(&pki, &pki.path("state")).await;
    for role in [Role::Operator, Role::Shard, Role::Router, Role::Node] {
        let mut client = control(&pki, &running, role);
        let refused = apply(&mut client, 1, Vec::new()).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{role}");
        let refused = client.get_routes(v1::GetRoutesRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{role}");
    }
    running.end().await;
}

#[tokio::test]
async fn what_has_no_route_is_closed_without_a_byte_and_counted() {
    let pki = Pki::new();
    let running = start(&pki, &pki.path("state")).await;
    let (_, root) = shard("a", &["web.example"]).await;
    let closed = reach(&running, "unknown.example", &[root]).await;
    assert!(closed.is_err());
    let mut plain = TcpStream::connect(running.client).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: web.example\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A reset counts as closed as well.
    let _closed = tokio::time::timeout(Duration::from_secs(20), plain.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.is_empty());
    let mut client = control(&pki, &running, Role::Controller);
    let seen = client.describe_router(v1::DescribeRouterRequest {}).await.unwrap().into_inner();
    assert_eq!((seen.unknown_names, seen.open_connections), (1, 0));
    running.end().await;
}

#[tokio::test]
async fn five_hundred_connections_pass_at_the_same_time() {
    let pki = Pki::new();
    let running = start(&pki, &pki.path("state")).await;
    let (a, root) = shard("a", &["web.example"]).await;
    let mut client = control(&pki, &running, Role::Controller);
    apply(&mut client, 1, vec![route("web.example", "web", "a", a, 1)]).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..500 {
        open.push(reach(&running, "web.example", std::slice::from_ref(&root)).await.unwrap().0);
    }
    let seen = client.describe_router(v1::DescribeRouterRequest {}).await.unwrap().into_inner();
    assert_eq!(seen.open_connections, 500);
    for stream in &mut open {
        echo(stream, b"all at once").await;
    }
    drop(open);
    running.end().await;
}
