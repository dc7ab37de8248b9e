//! Questions to the world that several parts ask. None changes it.

use crate::batch::{Batch, BatchPhase};
use crate::node::{Migration, Node};
use crate::stage::Stage;
use crate::world::World;
use shardlift_model::{NodeId, ServerName, ShardId, Step, Token};
use std::collections::BTreeMap;

impl World {
    /// The place of a node's present command in the order of all its commands (INV-03).
    #[must_use]
    pub const fn token(&self, node: &Node) -> Token {
        Token { term: self.term, generation: node.generation, step: node.step }
    }

    /// A node that has or had a move, with the move.
    #[must_use]
    pub fn migration(&self, node: &NodeId) -> Option<(&Node, &Migration)> {
        self.nodes.get(node).and_then(|node| Some((node, node.migration.as_ref()?)))
    }

    /// The nodes whose present or last move is in this batch, those that left it included.
    pub fn members<'w>(&'w self, batch: &'w Batch) -> impl Iterator<Item = (&'w Node, &'w Migration)> {
        batch.nodes.keys().filter_map(|node| self.migration(node)).filter(|(_, moving)| moving.batch == batch.batch)
    }

    /// The nodes that flip, or flipped, with this batch.
    pub fn remaining<'w>(&'w self, batch: &'w Batch) -> impl Iterator<Item = (&'w Node, &'w Migration)> {
        self.members(batch).filter(|(_, moving)| !moving.has_left())
    }

    /// The batch that parks clients, or whose clients are not all served by their targets yet. There is at most one:
    /// routes cannot change while a node is being promoted, so a second cutover would only make more clients wait.
    #[must_use]
    pub fn flipping(&self) -> Option<&Batch> {
        self.batches.values().find(|batch| matches!(batch.phase, BatchPhase::CuttingOver | BatchPhase::Committed))
    }

    /// The batches that this one waits for and that have not come to their soak.
    pub fn unmet_after<'w>(&'w self, batch: &'w Batch) -> impl Iterator<Item = &'w shardlift_model::BatchId> {
        let met = |phase| matches!(phase, BatchPhase::Soaking | BatchPhase::Released | BatchPhase::Aborted);
        batch.after.iter().filter(move |name| !self.batches.get(*name).is_some_and(|other| met(other.phase)))
    }

    /// True when a started batch may cut over now.
    #[must_use]
    pub fn may_cut_over(&self, batch: &Batch) -> bool {
        let mut remaining = self.remaining(batch).peekable();
        batch.phase == BatchPhase::Preparing
            && !batch.paused
            && remaining.peek().is_some()
            && remaining.all(|(_, moving)| moving.stage == Stage::Ready && !moving.is_idle())
            && self.unmet_after(batch).next().is_none()
            && self.flipping().is_none()
    }

    /// How many more nodes may begin to seed.
    #[must_use]
    pub fn seeding_places(&self) -> usize {
        let taken = |node: &&Node| node.migration.as_ref().is_some_and(|m| m.stage.is_seeding() && !m.is_idle());
        let taken = self.nodes.values().filter(taken).count();
        usize::try_from(self.limits.seeding_nodes_max).unwrap_or(usize::MAX).saturating_sub(taken)
    }

    /// Who has this server name.
    #[must_use]
    pub fn node_with_server_name(&self, name: &ServerName) -> Option<&NodeId> {
        self.server_names.get(name)
    }

    /// The routes that follow from the committed placements (INV-06): which shard each server name leads to.
    #[must_use]
    pub fn routes(&self) -> BTreeMap<&ServerName, (&NodeId, &ShardId)> {
        self.nodes.values().map(|node| (&node.server_name, (&node.node, &node.shard))).collect()
    }

    /// True when routers may hold the routes of the present version: no client may be led to a shard that is still being
    /// promoted and cannot serve it.
    #[must_use]
    pub fn routes_are_servable(&self) -> bool {
        let promoting = |node: &Node| node.migration.as_ref().is_some_and(|moving| moving.stage == Stage::Promoting);
        !self.nodes.values().any(promoting)
    }
}

impl Node {
    /// True while a move is planned or under way.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.migration.as_ref().is_some_and(|moving| !moving.stage.is_over())
    }

    /// The step of the next stage.
    #[must_use]
    pub const fn next_step(&self) -> Step {
        self.step.next()
    }
}
