//! The source's side of a cutover: fence, renew, unfence, seal, retire.

use super::gate::{self, Gate};
use super::{Admission, FenceOutcome};
use crate::engine::nodes::NodeCell;
use crate::engine::{Accepted, EngineError, FinalState, Forward, Mode, NodeRecord, ReplicaRecord, now};
use crate::witness;
use shardlift_model::{NodeId, ShardId, Token};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Longest lease. What cannot be done in this time is to be done again, not waited for.
pub const LEASE_MAX: Duration = Duration::from_secs(600);

/// What must be left of the lease for a seal: the controller's clock and ours need not run alike.
pub const SEAL_MARGIN: Duration = Duration::from_millis(250);

/// Where a node has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retirement {
    /// The writer.
    pub target: ShardId,
    /// Where it serves clients: requests are forwarded to there.
    pub client_address: String,
    /// Where it serves shards: the copy here follows from there.
    pub peer_address: String,
    /// Seq of the writer's journal at which both were equal.
    pub from_seq: u64,
}

/// How long broken-off mutations get to notice.
pub(super) const BREAK_OFF: Duration = Duration::from_secs(5);

impl Admission {
    /// Stops admitting mutations, waits for those in flight, breaks them off after `drain_max`, then reads the final state.
    /// Holds for `lease` from now unless renewed. Repeated while it holds, it prolongs the lease and answers again. A sealed node
    /// is fenced for good: it answers with what it was sealed at, so that a controller that lost the answer to a seal can go on.
    ///
    /// # Errors
    /// [`EngineError::StaleToken`]; [`EngineError::Refused`] unless the node is serving or sealed; [`EngineError::DrainTimedOut`] and
    /// [`EngineError::FenceLost`], after both of which the node goes on as before; a fence whose first call had succeeded stays
    /// when its repetition fails.
    pub async fn fence(
        &self,
        node: &NodeId,
        token: Token,
        lease: Duration,
        drain_max: Duration,
    ) -> Result<FenceOutcome, EngineError> {
        check_lease(lease)?;
        // INV-03: durable before anything is done.
        self.engine.accept_token(node, token).await?;
        let cell = self.cell(node)?;
        cell.gate.seal_decided(Instant::now() + BREAK_OFF).await;
        if let Mode::Sealed { last } = cell.record().mode {
            let (digest, _) = self.engine.digest(node).await?;
            return Ok(FenceOutcome { last, digest, cancelled: 0 });
        }
        let fenced_before = cell.gate.is_fenced();
        let number = cell.gate.fence(token, lease)?;
        if !fenced_before {
            tokio::spawn(gate::watch_lease(Arc::clone(&cell), number));
        }
        match self.drain(&cell, number, drain_max).await {
            Ok(outcome) => Ok(outcome),
            Err(error) => {
                cell.gate.abandon(number);
                Err(error)
            }
        }
    }

    async fn drain(&self, cell: &Arc<NodeCell>, number: u64, drain_max: Duration) -> Result<FenceOutcome, EngineError> {
        let gate: &Gate = &cell.gate;
        let mut cancelled = 0;
        if gate.mutating() > 0 {
            tracing::trace!(target: witness::DRAINED, node = %cell.id, "a fence waits for mutations in flight");
        }
        if !gate.drained(Instant::now() + drain_max).await {
            cancelled = gate.cancel_mutations();
            tracing::warn!(node = %cell.id, cancelled, "mutations in flight are broken off for a fence");
            if !gate.drained(Instant::now() + BREAK_OFF).await {
                return Err(EngineError::DrainTimedOut(gate.mutating()));
            }
        }
        // What a broken-off request had already handed to the disk goes on to its end; only then is the seq final. Nothing new can
        // start there: whoever starts it holds a permit.
        settled(cell).await?;
        let (digest, seq) = self.engine.digest(&cell.id).await?;
        let last = FinalState::new(&digest, seq);
        gate.settle(number, last)?;
        Ok(FenceOutcome { last, digest, cancelled })
    }

    /// Prolongs a live fence: from now, for `lease`. A seal needs no lease, so a renewal that comes after it changes nothing.
    ///
    /// # Errors
    /// [`EngineError::FenceLost`] when the lease has run out: what was fenced may have changed since.
    pub async fn renew(&self, node: &NodeId, token: Token, lease: Duration) -> Result<(), EngineError> {
        check_lease(lease)?;
        self.engine.accept_token(node, token).await?;
        self.cell(node)?.gate.renew(token, lease)
    }

    /// Admits mutations again, out of a fence, or by a recorded decision out of a seal.
    ///
    /// # Errors
    /// [`EngineError::StaleToken`]; [`EngineError::Refused`] when this shard is not the node's source any more.
    pub async fn unfence(&self, node: &NodeId, token: Token) -> Result<(), EngineError> {
        let edit = |record: &mut NodeRecord| match record.mode {
            Mode::Serving | Mode::Sealed { .. } => {
                record.mode = Mode::Serving;
                Ok(())
            }
            _ => Err(refused(record)),
        };
        self.engine.command(node, token, edit).await?;
        let cell = self.cell(node)?;
        if !cell.gate.unfence() {
            cell.follow_mode();
        }
        Ok(())
    }

    /// Gives up the right to resume: durable before it is answered. Needs a live fence at exactly `expected`.
    ///
    /// # Errors
    /// [`EngineError::FenceLost`] when the lease has run out, is about to, or the shard was restarted; [`EngineError::DigestDiffers`];
    /// [`EngineError::StaleToken`]. The node is as it was then. After [`EngineError::Stopped`] the outcome is known after a restart.
    pub async fn seal(&self, node: &NodeId, token: Token, expected: FinalState) -> Result<(), EngineError> {
        self.engine.accept_token(node, token).await?;
        let cell = self.cell(node)?;
        if let Mode::Sealed { last } = cell.record().mode {
            return if last == expected { Ok(()) } else { Err(EngineError::refused("sealed at another state")) };
        }
        cell.gate.begin_seal(&expected, SEAL_MARGIN)?;
        // Goes on when the caller goes away: half sealed is no state to stay in.
        let this = self.clone();
        let sealing = tokio::spawn(async move { this.persist_seal(&cell, token, expected).await });
        sealing.await.map_err(|_| EngineError::Stopped)?
    }

    async fn persist_seal(&self, cell: &NodeCell, token: Token, last: FinalState) -> Result<(), EngineError> {
        let edit = move |record: &mut NodeRecord| match record.mode {
            // INV-01: the journal must not have moved since the fence read it.
            Mode::Serving if record.seq() == last.seq => {
                record.mode = Mode::Sealed { last };
                Ok(())
            }
            Mode::Sealed { last: sealed } if sealed == last => Ok(()),
            _ => Err(refused(record)),
        };
        let sealed = self.engine.command(&cell.id, token, edit).await;
        match &sealed {
            // The engine has failed: whether the seal is durable shows after a restart. Until then the gate stays shut.
            Err(error) if !error.is_refusal() => {}
            _ => cell.follow_mode(),
        }
        sealed.map(drop)
    }

    /// After the commit: the sealed node becomes a copy that follows its new writer, and requests, parked ones first, are
    /// forwarded to there. All of it is one transaction; the job that follows is the caller's to start.
    ///
    /// # Errors
    /// [`EngineError::Refused`] unless the node is sealed (or follows that shard already); [`EngineError::StaleToken`].
    pub async fn retire(&self, node: &NodeId, token: Token, gone: Retirement) -> Result<Accepted, EngineError> {
        let Retirement { target, client_address, peer_address, from_seq } = gone;
        let since = now();
        let edit = move |record: &mut NodeRecord| match &record.mode {
            Mode::Sealed { .. } => {
                record.mode =
                    Mode::Incoming { source: target.clone(), source_peer_address: peer_address, accept_damaged: false };
                record.replica = Some(ReplicaRecord::equal_at(from_seq));
                record.forward = Some(Forward { shard: target, client_address, since });
                (record.offered_to, record.taken_over_from) = (None, None);
                Ok(())
            }
            _ if record.follows() == Some(&target) => Ok(()),
            _ => Err(refused(record)),
        };
        let accepted = self.engine.command(node, token, edit).await?;
        self.cell(node)?.follow_mode();
        Ok(accepted)
    }
}

/// Waits for what had been handed to the disk.
pub(super) async fn settled(cell: &NodeCell) -> Result<(), EngineError> {
    let mut critical = cell.critical.subscribe();
    let waited = tokio::time::timeout(BREAK_OFF, critical.wait_for(|count| *count == 0)).await;
    if waited.is_err() { Err(EngineError::DrainTimedOut(*cell.critical.borrow())) } else { Ok(()) }
}

pub(super) fn refused(record: &NodeRecord) -> EngineError {
    EngineError::Refused(format!("the node is {} here", record.mode.word()))
}

fn check_lease(lease: Duration) -> Result<(), EngineError> {
    if lease.is_zero() || lease > LEASE_MAX {
        return Err(EngineError::Refused(format!("a lease is between one millisecond and {} s", LEASE_MAX.as_secs())));
    }
    Ok(())
}
