//! Cutting a list of wanted objects into transfers. Pure.
//!
//! Small objects travel together and become durable together; a large one travels alone.

use shardlift_model::ObjectRecord;

/// From this size on an object travels alone.
pub(crate) const LARGE_BYTES: u64 = 128 * 1024;

/// Most objects of one transfer: enough for what it costs to make them durable, and few enough for some transfers side by side where
/// there are not many.
pub(crate) const BATCH_OBJECTS_MAX: usize = 1000;

/// Most bytes of one transfer of small objects.
pub(crate) const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Up to so many bytes a transfer takes as much memory as it needs, beyond it a whole piece of [`BATCH_BYTES_MAX`].
pub(crate) const SMALL_BYTES_MAX: u64 = 1024 * 1024;

/// What a large object takes of [`Transfer::weight`]: it is written as it comes, a block ahead of the network.
const LARGE_WEIGHT: u32 = 3;

/// The same for a group of small ones that takes a piece.
const PIECE_WEIGHT: u32 = (BATCH_BYTES_MAX >> 20) as u32;

/// One transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// Objects that fit into memory together.
    Together(Vec<ObjectRecord>),
    /// One that does not.
    Alone(ObjectRecord),
}

impl Transfer {
    /// Memory that it takes at most, in MiB, begun ones counted whole. Many small deltas weigh little and may be under way side by
    /// side: what they wait for is the disk's fsync, which they share.
    pub(crate) fn weight(&self) -> u32 {
        match self {
            Self::Alone(_) => LARGE_WEIGHT,
            Self::Together(records) => {
                let bytes: u64 = records.iter().map(|record| record.size).sum();
                if bytes <= SMALL_BYTES_MAX { 1 } else { PIECE_WEIGHT }
            }
        }
    }
}

/// Cuts a list, in order.
pub(crate) fn transfers(wanted: impl IntoIterator<Item = ObjectRecord>) -> Vec<Transfer> {
    let mut transfers = Vec::new();
    let mut together = Vec::new();
    let mut bytes = 0;
    for record in wanted {
        if record.size >= LARGE_BYTES {
            transfers.push(Transfer::Alone(record));
            continue;
        }
        if together.len() == BATCH_OBJECTS_MAX || bytes + record.size > BATCH_BYTES_MAX {
            transfers.push(Transfer::Together(std::mem::take(&mut together)));
            bytes = 0;
        }
        bytes += record.size;
        together.push(record);
    }
    if !together.is_empty() {
        transfers.push(Transfer::Together(together));
    }
    transfers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shardlift_model::{ObjectKey, ObjectKind, Sha256};

    proptest! {
        #[test]
        fn every_object_travels_once_and_no_transfer_is_over_its_bounds(
            sizes in proptest::collection::vec(prop_oneof![0_u64..200, 0..LARGE_BYTES * 2], 0..900),
        ) {
            let wanted: Vec<ObjectRecord> = sizes.iter().enumerate().map(|(at, size)| {
                let mut hash = [0; 32];
                hash[..8].copy_from_slice(&(at as u64).to_be_bytes());
                let key = ObjectKey::Named(ObjectKind::Data, Sha256(hash));
                ObjectRecord { key, size: *size, sha256: Sha256(hash) }
            }).collect();
            let mut travelled = Vec::new();
            for transfer in transfers(wanted.iter().copied()) {
                prop_assert!((1..=4).contains(&transfer.weight()), "{}", transfer.weight());
                match transfer {
                    Transfer::Alone(record) => {
                        prop_assert!(record.size >= LARGE_BYTES);
                        travelled.push(record);
                    }
                    Transfer::Together(records) => {
                        prop_assert!(!records.is_empty() && records.len() <= BATCH_OBJECTS_MAX);
                        prop_assert!(records.iter().map(|record| record.size).sum::<u64>() <= BATCH_BYTES_MAX);
                        travelled.extend(records);
                    }
                }
            }
            travelled.sort_unstable();
            let mut wanted = wanted;
            wanted.sort_unstable();
            prop_assert_eq!(travelled, wanted);
        }
    }
}
