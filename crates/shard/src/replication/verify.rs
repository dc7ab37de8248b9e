//! Proving that the copy is the source's, byte for byte: equal digests at one seq, then every own byte read again.
//!
//! Comparing stops the copy for a moment; reading goes on beside following and may take hours: it is a deep verify like any other, at
//! the shard's pace, and goes on after a restart. Locks are left out of the comparison: they travel last.

use super::copy::Copy;
use super::error::PullError;
use super::harvest::named;
use super::job::Shared;
use super::replica::Replica;
use crate::engine::{DeepVerifyId, DeepVerifyRecord, EngineError, FinalState, VerifiedRecord};
use shardlift_model::Token;
use std::sync::Arc;
use std::time::Duration;

/// How often the digests are compared while the source moves on in between.
const ATTEMPTS_MAX: u32 = 8;

/// Between two looks whether the reading has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The reading of own bytes, if one is waited for.
#[derive(Debug, Default)]
pub(crate) struct Verification {
    started: Option<Token>,
    compared: Option<FinalState>,
    reading: Option<DeepVerifyId>,
}

impl Verification {
    pub(super) fn is_new(&self, token: Token) -> bool {
        self.started != Some(token)
    }

    pub(super) async fn start(&mut self, token: Token, copy: &Copy) -> Result<(), EngineError> {
        self.reading = Some(copy.read_again(token).await?);
        self.started = Some(token);
        Ok(())
    }

    /// Ready when the reading has ended; never when there is none.
    pub(super) async fn finished(&self, copy: &Copy) {
        let Some(id) = self.reading else { return std::future::pending().await };
        while copy.was_read_again(id).is_none() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes the result of a reading that has ended.
    pub(super) async fn collect(&mut self, shared: &Arc<Shared>, copy: &Copy) -> Result<(), PullError> {
        let read = self.reading.and_then(|id| copy.was_read_again(id));
        let (Some(read), Some(state)) = (read, self.compared) else { return Ok(()) };
        self.reading = None;
        if let Some(problem) = problem(&read) {
            return Err(PullError::Failed(problem));
        }
        let verified = VerifiedRecord { state, objects_read: read.objects_read, bytes_read: read.bytes_read };
        let message = crate::control::message::verified(&verified);
        copy.record_verified(verified).await?;
        shared.progress.update(|replica| replica.verified = Some(message));
        Ok(())
    }
}

/// Why a reading proves nothing. What was damaged at the source already is no fault of the copy.
fn problem(read: &DeepVerifyRecord) -> Option<String> {
    if let Some(failure) = &read.failure {
        return Some(format!("the own bytes were not all read again: {failure}"));
    }
    let count = read.damaged + read.missing;
    let names = named(read.names.iter());
    (count > 0).then(|| format!("{count} own object(s) read back with other bytes or not at all: {names}"))
}

impl Replica {
    /// Equal with the source at one seq, or an error. A source that moves on is asked again.
    pub(super) async fn compare(&mut self) -> Result<(), PullError> {
        let mut repaired = false;
        for _ in 0..ATTEMPTS_MAX {
            let theirs = self.net(self.source.digest(true)).await?;
            while self.copy.applied_seq() < theirs.seq {
                let before = self.copy.applied_seq();
                self.follow(Some(theirs.seq), Duration::ZERO).await?;
                if self.copy.applied_seq() == before {
                    return Err(PullError::Waiting(
                        "the source's journal ends before the seq of its digest".to_owned(),
                    ));
                }
            }
            if self.copy.applied_seq() > theirs.seq {
                continue;
            }
            let own = self.copy.digest(false).await?.root;
            if own == theirs.root {
                self.verification.compared = Some(theirs);
                return Ok(());
            }
            if repaired {
                return Err(PullError::Failed(format!(
                    "the copy differs from the source at seq {}: here {own}, there {}",
                    theirs.seq, theirs.root
                )));
            }
            repaired = true;
            let differing = self.settle_differences().await?;
            tracing::warn!(node = %self.copy.node(), differing, "the copy differed from the source; both were walked down to where they differ");
        }
        Err(PullError::Waiting("the source moves on faster than the copy can be compared".to_owned()))
    }
}
