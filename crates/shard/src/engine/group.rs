//! Many small objects of an incoming copy, durable together: all files are written under their own names, made durable at once with
//! these names, and recorded by one transaction. Nothing counts before all of that (INV-02, INV-11): nobody reads a file of an incoming
//! copy that has no record, and what a crash leaves in between is judged by its hash at the next start. Where there is a file of that
//! name already, the new one takes its place whole: it is named when it is durable.
//!
//! A few files are made durable one by one. From [`ONE_BY_ONE_MAX`] on the whole file system is: that costs about as much as two
//! files, and whatever others have written meanwhile.

use super::body::hash_of;
use super::error::{EngineError, PutError};
use super::layout::{Temp, sync_folder};
use super::nodes::NodeCell;
use super::replica::accepted;
use super::space::Promise;
use super::tables::Op;
use super::writer::{Origin, Work};
use super::{Engine, Mode, now};
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use shardlift_model::{NodeId, ObjectKey, ObjectRecord};
use shardlift_net::disk::{self, FileSystem, WriteFile};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Up to so many files are made durable one by one.
pub(crate) const ONE_BY_ONE_MAX: usize = 16;

/// What became of each object of a group.
type Outcomes<T> = Vec<Result<T, PutError>>;

/// A file that does not count yet.
struct Fresh {
    record: ObjectRecord,
    temp: Temp,
    /// The name it is to get, where it does not have it.
    name: Option<PathBuf>,
    /// Open where it is made durable by itself.
    file: Option<WriteFile>,
}

impl Engine {
    /// Stores many small objects together. Each has its own outcome, in the order given; those that are `Ok` are durable, file and
    /// index, when this returns. The rules are those of [`super::Arrived::keep`].
    ///
    /// # Errors
    /// A failure that concerns all of them; what was stored before it is settled by the next attempt.
    pub async fn put_replica_batch(
        self: &Arc<Self>,
        node: &NodeId,
        objects: Vec<(ObjectRecord, Bytes)>,
        keep_damaged: bool,
    ) -> Result<Outcomes<ObjectRecord>, PutError> {
        let cell = self.cell(node)?;
        let critical = self.enter_critical(&cell)?;
        let engine = Arc::clone(self);
        let storing = tokio::spawn(async move { critical.end(engine.store_group(&cell, objects, keep_damaged).await) });
        storing.await.map_err(|_| EngineError::Stopped)?
    }

    async fn store_group(
        self: &Arc<Self>,
        cell: &Arc<NodeCell>,
        objects: Vec<(ObjectRecord, Bytes)>,
        keep_damaged: bool,
    ) -> Result<Outcomes<ObjectRecord>, PutError> {
        let keys: BTreeSet<ObjectKey> = objects.iter().map(|(record, _)| record.key).collect();
        if keys.len() != objects.len() {
            return Err(EngineError::refused("an object comes twice in one batch").into());
        }
        let _locks = cell.lock_objects(keys.into_iter()).await;
        // Held until the index counts what was promised.
        let mut promise = Promise::new(Arc::clone(&self.space), Arc::clone(cell), false, 0);
        promise.cover(objects.iter().map(|(_, data)| data.len() as u64).sum())?;
        let (engine, storing) = (Arc::clone(self), Arc::clone(cell));
        let writing = shardlift_net::spawn_blocking(move || engine.write_group(&storing, &objects, keep_damaged)).await;
        let outcomes = writing.map_err(|_| EngineError::Stopped)??;
        let ops: Vec<Op> = outcomes.iter().flatten().map(|record| Op::Put(*record)).collect();
        if !ops.is_empty() {
            let stored: Vec<ObjectKey> = ops.iter().map(Op::key).collect();
            let work = Work::Record { origin: Origin::Replica, at: now(), ops, applied: None };
            self.writer.submit(&cell.id, work).await?;
            stored.iter().for_each(|key| self.clear_alarms(cell, key));
        }
        Ok(outcomes)
    }

    /// Blocks. Files first, all of them, then their names.
    fn write_group(
        &self,
        cell: &NodeCell,
        objects: &[(ObjectRecord, Bytes)],
        keep_damaged: bool,
    ) -> Result<Outcomes<ObjectRecord>, EngineError> {
        // Looked at first: a file of a node that is not incoming must not be replaced before the index refuses.
        let record = cell.record();
        if !matches!(record.mode, Mode::Incoming { .. }) {
            return Err(EngineError::NotWritable { node: cell.id.clone(), mode: record.mode.word() });
        }
        // Opened before the first write, so that no failure of the disk is told to somebody else alone.
        let root = self.layout.root();
        let whole = (objects.len() > ONE_BY_ONE_MAX).then(|| FileSystem::of(root)).transpose();
        let whole = whole.map_err(EngineError::io("open", root))?;
        let sync_whole = |whole: &FileSystem| whole.sync().map_err(EngineError::io("make durable", root));

        let written = objects
            .iter()
            .map(|(expected, data)| self.write_fresh(&cell.id, expected, data, keep_damaged, whole.is_none()));
        let files: Outcomes<Fresh> = written.collect();
        whole.as_ref().map_or(Ok(()), sync_whole)?;
        let renamed = files.iter().flatten().any(|fresh| fresh.name.is_some());
        let outcomes: Outcomes<ObjectRecord> = files.into_iter().map(|file| file.and_then(Fresh::settle)).collect();
        match &whole {
            Some(whole) if renamed => sync_whole(whole)?,
            // The names are as durable as the bytes.
            Some(_) => {}
            None => {
                let stored = outcomes.iter().flatten();
                let folders: BTreeSet<PathBuf> =
                    stored.map(|record| self.layout.folder(&cell.id, &record.key)).collect();
                folders.iter().try_for_each(|folder| sync_folder(folder))?;
            }
        }
        Ok(outcomes)
    }

    fn write_fresh(
        &self,
        node: &NodeId,
        expected: &ObjectRecord,
        data: &Bytes,
        keep_damaged: bool,
        by_itself: bool,
    ) -> Result<Fresh, PutError> {
        let mut hash = Context::new(&SHA256);
        hash.update(data);
        let record = accepted(expected, data.len() as u64, hash_of(hash)?, keep_damaged)?;
        let create = || match self.layout.in_place(node, &record.key)? {
            Some((path, file)) => Ok((path, None, file)),
            None => {
                let (path, file) = self.layout.temp(node, &record.key)?;
                Ok((path, Some(self.layout.file(node, &record.key)), file))
            }
        };
        let failed = |error| PutError::from_io("create a file in", self.layout.folder(node, &record.key))(error);
        let (path, name, mut file) = create().map_err(failed)?;
        let temp = Temp::new(path);
        file.write_all(data).map_err(PutError::from_io("write", temp.path()))?;
        Ok(Fresh { record, temp, name, file: by_itself.then_some(file) })
    }
}

impl Fresh {
    /// The bytes are durable, or become so here.
    fn settle(self) -> Result<ObjectRecord, PutError> {
        let Self { record, temp, name, file } = self;
        if let Some(file) = file {
            file.sync().map_err(PutError::from_io("make durable", temp.path()))?;
        }
        if let Some(name) = name {
            disk::rename(temp.path(), &name).map_err(PutError::from_io("name", name))?;
        }
        temp.kept();
        Ok(record)
    }
}
