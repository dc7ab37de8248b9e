//! Measured throughput over a sliding window.

use super::throughput::{Pace, Throughput};
use serde::{Deserialize, Serialize};
use shardlift_model::UnixMillis;
use std::collections::{BTreeMap, VecDeque};

/// Quantile of the normal distribution for P90, and a margin for what samples of the past do not know of the future.
const P90: f64 = 1.28 * 1.25;

/// Samples that are kept at most.
pub const SAMPLES_MAX: usize = 1024;

/// What was moved in one interval while there was something to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateSample {
    /// Its end.
    pub at: UnixMillis,
    /// How long it was.
    pub millis: u64,
    /// Bytes that arrived durably in it.
    pub bytes: u64,
    /// Moves at the same time.
    pub workers: u16,
}

impl RateSample {
    fn rate(&self) -> f64 {
        self.bytes as f64 * 1000.0 / self.millis.max(1) as f64
    }
}

/// The samples of the recent past. Kept across restarts by storing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    window_ms: u64,
    samples: VecDeque<RateSample>,
}

/// What the samples say of one number of workers.
pub(super) struct Known {
    /// Bytes per second.
    pub(super) mean: f64,
    slowest: f64,
    throughput: Throughput,
    deviation: f64,
    /// Samples that tell something new.
    samples: f64,
    count: usize,
    /// Time after which throughput has forgotten what it was, in milliseconds.
    memory_ms: f64,
    /// The number of workers that was measured and is used.
    workers: u16,
    /// The most that any larger number of workers brought.
    with_more: f64,
}

/// What is usual, as far as it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual {
    /// On average.
    pub bytes_per_second: u64,
    /// Moves at the same time.
    pub workers: u16,
    /// Samples behind it.
    pub samples: usize,
}

impl Rates {
    /// Keeps samples for so long.
    #[must_use]
    pub const fn over(window_ms: u64) -> Self {
        Self { window_ms, samples: VecDeque::new() }
    }

    /// Takes a sample and forgets those that are too old. One from before the last one, or without length, is not taken.
    pub fn add(&mut self, sample: RateSample) -> bool {
        if sample.millis == 0 || self.samples.back().is_some_and(|last| last.at > sample.at) {
            return false;
        }
        self.samples.push_back(sample);
        while self.samples.len() > SAMPLES_MAX
            || self.samples.front().is_some_and(|first| sample.at.0.saturating_sub(first.at.0) > self.window_ms)
        {
            self.samples.pop_front();
        }
        true
    }

    /// What is usual with so many workers, or with the nearest number that was measured; 0: as in the last sample.
    #[must_use]
    pub fn usual(&self, workers: u16) -> Option<Usual> {
        let known = self.known(workers)?;
        Some(Usual { bytes_per_second: known.mean as u64, workers: known.workers, samples: known.count })
    }

    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// True when nothing was measured yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Throughput with so many workers: as measured with as many, or with the nearest number below; with fewer than were ever
    /// measured, in proportion. More than were ever measured are not believed to bring more. 0: as in the last sample.
    pub(super) fn known(&self, workers: u16) -> Option<Known> {
        let last = self.samples.back()?;
        let wanted = if workers == 0 { last.workers } else { workers };
        let levels = self.samples.iter().map(|sample| sample.workers);
        let below = levels.clone().filter(|level| *level <= wanted).max();
        let level = below.or_else(|| levels.clone().min()).unwrap_or(wanted);
        let scale = if level > wanted { f64::from(wanted.max(1)) / f64::from(level) } else { 1.0 };
        let chosen: Vec<&RateSample> = self.samples.iter().filter(|sample| sample.workers == level).collect();
        let rates: Vec<f64> = chosen.iter().map(|sample| sample.rate() * scale).collect();
        let millis: f64 = chosen.iter().map(|sample| sample.millis as f64).sum();
        let mean = chosen.iter().map(|sample| sample.bytes as f64).sum::<f64>() * 1000.0 * scale / millis;
        let count = rates.len() as f64;
        let squares: f64 = rates.iter().map(|rate| (rate - mean) * (rate - mean)).sum();
        // Two samples know little of how far they may be from the mean.
        let spread = if count > 1.0 { (squares / (count - 1.0)).sqrt() * (1.0 + 2.0 / count) } else { mean / 2.0 };
        let deviation = spread.max(mean * 0.02);
        let repeats = repeats(&rates, mean, squares);
        Some(Known {
            mean,
            throughput: Throughput::of(rates.iter().copied().zip(chosen.iter().map(|sample| sample.millis as f64))),
            slowest: rates.iter().copied().fold(mean / 4.0, f64::min).max(mean / 20.0),
            deviation,
            samples: (count / repeats).max(1.0),
            count: chosen.len(),
            memory_ms: millis / count * repeats,
            workers: level.min(wanted),
            with_more: self.most_above(wanted),
        })
    }

    /// The highest throughput of all numbers of workers above this one.
    fn most_above(&self, workers: u16) -> f64 {
        let mut levels: BTreeMap<u16, (f64, f64)> = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| sample.workers > workers) {
            let (bytes, millis) = levels.entry(sample.workers).or_default();
            *bytes += sample.bytes as f64;
            *millis += sample.millis as f64;
        }
        levels.into_values().map(|(bytes, millis)| bytes * 1000.0 / millis).fold(0.0, f64::max)
    }
}

/// How many samples in a row say the same: 1 when each is independent of the one before.
fn repeats(rates: &[f64], mean: f64, squares: f64) -> f64 {
    if rates.len() < 4 || squares <= 0.0 {
        return 1.0;
    }
    let products: f64 = rates.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    let correlation = (products / squares).clamp(0.0, 0.95);
    (1.0 + correlation) / (1.0 - correlation)
}

impl Known {
    /// As it is on average.
    pub(super) const fn usual(&self) -> Pace<'_> {
        self.throughput.times(1.0)
    }

    /// As it is in the worst of ten averages over so long. Nothing at all is not expected for ever: the slowest sample is.
    pub(super) fn late(&self, millis: f64) -> Pace<'_> {
        let slow = (self.mean - P90 * self.error_over(millis)).max(self.slowest);
        self.throughput.times(if self.mean > 0.0 { slow / self.mean } else { 1.0 }).with_a_stall()
    }

    /// How far the average over so long may be from the mean, one standard deviation: chance in the future, and ignorance.
    fn error_over(&self, millis: f64) -> f64 {
        let ahead = (millis / self.memory_ms.max(1.0)).max(1.0);
        self.deviation * (1.0 / ahead + 1.0 / self.samples).sqrt()
    }

    /// The number of workers, when more were measured than are allowed, and brought more.
    pub(super) fn capped_by_workers(&self, wanted: u16) -> Option<u16> {
        (wanted > 0 && self.with_more >= self.mean * super::workers::GAIN_MIN).then_some(self.workers)
    }
}
