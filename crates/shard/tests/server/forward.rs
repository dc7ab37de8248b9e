//! What clients meet at a shard that their node has left: the answers of the new writer.

use crate::http::{BOTH, Http, Reply, Version, pieces, whole};
use crate::moving::{again, following, following_with, moved};
use crate::operation::plain;
use crate::world::{NODE, Pair, Running, World, eventually, path_of};
use bytes::Bytes;
use shardlift_api::v1;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// So often may a request cross the end of its connection.
const ATTEMPTS_MAX: u32 = 10;

const V2: (&str, &str) = ("accept", "application/vnd.x.restic.rest.v2");

async fn open(world: &World, shard: &Running, client: &Pair, version: Version) -> Http {
    Http::open(world, shard, Some(client), version).await.unwrap()
}

/// An upload whose head has arrived and whose body is held back.
fn held_back(mut http: Http, path: String) -> (tokio::sync::mpsc::Sender<Bytes>, JoinHandle<Reply>) {
    let (sender, body) = pieces();
    (sender, tokio::spawn(async move { http.send("POST", &path, &[], body).await.unwrap() }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_that_were_parked_are_stored_at_the_new_writer() {
    let world = World::new();
    let (a, b, client) = following(&world, "").await;
    let last = a.fence_at((1, 40)).await;
    let mut parked = Vec::new();
    for (version, bytes) in [(Version::Http1, b"pack one"), (Version::Http2, b"pack two")] {
        parked.push((held_back(open(&world, &a, &client, version).await, path_of("data", bytes)), bytes));
    }
    a.in_flight(NODE, 2).await;
    a.give_to(&b, 2).await;
    let mut reading = open(&world, &a, &client, Version::Http1).await;
    let read = tokio::spawn(async move { reading.get("/acme/web/config").await.unwrap() });
    a.in_flight(NODE, 3).await;
    a.retire_to((2, 2), &b).await;
    assert_eq!(&read.await.unwrap().body[..], b"the config");
    eventually("both are shown", || async { a.status(NODE).await.forwarding == 2 }).await;
    for ((sender, request), bytes) in parked {
        for piece in bytes.chunks(3) {
            sender.send(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        drop(sender);
        let reply = request.await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    // A client has its answer a moment before the request is over.
    let over = || async { a.status(NODE).await.forwarding == 0 && b.status(NODE).await.requests_in_flight == 0 };
    eventually("all are over", over).await;
    let (left, writer) = (a.status(NODE).await, b.status(NODE).await);
    assert_eq!((writer.objects, writer.requests_in_flight), (last.objects + 2, 0));
    assert_eq!((left.forwards_to.as_str(), left.forwarding, left.requests_in_flight), ("b", 0, 0));
    let metrics = plain(a.metrics, "/metrics").await;
    assert!(metrics.contains("shardlift_shard_forwarded_requests_total 3\n"), "{metrics}");
    assert!(metrics.contains("shardlift_shard_forward_failures_total 0\n"), "{metrics}");
    a.caught_up(&b).await;
    assert_eq!(a.status(NODE).await.objects, 3, "what came through here came back as a copy");
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_request_is_answered_as_by_the_writer_itself() {
    let world = World::new();
    let (a, b, client) = moved(&world, "").await;
    let pack = vec![b'x'; 300_000];
    for version in BOTH {
        let mut at_a = open(&world, &a, &client, version).await;
        let mut at_b = open(&world, &b, &client, version).await;
        let (data, lock) = (path_of("data", &pack), path_of("locks", b"a lock"));
        assert_eq!(at_a.post(&data, &pack).await.unwrap().status, 200);
        assert_eq!(at_a.post(&lock, b"a lock").await.unwrap().status, 200);
        assert_eq!(at_a.post("/acme/web/?create=true", b"").await.unwrap().status, 200);
        let wrong = at_a.post(&path_of("data", b"other"), b"not it").await.unwrap();
        assert_eq!((wrong.status, wrong.body.is_empty()), (400, false));
        for (method, path, headers) in [
            ("GET", "/acme/web/config", vec![]),
            ("HEAD", "/acme/web/config", vec![]),
            ("GET", data.as_str(), vec![]),
            ("HEAD", data.as_str(), vec![]),
            ("GET", data.as_str(), vec![("range", "bytes=10-19")]),
            ("GET", data.as_str(), vec![("range", "bytes=400000-")]),
            ("GET", "/acme/web/data/", vec![V2]),
            ("GET", "/acme/web/locks/", vec![]),
            ("GET", "/acme/web/nothing/x", vec![]),
            ("PUT", data.as_str(), vec![]),
            ("GET", &path_of("data", b"absent"), vec![]),
            ("HEAD", &path_of("data", b"absent"), vec![]),
        ] {
            let mut replies = Vec::new();
            for http in [&mut at_a, &mut at_b] {
                let mut reply = http.send(method, path, &headers, whole(b"")).await.unwrap();
                // The clock goes on between the two.
                reply.headers.remove("date");
                replies.push((reply.status, reply.headers, reply.body));
            }
            assert_eq!(replies[0], replies[1], "{version:?} {method} {path} {headers:?}");
        }
        for _ in 0..2 {
            assert_eq!(at_a.send("DELETE", &lock, &[], whole(b"")).await.unwrap().status, 200);
            assert_eq!(at_a.send("DELETE", &data, &[], whole(b"")).await.unwrap().status, 200);
        }
        assert_eq!(b.status(NODE).await.objects, 1);
    }
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_comes_up_late_is_waited_for() {
    let world = World::new();
    let (a, b, client) = following(&world, "").await;
    a.give_to(&b, 2).await;
    let from = b.status(NODE).await.promoted_seq;
    let place = b.place();
    b.end().await;
    let mut waiting = Vec::new();
    for (version, bytes) in [(Version::Http1, b"pack one"), (Version::Http2, b"pack two")] {
        let mut http = open(&world, &a, &client, version).await;
        let path = path_of("data", bytes);
        waiting.push(tokio::spawn(async move { http.post(&path, bytes).await.unwrap() }));
        let mut http = open(&world, &a, &client, version).await;
        waiting.push(tokio::spawn(async move { http.get("/acme/web/config").await.unwrap() }));
    }
    a.in_flight(NODE, 4).await;
    a.retire_from((2, 2), &place, from).await;
    eventually("all wait for the writer", || async { a.status(NODE).await.forwarding == 4 }).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(waiting.iter().all(|request| !request.is_finished()));
    let b = again(&world, &place).await;
    for request in waiting {
        assert_eq!(request.await.unwrap().status, 200);
    }
    assert_eq!(b.status(NODE).await.objects, 3);
    // The connection is made; its other end goes away and comes again.
    b.end().await;
    let mut waiting = Vec::new();
    for (version, bytes) in [(Version::Http1, b"pack 3"), (Version::Http2, b"pack 4")] {
        let mut http = open(&world, &a, &client, version).await;
        let path = path_of("data", bytes);
        waiting.push(tokio::spawn(async move { http.post(&path, bytes).await.unwrap() }));
    }
    eventually("all wait for the writer", || async { a.status(NODE).await.forwarding == 2 }).await;
    let b = again(&world, &place).await;
    for request in waiting {
        assert_eq!(request.await.unwrap().status, 200);
    }
    a.caught_up(&b).await;
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_waits_at_the_writer_comes_home_with_the_node() {
    let world = World::new();
    let (a, b, client) = moved(&world, "").await;
    let last = b.seal_for(&a, 2).await;
    // The former writer knows of the next generation and does not serve yet.
    a.offer((3, 0), &b).await;
    let mut waiting = Vec::new();
    for (version, bytes) in [(Version::Http1, b"pack one"), (Version::Http2, b"pack two")] {
        let (sender, request) = held_back(open(&world, &a, &client, version).await, path_of("data", bytes));
        sender.send(Bytes::copy_from_slice(&bytes[..3])).await.unwrap();
        waiting.push((sender, request, bytes));
    }
    b.in_flight(NODE, 2).await;
    b.promote_follower(&a, 3, last).await;
    b.retire_to((3, 2), &a).await;
    for (sender, request, bytes) in waiting {
        sender.send(Bytes::copy_from_slice(&bytes[3..])).await.unwrap();
        drop(sender);
        assert_eq!(request.await.unwrap().status, 200);
    }
    let status = a.status(NODE).await;
    assert_eq!((status.mode, status.objects), (i32::from(v1::NodeMode::Serving), 3), "from a to b and back to a");
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_stay_at_first_and_are_then_led_away_without_an_error() {
    let world = World::new();
    let (a, b, client) = following(&world, "").await;
    let mut idle = Vec::new();
    for version in BOTH {
        let mut http = open(&world, &a, &client, version).await;
        assert_eq!(http.get("/acme/web/config").await.unwrap().status, 200);
        idle.push((version, http));
    }
    a.give_to(&b, 2).await;
    let retired = Instant::now();
    a.retire_to((2, 2), &b).await;
    for (version, http) in &mut idle {
        let reply = http.get("/acme/web/config").await.unwrap();
        assert_eq!((reply.status, reply.headers.get("connection")), (200, None), "{version:?}");
        assert!(http.is_open());
    }
    let (_, http2) = idle.pop().unwrap();
    http2.ended().await;
    assert!(retired.elapsed() >= Duration::from_millis(2_900), "its client had time to be routed anew");
    let (_, mut http1) = idle.pop().unwrap();
    assert!(http1.is_open(), "a client that is just sending would take the end for an error");
    let reply = http1.get("/acme/web/config").await.unwrap();
    assert_eq!((reply.status, &reply.headers["connection"]), (200, &"close".parse().unwrap()));
    http1.ended().await;
    eventually("no connection is left", || async { a.status(NODE).await.open_connections == 0 }).await;
    for version in BOTH {
        let mut http = open(&world, &a, &client, version).await;
        assert_eq!(
            http.get("/acme/web/config").await.unwrap().status,
            200,
            "{version:?}: late, and answered all the same"
        );
        http.ended().await;
    }
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_forwarded_for_ever() {
    let world = World::new();
    let (a, b, client) = moved(&world, "client_forward_ms_max = 1").await;
    for version in BOTH {
        let reply = open(&world, &a, &client, version).await.get("/acme/web/config").await.unwrap();
        assert_eq!((reply.status, &reply.headers["retry-after"]), (503, &"1".parse().unwrap()), "{version:?}");
    }
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_the_writer_reaches_a_client_that_is_still_sending() {
    let world = World::new();
    let settings = v1::NodeSettings { quota_bytes: 100_000, ..Default::default() };
    let (a, b, client) = following_with(&world, "", settings).await;
    a.give_to(&b, 2).await;
    a.retire_to((2, 2), &b).await;
    let pack = vec![b'x'; 8 << 20];
    for version in BOTH {
        let mut http = open(&world, &a, &client, version).await;
        let reply = http.post(&path_of("data", &pack), &pack).await.unwrap();
        assert_eq!(reply.status, 507, "{version:?}");
        assert!(String::from_utf8_lossy(&reply.body).contains("quota"), "{reply:?}");
    }
    a.end().await;
    b.end().await;
}

/// A client of one shard that goes on when its connection is ended in the way of its protocol, and in no other.
struct Client {
    world: Arc<World>,
    shard: Arc<Running>,
    shows: Arc<Pair>,
    version: Version,
    http: Http,
}

impl Client {
    async fn open(world: Arc<World>, shard: Arc<Running>, shows: Arc<Pair>, version: Version) -> Self {
        let http = open(&world, &shard, &shows, version).await;
        Self { world, shard, shows, version, http }
    }

    async fn ask(&mut self, method: &str, path: &str, bytes: &[u8]) -> Reply {
        // What a GOAWAY left out is asked anew, as every HTTP/2 client does. Over HTTP/1.1 an end without a word is an error.
        for _ in 0..ATTEMPTS_MAX {
            match self.http.send(method, path, &[], whole(bytes)).await {
                Err(failed) if self.version == Version::Http2 && failed.was_left_out() => self.reopen().await,
                replied => {
                    let reply = replied.unwrap();
                    if reply.headers.contains_key("connection") {
                        self.reopen().await;
                    }
                    return reply;
                }
            }
        }
        panic!("{method} {path} was left out {ATTEMPTS_MAX} times");
    }

    async fn reopen(&mut self) {
        self.http = open(&self.world, &self.shard, &self.shows, self.version).await;
    }

    /// Stores and reads one object after the other. Returns how many.
    async fn work(mut self, stop: Arc<AtomicBool>) -> u64 {
        let mut stored = 0;
        while !stop.load(Ordering::Relaxed) {
            let bytes = format!("{:?} {stored} ", self.version).repeat(1_000);
            let path = path_of("data", bytes.as_bytes());
            let reply = self.ask("POST", &path, bytes.as_bytes()).await;
            assert_eq!(reply.status, 200, "{:?} {stored}: {reply:?}", self.version);
            let reply = self.ask("GET", &path, b"").await;
            assert_eq!((reply.status, reply.body.len()), (200, bytes.len()), "{:?} {stored}", self.version);
            stored += 1;
        }
        stored
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_work_right_through_there_and_back_and_see_no_error() {
    let world = Arc::new(World::new());
    let (a, b, client) = following(&world, "").await;
    let (a, b, client) = (Arc::new(a), Arc::new(b), Arc::new(client));
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for version in BOTH {
        let working = Client::open(world.clone(), a.clone(), client.clone(), version).await;
        clients.push(tokio::spawn(working.work(stop.clone())));
    }
    let grows = |shard: Arc<Running>| async move {
        let before = shard.status(NODE).await.objects;
        eventually("clients store at the writer", || async { shard.status(NODE).await.objects > before + 20 }).await;
    };
    grows(a.clone()).await;
    a.give_to(&b, 2).await;
    a.retire_to((2, 2), &b).await;
    grows(b.clone()).await;
    a.caught_up(&b).await;
    b.give_to(&a, 3).await;
    b.retire_to((3, 2), &a).await;
    grows(a.clone()).await;
    stop.store(true, Ordering::Relaxed);
    let mut stored = 0;
    for client in clients {
        stored += client.await.unwrap();
    }
    let status = a.status(NODE).await;
    assert_eq!((status.mode, status.generation), (i32::from(v1::NodeMode::Serving), 3));
    assert_eq!(status.objects, stored + 1, "INV-02: all of them, and the config");
    b.caught_up(&a).await;
    let follower = b.status(NODE).await;
    assert_eq!((follower.objects, follower.forwards_to.as_str()), (status.objects, "a"));
    let mut http = open(&world, &b, &client, Version::Http1).await;
    assert_eq!(http.get("/acme/web/config").await.unwrap().status, 200, "from b to a");
}
