//! Objects that are here: deleting, opening, listing, paging, digests.

use super::error::EngineError;
use super::nodes::{NodeCell, lock};
use super::reads::{Page, View};
use super::record::Mode;
use super::tables::{Change, Op};
use super::writer::{Done, Origin, Work};
use super::{Engine, now};
use shardlift_model::digest::{Digest, Part, Prefix, Records as _, Summary};
use shardlift_model::{NodeId, ObjectKey, ObjectKind, ObjectRecord};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

/// How a delete ended. Both are success for a client that repeats itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It was here.
    Deleted,
    /// It was not.
    Absent,
}

/// An object, open for reading.
#[derive(Debug)]
pub struct ObjectFile {
    /// What is recorded about it.
    pub record: ObjectRecord,
    /// Its length, checked against the record.
    pub size: u64,
    /// Positioned at the start.
    pub file: shardlift_net::File,
}

/// What lies at one place of a node's digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DigestPart {
    /// For each digit under which there are objects, what is known of them.
    Branch(BTreeMap<u8, Summary>),
    /// So few objects that they are named, in order.
    Leaf(Vec<ObjectRecord>),
}

impl Engine {
    /// Makes a node; true when it is new. Durable when it returns. One that exists stays as it is.
    ///
    /// # Errors
    /// [`EngineError::NotWritable`] when it exists but this shard is not its writer, or a failure.
    pub async fn create_node(self: &Arc<Self>, node: &NodeId) -> Result<bool, EngineError> {
        let (engine, id) = (Arc::clone(self), node.clone());
        let made = self.writer.submit(node, Work::Create(Mode::Serving)).await? == Done::Created(true);
        let cell = self.cell(node)?;
        let record = cell.record();
        if record.mode != Mode::Serving {
            return Err(EngineError::NotWritable { node: id, mode: record.mode.word() });
        }
        engine.blocking(move |engine| engine.layout.create(&id)).await?;
        Ok(made)
    }

    /// Deletes an object: recorded first, then taken off the disk. The caller holds a permit to mutate.
    ///
    /// # Errors
    /// [`EngineError::NodeUnknown`], [`EngineError::NotWritable`], or a failure.
    pub async fn delete(self: &Arc<Self>, node: &NodeId, key: ObjectKey) -> Result<Deleted, EngineError> {
        self.delete_as(node, key, Origin::Client).await
    }

    pub(crate) async fn delete_as(
        self: &Arc<Self>,
        node: &NodeId,
        key: ObjectKey,
        origin: Origin,
    ) -> Result<Deleted, EngineError> {
        let cell = self.cell(node)?;
        let critical = self.enter_critical(&cell)?;
        let engine = Arc::clone(self);
        // Goes on to the end even when the caller goes away: recorded and on disk is settled at the next start only.
        let deleting = tokio::spawn(async move { critical.end(engine.delete_locked(cell, key, origin).await) });
        deleting.await.map_err(|_| EngineError::Stopped)?
    }

    async fn delete_locked(
        self: Arc<Self>,
        cell: Arc<NodeCell>,
        key: ObjectKey,
        origin: Origin,
    ) -> Result<Deleted, EngineError> {
        let _lock = cell.lock_object(&key).await;
        let work = Work::Record { origin, at: now(), ops: vec![Op::Delete(key)], applied: None };
        let done = self.writer.submit(&cell.id, work).await?;
        let seq = match done {
            Done::Recorded(seqs) => seqs.first().copied().flatten(),
            _ => None,
        };
        let Some(seq) = seq else { return Ok(Deleted::Absent) };
        let node = cell.id.clone();
        // The folder is made durable before the index forgets the file: it must not come back and be taken for new.
        self.blocking(move |engine| engine.unname(&node, &key)).await?;
        self.clear_alarms(&cell, &key);
        self.writer.notify(&cell.id, Work::Unlinked(vec![(key, seq)])).await?;
        Ok(Deleted::Deleted)
    }

    /// Opens an object; `None` when there is none.
    ///
    /// # Errors
    /// [`EngineError::Missing`] when it is recorded but not on disk, [`EngineError::SizeDiffers`], or a failure.
    pub async fn open_object(
        self: &Arc<Self>,
        node: &NodeId,
        key: ObjectKey,
    ) -> Result<Option<ObjectFile>, EngineError> {
        let cell = self.cell(node)?;
        let opened = self.open_recorded(node, key).await;
        if !matches!(opened, Err(EngineError::Missing { .. } | EngineError::SizeDiffers { .. })) {
            return opened;
        }
        // It may have been deleted or replaced between the look at the index and the look at the disk.
        let _lock = cell.lock_object(&key).await;
        let opened = self.open_recorded(node, key).await;
        if let Err(error @ (EngineError::Missing { .. } | EngineError::SizeDiffers { .. })) = &opened {
            let alarms = if matches!(error, EngineError::Missing { .. }) { &cell.missing } else { &cell.rotten };
            if lock(alarms).insert(key) {
                tracing::error!(%node, %key, %error, "an acknowledged object is damaged");
            }
        }
        opened
    }

    async fn open_recorded(self: &Arc<Self>, node: &NodeId, key: ObjectKey) -> Result<Option<ObjectFile>, EngineError> {
        let node = node.clone();
        let opened = self.blocking(move |engine| engine.open_now(&engine.view(&node)?, key)).await?;
        Ok(opened.map(|(record, file)| ObjectFile {
            record,
            size: record.size,
            file: shardlift_net::File::from_std(file),
        }))
    }

    /// What the index says of a node at this moment, for many looks.
    pub(crate) fn view<'a>(&self, node: &'a NodeId) -> Result<View<'a>, EngineError> {
        View::open(&*self.db()?, node)
    }

    /// Opens an object as it is recorded, its length compared with the record's; a change may have come between the view and the
    /// look at the file. Blocks.
    pub(crate) fn open_now(
        &self,
        view: &View<'_>,
        key: ObjectKey,
    ) -> Result<Option<(ObjectRecord, File)>, EngineError> {
        let node = view.node();
        let Some(row) = view.object(&key)? else { return Ok(None) };
        let path = self.layout.file(node, &key);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(EngineError::Missing { node: node.clone(), key });
            }
            Err(error) => return Err(EngineError::io("open", path)(error)),
        };
        let found = file.metadata().map_err(EngineError::io("look at", path))?.len();
        let recorded = row.record.size;
        if found != recorded {
            return Err(EngineError::SizeDiffers { node: node.clone(), key, found, recorded });
        }
        Ok(Some((row.record, file)))
    }

    /// All objects of a kind with their sizes, from the index.
    ///
    /// # Errors
    /// [`EngineError::Io`] when the kind's folder cannot be read: what cannot be read is never an empty list.
    pub async fn list(self: &Arc<Self>, node: &NodeId, kind: ObjectKind) -> Result<Vec<(String, u64)>, EngineError> {
        let node = self.cell(node)?.id.clone();
        self.blocking(move |engine| {
            let folder = engine.layout.kind(&node, kind);
            let mut entries = std::fs::read_dir(&folder).map_err(EngineError::io("list", &folder))?;
            entries.next().transpose().map_err(EngineError::io("list", &folder))?;
            let rows = View::open(&*engine.db()?, &node)?.kind(kind)?;
            Ok(rows.into_iter().map(|row| (row.record.key.name(), row.record.size)).collect())
        })
        .await
    }

    /// A page of objects in the order of their keys.
    ///
    /// # Errors
    /// [`EngineError::NodeUnknown`] or a failure.
    pub async fn page_objects(
        self: &Arc<Self>,
        node: &NodeId,
        after: Option<ObjectKey>,
        limit: usize,
        with_locks: bool,
    ) -> Result<Page, EngineError> {
        let node = node.clone();
        self.blocking(move |engine| View::open(&*engine.db()?, &node)?.page(after.as_ref(), limit, with_locks)).await
    }

    /// Changes after a seq, oldest first, and the last seq there is.
    ///
    /// # Errors
    /// [`EngineError::NodeUnknown`] or a failure.
    pub async fn changes(
        self: &Arc<Self>,
        node: &NodeId,
        after_seq: u64,
        limit: usize,
    ) -> Result<(Vec<Change>, u64), EngineError> {
        let node = node.clone();
        self.blocking(move |engine| View::open(&*engine.db()?, &node)?.changes(after_seq, limit)).await
    }

    /// The digest of a node and the seq it stands for, locks included.
    ///
    /// # Errors
    /// [`EngineError::NodeUnknown`] or a failure.
    pub async fn digest(self: &Arc<Self>, node: &NodeId) -> Result<(Digest, u64), EngineError> {
        self.digest_of(node, true).await
    }

    /// The digest of a node with or without its locks, and the seq it stands for.
    ///
    /// # Errors
    /// [`EngineError::NodeUnknown`] or a failure.
    pub async fn digest_of(self: &Arc<Self>, node: &NodeId, with_locks: bool) -> Result<(Digest, u64), EngineError> {
        let node = node.clone();
        self.blocking(move |engine| {
            engine.digests.read(&*engine.db()?, &node, |tree, _, seq| Ok((tree.digest(with_locks), seq)))
        })
        .await
    }

    /// What lies at these places of the digest's tree, and the seq for which all of it stands.
    ///
    /// # Errors
    /// [`EngineError::NodeUnknown`] or a failure.
    pub async fn digest_parts(
        self: &Arc<Self>,
        node: &NodeId,
        places: Vec<Prefix>,
    ) -> Result<(Vec<DigestPart>, u64), EngineError> {
        let node = node.clone();
        self.blocking(move |engine| {
            engine.digests.read(&*engine.db()?, &node, |tree, view, seq| {
                let part = |place: &Prefix| match tree.part(place) {
                    Part::Branch(children) => Ok(DigestPart::Branch(children)),
                    Part::Leaf => view.under(place)?.collect::<Result<_, _>>().map(DigestPart::Leaf),
                };
                Ok((places.iter().map(part).collect::<Result<_, _>>()?, seq))
            })
        })
        .await
    }

    /// All objects at a place of the digest's tree.
    ///
    /// # Errors
    /// A failure of the index.
    pub async fn objects_at(
        self: &Arc<Self>,
        node: &NodeId,
        place: Prefix,
    ) -> Result<BTreeMap<ObjectKey, ObjectRecord>, EngineError> {
        let node = node.clone();
        self.blocking(move |engine| {
            let view = View::open(&*engine.db()?, &node)?;
            let records = view.under(&place)?;
            records.map(|record| record.map(|record| (record.key, record))).collect()
        })
        .await
    }

    /// What is recorded about one object, without touching the disk.
    ///
    /// # Errors
    /// A failure of the index.
    pub async fn object(self: &Arc<Self>, node: &NodeId, key: ObjectKey) -> Result<Option<ObjectRecord>, EngineError> {
        self.recorded(node, key).await
    }

    /// The index's records of those of these objects that are there.
    ///
    /// # Errors
    /// A failure.
    pub(crate) async fn objects(
        self: &Arc<Self>,
        node: &NodeId,
        keys: Vec<ObjectKey>,
    ) -> Result<Vec<ObjectRecord>, EngineError> {
        let node = node.clone();
        let rows = self.blocking(move |engine| engine.view(&node)?.objects(&keys)).await?;
        Ok(rows.into_iter().map(|row| row.record).collect())
    }
}
