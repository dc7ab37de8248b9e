//! What the solver is asked: the nodes of one source, the shards that could take them, and the operator's wishes.
//!
//! A problem is plain data from elsewhere and may be absurd; [`Problem::eligible`] is where that is refused, in words.

use crate::conflict::Conflict;
use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, ByteCount, CustomerId, NodeId, ShardId, UnixMillis};
use std::collections::BTreeSet;

/// Share of a shard's capacity that no plan may use, unless the operator says otherwise.
pub const HEADROOM_PERCENT_DEFAULT: u8 = 20;

/// A question to [`crate::solve()`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The shard to relieve.
    pub source: ShardId,
    /// The nodes whose writer is the source.
    pub nodes: Vec<NodeLoad>,
    /// The shards that could be targets. The source may be among them; its fill is then reported.
    pub shards: Vec<ShardCapacity>,
    /// The operator's wishes.
    pub options: PlanOptions,
}

/// One node as it is on the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLoad {
    /// Which node.
    pub node: NodeId,
    /// Who owns it.
    pub customer: CustomerId,
    /// Bytes it stores.
    pub bytes: ByteCount,
    /// Objects it stores.
    pub objects: u64,
    /// Snapshots among them.
    pub snapshots: u64,
    /// When the last snapshot was saved; zero when there is none.
    pub last_snapshot: UnixMillis,
    /// True when the operator wants it to stay.
    pub pinned: bool,
}

/// Room on one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCapacity {
    /// Which shard.
    pub shard: ShardId,
    /// All bytes it could hold.
    pub capacity: ByteCount,
    /// Bytes free, less what unfinished batches will still bring.
    pub free: ByteCount,
}

/// The operator's wishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanOptions {
    /// Shards that may take nodes; empty: every shard but the source.
    pub targets: Vec<ShardId>,
    /// Nodes in the first batch.
    pub canary_nodes: usize,
    /// Nodes in every later batch; `None`: each batch twice as many as the one before.
    pub batch_nodes: Option<usize>,
    /// Nodes that stay. Every one must be on the source, so that a typing error does not move a node.
    pub exclude: Vec<NodeId>,
    /// Share of each target's capacity that stays free.
    pub headroom_percent: u8,
    /// Batch names that earlier plans have used; the draft uses none of them.
    pub taken_names: BTreeSet<BatchId>,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            canary_nodes: 1,
            batch_nodes: None,
            exclude: Vec::new(),
            headroom_percent: HEADROOM_PERCENT_DEFAULT,
            taken_names: BTreeSet::new(),
        }
    }
}

/// The problem after it was found sane: who moves, who stays and why, and who may take them.
pub(crate) struct Eligible<'p> {
    pub(crate) movable: Vec<&'p NodeLoad>,
    pub(crate) staying: Vec<(&'p NodeLoad, &'static str)>,
    pub(crate) targets: Vec<&'p ShardCapacity>,
}

impl Problem {
    /// Refuses figures and wishes that contradict each other, then sorts out who moves and who may take.
    pub(crate) fn eligible(&self) -> Result<Eligible<'_>, Conflict> {
        self.options.refuse_absurd()?;
        let targets = self.targets()?;
        let excluded = self.excluded()?;
        let mut movable = Vec::new();
        let mut staying = Vec::new();
        for node in &self.nodes {
            if excluded.contains(&node.node) {
                staying.push((node, "excluded by the operator"));
            } else if node.pinned {
                staying.push((node, "pinned to its shard"));
            } else {
                movable.push(node);
            }
        }
        movable.sort_by(|a, b| a.node.cmp(&b.node));
        staying.sort_by(|a, b| a.0.node.cmp(&b.0.node));
        if movable.is_empty() {
            return Err(Conflict::NothingToMove { source_shard: self.source.clone(), staying: staying.len() });
        }
        Ok(Eligible { movable, staying, targets })
    }

    fn targets(&self) -> Result<Vec<&ShardCapacity>, Conflict> {
        let mut known = BTreeSet::new();
        for shard in &self.shards {
            if !known.insert(&shard.shard) {
                return Err(Conflict::ShardTwice { shard: shard.shard.clone() });
            }
            if shard.free > shard.capacity {
                let (free, capacity) = (shard.free, shard.capacity);
                return Err(Conflict::FreeAboveCapacity { shard: shard.shard.clone(), free, capacity });
            }
        }
        for target in &self.options.targets {
            if *target == self.source {
                return Err(Conflict::TargetIsSource { shard: target.clone() });
            }
            if !known.contains(target) {
                return Err(Conflict::UnknownTarget { shard: target.clone() });
            }
        }
        let wanted: BTreeSet<&ShardId> = self.options.targets.iter().collect();
        let may_take =
            |shard: &&ShardCapacity| shard.shard != self.source && (wanted.is_empty() || wanted.contains(&shard.shard));
        let mut targets: Vec<_> = self.shards.iter().filter(may_take).collect();
        targets.sort_by(|a, b| a.shard.cmp(&b.shard));
        if targets.is_empty() { Err(Conflict::NoTarget { source_shard: self.source.clone() }) } else { Ok(targets) }
    }

    fn excluded(&self) -> Result<BTreeSet<&NodeId>, Conflict> {
        let mut known = BTreeSet::new();
        for node in &self.nodes {
            if !known.insert(&node.node) {
                return Err(Conflict::NodeTwice { node: node.node.clone() });
            }
        }
        match self.options.exclude.iter().find(|node| !known.contains(node)) {
            Some(node) => Err(Conflict::UnknownExclusion { node: node.clone(), source_shard: self.source.clone() }),
            None => Ok(self.options.exclude.iter().collect()),
        }
    }
}

impl PlanOptions {
    fn refuse_absurd(&self) -> Result<(), Conflict> {
        if self.headroom_percent > 100 {
            return Err(Conflict::Headroom { percent: self.headroom_percent });
        }
        if self.canary_nodes == 0 {
            return Err(Conflict::EmptyCanary);
        }
        if self.batch_nodes == Some(0) {
            return Err(Conflict::EmptyBatches);
        }
        Ok(())
    }
}
