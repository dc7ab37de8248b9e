//! Mutants of the way back, of the soak and of old copies.

use super::{command, retire, sent, shard, with_move};
use crate::fixture::{Bench, node, plan, state};
use crate::invariants::{check_effects, check_step, check_world};
use crate::{Command, Direction, Effect, Event, Input, Stage, World, effects};
use shardlift_model::UnixMillis;

/// The world before the commit of a way back, the commit, and what a changed copy of both shows.
fn commit_back(change: impl FnOnce(&mut World, &mut Event)) -> Vec<&'static str> {
    let bench = Bench::back_at(Stage::Promoting);
    let at = bench.journal.iter().position(|event| matches!(event, Event::RollbackCommitted { .. })).unwrap();
    let (mut before, mut event) = (Bench::replay(&bench.journal[..at]), bench.journal[at].clone());
    change(&mut before, &mut event);
    let mut after = before.clone();
    after.apply(&event);
    let mut found: Vec<_> = check_step(&before, &event, &after).into_iter().map(|found| found.invariant).collect();
    found.extend(check_world(&after).into_iter().map(|found| found.invariant));
    found.dedup();
    found
}

#[test]
fn a_way_back_that_leaves_out_what_protects_it_is_seen() {
    assert_eq!(commit_back(|_, _| ()), [""; 0]);
    let without_fence = |before: &mut World, _: &mut Event| with_move(before, |m| m.stage = Stage::Soaking);
    assert_eq!(commit_back(without_fence), ["INV-05"]);
    let unseen = |before: &mut World, _: &mut Event| with_move(before, |m| m.verified = Some(state(8)));
    assert_eq!(commit_back(unseen), ["INV-05"]);
    let elsewhere = |_: &mut World, event: &mut Event| {
        if let Event::RollbackCommitted { placements, .. } = event {
            placements[0].shard = shard("c");
        }
    };
    assert_eq!(commit_back(elsewhere), ["INV-06"]);
    let same_generation = |before: &mut World, event: &mut Event| {
        if let Event::RollbackCommitted { placements, .. } = event {
            placements[0].generation = before.nodes[&node("n1")].generation;
        }
    };
    assert_eq!(commit_back(same_generation), ["INV-03", "INV-06"]);
    assert_eq!(commit_back(|before, _| with_move(before, |m| m.rehearsal = true)), ["INV-06", "INV-12"]);
}

#[test]
fn a_rehearsal_that_seals_trips_inv_12() {
    let mut bench = Bench::at(Stage::Soaking);
    bench.input(Input::RehearseRollback { node: node("n1") }).unwrap();
    bench.drive("n1", Stage::Completing);
    let mut world = bench.world;
    with_move(&mut world, |m| {
        m.stage = Stage::Sealing;
        m.verified = m.final_state;
    });
    let found: Vec<_> = check_world(&world).into_iter().map(|found| found.invariant).collect();
    assert_eq!(found, ["INV-12"]);
    let found: Vec<_> = check_effects(&world, &effects(&world)).into_iter().map(|found| found.what).collect();
    assert!(found.len() == 1 && found[0].contains("rehearsal"), "{found:?}");
}

#[test]
fn a_way_back_after_an_undo_trips_inv_06() {
    let begin = |stage: Stage| {
        let mut world = Bench::at(stage).world;
        let event =
            Event::RollbackStarted { node: node("n1"), reason: String::new(), rehearsal: false, at: UnixMillis(1) };
        assert!(world.legal(&event).is_err());
        world.apply(&event);
        check_world(&world).into_iter().map(|found| found.invariant).collect::<Vec<_>>()
    };
    assert_eq!(begin(Stage::Aborted), ["INV-06"]);
    assert_eq!(begin(Stage::RolledBack), ["INV-06"]);
    let mut world = Bench::at(Stage::Aborted).world;
    world.apply(&Event::RestoreStarted { node: node("n1"), at: UnixMillis(1) });
    assert_eq!(check_world(&world).into_iter().map(|found| found.invariant).collect::<Vec<_>>(), ["INV-06"]);
}

#[test]
fn a_placement_that_does_not_fit_the_direction_trips_inv_06() {
    for stage in [Stage::Fencing, Stage::Promoting, Stage::Unfencing, Stage::Resuming] {
        let mut world = Bench::back_at(stage).world;
        assert_eq!(check_world(&world), []);
        with_move(&mut world, |m| m.direction = Direction::Forward);
        let found: Vec<_> = check_world(&world).into_iter().map(|found| found.invariant).collect();
        // The undo of a way back and a restoration end alike: the target serves in both.
        assert_eq!(found, if stage == Stage::Resuming { vec![] } else { vec!["INV-06"] }, "{stage}");
    }
}

#[test]
fn a_copy_is_put_aside_only_in_its_turn_and_never_the_writers() {
    assert_eq!(command(Stage::Quarantining, "b", Command::Quarantine), ["INV-07", "INV-12"]);
    assert_eq!(command(Stage::Soaking, "a", Command::Quarantine), ["INV-12"]);
    assert_eq!(command(Stage::Detaching, "a", Command::Detach), ["INV-07", "INV-12"]);
    assert_eq!(command(Stage::Soaking, "a", Command::Detach), ["INV-12"]);
    assert_eq!(command(Stage::Restoring, "b", Command::Restore), ["INV-07", "INV-12"]);
    assert_eq!(command(Stage::Soaking, "a", Command::Restore), ["INV-12"]);
    assert_eq!(command(Stage::Resuming, "b", resume("a")), ["INV-01", "INV-12"]);
    assert_eq!(command(Stage::Resuming, "a", resume("c")), ["INV-12"]);
    assert_eq!(command(Stage::Soaking, "a", resume("b")), ["INV-12"]);
}

fn resume(source: &str) -> Command {
    Command::StartReplica { source: shard(source), accept_damaged: false }
}

#[test]
fn a_giver_that_is_retired_before_the_promotion_or_follows_from_elsewhere_trips_inv_02() {
    assert_eq!(command(Stage::Promoting, "a", retire(3)), ["INV-02"]);
    assert_eq!(command(Stage::Retiring, "a", retire(4)), ["INV-02"]);
    assert_eq!(command(Stage::Retiring, "a", retire(3)), [""; 0]);
}

#[test]
fn an_old_copy_is_never_discarded() {
    let mut bench = Bench::at(Stage::RolledBack);
    bench.apply_plan(plan(2, 1, &[("again", &[], &["n1"])])).unwrap();
    bench.input(Input::StartBatch { batch: "again".parse().unwrap() }).unwrap();
    bench.drive("n1", Stage::Copying);
    bench.input(Input::AbortNode { node: node("n1"), reason: String::new() }).unwrap();
    assert_eq!(bench.stage("n1"), Stage::Discarding);
    let mut sent = bench.effects();
    assert!(matches!(&sent[0], Effect::Send { shard, command: Command::Detach, .. } if shard.as_str() == "b"));
    if let Effect::Send { command, .. } = &mut sent[0] {
        *command = Command::DiscardReplica;
    }
    let found: Vec<_> = check_effects(&bench.world, &sent).into_iter().map(|found| found.invariant).collect();
    assert_eq!(found, ["INV-07"]);
    bench.drive("n1", Stage::Aborted);
}

#[test]
fn asking_about_what_is_not_ready_or_not_its_own_trips_inv_12() {
    let ask = |idle| Effect::AskCutover { batch: "one".parse().unwrap(), idle };
    assert_eq!(sent(Stage::Copying, |_, sent| sent.push(ask(Some(vec![])))), [""; 0]);
    assert_eq!(sent(Stage::Soaking, |_, sent| sent.push(ask(None))), ["INV-12"]);
    assert_eq!(sent(Stage::Copying, |_, sent| sent.push(ask(Some(vec![(node("n1"), shard("b"))])))), ["INV-12"]);
    assert_eq!(sent(Stage::Copying, |_, sent| sent.push(ask(Some(vec![(node("n9"), shard("a"))])))), ["INV-12"]);
}

#[test]
fn a_follower_taken_for_the_writer_trips_inv_01() {
    let found = sent(Stage::Soaking, |_, sent| {
        if let Some(Effect::WatchSoak { writer, follower, .. }) = sent.first_mut() {
            std::mem::swap(writer, follower);
        }
    });
    assert_eq!(found, ["INV-01"]);
}
