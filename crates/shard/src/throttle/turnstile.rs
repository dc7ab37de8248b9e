//! [`Lanes`] that can be waited at.
//!
//! While somebody waits a task of its own lets takers through; it ends with the last one. Whoever stops waiting leaves.

use super::lanes::{Decision, Lanes};
use crate::engine::nodes::lock;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Longest time between two looks at those who wait: the rate may have changed.
const LOOK_MAX: Duration = Duration::from_millis(50);

/// Shortest one: a timer is no finer.
const LOOK_MIN: Duration = Duration::from_millis(1);

#[derive(Debug)]
struct Queue<L> {
    lanes: Lanes<L, oneshot::Sender<()>>,
    /// A task lets takers through.
    attended: bool,
}

/// A rate that many share.
#[derive(Debug)]
pub(crate) struct Turnstile<L> {
    queue: Arc<Mutex<Queue<L>>>,
}

impl<L: Ord + Clone + Debug + Send + 'static> Turnstile<L> {
    /// `None`: without a limit.
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { queue: Arc::new(Mutex::new(Queue { lanes: Lanes::new(bytes_per_second), attended: false })) }
    }

    /// From now on, also for those who wait.
    pub(crate) fn set_rate(&self, bytes_per_second: Option<u64>) {
        let mut queue = lock(&self.queue);
        let now = Instant::now();
        queue.lanes.set_rate(now, bytes_per_second);
        call(queue.lanes.release(now));
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.queue).lanes.waiting()
    }

    /// Waits until so many bytes may go. Returns whether it had to wait.
    pub(crate) async fn take(&self, lane: L, bytes: u64) -> bool {
        let (ticket, called) = {
            let mut queue = lock(&self.queue);
            if queue.lanes.ask(Instant::now(), bytes) == Decision::Go {
                return false;
            }
            let (call, called) = oneshot::channel();
            let ticket = queue.lanes.park(lane.clone(), bytes, call);
            if !queue.attended {
                queue.attended = true;
                tokio::spawn(attend(Arc::clone(&self.queue)));
            }
            (ticket, called)
        };
        let _place = Place { queue: &self.queue, lane, ticket };
        // The sender is dropped uncalled with the queue only, and that is held here.
        let _called = called.await;
        true
    }
}

fn call(waiting: Vec<oneshot::Sender<()>>) {
    for waiter in waiting {
        // Whoever is gone has no use for it; what he paid for is lost, at most once for each that leaves.
        let _gone = waiter.send(());
    }
}

/// A place among those who wait. Gives itself back.
struct Place<'a, L: Ord + Clone> {
    queue: &'a Mutex<Queue<L>>,
    lane: L,
    ticket: u64,
}

impl<L: Ord + Clone> Drop for Place<'_, L> {
    fn drop(&mut self) {
        lock(self.queue).lanes.leave(&self.lane, self.ticket);
    }
}

/// Lets takers through until nobody waits.
async fn attend<L: Ord + Clone>(queue: Arc<Mutex<Queue<L>>>) {
    loop {
        let pause = {
            let mut queue = lock(&queue);
            let released = queue.lanes.release(Instant::now());
            call(released);
            let Some(next) = queue.lanes.next_in() else {
                queue.attended = false;
                return;
            };
            next.clamp(LOOK_MIN, LOOK_MAX)
        };
        tokio::time::sleep(pause).await;
    }
}
