//! Why a node is where it is, in an operator's words: what it waits for, and what would make it go on.

mod stages;
mod waits;

use crate::batch::{Batch, BatchPhase};
use crate::node::Node;
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
    let (phase, giver, taker) = (moving.phase(), moving.giver(), moving.taker());
    let (batch, writer) = (&moving.batch, &known.shard);
    let where_ = format!(
        "{phase} ({stage}) for {since} s, in batch `{batch}`, from `{giver}` to `{taker}`; `{writer}` takes writes",
    );
    let mut told = Explanation { where_, why: stages::why(world, known, moving), waits_for: vec![], unblock: vec![] };
    if let Some(held) = &moving.held {
        told.why = held.reason.clone();
        let waited = now.since(held.since).as_secs();
        told.waits_for.push(format!("an operator, for {waited} s"));
        told.unblock.push(held.advice.clone());
        return Some(told);
    }
    told.waits_for = waits::waits_for(world, known, moving, now);
    told.unblock = waits::unblock(world, known, moving);
    if moving.is_soaking()
        && let Some(batch) = world.batches.get(batch)
    {
        told.soak(world, known, batch, now);
    }
    Some(told)
}

impl Explanation {
    fn soak(&mut self, world: &World, node: &Node, batch: &Batch, now: UnixMillis) {
        let name = &batch.batch;
        let missing = world.soak_missing(batch, now);
        if batch.phase == BatchPhase::Committed {
            self.waits_for.push(format!("the other nodes of batch `{name}` to be served by their targets"));
        } else if missing.is_empty() {
            self.waits_for.push(format!("an operator to release batch `{name}`"));
            self.unblock.push(format!("`shardlift batch release {name}`: old credentials end then"));
        } else {
            self.waits_for.push(format!("the verdict of the soak: {}", missing.join("; ")));
        }
        self.unblock.push(format!("roll back: `shardlift node rollback {}`", node.node));
    }
}

#[cfg(test)]
mod tests;
