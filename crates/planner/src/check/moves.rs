//! Whether each line of `[batch.nodes]` can be done at all, taken alone.

use super::Checker;
use crate::finding::Place;
use crate::planfile::{BatchEntry, MoveEntry};
use shardlift_model::{BatchId, NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};

/// Where a node was first listed.
type First<'c> = BTreeMap<&'c NodeId, (Place, &'c BatchId)>;

impl Checker<'_> {
    pub(super) fn moves(&mut self) {
        let file = self.file;
        let mut first = First::new();
        let mut unreachable: BTreeSet<&ShardId> = BTreeSet::new();
        for (batch, carried_over) in file.batches.iter().zip(self.carried_over.clone()) {
            for entry in &batch.moves {
                self.once(batch, entry, &mut first);
                if !carried_over {
                    self.node(batch, entry);
                    self.target(entry);
                    self.reachable(&entry.target.value, entry.target.at, &mut unreachable);
                }
            }
        }
    }

    fn once<'f>(&mut self, batch: &'f BatchEntry, entry: &'f MoveEntry, first: &mut First<'f>) {
        let node = &entry.node;
        if let Some((earlier, in_batch)) = first.get(&node.value) {
            let message =
                format!("node `{}` is listed twice: here and at {earlier}, in batch `{in_batch}`", node.value);
            self.refuse(node.at, message, "a node moves once: remove one of the two lines");
        } else {
            first.insert(&node.value, (node.at, &batch.name.value));
        }
    }

    fn node(&mut self, batch: &BatchEntry, entry: &MoveEntry) {
        let (node, world) = (&entry.node, self.world);
        let Some(view) = world.nodes.get(&node.value) else {
            let hint = match self.suggest.nearest(node.value.as_str(), world.nodes.keys().map(NodeId::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`shardlift node list` shows all nodes".to_owned(),
            };
            self.refuse(node.at, format!("node `{}` is not known", node.value), hint);
            return;
        };
        // An unknown source has its own finding; blaming every node as well would only hide it.
        let source = &self.file.source.value;
        let is_elsewhere = view.shard != *source;
        if is_elsewhere && self.file.wishes.from_any_shard {
            if view.shard == entry.target.value {
                let message = format!("node `{}` is on `{}` already", node.value, view.shard);
                self.refuse(node.at, message, "it is where it should go: remove this line");
            }
        } else if is_elsewhere && world.shards.contains_key(source) {
            let message = format!("node `{}` is on `{}`, not on the source `{source}`", node.value, view.shard);
            let hint = if view.shard == entry.target.value {
                "it is where it should go: remove this line"
            } else {
                "remove this line, or plan this node in a plan of its own source"
            };
            self.refuse(node.at, message, hint);
        }
        if let Some(busy) = view.busy.as_ref().filter(|busy| **busy != batch.name.value) {
            let message = format!("node `{}` is already moving in batch `{busy}`, which is not finished", node.value);
            self.refuse(node.at, message, format!("wait for batch `{busy}`, or abort this node in it first"));
        }
    }

    fn target(&mut self, entry: &MoveEntry) {
        let target = &entry.target;
        if !self.world.shards.contains_key(&target.value) {
            let hint = self.shard_hint(&target.value);
            self.refuse(target.at, format!("target `{}` is not a shard of this cluster", target.value), hint);
        } else if target.value == self.file.source.value {
            let message = format!("node `{}` would move to `{}`, its source", entry.node.value, target.value);
            self.refuse(target.at, message, "name another shard, or remove this line if the node should stay");
        }
    }

    /// One finding per shard, at its first line.
    fn reachable<'f>(&mut self, shard: &'f ShardId, at: Place, told: &mut BTreeSet<&'f ShardId>) {
        let away = self.world.shards.get(shard).is_some_and(|view| !view.reachable);
        // The source has a finding of its own.
        if away && *shard != self.file.source.value && told.insert(shard) {
            let hint = "bring it back, wait, or name another target for its nodes";
            self.refuse(at, format!("target `{shard}` is not reachable"), hint);
        }
    }
}
