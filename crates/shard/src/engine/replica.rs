//! The incoming copy of a node: objects as they are pulled from the source. Each is hashed here and durable before it counts.
//!
//! All of this is refused, inside the transaction, unless the node is incoming: a promoted node takes nothing from a source.

use super::body::Written;
use super::error::{EngineError, PutError};
use super::group::ONE_BY_ONE_MAX;
use super::landing::Landing;
use super::layout::sync_folder;
use super::nodes::{Critical, NodeCell};
use super::objects::Deleted;
use super::record::ReplicaRecord;
use super::space::Promise;
use super::tables::Op;
use super::writer::{Done, Origin, Work};
use super::{Engine, now};
use bytes::Bytes;
use shardlift_model::{NodeId, ObjectKey, ObjectRecord, Sha256, Token};
use shardlift_net::disk::FileSystem;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// An object being pulled. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct ReplicaUpload {
    engine: Arc<Engine>,
    cell: Arc<NodeCell>,
    expected: ObjectRecord,
    landing: Landing,
}

/// An object that is here with all its bytes, durable, and has neither name nor record yet. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Arrived {
    engine: Arc<Engine>,
    cell: Arc<NodeCell>,
    expected: ObjectRecord,
    written: Written,
}

impl ReplicaUpload {
    /// Where the next bytes go; never empty. [`Self::filled`] says how many came.
    pub fn room(&mut self) -> &mut [u8] {
        self.landing.room()
    }

    /// So many bytes are in the room.
    ///
    /// # Errors
    /// [`PutError::DiskFull`] or a failure.
    pub async fn filled(&mut self, bytes: usize) -> Result<(), PutError> {
        self.landing.filled(bytes).await
    }

    /// Makes all that came durable. What it is is for the caller to judge.
    ///
    /// # Errors
    /// [`PutError::DiskFull`] or a failure.
    pub async fn complete(self) -> Result<Arrived, PutError> {
        let written = self.landing.finish().await?;
        Ok(Arrived { engine: self.engine, cell: self.cell, expected: self.expected, written })
    }
}

impl Arrived {
    /// Bytes that came.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.written.size
    }

    /// Their hash, computed while they were written.
    #[must_use]
    pub const fn sha256(&self) -> Sha256 {
        self.written.sha256
    }

    /// Stores what came and answers with the record as found. Durable, file and index, when it returns.
    ///
    /// Without `keep_damaged` the bytes must be what the name says, or for config what the source's record says. With it, they are
    /// stored as they are and the record tells.
    ///
    /// # Errors
    /// [`PutError::HashMismatch`] with the hash found; [`PutError::DiskFull`] or a failure.
    pub async fn keep(self, keep_damaged: bool) -> Result<ObjectRecord, PutError> {
        let record = accepted(&self.expected, self.written.size, self.written.sha256, keep_damaged)?;
        self.engine.place(&self.cell, record.key, self.written, Origin::Replica).await?;
        Ok(record)
    }
}

/// The record that stands for what was found, if it may be kept.
pub(crate) fn accepted(
    expected: &ObjectRecord,
    size: u64,
    found: Sha256,
    keep_damaged: bool,
) -> Result<ObjectRecord, PutError> {
    let wanted = expected.key.expected_sha256().unwrap_or(expected.sha256);
    if found != wanted && !keep_damaged {
        return Err(PutError::HashMismatch { found });
    }
    Ok(ObjectRecord { key: expected.key, size, sha256: found })
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
        let landing = Landing::begin(self, &cell, expected.key, expected.size, promise).await?;
        Ok(ReplicaUpload { engine: Arc::clone(self), cell, expected, landing })
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
            tokio::spawn(async move { engine.delete_together(cell, critical, keys.into_iter().collect(), seq).await });
        deleting.await.map_err(|_| EngineError::Stopped)?
    }

    /// Done when the index says so, durably: the files are taken off the disk behind it, under the same locks. What a crash leaves of
    /// them is settled at the next start, as after any delete.
    async fn delete_together(
        self: Arc<Self>,
        cell: Arc<NodeCell>,
        critical: Critical,
        keys: Vec<ObjectKey>,
        seq: u64,
    ) -> Result<(), EngineError> {
        let locks = cell.lock_objects(keys.iter().copied()).await;
        let ops = keys.iter().map(|key| Op::Delete(*key)).collect();
        let work = Work::Record { origin: Origin::Replica, at: now(), ops, applied: Some(seq) };
        let seqs = match self.writer.submit(&cell.id, work).await {
            Ok(Done::Recorded(seqs)) => seqs,
            Ok(_) => return critical.end(Err(EngineError::Stopped)),
            Err(error) => return critical.end(Err(error)),
        };
        let gone: Vec<(ObjectKey, u64)> =
            keys.into_iter().zip(seqs).filter_map(|(key, seq)| seq.map(|seq| (key, seq))).collect();
        gone.iter().for_each(|(key, _)| self.clear_alarms(&cell, key));
        if gone.is_empty() {
            return critical.end(Ok(()));
        }
        tokio::spawn(async move {
            let taken_off = critical.end(self.take_off(&cell.id, gone).await);
            drop(locks);
            if let Err(error) = taken_off {
                tracing::error!(node = %cell.id, error = %shardlift_api::fault::chain(&error), "deleted files stay until the next start");
            }
        });
        Ok(())
    }

    async fn take_off(self: &Arc<Self>, node: &NodeId, gone: Vec<(ObjectKey, u64)>) -> Result<(), EngineError> {
        let (of, files) = (node.clone(), gone.clone());
        self.blocking(move |engine| engine.unname_all(&of, &files)).await?;
        self.writer.notify(node, Work::Unlinked(gone)).await
    }

    /// Takes files off the disk; their folders are durable when this returns.
    fn unname_all(&self, node: &NodeId, files: &[(ObjectKey, u64)]) -> Result<(), EngineError> {
        let folders: BTreeSet<PathBuf> = files.iter().map(|(key, _)| self.layout.folder(node, key)).collect();
        let root = self.layout.root();
        let whole = (folders.len() > ONE_BY_ONE_MAX).then(|| FileSystem::of(root)).transpose();
        let whole = whole.map_err(EngineError::io("open", root))?;
        files.iter().try_for_each(|(key, _)| super::layout::remove(&self.layout.file(node, key)))?;
        match whole {
            Some(whole) => whole.sync().map_err(EngineError::io("make durable", root)),
            None => folders.iter().try_for_each(|folder| sync_folder(folder)),
        }
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
    /// As [`ReplicaUpload::complete`] and [`Arrived::keep`].
    pub async fn put_replica(
        self: &Arc<Self>,
        node: &NodeId,
        expected: ObjectRecord,
        data: Bytes,
        keep_damaged: bool,
    ) -> Result<ObjectRecord, PutError> {
        let mut upload = self.begin_put_replica(node, expected).await?;
        let mut left = &data[..];
        while !left.is_empty() {
            let room = upload.room();
            let (part, rest) = left.split_at(room.len().min(left.len()));
            room[..part.len()].copy_from_slice(part);
            upload.filled(part.len()).await?;
            left = rest;
        }
        upload.complete().await?.keep(keep_damaged).await
    }
}
