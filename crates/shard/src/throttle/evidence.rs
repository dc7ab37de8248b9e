//! Whether more requests are slow than chance explains. Pure.
//!
//! Evidence begins anew with every cut, so that a rate is judged by what clients felt of it and not of the one before.

use super::latency::{Counted, Operation, OperationSeen};
use super::law::BUDGET;
use super::reason::Slow;
use std::time::Duration;
use tokio::time::Instant;

/// Evidence fades by half in this time.
const HALF_LIFE: Duration = Duration::from_secs(10);

/// Standard deviations of a count (of Poisson's distribution) that are still called chance.
const CHANCE: f64 = 1.5;

/// What clients felt since the last cut.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    counted: [Counted; Operation::ALL.len()],
    faded: Option<Instant>,
}

impl Evidence {
    pub(super) fn add(&mut self, now: Instant, counted: &[Counted; Operation::ALL.len()]) {
        let since = now.saturating_duration_since(self.faded.replace(now).unwrap_or(now));
        let left = (-since.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2();
        for (kept, new) in self.counted.iter_mut().zip(counted) {
            kept.requests = kept.requests * left + new.requests;
            kept.slow = kept.slow * left + new.slow;
        }
    }

    fn total(&self) -> Counted {
        let sum = |of: fn(&Counted) -> f64| self.counted.iter().map(of).sum();
        Counted { requests: sum(|counted| counted.requests), slow: sum(|counted| counted.slow) }
    }

    /// Whether clients are served as usual.
    pub(super) fn is_within(&self) -> bool {
        let Counted { requests, slow } = self.total();
        slow <= requests * BUDGET
    }

    /// More are slow than the budget and chance allow: what to say, and what to multiply the rate with.
    pub(super) fn breach(&self, known: &[&OperationSeen]) -> Option<(Slow, f64)> {
        let Counted { requests, slow } = self.total();
        let allowed = (requests * BUDGET).max(1.0);
        if slow <= allowed + CHANCE * allowed.sqrt() {
            return None;
        }
        let at = (0..self.counted.len()).max_by(|a, b| self.counted[*a].slow.total_cmp(&self.counted[*b].slow))?;
        let worst = known.iter().find(|seen| seen.operation == Operation::ALL[at])?;
        let told = Slow { operation: worst.operation, share: slow / requests, from: worst.slow_from()? };
        Some((told, (allowed / slow).sqrt().clamp(0.5, 0.9)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throttle::latency::Seen;

    fn counted(requests: f64, slow: f64) -> [Counted; Operation::ALL.len()] {
        let mut all = [Counted::default(); Operation::ALL.len()];
        all[Operation::Store as usize] = Counted { requests, slow };
        all
    }

    fn usual() -> OperationSeen {
        let of = Seen {
            requests: 1000.0,
            p50: Duration::from_millis(2),
            p90: Duration::from_millis(4),
            p99: Duration::from_millis(12),
        };
        OperationSeen { operation: Operation::Store, now: of, usual: of }
    }

    fn after(requests: f64, slow: f64) -> Evidence {
        let mut evidence = Evidence::default();
        evidence.add(Instant::now(), &counted(requests, slow));
        evidence
    }

    #[test]
    fn one_slow_request_is_chance_and_a_share_of_them_is_not() {
        let seen = usual();
        for (requests, slow) in [(0.0, 0.0), (10.0, 1.0), (20.0, 2.0), (100.0, 2.0), (1000.0, 10.0), (1000.0, 14.0)] {
            assert_eq!(after(requests, slow).breach(&[&seen]), None, "{slow} of {requests}");
        }
        for (requests, slow) in [(10.0, 3.0), (100.0, 3.0), (300.0, 6.0), (1000.0, 15.0)] {
            let (told, factor) = after(requests, slow).breach(&[&seen]).unwrap();
            assert_eq!((told.operation, told.from), (Operation::Store, Duration::from_millis(15)));
            assert!((told.share - slow / requests).abs() < 1e-9 && (0.5..=0.9).contains(&factor), "{told:?} {factor}");
        }
        assert!(after(1000.0, 10.0).is_within() && !after(1000.0, 11.0).is_within());
        assert!(after(0.0, 0.0).is_within(), "nothing speaks against it");
    }

    #[test]
    fn evidence_fades() {
        let (mut evidence, begin) = (Evidence::default(), Instant::now());
        evidence.add(begin, &counted(100.0, 50.0));
        evidence.add(begin + HALF_LIFE * 10, &counted(100.0, 0.0));
        assert!(evidence.is_within(), "{evidence:?}");
    }
}
