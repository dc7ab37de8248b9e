//! What an operator asks in vain: a clear word, and nothing changed.

use super::bench::{Bench, Running};
use shardlift_api::fault::FaultKind;
use shardlift_api::v1;
use shardlift_api::v1::operator_server::Operator as _;
use shardlift_store::MemoryStore;
use std::sync::Arc;
use tonic::{Request, Response, Status};

fn check<T: std::fmt::Debug>(result: Result<Response<T>, Status>, kind: FaultKind, words: &str) {
    let status = result.expect_err(words);
    assert_eq!(FaultKind::from(&status), kind, "{status:?}");
    assert!(status.message().contains(words), "{:?} does not say {words:?}", status.message());
}

async fn running(bench: &Bench) -> Running {
    let running = bench.lead(Arc::new(MemoryStore::new("c1".parse().unwrap()))).await;
    running.add_parts(bench, 2).await.unwrap();
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_in_words_and_change_nothing() {
    let bench = Bench::new(&["acme/web-1", "acme/web-2"]).await;
    let running = running(&bench).await;
    let operator = &running.operator;
    let toml = running.apply_plan().await.unwrap();
    let before = running.world(Clone::clone);
    let batch = |name: &str| Request::new(v1::BatchRequest { batch: name.into() });
    check(operator.start_batch(batch("nonsense")).await, FaultKind::NotFound, "nonsense");
    check(operator.start_batch(batch("Not A Name")).await, FaultKind::Invalid, "batch: ");
    let release = v1::ReleaseBatchRequest { batch: "canary".into(), force: true };
    check(operator.release_batch(Request::new(release)).await, FaultKind::Refused, "canary");
    let show = |node: &str| Request::new(v1::ShowNodeRequest { node: node.into() });
    check(operator.show_node(show("nobody")).await, FaultKind::NotFound, "nobody");
    check(operator.show_node(show("../etc")).await, FaultKind::Invalid, "node: ");
    let abort = v1::AbortNodeRequest { node: "nobody".into(), reason: String::new() };
    check(operator.abort_node(Request::new(abort)).await, FaultKind::NotFound, "nobody");
    let back = |node: &str| Request::new(v1::RollBackNodeRequest { node: node.into(), ..Default::default() });
    check(operator.roll_back_node(back("nobody")).await, FaultKind::NotFound, "nobody");
    check(operator.roll_back_node(back("acme/web-1")).await, FaultKind::Refused, "node abort");
    let restore = v1::RestoreNodeRequest { node: "acme/web-1".into() };
    check(operator.restore_node(Request::new(restore)).await, FaultKind::Refused, "acme/web-1");
    let back = v1::RollBackBatchRequest { batch: "canary".into(), ..Default::default() };
    check(operator.roll_back_batch(Request::new(back)).await, FaultKind::Refused, "canary");
    let diagnose = v1::DiagnoseRequest { node: "nobody".into() };
    check(operator.diagnose(Request::new(diagnose)).await, FaultKind::NotFound, "nobody");
    let again = v1::ApplyPlanRequest { toml: toml.clone(), revision: 1, ..Default::default() };
    check(operator.apply_plan(Request::new(again)).await, FaultKind::Invalid, "line ");
    let other = v1::ApplyPlanRequest { toml, revision: 7, ..Default::default() };
    check(operator.apply_plan(Request::new(other)).await, FaultKind::Refused, "revision 7");
    let plan = v1::MakePlanRequest { source: "nowhere".into(), ..Default::default() };
    check(operator.make_plan(Request::new(plan)).await, FaultKind::NotFound, "nowhere");
    let define = v1::DefineNodeRequest { node: "acme/web-1".into(), ..Default::default() };
    check(operator.define_node(Request::new(define)).await, FaultKind::Invalid, "nothing to define");
    let token = v1::CreateEnrolmentTokenRequest { node: "acme/web-1".into(), valid_minutes: u32::MAX };
    check(operator.create_enrolment_token(Request::new(token)).await, FaultKind::Invalid, "valid minutes");
    assert_eq!(running.world(Clone::clone), before);
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_under_another_name_or_at_a_wrong_address_is_not_recorded() {
    let bench = Bench::new(&[]).await;
    let running = bench.lead(Arc::new(MemoryStore::new("c1".parse().unwrap()))).await;
    let operator = &running.operator;
    let add = |shard: &str, address: &str| {
        Request::new(v1::AddShardRequest { shard: shard.into(), control_address: address.into() })
    };
    // The certificate there names another shard, or no shard at all.
    check(operator.add_shard(add("shard-x", &bench.addresses["shard-b"])).await, FaultKind::Unavailable, "shard-x");
    check(operator.add_shard(add("shard-b", &bench.router_address)).await, FaultKind::Unavailable, "shard-b");
    check(operator.add_shard(add("shard-b", "nonsense")).await, FaultKind::Invalid, "host:port");
    assert!(running.world(|world| world.shards.is_empty()));
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fleet_is_listed_page_by_page() {
    let bench = Bench::new(&["a", "b", "c", "d", "e"]).await;
    let running = bench.lead(Arc::new(MemoryStore::new("c1".parse().unwrap()))).await;
    running.add_parts(&bench, 5).await.unwrap();
    let (mut after, mut seen) = (String::new(), Vec::new());
    for _page in 0..5 {
        let request = v1::ListFleetRequest { after, limit: 2, shard: "source".into(), ..Default::default() };
        let page = running.operator.list_fleet(Request::new(request)).await.unwrap().into_inner();
        assert!(page.nodes.len() <= 2);
        seen.extend(page.nodes.into_iter().map(|node| node.node));
        after = page.next;
        if after.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    let request = v1::ListFleetRequest { customer: "c".into(), ..Default::default() };
    let page = running.operator.list_fleet(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(page.nodes.len(), 1);
    running.end().await.unwrap();
    bench.end().await;
}
