//! What differs: a plan file from another, and from the world.

use crate::planfile::{BatchEntry, PlanFile};
use crate::words::counted;
use crate::world::WorldView;
use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, ByteCount, NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One thing that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Difference {
    /// It moves in the second only.
    Added {
        /// Which node.
        node: NodeId,
        /// With which batch.
        batch: BatchId,
        /// Where to.
        target: ShardId,
    },
    /// It moves in the first only.
    Removed {
        /// Which node.
        node: NodeId,
        /// With which batch.
        batch: BatchId,
    },
    /// It has another target.
    Target {
        /// Which node.
        node: NodeId,
        /// In the first.
        before: ShardId,
        /// In the second.
        after: ShardId,
    },
    /// It moves with another batch.
    Batch {
        /// Which node.
        node: NodeId,
        /// In the first.
        before: BatchId,
        /// In the second.
        after: BatchId,
    },
    /// The whole plan says something else.
    Plan {
        /// Which key.
        key: String,
        /// In the first; `None`: it is not said.
        before: Option<String>,
        /// In the second; `None`: it is not said.
        after: Option<String>,
    },
    /// A batch that both have waits for something else, or its soak must show something else.
    Policy {
        /// Which batch.
        batch: BatchId,
        /// Which key.
        key: &'static str,
        /// In the first.
        before: String,
        /// In the second.
        after: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { node, batch, target } => write!(f, "+ {node} -> {target} with {batch}"),
            Self::Removed { node, batch } => write!(f, "- {node} with {batch}"),
            Self::Target { node, before, after } => write!(f, "~ {node}: target {before} -> {after}"),
            Self::Batch { node, before, after } => write!(f, "~ {node}: batch {before} -> {after}"),
            Self::Plan { key, before, after } => {
                let said = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
                write!(f, "~ {key}: {} -> {}", said(before), said(after))
            }
            Self::Policy { batch, key, before, after } => write!(f, "~ batch {batch}: {key} {before} -> {after}"),
        }
    }
}

/// What the second plan does otherwise than the first: the plan as a whole, then batches, then nodes. One node may differ in two ways.
/// Revisions, comments and `[drawn]` do not count.
#[must_use]
pub fn plans(first: &PlanFile, second: &PlanFile) -> Vec<Difference> {
    let (before, after) = (moves(first), moves(second));
    let mut differences = heads(first, second);
    differences.extend(policies(first, second));
    for (node, (batch, target)) in &before {
        let node = || (*node).clone();
        let Some((other_batch, other_target)) = after.get(&node()) else {
            differences.push(Difference::Removed { node: node(), batch: (*batch).clone() });
            continue;
        };
        if target != other_target {
            let (before, after) = ((*target).clone(), (*other_target).clone());
            differences.push(Difference::Target { node: node(), before, after });
        }
        if batch != other_batch {
            let (before, after) = ((*batch).clone(), (*other_batch).clone());
            differences.push(Difference::Batch { node: node(), before, after });
        }
    }
    for (node, (batch, target)) in after.iter().filter(|(node, _)| !before.contains_key(*node)) {
        let (batch, target) = ((*batch).clone(), (*target).clone());
        differences.push(Difference::Added { node: (*node).clone(), batch, target });
    }
    differences
}

/// What is said of the plan as a whole.
fn heads(first: &PlanFile, second: &PlanFile) -> Vec<Difference> {
    let said = |file: &PlanFile| {
        let mut said = BTreeMap::from_iter(file.wishes.spelled());
        said.insert("source".to_owned(), file.source().to_string());
        said.insert("headroom_percent".to_owned(), file.headroom_percent.to_string());
        let damaged: BTreeSet<&str> = file.accept_damaged.iter().map(|node| node.value.as_str()).collect();
        if !damaged.is_empty() {
            said.insert("accept_damaged".to_owned(), Vec::from_iter(damaged).join(", "));
        }
        said
    };
    let (before, after) = (said(first), said(second));
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    differ
        .map(|key| Difference::Plan {
            key: key.clone(),
            before: before.get(key).map(|value| one_line(value)),
            after: after.get(key).map(|value| one_line(value)),
        })
        .collect()
}

fn one_line(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What batches that both have wait for.
fn policies(first: &PlanFile, second: &PlanFile) -> Vec<Difference> {
    let of = |file: &PlanFile| {
        let mut above: Option<BatchId> = None;
        let batches = file.batches.iter().map(|batch| {
            let names = match &batch.after {
                Some(names) => names.iter().map(|name| name.value.to_string()).collect(),
                None => above.iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
            };
            above = Some(batch.name.value.clone());
            (batch.name.value.clone(), said(batch, names))
        });
        batches.collect::<BTreeMap<_, _>>()
    };
    let (before, after) = (of(first), of(second));
    let mut differences = Vec::new();
    for (batch, values) in &before {
        for ((key, before), (_, after)) in values.iter().zip(after.get(batch).into_iter().flatten()) {
            if before != after {
                let (before, after) = (before.clone(), after.clone());
                differences.push(Difference::Policy { batch: batch.clone(), key, before, after });
            }
        }
    }
    differences
}

fn said(batch: &BatchEntry, after: BTreeSet<String>) -> [(&'static str, String); 5] {
    let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let windows: Vec<String> = batch.windows.iter().map(ToString::to_string).collect();
    let soak = batch.soak;
    let mut wanted = vec![format!("{} s", soak.min_ms / 1000)];
    wanted.extend(soak.backup.then(|| "backup".to_owned()));
    wanted.extend(soak.verify.then(|| "verify".to_owned()));
    wanted.push(format!("on alert {}", soak.on_alert.as_str()));
    [
        ("after", or_none(Vec::from_iter(after).join(", "))),
        ("when", batch.when.as_str().to_owned()),
        ("windows", or_none(windows.join(", "))),
        ("force_after", batch.force_after_ms.map_or_else(|| "none".to_owned(), |ms| format!("{} s", ms / 1000))),
        ("soak", wanted.join(", ")),
    ]
}

fn moves(file: &PlanFile) -> BTreeMap<&NodeId, (&BatchId, &ShardId)> {
    file.batches().flat_map(|(batch, moves)| moves.map(move |(node, target)| (node, (batch, target)))).collect()
}

/// What of a plan is done in a world, and what is not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Nodes that are at their target, and their bytes.
    pub done: (u64, ByteCount),
    /// Nodes that are moving now.
    pub moving: (u64, ByteCount),
    /// Nodes that are still on the source.
    pub open: (u64, ByteCount),
    /// Nodes that are somewhere else: which, and where.
    pub elsewhere: Vec<(NodeId, ShardId)>,
    /// Nodes that the world does not know.
    pub unknown: Vec<NodeId>,
}

/// A plan beside the world.
#[must_use]
pub fn world(file: &PlanFile, world: &WorldView) -> Standing {
    let mut standing = Standing::default();
    for (node, (_, target)) in moves(file) {
        let Some(view) = world.nodes.get(node) else {
            standing.unknown.push(node.clone());
            continue;
        };
        let count = if view.busy.is_some() {
            &mut standing.moving
        } else if view.shard == *target {
            &mut standing.done
        } else if view.shard == *file.source() {
            &mut standing.open
        } else {
            standing.elsewhere.push((node.clone(), view.shard.clone()));
            continue;
        };
        count.0 += 1;
        count.1 = count.1.saturating_add(view.bytes);
    }
    standing
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, (nodes, bytes)) in [("at their target", self.done), ("moving", self.moving), ("to go", self.open)] {
            writeln!(f, "{word}: {}, {bytes}", counted(nodes, "node"))?;
        }
        self.elsewhere.iter().try_for_each(|(node, shard)| writeln!(f, "elsewhere: {node} on {shard}"))?;
        self.unknown.iter().try_for_each(|node| writeln!(f, "unknown: {node}"))
    }
}
