//! How long batches and a whole plan take, as a range, and what limits them.
//!
//! Measured throughput comes in as samples ([`Rates`]); [`Conditions`] are the caps, hours and workers under which the work is
//! done. P50 and P90 are given: half, and nine in ten, of moves like this take at most so long. The range has two parts:
//! what throughput will be on average over the time that is left (the longer, the more it evens out), and how well the
//! samples know it (the fewer and the more alike in a row, the worse). What never moved has no estimate, and says so.
//!
//! The time is an argument; all state can be stored.

mod cap_hours;
mod copying;
mod hours;
mod rates;
mod throughput;
mod workers;

pub use cap_hours::CapHours;
pub use hours::shown as time_text;
pub use rates::{RateSample, Rates, SAMPLES_MAX, Usual};
pub use workers::{WorkerAdvice, Workers};

use crate::draft::DraftBatch;
use crate::planfile::PlanFile;
use crate::policy::Window;
use crate::words::counted;
use copying::{Copying, Work, copying};
use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, ByteCount, NodeId, ShardId, UnixMillis};
use std::collections::BTreeMap;
use std::fmt;

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

/// Most bytes per second that a shard sends or takes; both hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cap {
    /// At any time; `None`: no cap.
    pub always: Option<u64>,
    /// By time of day.
    pub hours: CapHours,
}

impl Cap {
    /// The same at any time.
    #[must_use]
    pub fn always(bytes_per_second: u64) -> Self {
        Self { always: Some(bytes_per_second), hours: CapHours::default() }
    }

    /// True when nothing is capped at any time.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.always.is_none() && self.hours.is_none()
    }

    /// What is allowed at any time, whatever the hours allow beside it.
    fn rate(&self) -> f64 {
        self.always.map_or(f64::INFINITY, |cap| cap as f64)
    }

    /// The least at any time of the day.
    fn lowest(&self) -> f64 {
        self.hours.lowest().map_or(f64::INFINITY, |cap| cap as f64).min(self.rate())
    }
}

/// Under what the work is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conditions {
    /// What leaves the source.
    pub source: Cap,
    /// What single targets take: their disk, or an operator's cap.
    pub targets: BTreeMap<ShardId, Cap>,
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
    let work = Work::of(work);
    let median = copying(&work, conditions, known.usual(), now);
    let late = copying(&work, conditions, known.late(median.active_ms), now);
    let p90 = median.moved_ms.zip(late.moved_ms).map(|(p50, p90)| p50.max(p90));
    let whole = |moved: Option<u64>| moved.map(|moved| moved.saturating_add(fixed as u64));
    let limit = limit_of(&median, fixed, conditions, known.capped_by_workers(conditions.workers));
    Ok(Estimate { p50_ms: whole(median.moved_ms), p90_ms: whole(p90), limit })
}

/// What an estimate is limited by, once it is known how long data moves by the clock.
fn limit_of(median: &Copying<'_>, fixed_ms: f64, conditions: &Conditions, workers: Option<u16>) -> Limit {
    let moved = median.moved_ms.map_or(f64::INFINITY, |ms| ms as f64);
    let has_windows = !conditions.windows.is_empty();
    match (median.target, workers) {
        _ if median.active_ms.is_infinite() && median.target.is_none() => Limit::Growth,
        _ if has_windows && moved > 2.0 * median.active_ms + fixed_ms => Limit::Windows,
        _ if fixed_ms > moved => Limit::Fixed,
        (Some(shard), _) => Limit::Target { shard: shard.clone() },
        // Nothing but a cap of some hours makes it so much longer.
        _ if median.is_capped || !has_windows && moved > 1.1 * median.active_ms => Limit::SourceCap,
        (None, Some(count)) => Limit::Workers { count },
        (None, None) => Limit::Measured,
    }
}

/// Bytes per second in words.
pub(crate) fn rate_text(bytes_per_second: f64) -> String {
    format!("{}/s", ByteCount(bytes_per_second.max(0.0) as u64))
}
