//! Digests that cost what has changed: the tree of a node is kept once somebody has asked for it, and brought up to date from
//! the node's journal.
//!
//! Nothing of it is on the way of a write. A tree stands for one seq; the changes after it name the leaves that are read again.
//! What cannot be explained by the journal (a copy that was forgotten) shows in the totals, and the tree is built anew. Trees are
//! in memory only: after a restart the first question costs one reading of the node's rows.

use super::error::EngineError;
use super::nodes::lock;
use super::reads::View;
use super::record::KindCount;
use redb::Database;
use shardlift_model::NodeId;
use shardlift_model::digest::{Digest, DigestTree};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Most hashes kept of all trees together, about 72 bytes each. A million objects make about 70,000.
const HASHES_MAX: usize = 500_000;

/// From so many changes on, reading everything is not much dearer.
const CHANGES_MAX: u64 = 100_000;

/// A tree and the last change that is in it.
#[derive(Debug)]
struct Kept {
    tree: DigestTree,
    seq: u64,
}

#[derive(Debug, Default)]
struct Slot {
    kept: Arc<Mutex<Option<Kept>>>,
    hashes: usize,
    used: u64,
}

/// The trees of a shard.
#[derive(Debug, Default)]
pub(crate) struct Digests {
    slots: Mutex<BTreeMap<NodeId, Slot>>,
}

impl Digests {
    /// Reads the tree of a node as it is now, and whatever belongs to it, at one instant. Blocks.
    pub(crate) fn read<T>(
        &self,
        db: &Database,
        node: &NodeId,
        look: impl FnOnce(&DigestTree, &View<'_>, u64) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let slot = self.slot(node);
        let mut slot = lock(&slot);
        let view = View::open(db, node)?;
        let record = view.record()?;
        // Taken out, so that an error leaves none that is half done.
        let kept = match slot.take() {
            Some(kept) => kept.brought_to(record.seq, &view)?,
            None => None,
        };
        let fits = |digest: &Digest| KindCount { objects: digest.objects, bytes: digest.bytes } == record.total(true);
        let kept = match kept.filter(|kept| fits(&kept.tree.digest(true))) {
            Some(kept) => kept,
            None => Kept { tree: DigestTree::build(&view)?, seq: record.seq },
        };
        if !fits(&kept.tree.digest(true)) {
            tracing::error!(%node, seq = kept.seq, "the index counts other objects than it holds; no digest of it can be kept");
        }
        let answer = look(&kept.tree, &view, kept.seq);
        let hashes = kept.tree.size();
        *slot = Some(kept);
        drop(slot);
        self.make_room(node, hashes);
        answer
    }

    fn slot(&self, node: &NodeId) -> Arc<Mutex<Option<Kept>>> {
        Arc::clone(&lock(&self.slots).entry(node.clone()).or_default().kept)
    }

    /// As after a restart.
    #[cfg(test)]
    pub(super) fn forget_all(&self) {
        lock(&self.slots).clear();
    }

    /// Gives up trees, those that were not asked for longest first.
    fn make_room(&self, node: &NodeId, hashes: usize) {
        let mut slots = lock(&self.slots);
        let used = slots.values().map(|slot| slot.used).max().unwrap_or_default() + 1;
        let slot = slots.entry(node.clone()).or_default();
        (slot.hashes, slot.used) = (hashes, used);
        while slots.len() > 1 && slots.values().map(|slot| slot.hashes).sum::<usize>() > HASHES_MAX {
            let oldest = slots.iter().min_by_key(|(_, slot)| slot.used).map(|(node, _)| node.clone());
            // One that is being read goes when it has been.
            oldest.and_then(|node| slots.remove(&node));
        }
    }
}

impl Kept {
    /// The same tree at a later seq; `None` when the journal does not tell what has changed.
    fn brought_to(mut self, seq: u64, view: &View<'_>) -> Result<Option<Self>, EngineError> {
        let Some(behind) = seq.checked_sub(self.seq).filter(|behind| *behind <= CHANGES_MAX) else { return Ok(None) };
        if behind == 0 {
            return Ok(Some(self));
        }
        let (changes, _) = view.changes(self.seq, usize::try_from(behind).unwrap_or(usize::MAX))?;
        if changes.len() as u64 != behind {
            return Ok(None);
        }
        self.tree.refresh(changes.iter().map(|change| change.op.key()), view)?;
        self.seq = seq;
        Ok(Some(self))
    }
}

#[cfg(test)]
mod tests;
