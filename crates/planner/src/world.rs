//! What a plan file is compared with: the cluster as the controller knows it.

use crate::load::LoadProfile;
use crate::problem::PlanOptions;
use crate::problem::wishes::CustomerRule;
use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, ByteCount, CustomerId, Generation, NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};

/// The cluster at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorldView {
    /// Revision of the plan that is in force; 0 when there was none yet.
    pub revision: u64,
    /// All shards.
    pub shards: BTreeMap<ShardId, ShardView>,
    /// All nodes.
    pub nodes: BTreeMap<NodeId, NodeView>,
    /// Every batch of every plan so far, with its moves: a name means one set of moves for ever.
    pub batches: BTreeMap<BatchId, BTreeMap<NodeId, ShardId>>,
    /// What every plan has to keep.
    #[serde(default)]
    pub rules: Rules,
}

/// What every plan has to keep, whoever wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Fewest days of growth for which targets keep room; `None`: as the plan's wishes say.
    pub horizon_days: Option<u16>,
    /// Nodes that do not move now.
    pub holds: BTreeSet<NodeId>,
    /// Where some nodes may go.
    pub targets_of: BTreeMap<NodeId, BTreeSet<ShardId>>,
    /// How nodes of one customer stand to each other.
    pub customers: BTreeMap<CustomerId, CustomerRule>,
}

impl Rules {
    /// The rules among the wishes for a plan.
    #[must_use]
    pub fn of(options: &PlanOptions) -> Self {
        let sets = options.targets_of.iter();
        Self {
            horizon_days: Some(options.horizon_days),
            holds: options.holds.iter().cloned().collect(),
            targets_of: sets.map(|(node, targets)| (node.clone(), targets.iter().cloned().collect())).collect(),
            customers: options.customers.clone(),
        }
    }
}

/// One shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardView {
    /// All bytes it could hold.
    pub capacity: ByteCount,
    /// Bytes free, less what unfinished batches will still bring.
    pub free: ByteCount,
    /// True when it answers.
    pub reachable: bool,
    /// Bytes that are gained there each day by what is no node of this world.
    #[serde(default)]
    pub growth_bytes_per_day: i64,
    /// Load it bears in one hour; `None` when nobody knows.
    #[serde(default)]
    pub load_capacity: Option<u64>,
    /// Load by hour that is not of a node of this world.
    #[serde(default)]
    pub load: LoadProfile,
}

impl ShardView {
    /// A reachable shard of which only its room is known.
    #[must_use]
    pub fn new(capacity: ByteCount, free: ByteCount) -> Self {
        let load = LoadProfile::default();
        Self { capacity, free, reachable: true, growth_bytes_per_day: 0, load_capacity: None, load }
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its writer.
    pub shard: ShardId,
    /// Bytes it stores.
    pub bytes: ByteCount,
    /// Objects it stores.
    pub objects: u64,
    /// How often it has changed hands.
    #[serde(default)]
    pub generation: Generation,
    /// The unfinished batch it belongs to, if any.
    pub busy: Option<BatchId>,
    /// Who owns it; `None`: nobody in particular.
    #[serde(default)]
    pub customer: Option<CustomerId>,
    /// True when it has to stay.
    #[serde(default)]
    pub pinned: bool,
    /// Bytes it gains each day; below zero when it shrinks.
    #[serde(default)]
    pub growth_bytes_per_day: i64,
    /// Its load by hour of the week; zero without a measurement.
    #[serde(default)]
    pub load: LoadProfile,
}

impl NodeView {
    /// A node that is not moving and of which only its size is known.
    #[must_use]
    pub fn new(shard: ShardId, bytes: ByteCount, objects: u64) -> Self {
        let (generation, busy, customer, load) = Default::default();
        Self { shard, bytes, objects, generation, busy, customer, pinned: false, growth_bytes_per_day: 0, load }
    }
}
