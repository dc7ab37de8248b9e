//! Clients: what they ask, where they arrive, what they are told.
//!
//! A request may arrive at either shard at any time, whatever the router holds. It waits, unanswered, while the node is fenced
//! or sealed there; a former writer passes it on; a shard that has nothing to do with the node sends it away with 503, and the
//! client comes again through the router.

use crate::controller::is_given_up;
use crate::cutover::Cutover;
use crate::journal::Change;
use crate::mutants::Mutant;
use crate::state::{Mode, Request, State, Told, other};

/// A client asks: to delete what it knows to be there, otherwise to put. One request at a time for each object.
pub fn ask(cutover: &Cutover, state: &mut State, shard: u8, object: u8) -> bool {
    let asked = state.requests.iter().any(|request| request.change.object == object);
    if asked
        || !state.reach[usize::from(shard)]
        || state.is_gone(shard)
        || state.operations >= cutover.bound.operations
        || state.requests.len() >= usize::from(cutover.bound.requests)
    {
        return false;
    }
    let told = &mut state.told[usize::from(object)];
    let change = Change { object, put: *told != Told::Present };
    *told = Told::Nothing;
    state.operations += 1;
    state.requests.push(Request { shard, via: shard, admitted: false, severed: false, change });
    state.requests.sort_unstable();
    true
}

/// What can happen to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The gate is open: it is let in.
    Admitted,
    /// Passed on by the former writer.
    Forwarded,
    /// Answered 503; the client comes again through the router.
    LedAnew,
    /// Carried out, durable, answered.
    Acknowledged,
    /// Carried out, durable; the answer is lost.
    Unanswered,
    /// Broken off before anything was done.
    BrokenOff,
}

impl Fate {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Admitted, Self::Forwarded, Self::LedAnew, Self::Acknowledged, Self::Unanswered, Self::BrokenOff];
}

/// Lets it happen. False when it cannot.
pub fn meet(cutover: &Cutover, state: &mut State, request: Request, fate: Fate) -> bool {
    let at = *state.shard(request.shard);
    let forwards = at.forward.filter(|_| matches!(at.mode, Mode::Incoming | Mode::Retired | Mode::Stocked(_)));
    let admits = at.is_open() || (at.mode == Mode::Incoming && cutover.lacks(Mutant::CopyRefusesClients));
    let replaced = match fate {
        Fate::Admitted if !request.admitted && admits => Some(Request { admitted: true, ..request }),
        // The new writer takes it only under the generation that the former one was retired for.
        Fate::Forwarded if !request.admitted && forwards == Some(state.shard(other(request.shard)).generation) => {
            let shard = other(request.shard);
            if state.is_gone(shard) {
                return false;
            }
            // Whose connection it is matters only where connections are ended.
            let via = if cutover.bound.takeovers == 0 { shard } else { request.via };
            Some(Request { shard, via, ..request })
        }
        Fate::LedAnew
            if !request.admitted
                && (sends_away(at.mode) || is_left_waiting(state, request.shard))
                && state.router.shard != request.shard
                && !state.is_gone(state.router.shard) =>
        {
            Some(request.led_to(state.router.shard))
        }
        Fate::Acknowledged if request.severed => return false,
        Fate::Acknowledged | Fate::Unanswered | Fate::BrokenOff if request.admitted => None,
        _ => return false,
    };
    if replaced.is_none() {
        end(state, request, fate);
    }
    state.requests.retain(|other| *other != request);
    state.requests.extend(replaced);
    state.requests.sort_unstable();
    true
}

/// Acknowledged by the former writer after the commit of a takeover, before the new one is promoted: nobody is its client any more
/// when that happens.
fn is_past_stock(state: &State, shard: u8) -> bool {
    let writer = state.record.writer;
    let taken_over = state.record.accepted.is_some() && writer != shard;
    taken_over && matches!(state.shard(writer).mode, Mode::Stocked(_) | Mode::Incoming)
}

/// Ends what clients have connected to a shard. What was let in may still be carried out; the rest comes again, led to `to`.
pub fn sever(state: &mut State, mut ends: impl FnMut(&Request) -> bool, to: u8) {
    for request in &mut state.requests {
        if !ends(request) {
            continue;
        }
        if request.admitted {
            request.severed = true;
        } else {
            *request = request.led_to(to);
        }
    }
    state.requests.sort_unstable();
}

impl Request {
    const fn led_to(self, shard: u8) -> Self {
        Self { shard, via: shard, ..self }
    }
}

/// Nobody will tell a sealed shard that was written off what to do with its clients, should it be there: they lose patience.
fn is_left_waiting(state: &State, shard: u8) -> bool {
    state.record.written_off && state.record.writer != shard
}

const fn sends_away(mode: Mode) -> bool {
    !matches!(mode, Mode::Serving | Mode::Sealed(_))
}

fn end(state: &mut State, request: Request, fate: Fate) {
    if fate != Fate::BrokenOff {
        state.shard_mut(request.shard).change(request.change);
    }
    if fate == Fate::Acknowledged {
        let told = if request.change.put { Told::Present } else { Told::Absent };
        let given_up = is_past_stock(state, request.shard) && is_given_up(state, request.change.object);
        state.told[usize::from(request.change.object)] = if given_up { Told::Nothing } else { told };
    }
}
