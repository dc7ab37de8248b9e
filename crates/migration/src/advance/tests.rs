//! Batches: order, places, deadlines, crashes.

use crate::fixture::{Bench, batch, node};
use crate::{BatchPhase, Event, Input, Outcome, Phase, Stage};
use shardlift_model::UnixMillis;

#[test]
fn no_more_nodes_seed_than_there_are_places() {
    let names = ["n1", "n2", "n3", "n4", "n5", "n6"];
    let mut bench = Bench::started(&names);
    let seeding = |bench: &Bench| bench.stages().values().filter(|stage| stage.is_seeding()).count();
    assert_eq!(seeding(&bench), 4);
    bench.drive("n1", Stage::CatchingUp);
    assert_eq!((seeding(&bench), bench.stage("n5")), (4, Stage::Offering));
    bench.answer("n2", Outcome::Refused { reason: "no".to_owned() });
    assert_eq!(bench.stage("n6"), Stage::Offering, "a held node gives its place to the next one");
    bench.input(Input::RetryNode { node: node("n2"), accept_damaged: false }).unwrap();
    assert!(bench.moving("n2").reenter, "it waits for a place");
    bench.drive("n3", Stage::CatchingUp);
    assert!(!bench.moving("n2").reenter);
}

#[test]
fn advice_bounds_who_seeds_never_above_the_limit_and_never_below_one() {
    let names = ["n1", "n2", "n3", "n4", "n5", "n6"];
    let mut bench = Bench::planned(&[("one", &[], &names)]);
    bench.certify_all();
    bench.input(Input::AdviseSeeding { count: 0 }).unwrap();
    bench.input(Input::StartBatch { batch: batch("one") }).unwrap();
    let seeding = |bench: &Bench| bench.stages().values().filter(|stage| stage.is_seeding()).count();
    assert_eq!((bench.world.seeding_nodes(), seeding(&bench)), (1, 1));
    bench.input(Input::AdviseSeeding { count: 3 }).unwrap();
    assert_eq!(seeding(&bench), 3);
    let recorded = bench.journal.len();
    bench.input(Input::AdviseSeeding { count: 3 }).unwrap();
    assert_eq!(bench.journal.len(), recorded, "what is no news is not recorded");
    bench.input(Input::AdviseSeeding { count: 99 }).unwrap();
    assert_eq!((bench.world.seeding_nodes(), seeding(&bench)), (4, 4));
    // Who has begun goes on; the next one waits.
    bench.input(Input::AdviseSeeding { count: 1 }).unwrap();
    assert_eq!(seeding(&bench), 4);
    bench.drive("n1", Stage::CatchingUp);
    assert_eq!((seeding(&bench), bench.stage("n5")), (3, Stage::Planned));
    let waits = crate::explain(&bench.world, &node("n5"), bench.now).unwrap().waits_for;
    assert!(waits[0].contains("one of the 1 places"), "{waits:?}");
}

#[test]
fn a_journal_from_before_there_was_advice_has_the_places_of_the_limits() {
    let bench = Bench::planned(&[("one", &[], &["n1"])]);
    let mut old = serde_json::to_value(&bench.world).unwrap();
    let fields = old.as_object_mut().unwrap();
    assert!(fields.remove("seeding_advised").is_some());
    let read: crate::World = serde_json::from_value(old).unwrap();
    assert_eq!((read.seeding_advised, read.seeding_nodes()), (None, 4));
    assert!(bench.world.legal(&Event::SeedingAdvised { count: 0 }).is_err());
}

#[test]
fn a_phase_is_counted_from_its_first_stage() {
    let mut bench = Bench::started(&["n1"]);
    let began = bench.moving("n1").phase_since();
    bench.now = UnixMillis(bench.now.0 + 5000);
    bench.drive("n1", Stage::Copying);
    assert_eq!((bench.moving("n1").phase_since(), bench.moving("n1").phase()), (began, Phase::Seeding));
    assert!(bench.moving("n1").stage_since > began);
    bench.now = UnixMillis(bench.now.0 + 5000);
    bench.drive("n1", Stage::CatchingUp);
    assert!(bench.moving("n1").phase_since() > began);
    let mut old = bench.moving("n1").clone();
    old.phase_entered = None;
    assert_eq!(old.phase_since(), old.stage_since, "of an old journal");
}

#[test]
fn a_paused_batch_neither_seeds_nor_cuts_over() {
    let mut bench = Bench::planned(&[("one", &[], &["n1"])]);
    bench.certify_all();
    bench.input(Input::PauseBatch { batch: batch("one") }).unwrap();
    bench.input(Input::StartBatch { batch: batch("one") }).unwrap();
    assert_eq!(bench.stage("n1"), Stage::Planned);
    bench.input(Input::ResumeBatch { batch: batch("one") }).unwrap();
    bench.drive("n1", Stage::Verifying);
    bench.input(Input::PauseBatch { batch: batch("one") }).unwrap();
    bench.drive("n1", Stage::Ready);
    assert!(!bench.clear_cutovers());
    bench.input(Input::CutoverClear { batch: batch("one"), idle: true, routers: true }).unwrap();
    assert_eq!(bench.stage("n1"), Stage::Ready);
    bench.input(Input::ResumeBatch { batch: batch("one") }).unwrap();
    bench.drive("n1", Stage::Fencing);
    bench.input(Input::PauseBatch { batch: batch("one") }).unwrap();
    bench.drive("n1", Stage::Soaking);
}

#[test]
fn a_batch_waits_for_the_one_before_it() {
    let mut bench = Bench::planned(&[("one", &[], &["n1"]), ("two", &["one"], &["n2"])]);
    bench.certify_all();
    for name in ["one", "two"] {
        bench.input(Input::StartBatch { batch: batch(name) }).unwrap();
    }
    bench.drive("n2", Stage::Ready);
    bench.drive("n1", Stage::Probing);
    assert!(bench.stage("n2") == Stage::Ready && !bench.clear_cutovers());
    bench.drive("n1", Stage::Soaking);
    bench.drive("n2", Stage::Fencing);
}

#[test]
fn two_batches_never_cut_over_at_the_same_time() {
    let mut bench = Bench::planned(&[("one", &[], &["n1"]), ("two", &[], &["n2"])]);
    bench.certify_all();
    for name in ["one", "two"] {
        bench.input(Input::StartBatch { batch: batch(name) }).unwrap();
    }
    bench.drive("n2", Stage::Fencing);
    bench.drive("n1", Stage::Ready);
    assert!(!bench.clear_cutovers());
    bench.drive("n2", Stage::Soaking);
    bench.drive("n1", Stage::Fencing);
}

#[test]
fn nodes_that_are_late_leave_and_the_others_commit() {
    let mut bench = Bench::at(Stage::Sealed);
    bench.now = UnixMillis(bench.now.0 + 30_001);
    bench.input(Input::Tick).unwrap();
    assert_eq!((bench.stage("n1"), bench.stage("n2")), (Stage::Promoting, Stage::Unfencing));
    bench.drive("n1", Stage::Soaking);
    assert_eq!(bench.world.batches[&batch("one")].phase, BatchPhase::Soaking);
    bench.drive("n2", Stage::Aborted);
    let n2 = &bench.world.nodes[&node("n2")];
    assert_eq!((n2.shard.as_str(), n2.generation.0), ("a", 3));
}

#[test]
fn a_batch_that_all_nodes_left_is_aborted_while_a_target_is_out_of_reach() {
    let mut bench = Bench::at(Stage::Completing);
    bench.now = UnixMillis(bench.now.0 + 30_001);
    bench.input(Input::Tick).unwrap();
    bench.answer("n1", Outcome::Done);
    assert_eq!(bench.stage("n1"), Stage::Discarding);
    assert_eq!(bench.world.batches[&batch("one")].phase, BatchPhase::Aborted);
}

#[test]
fn a_fence_that_is_lost_too_often_is_undone() {
    let mut bench = Bench::at(Stage::Completing);
    for attempt in 1..=3 {
        bench.drive("n1", Stage::Sealing);
        bench.answer("n1", Outcome::FenceLost { reason: "lease over".to_owned() });
        assert_eq!((bench.stage("n1"), bench.moving("n1").fence_attempts), (Stage::Fencing, attempt));
        assert_eq!(bench.moving("n1").final_state, None);
    }
    bench.answer("n1", Outcome::Refused { reason: "lease over".to_owned() });
    assert_eq!(bench.stage("n1"), Stage::Unfencing);
    let reason = bench.moving("n1").undo_reason.clone().unwrap();
    assert!(reason.contains("4 times") && reason.contains("lease over"), "{reason}");
}

#[test]
fn without_a_router_routing_and_probing_pass_at_once() {
    let mut bench = Bench::started(&["n1"]);
    bench.world.routers.clear();
    bench.drive("n1", Stage::Promoting);
    bench.answer("n1", Outcome::Promoted { seq: 1, snapshots: 0 });
    assert_eq!(bench.stage("n1"), Stage::Retiring);
    bench.answer("n1", Outcome::Done);
    assert_eq!(bench.stage("n1"), Stage::Soaking);
}

/// A journal with all that can happen to a batch of three: damage and a retry, a lost fence, an undo, a commit, a rehearsal,
/// a way back, a release, an old copy that is taken out again, and a takeover.
fn eventful() -> Vec<Event> {
    let mut bench = Bench::started(&["n1", "n2", "n3"]);
    bench.drive("n1", Stage::Copying);
    bench.answer("n1", Outcome::ReplicaFailed { reason: "rot".to_owned(), damaged_at_source: true });
    bench.input(Input::RetryNode { node: node("n1"), accept_damaged: true }).unwrap();
    for name in ["n1", "n2"] {
        bench.drive(name, Stage::Ready);
    }
    bench.drive("n3", Stage::Completing);
    bench.answer("n3", Outcome::FenceLost { reason: "restarted".to_owned() });
    bench.drive("n1", Stage::Sealed);
    bench.drive("n2", Stage::Sealing);
    bench.input(Input::AbortNode { node: node("n2"), reason: "not now".to_owned() }).unwrap();
    bench.drive("n2", Stage::Aborted);
    bench.drive("n3", Stage::Promoting);
    for stage in [Stage::Routing, Stage::Probing, Stage::Soaking] {
        bench.drive("n1", stage);
        bench.drive("n3", stage);
    }
    bench.input(Input::RehearseRollback { node: node("n1") }).unwrap();
    bench.drive("n1", Stage::Soaking);
    bench.roll_back("n1");
    bench.drive("n1", Stage::Completing);
    bench.answer("n1", Outcome::FenceLost { reason: "restarted".to_owned() });
    bench.drive("n1", Stage::RolledBack);
    bench.drive("n3", Stage::Released);
    bench.input(Input::RestoreNode { node: node("n3") }).unwrap();
    bench.drive("n3", Stage::Soaking);
    bench.drive("n3", Stage::Released);
    bench.input(Input::RestoreNode { node: node("n3") }).unwrap();
    bench.drive("n3", Stage::Soaking);
    bench.take_over("n3", 9).unwrap();
    bench.answer("n3", Outcome::StockTaken { state: crate::fixture::state(8) });
    bench.take_over("n3", 8).unwrap();
    bench.drive("n3", Stage::Deposing);
    bench.answer("n3", Outcome::Refused { reason: "disk full".to_owned() });
    bench.input(Input::WriteOffWriter { node: node("n3") }).unwrap();
    assert_eq!(bench.stage("n3"), Stage::RolledBack);
    bench.journal
}

#[test]
fn a_crash_after_any_event_leads_on_to_an_end() {
    let journal = eventful();
    for length in 8..=journal.len() {
        let journal = journal[..length].to_vec();
        let world = Bench::replay(&journal);
        let mut bench = Bench { world, journal, now: UnixMillis(1_000_100), dies_in: None };
        bench.restart();
        if bench.world.plan.is_none() {
            continue;
        }
        bench.certify_missing();
        bench.input(Input::StartBatch { batch: batch("one") }).map_or_else(drop, drop);
        finish(&mut bench);
        let phase = bench.world.batches[&batch("one")].phase;
        assert!(phase.is_over(), "after {:?}: {phase:?}", bench.journal.get(length - 1));
    }
}

/// Good answers to whatever waits for one.
fn finish(bench: &mut Bench) {
    for _ in 0..200 {
        for name in ["n1", "n2", "n3"] {
            if bench.stages().get(name) == Some(&Stage::TakingStock) {
                bench.take_over(name, 8).unwrap();
            }
            bench.input(Input::RetryNode { node: node(name), accept_damaged: true }).map_or_else(drop, drop);
            if let Some(outcome) = bench.good_answer(name) {
                bench.answer(name, outcome);
            }
        }
        bench.input(Input::RoutesConfirmed { version: bench.world.route_version }).unwrap();
        bench.clear_cutovers();
        bench.input(Input::ReleaseBatch { batch: batch("one"), force: false }).map_or_else(drop, drop);
    }
    assert!(bench.stages().values().all(|stage| stage.is_over()), "{:?}", bench.stages());
}
