//! Why a node is where it is, in an operator's words: what it waits for, and what would make it go on.

mod stages;

use crate::batch::{Batch, BatchPhase};
use crate::node::Migration;
use crate::stage::Stage;
use crate::world::World;
use serde::{Deserialize, Serialize};
use shardlift_model::{NodeId, UnixMillis};

/// The answer to "why does this node not move on?".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Where it stands.
    pub where_: String,
    /// Why it stands there.
    pub why: String,
    /// What must happen before it goes on; empty when it does not wait.
    pub waits_for: Vec<String>,
    /// What an operator can do about it; empty when nothing needs to be done.
    pub unblock: Vec<String>,
}

/// Explains one node; `None` when it is not known.
#[must_use]
pub fn explain(world: &World, node: &NodeId, now: UnixMillis) -> Option<Explanation> {
    let known = world.nodes.get(node)?;
    let Some(moving) = &known.migration else {
        return Some(Explanation {
            where_: format!("settled on `{}` (generation {})", known.shard, known.generation),
            why: "no plan moves it".to_owned(),
            waits_for: vec![],
            unblock: vec![],
        });
    };
    let stage = moving.stage;
    let since = now.since(moving.stage_since).as_secs();
    let phase = stage.phase();
    let Migration { batch, source, target, .. } = moving;
    let where_ = format!(
        "{phase} ({stage}) for {since} s, in batch `{batch}`, from `{source}` to `{target}`; `{}` takes writes",
        known.shard
    );
    let mut told = Explanation { where_, why: stages::why(world, known, moving), waits_for: vec![], unblock: vec![] };
    if let Some(held) = &moving.held {
        told.why = held.reason.clone();
        let waited = now.since(held.since).as_secs();
        told.waits_for.push(format!("an operator, for {waited} s"));
        told.unblock.push(held.advice.clone());
        return Some(told);
    }
    told.waits_for = stages::waits_for(world, known, moving);
    told.unblock = stages::unblock(world, known, moving);
    if stage == Stage::Soaking
        && let Some(batch) = world.batches.get(batch)
    {
        told.soak(world, batch, now);
    }
    Some(told)
}

impl Explanation {
    fn soak(&mut self, world: &World, batch: &Batch, now: UnixMillis) {
        let left = world.soak_left(batch, now);
        if batch.phase == BatchPhase::Soaking && left.is_zero() {
            self.waits_for.push(format!("an operator to release batch `{}`", batch.batch));
            self.unblock.push(format!("`shardlift batch release {}`: old credentials end then", batch.batch));
        } else if batch.phase == BatchPhase::Soaking {
            self.waits_for.push(format!("the soak, another {} s", left.as_millis().div_ceil(1000)));
        } else {
            self.waits_for.push(format!("the other nodes of batch `{}` to be served by their targets", batch.batch));
        }
    }
}

#[cfg(test)]
mod tests;
