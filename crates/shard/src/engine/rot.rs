//! Rot: a file whose bytes are no longer those that were acknowledged.
//!
//! Where the object's name says what its bytes should be, the true hash is recorded, so that the index, the journal and
//! every copy tell of the damage instead of failing to agree about it; the name still tells it from a good object. Nothing
//! is blessed by that: `damaged` counts it, and a copy takes it only by an operator's leave. A config has no such name:
//! its record is the only witness, and stays.

use super::disk::{hash_file, is_absent, is_unreadable};
use super::error::EngineError;
use super::nodes::{NodeCell, lock};
use super::record::Mode;
use super::tables::Op;
use super::writer::{Done, Origin, Work};
use super::{Engine, now};
use shardlift_api::fault::chain;
use shardlift_model::{NodeId, ObjectKey, ObjectRecord, Sha256};
use std::sync::Arc;

/// What a second look at a suspect object has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rot {
    /// The file is what its record says, or there is no such object (any more).
    None,
    /// The file is gone: an alarm.
    Missing,
    /// The file differs from its record, which stays as it was, or cannot be read: an alarm.
    Alarm,
    /// The record now says what the file holds, under a seq of the journal.
    Recorded(u64),
}

impl Engine {
    /// Hashes a suspect object again, with nobody changing it meanwhile, and records what is there. Nothing is said of a copy
    /// whose files are not in their place, in quarantine or because it was discarded.
    ///
    /// # Errors
    /// [`EngineError::NodeUnknown`], or a failure of disk or index.
    pub async fn record_rot(self: &Arc<Self>, node: &NodeId, key: ObjectKey) -> Result<Rot, EngineError> {
        let cell = self.cell(node)?;
        let critical = self.enter_critical(&cell)?;
        let engine = Arc::clone(self);
        // Goes on when the caller goes away, and a fence waits for it: it may change the journal.
        let recording = tokio::spawn(async move { critical.end(engine.record_rot_locked(&cell, key).await) });
        recording.await.map_err(|_| EngineError::Stopped)?
    }

    async fn record_rot_locked(self: &Arc<Self>, cell: &Arc<NodeCell>, key: ObjectKey) -> Result<Rot, EngineError> {
        // Looked at inside the section that a quarantine and a discard wait for before they touch a file.
        if matches!(cell.record().mode, Mode::Discarded | Mode::Quarantined { .. }) {
            return Ok(Rot::None);
        }
        let _lock = cell.lock_object(&key).await;
        let Some(record) = self.recorded(&cell.id, key).await? else { return Ok(Rot::None) };
        let node = cell.id.clone();
        let hashed = match self.blocking(move |engine| engine.hash_recorded(&node, &record)).await {
            Err(error) if is_unreadable(&error) => {
                if lock(&cell.rotten).insert(key) {
                    tracing::error!(node = %cell.id, %key, error = chain(&error), "the disk does not give an acknowledged object back");
                }
                return Ok(Rot::Alarm);
            }
            hashed => hashed?,
        };
        let Some((size, sha256)) = hashed else {
            if lock(&cell.missing).insert(key) {
                tracing::error!(node = %cell.id, %key, "an acknowledged object is missing on disk");
            }
            return Ok(Rot::Missing);
        };
        let found = ObjectRecord { key, size, sha256 };
        if found == record {
            return Ok(Rot::None);
        }
        let named = key.expected_sha256().is_some();
        if named && cell.record().mode == Mode::Serving {
            let work = Work::Record { origin: Origin::Reconcile, at: now(), ops: vec![Op::Put(found)], applied: None };
            match self.writer.submit(&cell.id, work).await {
                Ok(Done::Recorded(seqs)) => {
                    // The record says it now; it is no alarm without a reason any more.
                    self.clear_alarms(cell, &key);
                    let seq = seqs.first().copied().flatten();
                    tracing::error!(
                        node = %cell.id, %key, found = %sha256, recorded = %record.sha256, seq,
                        "an acknowledged object has rotted on disk; recorded as damaged"
                    );
                    return Ok(seq.map_or(Rot::None, Rot::Recorded));
                }
                Ok(_) => return Err(EngineError::Stopped),
                // The node left its mode meanwhile: an alarm is all that is left.
                Err(EngineError::NotWritable { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if lock(&cell.rotten).insert(key) {
            tracing::error!(node = %cell.id, %key, found = %sha256, recorded = %record.sha256, "an acknowledged object has rotted on disk");
        }
        Ok(Rot::Alarm)
    }

    /// Length and hash of the file of a recorded object, `None` when it is missing.
    pub(crate) fn hash_recorded(
        &self,
        node: &NodeId,
        record: &ObjectRecord,
    ) -> Result<Option<(u64, Sha256)>, EngineError> {
        let path = self.layout.file(node, &record.key);
        match hash_file(&path) {
            Err(error) if is_absent(&error) => Ok(None),
            hashed => hashed.map(Some),
        }
    }
}
