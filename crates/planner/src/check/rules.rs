//! Whether the plan keeps what the operator wants of every plan, and what it was made for: holds, pins, allowed targets, customers
//! together or spread. Where both say something, both hold.

use super::Checker;
use crate::finding::Place;
use crate::problem::wishes::CustomerRule;
use crate::words::counted;
use crate::world::NodeView;
use shardlift_model::{CustomerId, NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};

/// A customer's moves: node, target, where it is written.
type Moves<'c> = Vec<(&'c NodeId, &'c ShardId, Place)>;

/// A customer's nodes.
type Nodes<'c> = Vec<(&'c NodeId, &'c NodeView)>;

/// The rules of the cluster and the wishes of the file.
pub(super) struct Asked<'c> {
    pub(super) holds: BTreeSet<&'c NodeId>,
    pub(super) pins: BTreeSet<&'c NodeId>,
    pub(super) targets_of: BTreeMap<&'c NodeId, BTreeSet<&'c ShardId>>,
    pub(super) customers: BTreeMap<&'c CustomerId, Vec<CustomerRule>>,
}

impl<'c> Asked<'c> {
    pub(super) fn of(checker: &Checker<'c>) -> Self {
        let (rules, wishes) = (&checker.world.rules, &checker.file.wishes);
        let mut targets_of: BTreeMap<&NodeId, BTreeSet<&ShardId>> =
            rules.targets_of.iter().map(|(node, targets)| (node, targets.iter().collect())).collect();
        for (node, targets) in &wishes.targets_of {
            let wished: BTreeSet<&ShardId> = targets.iter().map(|target| &target.value).collect();
            targets_of.entry(&node.value).and_modify(|all| all.retain(|one| wished.contains(one))).or_insert(wished);
        }
        let mut customers: BTreeMap<&CustomerId, Vec<CustomerRule>> =
            rules.customers.iter().map(|(customer, rule)| (customer, vec![*rule])).collect();
        for (customer, rule) in &wishes.customers {
            let all = customers.entry(&customer.value).or_default();
            if !all.contains(rule) {
                all.push(*rule);
            }
        }
        Self {
            holds: rules.holds.iter().chain(wishes.holds.iter().map(|node| &node.value)).collect(),
            pins: wishes.pins.iter().map(|node| &node.value).collect(),
            targets_of,
            customers,
        }
    }
}

impl<'c> Checker<'c> {
    pub(super) fn rules(&mut self) {
        let file = self.file;
        let mut customers: BTreeMap<&'c CustomerId, Moves<'c>> = BTreeMap::new();
        let asked = Asked::of(self);
        for (batch, carried_over) in file.batches.iter().zip(self.carried_over.clone()) {
            for entry in &batch.moves {
                let (node, target) = (&entry.node, &entry.target);
                let Some(view) = self.world.nodes.get(&node.value) else { continue };
                let customer = view.customer.as_ref().filter(|customer| asked.customers.contains_key(*customer));
                if let Some(customer) = customer {
                    customers.entry(customer).or_default().push((&node.value, &target.value, target.at));
                }
                if carried_over {
                    continue;
                }
                if asked.holds.contains(&node.value) {
                    self.refuse(
                        node.at,
                        format!("node `{}` is on hold", node.value),
                        "remove this line, or end the hold",
                    );
                }
                if view.pinned || asked.pins.contains(&node.value) {
                    let message = format!("node `{}` is pinned to `{}`", node.value, view.shard);
                    self.refuse(node.at, message, "remove this line, or unpin the node");
                }
                if let Some(allowed) = asked.targets_of.get(&node.value).filter(|all| !all.contains(&target.value)) {
                    let message = format!("node `{}` may not go to `{}`", node.value, target.value);
                    let names = crate::words::listed(allowed.iter().map(|shard| shard.as_str()));
                    self.refuse(target.at, message, format!("allowed: {names}"));
                }
            }
        }
        let mut owned: BTreeMap<&CustomerId, Nodes<'c>> = BTreeMap::new();
        for (node, view) in self.world.nodes.iter().filter(|_| !customers.is_empty()) {
            if let Some(customer) = view.customer.as_ref().filter(|customer| customers.contains_key(*customer)) {
                owned.entry(customer).or_default().push((node, view));
            }
        }
        for (customer, moves) in customers {
            let nodes = owned.remove(customer).unwrap_or_default();
            for rule in asked.customers.get(customer).into_iter().flatten() {
                match rule {
                    CustomerRule::Together => self.together(customer, &nodes, &moves),
                    rule => self.spread(customer, *rule, &nodes, &moves),
                }
            }
        }
    }

    /// Nodes that were on one shard are on one shard afterwards.
    fn together(&mut self, customer: &CustomerId, nodes: &Nodes<'c>, moves: &Moves<'c>) {
        let targets: BTreeMap<&NodeId, &ShardId> = moves.iter().map(|(node, target, _)| (*node, *target)).collect();
        let mut first: BTreeMap<&ShardId, (&NodeId, &ShardId)> = BTreeMap::new();
        let world = self.world;
        let mut split: BTreeMap<&ShardId, String> = BTreeMap::new();
        for (node, view) in nodes {
            let after = targets.get(node).copied().unwrap_or(&view.shard);
            let (other, there) = *first.entry(&view.shard).or_insert((node, after));
            if there != after {
                let text = format!("`{other}` would be on `{there}`, `{node}` on `{after}`");
                split.entry(&view.shard).or_insert(text);
            }
        }
        for (shard, text) in split {
            let here =
                moves.iter().filter(|(node, _, _)| world.nodes.get(*node).is_some_and(|view| view.shard == *shard));
            let at = here.map(|(_, _, at)| *at).min().unwrap_or(Place::START);
            let message = format!("customer `{customer}` is kept together, but {text}");
            self.refuse(at, message, "give all its nodes on this source the same target, or move none of them");
        }
    }

    fn spread(&mut self, customer: &CustomerId, rule: CustomerRule, nodes: &Nodes<'c>, moves: &Moves<'c>) {
        let targets: BTreeMap<&NodeId, &ShardId> = moves.iter().map(|(node, target, _)| (*node, *target)).collect();
        let mut there: BTreeMap<&ShardId, u64> = BTreeMap::new();
        for (node, view) in nodes {
            *there.entry(targets.get(node).copied().unwrap_or(&view.shard)).or_default() += 1;
        }
        let Some(most) = rule.nodes_max(nodes.len() as u64) else { return };
        let mut told: BTreeMap<&ShardId, Place> = BTreeMap::new();
        for (_, target, at) in moves {
            told.entry(target).or_insert(*at);
        }
        for (target, at) in told {
            let count = there.get(target).copied().unwrap_or(0);
            if count > most {
                let message =
                    format!("customer `{customer}` is {rule}, but {} would be on `{target}`", counted(count, "node"));
                self.refuse(at, message, format!("at most {most} of its nodes on one shard: name other targets"));
            }
        }
    }
}
