//! Mutants of the takeover: the exception to INV-05 is exactly as wide as it has to be.

use super::{command, sent, shard, step, with_move, with_node};
use crate::event::Placement;
use crate::fixture::{Bench, node, state};
use crate::invariants::effects::check_routes;
use crate::invariants::{check_effects, check_step, check_world};
use crate::{Command, Direction, Effect, Event, FinalState, Migration, Routed, Stage, World};
use shardlift_model::{Generation, UnixMillis};

fn ids(found: Vec<crate::invariants::Violation>) -> Vec<&'static str> {
    let mut found: Vec<_> = found.into_iter().map(|found| found.invariant).collect();
    found.dedup();
    found
}

/// The world of a takeover at a stage, with one thing changed.
fn mutant(stage: Stage, change: impl FnOnce(&mut Migration)) -> Vec<&'static str> {
    let mut world = Bench::taken_over_at(stage).world;
    assert_eq!(check_world(&world), []);
    with_move(&mut world, change);
    ids(check_world(&world))
}

/// The commit of a takeover, with one thing changed in it or in the world before it.
fn commit(change: impl FnOnce(&mut World, &mut Placement)) -> Vec<&'static str> {
    let bench = Bench::taken_over_at(Stage::Redirecting);
    let at = bench.journal.iter().position(|event| matches!(event, Event::TakeoverCommitted { .. })).unwrap();
    let Event::TakeoverCommitted { mut placement, .. } = bench.journal[at].clone() else { panic!("no commit") };
    let mut before = Bench::replay(&bench.journal[..at]);
    change(&mut before, &mut placement);
    let event = Event::TakeoverCommitted { at: UnixMillis(1), placement };
    let mut after = before.clone();
    after.apply(&event);
    ids(check_step(&before, &event, &after))
}

#[test]
fn a_takeover_of_anything_but_the_accepted_stock_is_seen() {
    assert_eq!(commit(|_, _| ()), [""; 0]);
    assert_eq!(commit(|_, placement| placement.final_state = state(9)), ["INV-05"]);
    assert_eq!(commit(|before, _| with_move(before, |m| m.takeover.as_mut().unwrap().stock = None)), ["INV-05"]);
    assert_eq!(commit(|before, _| with_move(before, |m| m.takeover = None)), ["INV-05"]);
    assert_eq!(commit(|before, _| with_move(before, |m| m.stage = Stage::Sealed)), ["INV-05"]);
    assert_eq!(commit(|before, _| with_move(before, |m| m.direction = Direction::Forward)), ["INV-05"]);
    assert_eq!(commit(|before, _| with_move(before, |m| m.takeover.as_mut().unwrap().after_seq = 9)), ["INV-02"]);
    assert_eq!(commit(|_, placement| placement.shard = shard("c")), ["INV-06"]);
    assert!(commit(|_, placement| placement.generation = Generation(4)).contains(&"INV-06"));
}

#[test]
fn a_takeover_at_another_state_trips_inv_05_and_too_great_a_loss_inv_02() {
    for stage in [Stage::Redirecting, Stage::Promoting, Stage::Probing] {
        assert_eq!(mutant(stage, |m| m.final_state = Some(state(9))), ["INV-05"], "{stage}");
        assert_eq!(mutant(stage, |m| m.takeover.as_mut().unwrap().stock = None), ["INV-05"], "{stage}");
        assert_eq!(mutant(stage, |m| m.takeover.as_mut().unwrap().after_seq = 9), ["INV-02"], "{stage}");
        let damaged = |m: &mut Migration| {
            m.final_state = Some(FinalState { damaged: 1, ..state(8) });
            m.takeover.as_mut().unwrap().stock = m.final_state;
        };
        assert_eq!(mutant(stage, damaged), ["INV-05"], "{stage}");
    }
}

#[test]
fn the_exception_is_for_takeovers_and_for_their_stages_only() {
    let none: fn(&mut Migration) = |m| m.takeover = None;
    assert_eq!(mutant(Stage::TakingStock, none), ["INV-12"]);
    assert_eq!(mutant(Stage::Redirecting, none), ["INV-12"]);
    assert_eq!(mutant(Stage::Promoting, none), ["INV-05"]);
    assert_eq!(mutant(Stage::Probing, none), ["INV-05"]);
    assert_eq!(mutant(Stage::Deposing, none), ["INV-12"]);
    for stage in [Stage::Sealing, Stage::Sealed, Stage::Retiring, Stage::Routing, Stage::Soaking, Stage::Detaching] {
        assert!(mutant(Stage::Promoting, |m| m.stage = stage).contains(&"INV-12"), "{stage}");
    }
    assert_eq!(mutant(Stage::Promoting, |m| m.rehearsal = true), ["INV-12"]);
    assert!(mutant(Stage::Promoting, |m| m.direction = Direction::Forward).contains(&"INV-12"));
    let mut early = Bench::taken_over_at(Stage::TakingStock).world;
    with_node(&mut early, |n| n.shard = shard("a"));
    assert_eq!(ids(check_world(&early)), ["INV-06"]);
}

#[test]
fn commands_of_a_takeover_to_the_wrong_side_or_out_of_turn_are_seen() {
    assert_eq!(command(Stage::TakingStock, "a", Command::TakeStock), [""; 0]);
    assert_eq!(command(Stage::TakingStock, "b", Command::TakeStock), ["INV-01", "INV-12"]);
    assert_eq!(command(Stage::Soaking, "a", Command::TakeStock), ["INV-12"]);
    assert_eq!(command(Stage::Deposing, "b", Command::Depose), [""; 0]);
    assert_eq!(command(Stage::Deposing, "a", Command::Depose), ["INV-07", "INV-12"]);
    assert_eq!(command(Stage::Redirecting, "b", Command::Depose), ["INV-12"]);
    assert_eq!(command(Stage::Detaching, "b", Command::Depose), ["INV-12"]);
    let promote = |seq| Command::Promote { expected: state(seq), follower: shard("b"), settings: None };
    assert_eq!(command(Stage::Redirecting, "a", promote(8)), ["INV-01"]);
    let world = Bench::taken_over_at(Stage::Promoting).world;
    let at = |command: Command| {
        let token = world.token(&world.nodes[&node("n1")]);
        ids(check_effects(&world, &[Effect::Send { node: node("n1"), token, shard: shard("a"), command }]))
    };
    assert_eq!((at(promote(8)), at(promote(9))), (vec![], vec!["INV-05"]));
    let settings = Some(crate::Settings { append_only: true, ..Default::default() });
    let unset = Command::Promote { expected: state(8), follower: shard("b"), settings };
    assert_eq!(at(unset), ["INV-08"], "not what was set");
    let retire = Command::Retire { target: shard("a"), from_seq: 3 };
    assert_eq!(command(Stage::Deposing, "b", retire), ["INV-02"]);
    assert_eq!(sent(Stage::Redirecting, |_, _| ()), [""; 0]);
}

/// The routes at a stage of a takeover, with that of the node changed.
fn routed(stage: Stage, change: impl FnOnce(&mut Routed<'_>)) -> Vec<&'static str> {
    let world = Bench::taken_over_at(stage).world;
    let mut routes = world.routes();
    let name = &world.nodes[&node("n1")].server_name;
    let mut routed = routes[name];
    change(&mut routed);
    routed.shard = world.shards.keys().find(|shard| *shard == routed.shard).unwrap();
    routes.insert(name, routed);
    ids(check_routes(&world, &routes))
}

#[test]
fn routes_that_leave_clients_with_a_former_writer_are_seen() {
    let (former, taker) = (shard("b"), shard("a"));
    for stage in [Stage::Redirecting, Stage::Promoting, Stage::Probing, Stage::Deposing] {
        assert_eq!(routed(stage, |_| ()), [""; 0], "{stage}");
        assert_eq!(routed(stage, |routed| routed.sever = false), ["INV-01"], "{stage}");
        assert_eq!(routed(stage, |routed| routed.token.generation = Generation(4)), ["INV-06"], "{stage}");
    }
    let there = Bench::taken_over_at(Stage::Redirecting).world;
    for to in [&former, &taker] {
        let mut routes = there.routes();
        let name = &there.nodes[&node("n1")].server_name;
        let changed = Routed { shard: to, ..routes[name] };
        routes.insert(name, changed);
        assert_eq!(ids(check_routes(&there, &routes)), if *to == taker { vec![] } else { vec!["INV-06"] });
    }
    let mut unpromoted = Bench::at(Stage::Promoting);
    unpromoted.take_over("n1", 7).unwrap();
    assert_eq!(unpromoted.world.routes().values().next().unwrap().shard.as_str(), "a");
    let routes = [(
        &unpromoted.world.nodes[&node("n1")].server_name,
        Routed { shard: &former, ..*unpromoted.world.routes().values().next().unwrap() },
    )];
    assert_eq!(ids(check_routes(&unpromoted.world, &routes.into())), ["INV-06"]);
    let unsevered = |world: &mut World| with_node(world, |n| n.taken_over = None);
    assert!(step(Stage::Redirecting, unsevered).contains(&"INV-06"), "other routes under the same version");
}
