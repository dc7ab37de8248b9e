//! Plans that are made from what shards count of their nodes.

use super::bench::{Bench, Running, SHARDS, eventually};
use crate::clock;
use shardlift_api::fault::FaultKind;
use shardlift_api::v1;
use shardlift_api::v1::operator_server::Operator as _;
use shardlift_model::activity::Counts;
use shardlift_model::{Activity, NodeId, ShardId, UnixMillis};
use shardlift_store::MemoryStore;
use std::sync::Arc;
use tonic::{Request, Status};

const HOUR: u64 = 3_600_000;
const NODES: [&str; 4] = ["acme/idle", "acme/night", "acme/noon", "other/night"];

/// A week in which so many bytes came in at one hour of each day, and the node grew by as many.
fn daily(hour_of_day: u64, bytes_in: u64) -> Activity {
    let mut activity = Activity::default();
    let today = clock::now().epoch_hour() / 24;
    activity.advance(UnixMillis((today - 8) * 24 * HOUR), || 0);
    for day in today - 8..today {
        let at = UnixMillis((day * 24 + hour_of_day) * HOUR);
        activity.note(at, Counts { bytes_in, ..Counts::session() }, || (day + 8 - today) * bytes_in);
    }
    activity.advance(UnixMillis(today * 24 * HOUR), || 8 * bytes_in);
    activity.note_client("restic/0.18.1");
    activity
}

async fn bench(capacities: &[&str]) -> (Bench, Running) {
    let bench = Bench::new(&NODES).await;
    bench.yard.with(|copies| {
        for shard in capacities {
            copies.load_capacities.insert(shard.parse().unwrap(), 1 << 20);
        }
        for (node, activity) in [
            ("acme/night", daily(2, 1800 << 20)),
            ("acme/noon", daily(12, 1800 << 20)),
            ("other/night", daily(2, 1800 << 20)),
        ] {
            let key: (ShardId, NodeId) = ("source".parse().unwrap(), node.parse().unwrap());
            copies.activities.insert(key, activity);
        }
    });
    let running = bench.lead(Arc::new(MemoryStore::new("c1".parse().unwrap()))).await;
    running.add_parts(&bench, NODES.len()).await.unwrap();
    let counted =
        || running.context.shared.both(|_, observed| observed.shards.values().filter(|shard| shard.counted).count());
    let shards = bench.addresses.len();
    eventually("all shards have said what their nodes do", || counted() == shards).await;
    (bench, running)
}

async fn make(running: &Running) -> Result<String, Status> {
    let request = v1::MakePlanRequest { source: "source".into(), ..Default::default() };
    Ok(running.operator.make_plan(Request::new(request)).await?.into_inner().toml)
}

fn moved(toml: &str) -> Vec<&str> {
    NODES.into_iter().filter(|node| toml.contains(&format!("\"{node}\" ="))).collect()
}

#[tokio::test]
async fn the_busiest_hour_decides_who_moves_once_every_shard_says_what_it_bears() {
    let (bench, running) = bench(&SHARDS).await;
    let toml = make(&running).await.unwrap();
    // Two share the night at 100 % of what the source bears; one of them is enough.
    assert_eq!(moved(&toml).len(), 1, "{toml}");
    assert_ne!(moved(&toml), ["acme/idle"], "{toml}");
    let check = running.operator.check_plan(Request::new(v1::CheckPlanRequest { toml: toml.clone() })).await.unwrap();
    assert_eq!(check.into_inner().problems, vec![]);
    let shards = running.operator.list_shards(Request::new(v1::ListShardsRequest {})).await.unwrap().into_inner();
    let source = shards.shards.into_iter().find(|shard| shard.shard == "source").unwrap();
    assert_eq!((source.load_bytes_per_second, source.peak_bytes_per_second), (1 << 20, 1 << 20));
    assert!(source.peak_hour.ends_with("02:00"), "{}", source.peak_hour);
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test]
async fn one_shard_that_does_not_say_what_it_bears_leaves_sizes_to_decide() {
    let (bench, running) = bench(&["source"]).await;
    let toml = make(&running).await.unwrap();
    assert_eq!(moved(&toml), NODES, "all leave: {toml}");
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test]
async fn no_plan_is_made_before_all_shards_have_said_what_their_nodes_do() {
    let (bench, running) = bench(&["source"]).await;
    let all: Vec<ShardId> = running.world(|world| world.shards.keys().cloned().collect());
    bench.yard.with(|copies| copies.load_capacities.extend(all.iter().map(|shard| (shard.clone(), 1 << 20))));
    let stated = || {
        running.context.shared.both(|_, observed| {
            observed
                .shards
                .values()
                .all(|shard| shard.about.as_ref().is_some_and(|about| about.load_bytes_per_second > 0))
        })
    };
    eventually("all shards say what they bear", stated).await;
    let late = all.last().unwrap().clone();
    running.context.shared.observe(|observed| observed.shards.get_mut(&late).unwrap().counted = false);
    let refused = make(&running).await.unwrap_err();
    assert_eq!(FaultKind::from(&refused), FaultKind::Unavailable);
    assert!(refused.message().contains("what its nodes do"), "{}", refused.message());
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test]
async fn a_node_shows_its_client_schedule_growth_and_load() {
    let (bench, running) = bench(&[]).await;
    let show = |node: &str| running.operator.show_node(Request::new(v1::ShowNodeRequest { node: node.to_owned() }));
    let seen = show("acme/noon").await.unwrap().into_inner().activity.unwrap();
    assert_eq!((seen.client.as_str(), seen.schedule.as_str()), ("restic/0.18.1", "daily 12:00"));
    assert_eq!((seen.sessions_per_week, seen.growth_bytes_per_day), (7, 1800 << 20));
    assert!(seen.peak_hour.ends_with("12:00") && seen.peak_bytes_per_second == 512 << 10, "{seen:?}");
    assert_eq!(show("acme/idle").await.unwrap().into_inner().activity, None, "nothing was heard of it");
    running.end().await.unwrap();
    bench.end().await;
}
