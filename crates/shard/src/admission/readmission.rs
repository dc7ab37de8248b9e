//! Staged re-admission: after a promotion the node's clients come in at a rate that follows how well the shard bears it.
//!
//! All clients of a batch that has flipped come at once to a shard whose caches are cold. What waits here is the first request
//! of a client's connection for a node that was promoted here lately: without a permit, so that no fence waits for it, its body unread,
//! in the places and for the time that parked requests have, in the order of arrival. A connection that is in stays in, and what
//! another shard forwards belongs to clients that are in. Once a node has left again, its clients are forwarded and wait for nothing.
//!
//! The time of a promotion is in the node's record, so that a restart, which makes caches no warmer, begins a stage anew.
//! The wall clock only decides whether a client is staged; a wrong one stages too much or too little, and refuses nobody.

mod pace;

#[cfg(test)]
mod tests;

use super::{Admission, Unavailable};
use crate::engine::nodes::{NodeCell, lock};
use crate::engine::now;
use pace::{Decision, Pace, Promotion};
use shardlift_model::NodeId;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Highest rate at the start that makes sense.
pub(crate) const PER_SECOND_MAX: u64 = pace::RATE_MAX;

/// How often those who wait are looked at.
const TICK: Duration = Duration::from_millis(50);

/// How new sessions are let in after a promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadmissionLimits {
    /// Sessions per second at the start. Zero: all at once.
    pub per_second: u32,
    /// How long after its promotion a node's new sessions are let in like this.
    pub window: Duration,
}

impl Default for ReadmissionLimits {
    fn default() -> Self {
        Self { per_second: 100, window: Duration::from_secs(600) }
    }
}

/// Re-admission as it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Staging {
    /// Sessions per second; zero without a limit.
    pub per_second: u64,
    /// Sessions that wait.
    pub waiting: u64,
    /// Sessions that had to wait since the start of the process.
    pub delayed: u64,
    /// Sessions that were let in while there was a limit, since the start of the process.
    pub let_in: u64,
}

#[derive(Debug)]
struct Queue {
    pace: Pace<oneshot::Sender<()>>,
    /// A task calls in those who wait.
    attended: bool,
}

/// Lets new sessions of the whole shard in.
#[derive(Debug)]
pub(crate) struct Readmission {
    window: Duration,
    queue: Mutex<Queue>,
    delayed: AtomicU64,
}

impl Readmission {
    pub(crate) fn new(limits: ReadmissionLimits) -> Arc<Self> {
        let queue = Queue { pace: Pace::new(limits.per_second), attended: false };
        Arc::new(Self { window: limits.window, queue: Mutex::new(queue), delayed: AtomicU64::new(0) })
    }

    /// A piece of a request's work was done in this time: what the shard itself took, not what its client did.
    pub(crate) fn done(&self, took: Duration) {
        lock(&self.queue).pace.done(Instant::now(), took);
    }

    /// A request failed by a fault of the shard.
    pub(crate) fn failed(&self) {
        self.done(Duration::MAX);
    }

    /// How it stands.
    pub(crate) fn staging(&self) -> Staging {
        let mut queue = lock(&self.queue);
        Staging {
            per_second: queue.pace.rate(Instant::now()).unwrap_or(0),
            waiting: queue.pace.waiting() as u64,
            delayed: self.delayed.load(Ordering::Relaxed),
            let_in: queue.pace.let_in(),
        }
    }

    /// `None` for a session that may come in now.
    fn ask(self: &Arc<Self>, promotion: Promotion) -> Option<Turn> {
        let mut queue = lock(&self.queue);
        if queue.pace.ask(Instant::now(), promotion) == Decision::In {
            return None;
        }
        let (call, called) = oneshot::channel();
        let ticket = queue.pace.park(call);
        if !queue.attended {
            queue.attended = true;
            tokio::spawn(Arc::clone(self).attend());
        }
        drop(queue);
        self.delayed.fetch_add(1, Ordering::Relaxed);
        Some(Turn { readmission: Arc::clone(self), ticket, called })
    }

    /// Calls in those whose turn it is, until nobody waits.
    async fn attend(self: Arc<Self>) {
        loop {
            tokio::time::sleep(TICK).await;
            let mut queue = lock(&self.queue);
            for call in queue.pace.release(Instant::now()) {
                // Whoever is gone has no use for his turn.
                let _gone = call.send(());
            }
            if queue.pace.waiting() == 0 {
                queue.attended = false;
                return;
            }
        }
    }
}

/// A place among the sessions that wait. Gives itself back.
#[derive(Debug)]
struct Turn {
    readmission: Arc<Readmission>,
    ticket: u64,
    called: oneshot::Receiver<()>,
}

impl Turn {
    /// Comes back when it is this one's turn. Whoever stops waiting keeps the place for as long as the turn lives.
    async fn come(&mut self) {
        // The caller is dropped uncalled with the queue only, and that is held here.
        let _called = (&mut self.called).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.readmission.queue).pace.leave(self.ticket);
    }
}

/// Whether a client's connection has been let in. All requests that it begins with share one turn.
#[derive(Debug, Default)]
pub(crate) struct Newcomer {
    is_in: AtomicBool,
    turn: tokio::sync::Mutex<Option<Turn>>,
}

impl Newcomer {
    /// One that never waits.
    pub(crate) fn known() -> Self {
        Self { is_in: AtomicBool::new(true), turn: tokio::sync::Mutex::default() }
    }

    fn is_in(&self) -> bool {
        self.is_in.load(Ordering::Acquire)
    }

    fn come_in(&self) {
        self.is_in.store(true, Ordering::Release);
    }

    async fn wait(&self, readmission: &Arc<Readmission>, promotion: Promotion) {
        let mut turn = self.turn.lock().await;
        if self.is_in() {
            return;
        }
        if turn.is_none() {
            *turn = readmission.ask(promotion);
        }
        if let Some(turn) = turn.as_mut() {
            turn.come().await;
        }
        *turn = None;
        self.come_in();
    }
}

impl Admission {
    /// Waits until a connection may come in, if it has to. What the gate says then is another matter.
    ///
    /// # Errors
    /// [`Unavailable::ParkedTooLong`] at `deadline`; [`Unavailable::TooManyParked`].
    pub(crate) async fn readmit(
        &self,
        node: &NodeId,
        newcomer: &Newcomer,
        deadline: Instant,
    ) -> Result<(), Unavailable> {
        if newcomer.is_in() {
            return Ok(());
        }
        let Ok(cell) = self.cell(node) else { return Ok(()) };
        let readmission = self.engine.readmission();
        let Some(promotion) = promotion(&cell, readmission.window) else {
            newcomer.come_in();
            return Ok(());
        };
        let waiting = newcomer.wait(readmission, promotion);
        tokio::pin!(waiting);
        if futures::poll!(waiting.as_mut()).is_ready() {
            return Ok(());
        }
        let place = cell.gate.park(self.engine.config().park.count);
        let Some(_place) = place else { return Err(Unavailable::TooManyParked) };
        tokio::select! {
            biased;
            () = waiting => Ok(()),
            () = cell.gate.away() => {
                newcomer.come_in();
                Ok(())
            }
            () = tokio::time::sleep_until(deadline) => Err(Unavailable::ParkedTooLong),
        }
    }
}

/// The promotion after which the node's clients are to come in in stages now.
fn promotion(cell: &NodeCell, window: Duration) -> Option<Promotion> {
    let at = cell.record().promoted_at.filter(|_| !cell.gate.is_away())?;
    let left = window.saturating_sub(now().since(at));
    (!left.is_zero()).then_some(Promotion { at, left })
}
