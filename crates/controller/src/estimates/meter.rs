//! Turns looks at copies into samples of throughput. Pure: the caller brings the time.
//!
//! Counted is what arrives at targets, whether it is durable yet or not. Time counts while at least one node of a source copies, the
//! time between the end of one copy and the beginning of the next one with it; not while one of its shards does not answer.

use shardlift_model::{NodeId, ShardId, UnixMillis};
use shardlift_planner::estimate::RateSample;
use std::collections::BTreeMap;

/// Of less than a whole interval, at least so many bytes make a sample: what is smaller says how long a beginning takes.
const SHORT_BYTES_MIN: u64 = 4 << 20;

/// A node that is being copied, or was a moment ago.
#[derive(Debug, Clone)]
pub(crate) struct CopyLook {
    pub(crate) node: NodeId,
    pub(crate) source: ShardId,
    pub(crate) target: ShardId,
    /// Bytes at the target, those of objects on their way with them; `None`: nothing was seen there yet.
    pub(crate) at_target: Option<u64>,
    /// It takes one of the places, and both shards answer.
    pub(crate) copying: bool,
    /// All that is at the target came there since the meter runs.
    pub(crate) fresh: bool,
}

/// Samples that are complete.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// By source.
    pub(crate) samples: Vec<(ShardId, RateSample)>,
    /// Of all sources together, over a whole interval.
    pub(crate) all: Option<RateSample>,
}

impl Taken {
    pub(crate) const fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.all.is_none()
    }
}

/// The meter.
#[derive(Debug)]
pub(crate) struct Meter {
    interval_ms: u64,
    copies: BTreeMap<NodeId, Known>,
    sources: BTreeMap<ShardId, Filling>,
    all: Filling,
}

/// A copy at the last look.
#[derive(Debug)]
struct Known {
    target: ShardId,
    at_target: u64,
    copying: bool,
}

/// A sample that is being filled.
#[derive(Debug, Default, Clone, Copy)]
struct Filling {
    millis: u64,
    bytes: u64,
    worker_millis: u64,
    /// At present.
    workers: u64,
    arrived: u64,
}

impl Meter {
    /// A sample for each interval in which something copied.
    pub(crate) fn new(interval_ms: u64) -> Self {
        let interval_ms = interval_ms.max(1);
        Self { interval_ms, copies: BTreeMap::new(), sources: BTreeMap::new(), all: Filling::default() }
    }

    /// Takes in how things are now, so long after the last look.
    pub(crate) fn look(&mut self, now: UnixMillis, elapsed_ms: u64, looks: Vec<CopyLook>) -> Taken {
        let mut copies = BTreeMap::new();
        for look in looks {
            let known = self.copies.get(&look.node).filter(|known| known.target == look.target);
            let arrived = look.arrived_since(known);
            if look.copying || arrived > 0 {
                self.sources.entry(look.source.clone()).or_default().note(arrived);
                self.all.note(arrived);
            }
            // A copy that is out of sight for a moment is where it was.
            if let Some(at_target) = look.at_target.or(known.map(|known| known.at_target)) {
                let (target, copying) = (look.target, look.copying);
                copies.insert(look.node, Known { target, at_target, copying });
            }
        }
        self.copies = copies;
        let mut taken = Taken::default();
        for (source, filling) in &mut self.sources {
            let sample = filling.turn(now, elapsed_ms, self.interval_ms);
            taken.samples.extend(sample.map(|sample| (source.clone(), sample)));
        }
        self.sources.retain(|_, filling| filling.millis > 0);
        let all = self.all.turn(now, elapsed_ms, self.interval_ms);
        taken.all = all.filter(|sample| sample.millis >= self.interval_ms);
        taken
    }
}

impl CopyLook {
    /// Bytes that came since the last look and belong to copying.
    fn arrived_since(&self, known: Option<&Known>) -> u64 {
        let Some(here) = self.at_target else { return 0 };
        match known {
            // One that began anew has less than before.
            Some(known) if known.copying || self.copying => here.saturating_sub(known.at_target),
            Some(_) => 0,
            None if self.fresh => here,
            None => 0,
        }
    }
}

impl Filling {
    const fn note(&mut self, arrived: u64) {
        self.workers += 1;
        self.arrived = self.arrived.saturating_add(arrived);
    }

    /// Ends a turn; a sample is complete after a whole interval, or when nothing copies any more.
    fn turn(&mut self, now: UnixMillis, elapsed_ms: u64, interval_ms: u64) -> Option<RateSample> {
        let workers = std::mem::take(&mut self.workers);
        self.bytes = self.bytes.saturating_add(std::mem::take(&mut self.arrived));
        if workers > 0 {
            self.millis = self.millis.saturating_add(elapsed_ms);
            self.worker_millis = self.worker_millis.saturating_add(elapsed_ms.saturating_mul(workers));
        }
        let is_whole = self.millis >= interval_ms;
        if !is_whole && workers > 0 {
            return None;
        }
        let Self { millis, bytes, worker_millis, .. } = std::mem::take(self);
        if millis == 0 || (!is_whole && bytes < SHORT_BYTES_MIN) {
            return None;
        }
        let workers = u16::try_from((worker_millis + millis / 2) / millis).unwrap_or(u16::MAX);
        Some(RateSample { at: now, millis, bytes, workers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn look(node: &str, source: &str, mib: u64, copying: bool) -> CopyLook {
        CopyLook {
            node: node.parse().unwrap(),
            source: source.parse().unwrap(),
            target: "t".parse().unwrap(),
            at_target: Some(mib * MIB),
            copying,
            fresh: true,
        }
    }

    /// Second by second; samples of each source as (source, seconds, MiB, workers).
    fn samples(seconds: Vec<Vec<CopyLook>>) -> Vec<(String, u64, u64, u16)> {
        let mut meter = Meter::new(10_000);
        let mut found = Vec::new();
        for (second, looks) in seconds.into_iter().enumerate() {
            let taken = meter.look(UnixMillis(second as u64 * 1000), 1000, looks);
            let shown =
                |(source, s): (ShardId, RateSample)| (source.to_string(), s.millis / 1000, s.bytes / MIB, s.workers);
            found.extend(taken.samples.into_iter().map(shown));
        }
        found
    }

    #[test]
    fn each_interval_in_which_something_copies_is_a_sample_of_its_source() {
        let second =
            |n: u64| vec![look("n1", "a", n * 10, true), look("n2", "a", n * 5, true), look("n3", "b", n, true)];
        let found = samples((1..=20).map(second).collect());
        let of = |source: &str, mib| (source.to_owned(), 10, mib, if source == "a" { 2 } else { 1 });
        assert_eq!(found, [of("a", 150), of("b", 10), of("a", 150), of("b", 10)]);
    }

    #[test]
    fn what_ends_before_an_interval_is_over_counts_when_it_is_enough() {
        let ends = |mib: u64| {
            let copying = (1..=3).map(|n| vec![look("n1", "a", mib * n, true)]);
            samples(copying.chain([vec![look("n1", "a", mib * 3, false)], vec![]]).collect())
        };
        assert_eq!(ends(20), [("a".to_owned(), 3, 60, 1)]);
        assert_eq!(ends(1), [], "a few bytes say how long a beginning takes");
        // Seen for the first time when it was over already.
        assert_eq!(samples(vec![vec![look("n1", "a", 40, false)], vec![]]), [("a".to_owned(), 1, 40, 1)]);
    }

    #[test]
    fn what_was_there_before_is_not_counted_as_moved() {
        let old = |mib| vec![CopyLook { fresh: false, ..look("n1", "a", mib, true) }];
        let found = samples((0..11).map(|n| old(1000 + n)).collect());
        assert_eq!(found[0], ("a".to_owned(), 10, 9, 1));
        // Begun anew: what is there again was not moved again.
        let mut again: Vec<_> = (1..=5).map(|n| vec![look("n1", "a", n * 10, true)]).collect();
        again.extend((0..5).map(|n| vec![look("n1", "a", 20 + n, true)]));
        assert_eq!(samples(again), [("a".to_owned(), 10, 54, 1)]);
    }

    #[test]
    fn a_shard_that_does_not_answer_is_no_slow_one() {
        let mut seconds: Vec<_> = (1..=5).map(|n| vec![look("n1", "a", n * 10, true)]).collect();
        seconds.extend((0..60).map(|_| vec![CopyLook { at_target: None, ..look("n1", "a", 0, false) }]));
        assert_eq!(samples(seconds), [("a".to_owned(), 5, 50, 1)]);
        // One that answers and moves nothing is slow.
        let stalled = (0..10).map(|_| vec![look("n1", "a", 0, true)]).collect();
        assert_eq!(samples(stalled), [("a".to_owned(), 10, 0, 1)]);
    }

    #[test]
    fn what_grows_after_the_copy_is_no_throughput_of_copying() {
        let seconds = (1..=40).map(|n| vec![look("n1", "a", n * 10, n <= 10)]).collect();
        // The copy ended some time in the eleventh second.
        assert_eq!(samples(seconds), [("a".to_owned(), 10, 100, 1), ("a".to_owned(), 1, 10, 1)]);
    }

    #[test]
    fn only_whole_intervals_judge_the_number_of_workers() {
        let mut meter = Meter::new(3_000);
        let mut turn = |copying, mib| meter.look(UnixMillis(1), 1000, vec![look("n1", "a", mib, copying)]);
        assert!(turn(true, 50).is_empty());
        let short = turn(false, 50);
        assert!(short.samples.len() == 1 && short.all.is_none());
        for mib in [60, 70] {
            assert!(turn(true, mib).is_empty());
        }
        assert_eq!(turn(true, 80).all.map(|all| (all.bytes / MIB, all.workers)), Some((30, 1)));
    }
}
