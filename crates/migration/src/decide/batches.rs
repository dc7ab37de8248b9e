//! What operators ask of a batch. A request that was carried out before is answered again, not refused: its answer may
//! have been lost.

use super::Refusal;
use crate::batch::{Batch, BatchPhase};
use crate::event::Event;
use crate::world::World;
use shardlift_model::{BatchId, UnixMillis};
use std::time::Duration;

fn known<'w>(world: &'w World, batch: &BatchId) -> Result<&'w Batch, Refusal> {
    let missing =
        || Refusal::not_found(format!("batch `{batch}` is not known"), "`shardlift batch list` shows all batches");
    world.batches.get(batch).ok_or_else(missing)
}

fn not_in(batch: &Batch, what: &str, advice: &str) -> Refusal {
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

pub(super) fn release(world: &World, batch: &BatchId, now: UnixMillis) -> Result<Vec<Event>, Refusal> {
    let found = known(world, batch)?;
    match found.phase {
        BatchPhase::Released => Ok(vec![]),
        BatchPhase::Soaking => {
            let left = world.soak_left(found, now);
            if left.is_zero() {
                return world.checked(Event::BatchReleased { batch: batch.clone(), at: now });
            }
            let seconds = left.as_millis().div_ceil(1000);
            let message = format!("batch `{batch}` must soak for another {seconds} s before it may be released");
            Err(Refusal::precondition(message, "wait; `soak_min_ms` in the controller's configuration sets how long"))
        }
        _ => Err(not_in(found, "released", "only a soaking batch can: its old credentials end then")),
    }
}

impl World {
    /// How long a batch still has to soak. Counted from the last of its nodes that came to be served by its target.
    #[must_use]
    pub fn soak_left(&self, batch: &Batch, now: UnixMillis) -> Duration {
        let since = self.remaining(batch).map(|(_, moving)| moving.stage_since).max();
        let soaked = since.map_or(Duration::ZERO, |since| now.since(since));
        Duration::from_millis(self.limits.soak_min_ms).saturating_sub(soaked)
    }
}
