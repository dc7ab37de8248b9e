//! Whose forwarded requests are taken: those of the shard that the node came from, and of nobody else.

use crate::http::{BOTH, Http, Reply, Version, whole};
use crate::moving::moved;
use crate::world::{NODE, Pair, Running, World, path_of};
use shardlift_api::v1;
use shardlift_model::Role;
use shardlift_shard::forward::FORWARD_ALPN;

const HEADER: &str = "shardlift-forward";

fn said(generation: u64, hops: u64, credential: &str, node: &str) -> String {
    let node = node.replace('/', "%2F").replace('-', "%2D");
    format!("token=1.{generation}.2; hops={hops}; credential={credential}; node={node}")
}

/// One request as a shard forwards it. `None`: the connection was refused.
async fn forward(world: &World, to: &Running, shows: Option<&Pair>, path: &str, header: Option<&str>) -> Option<Reply> {
    let opened = Http::open_as(world, to.clients, shows, Version::Http2, FORWARD_ALPN).await;
    let headers: Vec<(&str, &str)> = header.iter().map(|header| (HEADER, *header)).collect();
    opened.ok()?.send("GET", path, &headers, whole(b"")).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_former_writer_forwards_and_only_under_the_present_generation() {
    let world = World::new();
    let (a, b, node) = moved(&world, "").await;
    let former = world.issue(Role::Shard, "a");
    let path = "/acme/web/config";
    let good = said(2, 1, "current", NODE);
    let taken = forward(&world, &b, Some(&former), path, Some(&good)).await.unwrap();
    assert_eq!((taken.status, &taken.body[..], taken.headers.get(HEADER)), (200, b"the config".as_slice(), None));
    for (who, name) in [
        (Role::Shard, "c"),
        (Role::Shard, "b"),
        (Role::Controller, "a"),
        (Role::Operator, "a"),
        (Role::Router, "a"),
        (Role::Node, "a"),
        (Role::Node, NODE),
    ] {
        let stranger = world.issue(who, name);
        let refused = forward(&world, &b, Some(&stranger), path, Some(&good)).await.unwrap();
        assert_eq!((refused.status, &refused.headers[HEADER]), (403, &"refused".parse().unwrap()), "{who} {name}");
        assert!(!String::from_utf8_lossy(&refused.body).contains("config"));
    }
    for (what, path, header, status) in [
        ("no header", path, None, 400),
        ("nonsense", path, Some("x".to_owned()), 400),
        ("an older generation", path, Some(said(1, 1, "current", NODE)), 503),
        ("a newer generation", path, Some(said(3, 1, "current", NODE)), 503),
        ("another node's path", "/acme/db/config", Some(good.clone()), 400),
        ("another node", path, Some(said(2, 1, "current", "acme/db")), 400),
        ("a node that is not here", "/acme/db/config", Some(said(2, 1, "current", "acme/db")), 403),
        ("no path", "/", Some(good.clone()), 400),
        ("no hop", path, Some(said(2, 0, "current", NODE)), 508),
        ("too many hops", path, Some(said(2, 4, "current", NODE)), 508),
    ] {
        let refused = forward(&world, &b, Some(&former), path, header.as_deref()).await.unwrap();
        assert_eq!((refused.status, refused.headers.contains_key(HEADER)), (status, true), "{what}");
    }
    // At the shard that the node has left, nothing is offered to anybody.
    let back = world.issue(Role::Shard, "b");
    assert_eq!(forward(&world, &a, Some(&back), path, Some(&good)).await.unwrap().status, 403);
    for stranger in [None, Some(&world.issue_legacy("acme")), Some(&World::of("c1").issue(Role::Shard, "a"))] {
        assert!(forward(&world, &b, stranger, path, Some(&good)).await.is_none(), "no certificate of the cluster");
    }
    drop(node);
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_gets_nothing_by_the_header_of_shards() {
    let world = World::new();
    let (a, b, node) = moved(&world, "").await;
    let other = world.issue(Role::Node, "acme/db");
    for shard in [&a, &b] {
        for version in BOTH {
            for (header, hops) in [("current", 1), ("legacy", 4)] {
                let header = said(9, hops, header, NODE);
                let headers = [(HEADER, header.as_str())];
                let mut http = Http::open(&world, shard, Some(&other), version).await.unwrap();
                let refused = http.send("GET", "/acme/web/config", &headers, whole(b"")).await.unwrap();
                assert_eq!(refused.status, 401, "{version:?}");
                let mut http = Http::open(&world, shard, Some(&node), version).await.unwrap();
                let served = http.send("GET", "/acme/web/config", &headers, whole(b"")).await.unwrap();
                assert_eq!(
                    (served.status, served.headers.get(HEADER)),
                    (200, None),
                    "its own, and the header is dropped"
                );
            }
        }
    }
    let member = world.issue(Role::Shard, "a");
    let mut http = Http::open(&world, &b, Some(&member), Version::Http2).await.unwrap();
    let header = said(2, 1, "current", NODE);
    let refused = http.send("GET", "/acme/web/config", &[(HEADER, header.as_str())], whole(b"")).await.unwrap();
    assert_eq!(refused.status, 401, "a shard is no client under the clients' protocol");
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_may_only_read_a_node_forwards_nothing_to_it() {
    let world = World::new();
    let (a, b, node) = moved(&world, "").await;
    // The node is about to move on: another shard may read it from now on.
    let token = Some(v1::Token { term: 1, generation: 2, step: 9 });
    let offer = v1::OfferNodeRequest { node: NODE.to_owned(), token, target: "c".to_owned() };
    b.control.clone().offer_node(offer).await.unwrap();
    let reader = world.issue(Role::Shard, "c");
    let header = said(2, 1, "current", NODE);
    let refused = forward(&world, &b, Some(&reader), "/acme/web/config", Some(&header)).await.unwrap();
    assert_eq!(refused.status, 403);
    for version in BOTH {
        let mut http = Http::open(&world, &a, Some(&node), version).await.unwrap();
        assert_eq!(
            http.get("/acme/web/config").await.unwrap().status,
            200,
            "{version:?}: late clients of the former one"
        );
    }
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_credentials_end_at_the_writer_also_for_those_who_come_by_the_old_shard() {
    let world = World::new();
    let (a, b, node) = moved(&world, "").await;
    let legacy = world.issue_legacy("acme");
    for version in BOTH {
        let mut http = Http::open(&world, &a, Some(&legacy), version).await.unwrap();
        assert_eq!(http.get("/acme/web/config").await.unwrap().status, 200, "until the release");
    }
    b.end_legacy_credentials_at(NODE, (2, 9)).await;
    for version in BOTH {
        let mut http = Http::open(&world, &a, Some(&legacy), version).await.unwrap();
        let refused = http.post(&path_of("data", b"late"), b"late").await.unwrap();
        assert_eq!(refused.status, 401, "{version:?}");
        let mut http = Http::open(&world, &a, Some(&node), version).await.unwrap();
        assert_eq!(http.get("/acme/web/config").await.unwrap().status, 200);
    }
    a.end().await;
    b.end().await;
}
