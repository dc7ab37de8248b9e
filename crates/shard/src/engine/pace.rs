//! How fast copies are read again: a budget in bytes per second that all of them share, seats for a few at a time, and counts.
//!
//! A taker pays in advance, to the budget of its run, to that of the shard, and last to what the shard's clients leave
//! ([`crate::throttle`]). Copies that are read at the same time have their turns.

use super::disk::Way;
use crate::throttle::{Throttle, Turnstile, Work};
use shardlift_model::NodeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Copies that are read at the same time. A disk with one head is not served better by more.
pub(crate) const SEATS: usize = 4;

/// What even an empty object costs.
const OBJECT_BYTES_MIN: u64 = 4096;

/// A budget; 0 is without a limit.
fn budget(bytes_per_second: u64) -> Turnstile<NodeId> {
    Turnstile::new((bytes_per_second > 0).then_some(bytes_per_second))
}

/// The budget of the shard and the lower one of a run, if it has one.
#[derive(Debug)]
pub(crate) struct Pace<'a> {
    node: NodeId,
    own: Turnstile<NodeId>,
    shared: &'a Turnstile<NodeId>,
    throttle: &'a Throttle,
}

impl Pace<'_> {
    /// Waits until so many bytes of an object may be read.
    pub(crate) async fn take(&self, bytes: u64) {
        self.own.take(self.node.clone(), bytes).await;
        self.shared.take(self.node.clone(), bytes).await;
        self.throttle.take(Work::Verify, &self.node, bytes).await;
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
    budget: Turnstile<NodeId>,
    throttle: Arc<Throttle>,
    seats: Semaphore,
    direct_bytes: AtomicU64,
    cached_bytes: AtomicU64,
    damaged: AtomicU64,
    missing: AtomicU64,
}

impl Readers {
    pub(crate) fn new(bytes_per_second: u64, throttle: &Arc<Throttle>) -> Self {
        Self {
            budget: budget(bytes_per_second),
            throttle: Arc::clone(throttle),
            seats: Semaphore::new(SEATS),
            direct_bytes: AtomicU64::new(0),
            cached_bytes: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            missing: AtomicU64::new(0),
        }
    }

    /// At most as fast as the shard allows, and as `bytes_per_second`; 0 lowers nothing.
    pub(crate) fn pace(&self, node: &NodeId, bytes_per_second: u64) -> Pace<'_> {
        let own = budget(bytes_per_second);
        Pace { node: node.clone(), own, shared: &self.budget, throttle: &self.throttle }
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
    use crate::throttle::Limits;
    use std::time::Duration;
    use tokio::time::Instant;

    fn readers(bytes_per_second: u64) -> Readers {
        let folder = tempfile::tempdir().unwrap();
        let throttle = Throttle::open(folder.path(), Limits::default()).unwrap();
        Readers::new(bytes_per_second, &Arc::new(throttle))
    }

    fn node(number: u32) -> NodeId {
        format!("node-{number}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_share_the_rate() {
        let readers = Arc::new(readers(1 << 20));
        let started = Instant::now();
        let taking: Vec<_> = (0..10)
            .map(|number| {
                let readers = Arc::clone(&readers);
                tokio::spawn(async move {
                    let pace = readers.pace(&node(number), 0);
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
            let readers = readers(shard);
            let pace = readers.pace(&node(1), own);
            let started = Instant::now();
            for _ in 0..100 {
                pace.take(100).await;
            }
            let took = started.elapsed();
            let wanted = Duration::from_secs(seconds);
            // A timer is as fine as a millisecond.
            let latest = wanted + Duration::from_millis(200);
            assert!(took > wanted - Duration::from_secs(1) && took <= latest, "{shard} {own}: {took:?}");
        }
        let started = Instant::now();
        readers(0).pace(&node(1), 0).take(u64::MAX).await;
        assert_eq!(started.elapsed(), Duration::ZERO, "without a limit");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_saves_up_little() {
        let readers = readers(1000);
        let pace = readers.pace(&node(1), 0);
        pace.take(1).await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let started = Instant::now();
        pace.take(2000).await;
        assert!(started.elapsed() > Duration::from_millis(1700), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn reading_again_gives_way_like_all_that_is_not_a_clients() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { cap: Some(1 << 20), ..Limits::default() };
        let throttle = Arc::new(Throttle::open(folder.path(), limits).unwrap());
        let readers = Readers::new(0, &throttle);
        let started = Instant::now();
        readers.pace(&node(1), 0).take(10 << 20).await;
        assert!(started.elapsed() > Duration::from_secs(9), "{:?}", started.elapsed());
        assert_eq!(throttle.standing().bytes[Work::Verify as usize], 10 << 20);
    }
}
