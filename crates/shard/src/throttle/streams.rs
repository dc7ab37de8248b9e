//! Transfers at the same time, bounded by a number that may change. Those who wait are let in one by one, the first first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Notify;

/// Seats of one direction.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// 0: without a limit.
    most: AtomicU32,
    taken: AtomicU32,
    freed: Notify,
}

/// A transfer. Gives its seat back.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Streams>);

impl Streams {
    /// Those who are in stay in.
    pub(super) fn limit(&self, most: Option<u32>) {
        self.most.store(most.unwrap_or(0), Ordering::SeqCst);
        self.freed.notify_waiters();
    }

    /// Waits for a seat.
    pub(super) async fn seat(self: &Arc<Self>) -> Seat {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Before the look, so that a seat that is given back in between is not slept through.
            freed.as_mut().enable();
            if let Some(seat) = self.try_seat() {
                return seat;
            }
            freed.await;
        }
    }

    fn try_seat(self: &Arc<Self>) -> Option<Seat> {
        let taken = self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| {
            let most = self.most.load(Ordering::SeqCst);
            (most == 0 || taken < most).then_some(taken + 1)
        });
        taken.is_ok().then(|| Seat(Arc::clone(self)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_allowed_are_in_and_a_higher_limit_lets_more_in() {
        let streams = Arc::new(Streams::default());
        let early: Vec<Seat> = futures::future::join_all((0..5).map(|_| streams.seat())).await;
        streams.limit(Some(2));
        let (seats, mut come) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..4 {
            let (streams, seats) = (Arc::clone(&streams), seats.clone());
            tokio::spawn(async move { seats.send((number, streams.seat().await)).unwrap() });
        }
        let pause = || tokio::time::sleep(Duration::from_millis(1));
        pause().await;
        assert!(come.try_recv().is_err(), "those from before count");
        drop(early);
        pause().await;
        let (first, second) = (come.try_recv().unwrap(), come.try_recv().unwrap());
        assert!(come.try_recv().is_err());
        assert_eq!((first.0, second.0), (0, 1), "in the order of asking");
        drop(first);
        pause().await;
        assert_eq!(come.try_recv().unwrap().0, 2);
        streams.limit(None);
        pause().await;
        assert_eq!(come.try_recv().unwrap().0, 3);
    }
}
