//! What operators ask of a batch. A request that was carried out before is answered again, not refused: its answer may
//! have been lost.

use super::Refusal;
use crate::batch::{Batch, BatchPhase};
use crate::event::Event;
use crate::world::World;
use shardlift_model::{BatchId, UnixMillis};

pub(super) fn known<'w>(world: &'w World, batch: &BatchId) -> Result<&'w Batch, Refusal> {
    let missing =
        || Refusal::not_found(format!("batch `{batch}` is not known"), "`shardlift batch list` shows all batches");
    world.batches.get(batch).ok_or_else(missing)
}

pub(super) fn not_in(batch: &Batch, what: &str, advice: &str) -> Refusal {
    let phase = batch.phase.as_str();
    Refusal::precondition(format!("batch `{}` is {phase} and cannot be {what}", batch.batch), advice)
}

pub(super) fn start(world: &World, batch: &BatchId, now: UnixMillis) -> Result<Vec<Event>, Refusal> {
    let found = known(world, batch)?;
    match found.phase {
        BatchPhase::Planned => world.checked(Event::BatchStarted { batch: batch.clone(), at: now }),
        BatchPhase::Preparing => Ok(vec![]),
        BatchPhase::Aborted => Err(not_in(found, "started", "plan its nodes again, in a batch of another name")),
        _ => Err(not_in(found, "started", "it was started before: `shardlift batch status` shows how far it is")),
    }
}

pub(super) fn pause(world: &World, batch: &BatchId) -> Result<Vec<Event>, Refusal> {
    let found = known(world, batch)?;
    match found.phase {
        _ if found.paused => Ok(vec![]),
        BatchPhase::Planned | BatchPhase::Preparing | BatchPhase::CuttingOver => {
            world.checked(Event::BatchPaused { batch: batch.clone() })
        }
        _ => Err(not_in(found, "held", "nothing begins in it any more that could be held back")),
    }
}

pub(super) fn resume(world: &World, batch: &BatchId) -> Result<Vec<Event>, Refusal> {
    if known(world, batch)?.paused {
        return world.checked(Event::BatchResumed { batch: batch.clone() });
    }
    Ok(vec![])
}

/// What routers and sources said about a flip.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clear {
    pub(super) idle: bool,
    pub(super) routers: bool,
}

/// The flip of a batch that waits for nothing any more. An answer that came late is ignored.
pub(super) fn cutover_clear(world: &World, batch: &BatchId, clear: Clear, now: UnixMillis) -> Vec<Event> {
    let found = world.batches.get(batch).filter(|found| world.may_cut_over(found, now));
    let open = found.is_some_and(|found| clear.idle || !found.waits_for_idle(now));
    // Routers that cannot be reached would keep the old routes: clients would wait for nothing.
    let routed = clear.routers || world.routers.is_empty();
    if open && routed { vec![Event::CutoverStarted { batch: batch.clone(), at: now }] } else { vec![] }
}

#[cfg(test)]
mod tests;
