//! Mutants: each checker sees the one thing that was broken.

mod back;
mod takeover;

use super::effects::check_routes;
use super::{check_effects, check_step, check_world};
use crate::fixture::{Bench, node, state};
use crate::{Command, Effect, Event, FinalState, Routed, Stage, World, effects};
use shardlift_model::{Generation, ShardId, Step, Term};

fn shard(name: &str) -> ShardId {
    name.parse().unwrap()
}

/// The world at a stage, with one thing changed.
fn mutant(stage: Stage, change: impl FnOnce(&mut World)) -> Vec<&'static str> {
    let mut world = Bench::at(stage).world;
    assert_eq!(check_world(&world), []);
    change(&mut world);
    check_world(&world).into_iter().map(|found| found.invariant).collect()
}

fn with_node(world: &mut World, change: impl FnOnce(&mut crate::Node)) {
    change(world.nodes.get_mut(&node("n1")).unwrap());
}

fn with_move(world: &mut World, change: impl FnOnce(&mut crate::Migration)) {
    with_node(world, |node| change(node.migration.as_mut().unwrap()));
}

#[test]
fn a_commit_at_an_unverified_state_trips_inv_05() {
    let other = Some(FinalState { seq: 8, ..state(7) });
    let seen = |found: Vec<&str>| assert_eq!(found, ["INV-05"]);
    seen(mutant(Stage::Probing, |world| with_move(world, |m| m.final_state = None)));
    seen(mutant(Stage::Sealed, |world| with_move(world, |m| m.verified = other)));
    seen(mutant(Stage::Promoting, |world| {
        with_move(world, |m| {
            m.final_state = Some(FinalState { damaged: 1, ..state(7) });
            m.verified = m.final_state;
        });
    }));
}

#[test]
fn a_placement_that_does_not_fit_the_stage_trips_inv_06() {
    assert_eq!(mutant(Stage::Fencing, |world| with_node(world, |n| n.shard = shard("b"))), ["INV-06"]);
    assert_eq!(mutant(Stage::Probing, |world| with_node(world, |n| n.shard = shard("a"))), ["INV-06"]);
}

#[test]
fn a_server_name_with_two_nodes_trips_inv_06() {
    let found = mutant(Stage::Ready, |world| {
        let name = world.nodes[&node("n2")].server_name.clone();
        with_node(world, |node| node.server_name = name);
    });
    assert!(!found.is_empty() && found.iter().all(|id| *id == "INV-06"));
    assert_eq!(mutant(Stage::Ready, |world| world.server_names.clear()), ["INV-06"]);
}

#[test]
fn a_move_that_its_batch_does_not_name_trips_inv_12() {
    assert_eq!(mutant(Stage::Copying, |world| world.batches.clear()), ["INV-12"]);
}

#[test]
fn two_batches_that_park_clients_trip_inv_12() {
    let found = mutant(Stage::Sealed, |world| {
        let mut other = world.batches.values().next().unwrap().clone();
        other.batch = "two".parse().unwrap();
        world.batches.insert(other.batch.clone(), other);
        with_move(world, |m| m.batch = "two".parse().unwrap());
    });
    assert_eq!(found, ["INV-12"]);
}

/// The effects at a stage, with one added or changed.
fn sent(stage: Stage, change: impl FnOnce(&World, &mut Vec<Effect>)) -> Vec<&'static str> {
    let world = Bench::at(stage).world;
    let mut sent = effects(&world);
    assert_eq!(check_effects(&world, &sent), []);
    change(&world, &mut sent);
    check_effects(&world, &sent).into_iter().map(|found| found.invariant).collect()
}

/// A command of the present token, to this shard.
fn command(stage: Stage, to: &str, command: Command) -> Vec<&'static str> {
    sent(stage, |world, sent| {
        let token = world.token(&world.nodes[&node("n1")]);
        sent.clear();
        sent.push(Effect::Send { node: node("n1"), token, shard: shard(to), command });
    })
}

fn promote(seq: u64) -> Command {
    Command::Promote { expected: state(seq), follower: shard("a"), settings: None }
}

fn retire(from_seq: u64) -> Command {
    Command::Retire { target: shard("b"), from_seq }
}

#[test]
fn commands_to_the_wrong_side_are_seen() {
    assert_eq!(command(Stage::Promoting, "b", Command::DiscardReplica), ["INV-07", "INV-12"]);
    assert_eq!(command(Stage::Ready, "b", Command::DiscardReplica), ["INV-12"]);
    assert_eq!(command(Stage::Discarding, "a", Command::DiscardReplica), ["INV-07", "INV-12"]);
    assert_eq!(command(Stage::Promoting, "a", Command::Unfence), ["INV-01", "INV-12"]);
    assert_eq!(command(Stage::Sealing, "a", Command::Unfence), ["INV-12"]);
    assert_eq!(command(Stage::Sealing, "b", promote(7)), ["INV-01"]);
    assert_eq!(command(Stage::Promoting, "b", promote(8)), ["INV-05"]);
    assert_eq!(command(Stage::Sealing, "a", Command::Seal { expected: state(8) }), ["INV-05"]);
    assert_eq!(
        command(Stage::Promoting, "b", Command::Promote { expected: state(7), follower: shard("c"), settings: None }),
        ["INV-12"]
    );
    assert_eq!(command(Stage::Retiring, "b", retire(3)), ["INV-01"]);
    assert_eq!(command(Stage::Ready, "a", Command::Fence), ["INV-12"]);
    assert_eq!(command(Stage::Soaking, "b", Command::EndLegacyCredentials), ["INV-09"]);
    assert_eq!(command(Stage::Soaking, "b", Command::VerifyReplica), ["INV-01"]);
    assert_eq!(command(Stage::Offering, "c", Command::Offer { target: shard("b") }), ["INV-12"]);
}

#[test]
fn an_effect_for_a_node_that_does_not_move_trips_inv_12() {
    let found = sent(Stage::Copying, |_, sent| {
        if let Some(Effect::WatchReplica { node, .. }) = sent.first_mut() {
            *node = "other".parse().unwrap();
        }
    });
    assert_eq!(found, ["INV-12"]);
}

#[test]
fn another_token_or_two_commands_under_one_trip_inv_03() {
    let found = sent(Stage::Offering, |_, sent| {
        if let Some(Effect::Send { token, .. }) = sent.first_mut() {
            token.step = Step(99);
        }
    });
    assert_eq!(found, ["INV-03"]);
    assert_eq!(sent(Stage::Offering, |_, sent| sent.insert(0, sent[0].clone())), ["INV-03"]);
}

#[test]
fn routes_of_another_version_trip_inv_06() {
    assert_eq!(sent(Stage::Ready, |_, sent| sent.push(Effect::SyncRouters { version: 1000 })), ["INV-06"]);
}

#[test]
fn routes_to_an_unpromoted_target_trip_inv_06() {
    for bench in [Bench::at(Stage::Promoting), Bench::back_at(Stage::Promoting)] {
        let world = bench.world;
        let known = &world.nodes[&node("n1")];
        let seen = |change: &dyn Fn(&mut crate::Routed<'_>)| -> Vec<_> {
            let mut routes = world.routes();
            let mut routed = routes[&known.server_name];
            change(&mut routed);
            routed.shard = world.shards.keys().find(|shard| *shard == routed.shard).unwrap();
            routes.insert(&known.server_name, routed);
            check_routes(&world, &routes).into_iter().map(|found| found.invariant).collect()
        };
        assert_eq!(seen(&|_| ()), [""; 0]);
        let there = shard(known.shard.as_str());
        let mut routes = world.routes();
        let routed = Routed { shard: &there, ..routes[&known.server_name] };
        routes.insert(&known.server_name, routed);
        assert_eq!(check_routes(&world, &routes).len(), 1);
        assert_eq!(seen(&|routed| routed.token.generation = known.generation), ["INV-06"]);
        assert_eq!(check_routes(&world, &std::collections::BTreeMap::new()).len(), 1);
    }
    let mut early = Bench::at(Stage::Promoting).world;
    with_move(&mut early, |m| m.stage = Stage::Retiring);
    let before = Bench::at(Stage::Promoting).world;
    let event = Event::LeadershipTaken { term: Term(1) };
    assert!(check_step(&before, &event, &early).iter().any(|found| found.what.contains("same version")));
}

/// What is seen between a world and a changed copy of it, with an event that changes nothing between them.
fn step(stage: Stage, change: impl FnOnce(&mut World)) -> Vec<&'static str> {
    let before = Bench::at(stage).world;
    let mut after = before.clone();
    change(&mut after);
    let event = Event::LeadershipTaken { term: Term(1) };
    let mut found: Vec<_> = check_step(&before, &event, &after).into_iter().map(|found| found.invariant).collect();
    found.dedup();
    found
}

#[test]
fn tokens_that_shrink_or_stand_still_trip_inv_03() {
    assert!(step(Stage::Copying, |world| with_node(world, |n| n.step = Step(0))).contains(&"INV-03"));
    assert!(step(Stage::Copying, |world| with_move(world, |m| m.stage = Stage::CatchingUp)).contains(&"INV-03"));
    assert!(step(Stage::Copying, |world| world.term = Term(0)).contains(&"INV-03"));
    assert!(step(Stage::Promoting, |world| with_move(world, |m| m.sealed_step = Some(Step(0)))).contains(&"INV-03"));
    let other_command = |world: &mut World| with_move(world, |m| m.accept_damaged = true);
    assert!(step(Stage::Starting, other_command).contains(&"INV-03"));
}

#[test]
fn a_placement_without_its_commit_is_seen() {
    assert!(step(Stage::Sealed, |world| with_node(world, |n| n.generation = Generation(9))).contains(&"INV-06"));
    let bench = Bench::at(Stage::Promoting);
    let at = bench.journal.iter().position(|event| matches!(event, Event::BatchCommitted { .. })).unwrap();
    let before = Bench::replay(&bench.journal[..at]);
    let commit = |change: &dyn Fn(&mut World, &mut Event)| {
        let (mut before, mut event) = (before.clone(), bench.journal[at].clone());
        change(&mut before, &mut event);
        let mut after = before.clone();
        after.apply(&event);
        let mut found: Vec<_> = check_step(&before, &event, &after).into_iter().map(|found| found.invariant).collect();
        found.dedup();
        found
    };
    assert_eq!(commit(&|_, _| ()), [""; 0]);
    assert_eq!(commit(&|before, _| with_move(before, |m| m.stage = Stage::Sealing)), ["INV-05"]);
    assert_eq!(commit(&|before, _| with_move(before, |m| m.verified = None)), ["INV-05"]);
    let second = |_: &mut World, event: &mut Event| {
        if let Event::BatchCommitted { placements, .. } = event {
            placements[0].generation = Generation(5);
        }
    };
    assert_eq!(commit(&second), ["INV-06"]);
}

#[test]
fn an_event_that_touches_another_node_trips_inv_12() {
    assert_eq!(step(Stage::Copying, |world| with_move(world, |m| m.undo_reason = Some("x".to_owned()))), ["INV-12"]);
    assert_eq!(step(Stage::Copying, |world| drop(world.nodes.remove(&node("n1")))), ["INV-12", "INV-06"]);
}

#[test]
fn routes_that_change_under_their_version_trip_inv_06() {
    let renamed = |world: &mut World| with_node(world, |n| n.server_name = "other.example".parse().unwrap());
    assert!(step(Stage::Ready, renamed).contains(&"INV-06"));
    assert!(step(Stage::Ready, |world| world.route_version = 0).contains(&"INV-06"));
}
