//! Whether the plan is what its own wishes say it was made for.

use super::Checker;
use super::rules::Asked;
use crate::finding::Place;
use crate::minutes::Minutes;
use crate::planfile::{BatchEntry, Located, Wishes};
use crate::policy::When;
use crate::problem::wishes::{CustomerRule, Goal};
use crate::words::{counted, listed};
use crate::world::NodeView;
use shardlift_model::{ByteCount, CustomerId, NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};

impl<'c> Checker<'c> {
    pub(super) fn wishes(&mut self) {
        if self.file.wishes == Wishes::default() {
            return;
        }
        self.wished_names();
        self.limits();
        let moving: BTreeSet<&NodeId> =
            self.file.batches.iter().flat_map(|b| &b.moves).map(|m| &m.node.value).collect();
        self.must_move(&moving);
        self.windows();
        match self.file.wishes.goal {
            Some(Located { value: Goal::PeakAtMost { percent }, at }) => self.peak_at_most(percent, at),
            Some(Located { value: Goal::Leave { nodes }, at }) => self.leave(nodes, at, &moving),
            Some(Located { value: Goal::Evacuate, at }) => self.evacuate(at, &moving),
            // How near to the lower bound it came is for the solver to say: there is nothing here to hold it to.
            Some(Located { value: Goal::LowestPeak, .. }) | None => {}
        }
    }

    /// A misspelt hold would let the node move that was meant.
    fn wished_names(&mut self) {
        let (file, world) = (self.file, self.world);
        let Wishes { holds, pins, must_move, targets_of, customers, .. } = &file.wishes;
        let nodes = [("holds", holds), ("pins", pins), ("must_move", must_move)];
        let nodes = nodes.into_iter().flat_map(|(wish, nodes)| nodes.iter().map(move |node| (wish, node)));
        for (wish, node) in nodes.chain(targets_of.iter().map(|(node, _)| ("targets_of", node))) {
            if !world.nodes.contains_key(&node.value) {
                let hint = match self.suggest.nearest(node.value.as_str(), world.nodes.keys().map(NodeId::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "`shardlift node list` shows all nodes".to_owned(),
                };
                self.refuse(node.at, format!("node `{}` of `{wish}` is not known", node.value), hint);
            }
        }
        for target in targets_of.iter().flat_map(|(_, targets)| targets) {
            if !world.shards.contains_key(&target.value) {
                let hint = self.shard_hint(&target.value);
                self.refuse(target.at, format!("target `{}` is not a shard of this cluster", target.value), hint);
            }
        }
        if customers.is_empty() {
            return;
        }
        let known: BTreeSet<&CustomerId> = world.nodes.values().filter_map(|view| view.customer.as_ref()).collect();
        for (customer, _) in customers.iter().filter(|(customer, _)| !known.contains(&customer.value)) {
            let near = self.suggest.nearest(customer.value.as_str(), known.iter().map(|known| known.as_str()));
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "remove this line, or name a customer who owns a node".to_owned(),
            };
            self.refuse(customer.at, format!("customer `{}` owns no node", customer.value), hint);
        }
    }

    /// Most bytes and most moves, of the batches that no earlier plan has.
    fn limits(&mut self) {
        let file = self.file;
        let (mut bytes, mut moves) = (0_u128, 0_u64);
        let (mut bytes_over, mut moves_over) = (None, None);
        let wishes = &file.wishes;
        let fresh = file.batches.iter().zip(&self.carried_over).filter(|(_, carried_over)| !**carried_over);
        for entry in fresh.flat_map(|(batch, _)| &batch.moves) {
            let Some(view) = self.world.nodes.get(&entry.node.value) else { continue };
            bytes += u128::from(view.bytes.0);
            moves += 1;
            if wishes.bytes_max.is_some_and(|most| bytes > u128::from(most.value.0)) {
                bytes_over.get_or_insert(entry.node.at);
            }
            if wishes.moves_max.is_some_and(|most| moves > most.value) {
                moves_over.get_or_insert(entry.node.at);
            }
        }
        if let Some((at, most)) = bytes_over.zip(wishes.bytes_max) {
            let bytes = ByteCount(u64::try_from(bytes).unwrap_or(u64::MAX));
            let message = format!("the plan moves {bytes}; `bytes_max`, at {}, allows {}", most.at, most.value);
            self.refuse(at, message, "move fewer nodes, or raise `bytes_max`");
        }
        if let Some((at, most)) = moves_over.zip(wishes.moves_max) {
            let message = format!(
                "the plan moves {}; `moves_max`, at {}, allows {}",
                counted(moves, "node"),
                most.at,
                most.value
            );
            self.refuse(at, message, "move fewer nodes, or raise `moves_max`");
        }
    }

    fn must_move(&mut self, moving: &BTreeSet<&NodeId>) {
        let file = self.file;
        for node in &file.wishes.must_move {
            let stays = |view: &NodeView| view.shard == file.source.value && view.busy.is_none();
            if self.world.nodes.get(&node.value).is_some_and(stays) && !moving.contains(&node.value) {
                let message = format!("node `{}` must move, but is in no batch of this plan", node.value);
                self.refuse(node.at, message, "add it to a batch, or remove it from `must_move`");
            }
        }
    }

    /// Batches that an earlier plan has may have flipped, or were allowed to flip at another time.
    fn windows(&mut self) {
        let file = self.file;
        if file.wishes.windows.is_empty() {
            return;
        }
        let wished = Minutes::of(&file.wishes.windows);
        let shown: Vec<String> = file.wishes.windows.iter().map(ToString::to_string).collect();
        let shown = listed(shown.iter().map(String::as_str));
        let fresh = file.batches.iter().zip(&self.carried_over).filter(|(_, carried_over)| !**carried_over);
        let may_flip_otherwise =
            |batch: &&BatchEntry| batch.when != When::Window || !wished.covers(&Minutes::of(&batch.windows));
        let others: Vec<&BatchEntry> = fresh.map(|(batch, _)| batch).filter(may_flip_otherwise).collect();
        for batch in others {
            let message =
                format!("batch `{}` may flip outside of {shown}, the `windows` of `[wishes]`", batch.name.value);
            let hint = "write `when = \"window\"` and `windows` within them, or change the wish";
            self.refuse(batch.name.at, message, hint);
        }
    }

    fn peak_at_most(&mut self, percent: u8, at: Place) {
        match self.peak_after() {
            Err(shard) => {
                let message = format!(
                    "a peak of at most {percent} % cannot be judged: the load capacity of `{shard}` is not known"
                );
                self.refuse(at, message, "state it, with `load_bytes_per_second` in shard.toml, or remove the goal");
            }
            Ok(Some((shard, share, hour))) if share.0 > u64::from(percent) * 10_000_000 => {
                let message =
                    format!("the peak is to be at most {percent} %, but `{shard}` would bear {share}, {hour}");
                self.refuse(
                    at,
                    message,
                    "move other nodes, or change the goal; `shardlift plan graph` shows the hours",
                );
            }
            Ok(_) => {}
        }
    }

    fn leave(&mut self, most: u64, at: Place, moving: &BTreeSet<&NodeId>) {
        let left = self.staying(moving).count() as u64;
        if left > most {
            let source = &self.file.source.value;
            let message = format!("{} may stay on `{source}`, but {left} would", counted(most, "node"));
            self.refuse(at, message, "add nodes to a batch, or change the goal");
        }
    }

    fn evacuate(&mut self, at: Place, moving: &BTreeSet<&NodeId>) {
        let asked = Asked::of(self);
        let may_stay =
            |node: &NodeId, view: &NodeView| view.pinned || asked.pins.contains(node) || asked.holds.contains(node);
        // Where one of a customer that is kept together has to stay, or the others find no target in common, all do.
        let mut bound: BTreeMap<&CustomerId, bool> = BTreeMap::new();
        for (node, view) in self.world.nodes.iter().filter(|(_, view)| view.shard == self.file.source.value) {
            let Some(customer) = &view.customer else { continue };
            if asked.customers.get(customer).is_some_and(|rules| rules.contains(&CustomerRule::Together)) {
                *bound.entry(customer).or_default() |= may_stay(node, view) || asked.targets_of.contains_key(node);
            }
        }
        let forgotten = self.staying(moving).filter(|(node, view)| {
            let is_bound = view.customer.as_ref().is_some_and(|customer| bound.get(customer) == Some(&true));
            !may_stay(node, view) && !is_bound
        });
        let names: Vec<&str> = forgotten.map(|(node, _)| node.as_str()).collect();
        if !names.is_empty() {
            let message =
                format!("every node is to leave the source, but these are in no batch: {}", listed(names.into_iter()));
            self.refuse(at, message, "add them to a batch or to `holds`, or change the goal");
        }
    }

    /// Nodes of the source that neither this plan nor another moves.
    fn staying(&self, moving: &BTreeSet<&NodeId>) -> impl Iterator<Item = (&'c NodeId, &'c NodeView)> {
        let source: &'c ShardId = &self.file.source.value;
        let there = self.world.nodes.iter().filter(move |(_, view)| view.shard == *source && view.busy.is_none());
        there.filter(move |(node, _)| !moving.contains(node))
    }
}
