//! How fast copies are read again: a budget in bytes per second that all of them share, seats for a few at a time, and counts.
//!
//! A taker pays in advance and waits until its bytes are due, in the order of asking: many at once share the rate, and nobody is
//! passed over. What was not used is not saved up beyond [`BURST`].

use super::disk::Way;
use super::nodes::lock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Copies that are read at the same time. A disk with one head is not served better by more.
pub(crate) const SEATS: usize = 4;

/// So much of the budget may be used at once after a pause.
const BURST: Duration = Duration::from_millis(250);

/// What even an empty object costs.
const OBJECT_BYTES_MIN: u64 = 4096;

/// A budget in bytes per second.
#[derive(Debug)]
pub(crate) struct Budget {
    /// 0: without a limit.
    bytes_per_second: u64,
    /// When all that was taken is paid for.
    paid_at: Mutex<Option<Instant>>,
}

impl Budget {
    pub(crate) const fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, paid_at: Mutex::new(None) }
    }

    /// Waits until so many bytes may be read.
    pub(crate) async fn take(&self, bytes: u64) {
        if self.bytes_per_second == 0 {
            return;
        }
        let cost = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let cost = Duration::from_nanos(u64::try_from(cost).unwrap_or(u64::MAX));
        let now = Instant::now();
        let due = {
            let mut paid_at = lock(&self.paid_at);
            let earliest = now.checked_sub(BURST).unwrap_or(now);
            let due = paid_at.unwrap_or(earliest).max(earliest) + cost;
            *paid_at = Some(due);
            due
        };
        tokio::time::sleep_until(due).await;
    }
}

/// The budget of the shard and the lower one of a run, if it has one.
#[derive(Debug)]
pub(crate) struct Pace<'a> {
    shared: &'a Budget,
    own: Budget,
}

impl Pace<'_> {
    /// Waits until so many bytes of an object may be read.
    pub(crate) async fn take(&self, bytes: u64) {
        self.own.take(bytes).await;
        self.shared.take(bytes).await;
    }

    /// The same for an object's first bytes.
    pub(crate) async fn begin(&self, bytes: u64) {
        self.take(bytes.max(OBJECT_BYTES_MIN)).await;
    }
}

/// What all runs of a shard have come to since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Bytes read past the page cache.
    pub direct_bytes: u64,
    /// Bytes read through it.
    pub cached_bytes: u64,
    /// Objects that had become other bytes.
    pub damaged: u64,
    /// Objects that were recorded but not on disk.
    pub missing: u64,
}

/// What all runs of a shard share.
#[derive(Debug)]
pub(crate) struct Readers {
    budget: Budget,
    seats: Semaphore,
    direct_bytes: AtomicU64,
    cached_bytes: AtomicU64,
    damaged: AtomicU64,
    missing: AtomicU64,
}

impl Readers {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self {
            budget: Budget::new(bytes_per_second),
            seats: Semaphore::new(SEATS),
            direct_bytes: AtomicU64::new(0),
            cached_bytes: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            missing: AtomicU64::new(0),
        }
    }

    /// At most as fast as the shard allows, and as `bytes_per_second`; 0 lowers nothing.
    pub(crate) const fn pace(&self, bytes_per_second: u64) -> Pace<'_> {
        Pace { shared: &self.budget, own: Budget::new(bytes_per_second) }
    }

    /// A seat that is free right now.
    pub(crate) fn try_seat(&self) -> Option<SemaphorePermit<'_>> {
        self.seats.try_acquire().ok()
    }

    /// Waits for a seat, in the order of asking. `None` never comes: the seats are never taken away.
    pub(crate) async fn seat(&self) -> Option<SemaphorePermit<'_>> {
        self.seats.acquire().await.ok()
    }

    pub(crate) fn read(&self, way: Way, bytes: u64) {
        let counter = if way == Way::Direct { &self.direct_bytes } else { &self.cached_bytes };
        counter.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn found(&self, damaged: bool, missing: bool) {
        self.damaged.fetch_add(damaged.into(), Ordering::Relaxed);
        self.missing.fetch_add(missing.into(), Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> ReadCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReadCounts {
            direct_bytes: of(&self.direct_bytes),
            cached_bytes: of(&self.cached_bytes),
            damaged: of(&self.damaged),
            missing: of(&self.missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn many_at_once_share_the_rate() {
        let readers = Arc::new(Readers::new(1 << 20));
        let started = Instant::now();
        let taking: Vec<_> = (0..10)
            .map(|_| {
                let readers = Arc::clone(&readers);
                tokio::spawn(async move {
                    let pace = readers.pace(0);
                    for _ in 0..4 {
                        pace.take(1 << 18).await;
                    }
                    started.elapsed()
                })
            })
            .collect();
        let mut ends = Vec::new();
        for taken in taking {
            ends.push(taken.await.unwrap());
        }
        // Ten MiB at one MiB a second, less what may be used at once.
        let last = ends.iter().max().unwrap();
        assert!((Duration::from_millis(9_700)..Duration::from_millis(10_100)).contains(last), "{last:?}");
        let first = ends.iter().min().unwrap();
        assert!(*first > Duration::from_secs(5), "nobody is served before the others: {first:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_may_be_slower_than_the_shard_and_never_faster() {
        for (shard, own, seconds) in [(1000_u64, 0_u64, 10_u64), (1000, 100_000, 10), (1000, 100, 100), (0, 100, 100)] {
            let readers = Readers::new(shard);
            let pace = readers.pace(own);
            let started = Instant::now();
            for _ in 0..100 {
                pace.take(100).await;
            }
            let took = started.elapsed();
            let wanted = Duration::from_secs(seconds);
            assert!(took > wanted - Duration::from_secs(1) && took <= wanted, "{shard} {own}: {took:?}");
        }
        let started = Instant::now();
        Readers::new(0).pace(0).take(u64::MAX).await;
        assert_eq!(started.elapsed(), Duration::ZERO, "without a limit");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_saves_up_little() {
        let budget = Budget::new(1000);
        budget.take(1).await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let started = Instant::now();
        budget.take(2000).await;
        assert!(started.elapsed() > Duration::from_millis(1700), "{:?}", started.elapsed());
    }
}
