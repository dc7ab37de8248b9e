//! Proving that the copy is the source's, byte for byte: equal digests at one seq, then every own byte read again.
//!
//! Comparing stops the copy for a moment; reading goes on beside following and may take hours. Locks are left out: they
//! travel last.

use super::copy::Copy;
use super::error::PullError;
use super::harvest::named;
use super::job::Shared;
use super::replica::Replica;
use crate::engine::{EngineError, FinalState, Reread, VerifiedRecord};
use shardlift_model::Token;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often the digests are compared while the source moves on in between.
const ATTEMPTS_MAX: u32 = 8;

/// The reading of own bytes, if one is under way.
#[derive(Debug, Default)]
pub(crate) struct Verification {
    started: Option<Token>,
    compared: Option<FinalState>,
    reading: Option<JoinHandle<Result<Reread, EngineError>>>,
}

impl Verification {
    pub(super) fn is_new(&self, token: Token) -> bool {
        self.started != Some(token)
    }

    pub(super) fn start(&mut self, token: Token, copy: &Copy) {
        if let Some(reading) = self.reading.take() {
            reading.abort();
        }
        self.started = Some(token);
        let copy = copy.clone();
        self.reading = Some(tokio::spawn(async move { copy.reread().await }));
    }

    /// Ready when a reading has ended; never when there is none.
    pub(super) async fn finished(&mut self) {
        loop {
            match &self.reading {
                Some(reading) if reading.is_finished() => return,
                Some(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Takes the result of a reading that has ended.
    pub(super) async fn collect(&mut self, shared: &Arc<Shared>, copy: &Copy) -> Result<(), PullError> {
        if !self.reading.as_ref().is_some_and(JoinHandle::is_finished) {
            return Ok(());
        }
        let (Some(reading), Some(state)) = (self.reading.take(), self.compared) else { return Ok(()) };
        let read = match reading.await {
            Ok(read) => read?,
            Err(error) => return Err(PullError::Failed(format!("reading the own bytes ended badly: {error}"))),
        };
        if !read.mismatched.is_empty() {
            let names = named(read.mismatched.iter());
            let count = read.mismatched.len();
            return Err(PullError::Failed(format!("{count} own object(s) read back with other bytes: {names}")));
        }
        let verified = VerifiedRecord { state, objects_read: read.objects, bytes_read: read.bytes };
        let message = crate::control::message::verified(&verified);
        copy.record_verified(verified).await?;
        shared.progress.update(|replica| replica.verified = Some(message));
        Ok(())
    }

    /// Ends a reading; it changes nothing, so it may stop anywhere.
    pub(super) async fn end(mut self) {
        if let Some(reading) = self.reading.take() {
            reading.abort();
            if let Err(error) = reading.await
                && !error.is_cancelled()
            {
                tracing::error!(%error, "reading the own bytes ended badly");
            }
        }
    }
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
