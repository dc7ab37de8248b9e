//! What clients meet while their node moves: they wait or are sent away with 503, never told that it is gone.

use crate::http::{BOTH, Http, Reply, Version, whole};
use crate::world::{NODE, Pair, Running, World, eventually, path_of};
use shardlift_api::v1;
use shardlift_model::Role;
use tokio::task::JoinHandle;

/// A shard with a node that has a config, and the certificate of its client.
async fn serving(world: &World) -> (Running, Pair) {
    let shard = world.shard().await;
    shard.make_node(NODE, v1::NodeSettings::default()).await;
    let node = world.issue(Role::Node, NODE);
    let mut http = Http::open(world, &shard, Some(&node), Version::Http1).await.unwrap();
    assert_eq!(http.post("/acme/web/config", b"the config").await.unwrap().status, 200);
    (shard, node)
}

/// A request that may take a while.
fn start(mut http: Http, method: &'static str, path: String, body: &'static [u8]) -> JoinHandle<(Reply, Http)> {
    tokio::spawn(async move {
        let reply = http.send(method, &path, &[], whole(body)).await.unwrap();
        (reply, http)
    })
}

fn assert_sent_away(reply: &Reply, version: Version) {
    assert_eq!((reply.status, &reply.headers["retry-after"]), (503, &"1".parse().unwrap()), "{version:?}");
    if version == Version::Http1 {
        assert_eq!(reply.headers["connection"], "close");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fenced_node_answers_reads_and_parks_writes_until_it_is_unfenced() {
    let world = World::new();
    let (shard, node) = serving(&world).await;
    let last = shard.fence(2).await;
    let mut parked = Vec::new();
    for (version, bytes) in [(Version::Http1, b"pack one"), (Version::Http2, b"pack two")] {
        let http = Http::open(&world, &shard, Some(&node), version).await.unwrap();
        parked.push(start(http, "POST", path_of("data", bytes), bytes));
    }
    let http = Http::open(&world, &shard, Some(&node), Version::Http2).await.unwrap();
    parked.push(start(http, "DELETE", path_of("locks", b"a lock"), b""));
    shard.in_flight(NODE, 3).await;
    for version in BOTH {
        let mut http = Http::open(&world, &shard, Some(&node), version).await.unwrap();
        assert_eq!(&http.get("/acme/web/config").await.unwrap().body[..], b"the config");
        assert_eq!(http.get("/acme/web/data/").await.unwrap().body.trim_ascii(), b"[]");
    }
    assert!(parked.iter().all(|request| !request.is_finished()));
    assert_eq!(shard.fence(2).await, last, "nothing has changed behind the fence");
    shard.unfence(3).await;
    for request in parked {
        assert_eq!(request.await.unwrap().0.status, 200);
    }
    assert_eq!(shard.status(NODE).await.objects, 3);
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_node_parks_everything_and_quarantine_sends_all_away() {
    let world = World::new();
    let (shard, node) = serving(&world).await;
    let mut idle = Vec::new();
    for version in BOTH {
        let mut http = Http::open(&world, &shard, Some(&node), version).await.unwrap();
        assert_eq!(http.get("/acme/web/config").await.unwrap().status, 200);
        idle.push(http);
    }
    shard.seal().await;
    let mut parked = Vec::new();
    for version in BOTH {
        for (method, path) in [("GET", "/acme/web/config".to_owned()), ("POST", path_of("data", b"late"))] {
            let http = Http::open(&world, &shard, Some(&node), version).await.unwrap();
            parked.push((version, start(http, method, path, b"late")));
        }
    }
    shard.in_flight(NODE, 4).await;
    assert!(parked.iter().all(|(_, request)| !request.is_finished()));
    assert!(idle.iter().all(Http::is_open), "until it is known where the node is, there is nowhere to send them");
    eventually("all connections are counted", || async { shard.status(NODE).await.open_connections == 6 }).await;
    shard.retire().await;
    eventually("all are on their way", || async { shard.status(NODE).await.forwarding == 4 }).await;
    assert!(parked.iter().all(|(_, request)| !request.is_finished()), "nobody is at the new writer's address");
    shard.quarantine().await;
    for (version, request) in parked {
        let (reply, http) = request.await.unwrap();
        assert_sent_away(&reply, version);
        http.ended().await;
    }
    for http in idle {
        http.ended().await;
    }
    eventually("no connection is left", || async { shard.status(NODE).await.open_connections == 0 }).await;
    for version in BOTH {
        let mut http = Http::open(&world, &shard, Some(&node), version).await.unwrap();
        assert_sent_away(&http.get("/acme/web/config").await.unwrap(), version);
        http.ended().await;
    }
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_node_that_is_given_back_answers_what_was_parked() {
    let world = World::new();
    let (shard, node) = serving(&world).await;
    shard.seal().await;
    let http = Http::open(&world, &shard, Some(&node), Version::Http1).await.unwrap();
    let parked = start(http, "POST", path_of("data", b"late"), b"late");
    shard.in_flight(NODE, 1).await;
    shard.unfence(4).await;
    let (reply, mut http) = parked.await.unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(&http.get(&path_of("data", b"late")).await.unwrap().body[..], b"late");
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_copy_in_the_making_are_sent_away() {
    let world = World::new();
    let shard = world.shard().await;
    shard.make_incoming(NODE).await;
    let node = world.issue(Role::Node, NODE);
    for version in BOTH {
        for (method, path) in
            [("GET", "/acme/web/config"), ("POST", "/acme/web/?create=true"), ("POST", "/acme/web/config")]
        {
            let mut http = Http::open(&world, &shard, Some(&node), version).await.unwrap();
            let reply = http.send(method, path, &[], whole(b"")).await.unwrap();
            assert_sent_away(&reply, version);
            http.ended().await;
        }
    }
    assert_eq!(shard.status(NODE).await.objects, 0, "INV-04");
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbours_connections_stay_when_a_node_is_retired() {
    let world = World::new();
    let (shard, _) = serving(&world).await;
    shard.make_node("acme/db", v1::NodeSettings::default()).await;
    let neighbour = world.issue(Role::Node, "acme/db");
    let mut open = Vec::new();
    for version in BOTH {
        let mut http = Http::open(&world, &shard, Some(&neighbour), version).await.unwrap();
        assert_eq!(http.get("/acme/db/data/").await.unwrap().status, 200);
        open.push(http);
    }
    shard.seal().await;
    shard.retire().await;
    for mut http in open {
        assert_eq!(http.get("/acme/db/data/").await.unwrap().status, 200, "INV-12");
    }
    shard.end().await;
}
