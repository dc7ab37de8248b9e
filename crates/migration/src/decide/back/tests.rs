//! The way back: where it begins, what it keeps, how it ends, and who is refused.

use crate::decide::decide;
use crate::fixture::{Bench, batch, node, plan};
use crate::{BatchPhase, Direction, Event, Input, Outcome, Phase, Stage};
use expect_test::expect;
use shardlift_model::UnixMillis;
use std::collections::BTreeMap;
use std::fmt::Write as _;

fn roll_back() -> Input {
    Input::RollBackNode { node: node("n1"), reason: "it is slow".to_owned() }
}

fn said(bench: &Bench, input: &Input) -> String {
    match decide(&bench.world, input, bench.now) {
        Ok(events) if events.is_empty() => "done already".to_owned(),
        Ok(_) => "begins".to_owned(),
        Err(refusal) => format!("{}; {}", refusal.message, refusal.advice),
    }
}

#[test]
fn a_way_back_is_begun_or_refused_in_words() {
    let mut table = String::new();
    let told = [Stage::Copying, Stage::Sealed, Stage::Promoting, Stage::Retiring, Stage::Routing, Stage::Probing];
    let told = told.into_iter().chain([Stage::Soaking, Stage::Releasing, Stage::Released, Stage::Restoring]);
    for stage in told.chain([Stage::Aborted, Stage::RolledBack]) {
        let bench = Bench::at(stage);
        writeln!(table, "{stage}: {}", said(&bench, &roll_back())).unwrap();
        writeln!(
            table,
            "  batch: {}",
            said(&bench, &Input::RollBackBatch { batch: batch("one"), reason: String::new(), losses: BTreeMap::new() })
        )
        .unwrap();
        writeln!(table, "  rehearse: {}", said(&bench, &Input::RehearseRollback { node: node("n1") })).unwrap();
        writeln!(table, "  restore: {}", said(&bench, &Input::RestoreNode { node: node("n1") })).unwrap();
        writeln!(table, "  abort: {}", said(&bench, &Input::AbortNode { node: node("n1"), reason: String::new() }))
            .unwrap();
    }
    expect![[r#"
        copying: node `n1` is not committed to its target; abort it instead: `shardlift node abort n1`
          batch: no node of batch `one` can be moved back; `n1` is not committed to its target: abort it instead: `shardlift node abort n1`
          rehearse: node `n1` is seeding: a way back is rehearsed during the soak only; `shardlift node explain n1` says what it waits for
          restore: node `n1` is seeding: it has no old copy in quarantine; an old copy is put there when its batch is released, and not before
          abort: begins
        sealed: node `n1` is not committed to its target; abort it instead: `shardlift node abort n1`
          batch: no node of batch `one` can be moved back; `n1` is not committed to its target: abort it instead: `shardlift node abort n1`; `n2` is not committed to its target: abort it instead: `shardlift node abort n2`
          rehearse: node `n1` is sealed: a way back is rehearsed during the soak only; `shardlift node explain n1` says what it waits for
          restore: node `n1` is sealed: it has no old copy in quarantine; an old copy is put there when its batch is released, and not before
          abort: begins
        promoting: node `n1` is being handed over to its target; wait until `b` serves it, then try again
          batch: no node of batch `one` can be moved back; `n1` is being handed over to its target: wait until `b` serves it, then try again
          rehearse: node `n1` is committed: a way back is rehearsed during the soak only; `shardlift node explain n1` says what it waits for
          restore: node `n1` is committed: it has no old copy in quarantine; an old copy is put there when its batch is released, and not before
          abort: the move of node `n1` to `b` is committed and cannot be aborted; roll it back instead: `shardlift node rollback n1`
        retiring: node `n1` is being handed over to its target; wait until `b` serves it, then try again
          batch: no node of batch `one` can be moved back; `n1` is being handed over to its target: wait until `b` serves it, then try again
          rehearse: node `n1` is committed: a way back is rehearsed during the soak only; `shardlift node explain n1` says what it waits for
          restore: node `n1` is committed: it has no old copy in quarantine; an old copy is put there when its batch is released, and not before
          abort: the move of node `n1` to `b` is committed and cannot be aborted; roll it back instead: `shardlift node rollback n1`
        routing: begins
          batch: begins
          rehearse: node `n1` is committed: a way back is rehearsed during the soak only; `shardlift node explain n1` says what it waits for
          restore: node `n1` is committed: it has no old copy in quarantine; an old copy is put there when its batch is released, and not before
          abort: the move of node `n1` to `b` is committed and cannot be aborted; roll it back instead: `shardlift node rollback n1`
        probing: begins
          batch: begins
          rehearse: node `n1` is committed: a way back is rehearsed during the soak only; `shardlift node explain n1` says what it waits for
          restore: node `n1` is committed: it has no old copy in quarantine; an old copy is put there when its batch is released, and not before
          abort: the move of node `n1` to `b` is committed and cannot be aborted; roll it back instead: `shardlift node rollback n1`
        soaking: begins
          batch: begins
          rehearse: begins
          restore: node `n1` is soaking: it has no old copy in quarantine; an old copy is put there when its batch is released, and not before
          abort: the move of node `n1` to `b` is committed and cannot be aborted; roll it back instead: `shardlift node rollback n1`
        releasing: node `n1` was released; take the old copy out of quarantine first: `shardlift node restore n1`
          batch: no node of batch `one` can be moved back; `n1` was released: take the old copy out of quarantine first: `shardlift node restore n1`
          rehearse: node `n1` is released: a way back is rehearsed during the soak only; `shardlift node explain n1` says what it waits for
          restore: node `n1` is released: it has no old copy in quarantine; an old copy is put there when its batch is released, and not before
          abort: the move of node `n1` to `b` is committed and cannot be aborted; take the old copy out of quarantine first: `shardlift node restore n1`
        released: node `n1` was released; take the old copy out of quarantine first: `shardlift node restore n1`
          batch: no node of batch `one` can be moved back; `n1` was released: take the old copy out of quarantine first: `shardlift node restore n1`
          rehearse: node `n1` is released: a way back is rehearsed during the soak only; `shardlift node explain n1` says what it waits for
          restore: begins
          abort: the move of node `n1` to `b` is committed and cannot be aborted; take the old copy out of quarantine first: `shardlift node restore n1`
        restoring: node `n1` is being given its way back again; wait, then try again
          batch: no node of batch `one` can be moved back; `n1` is being given its way back again: wait, then try again
          rehearse: node `n1` is restoring: a way back is rehearsed during the soak only; `shardlift node explain n1` says what it waits for
          restore: done already
          abort: the move of node `n1` to `b` is committed and cannot be aborted; roll it back instead: `shardlift node rollback n1`
        aborted: node `n1` was taken out of its batch before the commit; there is nothing to move back
          batch: no node of batch `one` can be moved back; `n1` was taken out of its batch before the commit: there is nothing to move back
          rehearse: node `n1` is aborted: a way back is rehearsed during the soak only; `shardlift node explain n1` says what it waits for
          restore: node `n1` is aborted: it has no old copy in quarantine; an old copy is put there when its batch is released, and not before
          abort: done already
        rolled_back: done already
          batch: done already
          rehearse: node `n1` is rolled_back: a way back is rehearsed during the soak only; `shardlift node explain n1` says what it waits for
          restore: node `n1` is rolled_back: it has no old copy in quarantine; an old copy is put there when its batch is released, and not before
          abort: the move of node `n1` to `b` is committed and cannot be aborted; it was moved back already: `a` serves it
    "#]].assert_eq(&table);
}

#[test]
fn a_way_back_ends_at_the_source_under_a_new_generation_with_all_that_was_stored_since() {
    for stage in [Stage::Routing, Stage::Probing, Stage::Soaking] {
        let mut bench = Bench::at(stage);
        bench.roll_back("n1");
        let moving = bench.moving("n1");
        assert_eq!((moving.stage, moving.direction), (Stage::Fencing, Direction::Back));
        assert_eq!((moving.phase(), moving.giver().as_str(), moving.taker().as_str()), (Phase::RollingBack, "b", "a"));
        assert_eq!(said(&bench, &roll_back()), "done already");
        bench.drive("n1", Stage::RolledBack);
        let known = &bench.world.nodes[&node("n1")];
        let moving = bench.moving("n1");
        assert_eq!((known.shard.as_str(), known.generation.0, moving.phase()), ("a", 5, Phase::RolledBack));
        assert_eq!(moving.final_state.map(|state| state.seq), Some(9), "the changes since the flip are part of it");
        assert_eq!(bench.world.batches[&batch("one")].phase, BatchPhase::RolledBack);
    }
}

#[test]
fn a_node_that_was_moved_back_can_be_planned_again_to_the_same_target() {
    let mut bench = Bench::at(Stage::RolledBack);
    bench.apply_plan(plan(2, 1, &[("again", &[], &["n1"])])).unwrap();
    bench.input(Input::StartBatch { batch: batch("again") }).unwrap();
    bench.drive("n1", Stage::Soaking);
    let known = &bench.world.nodes[&node("n1")];
    assert_eq!((known.shard.as_str(), known.generation.0, known.old_copies.len()), ("b", 6, 0));
    bench.roll_back("n1");
    bench.drive("n1", Stage::RolledBack);
}

#[test]
fn a_way_back_that_takes_too_long_is_undone_and_says_why() {
    for stage in [Stage::Fencing, Stage::Completing, Stage::Sealing] {
        let mut bench = Bench::back_at(stage);
        bench.now = UnixMillis(bench.now.0 + 30_001);
        bench.input(Input::Tick).unwrap();
        assert_eq!(bench.stage("n1"), Stage::Unfencing, "{stage}");
        bench.answer("n1", Outcome::Done);
        assert_eq!((bench.stage("n1"), bench.moving("n1").phase()), (Stage::Resuming, Phase::RollingBack));
        bench.answer("n1", Outcome::Done);
        let moving = bench.moving("n1");
        assert!(moving.is_soaking() && moving.held.is_none());
        assert!(moving.rollback_failed.as_ref().unwrap().contains("30000 ms"), "{:?}", moving.rollback_failed);
        let known = &bench.world.nodes[&node("n1")];
        assert_eq!((known.shard.as_str(), known.generation.0), ("b", 4));
        bench.roll_back("n1");
        assert_eq!(bench.moving("n1").rollback_failed, None);
        bench.drive("n1", Stage::RolledBack);
    }
}

#[test]
fn a_way_back_whose_fence_is_lost_too_often_is_undone_and_never_held() {
    let mut bench = Bench::back_at(Stage::Completing);
    for _ in 0..4 {
        assert_eq!(bench.moving("n1").held, None);
        bench.answer("n1", Outcome::FenceLost { reason: "lease over".to_owned() });
    }
    assert_eq!(bench.stage("n1"), Stage::Unfencing);
    bench.drive("n1", Stage::Soaking);
    let reason = bench.moving("n1").rollback_failed.clone().unwrap();
    assert!(reason.contains("4 times") && reason.contains("lease over"), "{reason}");
    let mut bench = Bench::back_at(Stage::Completing);
    bench.answer("n1", Outcome::ReplicaFailed { reason: "no disk".to_owned(), damaged_at_source: false });
    bench.drive("n1", Stage::Soaking);
    assert!(bench.moving("n1").rollback_failed.as_ref().unwrap().contains("no disk"));
}

#[test]
fn a_rehearsal_goes_as_far_as_the_final_delta_and_no_further() {
    let mut bench = Bench::at(Stage::Soaking);
    bench.input(Input::RehearseRollback { node: node("n1") }).unwrap();
    assert_eq!(said(&bench, &Input::RehearseRollback { node: node("n1") }), "done already");
    assert!(said(&bench, &roll_back()).contains("rehearses its way back"));
    bench.drive("n1", Stage::Completing);
    bench.now = UnixMillis(bench.now.0 + 250);
    let began = bench.journal.len();
    bench.drive("n1", Stage::Soaking);
    let moving = bench.moving("n1");
    let rehearsal = moving.rehearsed.unwrap();
    assert_eq!((rehearsal.took_ms, moving.rollback_failed.clone()), (250, None));
    assert!(moving.is_soaking() && !moving.rehearsal && bench.world.nodes[&node("n1")].generation.0 == 4);
    let sealed = |event: &Event| matches!(event, Event::StageEntered { stage: Stage::Sealing | Stage::Sealed, .. });
    assert!(!bench.journal[began..].iter().any(sealed));
    bench.input(Input::RehearseRollback { node: node("n1") }).unwrap();
    bench.now = UnixMillis(bench.now.0 + 30_001);
    bench.input(Input::Tick).unwrap();
    bench.drive("n1", Stage::Soaking);
    let moving = bench.moving("n1");
    assert!(moving.rollback_failed.is_some() && moving.rehearsed == Some(rehearsal), "the last good one stays known");
}

#[test]
fn an_old_copy_that_was_taken_out_again_gives_the_way_back_again() {
    let mut bench = Bench::at(Stage::Released);
    bench.input(Input::RestoreNode { node: node("n1") }).unwrap();
    assert_eq!(bench.moving("n1").phase(), Phase::Restoring);
    assert_eq!(bench.world.batches[&batch("one")].phase, BatchPhase::Soaking);
    bench.drive("n1", Stage::Soaking);
    bench.roll_back("n1");
    bench.drive("n1", Stage::RolledBack);
    assert_eq!(bench.world.nodes[&node("n1")].shard.as_str(), "a");
    let mut again = Bench::at(Stage::Resuming);
    again.drive("n1", Stage::Released);
    assert_eq!(again.world.batches[&batch("one")].phase, BatchPhase::Released);
}

#[test]
fn a_released_node_is_not_planned_back_to_its_quarantined_copy() {
    let bench = Bench::at(Stage::Released);
    let batches = vec![shardlift_planner::PlanBatch {
        nodes: [(node("n1"), "a".parse().unwrap())].into(),
        ..plan(2, 1, &[("again", &[], &["n1"])]).batches()[0].clone()
    }];
    let plan = shardlift_planner::Plan::new(2, 1, "b".parse().unwrap(), [].into(), batches).unwrap();
    let input = Input::ApplyPlan { plan, text: String::new(), reviewed_revision: 2 };
    assert!(said(&bench, &input).contains("`shardlift node restore n1`, then `shardlift node rollback n1`"));
}

#[test]
fn a_batch_goes_back_as_far_as_its_nodes_can() {
    let mut bench = Bench::started(&["n1", "n2", "n3"]);
    for name in ["n1", "n2", "n3"] {
        bench.drive(name, Stage::Ready);
    }
    bench.input(Input::AbortNode { node: node("n3"), reason: String::new() }).unwrap();
    bench.drive("n1", Stage::Sealed);
    bench.drive("n2", Stage::Promoting);
    bench.drive("n1", Stage::Soaking);
    let back = Input::RollBackBatch { batch: batch("one"), reason: String::new(), losses: BTreeMap::new() };
    bench.input(back.clone()).unwrap();
    assert_eq!((bench.stage("n1"), bench.stage("n2")), (Stage::Fencing, Stage::Promoting));
    bench.drive("n1", Stage::RolledBack);
    assert_eq!(bench.world.batches[&batch("one")].phase, BatchPhase::Committed);
    bench.drive("n2", Stage::Soaking);
    assert_eq!(bench.world.batches[&batch("one")].phase, BatchPhase::Soaking);
    bench.input(back.clone()).unwrap();
    bench.drive("n2", Stage::RolledBack);
    bench.drive("n3", Stage::Aborted);
    assert_eq!(bench.world.batches[&batch("one")].phase, BatchPhase::RolledBack);
    assert_eq!(said(&bench, &back), "done already");
}

#[test]
fn a_batch_behind_one_that_was_moved_back_waits() {
    let mut bench = Bench::planned(&[("one", &[], &["n1"]), ("two", &["one"], &["n2"])]);
    bench.certify_all();
    for name in ["one", "two"] {
        bench.input(Input::StartBatch { batch: batch(name) }).unwrap();
    }
    bench.drive("n1", Stage::Fencing);
    bench.drive("n1", Stage::Probing);
    bench.roll_back("n1");
    bench.drive("n1", Stage::RolledBack);
    bench.drive("n2", Stage::Ready);
    assert!(!bench.clear_cutovers());
    bench.input(Input::ResumeBatch { batch: batch("two") }).unwrap();
    assert!(!bench.clear_cutovers());
}
