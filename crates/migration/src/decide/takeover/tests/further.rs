//! What goes with a takeover: former writers that are written off, whole batches, and what was set for a node.

use super::{route, said, take_over, write_off};
use crate::fixture::{Bench, batch, node};
use crate::{BatchPhase, Command, Effect, Event, Input, Outcome, Settings, Stage};
use expect_test::expect;
use shardlift_model::{ByteCount, Generation};
use std::fmt::Write as _;

#[test]
fn a_target_that_dies_after_the_commit_of_a_way_back_is_written_off() {
    for stage in [Stage::Retiring, Stage::Detaching] {
        for held in [false, true] {
            let mut bench = Bench::back_at(stage);
            let version = bench.world.route_version;
            if held {
                bench.answer("n1", Outcome::Refused { reason: "no such node here".to_owned() });
                let advice = &bench.moving("n1").held.as_ref().unwrap().advice;
                assert!(advice.contains("`shardlift node write-off n1`"), "{advice}");
            }
            let commands = |bench: &Bench| bench.effects().into_iter().any(|e| matches!(e, Effect::Send { .. }));
            bench.input(write_off()).unwrap();
            assert!(!commands(&bench), "nobody asks the target for anything any more");
            assert_eq!(said(&bench, &write_off()), "done already");
            assert_eq!(route(&bench).0, "a");
            if stage == Stage::Retiring {
                assert_eq!(bench.stage("n1"), Stage::Routing, "that routers lead away from it is waited for");
                bench.input(Input::RoutesConfirmed { version }).unwrap();
                bench.drive("n1", Stage::RolledBack);
            }
            assert_eq!((bench.stage("n1"), bench.moving("n1").held.as_ref()), (Stage::RolledBack, None));
            assert_eq!(bench.world.batches[&batch("one")].phase, BatchPhase::RolledBack);
            assert_eq!(bench.moving("n1").takeover, None, "nothing was lost");
            assert_eq!(bench.world.route_version, version);
            let told = crate::explain(&bench.world, &node("n1"), bench.now).unwrap();
            assert!(told.why.contains("nothing was lost, and `b` was written off"), "{told:?}");
        }
    }
}

#[test]
fn a_seal_is_never_written_off() {
    let mut table = String::new();
    for stage in [Stage::Sealing, Stage::Promoting, Stage::Routing, Stage::Probing, Stage::Unfencing] {
        writeln!(table, "{stage}: {}", said(&Bench::back_at(stage), &write_off())).unwrap();
    }
    expect![[r#"
        sealing: node `n1` did not go back: nobody waits for a former writer of it; when its writer is gone for good, roll it back: `shardlift node rollback n1` says what is lost by that
        promoting: node `n1` goes back, and `b` is not waited for right now; try again when `shardlift node explain n1` says that it waits for `b`
        routing: node `n1` goes back, and `b` is not waited for right now; try again when `shardlift node explain n1` says that it waits for `b`
        probing: node `n1` goes back, and `b` is not waited for right now; try again when `shardlift node explain n1` says that it waits for `b`
        unfencing: node `n1` did not go back: nobody waits for a former writer of it; when its writer is gone for good, roll it back: `shardlift node rollback n1` says what is lost by that
    "#]].assert_eq(&table);
}

#[test]
fn a_batch_goes_back_with_the_losses_that_are_named_or_not_at_all() {
    let all = ["n1", "n2", "n3"];
    let mut bench = Bench::started(&all);
    all.iter().for_each(|name| bench.drive(name, Stage::Ready));
    all.iter().zip([Stage::Sealed, Stage::Sealed, Stage::Promoting]).for_each(|(name, stage)| bench.drive(name, stage));
    all.iter().for_each(|name| bench.drive(name, Stage::Soaking));
    let back = |losses: &[(&str, u64)]| {
        let losses = losses.iter().map(|(name, after_seq)| (node(name), *after_seq)).collect();
        Input::RollBackBatch { batch: batch("one"), reason: "b burnt".to_owned(), losses }
    };
    assert!(said(&bench, &back(&[("n1", 8), ("n9", 8)])).contains("`n9` has no move in batch `one`"));
    let mut one_sealed = bench.clone();
    one_sealed.roll_back("n3");
    one_sealed.drive("n3", Stage::Sealing);
    let refused = said(&one_sealed, &back(&[("n1", 8), ("n3", 8)]));
    assert!(refused.contains("`n3` cannot be taken over"), "{refused}");
    bench.input(back(&[("n1", 8), ("n3", 7)])).unwrap();
    let given_up = |bench: &Bench| all.map(|name| bench.moving(name).takeover.as_ref().map(|t| t.after_seq));
    assert_eq!(given_up(&bench), [Some(8), None, Some(7)]);
    assert_eq!(all.map(|name| bench.stage(name)), [Stage::TakingStock, Stage::Fencing, Stage::TakingStock]);
    for again in [back(&[]), back(&[("n1", 8), ("n3", 7)]), back(&[("n1", 9)])] {
        assert_eq!(said(&bench, &again), "done already");
    }
    for stage in [Stage::Retiring, Stage::RolledBack] {
        bench.drive("n2", stage);
        assert_eq!(said(&bench, &back(&[("n1", 8), ("n2", 3)])), "done already", "{stage}");
    }
    all.iter().for_each(|name| bench.drive(name, Stage::RolledBack));
    assert_eq!(bench.world.batches[&batch("one")].phase, BatchPhase::RolledBack);
    assert_eq!(said(&bench, &back(&[("n1", 8)])), "done already");
}

#[test]
fn a_node_is_served_after_a_takeover_as_it_was_set_before() {
    let mut bench = Bench::at(Stage::Soaking);
    let generation = |bench: &Bench| bench.world.nodes[&node("n1")].generation;
    let set = |bench: &mut Bench, quota| {
        let settings = Settings { quota: Some(ByteCount(quota)), append_only: true, ..Settings::default() };
        let generation = generation(bench);
        bench.input(Input::RecordSettings { node: node("n1"), generation, settings })
    };
    set(&mut bench, 5).unwrap();
    set(&mut bench, 5).unwrap();
    let changes = |bench: &Bench| bench.journal.iter().filter(|e| matches!(e, Event::SettingsChanged { .. })).count();
    assert_eq!(changes(&bench), 1, "what is recorded is not recorded again");
    let late = Input::RecordSettings { node: node("n1"), generation: Generation(3), settings: Settings::default() };
    assert!(said(&bench, &late).contains("it changes hands"), "of a placement that is over");
    let promoted = |bench: &Bench| {
        bench.effects().into_iter().find_map(|effect| match effect {
            Effect::Send { command: Command::Promote { settings, .. }, .. } => Some(settings.and_then(|s| s.quota)),
            _ => None,
        })
    };
    let mut with_its_writer = bench.clone();
    with_its_writer.roll_back("n1");
    assert!(set(&mut with_its_writer, 6).unwrap_err().message.contains("changes hands"));
    with_its_writer.drive("n1", Stage::Promoting);
    assert_eq!(promoted(&with_its_writer), Some(None), "they came with the last changes");
    bench.input(take_over(8)).unwrap();
    assert!(set(&mut bench, 6).is_err());
    bench.drive("n1", Stage::Promoting);
    assert_eq!(promoted(&bench), Some(Some(ByteCount(5))));
    bench.drive("n1", Stage::Deposing);
    set(&mut bench, 6).unwrap();
}
