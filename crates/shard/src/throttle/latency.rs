//! How long the shard takes for its clients, by operation: as it is now, and as it usually is while nothing is moved. Pure.
//!
//! What is measured is the shard's own part of a request, not what its client or the way to it takes. Buckets are an eighth of an
//! octave wide, so that a quantile is at most 9 % off, and fade: what is now by half in [`NOW_HALF_LIFE`], what is usual by half in
//! [`USUAL_HALF_LIFE`].

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
    half_life: Duration,
    faded: Option<Instant>,
}

impl Faded {
    const fn new(half_life: Duration) -> Self {
        Self { counts: [0.0; BUCKETS], total: 0.0, half_life, faded: None }
    }

    /// Not at every call: an eighth of the half-life makes no difference.
    fn fade(&mut self, now: Instant) {
        let since = now.saturating_duration_since(*self.faded.get_or_insert(now));
        if since < self.half_life / 8 {
            return;
        }
        self.faded = Some(now);
        let left = (-since.as_secs_f64() / self.half_life.as_secs_f64()).exp2();
        self.counts.iter_mut().for_each(|count| *count *= left);
        self.total = self.counts.iter().sum();
    }

    fn note(&mut self, now: Instant, took: Duration) {
        self.fade(now);
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

/// All operations.
#[derive(Debug)]
pub(crate) struct Latencies {
    now: [Faded; Operation::ALL.len()],
    usual: [Faded; Operation::ALL.len()],
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            now: std::array::from_fn(|_| Faded::new(NOW_HALF_LIFE)),
            usual: std::array::from_fn(|_| Faded::new(USUAL_HALF_LIFE)),
        }
    }
}

impl Latencies {
    /// The shard took this long; `undisturbed` when next to nothing was moved meanwhile.
    pub(crate) fn note(&mut self, now: Instant, operation: Operation, took: Duration, undisturbed: bool) {
        self.now[operation as usize].note(now, took);
        if undisturbed {
            self.usual[operation as usize].note(now, took);
        }
    }

    pub(crate) fn seen(&mut self, now: Instant) -> [OperationSeen; Operation::ALL.len()] {
        Operation::ALL.map(|operation| {
            let of = |times: &mut Faded| {
                times.fade(now);
                times.seen()
            };
            let at = operation as usize;
            OperationSeen { operation, now: of(&mut self.now[at]), usual: of(&mut self.usual[at]) }
        })
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
            latencies.note(begin, Operation::Store, 10 * MS, true);
        }
        let later = begin + Duration::from_secs(20);
        for _ in 0..100 {
            latencies.note(later, Operation::Store, 80 * MS, false);
        }
        let seen = latencies.seen(later);
        let store = seen.iter().find(|seen| seen.operation == Operation::Store).unwrap();
        assert!((75 * MS..=90 * MS).contains(&store.now.p50), "{store:?}");
        assert!((9 * MS..=11 * MS).contains(&store.usual.p99), "{store:?}");
        assert!(store.now.requests < 101.0 && store.usual.requests > 75.0, "{store:?}");
        let read = seen.iter().find(|seen| seen.operation == Operation::Read).unwrap();
        assert!(read.now.requests == 0.0, "operations are told apart");
    }

    proptest! {
        #[test]
        fn a_quantile_is_near_the_true_one(mut micros in proptest::collection::vec(100_u64..60_000_000, 1..300)) {
            let (mut latencies, now) = (Latencies::default(), Instant::now());
            for took in &micros {
                latencies.note(now, Operation::Read, Duration::from_micros(*took), true);
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
