//! What the solver answers: the draft of a plan, and a report that explains it.

use crate::words::counted;
use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, ByteCount, NodeId, ShardId};
use std::fmt;

/// A plan that nobody has reviewed yet. Batches run in order, each after the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The shard to relieve.
    pub source: ShardId,
    /// Share of each target's capacity that was kept free.
    pub headroom_percent: u8,
    /// The batches, canary first.
    pub batches: Vec<DraftBatch>,
}

/// Nodes that flip together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftBatch {
    /// Its name.
    pub name: BatchId,
    /// Its moves, in the order of the nodes' names.
    pub moves: Vec<Move>,
}

/// One node and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Which node.
    pub node: NodeId,
    /// Where it goes.
    pub target: ShardId,
    /// Its size when the draft was made.
    pub bytes: ByteCount,
    /// Its objects when the draft was made.
    pub objects: u64,
}

/// How full a shard is, in parts per billion; shown as per cent with one decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fill(pub u64);

impl Fill {
    /// The fill of `used` bytes out of `capacity`. A shard without capacity counts as fuller than any other.
    #[must_use]
    pub fn of(used: ByteCount, capacity: ByteCount) -> Self {
        let parts = (u128::from(used.0) * 1_000_000_000).checked_div(u128::from(capacity.0));
        Self(parts.and_then(|parts| u64::try_from(parts).ok()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permille = self.0 / 1_000_000;
        f.pad(&format!("{}.{} %", permille / 10, permille % 10))
    }
}

/// Why the draft is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The shard to relieve, when its capacity is known. Its copies go only after the soak, so "after" means after release.
    pub source: Option<TargetReport>,
    /// Every target, those that get nothing included.
    pub targets: Vec<TargetReport>,
    /// One line per node that moves, in the order of the batches.
    pub placements: Vec<PlacementReason>,
    /// One line per node that stays.
    pub staying: Vec<StayReason>,
}

/// What the draft does to one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetReport {
    /// Which shard.
    pub shard: ShardId,
    /// Nodes it gets (the source: loses).
    pub nodes: u64,
    /// Bytes it gets (the source: loses).
    pub bytes: ByteCount,
    /// Fill before the first batch.
    pub fill_before: Fill,
    /// Fill after the last batch.
    pub fill_after: Fill,
}

/// Why a node goes where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementReason {
    /// Which node.
    pub node: NodeId,
    /// With which batch.
    pub batch: BatchId,
    /// Where it goes.
    pub target: ShardId,
    /// One line of words.
    pub why: String,
}

/// Why a node stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StayReason {
    /// Which node.
    pub node: NodeId,
    /// One line of words.
    pub why: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for shard in &self.targets {
            let TargetReport { shard, nodes, bytes, fill_before, fill_after } = shard;
            writeln!(f, "{shard}: gets {}, {bytes}; fill {fill_before} -> {fill_after}", counted(*nodes, "node"))?;
        }
        if let Some(source) = &self.source {
            let TargetReport { shard, nodes, bytes, fill_before, fill_after } = source;
            writeln!(
                f,
                "{shard}: loses {}, {bytes}; fill {fill_before} -> {fill_after} once released",
                counted(*nodes, "node")
            )?;
        }
        writeln!(f, "The largest node was placed first; a line shows its target's fill at that moment.")?;
        for PlacementReason { node, batch, target, why } in &self.placements {
            writeln!(f, "{batch}: {node} -> {target}: {why}")?;
        }
        for StayReason { node, why } in &self.staying {
            writeln!(f, "stays: {node}: {why}")?;
        }
        Ok(())
    }
}
