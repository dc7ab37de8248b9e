//! What is in memory about the nodes: the published copy of each record, its seq, its locks, its gate.
//!
//! The writer thread publishes a record only after the transaction that wrote it is durable, so that nothing read here can
//! be taken back by a crash.

use super::activity::Kept;
use super::deep_verify::Run;
use super::record::{DeepVerifyState, NodeRecord, SeenCertificate};
use crate::admission::gate::Gate;
use shardlift_model::{NodeId, ObjectKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::{OwnedMutexGuard, watch};

/// Locks that put and delete of one object take; a few objects share one.
const STRIPES: usize = 64;

/// Locks a std mutex. A panic elsewhere does not make plain values inconsistent here: each update is one assignment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One node in memory.
#[derive(Debug)]
pub(crate) struct NodeCell {
    pub(crate) id: NodeId,
    record: RwLock<Arc<NodeRecord>>,
    pub(crate) seq: watch::Sender<u64>,
    stripes: Vec<Arc<tokio::sync::Mutex<()>>>,
    /// Sections that change the node and go on even when their caller is gone.
    pub(crate) critical: watch::Sender<u64>,
    /// Such a section has failed: index and folder may differ until they are compared at a start.
    pub(crate) doubtful: AtomicBool,
    /// Bytes promised to uploads that are not recorded yet.
    pub(crate) reserved: AtomicU64,
    pub(crate) missing: Mutex<BTreeSet<ObjectKey>>,
    pub(crate) rotten: Mutex<BTreeSet<ObjectKey>>,
    pub(crate) certificates: Mutex<BTreeMap<(String, String), SeenCertificate>>,
    pub(crate) gate: Gate,
    pub(crate) activity: Mutex<Kept>,
    /// The run that is under way.
    pub(crate) reading: Mutex<Option<Arc<Run>>>,
}

/// Counts as long as it lives. Leaves a doubt unless it has ended well.
#[derive(Debug)]
pub(crate) struct Critical {
    cell: Arc<NodeCell>,
    ended_well: bool,
}

impl Critical {
    /// Ends the section with this outcome.
    pub(crate) fn end<T, E>(mut self, outcome: Result<T, E>) -> Result<T, E> {
        self.ended_well = outcome.is_ok();
        outcome
    }
}

impl Drop for Critical {
    fn drop(&mut self) {
        if !self.ended_well {
            self.cell.doubtful.store(true, Ordering::SeqCst);
        }
        self.cell.critical.send_modify(|count| *count -= 1);
    }
}

impl NodeCell {
    pub(crate) fn new(id: NodeId, record: NodeRecord) -> Self {
        Self {
            id,
            seq: watch::Sender::new(record.seq),
            stripes: (0..STRIPES).map(|_| Arc::default()).collect(),
            critical: watch::Sender::new(0),
            doubtful: AtomicBool::new(false),
            reserved: AtomicU64::new(0),
            missing: Mutex::default(),
            rotten: Mutex::default(),
            certificates: Mutex::default(),
            gate: Gate::new(&record),
            activity: Mutex::default(),
            reading: Mutex::default(),
            record: RwLock::new(Arc::new(record)),
        }
    }

    pub(crate) fn record(&self) -> Arc<NodeRecord> {
        Arc::clone(&self.record.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn stripe(key: &ObjectKey) -> usize {
        match key {
            ObjectKey::Config => 0,
            ObjectKey::Named(_, name) => usize::from(name.0[0]) % STRIPES,
        }
    }

    /// Waits until nobody else changes this object.
    pub(crate) async fn lock_object(&self, key: &ObjectKey) -> OwnedMutexGuard<()> {
        Arc::clone(&self.stripes[Self::stripe(key)]).lock_owned().await
    }

    /// Waits until nobody else changes any of these objects. Always taken in the same order, so that two cannot block each other.
    pub(crate) async fn lock_objects(&self, keys: impl Iterator<Item = ObjectKey>) -> Vec<OwnedMutexGuard<()>> {
        let stripes: BTreeSet<usize> = keys.map(|key| Self::stripe(&key)).collect();
        let mut guards = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            guards.push(Arc::clone(&self.stripes[stripe]).lock_owned().await);
        }
        guards
    }

    /// Enters a section that a fence has to wait for.
    pub(crate) fn enter_critical(self: &Arc<Self>) -> Critical {
        self.critical.send_modify(|count| *count += 1);
        Critical { cell: Arc::clone(self), ended_well: false }
    }

    /// Opens or closes the gate as the published record says.
    pub(crate) fn follow_mode(&self) {
        self.gate.follow(|| self.record());
    }

    /// The run under way as it is now, or the last one as it was recorded.
    pub(crate) fn deep_verify(&self) -> Option<DeepVerifyState> {
        let under_way = lock(&self.reading).as_ref().map(|run| run.state());
        let recorded = self.record().deep_verify.clone();
        // A copy that was discarded has forgotten what was read of it.
        let under_way = under_way.filter(|run| recorded.as_ref().is_some_and(|kept| kept.id() == run.record.id()));
        under_way.or_else(|| {
            let waiting_for = "the shard to go on with it".to_owned();
            recorded.map(|record| DeepVerifyState {
                waiting_for: if record.ended_at.is_some() { String::new() } else { waiting_for },
                bytes_per_second: 0,
                record,
            })
        })
    }

    pub(crate) fn alarms(&self) -> u64 {
        (lock(&self.missing).len() + lock(&self.rotten).len()) as u64
    }
}

/// All nodes in memory.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    cells: RwLock<BTreeMap<NodeId, Arc<NodeCell>>>,
    /// Bytes of all nodes together.
    pub(crate) used: AtomicU64,
}

impl Nodes {
    pub(crate) fn get(&self, node: &NodeId) -> Option<Arc<NodeCell>> {
        self.cells.read().unwrap_or_else(PoisonError::into_inner).get(node).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<NodeCell>> {
        self.cells.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.cells.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Nodes after `after` in the order of their names.
    pub(crate) fn after(&self, after: Option<&NodeId>, limit: usize) -> Vec<Arc<NodeCell>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let cells = self.cells.read().unwrap_or_else(PoisonError::into_inner);
        let start = after.map_or(Unbounded, Excluded);
        cells.range::<NodeId, _>((start, Unbounded)).take(limit).map(|(_, cell)| Arc::clone(cell)).collect()
    }

    /// Makes a durable record visible. Called by the writer thread and at start only.
    pub(crate) fn publish(&self, node: &NodeId, record: NodeRecord) -> Arc<NodeCell> {
        let bytes = record.total(true).bytes;
        let Some(cell) = self.get(node) else {
            let cell = Arc::new(NodeCell::new(node.clone(), record));
            self.used.fetch_add(bytes, Ordering::SeqCst);
            let mut cells = self.cells.write().unwrap_or_else(PoisonError::into_inner);
            cells.insert(node.clone(), Arc::clone(&cell));
            return cell;
        };
        let seq = record.seq;
        let before = {
            let mut slot = cell.record.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *slot, Arc::new(record)).total(true).bytes
        };
        // The sum of all nodes: bytes of this one are part of it, so this cannot go below zero.
        self.used.fetch_add(bytes, Ordering::SeqCst);
        self.used.fetch_sub(before, Ordering::SeqCst);
        cell.seq.send_if_modified(|known| std::mem::replace(known, seq) != seq);
        cell
    }
}
