//! Changing the limits while the shard runs.
//!
//! A change names the revision that it was made of, so that one that was delayed on its way overwrites nothing that came after it,
//! and the term of the leader who sends it. Both are durable with the limits, before these are in force (INV-03). The same change
//! again, because its answer was lost, is the same change.

use super::Throttle;
use super::kept::Kept;
use super::limits::{Limits, LimitsError};
use super::windows::Windows;
use crate::engine::EngineError;
use crate::engine::nodes::lock;
use std::sync::Arc;

/// What is to be another. What is `None` stays as it is; `Some(None)` takes a limit away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitsChange {
    /// Back to what the configuration says, before all else.
    pub reset: bool,
    /// Bytes per second.
    pub cap: Option<Option<u64>>,
    /// Bytes per second by time of day.
    pub windows: Option<Option<Windows>>,
    /// Transfers at the same time.
    pub streams: Option<Option<u32>>,
    /// Whether less is moved while clients notice.
    pub clients_first: Option<bool>,
    /// Bytes per second that are moved in any case; taking it away means the usual one.
    pub floor: Option<Option<u64>>,
}

/// Why a change is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SetLimitsError {
    /// A later leader has set limits.
    #[error("the term {term} is stale: term {highest} has set limits already")]
    StaleTerm {
        /// Of the change.
        term: u64,
        /// Persisted.
        highest: u64,
    },
    /// Somebody else was faster.
    #[error("the limits were changed meanwhile: they have revision {present}, not {expected}")]
    Superseded {
        /// What the change was made of.
        expected: u64,
        /// What holds.
        present: u64,
    },
    /// They make no sense.
    #[error(transparent)]
    Senseless(#[from] LimitsError),
    /// They cannot be kept.
    #[error("the limits cannot be kept")]
    Keeping(#[source] EngineError),
}

impl LimitsChange {
    fn applied(self, present: Option<&Limits>, configured: &Limits) -> Result<Option<Limits>, LimitsError> {
        let base = present.filter(|_| !self.reset);
        let only_reset = Self { reset: self.reset, ..Self::default() } == self;
        if only_reset {
            return Ok(base.cloned());
        }
        let base = base.unwrap_or(configured).clone();
        let limits = Limits {
            cap: self.cap.unwrap_or(base.cap),
            windows: self.windows.unwrap_or(base.windows),
            streams: self.streams.unwrap_or(base.streams),
            clients_first: self.clients_first.unwrap_or(base.clients_first),
            floor: self.floor.map_or(base.floor, |floor| floor.unwrap_or(Limits::default().floor)),
        };
        limits.checked().map(Some)
    }
}

impl Throttle {
    /// Takes a change of the limits with this revision. Durable, and in force, when it returns.
    ///
    /// # Errors
    /// [`SetLimitsError`]; nothing has changed then, unless it is [`SetLimitsError::Keeping`], after which a restart tells.
    pub(crate) async fn set_limits(
        self: &Arc<Self>,
        term: u64,
        revision: u64,
        change: LimitsChange,
    ) -> Result<(), SetLimitsError> {
        // Goes on when the caller goes away: durable and not in force, or two who write at once, are no states to be in.
        let this = Arc::clone(self);
        let setting = tokio::spawn(async move { this.change_limits(term, revision, change).await });
        setting.await.map_err(|_| SetLimitsError::Keeping(EngineError::Stopped))?
    }

    async fn change_limits(&self, term: u64, revision: u64, change: LimitsChange) -> Result<(), SetLimitsError> {
        let _others_wait = self.changing.lock().await;
        let present = lock(&self.state).kept.clone();
        if term < present.term {
            return Err(SetLimitsError::StaleTerm { term, highest: present.term });
        }
        let limits = change.applied(present.limits.as_ref(), &self.configured)?;
        if Some(present.revision) == revision.checked_add(1) && limits == present.limits {
            return Ok(());
        }
        if present.revision != revision {
            return Err(SetLimitsError::Superseded { expected: revision, present: present.revision });
        }
        let kept = Kept::new(term, revision + 1, limits);
        let (file, writing) = (self.file.clone(), kept.clone());
        let written = shardlift_net::spawn_blocking(move || file.write(&writing)).await;
        written.map_err(|_| SetLimitsError::Keeping(EngineError::Stopped))?.map_err(SetLimitsError::Keeping)?;
        tracing::info!(term, revision = kept.revision, limits = ?kept.limits, "limits of replication and deep verify were set");
        lock(&self.state).kept = kept;
        self.in_force();
        Ok(())
    }
}
