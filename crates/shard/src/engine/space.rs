//! Promises of space: a byte is promised before it is written, against the node's quota, the shard's capacity and the disk.
//!
//! A promise is a value; it is given back when the value goes away, on every path. The disk keeps a reserve that no upload
//! gets, so that the index can still record what happened, deletes above all.

use super::error::{EngineError, PutError};
use super::nodes::{NodeCell, Nodes};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Left on the disk for the index.
pub const DISK_RESERVE_BYTES: u64 = 16 * 1024 * 1024;

/// Promises of the whole shard.
#[derive(Debug)]
pub(crate) struct Space {
    data: PathBuf,
    nodes: Arc<Nodes>,
    capacity: Option<u64>,
    default_quota: Option<u64>,
    /// Promised and not recorded yet; held while a promise is made, so that two cannot take the same byte.
    promised: Mutex<u64>,
    /// Of those, bytes that are on the disk already.
    written: AtomicU64,
}

impl Space {
    pub(crate) fn new(data: PathBuf, nodes: Arc<Nodes>, capacity: Option<u64>, default_quota: Option<u64>) -> Self {
        Self { data, nodes, capacity, default_quota, promised: Mutex::new(0), written: AtomicU64::new(0) }
    }

    /// Total and free bytes of the disk, the reserve taken off.
    fn disk(&self) -> Result<(u64, u64), EngineError> {
        let stat = rustix::fs::statvfs(&self.data).map_err(std::io::Error::from);
        let stat = stat.map_err(EngineError::io("measure", &self.data))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok((bytes(stat.f_blocks), bytes(stat.f_bavail).saturating_sub(DISK_RESERVE_BYTES)))
    }

    /// Capacity and what can still be taken.
    pub(crate) fn usage(&self) -> Result<(u64, u64), EngineError> {
        let (total, free) = self.disk()?;
        let used = self.nodes.used.load(Ordering::SeqCst);
        let capacity = self.capacity.unwrap_or(total);
        Ok((capacity, free.min(self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(used)))))
    }

    /// The quota that holds for a node.
    pub(crate) fn quota(&self, cell: &NodeCell) -> Option<u64> {
        cell.record().settings.quota.map(|quota| quota.0).or(self.default_quota)
    }

    fn promise(&self, cell: &NodeCell, bytes: u64, against_quota: bool) -> Result<(), PutError> {
        let mut promised = super::nodes::lock(&self.promised);
        if against_quota && let Some(quota) = self.quota(cell) {
            let held = cell.record().total(true).bytes.saturating_add(cell.reserved.load(Ordering::SeqCst));
            if held.saturating_add(bytes) > quota {
                return Err(PutError::QuotaExceeded);
            }
        }
        if let Some(capacity) = self.capacity {
            let held = self.nodes.used.load(Ordering::SeqCst).saturating_add(*promised);
            if held.saturating_add(bytes) > capacity {
                return Err(PutError::DiskFull);
            }
        }
        let (_, free) = self.disk()?;
        let outstanding = promised.saturating_sub(self.written.load(Ordering::SeqCst));
        if outstanding.saturating_add(bytes) > free {
            return Err(PutError::DiskFull);
        }
        *promised += bytes;
        cell.reserved.fetch_add(bytes, Ordering::SeqCst);
        Ok(())
    }

    /// Promised bytes that are not recorded yet.
    #[cfg(test)]
    pub(crate) fn promised(&self) -> (u64, u64) {
        (*super::nodes::lock(&self.promised), self.written.load(Ordering::SeqCst))
    }
}

/// A promise of space for one object.
#[derive(Debug)]
pub(crate) struct Promise {
    space: Arc<Space>,
    cell: Arc<NodeCell>,
    against_quota: bool,
    bytes: u64,
    written: u64,
    /// Bytes that replace bytes already counted: they need no promise.
    granted: u64,
}

impl Promise {
    /// For a body that replaces `granted` recorded bytes, if any.
    pub(crate) const fn new(space: Arc<Space>, cell: Arc<NodeCell>, against_quota: bool, granted: u64) -> Self {
        Self { space, cell, against_quota, bytes: 0, written: 0, granted }
    }

    /// Makes sure that a body of `total` bytes is covered.
    pub(crate) fn cover(&mut self, total: u64) -> Result<(), PutError> {
        let needed = total.saturating_sub(self.granted).saturating_sub(self.bytes);
        if needed > 0 {
            self.space.promise(&self.cell, needed, self.against_quota)?;
            self.bytes += needed;
        }
        Ok(())
    }

    /// Bytes that went to the disk.
    pub(crate) fn wrote(&mut self, bytes: u64) {
        let counted = bytes.min(self.bytes - self.written);
        self.written += counted;
        self.space.written.fetch_add(counted, Ordering::SeqCst);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let mut promised = super::nodes::lock(&self.space.promised);
        *promised -= self.bytes;
        self.space.written.fetch_sub(self.written, Ordering::SeqCst);
        self.cell.reserved.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}
