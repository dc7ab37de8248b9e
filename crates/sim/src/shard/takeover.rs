//! A shard whose counterpart is gone, and one that was given up.

use crate::client;
use crate::cutover::Cutover;
use crate::journal::Final;
use crate::mutants::Mutant;
use crate::network::Outcome;
use crate::state::{Gate, Mode, Replica, State, TARGET, other};
use shardlift_migration::{Stage, Way};

/// Stops following and forwarding, and names what is there: always the same from then on. What it forwards is broken off.
pub(super) fn take_stock(cutover: &Cutover, state: &mut State, at: u8) -> Option<Outcome> {
    let heard = state.shard(other(at)).journal.seq();
    let shard = state.shard_mut(at);
    let stock = match (shard.mode, shard.replica) {
        (Mode::Stocked(stock) | Mode::Sealed(stock), _) => stock,
        (Mode::Incoming, Replica::Following { applied, resumed: true }) => {
            let seq = if cutover.lacks(Mutant::StockIsWhatIsThere) { heard } else { applied };
            Final { seq, content: shard.content }
        }
        _ => return None,
    };
    if !(cutover.lacks(Mutant::StockEndsFollowing) && shard.mode == Mode::Incoming) {
        shard.mode = Mode::Stocked(stock);
    }
    shard.wish = None;
    if !cutover.lacks(Mutant::StockEndsForwarding) {
        shard.forward = None;
        client::sever(state, |request| request.via == at && request.shard == other(at), at);
    }
    Some(Outcome::Stock(stock))
}

/// Gives the node up and keeps what is there. Nothing of what it was equal to once counts any more.
pub(super) fn depose(cutover: &Cutover, state: &mut State, at: u8) -> Option<Outcome> {
    let follow_from = state.shard(other(at)).promoted_seq;
    let shard = state.shard_mut(at);
    match shard.mode {
        Mode::Serving | Mode::Sealed(_) | Mode::Incoming | Mode::Retired => {}
        _ => return None,
    }
    (shard.mode, shard.gate, shard.wish, shard.forward) = (Mode::Retired, Gate::Open, None, None);
    shard.replica = if cutover.lacks(Mutant::DeposedListsAnew) {
        Replica::Following { applied: follow_from, resumed: true }
    } else {
        Replica::New
    };
    state.requests.retain(|request| request.shard != at || !request.admitted);
    Some(Outcome::Done)
}

/// The target is gone for good, with all that was on its way there: where an operator can still give it up, or has, or can write
/// it off.
pub fn lose(cutover: &Cutover, state: &mut State) -> bool {
    let record = state.record;
    let begins = record.takeovers < cutover.bound.takeovers && record.stage.begins_takeover(record.way());
    let is_given_up = record.accepted.is_some() && !record.stage.is_over();
    let is_back = record.way() == Way::Back && record.stage.is_committed() && !record.stage.is_over();
    // Before the commit of a way back it would be waited for.
    let is_former = is_back && record.stage != Stage::Resuming;
    if state.gone || cutover.bound.takeovers == 0 || !(begins || is_given_up || is_former) {
        return false;
    }
    state.gone = true;
    let target = TARGET;
    state.requests.retain(|request| request.shard != target || (request.via != target && !request.admitted));
    client::sever(state, |request| request.shard == target, other(target));
    true
}
