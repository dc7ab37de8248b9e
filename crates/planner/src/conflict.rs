//! Why a problem has no plan, in words an operator can act on.

use crate::words::counted;
use serde::{Deserialize, Serialize};
use shardlift_model::{ByteCount, NodeId, ShardId};

/// Constraints or figures that cannot hold together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "conflict", rename_all = "snake_case")]
pub enum Conflict {
    /// The inventory names a node twice.
    #[error("the inventory names node `{node}` twice")]
    NodeTwice {
        /// The node.
        node: NodeId,
    },
    /// The inventory names a shard twice.
    #[error("the inventory names shard `{shard}` twice")]
    ShardTwice {
        /// The shard.
        shard: ShardId,
    },
    /// A shard reports what cannot be.
    #[error("shard `{shard}` reports {free} free of a capacity of {capacity}")]
    FreeAboveCapacity {
        /// The shard.
        shard: ShardId,
        /// What it says is free.
        free: ByteCount,
        /// What it says is its capacity.
        capacity: ByteCount,
    },
    /// More than everything in reserve.
    #[error("a headroom of {percent} % is more than the whole shard; 0 to 100 is expected")]
    Headroom {
        /// The wish.
        percent: u8,
    },
    /// A canary without a node.
    #[error("a canary batch of 0 nodes shows nothing; at least 1 is expected")]
    EmptyCanary,
    /// Batches without nodes.
    #[error("batches of 0 nodes never end; at least 1 is expected, or no figure for doubling batches")]
    EmptyBatches,
    /// A target that is not in the inventory.
    #[error("target `{shard}` is not a shard of this cluster")]
    UnknownTarget {
        /// The wish.
        shard: ShardId,
    },
    /// A target that is the source.
    #[error("`{shard}` is the source and cannot be a target too")]
    TargetIsSource {
        /// The wish.
        shard: ShardId,
    },
    /// Only the source is there.
    #[error("there is no shard but the source `{source_shard}`; add one with `shardlift shard add`")]
    NoTarget {
        /// The shard to relieve.
        source_shard: ShardId,
    },
    /// A node that should stay is not there.
    #[error(
        "node `{node}` is excluded but is not on `{source_shard}`; a misspelt name would move the node that was meant"
    )]
    UnknownExclusion {
        /// The wish.
        node: NodeId,
        /// The shard to relieve.
        source_shard: ShardId,
    },
    /// Every node stays.
    #[error("no node on `{source_shard}` may move: {staying} are excluded or pinned")]
    NothingToMove {
        /// The shard to relieve.
        source_shard: ShardId,
        /// How many nodes stay.
        staying: usize,
    },
    /// A node that no target could take even if it were the only one. This is proven.
    #[error(
        "node `{node}` ({bytes}) fits on no target: `{shard}` has the most room, {room} above its reserve; \
         {missing} are missing{}", other_nodes(*.others)
    )]
    NodeTooLarge {
        /// The largest node.
        node: NodeId,
        /// Its size.
        bytes: ByteCount,
        /// The target with the most room.
        shard: ShardId,
        /// That room.
        room: ByteCount,
        /// What is missing there.
        missing: ByteCount,
        /// How many other nodes are larger than that room, too.
        others: usize,
    },
    /// All nodes together are larger than all targets together. This is proven.
    #[error(
        "{} with {bytes} do not fit on {}, which have {room} above their reserve; \
         {missing} are missing; the first that finds no place is `{node}`",
        counted(*.nodes, "node"), counted(*.targets, "target")
    )]
    NotEnoughRoom {
        /// How many nodes should move.
        nodes: u64,
        /// Their size together.
        bytes: ByteCount,
        /// How many targets there are.
        targets: u64,
        /// Their room together.
        room: ByteCount,
        /// The difference.
        missing: ByteCount,
        /// The first node, largest first, for which no room was left.
        node: NodeId,
    },
    /// The room is enough as a sum, but no packing was found. Another one might exist.
    #[error(
        "no packing was found, though the room is enough as a sum: node `{node}` ({bytes}) is the first without a \
         place; `{shard}` has the most room left, {room}; {missing} are missing; exclude a large node or add room"
    )]
    NoPackingFound {
        /// The first node without a place.
        node: NodeId,
        /// Its size.
        bytes: ByteCount,
        /// The target with the most room left at that point.
        shard: ShardId,
        /// That room.
        room: ByteCount,
        /// What is missing there.
        missing: ByteCount,
    },
    /// A figure or a name that cannot be, and where it stands.
    #[error("{place}: {figure}; {expected} is expected")]
    Figure {
        /// Node, shard or option.
        place: String,
        /// What is there.
        figure: String,
        /// What would be right.
        expected: String,
    },
    /// Wishes that cannot all be granted; without any one of them the others can.
    #[error("{}", wishes_text(.wishes, *.proven))]
    Wishes {
        /// Each in words.
        wishes: Vec<String>,
        /// True when it is proven; otherwise no plan was found, and one might exist.
        proven: bool,
    },
    /// No batch name is left that earlier plans have not used.
    #[error("no batch name is left")]
    NoNameLeft,
}

fn other_nodes(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => "; 1 other node is too large as well".to_owned(),
        _ => format!("; {count} other nodes are too large as well"),
    }
}

fn wishes_text(wishes: &[String], proven: bool) -> String {
    let head = if proven { "these cannot hold together" } else { "no plan was found that keeps all of these" };
    let tail = match wishes {
        [_] => "without it there is one",
        _ => "without any one of them there is one",
    };
    format!("{head}: {}; {tail}", wishes.join("; "))
}
