//! How long batches and a whole plan take, as a range, and what limits them.
//!
//! Measured throughput comes in as samples ([`Rates`]); [`Conditions`] are the caps, hours and workers under which the work is
//! done. P50 and P90 are given: half, and nine in ten, of moves like this take at most so long. The range has two parts:
//! what throughput will be on average over the time that is left (the longer, the more it evens out), and how well the
//! samples know it (the fewer and the more alike in a row, the worse). What never moved has no estimate, and says so.
//!
//! The time is an argument; all state can be stored.

mod cap_hours;
mod hours;
mod rates;
mod workers;

pub use cap_hours::CapHours;
pub use hours::shown as time_text;
pub use rates::{RateSample, Rates, SAMPLES_MAX, Usual};
pub use workers::{WorkerAdvice, Workers};

use crate::draft::DraftBatch;
use crate::planfile::PlanFile;
use crate::policy::Window;
use crate::words::counted;
use hours::Day;
use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, ByteCount, NodeId, ShardId, UnixMillis};
use std::collections::BTreeMap;
use std::fmt;

/// Nobody waits so long; an estimate beyond it is "never". Ten years.
const NEVER_MS: f64 = 3660.0 * 86_400_000.0;

/// Quantile of the normal distribution for P90, and a margin for what samples of the past do not know of the future.
const P90: f64 = 1.28 * 1.25;

/// What a batch has to move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchWork {
    /// Which batch.
    pub name: BatchId,
    /// Bytes that are still to go, by target.
    pub bytes: BTreeMap<ShardId, u64>,
    /// What its nodes gain each day while they wait.
    pub growth_bytes_per_day: u64,
    /// Time that does not depend on bytes: the flip, the least time of the soak.
    pub fixed_ms: u64,
}

impl BatchWork {
    /// The whole work of a batch of a draft; `growth` is known of some nodes.
    #[must_use]
    pub fn of(batch: &DraftBatch, growth: &BTreeMap<NodeId, i64>, fixed_ms: u64) -> Self {
        let mut bytes: BTreeMap<ShardId, u64> = BTreeMap::new();
        let mut growing = 0_u64;
        for one in &batch.moves {
            let sum = bytes.entry(one.target.clone()).or_default();
            *sum = sum.saturating_add(one.bytes.0);
            let daily = growth.get(&one.node).copied().unwrap_or(0);
            growing = growing.saturating_add(u64::try_from(daily).unwrap_or(0));
        }
        Self { name: batch.name.clone(), bytes, growth_bytes_per_day: growing, fixed_ms }
    }

    /// No work but time: nodes are added.
    #[must_use]
    pub const fn none(name: BatchId, fixed_ms: u64) -> Self {
        Self { name, bytes: BTreeMap::new(), growth_bytes_per_day: 0, fixed_ms }
    }

    /// Adds a node that goes to `target`: its bytes that are still to go, and what it gains each day.
    pub fn add(&mut self, target: &ShardId, (bytes, growth): (u64, u64)) {
        let sum = self.bytes.entry(target.clone()).or_default();
        *sum = sum.saturating_add(bytes);
        self.growth_bytes_per_day = self.growth_bytes_per_day.saturating_add(growth);
    }

    /// All bytes that are still to go.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.bytes.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
}

/// The least soak of each batch of a plan file, in milliseconds.
#[must_use]
pub fn soaks_of(file: &PlanFile) -> BTreeMap<&BatchId, u64> {
    file.batches.iter().map(|batch| (&batch.name.value, batch.soak.min_ms)).collect()
}

/// Under what the work is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conditions {
    /// Most bytes per second that leave the source.
    pub source_cap: Option<u64>,
    /// The same by time of day.
    pub source_hours: CapHours,
    /// Most bytes per second that single targets take: their disk, or an operator's cap.
    pub target_caps: BTreeMap<ShardId, u64>,
    /// When data moves, in UTC; empty: always.
    pub windows: Vec<Window>,
    /// Moves at the same time; 0: as many as were measured.
    pub workers: u16,
}

/// What limits an estimate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "limit", rename_all = "snake_case")]
pub enum Limit {
    /// The cap of the source.
    SourceCap,
    /// A target's disk or cap.
    Target {
        /// Which.
        shard: ShardId,
    },
    /// The hours in which data may move.
    Windows,
    /// Moves at the same time.
    Workers {
        /// How many.
        count: u16,
    },
    /// What was measured; nothing that was asked for is below it.
    Measured,
    /// The nodes grow as fast as they are moved.
    Growth,
    /// Time that does not depend on bytes.
    Fixed,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceCap => f.write_str("the cap of the source"),
            Self::Target { shard } => write!(f, "what target {shard} takes"),
            Self::Windows => f.write_str("the hours in which data may move"),
            Self::Workers { count } => write!(f, "{} at the same time", counted(u64::from(*count), "move")),
            Self::Measured => f.write_str("the throughput that was measured"),
            Self::Growth => f.write_str("nodes that grow as fast as they move"),
            Self::Fixed => f.write_str("flip and soak"),
        }
    }
}

/// A range of time from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Half of all moves like this take at most so long; `None`: it never ends.
    pub p50_ms: Option<u64>,
    /// Nine in ten do.
    pub p90_ms: Option<u64>,
    /// What limits it.
    pub limit: Limit,
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p90) = (hours::shown(self.p50_ms), hours::shown(self.p90_ms));
        write!(f, "P50 {p50}, P90 {p90}; limited by {}", self.limit)
    }
}

/// Estimates of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanEstimate {
    /// Each batch, from the expected end of the one before.
    pub batches: Vec<(BatchId, Estimate)>,
    /// All of them, one after the other.
    pub whole: Estimate,
}

/// Nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no throughput was measured yet: the canary gives the first figures")]
pub struct NotMeasured;

/// How long this work takes from `now` on.
///
/// # Errors
/// [`NotMeasured`] without a sample.
pub fn estimate(
    work: &[BatchWork],
    rates: &Rates,
    conditions: &Conditions,
    now: UnixMillis,
) -> Result<PlanEstimate, NotMeasured> {
    let mut start = now;
    let mut batches = Vec::with_capacity(work.len());
    for batch in work {
        let one = range(std::slice::from_ref(batch), rates, conditions, start)?;
        if let Some(p50) = one.p50_ms {
            start = UnixMillis(start.0.saturating_add(p50));
        }
        batches.push((batch.name.clone(), one));
    }
    Ok(PlanEstimate { batches, whole: range(work, rates, conditions, now)? })
}

/// The same work under other conditions beside the present ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhatIf {
    /// As it is.
    pub present: PlanEstimate,
    /// As it would be.
    pub other: PlanEstimate,
}

impl fmt::Display for WhatIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "now:  {}", self.present.whole)?;
        writeln!(f, "then: {}", self.other.whole)
    }
}

/// Compares conditions.
///
/// # Errors
/// [`NotMeasured`] without a sample.
pub fn what_if(
    work: &[BatchWork],
    rates: &Rates,
    (present, other): (&Conditions, &Conditions),
    now: UnixMillis,
) -> Result<WhatIf, NotMeasured> {
    let (present, other) = (estimate(work, rates, present, now)?, estimate(work, rates, other, now)?);
    Ok(WhatIf { present, other })
}

fn range(work: &[BatchWork], rates: &Rates, conditions: &Conditions, now: UnixMillis) -> Result<Estimate, NotMeasured> {
    let fixed = work.iter().fold(0.0, |sum, batch| sum + batch.fixed_ms as f64);
    if work.iter().all(|batch| batch.total() == 0) {
        // Nothing has to be known of throughput.
        let all = Some(fixed as u64);
        return Ok(Estimate { p50_ms: all, p90_ms: all, limit: Limit::Fixed });
    }
    let known = rates.known(conditions.workers).ok_or(NotMeasured)?;
    let median = active(work, conditions, known.mean, known.capped_by_workers(conditions.workers));
    let slow = known.mean - P90 * known.error_over(median.longest_ms());
    // A throughput of nothing is not expected for ever: the slowest sample is.
    let late = active(work, conditions, slow.max(known.slowest), None);
    let caps = Day::of(conditions, known.mean.min(cap_of(conditions)));
    // What a target takes, it takes below the caps of the source.
    let open = Day::of(conditions, 0.0);
    let wall = |active: &Active| {
        let moved = |day: &Day, ms: f64| (ms <= NEVER_MS).then(|| day.wall_ms(now, ms.floor())).flatten();
        let source = moved(&caps, active.source_ms)?;
        active.target.as_ref().map_or(Some(source), |(ms, _)| Some(source.max(moved(&open, *ms)?)))
    };
    let p50 = wall(&median);
    let p90 = p50.zip(wall(&late)).map(|(p50, p90)| p50.max(p90));
    let whole = |moved: Option<u64>| moved.map(|moved| moved.saturating_add(fixed as u64));
    Ok(Estimate { p50_ms: whole(p50), p90_ms: whole(p90), limit: limit_of(&median, p50, fixed, conditions) })
}

/// What an estimate is limited by, once it is known how long data moves by the clock.
fn limit_of(median: &Active, moved_ms: Option<u64>, fixed_ms: f64, conditions: &Conditions) -> Limit {
    let moved = moved_ms.map_or(f64::INFINITY, |ms| ms as f64);
    let longest = median.longest_ms();
    match (&median.limit, &median.target) {
        (Limit::Growth, _) => Limit::Growth,
        _ if !conditions.windows.is_empty() && moved > 2.0 * longest + fixed_ms => Limit::Windows,
        _ if fixed_ms > moved => Limit::Fixed,
        // Nothing but a cap of some hours makes it so much longer.
        _ if conditions.windows.is_empty() && moved > 1.1 * longest => Limit::SourceCap,
        (_, Some((_, shard))) => Limit::Target { shard: shard.clone() },
        (limit, None) => limit.clone(),
    }
}

/// Time in which data moves.
struct Active {
    /// At the rate of the source.
    source_ms: f64,
    /// What that is bound by.
    limit: Limit,
    /// The target that needs longer still.
    target: Option<(f64, ShardId)>,
}

impl Active {
    fn longest_ms(&self) -> f64 {
        self.target.as_ref().map_or(self.source_ms, |(ms, _)| self.source_ms.max(*ms))
    }
}

/// Time in which data moves, at a measured throughput.
fn active(work: &[BatchWork], conditions: &Conditions, measured: f64, workers: Option<u16>) -> Active {
    let cap = cap_of(conditions);
    let (rate, mut limit) = match workers {
        _ if cap <= measured => (cap, Limit::SourceCap),
        Some(count) => (measured, Limit::Workers { count }),
        None => (measured, Limit::Measured),
    };
    let mut by_target: BTreeMap<&ShardId, f64> = BTreeMap::new();
    let (mut bytes, mut growth) = (0.0, 0.0);
    for batch in work {
        batch.bytes.iter().for_each(|(shard, bytes)| *by_target.entry(shard).or_default() += *bytes as f64);
        bytes += batch.total() as f64;
        // What grows while it waits is moved as well.
        growth += batch.growth_bytes_per_day as f64 / 86_400.0;
    }
    let seconds = if rate > growth { bytes / (rate - growth) } else { f64::INFINITY };
    if seconds.is_infinite() {
        limit = Limit::Growth;
    }
    let mut target: Option<(f64, ShardId)> = None;
    for (shard, there) in by_target {
        let Some(cap) = conditions.target_caps.get(shard).map(|cap| *cap as f64) else { continue };
        let growth = growth * there / bytes;
        let ms = if cap > growth { there * 1000.0 / (cap - growth) } else { f64::INFINITY };
        if ms > target.as_ref().map_or(seconds * 1000.0, |(longest, _)| *longest) {
            target = Some((ms, shard.clone()));
        }
    }
    Active { source_ms: seconds * 1000.0, limit, target }
}

fn cap_of(conditions: &Conditions) -> f64 {
    conditions.source_cap.map_or(f64::INFINITY, |cap| cap as f64)
}

/// Bytes per second in words.
pub(crate) fn rate_text(bytes_per_second: f64) -> String {
    format!("{}/s", ByteCount(bytes_per_second.max(0.0) as u64))
}
