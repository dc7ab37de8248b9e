//! What a client may take: bytes, time, connections. What is refused leaves nothing behind.

use crate::http::{BOTH, Http, Version, pieces, status, tls, whole};
use crate::world::{NODE, Running, World, eventually, files_below, path_of};
use bytes::Bytes;
use shardlift_api::v1;
use shardlift_model::Role;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SHORT: &str = "client_handshake_ms_max = 400\nclient_head_ms_max = 400\nclient_body_idle_ms_max = 400";

async fn shard_with(world: &World, lines: &str, quota_bytes: u64) -> Running {
    let shard = world.shard_with(lines).await;
    shard.make_node(NODE, v1::NodeSettings { quota_bytes, ..Default::default() }).await;
    shard
}

/// Waits until the server has closed, and says how long that took. What it says before does not matter.
async fn closed(mut stream: impl AsyncRead + Unpin) -> Duration {
    let started = Instant::now();
    let mut buffer = [0; 1024];
    let reading = async { while let Ok(1..) = stream.read(&mut buffer).await {} };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the server closes");
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_quota_is_507_and_nothing_of_the_upload_is_left() {
    let world = World::new();
    let shard = shard_with(&world, "", 1_000).await;
    let node = world.issue(Role::Node, NODE);
    let folder = world.data().join(NODE);
    let (first, second) = (vec![1; 600], vec![2; 600]);
    for version in BOTH {
        let mut http = Http::open(&world, &shard, Some(&node), version).await.unwrap();
        assert_eq!(http.post(&path_of("data", &first), &first).await.unwrap().status, 200, "a repetition fits");
        let files = files_below(&folder);
        let declared = http.post(&path_of("data", &second), &second).await.unwrap();
        assert_eq!(declared.status, 507, "{version:?} with a length");
        let mut http = Http::open(&world, &shard, Some(&node), version).await.unwrap();
        let (sender, body) = pieces();
        let feeding = tokio::spawn(async move {
            for piece in second_pieces() {
                // The server may have answered already.
                if sender.send(piece).await.is_err() {
                    return;
                }
            }
        });
        let undeclared = http.send("POST", &path_of("data", &second), &[], body).await.unwrap();
        feeding.await.unwrap();
        assert_eq!(undeclared.status, 507, "{version:?} without a length");
        shard.in_flight(NODE, 0).await;
        assert_eq!(files_below(&folder), files, "{version:?}");
    }
    let seen = shard.status(NODE).await;
    assert_eq!((seen.objects, seen.bytes), (1, 600));
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_reaches_a_client_that_is_still_sending_a_large_body() {
    let world = World::new();
    let shard = shard_with(&world, "", 1_000).await;
    let node = world.issue(Role::Node, NODE);
    let large = vec![3; 24 << 20];
    for version in BOTH {
        let mut http = Http::open(&world, &shard, Some(&node), version).await.unwrap();
        let refused = http.post(&path_of("data", &large), &large).await.unwrap();
        assert_eq!(refused.status, 507, "{version:?}");
    }
    shard.end().await;
}

fn second_pieces() -> Vec<Bytes> {
    vec![Bytes::from_static(&[2; 100]); 6]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_bytes_and_broken_uploads_leave_nothing() {
    let world = World::new();
    let shard = shard_with(&world, "", 0).await;
    let node = world.issue(Role::Node, NODE);
    let folder = world.data().join(NODE);
    let before = files_below(&folder);
    for version in BOTH {
        let mut http = Http::open(&world, &shard, Some(&node), version).await.unwrap();
        let reply = http.post(&path_of("data", b"right"), b"wrong").await.unwrap();
        assert_eq!(reply.status, 400);
        let (sender, body) = pieces();
        let path = path_of("data", b"never whole");
        let sending = tokio::spawn(async move { http.send("POST", &path, &[], body).await.map(drop) });
        sender.send(Bytes::from_static(b"never")).await.unwrap();
        shard.in_flight(NODE, 1).await;
        sending.abort();
        shard.in_flight(NODE, 0).await;
        eventually("it is cleaned up", || async { files_below(&folder) == before }).await;
    }
    assert_eq!(shard.status(NODE).await.objects, 0);
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_clients_lose_their_connection() {
    let world = World::new();
    let shard = shard_with(&world, SHORT, 0).await;
    let node = world.issue(Role::Node, NODE);
    let most = Duration::from_secs(5);
    assert!(closed(TcpStream::connect(shard.clients).await.unwrap()).await < most, "no hello");
    let mut slow = TcpStream::connect(shard.clients).await.unwrap();
    slow.write_all(b"\x16\x03\x01").await.unwrap();
    assert!(closed(slow).await < most, "half a hello");
    for alpn in [b"http/1.1".as_slice(), b"h2", b""] {
        let stream = tls(&world, shard.clients, Some(&node), alpn).await.unwrap();
        assert!(closed(stream).await < most, "no request, {alpn:?}");
    }
    let mut stream = tls(&world, shard.clients, Some(&node), b"http/1.1").await.unwrap();
    stream.write_all(b"GET /acme/web/config HTTP/1.1\r\nHost: loc").await.unwrap();
    assert!(closed(stream).await < most, "half a head");
    let mut stream = tls(&world, shard.clients, Some(&node), b"h2").await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    assert!(closed(stream).await < most, "half a preface");
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_stands_still_is_given_up_and_leaves_nothing() {
    let world = World::new();
    let shard = shard_with(&world, SHORT, 0).await;
    let node = world.issue(Role::Node, NODE);
    let folder = world.data().join(NODE);
    let before = files_below(&folder);
    for version in BOTH {
        let mut http = Http::open(&world, &shard, Some(&node), version).await.unwrap();
        let (sender, body) = pieces();
        sender.send(Bytes::from_static(b"half")).await.unwrap();
        // The server may also close before the client looks for an answer.
        if let Ok(reply) = http.send("POST", &path_of("data", b"half a pack"), &[], body).await {
            assert_eq!(reply.status, 408, "{version:?}");
        }
        drop(sender);
        shard.in_flight(NODE, 0).await;
        assert_eq!(files_below(&folder), before, "{version:?}");
    }
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_who_say_nothing_do_not_keep_others_out_for_long() {
    let world = World::new();
    let shard = shard_with(&world, &format!("client_connections_max = 3\n{SHORT}"), 0).await;
    let node = world.issue(Role::Node, NODE);
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(TcpStream::connect(shard.clients).await.unwrap());
    }
    let unused = tokio::time::timeout(Duration::from_secs(20), tls(&world, shard.clients, Some(&node), b"h2"));
    let unused = unused.await.expect("a handshake in time").unwrap();
    let served = status(&world, &shard, Some(&node), "GET", "/acme/web/data/", &[]);
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), served).await.unwrap(), Some(200));
    drop((silent, unused));
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_and_objects_over_their_limits_are_refused() {
    let world = World::new();
    let shard = shard_with(&world, "", 0).await;
    let node = world.issue(Role::Node, NODE);
    let mut http = Http::open(&world, &shard, Some(&node), Version::Http1).await.unwrap();
    let large = vec![0; (1 << 20) + 1];
    // The answer comes before the body is read, so the connection may be cut instead.
    if let Ok(reply) = http.post(&path_of("locks", &large), &large).await {
        assert_eq!(reply.status, 413);
    }
    for version in BOTH {
        let mut http = Http::open(&world, &shard, Some(&node), version).await.unwrap();
        let long = "x".repeat(2 << 20);
        if let Ok(reply) = http.send("GET", "/acme/web/config", &[("x-long", &long)], whole(b"")).await {
            assert_eq!(reply.status, 431, "{version:?}");
        }
    }
    assert_eq!(shard.status(NODE).await.objects, 0);
    shard.end().await;
}
