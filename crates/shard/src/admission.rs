//! Who may go in when: the gate of each node, and the commands of a cutover that open and close it.
//!
//! What a client meets: a *serving* node is open. *Fenced*: reads go on, mutations are parked (no answer, body not read).
//! *Sealed*: everything is parked. *Moved away*: forwarded to the new writer. *Incoming*, *discarded*, *quarantined*:
//! unavailable, so that the client comes again through the router. A node that moves is never "not found" or "forbidden".
//!
//! The cutover on the source: [`Admission::fence`] parks mutations under a lease, waits for those in flight, reads the final
//! state; [`Admission::renew`] keeps it; [`Admission::seal`] gives up the right to resume, durable before it says so;
//! [`Admission::retire`] turns it into a copy of its new writer. A lease that runs out opens the node again by itself: nobody has
//! to be alive for that. On the target: [`Admission::promote`].
//!
//! When the writer is gone for good: [`Admission::take_stock`] of the copy that followed it, which is then promoted at exactly that, and
//! [`Admission::depose`] of the writer if it ever returns.
//!
//! After a promotion, new sessions come in at a rate: [`readmission`].
//!
//! INV-01: between fence and seal nobody writes; after the seal only [`Admission::unfence`] (a recorded decision) opens it here.
//! A fence is in memory only: a restarted source serves again, and a seal then finds no fence and is refused.

mod cutover;
pub(crate) mod gate;
mod promotion;
pub(crate) mod readmission;
mod takeover;

#[cfg(test)]
mod tests;

use crate::engine::{Engine, EngineError, FinalState, now};
pub use cutover::{LEASE_MAX, Retirement, SEAL_MARGIN};
use gate::Entering;
pub use gate::{Onward, Permit};
pub use readmission::{ReadmissionLimits, Staging};
use shardlift_model::NodeId;
use shardlift_model::digest::Digest;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long connections stay open after a node has moved away. Before the routes are flipped, a client that connects anew would
/// only come here again.
pub const FORWARD_GRACE: Duration = Duration::from_secs(3);

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Changes nothing.
    Read,
    /// May change something.
    Mutate,
}

/// Why a request is not let in. All of them are temporary towards a client: 503, and the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The node is on its way here.
    #[error("the node is on its way here")]
    Incoming,
    /// The node has moved away.
    #[error("the node has moved")]
    Retired,
    /// A copy of the node was given up here.
    #[error("the node is not here")]
    Discarded,
    /// Parked for as long as allowed.
    #[error("the node was closed for too long")]
    ParkedTooLong,
    /// Too many requests are parked already.
    #[error("too many requests wait for the node")]
    TooManyParked,
}

/// The answer at the gate.
#[derive(Debug)]
pub enum Entry {
    /// Go in; keep the permit until the request is done.
    Admitted(Permit),
    /// Let the new writer answer; keep this until the request is done.
    Forward(Onward),
    /// Not now.
    Unavailable(Unavailable),
    /// No such node on this shard.
    Unknown,
}

/// Limits on parked requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParkLimits {
    /// How long one may wait. Under the five minutes after which current clients give a request up.
    pub wait: Duration,
    /// How many per node.
    pub count: usize,
}

impl Default for ParkLimits {
    fn default() -> Self {
        Self { wait: Duration::from_secs(240), count: 256 }
    }
}

/// What a fence has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceOutcome {
    /// What the node holds with nobody writing, locks included, and the final seq of its journal.
    pub last: FinalState,
    /// The whole digest of the same.
    pub digest: Digest,
    /// Mutations in flight that did not end in time and were broken off.
    pub cancelled: u64,
}

/// Opens and closes nodes. Cheap to make.
#[derive(Debug, Clone)]
pub struct Admission {
    engine: Arc<Engine>,
}

impl Admission {
    pub(crate) const fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Asks to go in; waits while the node is fenced or sealed. Dropping the future ends the wait.
    pub async fn enter(&self, node: &NodeId, access: Access) -> Entry {
        self.enter_until(node, access, Instant::now() + self.engine.config().park.wait).await
    }

    /// The same for a request that may have waited elsewhere: parked until `deadline` at most.
    pub(crate) async fn enter_until(&self, node: &NodeId, access: Access, deadline: Instant) -> Entry {
        let Ok(cell) = self.engine.cell(node) else { return Entry::Unknown };
        match gate::enter(&cell, access, deadline, self.engine.config().park.count).await {
            Entering::Admitted(permit) => Entry::Admitted(permit),
            Entering::Forwarded(onward) if now().since(onward.forward().since) >= self.engine.config().forward_max => {
                Entry::Unavailable(Unavailable::Retired)
            }
            Entering::Forwarded(onward) => Entry::Forward(onward),
            Entering::Refused(why) => Entry::Unavailable(why),
        }
    }

    /// Comes back once clients of the node are sent away, so that connections without a request can be ended, too: their
    /// clients connect anew and are routed anew. With `forwarded`, also once their requests have been forwarded for long enough.
    /// Never comes back for a node that is unknown.
    pub async fn sent_away(&self, node: &NodeId, forwarded: bool) {
        let Ok(cell) = self.engine.cell(node) else { return std::future::pending().await };
        let mut changed = cell.gate.watch();
        loop {
            changed.mark_unchanged();
            if cell.gate.is_closed() {
                return;
            }
            let left = cell
                .gate
                .forward()
                .filter(|_| forwarded)
                .map(|forward| FORWARD_GRACE.saturating_sub(now().since(forward.since)));
            match left {
                Some(Duration::ZERO) => return,
                Some(left) => tokio::select! {
                    biased;
                    () = tokio::time::sleep(left) => {}
                    _ = changed.changed() => {}
                },
                // The sender lives in the cell that is held here.
                None => drop(changed.changed().await),
            }
        }
    }

    /// Follows a node's gate: the number changes whenever it opens or closes. `None` when the node is unknown.
    #[must_use]
    pub fn watch(&self, node: &NodeId) -> Option<tokio::sync::watch::Receiver<u64>> {
        self.engine.cell(node).ok().map(|cell| cell.gate.watch())
    }

    fn cell(&self, node: &NodeId) -> Result<Arc<crate::engine::nodes::NodeCell>, EngineError> {
        self.engine.cell(node)
    }
}
