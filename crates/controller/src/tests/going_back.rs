//! After the flip: the way back is rehearsed, gone, and gone again from quarantine.

use super::bench::{Bench, Running, eventually};
use shardlift_api::v1::operator_server::Operator as _;
use shardlift_api::v1::{self, NodeMode};
use shardlift_migration::{BatchPhase, Direction, Phase, Stage};
use shardlift_model::{Generation, NodeId};
use shardlift_store::MemoryStore;
use std::sync::Arc;
use tonic::Request;

const NODE: &str = "acme/web-1";

fn node() -> NodeId {
    NODE.parse().unwrap()
}

async fn soaking(bench: &Bench) -> Running {
    let running = bench.lead(Arc::new(MemoryStore::new("c1".parse().unwrap()))).await;
    running.add_parts(bench, 1).await.unwrap();
    running.apply_plan().await.unwrap();
    let batch = running.world(|world| world.batches.keys().next().unwrap().to_string());
    running.operator.start_batch(Request::new(v1::BatchRequest { batch })).await.unwrap();
    running.enrol(bench, NODE).await.unwrap();
    eventually("the node soaks", || batch_phase(&running) == BatchPhase::Soaking).await;
    running
}

fn batch_phase(running: &Running) -> BatchPhase {
    running.world(|world| world.batches.values().next().unwrap().phase)
}

fn stage(running: &Running) -> (Stage, Direction) {
    running.world(|world| {
        let moving = world.nodes[&node()].migration.clone().unwrap();
        (moving.stage, moving.direction)
    })
}

fn mode(bench: &Bench, shard: &str) -> NodeMode {
    bench.yard.with(|copies| copies.all[&(shard.parse().unwrap(), node())].mode)
}

async fn roll_back(running: &Running, rehearse: bool) {
    let request = v1::RollBackNodeRequest { node: NODE.into(), reason: "slow".into(), rehearse, accepted_loss: None };
    running.operator.roll_back_node(Request::new(request)).await.unwrap();
}

async fn findings(running: &Running) -> Vec<v1::Finding> {
    let answer = running.operator.diagnose(Request::new(v1::DiagnoseRequest::default())).await.unwrap().into_inner();
    assert_eq!((answer.nodes_checked, answer.unchecked), (1, vec![]));
    answer.findings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_proves_the_way_back_and_a_rollback_goes_it() {
    let bench = Bench::new(&[NODE]).await;
    let running = soaking(&bench).await;
    let target = running.world(|world| world.nodes[&node()].shard.to_string());
    assert_eq!(findings(&running).await, []);
    roll_back(&running, true).await;
    let rehearsed = || running.world(|world| world.nodes[&node()].migration.as_ref().unwrap().rehearsed.is_some());
    eventually("the way back is rehearsed", || rehearsed() && stage(&running) == (Stage::Soaking, Direction::Forward))
        .await;
    assert_eq!((mode(&bench, "source"), mode(&bench, &target)), (NodeMode::Incoming, NodeMode::Serving));
    assert_eq!(findings(&running).await, []);
    roll_back(&running, false).await;
    eventually("the node is back", || stage(&running).0 == Stage::RolledBack).await;
    eventually("its batch says so", || batch_phase(&running) == BatchPhase::RolledBack).await;
    let known = running.world(|world| world.nodes[&node()].clone());
    assert_eq!((known.shard.as_str(), known.generation), ("source", Generation(3)));
    assert_eq!((mode(&bench, "source"), mode(&bench, &target)), (NodeMode::Serving, NodeMode::Retired));
    let route = bench.table.lock().unwrap().routes[known.server_name.as_str()].clone();
    assert_eq!(route.shard, "source");
    assert_eq!(findings(&running).await, []);
    bench.assert_sound();
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_released_node_goes_back_only_by_way_of_its_restored_copy() {
    let bench = Bench::new(&[NODE]).await;
    let running = soaking(&bench).await;
    let batch = running.world(|world| world.batches.keys().next().unwrap().to_string());
    eventually("the verdict is good", || {
        running.world(|world| world.batches.values().next().unwrap().verdict.is_some())
    })
    .await;
    let release = v1::ReleaseBatchRequest { batch, force: false };
    running.operator.release_batch(Request::new(release)).await.unwrap();
    eventually("the node is released", || stage(&running).0 == Stage::Released).await;
    assert_eq!(mode(&bench, "source"), NodeMode::Quarantined);
    assert_eq!(findings(&running).await, []);
    let request = v1::RollBackNodeRequest { node: NODE.into(), ..Default::default() };
    let refused = running.operator.roll_back_node(Request::new(request)).await.unwrap_err();
    assert!(refused.message().contains("node restore"), "{refused}");
    running.operator.restore_node(Request::new(v1::RestoreNodeRequest { node: NODE.into() })).await.unwrap();
    eventually("the old copy follows again", || stage(&running).0 == Stage::Soaking).await;
    assert_eq!(mode(&bench, "source"), NodeMode::Incoming);
    roll_back(&running, false).await;
    eventually("the node is back", || stage(&running).0 == Stage::RolledBack).await;
    assert_eq!(running.world(|world| world.nodes[&node()].migration.as_ref().unwrap().phase()), Phase::RolledBack);
    assert_eq!(mode(&bench, "source"), NodeMode::Serving);
    bench.assert_sound();
    running.end().await.unwrap();
    bench.end().await;
}
