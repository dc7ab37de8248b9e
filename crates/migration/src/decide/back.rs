//! What operators ask of the way back. A request that was carried out before is answered again, not refused.

use super::moves::{moving, reason_or};
use super::{Refusal, takeover};
use crate::batch::BatchPhase;
use crate::event::Event;
use crate::node::Migration;
use crate::stage::Stage;
use crate::world::World;
use shardlift_model::{BatchId, NodeId, UnixMillis};
use std::collections::BTreeMap;

/// Why a rehearsal goes back.
const REHEARSAL: &str = "a rehearsal of the way back";

/// Most nodes of a batch whose hindrance is told.
const TOLD_MAX: usize = 10;

/// What stands before a way back, and what helps.
enum Hindrance {
    /// It is under way, or over.
    Done,
    /// Not in the present state.
    Not { why: String, advice: String },
}

pub(super) fn roll_back(world: &World, node: &NodeId, reason: &str, now: UnixMillis) -> Result<Vec<Event>, Refusal> {
    let moving = moving(world, node)?;
    match hindrance(world, node, moving) {
        Some(Hindrance::Done) => Ok(vec![]),
        Some(Hindrance::Not { why, advice }) => Err(Refusal::precondition(format!("node `{node}` {why}"), advice)),
        None => world.checked(started(node, reason_or(reason, "an operator rolled it back"), false, now)),
    }
}

/// All of it or nothing: a node of `losses` that cannot be taken over refuses the whole.
pub(super) fn roll_back_batch(
    world: &World,
    batch: &BatchId,
    reason: &str,
    losses: &BTreeMap<NodeId, u64>,
    now: UnixMillis,
) -> Result<Vec<Event>, Refusal> {
    let found = super::batches::known(world, batch)?;
    let reason = reason_or(reason, "an operator rolled its batch back");
    if let Some(other) = losses.keys().find(|node| !world.members(found).any(|(known, _)| known.node == **node)) {
        let message = format!("node `{other}` has no move in batch `{batch}`");
        return Err(Refusal::invalid(message, format!("`shardlift batch status {batch}` shows its nodes")));
    }
    let (mut events, mut done, mut told) = (Vec::new(), found.phase == BatchPhase::RolledBack, Vec::new());
    for (node, moving) in world.members(found) {
        if let Some(after_seq) = losses.get(&node.node).filter(|_| !is_back_by_record(moving)) {
            let begun = takeover::begun(world, &node.node, moving, *after_seq, reason.clone(), now)?;
            done |= begun.is_none();
            events.extend(begun);
            continue;
        }
        match hindrance(world, &node.node, moving) {
            None => events.push(started(&node.node, reason.clone(), false, now)),
            Some(Hindrance::Done) => done = true,
            Some(Hindrance::Not { why, advice }) => told.push(format!("`{}` {why}: {advice}", node.node)),
        }
    }
    if !events.is_empty() {
        events.iter().try_for_each(|event| world.legal(event)).map_err(Refusal::from)?;
        return Ok(events);
    }
    if done {
        return Ok(vec![]);
    }
    let more = told.len().saturating_sub(TOLD_MAX);
    told.truncate(TOLD_MAX);
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    let none = || "no move of it is on record any more".to_owned();
    let advice = if told.is_empty() { none() } else { told.join("; ") };
    Err(Refusal::precondition(format!("no node of batch `{batch}` can be moved back"), advice))
}

pub(super) fn rehearse(world: &World, node: &NodeId, now: UnixMillis) -> Result<Vec<Event>, Refusal> {
    let moving = moving(world, node)?;
    if moving.is_back() && moving.rehearsal && !moving.stage.is_over() {
        return Ok(vec![]);
    }
    if moving.is_soaking() && hindrance(world, node, moving).is_none() {
        return world.checked(started(node, REHEARSAL.to_owned(), true, now));
    }
    let message = format!("node `{node}` is {}: a way back is rehearsed during the soak only", moving.phase());
    Err(Refusal::precondition(message, format!("`shardlift node explain {node}` says what it waits for")))
}

/// Of one node, the canary: the first by name whose way back can be rehearsed.
pub(super) fn rehearse_batch(world: &World, batch: &BatchId, now: UnixMillis) -> Result<Vec<Event>, Refusal> {
    let found = super::batches::known(world, batch)?;
    let rehearses = |moving: &Migration| moving.is_back() && moving.rehearsal && !moving.stage.is_over();
    if world.members(found).any(|(_, moving)| rehearses(moving)) {
        return Ok(vec![]);
    }
    let can = |node: &NodeId, moving: &Migration| moving.is_soaking() && hindrance(world, node, moving).is_none();
    match world.members(found).find(|(node, moving)| can(&node.node, moving)) {
        Some((node, _)) => world.checked(started(&node.node, REHEARSAL.to_owned(), true, now)),
        None => {
            let message =
                format!("no node of batch `{batch}`, which is {}, can rehearse its way back", found.phase.as_str());
            let advice = "a way back is rehearsed by a node that soaks; `shardlift batch status` shows where each is";
            Err(Refusal::precondition(message, advice))
        }
    }
}

pub(super) fn restore(world: &World, node: &NodeId, now: UnixMillis) -> Result<Vec<Event>, Refusal> {
    let moving = moving(world, node)?;
    if !moving.is_back() && matches!(moving.stage, Stage::Restoring | Stage::Resuming) {
        return Ok(vec![]);
    }
    if moving.stage == Stage::Released {
        return world.checked(Event::RestoreStarted { node: node.clone(), at: now });
    }
    let message = format!("node `{node}` is {}: it has no old copy in quarantine", moving.phase());
    Err(Refusal::precondition(message, "an old copy is put there when its batch is released, and not before"))
}

/// What helps a node whose old copy is in quarantine.
pub(super) fn out_of_quarantine(node: &NodeId) -> String {
    format!("take the old copy out of quarantine first: `shardlift node restore {node}`")
}

fn started(node: &NodeId, reason: String, rehearsal: bool, at: UnixMillis) -> Event {
    Event::RollbackStarted { node: node.clone(), reason, rehearsal, at }
}

fn hindrance(world: &World, node: &NodeId, moving: &Migration) -> Option<Hindrance> {
    let not = |why: &str, advice: String| Some(Hindrance::Not { why: why.to_owned(), advice });
    let wait = || "wait, then try again".to_owned();
    match moving.stage {
        Stage::RolledBack => Some(Hindrance::Done),
        _ if moving.is_back() && moving.rehearsal => not("rehearses its way back", wait()),
        _ if moving.is_back() => Some(Hindrance::Done),
        Stage::Aborted => {
            not("was taken out of its batch before the commit", "there is nothing to move back".to_owned())
        }
        _ if !moving.is_committed() => {
            not("is not committed to its target", format!("abort it instead: `shardlift node abort {node}`"))
        }
        Stage::Promoting | Stage::Retiring => {
            let advice = format!("wait until `{}` serves it, then try again", moving.target);
            not("is being handed over to its target", advice)
        }
        Stage::Restoring | Stage::Resuming => not("is being given its way back again", wait()),
        Stage::Routing | Stage::Probing | Stage::Soaking if serves(world, moving) => None,
        _ => not("was released", out_of_quarantine(node)),
    }
}

/// The source is its writer again, whoever is still waited for: nothing of it is given up any more.
fn is_back_by_record(moving: &Migration) -> bool {
    let back = moving.is_back() && moving.takeover.is_none() && !moving.is_undoing();
    back && moving.stage.is_committed()
}

fn serves(world: &World, moving: &Migration) -> bool {
    let phase = world.batches.get(&moving.batch).map(|batch| batch.phase);
    matches!(phase, Some(BatchPhase::Committed | BatchPhase::Soaking))
}

#[cfg(test)]
mod tests;
