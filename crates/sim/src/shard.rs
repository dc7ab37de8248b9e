//! One shard: commands, and what it does by itself. Token and mode change in one step, before anything is answered.

mod commands;
mod takeover;

pub use commands::deliver;
pub use takeover::lose;

use crate::cutover::Cutover;
use crate::journal::Final;
use crate::mutants::Mutant;
use crate::network::Outcome;
use crate::stamp::Stamp;
use crate::state::{Gate, Mode, Replica, Shard, State, other};

/// Power loss and restart. What was in memory is gone: the fence, the wish, the requests that were let in.
pub fn crash(cutover: &Cutover, state: &mut State, at: u8) {
    let shard = state.shard_mut(at);
    (shard.gate, shard.wish) = (Gate::Open, None);
    if cutover.lacks(Mutant::TokenPersisted) {
        shard.token = Stamp::default();
    }
    state.requests.retain(|request| request.shard != at || !request.admitted);
}

/// A fence's lease runs out. Not once the seal is durable.
pub fn lose_lease(cutover: &Cutover, state: &mut State, at: u8) {
    let shard = state.shard_mut(at);
    if matches!(shard.mode, Mode::Sealed(_)) && cutover.lacks(Mutant::SealEndsLease) {
        shard.mode = Mode::Serving;
    }
    shard.gate = Gate::Open;
}

/// The mutations in flight have ended: now, and not before, the final state is read.
pub fn drain(cutover: &Cutover, state: &mut State, at: u8) -> bool {
    let busy = state.requests.iter().any(|request| request.admitted && request.shard == at);
    let shard = state.shard_mut(at);
    if shard.mode != Mode::Serving || shard.gate != Gate::Draining {
        return false;
    }
    if busy && !cutover.lacks(Mutant::DrainBeforeFinalSeq) {
        return false;
    }
    let last = shard.now();
    shard.gate = Gate::Drained(last);
    let token = shard.token;
    state.answer(token, Outcome::Fenced(last));
    true
}

/// One step of the copy's job: notes where the journal begins, takes the listing over, applies one change, or completes.
pub fn pull(cutover: &Cutover, state: &mut State, at: u8) -> bool {
    let gone = state.gone;
    let source = *state.shard(other(at));
    let shard = state.shard_mut(at);
    if shard.mode != Mode::Incoming || !source.offered || gone {
        return false;
    }
    let late = cutover.lacks(Mutant::SeqBeforeListing);
    match shard.replica {
        Replica::New => {
            if late {
                list(shard, source.content);
            }
            shard.replica = Replica::Listing { from: source.journal.seq() };
        }
        Replica::Listing { from } => {
            if !late {
                list(shard, source.content);
            }
            let applied = if late { source.journal.seq() } else { from };
            shard.replica = Replica::Following { applied, resumed: false };
        }
        Replica::Following { applied, resumed } => return follow(cutover, state, at, applied, resumed),
    }
    true
}

/// Fetches what is lacking. A first copy has nothing that could be taken away; one that was deposed loses what only it had.
fn list(shard: &mut Shard, listed: u8) {
    for object in 0..crate::journal::OBJECTS {
        shard.change(crate::journal::Change { object, put: listed >> object & 1 == 1 });
    }
}

fn follow(cutover: &Cutover, state: &mut State, at: u8, applied: u8, resumed: bool) -> bool {
    let source = *state.shard(other(at));
    let shard = state.shard_mut(at);
    let end = shard.wish.map_or(u8::MAX, |(_, expected)| expected.seq);
    if applied < end
        && let Some(change) = source.journal.after(applied)
    {
        // An object that is absent by now was deleted since: the journal says so further on.
        if !change.put || source.content >> change.object & 1 == 1 {
            shard.change(change);
        }
        shard.replica = Replica::Following { applied: applied + 1, resumed };
        return true;
    }
    match shard.wish {
        Some((token, expected)) if applied >= expected.seq => complete(cutover, state, at, token, expected),
        _ => false,
    }
}

/// The final state is reached, or passed: says what is here.
fn complete(cutover: &Cutover, state: &mut State, at: u8, token: Stamp, expected: Final) -> bool {
    let source = *state.shard(other(at));
    let shard = state.shard_mut(at);
    let Replica::Following { applied, resumed } = shard.replica else { return false };
    let differs = applied == expected.seq && shard.content != expected.content;
    if differs && (!resumed || cutover.lacks(Mutant::JournalBeforeListing)) {
        // By the list of a source that stands still; the controller compares.
        shard.content = source.content;
    }
    let outcome = Outcome::Completed(Final { seq: applied, content: shard.content });
    state.answer(token, outcome);
    true
}
