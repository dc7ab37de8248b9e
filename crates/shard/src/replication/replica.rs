//! One replica job: from the first listing to the final state, over as many restarts as it takes.
//!
//! The order is fixed: remember where the source's journal stood, take over all objects, follow the journal. Only the
//! network is ever interrupted; a step on the own storage runs to its end, so that a job that has ended writes nothing
//! more. What is wrong decides what happens next: [`PullError::Waiting`] is tried again for ever, [`PullError::Failed`]
//! stays until a new wish comes.

use super::copy::Copy;
use super::error::PullError;
use super::job::{Completion, Shared};
use super::memory::Memory;
use super::source::Source;
use super::verify::Verification;
use crate::engine::{EngineError, ReplicaPhase};
use crate::throttle::Seat;
use shardlift_api::fault::chain;
use shardlift_model::ObjectKey;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// First pause after something went wrong.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long the source may hold back its answer while nothing changes.
pub(super) const JOURNAL_WAIT: Duration = Duration::from_secs(20);

/// A job at work.
pub(crate) struct Replica {
    pub(super) shared: Arc<Shared>,
    pub(super) source: Source,
    pub(super) copy: Copy,
    /// That of all transfers of the shard.
    pub(super) memory: Arc<Memory>,
    pub(super) accept_damaged: bool,
    /// It was the writer once: nothing is taken from it on the ground of a listing.
    pub(super) resumed: bool,
    /// Objects that were absent at the source when they were fetched: its journal must delete them.
    pub(super) absent: BTreeSet<ObjectKey>,
    pub(super) damaged: BTreeSet<ObjectKey>,
    pub(super) seeded: bool,
    pub(super) verification: Verification,
}

impl Replica {
    /// Works until it is told to end.
    pub(crate) async fn run(mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            let mut wishes = self.shared.wish.subscribe();
            let before = self.copy.applied_seq();
            let Err(error) = self.work().await;
            if self.shared.end.is_cancelled() {
                break;
            }
            if self.copy.applied_seq() != before {
                pause = PAUSE_MIN;
            }
            match error {
                PullError::Interrupted => continue,
                PullError::Waiting(reason) => {
                    tracing::info!(node = %self.copy.node(), reason, "the copy waits");
                    self.shared.progress.waiting(reason);
                }
                PullError::Storage(error) if !is_final(&error) => {
                    tracing::warn!(node = %self.copy.node(), error = chain(&error), "the copy waits for its own storage");
                    self.shared.progress.waiting("the own storage: see the shard's log".to_owned());
                }
                PullError::Failed(reason) => {
                    self.fail(reason).await;
                    self.until(wishes.changed()).await;
                    continue;
                }
                PullError::Storage(error) => {
                    tracing::error!(node = %self.copy.node(), error = chain(&error), "the copy failed");
                    self.fail(error.to_string()).await;
                    self.until(wishes.changed()).await;
                    continue;
                }
            }
            self.until(tokio::time::timeout(pause, wishes.changed())).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Everything in order; returns only what stops it.
    async fn work(&mut self) -> Result<std::convert::Infallible, PullError> {
        if !self.seeded {
            if self.resumed {
                self.resume().await?;
            } else {
                self.seed().await?;
            }
            self.seeded = true;
        }
        loop {
            let wish = self.shared.wish();
            self.verification.collect(&self.shared, &self.copy).await?;
            if let Some(token) = wish.verify
                && self.verification.is_new(token)
            {
                self.compare().await?;
                self.verification.start(token, &self.copy).await?;
                continue;
            }
            match wish.complete {
                None => self.follow(None, JOURNAL_WAIT).await?,
                Some((token, _)) if self.shared.completed(token).is_some() => self.rest().await?,
                Some((token, expected)) => {
                    let outcome = Ok(self.complete(expected).await?);
                    self.shared.completion.send_replace(Some(Completion { token, outcome }));
                }
            }
        }
    }

    /// Nothing to do until there is a new wish or the verification ends.
    async fn rest(&mut self) -> Result<(), PullError> {
        let shared = self.shared.clone();
        let mut wishes = shared.wish.subscribe();
        let present = shared.wish();
        tokio::select! {
            biased;
            () = shared.end.cancelled() => Err(PullError::Interrupted),
            _ = wishes.wait_for(|wish| *wish != present) => Ok(()),
            () = self.verification.finished(&self.copy) => Ok(()),
        }
    }

    /// An operator must look. Recorded, and told to whoever waits for a completion.
    async fn fail(&self, reason: String) {
        tracing::error!(node = %self.copy.node(), reason, "the copy cannot go on");
        self.shared.progress.failed(reason.clone());
        if let Err(error) = self.copy.record_failure(&reason).await {
            tracing::error!(node = %self.copy.node(), error = chain(&error), "the failure could not be recorded");
        }
        if let Some((token, _)) = self.shared.wish().complete {
            self.shared.completion.send_replace(Some(Completion { token, outcome: Err(reason) }));
        }
    }

    /// Waits for the network, unless the job is told to end or there is a new wish.
    pub(super) async fn net<T>(&self, asked: impl Future<Output = Result<T, PullError>>) -> Result<T, PullError> {
        tokio::select! {
            biased;
            () = self.shared.end.cancelled() => Err(PullError::Interrupted),
            answer = asked => answer,
        }
    }

    /// Lets this shard's clients go first, with bytes that have arrived. The last changes of a node whose clients wait go at once.
    pub(super) async fn give_way(&self, bytes: u64) -> Result<(), PullError> {
        if self.shared.wish().complete.is_some() {
            self.copy.hurry();
        }
        let turn = async {
            self.copy.may_write(bytes).await;
            Ok(())
        };
        self.net(turn).await
    }

    /// The seat of a transfer; none is needed for the last changes.
    pub(super) async fn seat(&self) -> Result<Option<Seat>, PullError> {
        if self.shared.wish().complete.is_some() {
            return Ok(None);
        }
        self.net(async { Ok(Some(self.copy.pull().await)) }).await
    }

    async fn until<T>(&self, waited: impl Future<Output = T>) {
        tokio::select! {
            biased;
            () = self.shared.end.cancelled() => {}
            _ = waited => {}
        }
    }

    pub(super) async fn enter(&self, phase: ReplicaPhase) -> Result<(), EngineError> {
        self.copy.record_phase(phase).await?;
        self.shared.progress.phase(crate::control::message::phase(phase));
        // A source at rest has no change to tell for a long while; how far the copy is must be visible before that.
        let applied = self.copy.applied_seq();
        self.shared.progress.update(|replica| replica.applied_seq = applied);
        Ok(())
    }
}

/// Whether only a restart or an operator helps. A full disk may empty again.
fn is_final(error: &EngineError) -> bool {
    match error {
        EngineError::Io { source, .. } => !matches!(
            source.kind(),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::Interrupted
        ),
        _ => true,
    }
}
