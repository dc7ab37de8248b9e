//! What a request holds while it is in, parked, or on its way to another shard. Each gives itself back and tells the gate.

use super::{Access, Gate, lock};
use crate::engine::Forward;
use crate::engine::nodes::NodeCell;
use shardlift_model::Token;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The right to be in. Gives itself back.
#[derive(Debug)]
pub struct Permit {
    cell: Arc<NodeCell>,
    access: Access,
    cancelled: CancellationToken,
}

impl Permit {
    /// The gate has counted it.
    pub(super) const fn new(cell: Arc<NodeCell>, access: Access, cancelled: CancellationToken) -> Self {
        Self { cell, access, cancelled }
    }

    /// Comes back when a fence could not wait any longer: the request must end now, unanswered or with 503, never with success.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// What it was given for.
    #[must_use]
    pub const fn access(&self) -> Access {
        self.access
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = lock(&self.cell.gate.state);
        match self.access {
            Access::Read => state.reading -= 1,
            Access::Mutate => state.mutating -= 1,
        }
        drop(state);
        self.cell.gate.signal();
    }
}

/// A request that another shard is to answer. Kept until its answer is sent.
#[derive(Debug)]
pub struct Onward {
    cell: Arc<NodeCell>,
    forward: Arc<Forward>,
    cancelled: CancellationToken,
}

impl Onward {
    /// The gate has counted it.
    pub(super) const fn new(cell: Arc<NodeCell>, forward: Arc<Forward>, cancelled: CancellationToken) -> Self {
        Self { cell, forward, cancelled }
    }

    /// Cancelled when nothing is forwarded any more: the request must end now, whatever the other shard says.
    #[must_use]
    pub const fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Where to.
    #[must_use]
    pub fn forward(&self) -> &Forward {
        &self.forward
    }

    /// The highest token accepted for the node, as of now.
    #[must_use]
    pub fn token(&self) -> Token {
        self.cell.record().token
    }
}

impl Drop for Onward {
    fn drop(&mut self) {
        lock(&self.cell.gate.state).forwarding -= 1;
        self.cell.gate.signal();
    }
}

/// A place among those who wait.
pub(crate) struct Parked<'a>(&'a Gate);

impl<'a> Parked<'a> {
    /// `None` when all places are taken.
    pub(super) fn new(gate: &'a Gate, limit: usize) -> Option<Self> {
        let mut state = lock(&gate.state);
        if state.parked >= limit as u64 {
            return None;
        }
        state.parked += 1;
        Some(Self(gate))
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).parked -= 1;
    }
}
