//! Questions to the index. Each is one read transaction, so that what it answers was true at one instant.

use super::error::EngineError;
use super::record::NodeRecord;
use super::tables::{self, Change, ObjectRow};
use redb::{Database, ReadTransaction, ReadableDatabase as _};
use shardlift_model::digest::{Prefix, Records};
use shardlift_model::{NodeId, ObjectKey, ObjectKind, ObjectRecord};

/// A page of a node's objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their keys.
    pub objects: Vec<ObjectRecord>,
    /// Whether there are more after the last one.
    pub more: bool,
    /// Last change at the moment of this page.
    pub seq: u64,
    /// All objects of the node (locks as asked for).
    pub objects_total: u64,
    /// Sum of their sizes.
    pub bytes_total: u64,
}

/// One consistent view of one node.
pub(crate) struct View<'a> {
    read: ReadTransaction,
    node: &'a NodeId,
}

impl<'a> View<'a> {
    pub(crate) fn open(db: &Database, node: &'a NodeId) -> Result<Self, EngineError> {
        Ok(Self { read: db.begin_read().map_err(EngineError::index)?, node })
    }

    pub(crate) const fn node(&self) -> &'a NodeId {
        self.node
    }

    pub(crate) fn record(&self) -> Result<NodeRecord, EngineError> {
        let table = self.read.open_table(tables::NODES).map_err(EngineError::index)?;
        let row = table.get(tables::node_key(self.node).as_slice()).map_err(EngineError::index)?;
        NodeRecord::decode(row.ok_or_else(|| EngineError::NodeUnknown(self.node.clone()))?.value())
    }

    pub(crate) fn object(&self, key: &ObjectKey) -> Result<Option<ObjectRow>, EngineError> {
        let table = self.read.open_table(tables::OBJECTS).map_err(EngineError::index)?;
        let row = table.get(tables::object_key(self.node, key).as_slice()).map_err(EngineError::index)?;
        row.map(|value| tables::object_row(*key, value.value())).transpose()
    }

    /// Those of these objects that are there.
    pub(crate) fn objects(&self, keys: &[ObjectKey]) -> Result<Vec<ObjectRow>, EngineError> {
        let table = self.read.open_table(tables::OBJECTS).map_err(EngineError::index)?;
        let mut rows = Vec::new();
        for key in keys {
            let row = table.get(tables::object_key(self.node, key).as_slice()).map_err(EngineError::index)?;
            rows.extend(row.map(|value| tables::object_row(*key, value.value())).transpose()?);
        }
        Ok(rows)
    }

    /// The rows from `start` (a full key) to `end`.
    fn rows<'v>(
        &'v self,
        start: &[u8],
        end: &[u8],
    ) -> Result<impl Iterator<Item = Result<ObjectRow, EngineError>> + use<'v, 'a>, EngineError> {
        let table = self.read.open_table(tables::OBJECTS).map_err(EngineError::index)?;
        let rows = table.range::<&[u8]>(start..end).map_err(EngineError::index)?;
        Ok(rows.map(|row| {
            let (key, value) = row.map_err(EngineError::index)?;
            tables::object_row(tables::object_in_key(self.node, key.value())?, value.value())
        }))
    }

    /// All objects of one kind.
    pub(crate) fn kind(&self, kind: ObjectKind) -> Result<Vec<ObjectRow>, EngineError> {
        let kind = kind as u8;
        self.rows(&tables::kind_key(self.node, kind), &tables::kind_key(self.node, kind + 1))?.collect()
    }

    pub(crate) fn page(&self, after: Option<&ObjectKey>, limit: usize, with_locks: bool) -> Result<Page, EngineError> {
        let record = self.record()?;
        let total = record.total(with_locks);
        let mut page =
            Page { seq: record.seq, objects_total: total.objects, bytes_total: total.bytes, ..Page::default() };
        // The first key after `after` is that key and a zero byte.
        let start = after.map_or_else(
            || tables::node_key(self.node),
            |key| {
                let mut start = tables::object_key(self.node, key);
                start.push(0);
                start
            },
        );
        // Locks are the last kind.
        let end = match with_locks {
            true => tables::node_end(self.node),
            false => tables::kind_key(self.node, ObjectKind::Locks as u8),
        };
        if start >= end {
            return Ok(page);
        }
        for row in self.rows(&start, &end)? {
            if page.objects.len() >= limit {
                page.more = true;
                break;
            }
            page.objects.push(row?.record);
        }
        Ok(page)
    }

    pub(crate) fn changes(&self, after_seq: u64, limit: usize) -> Result<(Vec<Change>, u64), EngineError> {
        let last = self.record()?.seq;
        let table = self.read.open_table(tables::JOURNAL).map_err(EngineError::index)?;
        let start = tables::journal_key(self.node, after_seq.saturating_add(1));
        let end = tables::node_end(self.node);
        let rows = table.range::<&[u8]>(start.as_slice()..end.as_slice()).map_err(EngineError::index)?;
        let mut changes = Vec::new();
        for row in rows.take(limit) {
            let (key, value) = row.map_err(EngineError::index)?;
            changes.push(tables::journal_change(key.value(), value.value())?);
        }
        Ok((changes, last))
    }

    /// Files that a delete may have left on disk, with the delete's seq.
    pub(crate) fn unlinks(&self) -> Result<Vec<(ObjectKey, u64)>, EngineError> {
        let table = self.read.open_table(tables::UNLINKS).map_err(EngineError::index)?;
        let (start, end) = (tables::node_key(self.node), tables::node_end(self.node));
        let mut files = Vec::new();
        for row in table.range::<&[u8]>(start.as_slice()..end.as_slice()).map_err(EngineError::index)? {
            let (key, value) = row.map_err(EngineError::index)?;
            files.push((tables::object_in_key(self.node, key.value())?, tables::number(value.value(), 0)?));
        }
        Ok(files)
    }

    pub(crate) fn sessions(&self) -> Result<Vec<super::record::SessionRecord>, EngineError> {
        let table = self.read.open_table(tables::SESSIONS).map_err(EngineError::index)?;
        let (start, end) = (tables::node_key(self.node), tables::node_end(self.node));
        let mut sessions = Vec::new();
        for row in table.range::<&[u8]>(start.as_slice()..end.as_slice()).map_err(EngineError::index)? {
            let (_, value) = row.map_err(EngineError::index)?;
            let session = serde_json::from_slice(value.value());
            sessions.push(session.map_err(|error| EngineError::Record(error.to_string()))?);
        }
        Ok(sessions)
    }
}

/// The objects of the one node, as the index has them.
impl Records for View<'_> {
    type Error = EngineError;

    fn under(&self, prefix: &Prefix) -> Result<impl Iterator<Item = Result<ObjectRecord, EngineError>>, EngineError> {
        let start = tables::object_key(self.node, &prefix.first());
        // The first key after the last one is that one and a zero byte.
        let mut end = tables::object_key(self.node, &prefix.last());
        end.push(0);
        Ok(self.rows(&start, &end)?.map(|row| row.map(|row| row.record)))
    }
}
