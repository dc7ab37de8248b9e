//! Deep verify: what a soak waits for, what makes its verdict bad, and what an operator asks for at any time.

use super::bench::{Bench, Running, eventually};
use super::yard::Found;
use shardlift_api::v1;
use shardlift_api::v1::operator_server::Operator as _;
use shardlift_migration::{BatchPhase, Input, Verdict, When};
use shardlift_model::NodeId;
use shardlift_planner::{Plan, PlanBatch, SoakPolicy};
use shardlift_store::MemoryStore;
use std::collections::BTreeSet;
use std::sync::Arc;
use tonic::{Request, Status};

const NODE: &str = "acme/web-1";
const TARGET: &str = "shard-b";

fn node() -> NodeId {
    NODE.parse().unwrap()
}

/// A node at its target, which reads slowly when it is asked to.
async fn soaking(bench: &Bench, journal: &MemoryStore) -> Running {
    bench.yard.with(|copies| copies.slow_readers = true);
    let running = bench.lead(Arc::new(journal.clone())).await;
    running.add_parts(bench, 1).await.unwrap();
    running.enrol(bench, NODE).await.unwrap();
    let batch = PlanBatch {
        name: "one".parse().unwrap(),
        after: BTreeSet::new(),
        nodes: [(node(), TARGET.parse().unwrap())].into(),
        when: When::Now,
        windows: vec![],
        force_after_ms: None,
        soak: SoakPolicy { verify: true, ..SoakPolicy::default() },
    };
    let plan = Plan::new(1, 0, "source".parse().unwrap(), BTreeSet::new(), vec![batch]).unwrap();
    let input = Input::ApplyPlan { plan, text: String::new(), reviewed_revision: 1 };
    running.context.inputs.submit(input).await.unwrap();
    running.operator.start_batch(Request::new(v1::BatchRequest { batch: "one".into() })).await.unwrap();
    eventually("the node soaks", || {
        running.world(|world| world.batches.values().all(|batch| batch.phase == BatchPhase::Soaking))
    })
    .await;
    running
}

fn store() -> MemoryStore {
    MemoryStore::new("c1".parse().unwrap())
}

fn verdict(running: &Running) -> Option<Verdict> {
    running.world(|world| world.batches.values().next().unwrap().verdict.clone())
}

/// How many runs were begun at the target, with the number of the last one.
fn run_at(bench: &Bench, shard: &str) -> Option<(u64, bool)> {
    let key = (shard.parse().unwrap(), node());
    bench.yard.with(|copies| copies.all[&key].deep_verify.map(|(_, run, found)| (run, found.is_some())))
}

fn finish(bench: &Bench, shard: &str, result: Found) {
    let key = (shard.parse().unwrap(), node());
    bench.yard.with(|copies| copies.all.get_mut(&key).unwrap().deep_verify.as_mut().unwrap().2 = Some(result));
}

async fn verify(running: &Running, shard: &str, look: bool) -> Result<v1::DeepVerifyView, Status> {
    let request = v1::VerifyNodeRequest { node: NODE.into(), shard: shard.into(), bytes_per_second: 0, look };
    running.operator.verify_node(Request::new(request)).await.map(tonic::Response::into_inner)
}

async fn explained(running: &Running) -> String {
    let request = v1::ExplainNodeRequest { node: NODE.into() };
    let told = running.operator.explain_node(Request::new(request)).await.unwrap().into_inner();
    told.waits_for.join("; ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_verdict_waits_until_the_target_has_read_its_bytes() {
    let bench = Bench::new(&[NODE]).await;
    let journal = store();
    let running = soaking(&bench, &journal).await;
    eventually("the target reads", || run_at(&bench, TARGET) == Some((0, false))).await;
    let compared = |copies: &mut super::yard::Copies| {
        copies.all[&("source".parse().unwrap(), node())].verified && copies.commands["verify_replica"] >= 2
    };
    eventually("the old copy was compared", || bench.yard.with(compared)).await;
    let reads = || {
        running.context.shared.both(|recorded, observed| {
            let known = &recorded.world.nodes[&node()];
            observed.at_writer(known).is_some_and(|status| status.deep_verify.is_some())
        })
    };
    eventually("it is seen", reads).await;
    assert_eq!(verdict(&running), None);
    let words = "a deep verify of the target: 50 %, 3.0 MiB/s";
    assert!(explained(&running).await.contains(words), "{}", explained(&running).await);
    let listed =
        running.operator.list_batches(Request::new(v1::ListBatchesRequest::default())).await.unwrap().into_inner();
    let waits = &listed.batches[0].waiting_for;
    assert!(waits.iter().any(|reason| reason == &format!("{NODE}: {words}")), "{waits:?}");
    let view = listed.batches[0].nodes[0].deep_verify.clone().unwrap();
    assert_eq!((view.shard.as_str(), view.role.as_str(), view.ended_unix_ms), (TARGET, "target", 0));

    // Another leader asks again, which begins nothing anew.
    running.die().await;
    let asked = bench.yard.with(|copies| copies.commands["deep_verify"]);
    let running = bench.lead(Arc::new(journal)).await;
    eventually("it is asked again", || bench.yard.with(|copies| copies.commands["deep_verify"]) > asked).await;
    assert_eq!(run_at(&bench, TARGET), Some((0, false)));
    assert_eq!(verdict(&running), None);
    finish(&bench, TARGET, Found::default());
    eventually("the verdict is good", || verdict(&running) == Some(Verdict::Good)).await;
    bench.assert_sound();
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_the_target_finds_in_its_own_bytes_makes_the_verdict_bad() {
    let bench = Bench::new(&[NODE]).await;
    let running = soaking(&bench, &store()).await;
    eventually("the target reads", || run_at(&bench, TARGET).is_some()).await;
    finish(&bench, TARGET, Found { damaged: 2, missing: 1 });
    eventually("the verdict is bad", || matches!(verdict(&running), Some(Verdict::Bad { .. }))).await;
    let Some(Verdict::Bad { reason }) = verdict(&running) else { panic!("it is not") };
    for part in ["the target, shard-b,", "2 damaged", "1 missing", "data/0000"] {
        assert!(reason.contains(part), "{part} in {reason}");
    }
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_may_ask_again_and_again_and_joins_what_goes_on() {
    let bench = Bench::new(&[NODE]).await;
    let running = soaking(&bench, &store()).await;
    eventually("the target reads", || run_at(&bench, TARGET) == Some((0, false))).await;
    let joined = verify(&running, "", false).await.unwrap();
    assert_eq!((joined.shard.as_str(), joined.ended_unix_ms), (TARGET, 0));
    assert_eq!(run_at(&bench, TARGET), Some((0, false)), "the soak's own is joined");
    finish(&bench, TARGET, Found::default());
    eventually("the verdict is good", || verdict(&running) == Some(Verdict::Good)).await;
    for run in 1..4 {
        assert_eq!(verify(&running, "", true).await.unwrap().ended_unix_ms, 2, "a look begins nothing");
        assert_eq!(verify(&running, "", false).await.unwrap().ended_unix_ms, 0);
        assert_eq!(run_at(&bench, TARGET), Some((run, false)));
        finish(&bench, TARGET, Found { damaged: run - 1, missing: 0 });
    }
    let seen = verify(&running, TARGET, true).await.unwrap();
    assert_eq!((seen.damaged, seen.names.len(), seen.role.as_str()), (2, 2, "target"));

    // The other copy, by name; it still stands for what the soak asked of it.
    let view = verify(&running, "source", false).await.unwrap();
    assert_eq!((view.shard.as_str(), view.role.as_str()), ("source", "source"));
    assert_eq!(run_at(&bench, "source").map(|(run, _)| run), Some(1));
    for (shard, code) in [("shard-c", tonic::Code::NotFound), ("shard-x", tonic::Code::NotFound)] {
        assert_eq!(verify(&running, shard, false).await.unwrap_err().code(), code, "{shard}");
    }
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_with_a_command_for_the_shard_comes_first() {
    let bench = Bench::new(&[NODE]).await;
    let running = bench.lead(Arc::new(store())).await;
    running.add_parts(&bench, 1).await.unwrap();
    let settled = verify(&running, "", false).await.unwrap();
    assert_eq!((settled.shard.as_str(), settled.role.as_str(), settled.objects_read), ("source", "writer", 10));
    assert_eq!(run_at(&bench, "source").map(|(run, _)| run), Some(1));
    // An offer that is never answered: its token would be taken for one of a repetition.
    bench.yard.with(|copies| {
        copies.mishaps.node = Some(node());
        copies.mishaps.held = Some("offer");
    });
    running.apply_plan().await.unwrap();
    let batch = running.world(|world| world.batches.keys().next().unwrap().to_string());
    running.operator.start_batch(Request::new(v1::BatchRequest { batch })).await.unwrap();
    let refused = verify(&running, "", false).await.unwrap_err();
    assert!(refused.message().contains("on its way to shard source"), "{refused:?}");
    running.end().await.unwrap();
    bench.end().await;
}
