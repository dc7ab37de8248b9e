//! How long what is left takes: one estimate for each batch, and one for all of them one after the other.
//!
//! Each source has its own throughput. A batch that several sources give to takes as long as the slowest of them; one of a
//! source that was never measured has no estimate.

use super::left::Left;
use super::measured::Measured;
use crate::observed::Observed;
use shardlift_api::v1;
use shardlift_migration::World;
use shardlift_model::{BatchId, ByteCount, ShardId, UnixMillis};
use shardlift_planner::estimate::{Cap, CapHours, Conditions, Estimate, NotMeasured, PlanEstimate, estimate};
use std::collections::{BTreeMap, BTreeSet};

/// An estimate, or why there is none.
pub(crate) type Answer = Result<Estimate, NotMeasured>;

/// All estimates.
#[derive(Debug)]
pub(crate) struct Outlook {
    pub(crate) batches: BTreeMap<BatchId, Answer>,
    pub(crate) whole: Answer,
}

/// Estimates of what is left, under conditions by source. `None` when nothing is left.
pub(crate) fn outlook(
    left: &[Left],
    measured: &Measured,
    conditions: impl Fn(&ShardId) -> Conditions,
    now: UnixMillis,
) -> Option<Outlook> {
    if left.is_empty() {
        return None;
    }
    let sources: BTreeSet<&ShardId> = left.iter().flat_map(Left::sources).collect();
    let of = |source: Option<&ShardId>| {
        let work: Vec<_> = left.iter().map(|left| left.part(source)).collect();
        let rates = source.map_or_else(|| measured.none(), |source| measured.of(source));
        estimate(&work, rates, &source.map(&conditions).unwrap_or_default(), now)
    };
    let by_source: BTreeMap<&ShardId, _> = sources.iter().map(|source| (*source, of(Some(source)))).collect();
    // Where no byte is left to move, only time is.
    let still = of(None);
    let batch = |left: &Left| {
        let parts = left.sources().filter_map(|source| by_source.get(source));
        worst(parts.map(|part| of_batch(part, &left.batch))).unwrap_or_else(|| of_batch(&still, &left.batch))
    };
    let batches = left.iter().map(|left| (left.batch.clone(), batch(left))).collect();
    let whole =
        |answer: &Result<PlanEstimate, NotMeasured>| answer.as_ref().map(|plan| plan.whole.clone()).map_err(|e| *e);
    let whole = worst(by_source.values().map(whole)).unwrap_or_else(|| whole(&still));
    Some(Outlook { batches, whole })
}

fn of_batch(answer: &Result<PlanEstimate, NotMeasured>, batch: &BatchId) -> Answer {
    let plan = answer.as_ref().map_err(|error| *error)?;
    let found = plan.batches.iter().find(|(name, _)| name == batch);
    found.map(|(_, estimate)| estimate.clone()).ok_or(NotMeasured)
}

/// The one that takes longest; what has no end takes longest of all, and what is not known makes the whole unknown.
fn worst(answers: impl Iterator<Item = Answer>) -> Option<Answer> {
    let last = |ms: Option<u64>| ms.unwrap_or(u64::MAX);
    answers.reduce(|one, other| {
        let (one, other) = (one?, other?);
        let p90_ms = if last(one.p90_ms) >= last(other.p90_ms) { one.p90_ms } else { other.p90_ms };
        let slower = if last(one.p50_ms) >= last(other.p50_ms) { one } else { other };
        Ok(Estimate { p90_ms, ..slower })
    })
}

/// The present conditions of what leaves this source, as its shard and those that take from it said last.
pub(crate) fn conditions(world: &World, observed: &Observed, left: &[Left], source: &ShardId) -> Conditions {
    let cap = |shard: &ShardId| observed.shards.get(shard).and_then(|seen| seen.limits.as_ref()).map(cap);
    let targets: BTreeSet<&ShardId> = left.iter().flat_map(Left::targets).collect();
    let capped = |shard: &ShardId| cap(shard).filter(|cap| !cap.is_none());
    Conditions {
        source: cap(source).unwrap_or_default(),
        targets: targets.into_iter().filter_map(|shard| Some((shard.clone(), capped(shard)?))).collect(),
        windows: Vec::new(),
        workers: u16::try_from(world.seeding_nodes()).unwrap_or(u16::MAX),
    }
}

fn cap(limits: &v1::LimitsStatus) -> Cap {
    let always = Some(limits.cap_bytes_per_second).filter(|cap| *cap > 0);
    Cap { always, hours: hours(limits).unwrap_or_default() }
}

fn hours(limits: &v1::LimitsStatus) -> Option<CapHours> {
    if limits.windows.is_empty() {
        return None;
    }
    let read = limits.windows.parse();
    read.inspect_err(|error| tracing::debug!(%error, text = limits.windows, "a shard's windows are not understood"))
        .ok()
}

/// What an estimate stands on, in words: the throughput of this source, and its limits.
pub(crate) fn measured_words(measured: &Measured, source: &ShardId, workers: u16) -> String {
    match measured.of(source).usual(workers) {
        None => format!("{source}: {NotMeasured}"),
        Some(usual) => {
            let count =
                |count: usize, noun: &str| if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") };
            let nodes = count(usize::from(usual.workers), "node");
            let samples = count(usual.samples, "sample");
            format!("{source}: {}/s with {nodes} at a time, from {samples}", ByteCount(usual.bytes_per_second))
        }
    }
}

/// Conditions in words.
pub(crate) fn condition_words(observed: &Observed, source: &ShardId, conditions: &Conditions) -> String {
    let windows = |shard: &ShardId| {
        let limits = observed.shards.get(shard).and_then(|seen| seen.limits.as_ref());
        limits.map(|limits| limits.windows.clone()).filter(|windows| !windows.is_empty())
    };
    let mut words = vec![match conditions.source.always {
        Some(cap) => format!("cap {}/s", ByteCount(cap)),
        None => "no cap".to_owned(),
    }];
    words.extend(windows(source));
    for (shard, cap) in &conditions.targets {
        words.extend(cap.always.map(|cap| format!("{shard} takes at most {}/s", ByteCount(cap))));
        words.extend(windows(shard).map(|windows| format!("{shard} takes {windows}")));
    }
    words.push(format!("at most {} at a time", conditions.workers));
    format!("{source}: {}", words.join("; "))
}

/// As it is shown.
pub(crate) fn view(answer: &Answer) -> v1::EstimateView {
    match answer {
        Ok(Estimate { p50_ms, p90_ms, limit }) => {
            v1::EstimateView { p50_ms: *p50_ms, p90_ms: *p90_ms, limited_by: limit.to_string(), unknown: String::new() }
        }
        Err(error) => v1::EstimateView { unknown: error.to_string(), ..Default::default() },
    }
}
