//! Whom a part believes to be the server it wants.

use crate::world::{FreeCa, Leaf, Listener, Pair, World, greeting, plain_client, plain_server};
use rcgen::ExtendedKeyUsagePurpose;
use shardlift_model::Role;
use shardlift_pki::tls::{
    ClientAuth, Credentials, Expected, ServerChain, TlsError, client_facing_config, connect, mutual_server_config,
    server_only_config,
};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

/// What a client of these credentials makes of a server that shows `pair`.
async fn judge(client: &Arc<Credentials>, pair: &Pair, expected: Expected) -> Result<(), TlsError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(plain_server(pair));
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        // Whether the client went on is what the client says.
        drop(acceptor.accept(stream).await);
    };
    let connecting = async {
        let stream = TcpStream::connect(address).await.unwrap();
        connect(client, stream, "localhost", expected, &[]).await.map(drop)
    };
    tokio::join!(connecting, serving).0
}

#[tokio::test]
async fn only_the_expected_part_is_believed() {
    let world = World::new("c1");
    let client = world.credentials(Role::Controller, "one");
    let shard_a = world.issue(Role::Shard, "a");
    judge(&client, &shard_a, Expected::any(Role::Shard)).await.unwrap();
    judge(&client, &shard_a, Expected::one(Role::Shard, "a")).await.unwrap();
    let cases = [
        ("other role", shard_a.clone(), Expected::any(Role::Router)),
        ("other name", shard_a.clone(), Expected::one(Role::Shard, "b")),
        ("a node", world.issue(Role::Node, "a"), Expected::any(Role::Node)),
        ("an operator as a shard", world.issue(Role::Operator, "a"), Expected::any(Role::Shard)),
        ("another CA", World::new("c1").issue(Role::Shard, "a"), Expected::any(Role::Shard)),
        ("older CA", FreeCa::new("Old CA").issue(&Leaf::default()), Expected::any(Role::Shard)),
    ];
    for (what, pair, expected) in cases {
        assert!(judge(&client, &pair, expected).await.is_err(), "{what}");
    }
}

#[tokio::test]
async fn a_chain_that_verifies_is_not_enough_for_a_server() {
    let world = World::new("c1");
    let root = FreeCa::new("Shardlift c1 root");
    let uris = &["shardlift://c1/shard/a"][..];
    let good = Leaf { uris, ..Leaf::default() };
    let client = Credentials::load(world.put("client", &root.issue(&good), &root.pem, &[])).unwrap();
    judge(&client, &root.issue(&good), Expected::any(Role::Shard)).await.unwrap();
    let client_only = [ExtendedKeyUsagePurpose::ClientAuth];
    let cases = [
        ("expired", Leaf { starts_in_days: -3, ends_in_days: -1, uris, ..Leaf::default() }),
        ("not yet valid", Leaf { starts_in_days: 1, ends_in_days: 3, uris, ..Leaf::default() }),
        ("a CA", Leaf { is_ca: true, uris, ..Leaf::default() }),
        ("another cluster", Leaf { uris: &["shardlift://c2/shard/a"], ..Leaf::default() }),
        ("no identity", Leaf::default()),
        ("a client", Leaf { usages: &client_only, uris, ..Leaf::default() }),
        ("no stated purpose", Leaf { usages: &[], uris, ..Leaf::default() }),
    ];
    for (what, leaf) in cases {
        assert!(judge(&client, &root.issue(&leaf), Expected::any(Role::Shard)).await.is_err(), "{what}");
    }
}

#[tokio::test]
async fn the_reason_reaches_the_log_of_the_client() {
    let world = World::new("c1");
    let client = world.credentials(Role::Controller, "one");
    let error = judge(&client, &world.issue(Role::Shard, "a"), Expected::one(Role::Shard, "b")).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("shard a") && source.contains("shard b"), "{source}");
}

#[tokio::test]
async fn the_root_is_shown_to_those_who_know_only_its_fingerprint() {
    let world = World::new("c1");
    let server = world.credentials(Role::Controller, "one");
    let only = Listener::start(server_only_config(&server, &[]).unwrap()).await;
    let stream = only.open(&plain_client(&world.authority.ca_pem(), None)).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    let root = shardlift_pki::certificates_in(&world.authority.ca_pem()).unwrap().remove(0);
    assert_eq!((chain.len(), chain.last()), (3, Some(&root)));
}

#[tokio::test]
async fn clients_from_before_see_the_server_certificate_they_know() {
    let world = World::new("c1");
    let old = FreeCa::new("Old CA");
    let server = world.credentials_with(Role::Shard, "a", &[&old.pem]);
    let paths = world.put("old-server", &old.issue(&Leaf::default()), &old.pem, &[]);
    let chain = ServerChain::load(paths.certificate, paths.key).unwrap();
    let tls = client_facing_config(&server, ClientAuth::Required, Some(chain), &[]).unwrap();
    let listener = Listener::start(tls).await;
    let client = plain_client(&old.pem, Some(&old.issue(&Leaf::default())));
    let mut stream = listener.open(&client).await.unwrap();
    assert_eq!(greeting(&mut stream).await.unwrap(), "account acme legacy");
}

#[tokio::test]
async fn alpn_is_agreed_on() {
    let world = World::new("c1");
    let server = world.credentials(Role::Shard, "a");
    let protocols = [shardlift_pki::tls::ALPN_HTTP2, shardlift_pki::tls::ALPN_HTTP1];
    let listener = Listener::start(mutual_server_config(&server, &protocols).unwrap()).await;
    let client = world.credentials(Role::Shard, "b");
    let stream = TcpStream::connect(listener.address).await.unwrap();
    let stream = connect(&client, stream, "localhost", Expected::any(Role::Shard), &[b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}
