//! What was measured so far: throughput by source over the last days, and how many nodes copying at the same time are worth it.
//!
//! Observations: nothing of it is in the journal, and no move waits for it. It is kept across restarts in a file (`kept`).

use super::meter::Taken;
use serde::{Deserialize, Serialize};
use shardlift_model::ShardId;
use shardlift_planner::estimate::{Rates, Workers};
use std::collections::BTreeMap;

/// How long a sample counts.
const WINDOW_MS: u64 = 7 * 86_400_000;

/// At least so many nodes may copy at the same time when measuring begins, if the limits allow it.
const WORKERS_FIRST: u16 = 4;

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Measured {
    sources: BTreeMap<ShardId, Rates>,
    workers: Option<Workers>,
    /// Why there are so many workers, in words.
    pub(crate) why: String,
    none: Rates,
}

impl Default for Measured {
    fn default() -> Self {
        Self { sources: BTreeMap::new(), workers: None, why: String::new(), none: Rates::over(WINDOW_MS) }
    }
}

impl Measured {
    /// What was measured of this source; without a sample when nothing was.
    pub(crate) fn of(&self, source: &ShardId) -> &Rates {
        self.sources.get(source).unwrap_or(&self.none)
    }

    /// No source.
    pub(crate) const fn none(&self) -> &Rates {
        &self.none
    }

    /// Takes samples in; answers how many nodes copying at the same time are worth it, once that was judged anew.
    pub(crate) fn take(&mut self, taken: &Taken, cap: u32) -> Option<u32> {
        for (source, sample) in &taken.samples {
            let rates = self.sources.entry(source.clone()).or_insert_with(|| Rates::over(WINDOW_MS));
            if !rates.add(*sample) {
                // The clock was ahead when the last ones were taken: by its present time they are of the future.
                tracing::info!(%source, "throughput is measured anew: the clock went back");
                *rates = Rates::over(WINDOW_MS);
                rates.add(*sample);
            }
        }
        let all = taken.all?;
        let cap = u16::try_from(cap).unwrap_or(u16::MAX);
        // From where it is: whoever has set a high limit sees it lowered step by step, and only for a reason.
        let first = all.workers.max(WORKERS_FIRST);
        let workers = self.workers.get_or_insert_with(|| Workers::starting_at(first, cap));
        workers.cap_at(cap);
        workers.measured(all.workers, all.bytes as f64 * 1000.0 / all.millis.max(1) as f64);
        let advice = workers.decide();
        self.why = advice.why;
        Some(u32::from(advice.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_model::UnixMillis;
    use shardlift_planner::estimate::RateSample;

    fn taken(at: u64, bytes: u64, workers: u16) -> Taken {
        let sample = RateSample { at: UnixMillis(at), millis: 10_000, bytes, workers };
        Taken { samples: vec![("a".parse().unwrap(), sample)], all: Some(sample) }
    }

    #[test]
    fn workers_begin_with_four_and_end_where_one_more_brings_nothing() {
        let settled = |cap: u32, machine: fn(u32) -> u32| {
            let mut measured = Measured::default();
            let mut count = cap.min(4);
            for at in 1..300 {
                let bytes = u64::from(machine(count)) * 10_000_000;
                count = measured.take(&taken(at * 10_000, bytes, u16::try_from(count).unwrap()), cap).unwrap();
                assert!((1..=cap).contains(&count) && !measured.why.is_empty());
            }
            count
        };
        assert_eq!(settled(4, |count| count), 4, "each brings as much as the one before");
        assert_eq!(settled(4, |_| 5), 1, "one is as good as four");
        assert_eq!(settled(16, |count| count.min(7)), 7);
        assert_eq!(settled(1, |count| count), 1);
        let mut many = Measured::default();
        assert_eq!(many.take(&taken(10_000, 1 << 30, 32), 64), Some(32), "what goes on is not cut");
    }

    #[test]
    fn a_clock_that_went_back_does_not_stop_the_measuring() {
        let source: ShardId = "a".parse().unwrap();
        let mut measured = Measured::default();
        measured.take(&taken(9_000_000, 1, 1), 4);
        measured.take(&taken(1_000, 2, 1), 4);
        measured.take(&taken(11_000, 2, 1), 4);
        assert_eq!(measured.of(&source).len(), 2);
        assert!(measured.of(&"b".parse().unwrap()).is_empty());
    }
}
