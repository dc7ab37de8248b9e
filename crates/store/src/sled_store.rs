//! The embedded store: sled 0.34.7 inside the wrapper that makes its acknowledgements true.
//!
//! ```text
//! <dir>/lock      held by the one process that has the store open
//! <dir>/marker    cluster, last record, term and hash that were acknowledged
//! <dir>/ballast   given up when the disk is full, so that there is room to write the outcome
//! <dir>/journal/  the database
//! ```
//!
//! Invariants: a write is acknowledged after the database's log is flushed **and** its file is synced (a flush alone
//! does not sync) **and** the marker names it. A store that is behind its marker does not open. The first failed write
//! poisons the handle for good. Nothing is repaired. Opening creates nothing; what an open store shows is synced.

mod disk;
mod engine;
mod layout;
mod marker;
mod salvage;

use crate::contract::{READ_BYTES_MAX, Seq, Store, check_limits};
use crate::error::{Cause, StoreError};
use crate::head::Head;
use crate::record::ChainHash;
use disk::{Ballast, Folder, Lock};
use engine::{Engine, Sync};
use marker::{Mark, Marker};
use shardlift_model::{ClusterId, Term};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

pub use salvage::{Salvaged, salvage};

/// The embedded store. One process at a time; the handle is shared by reference and closed by dropping it.
pub struct SledStore {
    cluster: ClusterId,
    writer: Mutex<Writer>,
    // Declared before the lock: fields drop in order, and the database must be closed before another process may open it.
    engine: Engine,
    _lock: Lock,
}

/// What a write needs and changes.
struct Writer {
    head: Head,
    marker: Marker,
    ballast: Ballast,
    poisoned: bool,
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledStore").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl SledStore {
    /// Creates an empty store for a cluster in an empty folder, which is made if it is missing, and opens it.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`] when the folder holds anything; a creation that was cut short is removed by hand.
    pub fn init(dir: &Path, cluster: ClusterId) -> Result<Self, StoreError> {
        let folder = Folder::new(dir);
        folder.create_empty()?;
        let lock = Lock::create(&folder)?;
        let engine = Engine::create(&folder.journal(), Sync::Full)?;
        let head = Head { term: Term(0), last: Seq::ZERO, hash: ChainHash::genesis(&cluster) };
        engine.write(layout::head_batch(&cluster, &head))?;
        engine.sync_folders()?;
        let ballast = Ballast::ensure(&folder)?;
        // The marker comes last: a folder without one holds no store.
        let marker = Marker::create(&folder, &cluster, Mark::of(&head))?;
        tracing::info!(dir = %dir.display(), %cluster, "store created");
        Ok(Self::assemble(cluster, head, marker, ballast, engine, lock))
    }

    /// Opens a store. Every record is read and checked first.
    ///
    /// # Errors
    /// [`StoreError::NotInitialised`] where there is none, [`StoreError::InUse`] while another process has it,
    /// [`StoreError::Behind`] when it lost what it had acknowledged, [`StoreError::Damaged`] for a record that changed.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, Sync::Full)
    }

    fn open_with(dir: &Path, sync: Sync) -> Result<Self, StoreError> {
        let folder = Folder::new(dir);
        folder.check_initialised()?;
        let lock = Lock::take(&folder)?;
        let (mut marker, cluster, mark) = Marker::open(&folder, sync)?;
        folder.check_journal()?;
        folder.remove_unfinished_snapshots()?;
        let engine = Engine::open(&folder.journal(), sync)?;
        let head = engine.head(&cluster)?;
        check_not_behind(&head, &mark)?;
        check_chain(&engine, &cluster, &head, &mark)?;
        // What a killed process wrote but did not sync is readable here; it must be durable before anyone reads it.
        engine.flush()?;
        engine.sync_folders()?;
        if mark != Mark::of(&head) {
            marker.write(Mark::of(&head))?;
        }
        let ballast = Ballast::ensure(&folder)?;
        tracing::info!(dir = %dir.display(), %cluster, last = %head.last, term = %head.term, "store opened");
        Ok(Self::assemble(cluster, head, marker, ballast, engine, lock))
    }

    fn assemble(cluster: ClusterId, head: Head, marker: Marker, ballast: Ballast, engine: Engine, lock: Lock) -> Self {
        let writer = Mutex::new(Writer { head, marker, ballast, poisoned: false });
        Self { cluster, writer, engine, _lock: lock }
    }

    /// The writer, unless a write has failed. A thread that panicked inside a write leaves an unknown outcome too.
    fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        let writer = self.writer.lock().map_err(|_| StoreError::Poisoned)?;
        if writer.poisoned { Err(StoreError::Poisoned) } else { Ok(writer) }
    }

    /// Writes and acknowledges: the database durable first, then the marker, then the answer.
    fn persist(&self, writer: &mut Writer, batch: sled::Batch, head: Head) -> Result<(), StoreError> {
        // Set for the time of the write, so that no way out of it, a panic included, leaves the handle in use.
        writer.poisoned = true;
        let outcome = self.engine.write(batch).and_then(|()| writer.marker.write(Mark::of(&head)));
        if let Err(error) = outcome {
            if disk::is_full(&error) {
                writer.ballast.release();
            }
            tracing::error!(cluster = %self.cluster, error = &error as &dyn std::error::Error, "store write failed");
            return Err(StoreError::Unknown { source: Cause::from(error) });
        }
        writer.head = head;
        writer.poisoned = false;
        Ok(())
    }
}

impl Store for SledStore {
    fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    fn campaign_above(&self, floor: Term) -> Result<Term, StoreError> {
        let mut writer = self.writer()?;
        let head = Head { term: writer.head.term_above(floor)?, ..writer.head };
        self.persist(&mut writer, layout::head_batch(&self.cluster, &head), head)?;
        Ok(head.term)
    }

    fn term(&self) -> Result<Term, StoreError> {
        Ok(self.writer()?.head.term)
    }

    fn append(&self, term: Term, after: Seq, records: &[Vec<u8>]) -> Result<Seq, StoreError> {
        check_limits(records)?;
        let mut writer = self.writer()?;
        writer.head.admit(term, after)?;
        if records.is_empty() {
            return Ok(after);
        }
        let (batch, head) = layout::append_batch(&self.cluster, &writer.head, records)?;
        self.persist(&mut writer, batch, head)?;
        Ok(head.last)
    }

    fn last(&self) -> Result<Seq, StoreError> {
        Ok(self.writer()?.head.last)
    }

    fn read(&self, after: Seq, limit: usize) -> Result<Vec<(Seq, Vec<u8>)>, StoreError> {
        // Only up to the acknowledged end: an append in progress is not shown.
        let last = self.last()?;
        let mut found = Vec::new();
        if after >= last || limit == 0 {
            return Ok(found);
        }
        let before = self.engine.hash_of(&self.cluster, after)?;
        let mut bytes = 0;
        for record in self.engine.records(after, last, before) {
            let (seq, record, _) = record?;
            bytes += record.len();
            if bytes > READ_BYTES_MAX && !found.is_empty() {
                break;
            }
            found.push((seq, record));
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }
}

/// Refuses a store that lost an acknowledged record or term. INV-11.
fn check_not_behind(head: &Head, mark: &Mark) -> Result<(), StoreError> {
    if head.last < mark.last || head.term < mark.term {
        let (marker_last, marker_term) = (mark.last, mark.term);
        return Err(StoreError::Behind { last: head.last, term: head.term, marker_last, marker_term });
    }
    Ok(())
}

/// Reads the whole journal: every record must follow from the one before, the last must be the head's, and the one the
/// marker names must be the one that was acknowledged.
fn check_chain(engine: &Engine, cluster: &ClusterId, head: &Head, mark: &Mark) -> Result<(), StoreError> {
    let mut tip = ChainHash::genesis(cluster);
    let mut marked = (mark.last == Seq::ZERO).then_some(tip);
    for record in engine.records(Seq::ZERO, head.last, tip) {
        let (seq, _, hash) = record?;
        tip = hash;
        if seq == mark.last {
            marked = Some(hash);
        }
    }
    if tip != head.hash {
        return Err(StoreError::Damaged { seq: head.last, what: "it is not the one the journal ends with" });
    }
    if marked != Some(mark.hash) {
        return Err(StoreError::Damaged { seq: mark.last, what: "it is not the one that was acknowledged" });
    }
    engine.check_nothing_after(head.last)
}

/// Opens a store whose acknowledgements are not synced, as the bare database would do it. For the power-cut test.
///
/// # Errors
/// As [`SledStore::open`].
#[doc(hidden)]
pub fn open_without_sync(dir: &Path) -> Result<SledStore, StoreError> {
    SledStore::open_with(dir, Sync::Off)
}

#[cfg(test)]
mod tests;
