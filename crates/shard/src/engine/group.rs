//! Many small objects of an incoming copy, durable together: all files are written, made durable at once, named, their names made
//! durable at once, and recorded by one transaction. Nothing counts before all of that (INV-02, INV-11). What a crash leaves in
//! between, half-written files and names without a record, is settled at the next start.
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

/// Threads that write files, or name them, at the same time.
const THREADS: usize = 4;

/// Up to so many files are made durable one by one.
pub(crate) const ONE_BY_ONE_MAX: usize = 16;

/// What became of each object of a group.
type Outcomes<T> = Vec<Result<T, PutError>>;

/// A file without its name.
struct Fresh {
    record: ObjectRecord,
    temp: Temp,
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

        let files = in_parts(objects.iter().collect(), |(expected, data)| {
            self.write_fresh(&cell.id, expected, data, keep_damaged, whole.is_none())
        })?;
        whole.as_ref().map_or(Ok(()), sync_whole)?;
        let outcomes = in_parts(files, |file| file.and_then(|fresh| self.name_fresh(&cell.id, fresh)))?;
        match &whole {
            Some(whole) => sync_whole(whole)?,
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
        let folder = self.layout.folder(node, &record.key);
        let (path, mut file) =
            self.layout.temp(node, &record.key).map_err(PutError::from_io("create a file in", folder))?;
        let temp = Temp::new(path);
        file.write_all(data).map_err(PutError::from_io("write", temp.path()))?;
        Ok(Fresh { record, temp, file: by_itself.then_some(file) })
    }

    /// The bytes are durable, or become so here.
    fn name_fresh(&self, node: &NodeId, fresh: Fresh) -> Result<ObjectRecord, PutError> {
        let Fresh { record, temp, file } = fresh;
        if let Some(file) = file {
            file.sync().map_err(PutError::from_io("make durable", temp.path()))?;
        }
        let path = self.layout.file(node, &record.key);
        disk::rename(temp.path(), &path).map_err(PutError::from_io("name", path))?;
        temp.kept();
        Ok(record)
    }
}

/// Does it to each, in order, on some threads at once; in a simulation in place, where the order is the simulation's.
fn in_parts<I: Send, O: Send>(items: Vec<I>, work: impl Fn(I) -> O + Sync) -> Result<Vec<O>, EngineError> {
    if shardlift_net::is_simulated() {
        return Ok(items.into_iter().map(work).collect());
    }
    let share = items.len().div_ceil(THREADS).max(1);
    let mut items = items.into_iter();
    let work = &work;
    let done: Result<Vec<Vec<O>>, EngineError> = std::thread::scope(|scope| {
        let mut threads = Vec::with_capacity(THREADS);
        loop {
            // Neighbours by name share a folder, so each part has folders of its own.
            let part: Vec<I> = items.by_ref().take(share).collect();
            if part.is_empty() {
                break;
            }
            threads.push(scope.spawn(move || part.into_iter().map(work).collect()));
        }
        threads.into_iter().map(|thread| thread.join().map_err(|_| EngineError::Stopped)).collect()
    });
    Ok(done?.into_iter().flatten().collect())
}
