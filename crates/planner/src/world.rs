//! What a plan file is compared with: the cluster as the controller knows it.

use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, ByteCount, NodeId, ShardId};
use std::collections::BTreeMap;

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
    /// The unfinished batch it belongs to, if any.
    pub busy: Option<BatchId>,
}
