//! The index's tables and the encoding of their keys and values.
//!
//! Every key starts with the node's name and a zero byte, which no name contains: one node's rows are one range and never
//! mix with those of a node whose name is a prefix. Numbers are big-endian, so that their order is the order of the rows.

use super::error::EngineError;
use redb::TableDefinition;
use shardlift_model::{NodeId, ObjectKey, ObjectKind, ObjectRecord, Sha256, UnixMillis};

type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// node -> [`super::record::NodeRecord`].
pub(crate) const NODES: Table = Table::new("nodes");
/// (node, kind, name) -> size, hash, time.
pub(crate) const OBJECTS: Table = Table::new("objects");
/// (node, seq) -> change.
pub(crate) const JOURNAL: Table = Table::new("journal");
/// (node, kind, name) -> seq of a delete whose file may still be on disk.
pub(crate) const UNLINKS: Table = Table::new("unlinks");
/// (node, start, end) -> [`super::record::SessionRecord`].
pub(crate) const SESSIONS: Table = Table::new("sessions");
/// (node, issuer, serial) -> first and last time.
pub(crate) const CERTIFICATES: Table = Table::new("certificates");
/// node -> [`shardlift_model::Activity`].
pub(crate) const ACTIVITY: Table = Table::new("activity");
/// What the index says about itself.
pub(crate) const META: Table = Table::new("meta");

/// All tables, made when the index is created.
pub(crate) const ALL: [Table; 8] = [NODES, OBJECTS, JOURNAL, UNLINKS, SESSIONS, CERTIFICATES, ACTIVITY, META];

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// It is there now, with these bytes.
    Put(ObjectRecord),
    /// It is gone.
    Delete(ObjectKey),
}

impl Op {
    /// Which object.
    #[must_use]
    pub const fn key(&self) -> ObjectKey {
        match self {
            Self::Put(record) => record.key,
            Self::Delete(key) => *key,
        }
    }
}

/// One row of a node's change journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// 1, 2, 3 ... without gaps.
    pub seq: u64,
    /// When it was recorded.
    pub at: UnixMillis,
    /// What.
    pub op: Op,
}

/// An object's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectRow {
    pub(crate) record: ObjectRecord,
    pub(crate) at: UnixMillis,
}

pub(crate) fn node_key(node: &NodeId) -> Vec<u8> {
    let mut key = Vec::with_capacity(node.as_str().len() + 41);
    key.extend_from_slice(node.as_str().as_bytes());
    key.push(0);
    key
}

/// The node of a row that has one alone.
pub(crate) fn node_in_key(key: &[u8]) -> Result<NodeId, EngineError> {
    let text = key.split_last().and_then(|(_, text)| std::str::from_utf8(text).ok());
    text.and_then(|text| text.parse().ok()).ok_or_else(|| EngineError::Record("a node's name".to_owned()))
}

/// First key after all rows of a node.
pub(crate) fn node_end(node: &NodeId) -> Vec<u8> {
    let mut key = node.as_str().as_bytes().to_vec();
    key.push(1);
    key
}

fn object_bytes(key: &ObjectKey) -> [u8; 33] {
    let mut bytes = [0; 33];
    bytes[0] = key.kind() as u8;
    if let ObjectKey::Named(_, name) = key {
        bytes[1..].copy_from_slice(&name.0);
    }
    bytes
}

fn object_from(bytes: &[u8]) -> Result<ObjectKey, EngineError> {
    let broken = || EngineError::Record("an object key".to_owned());
    let (kind, name) = bytes.split_first().ok_or_else(broken)?;
    let name: [u8; 32] = name.try_into().map_err(|_| broken())?;
    match ObjectKind::from_number(*kind).ok_or_else(broken)? {
        ObjectKind::Config => Ok(ObjectKey::Config),
        kind => Ok(ObjectKey::Named(kind, Sha256(name))),
    }
}

pub(crate) fn object_key(node: &NodeId, key: &ObjectKey) -> Vec<u8> {
    let mut row = node_key(node);
    row.extend_from_slice(&object_bytes(key));
    row
}

/// First key of a kind; the next kind's is the end.
pub(crate) fn kind_key(node: &NodeId, kind: u8) -> Vec<u8> {
    let mut row = node_key(node);
    row.push(kind);
    row
}

/// The object in a row's key.
pub(crate) fn object_in_key(node: &NodeId, row: &[u8]) -> Result<ObjectKey, EngineError> {
    object_from(row.get(node.as_str().len() + 1..).unwrap_or_default())
}

pub(crate) fn object_value(row: &ObjectRow) -> [u8; 48] {
    let mut value = [0; 48];
    value[..8].copy_from_slice(&row.record.size.to_be_bytes());
    value[8..40].copy_from_slice(&row.record.sha256.0);
    value[40..].copy_from_slice(&row.at.0.to_be_bytes());
    value
}

pub(crate) fn object_row(key: ObjectKey, value: &[u8]) -> Result<ObjectRow, EngineError> {
    let sha256 = value.get(8..40).and_then(|hash| hash.try_into().ok());
    let sha256 = Sha256(sha256.ok_or_else(|| EngineError::Record("an object".to_owned()))?);
    let record = ObjectRecord { key, size: number(value, 0)?, sha256 };
    Ok(ObjectRow { record, at: UnixMillis(number(value, 40)?) })
}

pub(crate) fn journal_key(node: &NodeId, seq: u64) -> Vec<u8> {
    let mut key = node_key(node);
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

pub(crate) fn journal_value(at: UnixMillis, op: &Op) -> Vec<u8> {
    let mut value = vec![u8::from(matches!(op, Op::Delete(_)))];
    value.extend_from_slice(&at.0.to_be_bytes());
    value.extend_from_slice(&object_bytes(&op.key()));
    if let Op::Put(record) = op {
        value.extend_from_slice(&record.size.to_be_bytes());
        value.extend_from_slice(&record.sha256.0);
    }
    value
}

pub(crate) fn journal_change(key: &[u8], value: &[u8]) -> Result<Change, EngineError> {
    let broken = || EngineError::Record("a change".to_owned());
    let seq = number(key, key.len().checked_sub(8).ok_or_else(broken)?)?;
    let at = UnixMillis(number(value, 1)?);
    let object = object_from(value.get(9..42).ok_or_else(broken)?)?;
    let op = match value.first() {
        Some(1) => Op::Delete(object),
        Some(0) => {
            let sha256 = value.get(50..82).and_then(|hash| hash.try_into().ok()).ok_or_else(broken)?;
            Op::Put(ObjectRecord { key: object, size: number(value, 42)?, sha256: Sha256(sha256) })
        }
        _ => return Err(broken()),
    };
    Ok(Change { seq, at, op })
}

pub(crate) fn session_key(node: &NodeId, started: UnixMillis, ended: UnixMillis) -> Vec<u8> {
    let mut key = node_key(node);
    key.extend_from_slice(&started.0.to_be_bytes());
    key.extend_from_slice(&ended.0.to_be_bytes());
    key
}

pub(crate) fn certificate_key(node: &NodeId, issuer: &str, serial: &str) -> Vec<u8> {
    let mut key = node_key(node);
    key.extend_from_slice(issuer.as_bytes());
    key.push(0);
    key.extend_from_slice(serial.as_bytes());
    key
}

/// Issuer and serial in a row's key.
pub(crate) fn certificate_in_key(node: &NodeId, key: &[u8]) -> Result<(String, String), EngineError> {
    let broken = || EngineError::Record("a certificate key".to_owned());
    let text = key.get(node.as_str().len() + 1..).ok_or_else(broken)?;
    let (issuer, serial) = std::str::from_utf8(text).ok().and_then(|text| text.split_once('\0')).ok_or_else(broken)?;
    Ok((issuer.to_owned(), serial.to_owned()))
}

pub(crate) fn number(bytes: &[u8], at: usize) -> Result<u64, EngineError> {
    let eight = bytes.get(at..at.saturating_add(8)).and_then(|part| part.try_into().ok());
    eight.map(u64::from_be_bytes).ok_or_else(|| EngineError::Record("a number".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_node_do_not_mix_with_those_of_a_longer_name() {
        let [short, long]: [NodeId; 2] = ["web".parse().unwrap(), "web-1".parse().unwrap()];
        for key in [node_key(&long), object_key(&long, &ObjectKey::Config), journal_key(&long, 1)] {
            assert!(!(node_key(&short)..node_end(&short)).contains(&key));
            assert!((node_key(&long)..node_end(&long)).contains(&key));
        }
    }

    #[test]
    fn changes_and_objects_survive_their_encoding() {
        let node: NodeId = "a/b".parse().unwrap();
        let named = ObjectKey::Named(ObjectKind::Locks, Sha256([7; 32]));
        for key in [ObjectKey::Config, named] {
            let record = ObjectRecord { key, size: 77, sha256: Sha256([9; 32]) };
            for op in [Op::Put(record), Op::Delete(key)] {
                let change = Change { seq: 300, at: UnixMillis(5), op };
                let read = journal_change(&journal_key(&node, 300), &journal_value(change.at, &op));
                assert_eq!(read.unwrap(), change);
            }
            let row = ObjectRow { record, at: UnixMillis(8) };
            assert_eq!(object_row(key, &object_value(&row)).unwrap(), row);
            assert_eq!(object_in_key(&node, &object_key(&node, &key)).unwrap(), key);
        }
        assert!(journal_change(&[], &[0; 82]).is_err() && journal_change(&[0; 9], &[2; 82]).is_err());
    }
}
