//! Going back without the writer, and without a word from one that is a writer no more.

use super::{enter, forget_cutover, publish_routes, resend, step_to};
use crate::cutover::Cutover;
use crate::journal::{Final, OBJECTS};
use crate::mutants::Mutant;
use crate::state::{Mode, Replica, SOURCE, Shard, State, TARGET, Told};
use shardlift_migration::{Direction, Stage};

/// An operator gives the writer up, whether it is gone or not, and wants to keep what its follower has now. False where no takeover
/// begins. Of one that is held for having less, the operator gives up more.
pub fn take_over(cutover: &Cutover, state: &mut State) -> bool {
    let Some(kept) = stand(state.shard(SOURCE)) else { return false };
    let record = &mut state.record;
    let begins = record.takeovers < cutover.bound.takeovers && record.stage.begins_takeover(record.way());
    let gives_up_more = record.held && record.accepted.is_some_and(|accepted| kept < accepted);
    if !begins && !gives_up_more {
        return false;
    }
    record.takeovers += u8::from(begins);
    record.held = false;
    forget_cutover(record);
    // Judged on the way on which the move is while it leaves it.
    step_to(cutover, state, Stage::TakingStock);
    (state.record.direction, state.record.accepted) = (Direction::Back, Some(kept));
    resend(cutover, state);
    true
}

/// The last change that an operator would be told the follower has.
const fn stand(follower: &Shard) -> Option<u8> {
    match (follower.mode, follower.replica) {
        (Mode::Sealed(last) | Mode::Stocked(last), _) => Some(last.seq),
        (Mode::Incoming, Replica::Following { applied, resumed: true }) => Some(applied),
        _ => None,
    }
}

pub(super) fn stock_taken(cutover: &Cutover, state: &mut State, stock: Final) -> bool {
    let record = &mut state.record;
    if record.held || record.last.is_some() {
        return false;
    }
    let less = record.accepted.is_some_and(|accepted| stock.seq < accepted);
    if less && !cutover.lacks(Mutant::StockAsAccepted) {
        record.held = true;
    } else {
        record.last = Some(stock);
    }
    true
}

/// The one commit without a second side. Clients are led away from the former writer before anything else happens.
pub(super) fn commit(cutover: &Cutover, state: &mut State) {
    for object in 0..OBJECTS {
        if is_given_up(state, object) {
            state.told[usize::from(object)] = Told::Nothing;
        }
    }
    let record = &mut state.record;
    let kept = record.last.is_some_and(|stock| record.accepted.is_some_and(|accepted| stock.seq >= accepted));
    state.seen.lost_more |= !kept;
    record.writer = SOURCE;
    record.generation += 1;
    (record.promoted, record.step, record.old_copy) = (None, 0, true);
    publish_routes(state);
    enter(cutover, state, Stage::Redirecting);
}

/// True when what the former writer had last done to an object came after what its follower named: that, and no more, is given up.
#[must_use]
pub fn is_given_up(state: &State, object: u8) -> bool {
    let (taker, writer) = (state.shard(SOURCE), state.shard(TARGET));
    let kept = match (taker.replica, state.record.last) {
        // It never followed, and named its own seq: the writer's journal begins anew for it with the promotion.
        (Replica::New, _) if writer.mode == Mode::Incoming => return false,
        (Replica::New, _) => writer.promoted_seq,
        (_, Some(stock)) => stock.seq,
        (_, None) => return false,
    };
    (kept..writer.journal.seq()).any(|seq| writer.journal.after(seq).is_some_and(|change| change.object == object))
}

/// Every router holds the routes, and has ended what it had passed to the former writer.
pub(super) fn is_redirected(cutover: &Cutover, state: &State) -> bool {
    state.router.version >= state.record.route_version || cutover.lacks(Mutant::RedirectBeforePromotion)
}

/// The former writer will never return, an operator says, whether that is so or not.
pub fn write_off(cutover: &Cutover, state: &mut State) -> bool {
    let record = &mut state.record;
    let next = match record.stage.written_off(record.way()) {
        // The writer that is only silent is taken for sealed.
        None if cutover.lacks(Mutant::SealIsNotWrittenOff) && record.stage == Stage::Sealing => Stage::Sealed,
        Some(next) => next,
        None => return false,
    };
    if record.written_off || cutover.bound.takeovers == 0 {
        return false;
    }
    record.written_off = true;
    if !cutover.lacks(Mutant::WriteOffEndsWaiting) {
        enter(cutover, state, next);
    }
    true
}
