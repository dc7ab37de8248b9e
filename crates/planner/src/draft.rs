//! What the solver answers: the draft of a plan, and a report that explains it.

use crate::load::HourOfWeek;
use crate::policy::{When, Window};
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
    /// When it should flip.
    #[serde(default)]
    pub moment: Moment,
}

/// When a batch should flip. Without load nobody knows: now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// What it waits for when all its nodes are ready.
    pub when: When,
    /// Hours of the day in which its nodes are idle on every day of the week.
    pub windows: Vec<Window>,
    /// After so many milliseconds it does not wait for idle nodes any more.
    pub force_after_ms: Option<u64>,
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

/// How full a shard is, with bytes or with load, in parts per billion; shown as per cent with one decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fill(pub u64);

impl Fill {
    /// The fill of `used` bytes out of `capacity`. A shard without capacity counts as fuller than any other.
    #[must_use]
    pub fn of(used: ByteCount, capacity: ByteCount) -> Self {
        Self::of_load(used.0, capacity.0)
    }

    /// The share of `load` in `capacity`, both of one hour.
    #[must_use]
    pub fn of_load(load: u64, capacity: u64) -> Self {
        let parts = (u128::from(load) * 1_000_000_000).checked_div(u128::from(capacity));
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
    /// What becomes of the busiest hour, where load is known.
    #[serde(default)]
    pub load: Option<LoadReport>,
    /// The shard to relieve, when its capacity is known. Its copies go only after the soak, so "after" means after release.
    pub source: Option<TargetReport>,
    /// Every target, those that get nothing included.
    pub targets: Vec<TargetReport>,
    /// One line per node that moves, in the order of the batches.
    pub placements: Vec<PlacementReason>,
    /// One line per node that stays.
    pub staying: Vec<StayReason>,
}

/// The busiest hour of a shard's week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// Which shard.
    pub shard: ShardId,
    /// Which hour.
    pub hour: HourOfWeek,
    /// Its load over the shard's load capacity.
    pub share: Fill,
}

impl fmt::Display for Peak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} {}", self.share, self.shard, self.hour)
    }
}

/// What the draft does to the load. Shards that it cannot change are not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadReport {
    /// What was aimed at, in words.
    pub goal: String,
    /// The busiest hour before.
    pub before: Peak,
    /// The busiest hour after the last batch.
    pub after: Peak,
    /// No plan under the same wishes ends lower.
    pub lower_bound: Fill,
    /// What holds the lower bound up, in words.
    pub binding: String,
    /// Nodes that move.
    pub moves: u64,
    /// Bytes that move.
    pub bytes: ByteCount,
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { goal, before, after, lower_bound, binding, moves, bytes } = self;
        writeln!(f, "goal: {goal}")?;
        writeln!(f, "peak: {before} -> {after}; not below {lower_bound}: {binding}")?;
        match moves {
            0 => writeln!(f, "moves: none is needed"),
            _ => writeln!(f, "moves: {}, {bytes}", counted(*moves, "node")),
        }
    }
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
    /// Its busiest hour before and after, where load is known.
    #[serde(default)]
    pub peak: Option<(Fill, Fill)>,
}

impl TargetReport {
    fn peak_text(&self) -> String {
        self.peak.map(|(before, after)| format!("; peak hour {before} -> {after}")).unwrap_or_default()
    }
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

const ORDER_BY_BYTES: &str = "The largest node was placed first; a line shows its target's fill at that moment.";
const ORDER_BY_LOAD: &str =
    "The nodes with the most load were placed first; a line shows its target's busiest hour at the end.";

impl Report {
    /// What the draft comes to, a line each: peaks and bound, what each shard gets, and the first few of the nodes that stay.
    #[must_use]
    pub fn summary(&self, staying_max: usize) -> Vec<String> {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_sums(&mut text);
        let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        let staying = self.staying.iter().take(staying_max);
        lines.extend(staying.map(|StayReason { node, why }| format!("stays: {node}: {why}")));
        if let Some(more) = self.staying.len().checked_sub(staying_max).filter(|more| *more > 0) {
            lines.push(format!("{} more stay", counted(more as u64, "node")));
        }
        lines
    }

    fn write_sums(&self, f: &mut impl fmt::Write) -> fmt::Result {
        if let Some(load) = &self.load {
            write!(f, "{load}")?;
        }
        for shard in &self.targets {
            let peak = shard.peak_text();
            let TargetReport { shard, nodes, bytes, fill_before, fill_after, .. } = shard;
            let nodes = counted(*nodes, "node");
            writeln!(f, "{shard}: gets {nodes}, {bytes}; fill {fill_before} -> {fill_after}{peak}")?;
        }
        if let Some(source) = &self.source {
            let peak = source.peak_text();
            let TargetReport { shard, nodes, bytes, fill_before, fill_after, .. } = source;
            let nodes = counted(*nodes, "node");
            writeln!(f, "{shard}: loses {nodes}, {bytes}; fill {fill_before} -> {fill_after} once released{peak}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_sums(f)?;
        writeln!(f, "{}", if self.load.is_some() { ORDER_BY_LOAD } else { ORDER_BY_BYTES })?;
        for PlacementReason { node, batch, target, why } in &self.placements {
            writeln!(f, "{batch}: {node} -> {target}: {why}")?;
        }
        for StayReason { node, why } in &self.staying {
            writeln!(f, "stays: {node}: {why}")?;
        }
        Ok(())
    }
}
