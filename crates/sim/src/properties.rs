//! What must hold in every reachable state, and what must be reachable for that to mean anything.

use crate::cutover::Cutover;
use crate::healing;
use crate::journal::{Final, OBJECTS};
use crate::state::{Gate, Mode, Record, Replica, Request, SOURCE, Shard, State, TARGET, Told, other};
use shardlift_migration::{Direction, Stage};
use stateright::Property;

/// At most one shard acknowledges mutations.
pub const INV_01: &str = "INV-01";
/// What clients were told is what the writer has.
pub const INV_02: &str = "INV-02";
/// No command with a lower token than accepted is carried out.
pub const INV_03: &str = "INV-03";
/// Mutations are let in by a promoted writer only.
pub const INV_04: &str = "INV-04";
/// A commit is of a state that both sides have.
pub const INV_05: &str = "INV-05";
/// Routes lead to committed, promoted placements; versions and generations grow.
pub const INV_06: &str = "INV-06";
/// What a client was told is there is somewhere; the writer is not set aside.
pub const INV_07: &str = "INV-07";
/// Nobody touches a neighbour's data.
pub const INV_12: &str = "INV-12";
/// Every stage is entered along the table.
pub const TABLE: &str = "the table";
/// A drained fence stands still: the seal's second look at the journal never refuses.
pub const FENCE: &str = "a drained fence stands still";
/// A copy that applied all of the journal holds what the writer holds.
pub const FOLLOW: &str = "a copy that is up to date is equal";
/// Requests are passed on to a promoted shard only.
pub const FORWARD: &str = "forwarding leads to a promoted shard";
/// A rehearsal never seals.
pub const REHEARSAL: &str = "a rehearsal never seals";
/// A takeover loses what its operator accepted and no more.
pub const LOSS: &str = "no more is lost than was accepted";
/// From every state the move ends, without a further fault.
pub const NO_DEAD_END: &str = "no dead end";

type Condition = fn(&Cutover, &State) -> bool;

/// What must hold in every state.
pub const ALWAYS: [(&str, Condition); 15] = [
    (INV_01, |_, state| !(acknowledges(state, SOURCE) && acknowledges(state, TARGET))),
    (INV_02, |_, state| (0..OBJECTS).all(|object| is_as_told(state, object))),
    (INV_03, |_, state| !state.seen.stale_command),
    (INV_04, |_, state| {
        let mut admitted = state.requests.iter().filter(|request| request.admitted);
        admitted.all(|request| state.shard(request.shard).mode == Mode::Serving)
    }),
    (INV_05, |_, state| is_committed_equal(state)),
    (INV_06, |_, state| routes_are_right(state)),
    (INV_07, |_, state| nothing_is_lost(state)),
    (INV_12, |_, state| state.shards.iter().all(|shard| shard.neighbour)),
    (TABLE, |_, state| !state.seen.outside_table),
    (FENCE, |_, state| {
        state.shards.iter().all(|shard| !matches!(shard.gate, Gate::Drained(last) if last != shard.now()))
    }),
    (FOLLOW, |_, state| state.vanished.is_some() || [SOURCE, TARGET].iter().all(|at| follows_right(state, *at))),
    (FORWARD, |_, state| [SOURCE, TARGET].iter().all(|at| forwards_right(state, *at))),
    (REHEARSAL, |_, state| {
        !state.record.rehearsal
            || !matches!(state.record.stage, Stage::Sealing | Stage::Sealed | Stage::Promoting | Stage::RolledBack)
    }),
    (LOSS, |_, state| !state.seen.lost_more),
    (NO_DEAD_END, healing::ends),
];

/// What must be reachable: a search that never gets there shows nothing.
pub const SOMETIMES: [(&str, Condition); 6] = [
    ("a move is released", |_, state| state.record.stage == Stage::Released),
    ("a move is rolled back", |_, state| state.record.stage == Stage::RolledBack),
    ("a move is aborted", |_, state| state.record.stage == Stage::Aborted),
    ("a way back is undone", |_, state| {
        (state.record.stage, state.record.direction) == (Stage::Resuming, Direction::Back)
    }),
    ("a former writer has something to forward", |_, state| {
        state.requests.iter().any(|request| state.shard(request.shard).forward.is_some()) && !state.answers.is_empty()
    }),
    ("a new leader finds clients parked", |_, state| {
        state.record.term > 1 && state.record.stage == Stage::Sealed && !state.requests.is_empty()
    }),
];

/// What must be reachable where writers are given up.
pub const SOMETIMES_WITHOUT_WRITER: [(&str, Condition); 7] = [
    ("a target that is gone is written off, and nothing was lost", |_, state| {
        let Record { stage, written_off, accepted, .. } = state.record;
        state.gone && written_off && accepted.is_none() && stage == Stage::RolledBack
    }),
    ("a target that was only silent when it was written off still parks its clients", |_, state| {
        let sealed = matches!(state.shard(TARGET).mode, Mode::Sealed(_));
        !state.gone && state.record.written_off && state.record.stage == Stage::RolledBack && sealed
    }),
    ("a node is taken over from a writer that is gone", |_, state| {
        state.gone && state.record.stage == Stage::Deposing && state.shard(SOURCE).is_open()
    }),
    ("a former writer still serves, and nobody comes to it", |_, state| {
        !state.gone && acknowledges(state, SOURCE) && state.shard(TARGET).is_open()
    }),
    ("a request is carried out at a former writer whose client was led away", |_, state| {
        state.requests.iter().any(|request| request.severed) && state.record.stage == Stage::Promoting
    }),
    ("an operator has to give up more", |_, state| state.record.held),
    ("a former writer that was deposed is the writer again", |_, state| {
        state.record.plans > 0 && state.record.takeovers > 0 && state.record.stage == Stage::Soaking
    }),
];

/// All of them, as the checker wants them.
#[must_use]
pub fn all(without_writer: bool) -> Vec<Property<Cutover>> {
    let always = ALWAYS.into_iter().map(|(name, condition)| Property::always(name, condition));
    let sometimes: &[(&str, Condition)] = if without_writer { &SOMETIMES_WITHOUT_WRITER } else { &SOMETIMES };
    always.chain(sometimes.iter().map(|(name, condition)| Property::sometimes(name, *condition))).collect()
}

fn acknowledges(state: &State, at: u8) -> bool {
    let open = state.shard(at).is_open() && state.reach[usize::from(at)] && !state.is_gone(at);
    let told = |request: &Request| request.admitted && request.shard == at && !request.severed;
    open || state.requests.iter().any(told)
}

fn is_as_told(state: &State, object: u8) -> bool {
    let there = state.shard(state.record.writer).content >> object & 1 == 1;
    match state.told[usize::from(object)] {
        _ if state.vanished == Some(object) => true,
        Told::Present => there,
        Told::Absent => !there,
        Told::Nothing => true,
    }
}

/// From the commit until the promotion.
fn is_committed_equal(state: &State) -> bool {
    let (giver, taker) = (state.shard(state.record.giver()), state.shard(state.record.taker()));
    if state.record.accepted.is_some() {
        return is_taken_over_as_named(state, taker);
    }
    let promoted = taker.mode == Mode::Serving && taker.generation == state.record.generation;
    if state.record.stage != Stage::Promoting || promoted {
        return true;
    }
    let applied = match taker.replica {
        Replica::Following { applied, .. } => applied,
        _ => return false,
    };
    let taken = Final { seq: applied, content: taker.content };
    taker.mode == Mode::Incoming && giver.mode == Mode::Sealed(taken) && giver.now() == taken
}

/// The exception: one side only, and exactly what it named.
fn is_taken_over_as_named(state: &State, taker: &Shard) -> bool {
    let promoted = taker.mode == Mode::Serving && taker.generation == state.record.generation;
    let committed = matches!(state.record.stage, Stage::Redirecting | Stage::Promoting);
    !committed || promoted || state.record.last.is_some_and(|stock| stock.content == taker.content)
}

fn routes_are_right(state: &State) -> bool {
    let (router, to) = (state.router, state.shard(state.router.shard));
    // Led to a shard that sends clients away until it is promoted, so that they are led to no other.
    let waits =
        state.record.accepted.is_some() && matches!(to.mode, Mode::Stocked(_)) && router.shard == state.record.writer;
    let promoted = to.generation >= router.generation || waits;
    let placed = router.generation < state.record.generation
        || (router.generation == state.record.generation && router.shard == state.record.writer);
    promoted && placed && !state.seen.older_routes && !state.seen.old_generation
}

fn nothing_is_lost(state: &State) -> bool {
    let anywhere = state.shards[0].content | state.shards[1].content;
    let told = |object: u8| state.told[usize::from(object)] == Told::Present;
    let kept = (0..OBJECTS).all(|object| !told(object) || anywhere >> object & 1 == 1);
    let writer = state.shard(state.record.writer).mode;
    kept && matches!(writer, Mode::Serving | Mode::Sealed(_) | Mode::Incoming | Mode::Stocked(_))
}

fn follows_right(state: &State, at: u8) -> bool {
    let (copy, writer) = (state.shard(at), state.shard(other(at)));
    match copy.replica {
        Replica::Following { applied, .. } if copy.mode == Mode::Incoming && applied >= writer.journal.seq() => {
            applied == writer.journal.seq() && copy.content == writer.content
        }
        _ => true,
    }
}

fn forwards_right(state: &State, at: u8) -> bool {
    let (from, to) = (state.shard(at), state.shard(other(at)));
    let forwards = matches!(from.mode, Mode::Incoming | Mode::Retired);
    !forwards || from.forward.is_none_or(|generation| to.generation >= generation)
}
