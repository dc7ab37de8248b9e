//! Memory of all transfers of a shard: bounded, and used again. Fresh memory costs the kernel as much time as the bytes in it cost to
//! decrypt.

use super::batch::{BATCH_BYTES_MAX, SMALL_BYTES_MAX, Transfer};
use bytes::BytesMut;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all transfers from all sources may take at the same time, in MiB: three groups of small objects, some on their way, others
/// being stored; or four large ones; or a small delta each of 12 nodes.
const ALL_MIB_MAX: usize = 12;

/// What a group of small objects is read into.
#[expect(clippy::cast_possible_truncation, reason = "a few MiB")]
const PIECE_BYTES: usize = BATCH_BYTES_MAX as usize;

/// The memory of a shard.
#[derive(Debug)]
pub(crate) struct Memory {
    permits: Arc<Semaphore>,
    /// No more of them than transfers that take one have permits at the same time.
    spare: Mutex<Vec<BytesMut>>,
}

/// What one transfer has of it.
pub(crate) struct Share {
    memory: Arc<Memory>,
    /// Empty; room for all small objects of the transfer, one after the other.
    pub(crate) room: BytesMut,
    _permit: OwnedSemaphorePermit,
}

impl Memory {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { permits: Arc::new(Semaphore::new(ALL_MIB_MAX)), spare: Mutex::default() })
    }

    /// Waits for the memory that a transfer takes. `None` never comes: the permits are not taken away.
    pub(crate) async fn share(self: &Arc<Self>, transfer: &Transfer) -> Option<Share> {
        let permit = Arc::clone(&self.permits).acquire_many_owned(transfer.weight()).await.ok()?;
        let room = match transfer {
            Transfer::Alone(_) => BytesMut::new(),
            Transfer::Together(records) => self.room(records.iter().map(|record| record.size).sum()),
        };
        Some(Share { memory: Arc::clone(self), room, _permit: permit })
    }

    fn room(&self, bytes: u64) -> BytesMut {
        if bytes <= SMALL_BYTES_MAX {
            return BytesMut::with_capacity(usize::try_from(bytes).unwrap_or(0));
        }
        self.lock().pop().unwrap_or_else(|| BytesMut::with_capacity(PIECE_BYTES))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        // Entries are put in and taken out whole.
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut room = std::mem::take(&mut self.room);
        room.clear();
        // What a small delta has taken is too small for others, and a piece in which an object is held is lost to them.
        if room.try_reclaim(PIECE_BYTES) {
            self.memory.lock().push(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_model::{ObjectKey, ObjectKind, ObjectRecord, Sha256};

    fn together(sizes: &[u64]) -> Transfer {
        let record = |size: &u64| {
            let sha256 = Sha256([u8::try_from(size % 251).unwrap(); 32]);
            ObjectRecord { key: ObjectKey::Named(ObjectKind::Data, sha256), size: *size, sha256 }
        };
        Transfer::Together(sizes.iter().map(record).collect())
    }

    #[tokio::test]
    async fn a_piece_is_used_again_once_nobody_holds_an_object_in_it() {
        let memory = Memory::new();
        let mut share = memory.share(&together(&[(1 << 20) + 1])).await.unwrap();
        share.room.resize(1000, 7);
        let object = share.room.split().freeze();
        let place = object.as_ptr();
        drop(share);
        assert!(memory.lock().is_empty(), "an object is still in it");
        drop(object);

        let mut share = memory.share(&together(&[(1 << 20) + 1])).await.unwrap();
        share.room.resize(1000, 8);
        let object = share.room.split().freeze();
        let place_2 = object.as_ptr();
        drop(object);
        drop(share);
        assert_eq!(memory.lock().len(), 1);
        let mut share = memory.share(&together(&[2 << 20])).await.unwrap();
        share.room.resize(1, 0);
        assert_eq!(share.room.as_ptr(), place_2, "the same piece (the first was at {place:?})");
    }

    #[tokio::test]
    async fn no_more_is_given_than_there_is() {
        let memory = Memory::new();
        let mut shares = Vec::new();
        let all = ALL_MIB_MAX / 4;
        for _ in 0..all {
            shares.push(memory.share(&together(&[BATCH_BYTES_MAX])).await.unwrap());
        }
        let small = together(&[10]);
        let one_more = memory.share(&small);
        tokio::pin!(one_more);
        assert!(futures::poll!(&mut one_more).is_pending());
        shares.pop();
        let small = one_more.await.unwrap();
        assert!(small.room.capacity() < 1000);
        drop((small, shares));
        assert_eq!(memory.lock().len(), all, "one for each that was under way at the same time");
    }
}
