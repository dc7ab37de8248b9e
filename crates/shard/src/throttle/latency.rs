//! How long the shard takes for its clients, by operation: as it is now, and as it usually is while nothing is moved. Pure.
//!
//! What is measured is the shard's own part of a request, not what its client or the way to it takes. Buckets are an eighth of an
//! octave wide, so that a quantile is at most 9 % off, and fade: what is now by half in [`NOW_HALF_LIFE`], what is usual by half in
//! [`USUAL_HALF_LIFE`]. Beside that, requests are counted, and those of them that are slow: slower than [`NOTICED`] times the usual p99.

use std::time::Duration;
use tokio::time::Instant;

/// Buckets of an octave.
const PER_OCTAVE: f64 = 8.0;

/// The first bucket ends here, in seconds.
const FIRST_SECONDS: f64 = 50e-6;

/// Enough for a minute and a half.
const BUCKETS: usize = 168;

const NOW_HALF_LIFE: Duration = Duration::from_secs(2);

const USUAL_HALF_LIFE: Duration = Duration::from_secs(60);

/// What is usual changes this fast where nothing less can be moved.
const FLOOR_HALF_LIFE: Duration = Duration::from_secs(5);

/// From this multiple of the usual p99 on clients notice a request.
pub(super) const NOTICED: f64 = 1.25;

/// What is faster than this is noticed by nobody, whatever is usual.
pub(super) const FELT: Duration = Duration::from_millis(4);

/// From so many usual requests on it is known what is usual.
pub(super) const USUAL_REQUESTS_MIN: f64 = 20.0;

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    List,
    Measure,
    Read,
    Store,
    Delete,
}

impl Operation {
    pub(crate) const ALL: [Self; 5] = [Self::List, Self::Measure, Self::Read, Self::Store, Self::Delete];

    /// The word for it, as in other metrics.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Measure => "measure",
            Self::Read => "read",
            Self::Store => "store",
            Self::Delete => "delete",
        }
    }
}

/// Times that fade.
#[derive(Debug, Clone)]
struct Faded {
    counts: [f64; BUCKETS],
    total: f64,
    faded: Option<Instant>,
}

impl Default for Faded {
    fn default() -> Self {
        Self { counts: [0.0; BUCKETS], total: 0.0, faded: None }
    }
}

impl Faded {
    /// Not at every call: an eighth of the half-life makes no difference.
    fn fade(&mut self, now: Instant, half_life: Duration) {
        let since = now.saturating_duration_since(*self.faded.get_or_insert(now));
        if since < half_life / 8 {
            return;
        }
        self.faded = Some(now);
        let left = (-since.as_secs_f64() / half_life.as_secs_f64()).exp2();
        self.counts.iter_mut().for_each(|count| *count *= left);
        self.total = self.counts.iter().sum();
    }

    fn note(&mut self, now: Instant, took: Duration, half_life: Duration) {
        self.fade(now, half_life);
        let octaves = (took.as_secs_f64() / FIRST_SECONDS).max(1.0).log2();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of buckets"
        )]
        let bucket = (octaves * PER_OCTAVE).ceil().min((BUCKETS - 1) as f64) as usize;
        self.counts[bucket] += 1.0;
        self.total += 1.0;
    }

    /// The end of the bucket that this part of all times lies in.
    fn quantile(&self, part: f64) -> Duration {
        let mut left = self.total * part;
        let mut last = 0;
        for (bucket, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            left -= count;
            last = bucket;
            if left <= 0.0 {
                break;
            }
        }
        Duration::from_secs_f64(FIRST_SECONDS * (last as f64 / PER_OCTAVE).exp2())
    }

    fn seen(&self) -> Seen {
        Seen { requests: self.total, p50: self.quantile(0.5), p90: self.quantile(0.9), p99: self.quantile(0.99) }
    }
}

/// Quantiles of an operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seen {
    /// How many requests they rest on, faded ones counted in part.
    pub(crate) requests: f64,
    pub(crate) p50: Duration,
    pub(crate) p90: Duration,
    pub(crate) p99: Duration,
}

/// An operation as it is and as it usually is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct OperationSeen {
    pub(crate) operation: Operation,
    pub(crate) now: Seen,
    pub(crate) usual: Seen,
}

impl OperationSeen {
    /// From here on a request is slow; `None` while it is not known what is usual.
    pub(crate) fn slow_from(&self) -> Option<Duration> {
        (self.usual.requests >= USUAL_REQUESTS_MIN).then(|| self.usual.p99.max(FELT).mul_f64(NOTICED))
    }
}

/// Requests that were counted, and those of them that were slow. None are where it is not known what is usual.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Counted {
    pub(crate) requests: f64,
    pub(crate) slow: f64,
}

/// What goes on beside a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Next to nothing is moved.
    Nothing,
    /// As little as may be is moved.
    Floor,
    /// Something is moved.
    Move,
}

#[derive(Debug, Default)]
struct Watched {
    now: Faded,
    usual: Faded,
    slow_from: Option<Duration>,
    counted: Counted,
}

/// All operations.
#[derive(Debug, Default)]
pub(crate) struct Latencies([Watched; Operation::ALL.len()]);

impl Latencies {
    /// The shard took this long. What is usual is learned from what nothing else has slowed down.
    pub(crate) fn note(&mut self, now: Instant, operation: Operation, took: Duration, beside: Beside) {
        let watched = &mut self.0[operation as usize];
        watched.now.note(now, took, NOW_HALF_LIFE);
        match beside {
            Beside::Nothing => watched.usual.note(now, took, USUAL_HALF_LIFE),
            Beside::Floor => watched.usual.note(now, took, FLOOR_HALF_LIFE),
            Beside::Move => {}
        }
        if let Some(slow_from) = watched.slow_from {
            watched.counted.requests += 1.0;
            watched.counted.slow += if took > slow_from { 1.0 } else { 0.0 };
        }
    }

    pub(crate) fn seen(&mut self, now: Instant) -> [OperationSeen; Operation::ALL.len()] {
        Operation::ALL.map(|operation| {
            let watched = &mut self.0[operation as usize];
            watched.now.fade(now, NOW_HALF_LIFE);
            watched.usual.fade(now, USUAL_HALF_LIFE);
            let seen = OperationSeen { operation, now: watched.now.seen(), usual: watched.usual.seen() };
            watched.slow_from = seen.slow_from();
            seen
        })
    }

    /// What was counted since this was called last, by [`Operation::ALL`].
    pub(crate) fn take_counted(&mut self) -> [Counted; Operation::ALL.len()] {
        Operation::ALL.map(|operation| std::mem::take(&mut self.0[operation as usize].counted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_was_fades_and_what_is_usual_stays_longer() {
        let (mut latencies, begin) = (Latencies::default(), Instant::now());
        for _ in 0..100 {
            latencies.note(begin, Operation::Store, 10 * MS, Beside::Nothing);
        }
        let later = begin + Duration::from_secs(20);
        for _ in 0..100 {
            latencies.note(later, Operation::Store, 80 * MS, Beside::Move);
        }
        let seen = latencies.seen(later);
        let store = seen.iter().find(|seen| seen.operation == Operation::Store).unwrap();
        assert!((75 * MS..=90 * MS).contains(&store.now.p50), "{store:?}");
        assert!((9 * MS..=11 * MS).contains(&store.usual.p99), "{store:?}");
        assert!(store.now.requests < 101.0 && store.usual.requests > 75.0, "{store:?}");
        let read = seen.iter().find(|seen| seen.operation == Operation::Read).unwrap();
        assert!(read.now.requests == 0.0, "operations are told apart");
    }

    #[test]
    fn slow_is_what_is_slower_than_the_usual_and_felt() {
        let (mut latencies, begin) = (Latencies::default(), Instant::now());
        let store = |latencies: &mut Latencies, took, times: usize, beside| {
            (0..times).for_each(|_| latencies.note(begin, Operation::Store, took, beside));
            latencies.seen(begin);
            latencies.take_counted()[Operation::Store as usize]
        };
        let unknown = store(&mut latencies, 20 * MS, 30, Beside::Nothing);
        assert_eq!(unknown, Counted::default(), "it was not known what is usual");
        assert_eq!(store(&mut latencies, 23 * MS, 10, Beside::Move), Counted { requests: 10.0, slow: 0.0 });
        assert_eq!(store(&mut latencies, 28 * MS, 10, Beside::Move), Counted { requests: 10.0, slow: 10.0 });
        assert_eq!(latencies.take_counted()[Operation::Store as usize], Counted::default(), "counted once");
        let read = |latencies: &mut Latencies, took| {
            (0..30).for_each(|_| latencies.note(begin, Operation::Read, took, Beside::Nothing));
            latencies.seen(begin);
            latencies.take_counted()[Operation::Read as usize].slow
        };
        read(&mut latencies, MS / 10);
        assert_eq!(read(&mut latencies, 4 * MS), 0.0, "forty times the usual, and nobody feels it");
    }

    #[test]
    fn what_is_usual_at_the_floor_is_learned_in_seconds() {
        let (mut latencies, begin) = (Latencies::default(), Instant::now());
        for tenth in 0..600 {
            latencies.note(begin + 100 * MS * tenth, Operation::Store, 10 * MS, Beside::Nothing);
        }
        let usual = |latencies: &mut Latencies, at| latencies.seen(at)[Operation::Store as usize].usual;
        let floor = begin + Duration::from_secs(60);
        for tenth in 0..100 {
            latencies.note(floor + 100 * MS * tenth, Operation::Store, 50 * MS, Beside::Floor);
        }
        let usual = usual(&mut latencies, floor + Duration::from_secs(10));
        assert!(usual.p50 >= 45 * MS, "{usual:?}");
        assert!(usual.requests > 50.0, "{usual:?}");
    }

    proptest! {
        #[test]
        fn a_quantile_is_near_the_true_one(mut micros in proptest::collection::vec(100_u64..60_000_000, 1..300)) {
            let (mut latencies, now) = (Latencies::default(), Instant::now());
            for took in &micros {
                latencies.note(now, Operation::Read, Duration::from_micros(*took), Beside::Nothing);
            }
            micros.sort_unstable();
            let seen = latencies.seen(now)[Operation::Read as usize].now;
            for (part, found) in [(50, seen.p50), (90, seen.p90), (99, seen.p99)] {
                let rank = (micros.len() * part).div_ceil(100).max(1);
                let (truth, found) = (micros[rank - 1] as f64, found.as_secs_f64() * 1e6);
                prop_assert!(found >= truth * 0.99 && found <= truth * 1.10, "p{}: {} for {}", part, found, truth);
            }
        }
    }
}
