//! A takeover that this program did not write is refused.

use super::entered;
use crate::event::Placement;
use crate::fixture::{Bench, node, state};
use crate::{Event, FinalState, Stage, Way};
use shardlift_model::{Generation, UnixMillis};

const AT: UnixMillis = UnixMillis(1);

fn started(after_seq: u64) -> Event {
    Event::TakeoverStarted { node: node("n1"), after_seq, reason: String::new(), at: AT }
}

fn stock(seq: u64) -> Event {
    Event::StockTaken { node: node("n1"), state: state(seq) }
}

/// The world before the commit, and the commit.
fn committed() -> (crate::World, Placement) {
    let bench = Bench::taken_over_at(Stage::Redirecting);
    let at = bench.journal.iter().position(|event| matches!(event, Event::TakeoverCommitted { .. })).unwrap();
    let Event::TakeoverCommitted { placement, .. } = bench.journal[at].clone() else { panic!("no commit") };
    (Bench::replay(&bench.journal[..at]), placement)
}

fn commit(placement: &Placement) -> Event {
    Event::TakeoverCommitted { at: AT, placement: placement.clone() }
}

#[test]
fn a_takeover_begins_only_where_the_table_says_so_and_only_once() {
    for stage in Stage::ALL {
        let bench = Bench::at(stage);
        let begins = bench.moving("n1").begins_takeover();
        assert_eq!(bench.world.legal(&started(8)).is_ok(), begins, "{stage}");
        for other in [stock(8), Event::WriterWrittenOff { node: node("n1"), at: AT }] {
            let fits = match other {
                Event::StockTaken { .. } => stage == Stage::TakingStock,
                _ => matches!(stage, Stage::Deposing | Stage::Detaching),
            };
            assert_eq!(bench.world.legal(&other).is_ok(), fits, "{stage} {other:?}");
        }
    }
    for stage in [Stage::TakingStock, Stage::Redirecting, Stage::Promoting, Stage::Probing, Stage::Deposing] {
        let bench = Bench::taken_over_at(stage);
        assert!([0, 8, 9].iter().all(|seq| bench.world.legal(&started(*seq)).is_err()), "{stage}");
    }
    let mut held = Bench::taken_over_at(Stage::TakingStock);
    held.answer("n1", crate::Outcome::StockTaken { state: state(7) });
    assert_eq!(held.world.legal(&started(7)), Ok(()));
    assert!(held.world.legal(&started(8)).is_err(), "no less may be given up than before");
    let mut released = Bench::at(Stage::Soaking);
    let phase = &mut released.world.batches.get_mut(&"one".parse().unwrap()).unwrap().phase;
    *phase = crate::BatchPhase::Released;
    assert!(released.world.legal(&started(8)).is_err());
}

#[test]
fn a_former_writer_is_written_off_once_and_only_where_it_is_waited_for() {
    let written_off = || Event::WriterWrittenOff { node: node("n1"), at: AT };
    let back = [Stage::Sealing, Stage::Promoting, Stage::Retiring, Stage::Routing, Stage::Probing, Stage::Detaching];
    for stage in back {
        let mut bench = Bench::back_at(stage);
        let waits = matches!(stage, Stage::Retiring | Stage::Detaching);
        assert_eq!(bench.world.legal(&written_off()).is_ok(), waits, "{stage}");
        if waits {
            bench.record(&written_off());
            assert!(bench.world.legal(&written_off()).is_err(), "{stage}");
        }
    }
}

#[test]
fn a_stage_of_a_takeover_follows_only_where_the_table_says_so() {
    for stage in [Stage::TakingStock, Stage::Redirecting, Stage::Promoting, Stage::Probing, Stage::Deposing] {
        let bench = Bench::taken_over_at(stage);
        for next in Stage::ALL {
            let legal = bench.world.legal(&entered(&bench, next)).is_ok();
            // All others wait for an answer, which is not recorded here, or for the commit.
            let follows = [
                (Stage::Redirecting, Stage::Promoting),
                (Stage::Probing, Stage::Deposing),
                (Stage::Deposing, Stage::RolledBack),
            ];
            assert_eq!(legal, follows.contains(&(stage, next)), "{stage} -> {next}");
            assert!(!legal || stage.allowed(Way::WithoutWriter).any(|allowed| allowed == next));
        }
    }
    for (stage, next) in [(Stage::Soaking, Stage::TakingStock), (Stage::Soaking, Stage::Redirecting)] {
        let bench = Bench::at(stage);
        assert!(bench.world.legal(&entered(&bench, next)).is_err());
    }
}

#[test]
fn a_stock_is_named_once_with_no_less_than_was_accepted() {
    let bench = Bench::taken_over_at(Stage::TakingStock);
    assert!(bench.world.legal(&stock(7)).is_err());
    assert_eq!(bench.world.legal(&stock(9)), Ok(()));
    let damaged = Event::StockTaken { node: node("n1"), state: FinalState { damaged: 1, ..state(8) } };
    assert!(bench.world.legal(&damaged).is_err());
    assert!(bench.world.legal(&Event::FinalStateNamed { node: node("n1"), state: state(8) }).is_err());
    assert!(bench.world.legal(&Event::ReplicaVerified { node: node("n1"), state: state(8) }).is_err());
    let mut world = bench.world.clone();
    world.apply(&stock(8));
    assert!(world.legal(&stock(8)).is_err());
}

#[test]
fn only_the_takeover_of_what_was_named_is_legal() {
    let (world, placement) = committed();
    assert_eq!(world.legal(&commit(&placement)), Ok(()));
    let changes: [fn(&mut Placement); 6] = [
        |placement| placement.final_state = FinalState { objects: 1, ..state(8) },
        |placement| placement.final_state = state(9),
        |placement| placement.generation = Generation(4),
        |placement| placement.generation = Generation(6),
        |placement| placement.shard = "b".parse().unwrap(),
        |placement| placement.node = node("n9"),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut placement = placement.clone();
        change(&mut placement);
        assert!(world.legal(&commit(&placement)).is_err(), "change {number}");
    }
    let batch = Event::BatchCommitted { batch: "one".parse().unwrap(), at: AT, placements: vec![placement.clone()] };
    assert!(world.legal(&batch).is_err(), "not as the commit of a batch");
    let back = Event::RollbackCommitted { at: AT, placements: vec![placement.clone()] };
    assert!(world.legal(&back).is_err(), "nor as that of a way back with the writer");
    let changes: [fn(&mut crate::Migration); 6] = [
        |moving| moving.takeover = None,
        |moving| moving.takeover.as_mut().unwrap().stock = None,
        |moving| moving.takeover.as_mut().unwrap().after_seq = 9,
        |moving| moving.direction = crate::Direction::Forward,
        |moving| moving.stage = Stage::Sealed,
        |moving| moving.reenter = true,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut world = world.clone();
        change(world.nodes.get_mut(&node("n1")).unwrap().migration.as_mut().unwrap());
        assert!(world.legal(&commit(&placement)).is_err(), "change {number} of the world");
    }
}

#[test]
fn a_way_back_with_the_writer_is_never_committed_by_one_side() {
    let bench = Bench::back_at(Stage::Sealing);
    let mut world = bench.world;
    let moving = world.nodes.get_mut(&node("n1")).unwrap().migration.as_mut().unwrap();
    moving.stage = Stage::Sealed;
    let known = &world.nodes[&node("n1")];
    let placement = known.new_placement(known.migration.as_ref().unwrap()).unwrap();
    assert!(world.legal(&commit(&placement)).is_err());
    assert_eq!(world.legal(&Event::RollbackCommitted { at: AT, placements: vec![placement] }), Ok(()));
}
