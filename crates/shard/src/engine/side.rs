//! What belongs to a node besides its objects: settings, sessions, certificates seen in use, times that a copy cannot know.

use super::error::EngineError;
use super::nodes::lock;
use super::reads::View;
use super::record::{HOLD_TEXT_BYTES_MAX, HOLDS_MAX, Mode, SeenCertificate, SessionRecord, Settings, SideData};
use super::tables::ObjectRow;
use super::writer::Work;
use super::{Engine, NodeRecord};
use shardlift_model::{NodeId, ObjectKind, UnixMillis};
use std::sync::Arc;
use std::time::Duration;

/// A certificate in steady use is recorded at most this often.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(60);

/// Longest issuer or serial in bytes.
const CERTIFICATE_TEXT_BYTES_MAX: usize = 200;

impl Settings {
    /// Limits on what a caller may store.
    ///
    /// # Errors
    /// [`EngineError::Refused`] naming the limit.
    pub fn check(&self) -> Result<(), EngineError> {
        if self.holds.len() > HOLDS_MAX {
            return Err(EngineError::refused(format!("more than {HOLDS_MAX} holds")));
        }
        if self.holds.iter().any(|hold| hold.id.len().max(hold.reason.len()) > HOLD_TEXT_BYTES_MAX) {
            return Err(EngineError::refused(format!("a hold's text is longer than {HOLD_TEXT_BYTES_MAX} bytes")));
        }
        Ok(())
    }
}

impl Engine {
    /// Settings, sessions and certificates of a node.
    ///
    /// # Errors
    /// [`EngineError::NodeUnknown`] or a failure.
    pub async fn side_data(self: &Arc<Self>, node: &NodeId) -> Result<SideData, EngineError> {
        let cell = self.cell(node)?;
        let id = node.clone();
        let read = move |engine: &Self| {
            let view = View::open(&*engine.db()?, &id)?;
            Ok((view.record()?, view.sessions()?, view.kind(ObjectKind::Locks)?))
        };
        let (record, sessions, locks) = self.blocking(read).await?;
        let time = |row: ObjectRow| row.record.key.expected_sha256().map(|name| (name, row.at));
        Ok(SideData {
            settings: record.settings,
            sessions,
            seen_certificates: lock(&cell.certificates).values().cloned().collect(),
            last_snapshot: record.last_snapshot,
            lock_times: locks.into_iter().filter_map(time).collect(),
            activity: self.activity(node),
        })
    }

    /// Takes over side data from the source of an incoming copy: settings, activity and times of
    /// snapshots and locks replace, sessions and certificates add up. May repeat.
    ///
    /// # Errors
    /// [`EngineError::Refused`] when the node is not incoming or a limit is exceeded, or a failure.
    pub async fn merge_side_data(self: &Arc<Self>, node: &NodeId, side: SideData) -> Result<(), EngineError> {
        side.settings.check()?;
        side.seen_certificates.iter().try_for_each(check_certificate)?;
        let settings = side.settings;
        let edit = move |record: &mut NodeRecord| match record.mode {
            Mode::Incoming { .. } => {
                record.settings = settings;
                Ok(())
            }
            _ => Err(EngineError::refused(format!("the node is {}, not incoming", record.mode.word()))),
        };
        let times = Work::Times { last_snapshot: side.last_snapshot, locks: side.lock_times };
        self.writer.submit(node, Work::Edit(Box::new(edit))).await?;
        // Independent of each other, so one group of the index takes them all: a cutover waits for this.
        tokio::try_join!(
            self.writer.submit(node, times),
            self.writer.submit(node, Work::Sessions(side.sessions)),
            self.writer.submit(node, Work::Certificates(side.seen_certificates)),
            async {
                match side.activity {
                    Some(activity) => self.take_activity(node, activity).await,
                    None => Ok(()),
                }
            },
        )
        .map(drop)
    }

    /// Records a finished session. Only the last thousand are kept.
    ///
    /// # Errors
    /// [`EngineError::NodeUnknown`] or a failure.
    pub async fn record_session(self: &Arc<Self>, node: &NodeId, session: SessionRecord) -> Result<(), EngineError> {
        self.writer.submit(node, Work::Sessions(vec![session])).await.map(drop)
    }

    /// Records that a certificate was shown and accepted. Writes only when it is new or was last recorded a minute ago.
    ///
    /// # Errors
    /// [`EngineError::NodeUnknown`] or a failure.
    pub async fn record_certificate(
        self: &Arc<Self>,
        node: &NodeId,
        issuer: &str,
        serial: &str,
        at: UnixMillis,
    ) -> Result<(), EngineError> {
        let cell = self.cell(node)?;
        let known = lock(&cell.certificates).get(&(issuer.to_owned(), serial.to_owned())).map(|seen| seen.last_seen);
        if known.is_some_and(|last| at.since(last) < CERTIFICATE_INTERVAL) {
            return Ok(());
        }
        let seen =
            SeenCertificate { issuer: issuer.to_owned(), serial: serial.to_owned(), first_seen: at, last_seen: at };
        check_certificate(&seen)?;
        self.writer.submit(node, Work::Certificates(vec![seen])).await.map(drop)
    }

    /// Replaces a node's settings without a command. See [`Engine::configure`] for the one with a token.
    ///
    /// # Errors
    /// [`EngineError::NodeUnknown`], [`EngineError::Refused`] beyond a limit, or a failure.
    pub async fn set_settings(self: &Arc<Self>, node: &NodeId, settings: Settings) -> Result<(), EngineError> {
        settings.check()?;
        let edit = move |record: &mut NodeRecord| {
            record.settings = settings;
            Ok(())
        };
        self.writer.submit(node, Work::Edit(Box::new(edit))).await.map(drop)
    }
}

fn check_certificate(seen: &SeenCertificate) -> Result<(), EngineError> {
    let fits = |text: &str| text.len() <= CERTIFICATE_TEXT_BYTES_MAX && !text.contains('\0');
    match fits(&seen.issuer) && fits(&seen.serial) {
        true => Ok(()),
        false => Err(EngineError::refused("a certificate's issuer or serial is too long")),
    }
}
