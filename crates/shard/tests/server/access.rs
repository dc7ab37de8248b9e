//! Who gets in, over the wire: certificates of the cluster, from before it, of another one, and passwords.

use crate::http::{BOTH, Http, status, whole};
use crate::world::{NODE, Pair, Running, World};
use base64::Engine as _;
use shardlift_api::v1;
use shardlift_model::Role;

/// A shard with two nodes of one account and one of another, each with a config.
async fn three_nodes(world: &World, lines: &str) -> Running {
    let shard = world.shard_with(lines).await;
    for node in [NODE, "acme/db", "other"] {
        shard.make_node(node, v1::NodeSettings::default()).await;
        std::fs::write(world.data().join(".htpasswd"), htpasswd()).unwrap();
    }
    shard.reloadable.reload().unwrap();
    shard
}

fn htpasswd() -> String {
    ["acme", "other"].map(|account| format!("{account}:{}\n", bcrypt::hash("secret", 4).unwrap())).concat()
}

fn basic(pair: &str) -> String {
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))
}

/// What a client gets for the listing of each node: that is 200 for an empty one that is its own.
async fn listings(world: &World, shard: &Running, shows: Option<&Pair>, password: Option<&str>) -> Vec<Option<u16>> {
    let basic = password.map(basic);
    let headers: Vec<(&str, &str)> = basic.iter().map(|value| ("authorization", value.as_str())).collect();
    let mut seen = Vec::new();
    for node in [NODE, "acme/db", "other"] {
        seen.push(status(world, shard, shows, "GET", &format!("/{node}/data/"), &headers).await);
    }
    seen
}

const OWN: Option<u16> = Some(200);
const NO: Option<u16> = Some(401);
/// The handshake fails.
const CUT: Option<u16> = None;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_open_their_own_nodes_and_no_other() {
    let world = World::new();
    let shard = three_nodes(&world, "").await;
    let node = world.issue(Role::Node, NODE);
    assert_eq!(listings(&world, &shard, Some(&node), None).await, [OWN, NO, NO]);
    assert_eq!(listings(&world, &shard, Some(&node), Some("other:secret")).await, [OWN, NO, NO]);
    for role in [Role::Operator, Role::Controller, Role::Shard, Role::Router] {
        let member = world.issue(role, "acme");
        assert_eq!(listings(&world, &shard, Some(&member), None).await, [NO, NO, NO], "{role}");
    }
    assert_eq!(listings(&world, &shard, None, Some("acme:secret")).await, [CUT, CUT, CUT]);
    for stranger in [World::of("c1"), World::of("c2")] {
        let node = stranger.issue(Role::Node, NODE);
        assert_eq!(listings(&world, &shard, Some(&node), None).await, [CUT, CUT, CUT], "signed by somebody else");
        let legacy = stranger.issue_legacy("acme");
        assert_eq!(listings(&world, &shard, Some(&legacy), None).await, [CUT, CUT, CUT]);
    }
    let seen = shard.status(NODE).await.seen_certificates;
    assert_eq!(seen.len(), 1, "the node's own certificate is on record: {seen:?}");
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_certificates_work_until_the_node_is_released_and_for_others_longer() {
    let world = World::new();
    let shard = three_nodes(&world, "").await;
    let legacy = world.issue_legacy("acme");
    assert_eq!(listings(&world, &shard, Some(&legacy), None).await, [OWN, OWN, NO]);
    let mut open = Http::open(&world, &shard, Some(&legacy), BOTH[0]).await.unwrap();
    assert_eq!(open.get("/acme/web/data/").await.unwrap().status, 200);
    shard.end_legacy_credentials(NODE, 2).await;
    assert_eq!(listings(&world, &shard, Some(&legacy), None).await, [NO, OWN, NO]);
    assert_eq!(open.get("/acme/web/data/").await.unwrap().status, 401, "on open connections, too");
    let node = world.issue(Role::Node, NODE);
    assert_eq!(listings(&world, &shard, Some(&node), None).await, [OWN, NO, NO]);
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_count_where_the_configuration_says_so() {
    let right = Some("acme:secret");
    let wrong = Some("acme:wrong");
    for (mode, cases) in [
        (
            "password",
            [(false, right, [OWN, OWN, NO]), (false, wrong, [NO; 3]), (false, None, [NO; 3]), (true, None, [NO; 3])],
        ),
        (
            "either",
            [
                (false, right, [OWN, OWN, NO]),
                (false, wrong, [NO; 3]),
                (true, None, [OWN, NO, NO]),
                (true, wrong, [OWN, NO, NO]),
            ],
        ),
        (
            "both",
            [(true, right, [OWN, NO, NO]), (true, wrong, [NO; 3]), (true, None, [NO; 3]), (false, right, [CUT; 3])],
        ),
    ] {
        let world = World::new();
        let shard = three_nodes(&world, &format!("client_auth = \"{mode}\"")).await;
        let node = world.issue(Role::Node, NODE);
        for (certificate, password, expected) in cases {
            let seen = listings(&world, &shard, certificate.then_some(&node), password).await;
            assert_eq!(seen, expected, "{mode} certificate={certificate} password={password:?}");
        }
        if mode == "either" {
            shard.end_legacy_credentials(NODE, 2).await;
            assert_eq!(listings(&world, &shard, None, right).await, [NO, OWN, NO], "released");
        }
        shard.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_client_is_asked_for_a_password_only_where_one_would_do() {
    let world = World::new();
    let shard = three_nodes(&world, "client_auth = \"either\"").await;
    let mut http = Http::open(&world, &shard, None, BOTH[0]).await.unwrap();
    let reply = http.get("/acme/web/config").await.unwrap();
    assert_eq!((reply.status, reply.headers.contains_key("www-authenticate")), (401, true));
    assert!(!String::from_utf8_lossy(&reply.body).contains("acme"), "nothing is told");
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_not_here_is_unavailable_and_never_absent() {
    let world = World::new();
    let shard = world.shard().await;
    let node = world.issue(Role::Node, NODE);
    let object = format!("/{NODE}/data/{}", "a".repeat(64));
    for version in BOTH {
        for (method, path) in [
            ("POST", "/acme/web/?create=true"),
            ("HEAD", "/acme/web/config"),
            ("GET", "/acme/web/config"),
            ("GET", "/acme/web/snapshots/"),
            ("GET", &object),
            ("POST", &object),
            ("DELETE", &object),
        ] {
            let mut http = Http::open(&world, &shard, Some(&node), version).await.unwrap();
            let reply = http.send(method, path, &[], whole(b"")).await.unwrap();
            assert_eq!(reply.status, 503, "{version:?} {method} {path}");
            assert_eq!(reply.headers["retry-after"], "1");
        }
    }
    assert_eq!(
        std::fs::read_dir(world.data()).unwrap().filter(|e| e.as_ref().unwrap().file_name() == "acme").count(),
        0
    );
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_may_create_where_the_configuration_says_so() {
    let world = World::new();
    let shard = world.shard_with("create_nodes = true").await;
    let node = world.issue(Role::Node, NODE);
    let mut http = Http::open(&world, &shard, Some(&node), BOTH[1]).await.unwrap();
    assert_eq!(http.get("/acme/web/config").await.unwrap().status, 404);
    assert_eq!(http.post("/acme/db/?create=true", b"").await.unwrap().status, 401);
    assert_eq!(http.post("/acme/web/?create=true", b"").await.unwrap().status, 200);
    assert_eq!(http.post("/acme/web/config", b"the config").await.unwrap().status, 200);
    assert_eq!(&http.get("/acme/web/config").await.unwrap().body[..], b"the config");
    shard.end().await;
}
