//! The world that a plan was drawn in, as its file notes it in `[drawn]`: what was true of its nodes and targets then, so that whoever
//! applies it is told what has changed.

use crate::world::WorldView;
use shardlift_model::{ByteCount, Generation, NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// The table `[drawn]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// When, as RFC 3339 writes it.
    pub at: String,
    /// The nodes that move.
    pub nodes: BTreeMap<NodeId, DrawnNode>,
    /// Free bytes of the shards that they go to.
    pub targets: BTreeMap<ShardId, ByteCount>,
}

/// What was true of a node. In a file: `source 3 12884901888`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawnNode {
    /// Where its writer was.
    pub shard: ShardId,
    /// Its generation.
    pub generation: Generation,
    /// Bytes it stored.
    pub bytes: ByteCount,
}

impl Drawn {
    /// What is true now of these moves.
    #[must_use]
    pub fn of<'m>(at: String, moves: impl Iterator<Item = (&'m NodeId, &'m ShardId)>, world: &WorldView) -> Self {
        let mut drawn = Self { at, nodes: BTreeMap::new(), targets: BTreeMap::new() };
        for (node, target) in moves {
            if let Some(view) = world.nodes.get(node) {
                let (shard, generation, bytes) = (view.shard.clone(), view.generation, view.bytes);
                drawn.nodes.insert(node.clone(), DrawnNode { shard, generation, bytes });
            }
            if let Some(view) = world.shards.get(target).filter(|_| !drawn.targets.contains_key(target)) {
                drawn.targets.insert(target.clone(), view.free);
            }
        }
        drawn
    }
}

impl fmt::Display for DrawnNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.shard, self.generation.0, self.bytes.0)
    }
}

/// Text that says nothing of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("shard, generation and bytes are expected, such as \"source 3 12884901888\"")]
pub struct DrawnError;

impl FromStr for DrawnNode {
    type Err = DrawnError;

    fn from_str(text: &str) -> Result<Self, DrawnError> {
        let parts: Vec<&str> = text.split(' ').collect();
        let [shard, generation, bytes] = parts[..] else { return Err(DrawnError) };
        let number = |text: &str| text.parse::<u64>().map_err(|_| DrawnError);
        let shard = shard.parse().map_err(|_| DrawnError)?;
        Ok(Self { shard, generation: Generation(number(generation)?), bytes: ByteCount(number(bytes)?) })
    }
}

/// Writes the tables.
pub(super) fn write_drawn(f: &mut impl fmt::Write, drawn: &Drawn) -> fmt::Result {
    let Drawn { at, nodes, targets } = drawn;
    writeln!(
        f,
        "\n# What was true when this plan was drawn; `plan apply` says what has changed since. No need to edit it."
    )?;
    writeln!(f, "[drawn]\nat = {at}\n[drawn.nodes]  # shard, generation, bytes")?;
    nodes.iter().try_for_each(|(node, then)| writeln!(f, "\"{node}\" = \"{then}\""))?;
    writeln!(f, "[drawn.targets]  # bytes free")?;
    targets.iter().try_for_each(|(target, free)| writeln!(f, "\"{target}\" = {}", free.0))
}

/// A node or a target that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// The cluster does not know the node any more.
    Gone {
        /// Which node.
        node: NodeId,
    },
    /// The node has another writer.
    Moved {
        /// Which node.
        node: NodeId,
        /// Its writer then.
        before: ShardId,
        /// Its writer now.
        now: ShardId,
    },
    /// The node has moved and come back, or was taken over.
    Generation {
        /// Which node.
        node: NodeId,
        /// Then.
        before: Generation,
        /// Now.
        now: Generation,
    },
    /// The node has grown by more than a quarter and more than 1 GiB.
    Grown {
        /// Which node.
        node: NodeId,
        /// Then.
        before: ByteCount,
        /// Now.
        now: ByteCount,
    },
    /// The target has lost more than a tenth of its room.
    Room {
        /// Which shard.
        target: ShardId,
        /// Then.
        before: ByteCount,
        /// Now.
        now: ByteCount,
    },
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone { node } => write!(f, "node `{node}` is gone"),
            Self::Moved { node, before, now } => write!(f, "node `{node}` is on `{now}`, no more on `{before}`"),
            Self::Generation { node, before, now } => {
                write!(f, "node `{node}` has changed hands: generation {} -> {}", before.0, now.0)
            }
            Self::Grown { node, before, now } => write!(f, "node `{node}` has grown: {before} -> {now}"),
            Self::Room { target, before, now } => write!(f, "target `{target}` has less room: {before} -> {now} free"),
        }
    }
}

/// Growth that is worth a word: more than this, and more than a quarter.
const GROWN_BYTES_MIN: u64 = 1 << 30;

/// What changed since a plan was drawn, of the nodes and targets that it still names. A file without `[drawn]` has no drift, and
/// neither have batches that an earlier plan has already.
#[must_use]
pub fn drift(file: &super::PlanFile, world: &WorldView) -> Vec<Drift> {
    let Some(drawn) = &file.drawn else { return Vec::new() };
    let fresh = file.batches.iter().filter(|batch| !world.batches.contains_key(&batch.name.value));
    let moves: Vec<_> = fresh.flat_map(|batch| &batch.moves).map(|one| (&one.node.value, &one.target.value)).collect();
    let nodes: BTreeSet<&NodeId> = moves.iter().map(|one| one.0).collect();
    let targets: BTreeSet<&ShardId> = moves.iter().map(|one| one.1).collect();
    let nodes = nodes.into_iter().filter_map(|node| {
        let then = drawn.nodes.get(node)?;
        let node = || node.clone();
        let Some(now) = world.nodes.get(&node()) else { return Some(Drift::Gone { node: node() }) };
        let grown = now.bytes.0.saturating_sub(then.bytes.0);
        if now.shard != then.shard {
            Some(Drift::Moved { node: node(), before: then.shard.clone(), now: now.shard.clone() })
        } else if now.generation != then.generation {
            Some(Drift::Generation { node: node(), before: then.generation, now: now.generation })
        } else if grown > GROWN_BYTES_MIN && grown > then.bytes.0 / 4 {
            Some(Drift::Grown { node: node(), before: then.bytes, now: now.bytes })
        } else {
            None
        }
    });
    let targets = targets.into_iter().filter_map(|target| {
        let (before, now) = (*drawn.targets.get(target)?, world.shards.get(target)?.free);
        let less = u128::from(now.0) * 10 < u128::from(before.0) * 9;
        less.then(|| Drift::Room { target: target.clone(), before, now })
    });
    nodes.chain(targets).collect()
}
