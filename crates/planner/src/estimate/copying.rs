//! How long it takes to copy what is still to go: at the pace of the source, and for each target that takes less.

use super::hours::{Day, Needed};
use super::throughput::Pace;
use super::{BatchWork, Conditions};
use shardlift_model::{ShardId, UnixMillis};
use std::collections::BTreeMap;

/// All that is still to go.
pub(super) struct Work<'w> {
    bytes: f64,
    by_target: BTreeMap<&'w ShardId, f64>,
    /// What grows while it waits is moved as well: bytes each second.
    growth: f64,
}

impl<'w> Work<'w> {
    pub(super) fn of(work: &'w [BatchWork]) -> Self {
        let mut sum = Self { bytes: 0.0, by_target: BTreeMap::new(), growth: 0.0 };
        for batch in work {
            batch.bytes.iter().for_each(|(shard, bytes)| *sum.by_target.entry(shard).or_default() += *bytes as f64);
            sum.bytes += batch.total() as f64;
            sum.growth += batch.growth_bytes_per_day as f64 / 86_400.0;
        }
        sum
    }
}

/// How long copying takes at a throughput.
pub(super) struct Copying<'w> {
    /// While nothing of the hours holds it back; infinite when growth is as fast.
    pub(super) active_ms: f64,
    /// On the clock; `None`: it never ends.
    pub(super) moved_ms: Option<u64>,
    /// The target that needs longest, where that is longer than the source needs.
    pub(super) target: Option<&'w ShardId>,
    /// True when the cap of the source is below the throughput.
    pub(super) is_capped: bool,
}

pub(super) fn copying<'w>(work: &Work<'w>, conditions: &Conditions, pace: Pace<'_>, now: UnixMillis) -> Copying<'w> {
    let Conditions { source, targets, windows, .. } = conditions;
    let full = pace.below(source.rate());
    let active_ms = active_ms(work.bytes, full, work.growth);
    let needed = Needed { millis: work.bytes * 1000.0 / full, growth: work.growth / full };
    let moved_ms = Day::of(windows, &[source], pace).wall_ms(now, needed);
    let is_capped = source.rate() <= pace.below(f64::INFINITY);
    let mut copying = Copying { active_ms, moved_ms, target: None, is_capped };
    for (shard, bytes) in &work.by_target {
        let Some(cap) = targets.get(*shard) else { continue };
        let growth = work.growth * bytes / work.bytes;
        if self::active_ms(*bytes, cap.lowest(), growth) <= active_ms {
            // Even in its slowest hour it takes more than comes.
            continue;
        }
        let full = pace.below(source.rate().min(cap.rate()));
        let needed = Needed { millis: bytes * 1000.0 / full, growth: growth / full };
        let wall_ms = Day::of(windows, &[source, cap], pace).wall_ms(now, needed);
        // What never ends is later than any end.
        if copying.moved_ms.is_some_and(|moved| wall_ms.is_none_or(|wall| wall > moved)) {
            let active_ms = active_ms.max(self::active_ms(*bytes, full, growth));
            copying = Copying { active_ms, moved_ms: wall_ms, target: Some(shard), ..copying };
        }
    }
    copying
}

/// Time at the full rate in which so many bytes move; infinite when they grow as fast.
fn active_ms(bytes: f64, rate: f64, growth: f64) -> f64 {
    if rate > growth { bytes * 1000.0 / (rate - growth) } else { f64::INFINITY }
}
