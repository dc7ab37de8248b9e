//! Whom a listener lets in.

use crate::world::{DAY, FreeCa, Leaf, Listener, Pair, World, echo, eventually, greeting, identity, now, plain_client};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::HandshakeKind;
use shardlift_model::{Role, UnixMillis};
use shardlift_pki::bundle;
use shardlift_pki::profile::{Kind, Profile};
use shardlift_pki::request::{check, create_key_and_request};
use shardlift_pki::tls::{
    ClientAuth, Credentials, Expected, IncomingLimits, client_facing_config, connect, mutual_server_config,
    server_only_config,
};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const SHARD_A: &str = "shardlift://c1/shard/a";

/// A leaf of the cluster's own CA with another beginning of its validity.
fn issued_at(world: &World, at: UnixMillis) -> Pair {
    let (key, csr) = create_key_and_request().unwrap();
    let profile = Profile::built_in(Kind::Shard).unwrap().with_validity(DAY);
    let identity = identity("c1", Role::Shard, "a");
    let issued = world.authority.issue(&profile, &identity, &[], &check(&csr).unwrap(), at).unwrap();
    Pair { chain: issued.chain_pem, key }
}

#[tokio::test]
async fn a_member_is_let_in_and_named() {
    let world = World::new("c1");
    let server = world.credentials(Role::Shard, "a");
    let listener = Listener::start(mutual_server_config(&server, &[]).unwrap()).await;
    for (role, name) in [(Role::Controller, "one"), (Role::Operator, "ada"), (Role::Node, "acme/büro")] {
        let client = world.credentials(role, name);
        let stream = TcpStream::connect(listener.address).await.unwrap();
        let expected = Expected::one(Role::Shard, "a");
        let mut stream = connect(&client, stream, "shard.invalid", expected, &[]).await.unwrap();
        let uri = identity("c1", role, name).to_uri();
        assert_eq!(greeting(&mut stream).await.unwrap(), format!("member {uri} issuing-1"));
    }
    assert_eq!((listener.counters.established(), listener.counters.refused()), (3, 0));
}

#[tokio::test]
async fn a_listener_between_parts_refuses_everybody_else() {
    let world = World::new("c1");
    let server = world.credentials(Role::Shard, "b");
    let listener = Listener::start(mutual_server_config(&server, &[]).unwrap()).await;
    let other = World::new("c1").issue(Role::Shard, "a");
    let legacy = FreeCa::new("Old CA");
    let later = UnixMillis(now().0 + 3_600_000);
    let cases = [
        ("no certificate", None),
        ("another CA for the same cluster name", Some(other)),
        ("not yet valid", Some(issued_at(&world, later))),
        ("older CA", Some(legacy.issue(&Leaf::default()))),
        ("older CA, same identity", Some(legacy.issue(&Leaf { uris: &[SHARD_A], ..Leaf::default() }))),
    ];
    let count = cases.len() as u64;
    for (what, shows) in cases {
        let client = plain_client(&world.authority.ca_pem(), shows.as_ref());
        let answer = listener.greets(&client).await;
        assert!(answer.is_err(), "{what}: {answer:?}");
    }
    eventually("all are counted", || listener.counters.refused() == count).await;
    assert_eq!(listener.counters.established(), 0);
}

/// The cluster's own CA gone wrong, or leaves from before it was careful: the chain verifies, the leaf decides.
#[tokio::test]
async fn a_chain_that_verifies_is_not_enough() {
    let world = World::new("c1");
    let root = FreeCa::new("Shardlift c1 root");
    let good = Leaf { uris: &[SHARD_A], ..Leaf::default() };
    let paths = world.put("server", &root.issue(&good), &root.pem, &[]);
    let server = Credentials::load(paths).unwrap();
    let listener = Listener::start(mutual_server_config(&server, &[]).unwrap()).await;
    let admitted = plain_client(&root.pem, Some(&root.issue(&good)));
    assert_eq!(listener.greets(&admitted).await.unwrap(), format!("member {SHARD_A} root"));

    let server_only = [ExtendedKeyUsagePurpose::ServerAuth];
    let cases = [
        ("expired", Leaf { starts_in_days: -3, ends_in_days: -1, uris: &[SHARD_A], ..Leaf::default() }),
        ("not yet valid", Leaf { starts_in_days: 1, ends_in_days: 3, uris: &[SHARD_A], ..Leaf::default() }),
        ("a CA", Leaf { is_ca: true, uris: &[SHARD_A], ..Leaf::default() }),
        ("another cluster", Leaf { uris: &["shardlift://c2/shard/a"], ..Leaf::default() }),
        ("no identity", Leaf::default()),
        ("two identities", Leaf { uris: &[SHARD_A, "shardlift://c1/operator/ada"], ..Leaf::default() }),
        ("another spelling", Leaf { uris: &["shardlift://c1/shard/%61"], ..Leaf::default() }),
        ("a server, not a client", Leaf { usages: &server_only, uris: &[SHARD_A], ..Leaf::default() }),
        ("no stated purpose", Leaf { usages: &[], uris: &[SHARD_A], ..Leaf::default() }),
    ];
    for (what, leaf) in cases {
        let answer = listener.greets(&plain_client(&root.pem, Some(&root.issue(&leaf)))).await;
        assert!(answer.is_err(), "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn an_older_ca_names_accounts_and_never_members() {
    let world = World::new("c1");
    let (old, stranger) = (FreeCa::new("Old CA"), FreeCa::new("Stranger"));
    let server = world.credentials_with(Role::Shard, "a", &[&old.pem]);
    let tls = client_facing_config(&server, ClientAuth::Optional, None, &[]).unwrap();
    let listener = Listener::start(tls).await;
    let ca = world.authority.ca_pem();
    let shows = |pair: &Pair| plain_client(&ca, Some(pair));

    assert_eq!(listener.greets(&shows(&old.issue(&Leaf::default()))).await.unwrap(), "account acme legacy");
    let pretender = old.issue(&Leaf { uris: &["shardlift://c1/node/acme"], ..Leaf::default() });
    assert_eq!(listener.greets(&shows(&pretender)).await.unwrap(), "account acme legacy");
    let node = world.issue(Role::Node, "acme/web-1");
    let member = "member shardlift://c1/node/acme/web-1 issuing-1";
    assert_eq!(listener.greets(&shows(&node)).await.unwrap(), member);
    assert_eq!(listener.greets(&plain_client(&ca, None)).await.unwrap(), "nobody");

    let expired = Leaf { starts_in_days: -3, ends_in_days: -1, ..Leaf::default() };
    for (what, pair) in [
        ("stranger", stranger.issue(&Leaf::default())),
        ("expired", old.issue(&expired)),
        ("a CA", old.issue(&Leaf { is_ca: true, ..Leaf::default() })),
        ("empty account", old.issue(&Leaf { common_name: "", ..Leaf::default() })),
    ] {
        let answer = listener.greets(&shows(&pair)).await;
        assert!(answer.is_err(), "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn a_required_certificate_is_required() {
    let world = World::new("c1");
    let server = world.credentials(Role::Shard, "a");
    let tls = client_facing_config(&server, ClientAuth::Required, None, &[]).unwrap();
    let listener = Listener::start(tls).await;
    assert!(listener.greets(&plain_client(&world.authority.ca_pem(), None)).await.is_err());
    let node = world.issue(Role::Node, "n");
    assert!(listener.greets(&plain_client(&world.authority.ca_pem(), Some(&node))).await.is_ok());
}

#[tokio::test]
async fn tls_1_2_is_for_backup_clients_alone() {
    let world = World::new("c1");
    let server = world.credentials(Role::Shard, "a");
    let facing = Listener::start(client_facing_config(&server, ClientAuth::Required, None, &[]).unwrap()).await;
    let mutual = Listener::start(mutual_server_config(&server, &[]).unwrap()).await;
    let only = Listener::start(server_only_config(&server, &[]).unwrap()).await;
    let client = tls12_client(&world);
    assert!(facing.greets(&client).await.is_ok());
    assert!(mutual.greets(&client).await.is_err());
    assert!(only.greets(&client).await.is_err());
}

fn tls12_client(world: &World) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(shardlift_pki::certificates_in(&world.authority.ca_pem()).unwrap().remove(0)).unwrap();
    let node = world.issue(Role::Node, "n");
    let chain = shardlift_pki::certificates_in(&node.chain).unwrap();
    let key = rustls_pki_types::pem::PemObject::from_pem_slice(node.key.expose().as_bytes()).unwrap();
    shardlift_pki::install_crypto_provider();
    rustls::ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS12])
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap()
}

/// Connects twice with one memory of sessions; how the second handshake went, and the tickets that were handed out.
async fn second_handshake(listener: &Listener, client: &rustls::ClientConfig) -> (HandshakeKind, u32) {
    let mut tickets = 0;
    let mut kind = HandshakeKind::Full;
    for _ in 0..2 {
        let mut stream = listener.open(client).await.unwrap();
        greeting(&mut stream).await.unwrap();
        assert_eq!(echo(&mut stream, b"x").await, b"x");
        let connection = stream.get_ref().1;
        kind = connection.handshake_kind().unwrap();
        tickets += connection.tls13_tickets_received();
    }
    (kind, tickets)
}

#[tokio::test]
async fn no_session_is_resumed() {
    let world = World::new("c1");
    let server = world.credentials(Role::Shard, "a");
    let node = world.issue(Role::Node, "n");
    let clients = [plain_client(&world.authority.ca_pem(), Some(&node)), tls12_client(&world)];
    let facing = Listener::start(client_facing_config(&server, ClientAuth::Required, None, &[]).unwrap()).await;
    for client in &clients {
        assert_eq!(second_handshake(&facing, client).await, (HandshakeKind::Full, 0));
    }
    let mutual = Listener::start(mutual_server_config(&server, &[]).unwrap()).await;
    assert_eq!(second_handshake(&mutual, &clients[0]).await, (HandshakeKind::Full, 0));
}

/// The control of the test above: the same client does resume where a server lets it.
#[tokio::test]
async fn the_resumption_test_sees_a_resumption() {
    let world = World::new("c1");
    let config = crate::world::plain_server(&world.issue(Role::Shard, "a"));
    let client = Arc::new(plain_client(&world.authority.ca_pem(), None));
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
        let tcp = TcpStream::connect(address).await.unwrap();
        let connecting = tokio_rustls::TlsConnector::from(client.clone());
        let accepting = tokio_rustls::TlsAcceptor::from(config.clone());
        let accepted = async {
            let (tcp, _) = socket.accept().await.unwrap();
            let mut stream = accepting.accept(tcp).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"x").await.unwrap();
            tokio::io::AsyncWriteExt::flush(&mut stream).await.unwrap();
            stream
        };
        let (stream, _server) = tokio::join!(connecting.connect(name, tcp), accepted);
        let mut stream = stream.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        kinds.push(stream.get_ref().1.handshake_kind().unwrap());
    }
    assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]);
}

#[tokio::test]
async fn a_silent_client_is_dropped_and_holds_up_nobody() {
    let world = World::new("c1");
    let server = world.credentials(Role::Shard, "a");
    let limits = IncomingLimits { handshake_timeout: Duration::from_millis(1500), ..IncomingLimits::default() };
    let listener = Listener::start_with(mutual_server_config(&server, &[]).unwrap(), limits).await;
    let mut silent = TcpStream::connect(listener.address).await.unwrap();
    let started = Instant::now();
    let node = plain_client(&world.authority.ca_pem(), Some(&world.issue(Role::Node, "n")));
    listener.greets(&node).await.unwrap();
    assert_eq!(listener.counters.timed_out(), 0, "the other client did not wait for the silent one");
    let mut byte = [0];
    let closed = tokio::time::timeout(Duration::from_secs(10), silent.read(&mut byte)).await;
    assert_eq!(closed.expect("closed in time").unwrap_or(0), 0);
    assert!(started.elapsed() >= Duration::from_millis(1400));
    eventually("it is counted", || listener.counters.timed_out() == 1).await;
}

#[tokio::test]
async fn handshakes_and_connections_are_bounded() {
    let world = World::new("c1");
    let server = world.credentials(Role::Shard, "a");
    let limits = IncomingLimits { connections_max: 1, ..IncomingLimits::default() };
    let listener = Listener::start_with(mutual_server_config(&server, &[]).unwrap(), limits).await;
    let node = plain_client(&world.authority.ca_pem(), Some(&world.issue(Role::Node, "n")));
    let mut first = listener.open(&node).await.unwrap();
    greeting(&mut first).await.unwrap();
    let second = listener.greets(&node);
    tokio::pin!(second);
    let waits = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
    assert!(waits.is_err(), "the second waits for its turn");
    assert_eq!(listener.counters.accepted(), 1);
    drop(first);
    second.await.unwrap();
}

#[tokio::test]
async fn a_reload_takes_effect_without_touching_open_connections() {
    let world = World::new("c1");
    let old = FreeCa::new("Old CA");
    let paths = world.files(Role::Shard, "a", &world.authority.ca_pem(), &[&old.pem]);
    let server = Credentials::load(paths.clone()).unwrap();
    let tls = client_facing_config(&server, ClientAuth::Required, None, &[]).unwrap();
    let listener = Listener::start(tls).await;
    let client = plain_client(&world.authority.ca_pem(), Some(&old.issue(&Leaf::default())));
    let mut open = listener.open(&client).await.unwrap();
    assert_eq!(greeting(&mut open).await.unwrap(), "account acme legacy");
    let shown_before = open.get_ref().1.peer_certificates().unwrap()[0].clone();

    // A new own certificate, and another older CA in place of the first.
    let other = FreeCa::new("Other CA");
    world.files(Role::Shard, "a", &world.authority.ca_pem(), &[&other.pem]);
    server.reload().unwrap();
    assert_eq!(echo(&mut open, b"still here").await, b"still here");
    assert!(listener.greets(&client).await.is_err(), "the first older CA is no longer trusted");
    let client = plain_client(&world.authority.ca_pem(), Some(&other.issue(&Leaf::default())));
    let mut fresh = listener.open(&client).await.unwrap();
    assert_eq!(greeting(&mut fresh).await.unwrap(), "account acme legacy");
    assert_ne!(fresh.get_ref().1.peer_certificates().unwrap()[0], shown_before);

    // A reload that fails changes nothing.
    bundle::write(&paths.legacy_ca[0], "garbage").unwrap();
    assert!(server.reload().is_err());
    listener.greets(&client).await.unwrap();
    assert_eq!(echo(&mut open, b"and here").await, b"and here");
}
