//! A node's digest: the root of a tree of hashes over (kind, name, size, sha256).
//!
//! Equal roots mean equal sets of objects with equal bytes; the tree says where two copies differ. Any order in which the objects
//! came gives the same root.

mod prefix;
mod tree;

pub use prefix::{DIGITS_MAX, Prefix};
pub use tree::{DigestTree, LEAF_MAX, Part, Records, Summary};

use crate::object::{ObjectKey, ObjectRecord, Sha256};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// The digest of a set of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// Hash over all of them.
    pub root: Sha256,
    /// Number of objects.
    pub objects: u64,
    /// Sum of their sizes.
    pub bytes: u64,
    /// How many do not match their name.
    pub damaged: u64,
}

/// A set of objects in memory.
impl Records for BTreeMap<ObjectKey, ObjectRecord> {
    type Error = Infallible;

    fn under(&self, prefix: &Prefix) -> Result<impl Iterator<Item = Result<ObjectRecord, Infallible>>, Infallible> {
        Ok(self.range(prefix.first()..=prefix.last()).map(|(_, record)| Ok(*record)))
    }
}

impl FromIterator<ObjectRecord> for Digest {
    fn from_iter<I: IntoIterator<Item = ObjectRecord>>(records: I) -> Self {
        let set: BTreeMap<ObjectKey, ObjectRecord> = records.into_iter().map(|record| (record.key, record)).collect();
        let Ok(tree) = DigestTree::build(&set);
        tree.digest(true)
    }
}
