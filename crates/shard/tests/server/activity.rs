//! What a shard counts of its clients, as the controller reads it.

use crate::http::{BOTH, Http, Version, whole};
use crate::world::{NODE, World, path_of};
use shardlift_api::v1;
use shardlift_model::{Activity, Role};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_bytes_sessions_and_the_client_are_counted_and_only_for_those_who_came() {
    let world = World::new();
    let shard = world.shard_with("load_bytes_per_second = 104857600").await;
    for node in [NODE, "acme/idle"] {
        shard.make_node(node, v1::NodeSettings::default()).await;
    }
    shard.make_incoming("acme/copy").await;
    let client = world.issue(Role::Node, NODE);
    let (pack, lock) = (vec![7; 30_000], b"lock".to_vec());
    for version in BOTH {
        let mut http = Http::open(&world, &shard, Some(&client), version).await.unwrap();
        for (kind, bytes) in [("locks", &lock), ("data", &pack)] {
            let headers = [("user-agent", "restic/0.18.1 (linux amd64)")];
            let body = whole(bytes);
            let stored = http.send("POST", &path_of(kind, bytes), &headers, body).await.unwrap();
            assert_eq!(stored.status, 200, "{version:?}");
        }
        assert_eq!(http.get(&path_of("data", &pack)).await.unwrap().body.len(), pack.len());
        let unlocked = http.send("DELETE", &path_of("locks", &lock), &[], whole(b"")).await.unwrap();
        assert_eq!(unlocked.status, 200);
    }
    let mut stranger = Http::open(&world, &shard, Some(&client), Version::Http1).await.unwrap();
    assert_eq!(stranger.get("/acme/idle/data/").await.unwrap().status, 401);

    let mut control = shard.control.clone();
    let about = control.describe_shard(v1::DescribeShardRequest {}).await.unwrap().into_inner();
    assert_eq!(about.load_bytes_per_second, 100 << 20);
    let mut listed = Vec::new();
    let mut after = String::new();
    for _ in 0..10 {
        let page = control.list_activity(v1::ListActivityRequest { after, limit: 1 }).await.unwrap().into_inner();
        listed.extend(page.nodes);
        after = page.next;
        if after.is_empty() {
            break;
        }
    }
    let names: Vec<&str> = listed.iter().map(|node| node.node.as_str()).collect();
    assert_eq!(names, ["acme/idle", NODE], "a copy in the making has no clients here");
    let [idle, busy] = [0, 1].map(|at: usize| Activity::decode(&listed[at].activity).unwrap());
    assert_eq!((idle.present().requests, idle.client()), (0, ""));
    // An hour may have ended in the middle of this.
    let (now, before) = (busy.present(), busy.week());
    let both = |of: fn(&shardlift_model::activity::Counts) -> u64| of(&now) + of(&before);
    assert_eq!(both(|counts| counts.requests), 8);
    assert_eq!(both(|counts| counts.bytes_in) >> 10, (2 * (pack.len() + lock.len()) as u64) >> 10);
    assert_eq!(both(|counts| counts.bytes_out) >> 10, (2 * pack.len() as u64) >> 10);
    assert_eq!(both(|counts| counts.session_sixteenths), 32, "from lock to unlock, twice");
    assert!(both(|counts| counts.busy_us) > 0);
    assert_eq!(busy.client(), "restic/0.18.1");
    shard.end().await;
}
