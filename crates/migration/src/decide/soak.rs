//! What is seen of the soak, and its end.

use super::batches::{known, not_in};
use super::{Refusal, bounded};
use crate::batch::{Batch, BatchPhase, Verdict};
use crate::event::Event;
use crate::soak::SoakFact;
use crate::words::{NAMES_MAX, names};
use crate::world::World;
use shardlift_model::{BatchId, NodeId, UnixMillis};

/// A fact that is known, or that came late, is ignored.
pub(super) fn seen(world: &World, node: &NodeId, fact: &SoakFact, now: UnixMillis) -> Vec<Event> {
    let fact = match fact {
        SoakFact::Alert { reason } => SoakFact::Alert { reason: bounded(reason) },
        fact => fact.clone(),
    };
    let event = Event::SoakFactSeen { node: node.clone(), fact, at: now };
    if world.legal(&event).is_ok() { vec![event] } else { vec![] }
}

pub(super) fn release(world: &World, batch: &BatchId, force: bool, now: UnixMillis) -> Result<Vec<Event>, Refusal> {
    let found = known(world, batch)?;
    match found.phase {
        BatchPhase::Released => return Ok(vec![]),
        BatchPhase::Soaking => {}
        _ => return Err(not_in(found, "released", "only a soaking batch can: its old credentials end then")),
    }
    let mut remaining = world.remaining(found);
    if let Some((node, moving)) = remaining.find(|(_, moving)| !moving.is_soaking() && !moving.is_concluded()) {
        let message = format!("node `{}` of batch `{batch}` is {}", node.node, moving.phase());
        return Err(Refusal::precondition(message, "wait until it rests; `shardlift node explain` says what it does"));
    }
    let missing = world.soak_missing(found, now);
    if !force && !missing.is_empty() {
        let message = format!("the soak of batch `{batch}` is not good yet: {}", missing.join("; "));
        let advice = format!("wait, or release it all the same: `shardlift batch release {batch} --force`");
        return Err(Refusal::precondition(message, advice));
    }
    world.checked(Event::BatchReleased { batch: batch.clone(), at: now })
}

impl World {
    /// What stands between a soaking batch and a good verdict, in words. Empty when the verdict is good, or will be with
    /// the next tick.
    #[must_use]
    pub fn soak_missing(&self, batch: &Batch, now: UnixMillis) -> Vec<String> {
        let mut missing = match &batch.verdict {
            Some(Verdict::Good) => return vec![],
            Some(Verdict::Bad { reason }) => vec![format!("the verdict is bad: {reason}")],
            None => vec![],
        };
        let restless = self.remaining(batch).filter(|(_, moving)| !moving.is_soaking() && !moving.is_concluded());
        missing.extend(
            restless.take(NAMES_MAX).map(|(node, moving)| format!("`{}`, which is {}", node.node, moving.phase())),
        );
        let left = self.soak_left(batch, now);
        if !left.is_zero() {
            missing.push(format!("another {} s", left.as_millis().div_ceil(1000)));
        }
        let soaking = || self.remaining(batch).filter(|(_, moving)| moving.is_soaking());
        let unseen = |wanted: bool, lacks: fn(&crate::Migration) -> bool, what: &str| {
            let mut nodes = soaking().filter(|(_, moving)| wanted && lacks(moving)).peekable();
            let any = nodes.peek().is_some();
            any.then(|| format!("{what} {}", names(nodes.map(|(node, _)| node.node.as_str()))))
        };
        missing.extend(unseen(
            batch.soak.backup,
            |m| m.soak.backup_seen.is_none(),
            "a complete backup at the target of",
        ));
        missing.extend(unseen(batch.soak.verify, |m| !m.soak.verified, "a deep comparison of the copies of"));
        missing
    }
}

#[cfg(test)]
mod tests;
