//! Going back without the writer: what the copy that followed it has is named, and a writer that returns gives the node up.
//!
//! Both are for ever under their token. The one who has taken stock follows and forwards no more: what its promotion is about must not
//! change under the decision. The one who is deposed was never equal to what came after it, so nothing is kept from which it could go on.

use super::Admission;
use super::cutover::{BREAK_OFF, refused, settled};
use crate::engine::nodes::NodeCell;
use crate::engine::{Accepted, EngineError, FinalState, Mode, NodeRecord, ReplicaPhase, ReplicaRecord};
use shardlift_model::{NodeId, ShardId, Token};
use tokio::time::Instant;

impl Admission {
    /// A former writer, following or still sealed, stops following and forwarding, and names what it has: its own content, and the last
    /// change of the gone writer that is part of it. A sealed one has what it was sealed at. Durable before it is answered, and
    /// from then on always the same answer. The job that follows has ended before this is called; requests that were forwarded
    /// are broken off, parked ones sent away.
    ///
    /// # Errors
    /// [`EngineError::StaleToken`]; [`EngineError::Refused`] for the writer, for an old copy that follows nobody and for one that was
    /// never the writer; [`EngineError::DigestDiffers`] when a sealed node no longer holds what it was sealed at;
    /// [`EngineError::DrainTimedOut`] when requests do not end, which changes nothing about the stock.
    pub async fn take_stock(&self, node: &NodeId, token: Token) -> Result<FinalState, EngineError> {
        // INV-03: durable before anything is done.
        self.engine.accept_token(node, token).await?;
        let cell = self.cell(node)?;
        cell.gate.seal_decided(Instant::now() + BREAK_OFF).await;
        settled(&cell).await?;
        let (digest, own_seq) = self.engine.digest(node).await?;
        let own = FinalState::new(&digest, own_seq);
        self.engine.command(node, token, move |record| stock(record, own)).await?;
        cell.follow_mode();
        ended(&cell).await?;
        match cell.record().mode {
            Mode::Stocked { state, .. } => Ok(state),
            // Promoted in between, by a command that came after this one.
            _ => Err(refused(&cell.record())),
        }
    }

    /// A writer whose node was taken over without it gives the node up: retired, never served, following and forwarding to nobody.
    /// Durable before mutations in flight are broken off, and none is left when this returns; the job that follows, if any, has
    /// ended before this is called. A copy that was meant to be the writer and was never promoted gives the node up the same way.
    ///
    /// # Errors
    /// [`EngineError::StaleToken`]; [`EngineError::Refused`] for a copy that was given up or put aside, and for one whose stock was taken;
    /// [`EngineError::DrainTimedOut`] when requests do not end: the node is given up all the same.
    pub async fn depose(&self, node: &NodeId, token: Token) -> Result<Accepted, EngineError> {
        let accepted = self.engine.accept_token(node, token).await?;
        let cell = self.cell(node)?;
        cell.gate.seal_decided(Instant::now() + BREAK_OFF).await;
        // INV-01: from this transaction on the index takes no client's mutation, whatever is in flight.
        self.engine.command(node, token, give_up).await?;
        cell.follow_mode();
        ended(&cell).await?;
        Ok(accepted)
    }
}

/// Idempotent. `own` is what the node held at the seq of its own journal.
fn stock(record: &mut NodeRecord, own: FinalState) -> Result<(), EngineError> {
    let (source, state) = match &record.mode {
        Mode::Stocked { .. } => return Ok(()),
        Mode::Sealed { last } if !own.same_content(last) => {
            let text = format!("sealed with root {}, here is {}", last.root, own.root);
            return Err(EngineError::DigestDiffers(text));
        }
        Mode::Sealed { last } => (offered_to(record)?, *last),
        Mode::Incoming { .. } => {
            let source = record.follows().ok_or_else(|| {
                EngineError::refused(
                    "the copy was never the writer; stock is taken of a copy that followed its new writer",
                )
            })?;
            let seq = record.replica.as_ref().map_or(0, |replica| replica.applied_seq);
            (source.clone(), FinalState { seq, ..own })
        }
        _ => return Err(refused(record)),
    };
    if record.seq() != own.seq {
        return Err(EngineError::refused("the copy changed while it was counted; ask again"));
    }
    record.mode = Mode::Stocked { source, state };
    let damaged_at_source = record.replica.as_ref().map_or(0, |replica| replica.damaged_at_source);
    let at = ReplicaRecord::equal_at(state.seq);
    record.replica = Some(ReplicaRecord { phase: ReplicaPhase::Complete, damaged_at_source, ..at });
    (record.forward, record.offered_to, record.taken_over_from) = (None, None, None);
    Ok(())
}

/// Idempotent.
fn give_up(record: &mut NodeRecord) -> Result<(), EngineError> {
    let target = match (&record.mode, record.follows()) {
        (_, Some(source)) => source.clone(),
        (Mode::Retired { target }, None) => target.clone(),
        // The promotion has never reached it.
        (Mode::Incoming { source, .. }, None) => source.clone(),
        // The one who had it before is the one who has it now.
        (Mode::Serving | Mode::Sealed { .. }, None) => match &record.taken_over_from {
            Some(former) => former.clone(),
            None => offered_to(record)?,
        },
        _ => return Err(refused(record)),
    };
    record.mode = Mode::Retired { target };
    // Whatever it was equal to once, it is no longer.
    (record.begins_anew, record.replica) = (true, None);
    (record.forward, record.offered_to, record.taken_over_from) = (None, None, None);
    Ok(())
}

fn offered_to(record: &NodeRecord) -> Result<ShardId, EngineError> {
    record.offered_to.clone().ok_or_else(|| EngineError::refused("no other shard has had to do with the node"))
}

/// Breaks off what clients have in progress, and waits until it has ended.
async fn ended(cell: &NodeCell) -> Result<(), EngineError> {
    let gate = &cell.gate;
    let deadline = Instant::now() + BREAK_OFF;
    let cancelled = gate.cancel_mutations();
    if cancelled > 0 {
        tracing::warn!(node = %cell.id, cancelled, "mutations in flight are broken off: the node is given up");
    }
    if !gate.drained(deadline).await {
        return Err(EngineError::DrainTimedOut(gate.mutating()));
    }
    if !gate.end_forwarding(deadline).await {
        return Err(EngineError::DrainTimedOut(gate.forwarding()));
    }
    settled(cell).await
}
