//! The incoming copy of a node: objects as they are pulled from the source. Each is hashed here and durable before it counts.
//!
//! All of this is refused, inside the transaction, unless the node is incoming: a promoted node takes nothing from a source.

use super::body::{Body, Written};
use super::error::{EngineError, PutError};
use super::layout::sync_folder;
use super::nodes::NodeCell;
use super::objects::Deleted;
use super::record::ReplicaRecord;
use super::space::Promise;
use super::tables::Op;
use super::writer::{Done, Origin, Work};
use super::{Engine, now};
use bytes::Bytes;
use shardlift_model::{NodeId, ObjectKey, ObjectRecord, Token};
use shardlift_net::disk::{self, WriteFile};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Files of a batch written and made durable at the same time.
const BATCH_THREADS: usize = 4;

/// One object of a batch: durable and without its name, or why not.
type WrittenObject = Result<(ObjectRecord, Written), PutError>;

/// An object being pulled. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct ReplicaUpload {
    engine: Arc<Engine>,
    cell: Arc<NodeCell>,
    expected: ObjectRecord,
    body: Body,
}

impl ReplicaUpload {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`PutError::DiskFull`] or a failure.
    pub async fn write(&mut self, data: Bytes) -> Result<(), PutError> {
        self.body.write(data).await
    }

    /// Stores what came and answers with the record as found. Durable, file and index, when it returns.
    ///
    /// Without `keep_damaged` the bytes must be what the name says, or for config what the source's record says. With it, they are
    /// stored as they are and the record tells.
    ///
    /// # Errors
    /// [`PutError::HashMismatch`] with the hash found; [`PutError::DiskFull`] or a failure.
    pub async fn finish(self, keep_damaged: bool) -> Result<ObjectRecord, PutError> {
        let written = self.body.finish().await?;
        let record = accepted(&self.expected, &written, keep_damaged)?;
        let key = self.expected.key;
        self.engine.place(&self.cell, key, written, Origin::Replica).await?;
        Ok(record)
    }
}

/// The record that stands for what was written, if it may be kept.
fn accepted(expected: &ObjectRecord, written: &Written, keep_damaged: bool) -> Result<ObjectRecord, PutError> {
    let wanted = expected.key.expected_sha256().unwrap_or(expected.sha256);
    if written.sha256 != wanted && !keep_damaged {
        return Err(PutError::HashMismatch { found: written.sha256 });
    }
    Ok(ObjectRecord { key: expected.key, size: written.size, sha256: written.sha256 })
}

impl Engine {
    /// Opens a pulled object. `expected` is the source's record of it.
    ///
    /// # Errors
    /// [`PutError::DiskFull`], [`PutError::NodeUnknown`], or a failure.
    pub async fn begin_put_replica(
        self: &Arc<Self>,
        node: &NodeId,
        expected: ObjectRecord,
    ) -> Result<ReplicaUpload, PutError> {
        let cell = self.nodes.get(node).ok_or_else(|| PutError::NodeUnknown(node.clone()))?;
        // The quota of a node does not stand in the way of its move.
        let promise = Promise::new(Arc::clone(&self.space), Arc::clone(&cell), false, 0);
        let body = Body::begin(self, &cell, expected.key, None, promise).await?;
        Ok(ReplicaUpload { engine: Arc::clone(self), cell, expected, body })
    }

    /// Stores many small objects with one group of fsyncs. Each has its own outcome, in the order given; those that are `Ok`
    /// are durable, file and index, when this returns. The rules are those of [`ReplicaUpload::finish`].
    ///
    /// # Errors
    /// A failure that concerns all of them; what was stored before it is settled by the next attempt.
    pub async fn put_replica_batch(
        self: &Arc<Self>,
        node: &NodeId,
        objects: Vec<(ObjectRecord, Bytes)>,
        keep_damaged: bool,
    ) -> Result<Vec<Result<ObjectRecord, PutError>>, EngineError> {
        let cell = self.cell(node)?;
        let critical = self.enter_critical(&cell)?;
        let engine = Arc::clone(self);
        let storing = tokio::spawn(async move { critical.end(engine.store_batch(&cell, objects, keep_damaged).await) });
        storing.await.map_err(|_| EngineError::Stopped)?
    }

    async fn store_batch(
        self: &Arc<Self>,
        cell: &Arc<NodeCell>,
        objects: Vec<(ObjectRecord, Bytes)>,
        keep_damaged: bool,
    ) -> Result<Vec<Result<ObjectRecord, PutError>>, EngineError> {
        let keys: BTreeSet<ObjectKey> = objects.iter().map(|(record, _)| record.key).collect();
        if keys.len() != objects.len() {
            return Err(EngineError::refused("an object comes twice in one batch"));
        }
        let _locks = cell.lock_objects(keys.into_iter()).await;
        let storing = Arc::clone(cell);
        let outcomes = self.blocking(move |engine| engine.write_batch(&storing, &objects, keep_damaged)).await?;
        let records = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok());
        let ops: Vec<Op> = records.map(|record| Op::Put(*record)).collect();
        if !ops.is_empty() {
            let stored: Vec<ObjectKey> = ops.iter().map(Op::key).collect();
            let work = Work::Record { origin: Origin::Replica, at: now(), ops, applied: None };
            self.writer.submit(&cell.id, work).await?;
            stored.iter().for_each(|key| self.clear_alarms(cell, key));
        }
        Ok(outcomes)
    }

    /// Blocks. Files first, all of them, then their names, then their folders.
    fn write_batch(
        &self,
        cell: &Arc<NodeCell>,
        objects: &[(ObjectRecord, Bytes)],
        keep_damaged: bool,
    ) -> Result<Vec<Result<ObjectRecord, PutError>>, EngineError> {
        // Looked at first: a file of a node that is not incoming must not be replaced before the index refuses.
        let record = cell.record();
        if !matches!(record.mode, super::Mode::Incoming { .. }) {
            return Err(EngineError::NotWritable { node: cell.id.clone(), mode: record.mode.word() });
        }
        let mut outcomes = Vec::with_capacity(objects.len());
        let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
        for outcome in self.write_in_parts(cell, objects, keep_damaged)? {
            outcomes.push(outcome.and_then(|(record, written)| {
                let path = self.layout.file(&cell.id, &record.key);
                disk::rename(written.temp.path(), &path).map_err(PutError::from_io("name", &path))?;
                written.temp.kept();
                folders.insert(self.layout.folder(&cell.id, &record.key));
                Ok(record)
            }));
        }
        folders.iter().try_for_each(|folder| sync_folder(folder))?;
        Ok(outcomes)
    }

    /// On some threads at once; in a simulation in place, where the order is the simulation's.
    fn write_in_parts(
        &self,
        cell: &Arc<NodeCell>,
        objects: &[(ObjectRecord, Bytes)],
        keep_damaged: bool,
    ) -> Result<Vec<WrittenObject>, EngineError> {
        let write = |part: &[(ObjectRecord, Bytes)]| self.write_files(cell, part, keep_damaged);
        if shardlift_net::is_simulated() {
            return Ok(write(objects));
        }
        let share = objects.len().div_ceil(BATCH_THREADS).max(1);
        let written: Result<Vec<_>, _> = std::thread::scope(|scope| {
            let threads: Vec<_> = objects.chunks(share).map(|part| scope.spawn(move || write(part))).collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| EngineError::Stopped)).collect()
        });
        Ok(written?.into_iter().flatten().collect())
    }

    fn write_files(
        &self,
        cell: &Arc<NodeCell>,
        objects: &[(ObjectRecord, Bytes)],
        keep_damaged: bool,
    ) -> Vec<WrittenObject> {
        let write = |(expected, data): &(ObjectRecord, Bytes)| {
            let promise = Promise::new(Arc::clone(&self.space), Arc::clone(cell), false, 0);
            let (file, written) = Body::whole(self, cell, expected.key, data, promise)?;
            Ok((file, accepted(expected, &written, keep_damaged)?, written))
        };
        // All are written before the first is waited for: the disk gets them in one go.
        let files: Vec<Result<_, PutError>> = objects.iter().map(write).collect();
        let sync = |file: Result<(WriteFile, ObjectRecord, Written), PutError>| {
            let (file, record, written) = file?;
            file.sync().map_err(PutError::from_io("make durable", written.temp.path()))?;
            Ok((record, written))
        };
        files.into_iter().map(sync).collect()
    }

    /// Deletes an object of an incoming copy, because the source did.
    ///
    /// # Errors
    /// [`EngineError::NotWritable`] when the node is not incoming (INV-12), or a failure.
    pub async fn apply_replica_delete(self: &Arc<Self>, node: &NodeId, key: ObjectKey) -> Result<Deleted, EngineError> {
        self.delete_as(node, key, Origin::Replica).await
    }

    /// Deletes objects of an incoming copy because the source did, and records with the same transaction that all changes up to `seq`
    /// of the source's journal are here: a crash leaves both or neither.
    ///
    /// # Errors
    /// [`EngineError::NotWritable`] when the node is not incoming (INV-12), [`EngineError::Refused`] when the seq would go back, or
    /// a failure.
    pub async fn apply_replica_deletes(
        self: &Arc<Self>,
        node: &NodeId,
        keys: BTreeSet<ObjectKey>,
        seq: u64,
    ) -> Result<(), EngineError> {
        let cell = self.cell(node)?;
        let critical = self.enter_critical(&cell)?;
        let engine = Arc::clone(self);
        let deleting =
            tokio::spawn(
                async move { critical.end(engine.delete_together(&cell, keys.into_iter().collect(), seq).await) },
            );
        deleting.await.map_err(|_| EngineError::Stopped)?
    }

    async fn delete_together(
        self: &Arc<Self>,
        cell: &Arc<NodeCell>,
        keys: Vec<ObjectKey>,
        seq: u64,
    ) -> Result<(), EngineError> {
        let _locks = cell.lock_objects(keys.iter().copied()).await;
        let ops = keys.iter().map(|key| Op::Delete(*key)).collect();
        let work = Work::Record { origin: Origin::Replica, at: now(), ops, applied: Some(seq) };
        let Done::Recorded(seqs) = self.writer.submit(&cell.id, work).await? else { return Err(EngineError::Stopped) };
        let gone: Vec<(ObjectKey, u64)> =
            keys.into_iter().zip(seqs).filter_map(|(key, seq)| seq.map(|seq| (key, seq))).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let (node, files) = (cell.id.clone(), gone.clone());
        self.blocking(move |engine| engine.unname_all(&node, &files)).await?;
        gone.iter().for_each(|(key, _)| self.clear_alarms(cell, key));
        self.writer.notify(&cell.id, Work::Unlinked(gone)).await
    }

    /// Takes files off the disk; their folders are durable when this returns.
    fn unname_all(&self, node: &NodeId, files: &[(ObjectKey, u64)]) -> Result<(), EngineError> {
        files.iter().try_for_each(|(key, _)| super::layout::remove(&self.layout.file(node, key)))?;
        let folders: BTreeSet<PathBuf> = files.iter().map(|(key, _)| self.layout.folder(node, key)).collect();
        folders.iter().try_for_each(|folder| sync_folder(folder))
    }

    /// Changes what is remembered about an incoming copy.
    ///
    /// # Errors
    /// [`EngineError::Refused`] when the node is not incoming, what `update` refuses, or a failure.
    pub async fn update_replica(
        self: &Arc<Self>,
        node: &NodeId,
        update: impl FnOnce(&mut ReplicaRecord) -> Result<(), EngineError> + Send + 'static,
    ) -> Result<(), EngineError> {
        let edit = move |record: &mut super::NodeRecord| match (&record.mode, record.replica.as_mut()) {
            (super::Mode::Incoming { .. }, Some(replica)) => update(replica),
            (mode, _) => Err(EngineError::refused(format!("the node is {}, not incoming", mode.word()))),
        };
        self.writer.submit(node, Work::Edit(Box::new(edit))).await.map(drop)
    }

    /// Records that the copy is to be compared with its source. A new command wants a new proof, the same one again the proof there
    /// is; the answer is the token that names the comparison.
    ///
    /// # Errors
    /// As [`Engine::command`]; [`EngineError::Refused`] when the node is not incoming.
    pub(crate) async fn ask_to_verify(self: &Arc<Self>, node: &NodeId, token: Token) -> Result<Token, EngineError> {
        let edit = move |record: &mut super::NodeRecord| match (&record.mode, record.replica.as_mut()) {
            (super::Mode::Incoming { .. }, Some(replica)) => {
                replica.ask_to_verify(token);
                Ok(())
            }
            (mode, _) => Err(EngineError::refused(format!("the node is {} here, not incoming", mode.word()))),
        };
        self.command(node, token, edit).await?;
        let replica = self.cell(node)?.record().replica.clone();
        Ok(replica.and_then(|replica| replica.verify_token).unwrap_or(token))
    }

    /// Stores one pulled object that is in memory.
    ///
    /// # Errors
    /// As [`ReplicaUpload::finish`].
    pub async fn put_replica(
        self: &Arc<Self>,
        node: &NodeId,
        expected: ObjectRecord,
        data: Bytes,
        keep_damaged: bool,
    ) -> Result<ObjectRecord, PutError> {
        let mut upload = self.begin_put_replica(node, expected).await?;
        upload.write(data).await?;
        upload.finish(keep_damaged).await
    }
}
