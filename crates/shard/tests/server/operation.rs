//! Running it: the end, reloading, metrics.

use crate::http::{BOTH, Http, Version, pieces, status};
use crate::world::{NODE, Pair, Running, World, eventually, path_of};
use bytes::Bytes;
use shardlift_api::v1;
use shardlift_model::Role;
use shardlift_pki::bundle;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn serving(world: &World) -> (Running, Pair) {
    let shard = world.shard().await;
    shard.make_node(NODE, v1::NodeSettings::default()).await;
    let node = world.issue(Role::Node, NODE);
    (shard, node)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_uploads_in_flight_and_takes_nobody_new() {
    let world = World::new();
    let (shard, node) = serving(&world).await;
    let mut uploads = Vec::new();
    for (version, name) in [(Version::Http1, "one"), (Version::Http2, "two")] {
        let mut http = Http::open(&world, &shard, Some(&node), version).await.unwrap();
        let (sender, body) = pieces();
        let path = path_of("data", format!("begun, ended {name}").as_bytes());
        let sending = tokio::spawn(async move { http.send("POST", &path, &[], body).await.unwrap().status });
        sender.send(Bytes::from_static(b"begun, ")).await.unwrap();
        uploads.push((sender, sending, name));
    }
    shard.in_flight(NODE, 2).await;
    let mut idle = Http::open(&world, &shard, Some(&node), Version::Http1).await.unwrap();
    assert_eq!(idle.get("/acme/web/data/").await.unwrap().status, 200);
    shard.stop.cancel();
    idle.ended().await;
    let address = shard.clients;
    eventually("the port is closed", || async { TcpStream::connect(address).await.is_err() }).await;
    for (sender, sending, name) in uploads {
        assert!(!sending.is_finished(), "it is waited for");
        sender.send(Bytes::from(format!("ended {name}"))).await.unwrap();
        drop(sender);
        assert_eq!(sending.await.unwrap(), 200);
    }
    shard.ended().await;

    let shard = world.shard().await;
    let mut http = Http::open(&world, &shard, Some(&node), Version::Http1).await.unwrap();
    assert_eq!(&http.get(&path_of("data", b"begun, ended one")).await.unwrap().body[..], b"begun, ended one");
    assert_eq!(&http.get(&path_of("data", b"begun, ended two")).await.unwrap().body[..], b"begun, ended two");
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_changes_certificate_and_trust_and_keeps_connections() {
    let world = World::new();
    let (shard, node) = serving(&world).await;
    let legacy = world.issue_legacy("acme");
    let mut open = Vec::new();
    for version in BOTH {
        let mut http = Http::open(&world, &shard, Some(&node), version).await.unwrap();
        assert_eq!(http.get("/acme/web/data/").await.unwrap().status, 200);
        open.push(http);
    }
    assert_eq!(status(&world, &shard, Some(&legacy), "GET", "/acme/web/data/", &[]).await, Some(200));
    world.files(Role::Shard, "a");
    bundle::write(&world.path("legacy.pem"), &world.ca_pem()).unwrap();
    shard.reloadable.reload().unwrap();
    let mut fresh = Http::open(&world, &shard, Some(&node), Version::Http1).await.unwrap();
    assert_eq!(fresh.get("/acme/web/data/").await.unwrap().status, 200);
    for http in &mut open {
        assert_ne!(http.server_leaf, fresh.server_leaf, "the new certificate is shown to those who come now");
        assert_eq!(http.get("/acme/web/data/").await.unwrap().status, 200, "the others go on");
    }
    assert_eq!(status(&world, &shard, Some(&legacy), "GET", "/acme/web/data/", &[]).await, None, "no longer trusted");

    std::fs::write(world.path("shard-a.pem"), "no certificate").unwrap();
    assert!(shard.reloadable.reload().is_err());
    let mut later = Http::open(&world, &shard, Some(&node), Version::Http1).await.unwrap();
    assert_eq!(later.server_leaf, fresh.server_leaf, "what cannot be used leaves the former in force");
    assert_eq!(later.get("/acme/web/data/").await.unwrap().status, 200);
    shard.end().await;
}

/// One plain request.
pub(crate) async fn plain(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_tell_what_clients_did() {
    let world = World::new();
    let (shard, node) = serving(&world).await;
    let mut http = Http::open(&world, &shard, Some(&node), Version::Http2).await.unwrap();
    assert_eq!(http.post(&path_of("data", b"seven b"), b"seven b").await.unwrap().status, 200);
    assert_eq!(http.get("/acme/db/config").await.unwrap().status, 401);
    let metrics = plain(shard.metrics, "/metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    let stored = metrics.lines().find(|line| line.contains("action=\"store\"") && line.contains("status=\"200\""));
    assert!(stored.is_some_and(|line| line.ends_with(" 1")), "{metrics}");
    assert!(metrics.lines().any(|line| line.contains("other_node") && line.ends_with(" 1")), "{metrics}");
    assert!(metrics.lines().all(|line| !line.contains("acme")), "no customer's name is in the metrics");
    assert!(plain(shard.metrics, "/healthz").await.ends_with("ok\n"));
    assert!(plain(shard.metrics, "/acme/web/config").await.starts_with("HTTP/1.1 404"));
    shard.end().await;
}
