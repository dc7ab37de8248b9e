//! A journal that this program did not write is refused.

mod takeover;

use crate::fixture::{Bench, batch, node, state};
use crate::node::Held;
use crate::{Direction, Event, FinalState, SoakFact, Stage, Verdict};
use shardlift_model::{Generation, Step, Term, UnixMillis};

/// The stages of a way back, in order; then those of its undo.
const BACK: [Stage; 11] = [
    Stage::Fencing,
    Stage::Completing,
    Stage::Sealing,
    Stage::Promoting,
    Stage::Retiring,
    Stage::Routing,
    Stage::Probing,
    Stage::Detaching,
    Stage::RolledBack,
    Stage::Unfencing,
    Stage::Resuming,
];

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
    for stage in BACK {
        let bench = Bench::back_at(stage);
        let allowed: Vec<Stage> = stage.allowed(Direction::Back).collect();
        for next in Stage::ALL.into_iter().filter(|next| !allowed.contains(next)) {
            assert!(bench.world.legal(&entered(&bench, next)).is_err(), "back: {stage} -> {next}");
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
        (Stage::Promoting, Stage::Retiring),
        (Stage::Routing, Stage::Fencing),
        (Stage::Soaking, Stage::Fencing),
        (Stage::Soaking, Stage::Releasing),
        (Stage::Probing, Stage::Detaching),
        (Stage::Released, Stage::Restoring),
        (Stage::Unfencing, Stage::Resuming),
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
    let changes: [fn(&mut Vec<crate::event::Placement>); 6] = [
        Vec::clear,
        |placements| placements.push(placements[0].clone()),
        |placements| placements[0].final_state = FinalState { objects: 1, ..state(7) },
        |placements| placements[0].generation = Generation(3),
        |placements| placements[0].generation = Generation(5),
        |placements| placements[0].shard = "c".parse().unwrap(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut event = commit.clone();
        if let Event::BatchCommitted { placements, .. } = &mut event {
            change(placements);
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
    let bad = || Verdict::Bad { reason: String::new() };
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
        (Stage::Probing, Event::VerdictReached { batch: batch("one"), verdict: Verdict::Good }),
        (Stage::Soaking, Event::VerdictReached { batch: batch("one"), verdict: Verdict::Good }),
        (Stage::Soaking, Event::VerdictReached { batch: batch("one"), verdict: bad() }),
        (Stage::Copying, Event::BatchReady { batch: batch("one"), at: UnixMillis(1) }),
        (Stage::Soaking, Event::BatchRolledBack { batch: batch("one") }),
        (Stage::Released, Event::BatchRolledBack { batch: batch("one") }),
        (Stage::Sealing, Event::WriterPromoted { node: name(), seq: 1, snapshots: 0 }),
        (Stage::Retiring, Event::WriterPromoted { node: name(), seq: 1, snapshots: 0 }),
        (Stage::Probing, Event::SoakFactSeen { node: name(), fact: SoakFact::Verified, at: UnixMillis(1) }),
        (Stage::Soaking, Event::RollbackCommitted { at: UnixMillis(1), placements: vec![] }),
        (Stage::Soaking, Event::RollbackUndone { node: name(), at: UnixMillis(1) }),
        (Stage::Resuming, Event::RollbackUndone { node: name(), at: UnixMillis(1) }),
        (Stage::Soaking, Event::RestoreStarted { node: name(), at: UnixMillis(1) }),
        (Stage::Aborted, Event::RestoreStarted { node: name(), at: UnixMillis(1) }),
        (Stage::RolledBack, Event::RestoreStarted { node: name(), at: UnixMillis(1) }),
        (Stage::Soaking, Event::BatchPaused { batch: batch("one") }),
        (Stage::Soaking, Event::BatchResumed { batch: batch("one") }),
    ] {
        let bench = Bench::at(stage);
        assert!(bench.world.legal(&event).is_err(), "{stage}: {event:?}");
    }
}

#[test]
fn a_way_back_begins_only_where_the_source_follows() {
    for stage in Stage::ALL {
        let bench = Bench::at(stage);
        let begins = |rehearsal| {
            let event =
                Event::RollbackStarted { node: node("n1"), reason: String::new(), rehearsal, at: UnixMillis(1) };
            bench.world.legal(&event).is_ok()
        };
        assert_eq!(begins(false), matches!(stage, Stage::Routing | Stage::Probing | Stage::Soaking), "{stage}");
        assert_eq!(begins(true), stage == Stage::Soaking, "{stage}");
    }
    for stage in BACK {
        let event =
            Event::RollbackStarted { node: node("n1"), reason: String::new(), rehearsal: false, at: UnixMillis(1) };
        assert!(Bench::back_at(stage).world.legal(&event).is_err(), "{stage}");
    }
}

#[test]
fn a_rehearsal_is_never_sealed_nor_committed() {
    let mut bench = Bench::at(Stage::Soaking);
    bench.input(crate::Input::RehearseRollback { node: node("n1") }).unwrap();
    bench.drive("n1", Stage::Completing);
    let mut world = bench.world.clone();
    world.apply(&Event::ReplicaVerified { node: node("n1"), state: state(9) });
    let step = world.nodes[&node("n1")].next_step();
    let seal = Event::StageEntered { node: node("n1"), stage: Stage::Sealing, step, at: UnixMillis(1) };
    assert!(world.legal(&seal).unwrap_err().to_string().contains("a rehearsal seals nothing"));
    let moving = world.nodes.get_mut(&node("n1")).unwrap().migration.as_mut().unwrap();
    moving.stage = Stage::Sealed;
    let placement =
        world.nodes[&node("n1")].new_placement(&world.nodes[&node("n1")].migration.clone().unwrap()).unwrap();
    let commit = Event::RollbackCommitted { at: UnixMillis(1), placements: vec![placement] };
    assert!(world.legal(&commit).is_err());
    world.nodes.get_mut(&node("n1")).unwrap().migration.as_mut().unwrap().rehearsal = false;
    assert_eq!(world.legal(&commit), Ok(()));
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
