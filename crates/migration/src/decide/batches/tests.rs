//! When a batch flips.

use crate::fixture::{Bench, batch, node};
use crate::{BatchPhase, Input, Outcome, Stage, When, explain};
use shardlift_model::UnixMillis;
use shardlift_planner::PlanBatch;

/// One node that is ready, at 00:16:40 UTC.
fn ready(change: impl FnMut(&mut PlanBatch)) -> Bench {
    let mut bench = Bench::planned_with(&[("one", &[], &["n1"])], change);
    bench.certify_all();
    bench.input(Input::StartBatch { batch: batch("one") }).unwrap();
    bench.drive("n1", Stage::Ready);
    bench
}

fn clear(bench: &mut Bench, idle: bool, routers: bool) -> Stage {
    bench.input(Input::CutoverClear { batch: batch("one"), idle, routers }).unwrap();
    bench.stage("n1")
}

fn waits(bench: &Bench) -> String {
    explain(&bench.world, &node("n1"), bench.now).unwrap().waits_for.join(", ")
}

#[test]
fn a_batch_flips_when_every_router_answers() {
    let mut bench = ready(|_| ());
    assert_eq!(waits(&bench), "every router to answer");
    assert_eq!(clear(&mut bench, true, false), Stage::Ready);
    assert_eq!(clear(&mut bench, false, true), Stage::Fencing);
    let mut bench = ready(|_| ());
    bench.world.routers.clear();
    assert_eq!(clear(&mut bench, true, false), Stage::Fencing);
}

#[test]
fn a_batch_that_waits_for_idle_nodes_flips_when_they_are_or_when_it_is_forced() {
    let idle = |batch: &mut PlanBatch| {
        batch.when = When::Idle;
        batch.force_after_ms = Some(10_000);
    };
    let mut bench = ready(idle);
    assert_eq!(clear(&mut bench, true, true), Stage::Fencing);
    let mut bench = ready(idle);
    bench.now = UnixMillis(bench.now.0 + 9_999);
    assert_eq!(clear(&mut bench, false, true), Stage::Ready);
    assert_eq!(
        waits(&bench),
        "its nodes to be idle: no young lock, no request, no connection, or another 1 s, every router to answer"
    );
    bench.now = UnixMillis(bench.now.0 + 1);
    assert_eq!(clear(&mut bench, false, true), Stage::Fencing);
    let mut endless = ready(|batch| batch.when = When::Idle);
    endless.now = UnixMillis(endless.now.0 + 1_000_000_000);
    assert_eq!(clear(&mut endless, false, true), Stage::Ready);
}

#[test]
fn the_wait_for_idle_nodes_is_counted_anew_when_a_node_begins_anew() {
    let mut bench = ready(|batch| {
        batch.when = When::Idle;
        batch.force_after_ms = Some(10_000);
    });
    bench.now = UnixMillis(bench.now.0 + 20_000);
    bench.answer("n1", Outcome::ReplicaFailed { reason: "x".to_owned(), damaged_at_source: false });
    bench.input(Input::RetryNode { node: node("n1"), accept_damaged: false }).unwrap();
    assert_eq!(bench.world.batches[&batch("one")].ready_at, None);
    bench.drive("n1", Stage::Ready);
    assert_eq!(bench.world.batches[&batch("one")].ready_at, Some(bench.now));
    assert_eq!(clear(&mut bench, false, true), Stage::Ready);
}

#[test]
fn a_batch_flips_only_in_its_windows_whatever_it_waits_for() {
    for when in When::ALL {
        let mut bench = ready(|batch| {
            batch.when = when;
            batch.windows = vec!["02:00-03:00".parse().unwrap()];
        });
        assert_eq!(clear(&mut bench, true, true), Stage::Ready, "{when:?}");
        assert!(waits(&bench).starts_with("its next window, at 02:00 UTC, in 6200 s"), "{}", waits(&bench));
        assert!(!bench.effects().is_empty(), "it is asked all the same");
        bench.now = UnixMillis(2 * 3_600_000);
        assert_eq!(clear(&mut bench, true, true), Stage::Fencing, "{when:?}");
    }
}

#[test]
fn late_answers_about_a_flip_are_ignored() {
    for stage in [Stage::Copying, Stage::Sealing, Stage::Soaking, Stage::Released, Stage::Aborted] {
        let mut bench = Bench::at(stage);
        assert_eq!(clear(&mut bench, true, true), stage);
    }
    let mut bench = ready(|_| ());
    bench.input(Input::CutoverClear { batch: batch("nine"), idle: true, routers: true }).unwrap();
    assert_eq!(bench.world.batches[&batch("one")].phase, BatchPhase::Preparing);
}

#[test]
fn a_started_batch_keeps_its_policy() {
    let mut bench = ready(|_| ());
    let plan = crate::fixture::plan(2, 1, &[("one", &[], &["n1"])]);
    let mut batches = plan.batches().to_vec();
    batches[0].when = When::Idle;
    let changed = shardlift_planner::Plan::new(2, 1, plan.source().clone(), [].into(), batches).unwrap();
    let refused = bench.apply_plan(changed).unwrap_err();
    assert!(refused.message.contains("another `when`"), "{}", refused.message);
    bench.apply_plan(plan).unwrap();
}
