//! A node's digest: a tree of hashes over (kind, name, size, sha256), bucketed by kind and first byte of the name.
//!
//! Equal roots mean equal sets of objects with equal bytes; the buckets that differ say where two copies differ.
//! Any order of insertion gives the same root.

use crate::object::{ObjectKey, ObjectKind, ObjectRecord, Sha256};
use sha2::Digest as _;
use std::collections::BTreeMap;

/// A bucket: the number of a kind and the first byte of a name.
pub type Bucket = (u8, u8);

/// Collects records and folds them into a root.
#[derive(Debug, Default)]
pub struct DigestBuilder {
    buckets: BTreeMap<Bucket, Vec<ObjectRecord>>,
}

/// The digest of a set of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Hash over all buckets.
    pub root: Sha256,
    /// Hash of every bucket that is not empty.
    pub buckets: BTreeMap<Bucket, Sha256>,
    /// Number of objects.
    pub objects: u64,
    /// Sum of their sizes.
    pub bytes: u64,
    /// How many do not match their name.
    pub damaged: u64,
}

/// The bucket an object belongs to.
#[must_use]
pub fn bucket_of(key: &ObjectKey) -> Bucket {
    match key {
        ObjectKey::Config => (ObjectKind::Config as u8, 0),
        ObjectKey::Named(kind, hash) => (*kind as u8, hash.0[0]),
    }
}

impl DigestBuilder {
    /// Adds one object. Adding the same key twice gives a digest that no set of objects has.
    pub fn add(&mut self, record: ObjectRecord) {
        self.buckets.entry(bucket_of(&record.key)).or_default().push(record);
    }

    /// The digest of all that was added.
    #[must_use]
    pub fn finish(self) -> Digest {
        let mut digest = Digest { root: Sha256([0; 32]), buckets: BTreeMap::new(), objects: 0, bytes: 0, damaged: 0 };
        let mut root = sha2::Sha256::new();
        for (bucket, mut records) in self.buckets {
            records.sort_unstable();
            let mut hash = sha2::Sha256::new();
            for record in &records {
                hash.update(leaf(record));
                digest.objects += 1;
                digest.bytes = digest.bytes.saturating_add(record.size);
                digest.damaged += u64::from(record.is_damaged());
            }
            let hash = Sha256(hash.finalize().into());
            root.update([bucket.0, bucket.1]);
            root.update(hash.0);
            digest.buckets.insert(bucket, hash);
        }
        digest.root = Sha256(root.finalize().into());
        digest
    }
}

/// Fixed-width, so that no two records share an encoding.
fn leaf(record: &ObjectRecord) -> [u8; 73] {
    let mut leaf = [0; 73];
    leaf[0] = record.key.kind() as u8;
    if let ObjectKey::Named(_, name) = record.key {
        leaf[1..33].copy_from_slice(&name.0);
    }
    leaf[33..41].copy_from_slice(&record.size.to_be_bytes());
    leaf[41..73].copy_from_slice(&record.sha256.0);
    leaf
}

impl FromIterator<ObjectRecord> for Digest {
    fn from_iter<I: IntoIterator<Item = ObjectRecord>>(records: I) -> Self {
        let mut builder = DigestBuilder::default();
        records.into_iter().for_each(|record| builder.add(record));
        builder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> impl Strategy<Value = ObjectRecord> {
        (2_u8..=6, any::<[u8; 32]>(), any::<u32>(), any::<bool>()).prop_map(|(kind, name, size, rotten)| {
            let kind = ObjectKind::from_number(kind).unwrap();
            let sha256 = if rotten { Sha256([0; 32]) } else { Sha256(name) };
            ObjectRecord { key: ObjectKey::Named(kind, Sha256(name)), size: size.into(), sha256 }
        })
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter(mut records in proptest::collection::vec(record(), 0..40), seed in any::<u64>()) {
            let before: Digest = records.iter().copied().collect();
            let turn = if records.is_empty() { 0 } else { usize::try_from(seed % records.len() as u64).unwrap() };
            records.rotate_left(turn);
            records.reverse();
            let after: Digest = records.into_iter().collect();
            prop_assert_eq!(before, after);
        }

        #[test]
        fn any_change_shows_in_the_root_and_in_its_bucket(
            records in proptest::collection::btree_set(record(), 1..40), which in any::<prop::sample::Index>(), change in 0..3,
        ) {
            let records: Vec<_> = records.into_iter().collect();
            let before: Digest = records.iter().copied().collect();
            let mut changed = records.clone();
            let at = which.index(changed.len());
            let bucket = bucket_of(&changed[at].key);
            match change {
                0 => { changed.remove(at); }
                1 => changed[at].size += 1,
                _ => changed[at].sha256.0[31] ^= 1,
            }
            let after: Digest = changed.into_iter().collect();
            prop_assert_ne!(before.root, after.root);
            prop_assert_ne!(before.buckets.get(&bucket), after.buckets.get(&bucket));
            let differing = before.buckets.iter().filter(|(b, h)| after.buckets.get(b) != Some(h)).count();
            prop_assert_eq!(differing, 1);
        }
    }
}
