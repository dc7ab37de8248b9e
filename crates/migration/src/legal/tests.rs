//! A journal that this program did not write is refused.

use crate::fixture::{Bench, batch, node, state};
use crate::node::Held;
use crate::{Event, FinalState, Stage};
use shardlift_model::{Generation, Step, Term, UnixMillis};

fn entered(bench: &Bench, stage: Stage) -> Event {
    let step = bench.world.nodes[&node("n1")].next_step();
    Event::StageEntered { node: node("n1"), stage, step, at: UnixMillis(1) }
}

#[test]
fn a_stage_follows_only_where_the_table_says_so() {
    for stage in Stage::ALL {
        let bench = Bench::at(stage);
        for next in Stage::ALL.into_iter().filter(|next| !stage.followers().contains(next)) {
            assert!(bench.world.legal(&entered(&bench, next)).is_err(), "{stage} -> {next}");
        }
    }
}

#[test]
fn gates_stand_before_stages() {
    for (stage, next) in [
        (Stage::Planned, Stage::Offering),
        (Stage::Planned, Stage::Aborted),
        (Stage::Copying, Stage::Starting),
        (Stage::Copying, Stage::Discarding),
        (Stage::Verifying, Stage::AwaitingCertificate),
        (Stage::AwaitingCertificate, Stage::Ready),
        (Stage::Ready, Stage::Fencing),
        (Stage::Fencing, Stage::Fencing),
        (Stage::Fencing, Stage::Completing),
        (Stage::Completing, Stage::Sealing),
        (Stage::Sealed, Stage::Promoting),
        (Stage::Sealed, Stage::Unfencing),
        (Stage::Promoting, Stage::Promoting),
        (Stage::Soaking, Stage::Releasing),
    ] {
        let bench = Bench::at(stage);
        assert!(bench.world.legal(&entered(&bench, next)).is_err(), "{stage} -> {next}");
    }
}

#[test]
fn steps_terms_and_route_versions_grow_by_what_they_should() {
    let bench = Bench::at(Stage::Offering);
    assert_eq!(bench.world.legal(&entered(&bench, Stage::Starting)), Ok(()));
    for step in [0, 1, 3, u64::MAX] {
        let event =
            Event::StageEntered { node: node("n1"), stage: Stage::Starting, step: Step(step), at: UnixMillis(1) };
        assert!(bench.world.legal(&event).is_err(), "{step}");
    }
    assert!(bench.world.legal(&Event::LeadershipTaken { term: Term(1) }).is_err());
    for route_version in [0, 1, 3] {
        let event = Event::NodeFound {
            node: node("x"),
            customer: "x".parse().unwrap(),
            server_name: "x.backup.example".parse().unwrap(),
            shard: "a".parse().unwrap(),
            generation: Generation(1),
            route_version,
        };
        assert!(bench.world.legal(&event).is_err(), "{route_version}");
    }
}

#[test]
fn only_the_commit_that_was_sealed_is_legal() {
    let done = Bench::at(Stage::Promoting);
    let at = done.journal.iter().position(|event| matches!(event, Event::BatchCommitted { .. })).unwrap();
    let world = Bench::replay(&done.journal[..at]);
    let commit = &done.journal[at];
    assert_eq!(world.legal(commit), Ok(()));
    let changes: [fn(&mut Vec<crate::event::Placement>, &mut u64); 7] = [
        |placements, _| placements.clear(),
        |placements, _| placements.push(placements[0].clone()),
        |placements, _| placements[0].final_state = FinalState { objects: 1, ..state(7) },
        |placements, _| placements[0].generation = Generation(3),
        |placements, _| placements[0].generation = Generation(5),
        |placements, _| placements[0].shard = "c".parse().unwrap(),
        |_, version| *version += 1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut event = commit.clone();
        if let Event::BatchCommitted { placements, route_version, .. } = &mut event {
            change(placements, route_version);
        }
        assert!(world.legal(&event).is_err(), "change {number}");
    }
    let early = Bench::replay(&done.journal[..at - 1]);
    assert!(early.legal(commit).is_err(), "not sealed yet");
    assert!(done.world.legal(commit).is_err(), "twice");
}

#[test]
fn facts_that_do_not_fit_the_stage_are_illegal() {
    let held = Held { reason: String::new(), advice: String::new(), since: UnixMillis(1) };
    let name = || node("n1");
    let reason = String::new;
    for (stage, event) in [
        (Stage::Fencing, Event::MoveHeld { node: name(), held: held.clone() }),
        (Stage::Sealed, Event::MoveHeld { node: name(), held: held.clone() }),
        (Stage::Soaking, Event::MoveHeld { node: name(), held }),
        (Stage::Copying, Event::MoveRetried { node: name(), accept_damaged: false }),
        (Stage::Copying, Event::FenceLost { node: name(), reason: reason() }),
        (Stage::Sealed, Event::FenceLost { node: name(), reason: reason() }),
        (Stage::Promoting, Event::UndoStarted { node: name(), reason: reason() }),
        (Stage::Unfencing, Event::UndoStarted { node: name(), reason: reason() }),
        (Stage::Aborted, Event::UndoStarted { node: name(), reason: reason() }),
        (Stage::Copying, Event::ReplicaVerified { node: name(), state: state(5) }),
        (Stage::Completing, Event::ReplicaVerified { node: name(), state: state(5) }),
        (Stage::Verifying, Event::ReplicaVerified { node: name(), state: FinalState { damaged: 1, ..state(5) } }),
        (Stage::Completing, Event::FinalStateNamed { node: name(), state: state(8) }),
        (Stage::Fencing, Event::FinalStateNamed { node: name(), state: FinalState { damaged: 1, ..state(8) } }),
        (Stage::Copying, Event::BatchStarted { batch: batch("one"), at: UnixMillis(1) }),
        (Stage::Copying, Event::CutoverStarted { batch: batch("one"), at: UnixMillis(1) }),
        (Stage::Copying, Event::BatchAborted { batch: batch("one") }),
        (Stage::Probing, Event::BatchSettled { batch: batch("one") }),
        (Stage::Probing, Event::BatchReleased { batch: batch("one"), at: UnixMillis(1) }),
        (Stage::Soaking, Event::BatchPaused { batch: batch("one") }),
        (Stage::Soaking, Event::BatchResumed { batch: batch("one") }),
    ] {
        let bench = Bench::at(stage);
        assert!(bench.world.legal(&event).is_err(), "{stage}: {event:?}");
    }
}

#[test]
fn one_node_has_at_most_one_unfinished_move() {
    let bench = Bench::at(Stage::Copying);
    let Some(Event::PlanApplied { plan, batches, .. }) =
        bench.journal.iter().find(|event| matches!(event, Event::PlanApplied { .. })).cloned()
    else {
        panic!("no plan");
    };
    let plan = crate::world::AppliedPlan { revision: 2, ..plan };
    let mut again = batches[0].clone();
    again.batch = batch("two");
    again.plan_revision = 2;
    let event = Event::PlanApplied { plan, batches: vec![again], accept_damaged: vec![] };
    assert!(bench.world.legal(&event).is_err());
}
