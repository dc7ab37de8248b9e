//! How many moves run at the same time: more while measured throughput grows, never above a hard cap.

use super::rate_text;
use crate::words::counted;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Samples of a number of workers before it is judged.
const SAMPLES_MIN: u64 = 3;

/// One worker more must bring so much, or it is not worth it.
pub(super) const GAIN_MIN: f64 = 1.05;

/// A figure counts half after so many newer ones of the same number of workers.
const HALF_AFTER: f64 = 8.0;

/// What was measured so many samples ago is forgotten: the machine may have become another one.
const FORGOTTEN_AFTER: u64 = 500;

/// What was measured with each number of workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workers {
    count: u16,
    cap: u16,
    taken: u64,
    measured: BTreeMap<u16, Level>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Level {
    bytes_per_second: f64,
    samples: u64,
    /// Number of the last one among all samples.
    last: u64,
}

/// How many workers, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerAdvice {
    /// So many.
    pub count: u16,
    /// Why, in words.
    pub why: String,
}

impl Workers {
    /// One worker, and never more than `cap`.
    #[must_use]
    pub fn up_to(cap: u16) -> Self {
        Self::starting_at(1, cap)
    }

    /// So many workers to begin with, and never more than `cap`.
    #[must_use]
    pub fn starting_at(count: u16, cap: u16) -> Self {
        let cap = cap.max(1);
        Self { count: count.clamp(1, cap), cap, taken: 0, measured: BTreeMap::new() }
    }

    /// Another hard cap from now on.
    pub fn cap_at(&mut self, cap: u16) {
        self.cap = cap.max(1);
        self.count = self.count.min(self.cap);
    }

    /// How many there should be now.
    #[must_use]
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// Takes what was measured with so many workers. Figures that are none are not taken.
    pub fn measured(&mut self, workers: u16, bytes_per_second: f64) {
        if workers == 0 || !bytes_per_second.is_finite() || bytes_per_second < 0.0 {
            return;
        }
        self.taken = self.taken.saturating_add(1);
        let last = self.taken;
        let level = self.measured.entry(workers).or_insert(Level { bytes_per_second, samples: 0, last });
        level.last = last;
        let weight = (1.0 / (level.samples as f64 + 1.0)).max(1.0 / HALF_AFTER);
        level.bytes_per_second += (bytes_per_second - level.bytes_per_second) * weight;
        level.samples = level.samples.saturating_add(1);
        self.measured.retain(|_, level| last - level.last < FORGOTTEN_AFTER);
    }

    /// Decides for the next interval, from what was measured so far.
    pub fn decide(&mut self) -> WorkerAdvice {
        let advice = self.advice();
        self.count = advice.count;
        advice
    }

    fn advice(&self) -> WorkerAdvice {
        let advise = |count: u16, why: String| WorkerAdvice { count: count.clamp(1, self.cap), why };
        let here = counted(u64::from(self.count), "worker");
        let Some(level) = self.judged(self.count) else {
            return advise(self.count, format!("{here}: not measured for long enough"));
        };
        let below = self.count.checked_sub(1).filter(|count| *count > 0);
        let before = below.and_then(|count| Some((count, self.judged(count)?)));
        if let Some((below, before)) = before.filter(|(_, before)| level < before * GAIN_MIN) {
            let (less, more) = (rate_text(before), rate_text(level));
            return advise(below, format!("{here} bring {more}, one fewer {less}: not worth it"));
        }
        let next = self.count.saturating_add(1);
        let more = self.judged(next).filter(|_| self.count < self.cap);
        if self.count < self.cap && more.is_none_or(|more| more >= level * GAIN_MIN) {
            return advise(next, format!("{here} bring {}: one more is tried", rate_text(level)));
        }
        if let (Some(below), None) = (below, before) {
            return advise(
                below,
                format!("{here} bring {}: whether one fewer brings as much is tried", rate_text(level)),
            );
        }
        let why = match more {
            Some(more) => format!("{here}: one more brought {} instead of {}", rate_text(more), rate_text(level)),
            None => format!("{here} bring {}: the hard cap", rate_text(level)),
        };
        advise(self.count, why)
    }

    fn judged(&self, count: u16) -> Option<f64> {
        self.measured.get(&count).filter(|level| level.samples >= SAMPLES_MIN).map(|level| level.bytes_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The advice after a long time on a machine with this throughput by number of workers.
    fn settled(cap: u16, machine: impl Fn(u16) -> f64) -> Workers {
        settled_from(Workers::up_to(cap), cap, machine)
    }

    fn settled_from(mut workers: Workers, cap: u16, machine: impl Fn(u16) -> f64) -> Workers {
        for _ in 0..200 {
            workers.measured(workers.count(), machine(workers.count()));
            let advice = workers.decide();
            assert!(advice.count <= cap && advice.count >= 1 && !advice.why.is_empty());
        }
        workers
    }

    #[test]
    fn workers_grow_while_throughput_grows_and_no_further() {
        assert_eq!(settled(16, |workers| f64::from(workers.min(4)) * 1e8).count(), 4);
        assert_eq!(settled(16, |_| 1e8).count(), 1);
        assert_eq!(settled(3, |workers| f64::from(workers) * 1e8).count(), 3);
        // Too many workers bring less.
        assert_eq!(settled(16, |workers| 1e9 - (f64::from(workers) - 5.0).powi(2) * 5e7).count(), 5);
    }

    #[test]
    fn from_the_middle_they_go_to_where_one_more_brings_nothing() {
        let from =
            |count, cap, machine: fn(u16) -> f64| settled_from(Workers::starting_at(count, cap), cap, machine).count();
        assert_eq!(from(4, 4, |_| 1e8), 1);
        assert_eq!(from(4, 4, |workers| f64::from(workers) * 1e8), 4);
        assert_eq!(from(4, 16, |workers| f64::from(workers.min(6)) * 1e8), 6);
        assert_eq!(from(4, 16, |workers| f64::from(workers.min(2)) * 1e8), 2);
        assert_eq!(from(9, 2, |workers| f64::from(workers) * 1e8), 2);
    }

    #[test]
    fn a_lower_cap_holds_at_once_and_what_is_long_past_is_tried_again() {
        let mut workers = settled(16, |workers| f64::from(workers.min(4)) * 1e8);
        workers.cap_at(2);
        assert_eq!((workers.count(), workers.decide().count), (2, 2));
        workers.cap_at(16);
        for _ in 0..2000 {
            workers.measured(workers.count(), f64::from(workers.count()) * 1e8);
            workers.decide();
        }
        assert_eq!(workers.count(), 16, "five were not worth it once");
    }

    #[test]
    fn what_was_learnt_is_kept_across_a_restart() {
        let workers = settled(16, |workers| f64::from(workers.min(4)) * 1e8);
        let text = serde_json::to_string(&workers).unwrap();
        let mut read: Workers = serde_json::from_str(&text).unwrap();
        assert_eq!(read, workers);
        assert_eq!(read.decide().count, 4);
    }

    #[test]
    fn figures_that_are_none_change_nothing() {
        let mut workers = Workers::up_to(4);
        [f64::NAN, f64::INFINITY, -1.0].into_iter().for_each(|rate| workers.measured(1, rate));
        workers.measured(0, 1.0);
        assert_eq!(workers, Workers::up_to(4));
    }
}
