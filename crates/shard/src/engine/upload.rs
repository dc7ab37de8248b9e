//! An object on its way in from a client, and the one place where a finished file gets its name and its record.

use super::body::{Body, Written};
use super::error::{EngineError, PutError};
use super::layout::sync_folder;
use super::nodes::{NodeCell, lock};
use super::reads::View;
use super::space::Promise;
use super::tables::Op;
use super::writer::{Origin, Work};
use super::{Engine, layout, now};
use bytes::Bytes;
use shardlift_model::{NodeId, ObjectKey, ObjectRecord};
use shardlift_net::disk;
use std::sync::Arc;

/// How an upload ended well. Both mean: the object is here, durable, with these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Created,
    /// It was here already; a repetition after a lost answer.
    Identical,
}

/// An object being uploaded. Dropping it removes what was written and gives the promised space back.
#[derive(Debug)]
pub struct Upload {
    engine: Arc<Engine>,
    cell: Arc<NodeCell>,
    key: ObjectKey,
    body: Body,
}

impl Engine {
    /// Opens an upload: space is promised (all of it when the length is declared), a half-written file is made. The caller holds
    /// a permit to mutate until `finish` has returned or the upload is dropped.
    ///
    /// # Errors
    /// [`PutError::QuotaExceeded`], [`PutError::DiskFull`], [`PutError::NodeUnknown`], or a failure.
    pub async fn begin_put(
        self: &Arc<Self>,
        node: &NodeId,
        key: ObjectKey,
        declared: Option<u64>,
    ) -> Result<Upload, PutError> {
        let cell = self.nodes.get(node).ok_or_else(|| PutError::NodeUnknown(node.clone()))?;
        // A repetition costs nothing, so that a full quota does not turn a lost answer into an error.
        let known = self.recorded(node, key).await?.map_or(0, |record| record.size);
        let promise = Promise::new(Arc::clone(&self.space), Arc::clone(&cell), true, known);
        let body = Body::begin(self, &cell, key, declared, promise).await?;
        Ok(Upload { engine: Arc::clone(self), cell, key, body })
    }

    pub(crate) async fn recorded(
        self: &Arc<Self>,
        node: &NodeId,
        key: ObjectKey,
    ) -> Result<Option<ObjectRecord>, EngineError> {
        let node = node.clone();
        let read = move |engine: &Self| View::open(&*engine.db()?, &node)?.object(&key);
        Ok(self.blocking(read).await?.map(|row| row.record))
    }

    /// Gives a durable file its name and its record. Goes on to the end even when the caller goes away, so that a name on
    /// disk without a record is left by a crash only.
    pub(crate) async fn place(
        self: &Arc<Self>,
        cell: &Arc<NodeCell>,
        key: ObjectKey,
        written: Written,
        origin: Origin,
    ) -> Result<Put, PutError> {
        let critical = self.enter_critical(cell)?;
        let (engine, cell) = (Arc::clone(self), Arc::clone(cell));
        let placing = tokio::spawn(async move { critical.end(engine.place_locked(cell, key, written, origin).await) });
        placing.await.map_err(|_| EngineError::Stopped)?
    }

    async fn place_locked(
        self: Arc<Self>,
        cell: Arc<NodeCell>,
        key: ObjectKey,
        written: Written,
        origin: Origin,
    ) -> Result<Put, PutError> {
        let _lock = cell.lock_object(&key).await;
        let record = ObjectRecord { key, size: written.size, sha256: written.sha256 };
        let known = self.recorded(&cell.id, key).await?;
        let (node, rotten) = (cell.id.clone(), lock(&cell.rotten).contains(&key));
        let Written { temp, promise, .. } = written;
        let naming = shardlift_net::spawn_blocking({
            let engine = Arc::clone(&self);
            move || engine.name(&node, &record, known, temp, rotten)
        });
        if naming.await.map_err(|_| EngineError::Stopped)?? == Put::Identical {
            self.clear_alarms(&cell, &key);
            return Ok(Put::Identical);
        }
        let work = Work::Record { origin, at: now(), ops: vec![Op::Put(record)], applied: None };
        if let Err(error) = self.writer.submit(&cell.id, work).await {
            if error.is_refusal() && known.is_none() {
                let node = cell.id.clone();
                self.blocking(move |engine| engine.unname(&node, &key)).await?;
            }
            return Err(error.into());
        }
        drop(promise);
        self.clear_alarms(&cell, &key);
        Ok(Put::Created)
    }

    /// Renames a finished file. The index says what exists, and an alarm that the file is not what the index says; the object's lock is
    /// held.
    fn name(
        &self,
        node: &NodeId,
        record: &ObjectRecord,
        known: Option<ObjectRecord>,
        temp: layout::Temp,
        rotten: bool,
    ) -> Result<Put, PutError> {
        let path = self.layout.file(node, &record.key);
        if let Some(known) = known {
            let on_disk = std::fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() == known.size);
            if known == *record && on_disk && !rotten {
                return Ok(Put::Identical);
            }
            // A name that is a hash has one right content: what differs from it is damage, and this heals it. Config has none.
            if record.key == ObjectKey::Config && known != *record {
                return Err(PutError::Exists);
            }
        }
        if record.key == ObjectKey::Config && known.is_none() {
            // Never replaces: a config that is on disk without a record is not ours to overwrite.
            match disk::hard_link(temp.path(), &path) {
                Ok(()) => drop(temp),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Err(PutError::Exists),
                Err(error) => return Err(PutError::from_io("name", path)(error)),
            }
        } else {
            disk::rename(temp.path(), &path).map_err(PutError::from_io("name", &path))?;
            temp.kept();
        }
        if let Err(error) = sync_folder(&self.layout.folder(node, &record.key)) {
            if known.is_none() {
                // Not durable, so not to be found by the next start either.
                layout::remove(&path)?;
            }
            return Err(error.into());
        }
        Ok(Put::Created)
    }

    /// Takes a name back that no record came to stand for.
    pub(crate) fn unname(&self, node: &NodeId, key: &ObjectKey) -> Result<(), EngineError> {
        layout::remove(&self.layout.file(node, key))?;
        sync_folder(&self.layout.folder(node, key))
    }

    pub(crate) fn clear_alarms(&self, cell: &NodeCell, key: &ObjectKey) {
        lock(&cell.missing).remove(key);
        lock(&cell.rotten).remove(key);
    }
}

impl Upload {
    /// Takes the next bytes. Cancel safe only in that a dropped upload leaves nothing behind; after an error, drop it.
    ///
    /// # Errors
    /// [`PutError::TooLarge`] beyond the declared length, [`PutError::QuotaExceeded`], [`PutError::DiskFull`], or a failure.
    pub async fn write(&mut self, data: Bytes) -> Result<(), PutError> {
        self.body.write(data).await
    }

    /// Checks length and hash, then stores the object. When this returns `Ok` the object survives a crash (INV-02, INV-11).
    ///
    /// # Errors
    /// [`PutError::TooShort`], [`PutError::HashMismatch`], [`PutError::Exists`], or a failure. Nothing is left then, except
    /// after [`EngineError::Stopped`], where the outcome is unknown until the next start.
    pub async fn finish(self) -> Result<Put, PutError> {
        let written = self.body.finish().await?;
        if self.key.expected_sha256().is_some_and(|expected| expected != written.sha256) {
            return Err(PutError::HashMismatch { found: written.sha256 });
        }
        self.engine.place(&self.cell, self.key, written, Origin::Client).await
    }
}
