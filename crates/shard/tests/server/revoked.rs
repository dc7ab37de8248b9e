//! Who is on a revocation list is cut off and stays out; nobody else notices.

use crate::http::{BOTH, Http, Version, begun, whole};
use crate::world::{ANY_PORT, NODE, Pair, Running, World, eventually, now, path_of};
use bytes::Bytes;
use shardlift_api::v1;
use shardlift_model::{RevocationReason, Role};
use shardlift_pki::authority::{Authority, Listed};
use shardlift_pki::certificates_in;
use shardlift_pki::identity::serial_hex;
use std::time::{Duration, Instant};

/// What the shard promises, in open connections too.
const EFFECTIVE: Duration = Duration::from_secs(5);

fn serial_of(pair: &Pair) -> String {
    serial_hex(&certificates_in(&pair.chain).unwrap()[0]).unwrap()
}

fn list(authority: &Authority, number: u64, serials: &[&str]) -> String {
    let listed = |serial| Listed { serial, at: now(), reason: RevocationReason::KeyCompromise };
    let serials = serials.iter().copied().map(listed);
    authority.sign_list(number, now(), Duration::from_secs(86_400), serials).unwrap()
}

async fn bring(shard: &Running, list_pem: String) -> Result<v1::TakeRevocationsResponse, tonic::Status> {
    let request = v1::TakeRevocationsRequest { list_pem };
    shard.control.clone().take_revocations(request).await.map(tonic::Response::into_inner)
}

async fn is_let_in(world: &World, shard: &Running, pair: &Pair, version: Version) -> bool {
    match Http::open(world, shard, Some(pair), version).await {
        // With TLS 1.3 a client learns only from its first answer that it was refused.
        Ok(mut http) => http.get("/acme/web/config").await.is_ok_and(|reply| reply.status == 200),
        Err(_) => false,
    }
}

/// A client of the node with a certificate of its own.
async fn client(world: &World, shard: &Running) -> Pair {
    let pair = world.issue(Role::Node, NODE);
    let mut http = Http::open(world, shard, Some(&pair), Version::Http1).await.unwrap();
    assert_eq!(http.get("/acme/web/config").await.unwrap().status, 200);
    pair
}

async fn serving(world: &World) -> (Running, Pair) {
    let shard = world.shard().await;
    shard.make_node(NODE, v1::NodeSettings::default()).await;
    let good = world.issue(Role::Node, NODE);
    let mut http = Http::open(world, &shard, Some(&good), Version::Http1).await.unwrap();
    assert_eq!(http.post("/acme/web/config", b"the config").await.unwrap().status, 200);
    (shard, good)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_upload_is_cut_and_those_of_others_go_on() {
    let world = World::new();
    let (shard, good) = serving(&world).await;
    let bad = client(&world, &shard).await;
    let mut cut = Vec::new();
    for (version, bytes) in [(Version::Http1, b"pack one"), (Version::Http2, b"pack two")] {
        cut.push(begun(&world, &shard, &bad, version, bytes).await);
    }
    let (rest, stays) = begun(&world, &shard, &good, Version::Http1, b"pack six").await;
    shard.in_flight(NODE, 3).await;

    let began = Instant::now();
    bring(&shard, list(&world.authority, 1, &[&serial_of(&bad)])).await.unwrap();
    for (sender, upload) in cut {
        let ended = tokio::time::timeout(EFFECTIVE, upload).await.expect("cut in time").unwrap();
        assert!(ended.is_err(), "no answer at all, whatever is sent later: {ended:?}");
        drop(sender);
    }
    assert!(began.elapsed() < EFFECTIVE, "{:?}", began.elapsed());
    shard.in_flight(NODE, 1).await;
    rest.send(Bytes::from_static(b"k six")).await.unwrap();
    drop(rest);
    assert_eq!(stays.await.unwrap().unwrap().status, 200);
    assert_eq!(shard.status(NODE).await.objects, 2, "the config and what the other one sent");
    let left: Vec<_> = std::fs::read_dir(world.data().join("acme/web/data")).unwrap().flatten().collect();
    let files = left.iter().flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten());
    assert_eq!(files.count(), 1, "nothing half-written is left");
    for version in BOTH {
        assert!(!is_let_in(&world, &shard, &bad, version).await, "{version:?}");
        assert!(is_let_in(&world, &shard, &good, version).await, "{version:?}");
    }
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_deletion_of_a_revoked_client_never_happens() {
    let world = World::new();
    let (shard, good) = serving(&world).await;
    let bad = client(&world, &shard).await;
    let mut http = Http::open(&world, &shard, Some(&good), Version::Http1).await.unwrap();
    assert_eq!(http.post(&path_of("data", b"pack one"), b"pack one").await.unwrap().status, 200);
    shard.fence(2).await;
    let mut parked = Vec::new();
    for version in BOTH {
        let mut http = Http::open(&world, &shard, Some(&bad), version).await.unwrap();
        let body = whole(b"");
        parked.push(tokio::spawn(async move { http.send("DELETE", &path_of("data", b"pack one"), &[], body).await }));
    }
    shard.in_flight(NODE, 2).await;
    bring(&shard, list(&world.authority, 1, &[&serial_of(&bad)])).await.unwrap();
    for request in parked {
        let ended = tokio::time::timeout(EFFECTIVE, request).await.expect("cut in time").unwrap();
        assert!(ended.is_err(), "{ended:?}");
    }
    shard.in_flight(NODE, 0).await;
    shard.unfence(3).await;
    assert_eq!(&http.get(&path_of("data", b"pack one")).await.unwrap().body[..], b"pack one");
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_back_stays_so_over_a_restart_and_cannot_be_given_back() {
    let world = World::new();
    let (shard, good) = serving(&world).await;
    let bad = client(&world, &shard).await;
    let serial = serial_of(&bad);
    let held = |shard: &Running| {
        let mut control = shard.control.clone();
        async move { control.describe_shard(v1::DescribeShardRequest {}).await.unwrap().into_inner().revocations }
    };
    assert!(held(&shard).await.is_empty());
    let newest = list(&world.authority, 7, &[&serial, "4a"]);
    for _ in 0..2 {
        let taken = bring(&shard, newest.clone()).await.unwrap();
        assert_eq!((taken.issuer.as_str(), taken.number), ("issuing-1", 7));
    }
    let older = bring(&shard, list(&world.authority, 6, &[])).await.unwrap_err();
    assert!(older.message().contains("list 7 holds already"), "{older:?}");
    let elsewhere = World::new();
    for (what, text) in [("another CA's", list(&elsewhere.authority, 8, &[])), ("no list", "x".to_owned())] {
        let refused = bring(&shard, text).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{what}: {refused:?}");
    }
    let listen = [shard.clients, shard.control_address];
    shard.end().await;

    let shard = world.shard_at("a", "data", listen, "").await;
    let lists = held(&shard).await;
    assert_eq!(lists.iter().map(|held| (held.number, held.certificates)).collect::<Vec<_>>(), [(7, 2)]);
    for (pair, let_in) in [(&good, true), (&bad, false)] {
        assert_eq!(is_let_in(&world, &shard, pair, Version::Http1).await, let_in);
    }
    assert!(bring(&shard, list(&world.authority, 6, &[])).await.is_err());
    shard.end().await;

    // What is damaged is not forgotten in silence.
    let folder = world.data().join(".shardlift/revoked");
    let kept = std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    assert_eq!(kept.len(), 1, "{kept:?}");
    std::fs::write(&kept[0], &newest[..newest.len() / 2]).unwrap();
    let refused = world.build("a", "data", [ANY_PORT; 2], "").await.unwrap_err();
    let text = shardlift_api::fault::chain(&refused);
    assert!(text.contains("revoked") && text.contains("cannot be used"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_controller_is_cut_off_from_the_commands() {
    let world = World::new();
    let (shard, _) = serving(&world).await;
    let thief = world.control(shard.control_address, Role::Controller, "thief");
    let chain = std::fs::read_to_string(world.path("controller-thief.pem")).unwrap();
    let serial = serial_hex(&certificates_in(&chain).unwrap()[0]).unwrap();
    let asks = || async { thief.clone().describe_shard(v1::DescribeShardRequest {}).await.is_ok() };
    assert!(asks().await);
    bring(&shard, list(&world.authority, 1, &[&serial])).await.unwrap();
    eventually("it is cut off", || async { !asks().await }).await;
    for _ in 0..5 {
        assert!(!asks().await);
    }
    assert_eq!(shard.status(NODE).await.objects, 1, "the other controller goes on");
    shard.end().await;
}
