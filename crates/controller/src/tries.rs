//! How often somebody may try.

use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Tries that one may make in a row, and how soon it gets the next one.
const BURST: f64 = 20.0;
const REFILL_PER_SECOND: f64 = 0.5;

/// Tries that all together may make in a row, and how many a second.
const BURST_ALL: f64 = 500.0;
const REFILL_ALL_PER_SECOND: f64 = 50.0;

/// Askers that are remembered.
const ASKERS_MAX: usize = 10_000;

/// Tries left to one; they come back with time.
#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn take(&mut self, now: Instant, burst: f64, per_second: f64) -> bool {
        self.left = (self.left + (now - self.at).as_secs_f64() * per_second).min(burst);
        self.at = now;
        let admitted = self.left >= 1.0;
        if admitted {
            self.left -= 1.0;
        }
        admitted
    }
}

/// Limits each one who asks, and all of them together.
#[derive(Debug)]
pub(crate) struct Tries<K> {
    all: Option<Bucket>,
    askers: BTreeMap<K, Bucket>,
}

impl<K> Default for Tries<K> {
    fn default() -> Self {
        Self { all: None, askers: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Tries<K> {
    /// True when one more is allowed.
    pub(crate) fn take(&mut self, asker: &K, now: Instant) -> bool {
        if self.askers.len() >= ASKERS_MAX {
            let full_again = Duration::from_secs_f64(BURST / REFILL_PER_SECOND);
            self.askers.retain(|_, bucket| now - bucket.at < full_again);
        }
        if self.askers.len() >= ASKERS_MAX && !self.askers.contains_key(asker) {
            return false;
        }
        let bucket = self.askers.entry(asker.clone()).or_insert(Bucket { left: BURST, at: now });
        if !bucket.take(now, BURST, REFILL_PER_SECOND) {
            return false;
        }
        let all = self.all.get_or_insert(Bucket { left: BURST_ALL, at: now });
        all.take(now, BURST_ALL, REFILL_ALL_PER_SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn one_address_runs_out_of_tries_and_gets_them_back_while_others_go_on() {
        let mut tries = Tries::default();
        let start = Instant::now();
        let address = |n: u8| Some(IpAddr::from([10, 0, 0, n]));
        let taken = (0..100).filter(|_| tries.take(&address(1), start)).count();
        assert_eq!(taken, 20);
        assert!(tries.take(&address(2), start));
        assert!(tries.take(&address(1), start + Duration::from_secs(2)));
        assert!(!tries.take(&address(1), start + Duration::from_secs(2)));
    }

    #[test]
    fn many_addresses_together_run_out_too() {
        let mut tries = Tries::default();
        let start = Instant::now();
        let taken = (0..1000_u32).filter(|n| tries.take(n, start)).count();
        assert_eq!(taken, 500);
    }
}
