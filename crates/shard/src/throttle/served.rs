//! What is measured of clients: that they are there, and how long the shard takes for them.

use super::Throttle;
use super::latency::Operation;
use crate::engine::nodes::lock;
use shardlift_model::NodeId;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

impl Throttle {
    /// A client's request is in progress for as long as this lives.
    pub(crate) fn client(self: &Arc<Self>) -> Client {
        let now = Instant::now();
        let came_back = {
            let mut state = lock(&self.state);
            let came_back = !state.has_clients(now);
            state.clients += 1;
            came_back
        };
        self.step(came_back);
        Client(Arc::clone(self))
    }

    /// A client stored so many bytes at a node.
    pub(crate) fn stored(&self, node: &NodeId, bytes: u64) {
        lock(&self.state).keep_up.stored(node, bytes);
    }

    /// Measures the shard's own part of a request.
    pub(crate) const fn own_time(&self) -> OwnTime<'_> {
        OwnTime { throttle: self, spent: Duration::ZERO }
    }
}

/// A client's request in progress.
#[derive(Debug)]
pub(crate) struct Client(Arc<Throttle>);

impl Drop for Client {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.clients -= 1;
        state.client_seen = Some(Instant::now());
    }
}

/// The shard's own part of a request, which may come in pieces.
#[derive(Debug)]
pub(crate) struct OwnTime<'a> {
    throttle: &'a Throttle,
    spent: Duration,
}

impl OwnTime<'_> {
    /// Does a piece of it.
    pub(crate) async fn of<T>(&mut self, piece: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let in_hand = InHand::new(self.throttle, began);
        let done = piece.await;
        drop(in_hand);
        self.spent += began.elapsed();
        done
    }

    /// All of it was done, for a client that asked for this. Returns how long it was.
    pub(crate) fn done(self, operation: Operation) -> Duration {
        let now = Instant::now();
        {
            let mut state = lock(&self.throttle.state);
            let beside = state.beside(now);
            state.latencies.note(now, operation, self.spent, beside);
        }
        self.throttle.step(false);
        self.spent
    }
}

/// A piece of work for a client, counted until it is done or given up.
struct InHand<'a>(&'a Throttle);

impl<'a> InHand<'a> {
    fn new(throttle: &'a Throttle, now: Instant) -> Self {
        let mut state = lock(&throttle.state);
        if state.in_hand == 0 {
            state.heard = Some(now);
        }
        state.in_hand += 1;
        drop(state);
        Self(throttle)
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.in_hand -= 1;
        state.heard = Some(Instant::now());
    }
}
