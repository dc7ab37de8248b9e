//! What a shard says of the moments that the promises of a move are about, at level `trace` and under targets of their own, so that
//! whoever watches a system from outside can hold what happened against what was promised.

use crate::engine::Op;
use shardlift_model::{Generation, NodeId};

/// A client's change is durable: `node`, `generation`, `seq`, `kind`, `object`, `stored`. Said before it is acknowledged (INV-01, INV-02).
pub const MUTATION: &str = "shardlift_shard::witness::mutation";

/// A mutation waits for a fence to end: `node`.
pub const PARKED: &str = "shardlift_shard::witness::parked";

/// A fence found mutations in flight and waits for them: `node`.
pub const DRAINED: &str = "shardlift_shard::witness::drained";

/// A command of the controller came a second time: `node`.
pub const REPEATED: &str = "shardlift_shard::witness::repeated";

/// A change that a client asked for.
#[derive(Debug)]
pub(crate) struct Mutation {
    pub(crate) node: NodeId,
    pub(crate) generation: Generation,
    pub(crate) seq: u64,
    pub(crate) op: Op,
}

impl Mutation {
    /// It is durable.
    pub(crate) fn say(&self) {
        let Self { node, generation, seq, op } = self;
        let (kind, object, stored) = (op.key().kind().as_str(), op.key().name(), matches!(op, Op::Put(_)));
        let generation = generation.0;
        tracing::trace!(target: MUTATION, %node, generation, seq, kind, %object, stored, "a client's change is durable");
    }
}
