//! The controller: what it does with an answer, what it does by itself, what operators ask of it.
//!
//! Each function changes the record and sends the command that the new record stands for. Both are one step: a crash between
//! them is a command that was sent and lost, and a change of leadership sends it again.

mod takeover;

pub use takeover::{is_given_up, take_over, write_off};

use crate::cutover::Cutover;
use crate::journal::Final;
use crate::mutants::Mutant;
use crate::network::{Answer, Command, Outcome, What};
use crate::state::{Mode, Record, Replica, SOURCE, State, TARGET};
use shardlift_migration::{Direction, Stage, Way};

/// Takes an answer in. False when it changes nothing: it is late, or does not fit the stage.
pub fn take(cutover: &Cutover, state: &mut State, answer: Answer) -> bool {
    let record = state.record;
    if answer.token != record.token() && !cutover.lacks(Mutant::AnswerOfAnotherCommand) {
        return false;
    }
    match (record.stage, answer.outcome) {
        (Stage::Fencing, Outcome::Fenced(last)) => fenced(cutover, state, last),
        (Stage::Completing, Outcome::Completed(own)) => completed(cutover, state, own),
        (Stage::Completing | Stage::Sealing, Outcome::FenceLost) => fence_lost(cutover, state),
        (Stage::Promoting, Outcome::Promoted(seq)) => {
            state.record.promoted = Some(seq);
            if record.accepted.is_some() {
                // Nobody is left to be retired, and the routes lead here already.
                enter(cutover, state, Stage::Probing);
                return true;
            }
            if !cutover.lacks(Mutant::RouteBeforePromotion) {
                publish_routes(state);
            }
            enter(cutover, state, Stage::Retiring);
        }
        (Stage::TakingStock, Outcome::Stock(stock)) => return takeover::stock_taken(cutover, state, stock),
        (stage, Outcome::Done) => match after(&record, stage) {
            Some(next) => enter(cutover, state, next),
            None => return false,
        },
        _ => return false,
    }
    if (record.stage, state.record.stage) == (Stage::Resuming, Stage::Soaking) {
        state.record.direction = Direction::Forward;
        forget_cutover(&mut state.record);
    }
    true
}

/// Where a command that was done leads.
fn after(record: &Record, stage: Stage) -> Option<Stage> {
    Some(match stage {
        Stage::Offering => Stage::Starting,
        Stage::Starting => Stage::Copying,
        Stage::Sealing => Stage::Sealed,
        Stage::Retiring => Stage::Routing,
        Stage::Detaching | Stage::Deposing => Stage::RolledBack,
        Stage::Releasing => Stage::Quarantining,
        Stage::Quarantining => Stage::Released,
        Stage::Restoring => Stage::Resuming,
        Stage::Resuming => Stage::Soaking,
        Stage::Unfencing if record.direction == Direction::Back => Stage::Resuming,
        Stage::Unfencing => Stage::Discarding,
        Stage::Discarding => Stage::Aborted,
        _ => return None,
    })
}

fn fenced(cutover: &Cutover, state: &mut State, last: Final) {
    state.record.last = Some(last);
    if cutover.lacks(Mutant::ReverseDelta) && state.record.direction == Direction::Back {
        state.record.verified = Some(last);
        return enter(cutover, state, Stage::Sealing);
    }
    enter(cutover, state, Stage::Completing);
}

fn completed(cutover: &Cutover, state: &mut State, own: Final) {
    if state.record.last != Some(own) && !cutover.lacks(Mutant::Comparison) {
        return fence_lost(cutover, state);
    }
    state.record.verified = state.record.last;
    if state.record.rehearsal && !cutover.lacks(Mutant::RehearsalEnds) {
        undo(cutover, state);
    } else {
        enter(cutover, state, Stage::Sealing);
    }
}

fn fence_lost(cutover: &Cutover, state: &mut State) {
    state.record.fences_lost += 1;
    let again = state.record.stage.again().filter(|_| state.record.fences_lost <= cutover.bound.fences_lost);
    match again {
        Some(stage) => {
            (state.record.last, state.record.verified) = (None, None);
            enter(cutover, state, stage);
        }
        None => {
            undo(cutover, state);
        }
    }
}

/// What follows without an answer: from the record, or from what is looked up. False when nothing does.
pub fn advance(cutover: &Cutover, state: &mut State) -> bool {
    let record = state.record;
    let (source, target) = (*state.shard(SOURCE), *state.shard(TARGET));
    match record.stage {
        Stage::Planned => enter(cutover, state, Stage::Offering),
        Stage::Copying if matches!(target.replica, Replica::Following { .. }) => {
            enter(cutover, state, Stage::CatchingUp);
        }
        Stage::CatchingUp if lag(&target.replica, source.journal.seq()) == Some(0) => {
            for stage in [Stage::VerifyRequested, Stage::Verifying, Stage::AwaitingCertificate, Stage::Ready] {
                enter(cutover, state, stage);
            }
            enter(cutover, state, Stage::Fencing);
        }
        Stage::Sealed if record.last.is_some() && record.verified == record.last => commit(cutover, state),
        Stage::Routing if state.router.version >= record.route_version => enter(cutover, state, Stage::Probing),
        Stage::Detaching if record.written_off && !cutover.lacks(Mutant::WriteOffEndsWaiting) => {
            enter(cutover, state, Stage::RolledBack)
        }
        Stage::TakingStock if record.last.is_some() => takeover::commit(cutover, state),
        Stage::Redirecting if takeover::is_redirected(cutover, state) => enter(cutover, state, Stage::Promoting),
        Stage::Probing if probed(state) => match record.way() {
            Way::WithoutWriter if cutover.lacks(Mutant::DeposeBeforeNextMove) => {
                enter(cutover, state, Stage::RolledBack)
            }
            Way::WithoutWriter => enter(cutover, state, Stage::Deposing),
            Way::Forward => {
                enter(cutover, state, Stage::Soaking);
                forget_cutover(&mut state.record);
            }
            Way::Back => enter(cutover, state, Stage::Detaching),
        },
        _ => return false,
    }
    true
}

fn lag(replica: &Replica, seq: u8) -> Option<u8> {
    match replica {
        Replica::Following { applied, .. } => Some(seq.saturating_sub(*applied)),
        _ => None,
    }
}

/// Asked through the router, the writer answers, under the generation of its placement.
fn probed(state: &State) -> bool {
    let asked = state.shard(state.router.shard);
    state.router.shard == state.record.writer
        && asked.mode == Mode::Serving
        && asked.generation == state.record.generation
}

/// The commit: new placement, new generation.
fn commit(cutover: &Cutover, state: &mut State) {
    let before = state.record.generation;
    state.record.writer = state.record.taker();
    let back = state.record.direction == Direction::Back;
    state.record.generation = if back && cutover.lacks(Mutant::NewGeneration) { before - 1 } else { before + 1 };
    state.seen.old_generation |= state.record.generation <= before;
    (state.record.promoted, state.record.step) = (None, 0);
    // Who is placed is no old copy any more; who was, is one from now on.
    state.record.old_copy = back;
    if cutover.lacks(Mutant::RouteBeforePromotion) {
        publish_routes(state);
    }
    enter(cutover, state, Stage::Promoting);
}

/// New routes, from the committed placement (INV-06).
fn publish_routes(state: &mut State) {
    state.record.route_version += 1;
    let (token, version) = (state.record.token(), state.record.route_version);
    let what = What::SetRoutes(version, state.record.accepted.is_some());
    state.send(Command { token, to: state.record.writer, what });
}

/// What is of no use any more. Fewer records differ without it.
const fn forget_cutover(record: &mut Record) {
    (record.last, record.verified) = (None, None);
    (record.fences_lost, record.rehearsal) = (0, false);
}

/// Takes the present attempt back. False where the table has no undo.
pub fn undo(cutover: &Cutover, state: &mut State) -> bool {
    let record = &mut state.record;
    let mut first = record.stage.undo(record.direction);
    if cutover.lacks(Mutant::NoUndoAfterCommit) && record.stage == Stage::Promoting {
        first = Some(Stage::Unfencing);
    }
    if cutover.lacks(Mutant::UndoUnfences) && record.direction == Direction::Back && first.is_some() {
        first = Some(Stage::Resuming);
    }
    let Some(first) = first else { return false };
    (record.last, record.verified) = (None, None);
    enter(cutover, state, first);
    true
}

/// Begins a way back, or a rehearsal of one. False where there is none to begin.
pub fn roll_back(cutover: &Cutover, state: &mut State, rehearsal: bool) -> bool {
    let record = &mut state.record;
    let from = if rehearsal { &[Stage::Soaking][..] } else { &[Stage::Soaking, Stage::Routing, Stage::Probing] };
    if record.direction == Direction::Back
        || !from.contains(&record.stage)
        || record.ways_back >= cutover.bound.ways_back
    {
        return false;
    }
    record.ways_back += 1;
    forget_cutover(record);
    record.rehearsal = rehearsal;
    // The way out of the soak is judged in the direction in which the move is while it takes it.
    step_to(cutover, state, Stage::Fencing);
    state.record.direction = Direction::Back;
    resend(cutover, state);
    true
}

/// Ends the soak.
pub fn release(cutover: &Cutover, state: &mut State) -> bool {
    // Nobody releases a node whose writer does not answer.
    let soaking = state.record.stage == Stage::Soaking && !state.gone;
    if soaking {
        enter(cutover, state, Stage::Releasing);
    }
    soaking
}

/// Takes the old copy out of quarantine.
pub fn restore(cutover: &Cutover, state: &mut State) -> bool {
    let may = state.record.stage == Stage::Released && state.record.restores < cutover.bound.restores;
    if may {
        state.record.restores += 1;
        enter(cutover, state, Stage::Restoring);
    }
    may
}

/// Plans a move anew that was undone or taken back. Not to a shard that is gone, or may come back with what it had.
pub fn plan_again(cutover: &Cutover, state: &mut State) -> bool {
    let (record, gone) = (&mut state.record, state.gone);
    let may = matches!(record.stage, Stage::Aborted | Stage::RolledBack)
        && record.plans < cutover.bound.plans_again
        && !record.written_off
        && !gone;
    if may {
        record.plans += 1;
        (record.accepted, record.written_off) = (None, false);
        (record.stage, record.direction, record.promoted) = (Stage::Planned, Direction::Forward, None);
        forget_cutover(record);
    }
    may
}

/// Another controller leads, or the same one after a crash: the same record, a new term.
pub fn lead(cutover: &Cutover, state: &mut State) -> bool {
    if state.record.term > cutover.bound.leaderships {
        return false;
    }
    if cutover.lacks(Mutant::DeposedRecords) {
        state.deposed = Some(Box::new(state.record));
    }
    state.record.term += 1;
    resend(cutover, state);
    true
}

fn enter(cutover: &Cutover, state: &mut State, stage: Stage) {
    step_to(cutover, state, stage);
    resend(cutover, state);
}

/// The only function that changes the stage: by the table that the code uses.
fn step_to(cutover: &Cutover, state: &mut State, stage: Stage) {
    let record = &mut state.record;
    cutover.ways.take(record.stage, stage);
    state.seen.outside_table |= !record.stage.allowed(record.way()).any(|allowed| allowed == stage);
    record.stage = stage;
    record.step += 1;
}

/// Sends what the record stands for.
pub fn resend(cutover: &Cutover, state: &mut State) {
    for command in commands(cutover, &state.record).into_iter().flatten() {
        state.send(command);
    }
}

/// What a record stands for: one command, and the renewal of a fence.
#[must_use]
pub fn commands(cutover: &Cutover, record: &Record) -> [Option<Command>; 2] {
    let token = record.token();
    let (giver, taker) = (record.giver(), record.taker());
    let send = |to, what| Some(Command { token, to, what });
    let with = |to, what: fn(Final) -> What| record.last.and_then(|last| send(to, what(last)));
    let command = match record.stage {
        Stage::Offering => send(SOURCE, What::Offer),
        Stage::Starting => send(TARGET, What::StartReplica),
        Stage::Fencing => send(giver, What::Fence),
        Stage::Completing => with(taker, What::Complete),
        Stage::Sealing => with(giver, What::Seal),
        Stage::Promoting => send(taker, What::Promote),
        Stage::Retiring => send(giver, What::Retire(follow_from(cutover, record))),
        Stage::Detaching => send(giver, What::Detach),
        Stage::TakingStock if !record.held => send(taker, What::TakeStock),
        Stage::Deposing => send(giver, What::Depose),
        Stage::Releasing => send(record.writer, What::EndLegacyCredentials),
        Stage::Quarantining if cutover.lacks(Mutant::QuarantineSparesWriter) => send(TARGET, What::Quarantine),
        Stage::Quarantining => send(SOURCE, What::Quarantine),
        Stage::Restoring => send(SOURCE, What::Restore),
        Stage::Resuming => send(SOURCE, What::StartReplica),
        Stage::Unfencing => send(giver, What::Unfence),
        // What was the writer once is kept.
        Stage::Discarding if record.old_copy => send(TARGET, What::Detach),
        Stage::Discarding => send(TARGET, What::Discard),
        _ => None,
    };
    [command, beside(cutover, record)]
}

fn beside(cutover: &Cutover, record: &Record) -> Option<Command> {
    let token = record.token();
    let next = crate::stamp::Stamp { generation: record.generation + 1, step: 0, ..token };
    match record.stage {
        Stage::Sealing if cutover.lacks(Mutant::PromoteAfterCommit) => {
            Some(Command { token: next, to: record.taker(), what: What::Promote })
        }
        Stage::Promoting if cutover.lacks(Mutant::RetireAfterPromotion) => {
            Some(Command { token, to: record.giver(), what: What::Retire(follow_from(cutover, record)) })
        }
        Stage::Completing => Some(Command { token, to: record.giver(), what: What::RenewFence }),
        _ => None,
    }
}

/// Where in the new writer's journal the old one begins to follow.
fn follow_from(cutover: &Cutover, record: &Record) -> u8 {
    let of_giver = record.last.map_or(0, |last| last.seq);
    if cutover.lacks(Mutant::FollowFromPromotion) { of_giver } else { record.promoted.unwrap_or(of_giver) }
}
