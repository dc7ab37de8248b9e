//! What each command does. A repetition finds its work done; a command that does not fit is refused, which changes nothing.

use super::takeover;
use crate::client;
use crate::cutover::Cutover;
use crate::journal::{Final, Journal};
use crate::mutants::Mutant;
use crate::network::{Command, Outcome, What};
use crate::stamp::Stamp;
use crate::state::{Gate, Mode, Replica, Router, Shard, State, other};

/// A command arrives.
pub fn deliver(cutover: &Cutover, state: &mut State, command: Command) {
    if let What::SetRoutes(version, sever) = command.what {
        return route(cutover, state, command, version, sever);
    }
    if state.is_gone(command.to) {
        return;
    }
    let shard = state.shard_mut(command.to);
    let stale = if cutover.lacks(Mutant::TokenStep) {
        command.token.term < shard.token.term
    } else {
        command.token < shard.token
    };
    if stale && !cutover.lacks(Mutant::TokenChecked) {
        return;
    }
    // INV-03: durable before anything is done.
    let broken = command.token < shard.highest;
    shard.highest = shard.highest.max(command.token);
    shard.token = shard.token.max(command.token);
    let outcome = match command.what {
        What::TakeStock => takeover::take_stock(cutover, state, command.to),
        What::Depose => takeover::depose(cutover, state, command.to),
        _ => carry_out(cutover, shard, command),
    };
    state.seen.stale_command |= broken;
    if let Some(outcome) = outcome {
        state.answer(command.token, outcome);
    }
}

/// INV-06: a table is taken under a higher version only.
fn route(cutover: &Cutover, state: &mut State, command: Command, version: u8, sever: bool) {
    let lower = version <= state.router.version;
    if lower && !cutover.lacks(Mutant::RouterVersion) {
        return;
    }
    state.seen.older_routes |= version < state.router.version;
    state.router = Router { version, shard: command.to, generation: command.token.generation };
    state.reach[usize::from(command.to)] = true;
    if sever && !cutover.lacks(Mutant::SeverBeforeConfirmed) {
        // In one step with the new table: confirmed is only what is done.
        let former = other(command.to);
        state.reach[usize::from(former)] = false;
        client::sever(state, |request| request.via == former, command.to);
    }
}

/// `None`: refused, or answered later.
fn carry_out(cutover: &Cutover, shard: &mut Shard, command: Command) -> Option<Outcome> {
    match command.what {
        What::Offer => {
            shard.offered = true;
            Some(Outcome::Done)
        }
        What::StartReplica => start(shard),
        What::Fence => fence(shard),
        What::RenewFence => Some(renew(shard)),
        What::Complete(expected) => {
            if shard.mode == Mode::Incoming {
                shard.wish = Some((command.token, expected));
            }
            None
        }
        What::Seal(expected) => seal(cutover, shard, expected),
        What::Promote => promote(shard, command.token),
        What::Retire(from) => retire(shard, command.token, from),
        What::EndLegacyCredentials => (shard.mode == Mode::Serving).then_some(Outcome::Done),
        What::Unfence => matches!(shard.mode, Mode::Serving | Mode::Sealed(_)).then(|| {
            (shard.mode, shard.gate) = (Mode::Serving, Gate::Open);
            Outcome::Done
        }),
        What::Discard => discard(cutover, shard),
        What::Detach | What::Quarantine | What::Restore => set_aside(cutover, shard, command.what),
        What::TakeStock | What::Depose | What::SetRoutes(..) => None,
    }
}

fn start(shard: &mut Shard) -> Option<Outcome> {
    match (shard.mode, shard.replica) {
        (Mode::Absent | Mode::Discarded, _) => {
            (shard.mode, shard.replica) = (Mode::Incoming, Replica::New);
        }
        // It goes on where it stopped following.
        (Mode::Retired, Replica::Following { resumed: true, .. }) => shard.mode = Mode::Incoming,
        // It was deposed: what it has is not what came before anything that it could follow.
        (Mode::Retired, _) => (shard.mode, shard.replica) = (Mode::Incoming, Replica::New),
        (Mode::Incoming, _) => {}
        _ => return None,
    }
    shard.wish = None;
    Some(Outcome::Done)
}

fn fence(shard: &mut Shard) -> Option<Outcome> {
    match (shard.mode, shard.gate) {
        (Mode::Sealed(last), _) | (Mode::Serving, Gate::Drained(last)) => Some(Outcome::Fenced(last)),
        (Mode::Serving, _) => {
            shard.gate = Gate::Draining;
            None
        }
        _ => None,
    }
}

fn renew(shard: &Shard) -> Outcome {
    match (shard.mode, shard.gate) {
        (Mode::Sealed(_), _) | (Mode::Serving, Gate::Draining | Gate::Drained(_)) => Outcome::Done,
        _ => Outcome::FenceLost,
    }
}

fn seal(cutover: &Cutover, shard: &mut Shard, expected: Final) -> Option<Outcome> {
    let live = match (shard.mode, shard.gate) {
        (Mode::Sealed(last), _) => return (last == expected).then_some(Outcome::Done),
        (Mode::Serving, Gate::Drained(last)) => last == expected || cutover.lacks(Mutant::SealComparesState),
        (Mode::Serving, _) => cutover.lacks(Mutant::SealNeedsFence),
        _ => return None,
    };
    if !live {
        return Some(Outcome::FenceLost);
    }
    (shard.mode, shard.gate) = (Mode::Sealed(expected), Gate::Open);
    Some(Outcome::Done)
}

fn promote(shard: &mut Shard, token: Stamp) -> Option<Outcome> {
    match shard.mode {
        Mode::Serving if shard.generation == token.generation => {}
        Mode::Incoming | Mode::Stocked(_) => {
            (shard.mode, shard.gate, shard.wish) = (Mode::Serving, Gate::Open, None);
            (shard.replica, shard.forward) = (Replica::New, None);
            shard.generation = token.generation;
            shard.promoted_seq = shard.journal.seq();
            shard.offered = true;
        }
        _ => return None,
    }
    Some(Outcome::Promoted(shard.promoted_seq))
}

fn retire(shard: &mut Shard, token: Stamp, from: u8) -> Option<Outcome> {
    match (shard.mode, shard.replica) {
        (Mode::Sealed(_), _) => {
            (shard.mode, shard.wish) = (Mode::Incoming, None);
            shard.replica = Replica::Following { applied: from, resumed: true };
            shard.forward = Some(token.generation);
        }
        (Mode::Incoming, Replica::Following { resumed: true, .. }) => {}
        _ => return None,
    }
    Some(Outcome::Done)
}

fn discard(cutover: &Cutover, shard: &mut Shard) -> Option<Outcome> {
    match (shard.mode, shard.replica) {
        // It may be the only other good copy.
        (Mode::Incoming, Replica::Following { resumed: true, .. }) => return None,
        (Mode::Incoming | Mode::Absent | Mode::Discarded, _) => {}
        _ => return None,
    }
    (shard.mode, shard.content, shard.journal) = (Mode::Discarded, 0, Journal::default());
    (shard.replica, shard.wish) = (Replica::New, None);
    if cutover.lacks(Mutant::DiscardSparesNeighbour) {
        shard.neighbour = false;
    }
    Some(Outcome::Done)
}

fn set_aside(cutover: &Cutover, shard: &mut Shard, what: What) -> Option<Outcome> {
    let copy = shard.mode == Mode::Retired
        || (shard.mode == Mode::Incoming && matches!(shard.replica, Replica::Following { resumed: true, .. }));
    let mode = match (what, shard.mode) {
        (What::Detach, _) if copy => Mode::Retired,
        // A copy that began at a deposed one, or in the place of one: kept, and listed anew another time.
        (What::Detach, Mode::Incoming) if !cutover.lacks(Mutant::PartedCopyDetaches) => {
            shard.replica = Replica::New;
            Mode::Retired
        }
        (What::Quarantine, Mode::Quarantined) => Mode::Quarantined,
        (What::Quarantine, Mode::Serving) if cutover.lacks(Mutant::QuarantineSparesWriter) => Mode::Quarantined,
        (What::Quarantine, _) if copy => Mode::Quarantined,
        (What::Restore, Mode::Quarantined | Mode::Retired) => Mode::Retired,
        _ => return None,
    };
    (shard.mode, shard.wish) = (mode, None);
    if mode == Mode::Quarantined {
        shard.forward = None;
    }
    Some(Outcome::Done)
}
