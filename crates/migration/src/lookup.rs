//! Questions to the world that several parts ask. None changes it.

use crate::batch::{Batch, BatchPhase, Verdict};
use crate::node::{Migration, Node};
use crate::record::CompletedMove;
use crate::stage::Stage;
use crate::world::World;
use shardlift_model::{BatchId, Generation, NodeId, ServerName, ShardId, Step, Token, UnixMillis};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a server name leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routed<'w> {
    /// Whose name it is.
    pub node: &'w NodeId,
    /// The shard that can serve it.
    pub shard: &'w ShardId,
    /// The place of this route in the order of all routes of the node.
    pub token: Token,
    /// Before a router has this route in force, it ends the connections that it has passed to another shard for the name.
    pub sever: bool,
}

impl World {
    /// The place of a node's present command in the order of all its commands (INV-03).
    #[must_use]
    pub const fn token(&self, node: &Node) -> Token {
        Token { term: self.term, generation: node.generation, step: node.step }
    }

    /// The token of a node's present route. Between the commit and the promotion that is one of the generation before; not so
    /// after a takeover, whose routes are in force from the commit on.
    #[must_use]
    pub fn route_token(&self, node: &Node) -> Token {
        match &node.migration {
            Some(moving) if moving.still_routed_to().is_some() => Token {
                term: self.term,
                generation: Generation(node.generation.0.saturating_sub(1)),
                step: moving.sealed_step.unwrap_or(Step(0)),
            },
            _ => self.token(node),
        }
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
    /// what goes wrong in a flip is seen before the next one begins.
    #[must_use]
    pub fn flipping(&self) -> Option<&Batch> {
        self.batches.values().find(|batch| matches!(batch.phase, BatchPhase::CuttingOver | BatchPhase::Committed))
    }

    /// The batches that this one waits for and that have not come to a good end. One that was moved back holds those that
    /// wait for it: an operator must look, and plan anew.
    pub fn unmet_after<'w>(&'w self, batch: &'w Batch) -> impl Iterator<Item = &'w BatchId> {
        let met = |other: &Batch| match other.phase {
            BatchPhase::Released | BatchPhase::Aborted => true,
            BatchPhase::Soaking => other.verdict == Some(Verdict::Good),
            _ => false,
        };
        batch.after.iter().filter(move |name| !self.batches.get(*name).is_some_and(met))
    }

    /// True when all nodes that are left in a started batch are ready.
    #[must_use]
    pub fn is_ready(&self, batch: &Batch) -> bool {
        let mut remaining = self.remaining(batch).peekable();
        batch.phase == BatchPhase::Preparing
            && remaining.peek().is_some()
            && remaining.all(|(_, moving)| moving.stage == Stage::Ready && !moving.is_idle())
    }

    /// True when nothing that is recorded stands before the flip of a batch: it is asked then whether the time is right.
    #[must_use]
    pub fn is_flippable(&self, batch: &Batch) -> bool {
        !batch.paused && self.is_ready(batch) && self.unmet_after(batch).next().is_none() && self.flipping().is_none()
    }

    /// True when a started batch may cut over at this time, as far as that is recorded.
    #[must_use]
    pub fn may_cut_over(&self, batch: &Batch, now: UnixMillis) -> bool {
        self.is_flippable(batch) && batch.window_at(now)
    }

    /// True when all committed nodes of a batch are served by their targets, or were moved back.
    #[must_use]
    pub fn is_settled(&self, batch: &Batch) -> bool {
        let rests = |moving: &Migration| moving.is_soaking() || moving.is_concluded();
        let mut soaking = self.remaining(batch).filter(|(_, moving)| moving.is_soaking());
        soaking.next().is_some() && self.remaining(batch).all(|(_, moving)| rests(moving))
    }

    /// How long a batch still has to soak. Counted from the last of its nodes that came to be served by its target.
    #[must_use]
    pub fn soak_left(&self, batch: &Batch, now: UnixMillis) -> Duration {
        let soaking = self.remaining(batch).filter(|(_, moving)| moving.is_soaking());
        let since = soaking.map(|(_, moving)| moving.stage_since).max();
        let soaked = since.map_or(Duration::ZERO, |since| now.since(since));
        Duration::from_millis(batch.soak.min_ms).saturating_sub(soaked)
    }

    /// The first alert of a batch's soak: of which node, and what.
    #[must_use]
    pub fn soak_alert<'w>(&'w self, batch: &'w Batch) -> Option<(&'w NodeId, &'w str)> {
        let soaking = self.remaining(batch).filter(|(_, moving)| moving.is_soaking());
        soaking.filter_map(|(node, moving)| Some((&node.node, moving.soak.alert.as_deref()?))).next()
    }

    /// The nodes of a batch that have not shown yet what its policy asks of each.
    pub fn soak_unproved<'w>(&'w self, batch: &'w Batch) -> impl Iterator<Item = (&'w Node, &'w Migration)> {
        let proved = |moving: &Migration| {
            let backup = !batch.soak.backup || moving.soak.backup_seen.is_some();
            moving.is_soaking() && backup && (!batch.soak.verify || moving.soak.verified)
        };
        self.remaining(batch).filter(move |(_, moving)| !moving.is_concluded() && !proved(moving))
    }

    /// How many nodes may seed at the same time: what is advised, never above the limit, and at least one.
    #[must_use]
    pub fn seeding_nodes(&self) -> u32 {
        let cap = self.limits.seeding_nodes_max;
        self.seeding_advised.map_or(cap, |advised| advised.min(cap)).max(1)
    }

    /// How many more nodes may begin to seed.
    #[must_use]
    pub fn seeding_places(&self) -> usize {
        let taken = |node: &&Node| node.migration.as_ref().is_some_and(|m| m.stage.is_seeding() && !m.is_idle());
        let taken = self.nodes.values().filter(taken).count();
        usize::try_from(self.seeding_nodes()).unwrap_or(usize::MAX).saturating_sub(taken)
    }

    /// Completed moves that have no receipt yet, in the order of the nodes' names.
    pub fn receipts_due(&self) -> impl Iterator<Item = (&Node, &CompletedMove)> {
        self.nodes.values().flat_map(|node| node.receipts_due.iter().map(move |due| (node, due)))
    }

    /// Who has this server name.
    #[must_use]
    pub fn node_with_server_name(&self, name: &ServerName) -> Option<&NodeId> {
        self.server_names.get(name)
    }

    /// The routes that follow from the committed placements (INV-06). A node that is being promoted keeps the way to its
    /// giver: the taker cannot serve it yet, and one dead taker does not keep the other nodes from their routes. A node that
    /// is taken over has no giver that could be led to: its clients are led to the taker, and away from the giver, before the
    /// taker is promoted.
    #[must_use]
    pub fn routes(&self) -> BTreeMap<&ServerName, Routed<'_>> {
        self.nodes.values().map(|node| (&node.server_name, self.route(node))).collect()
    }

    fn route<'w>(&self, node: &'w Node) -> Routed<'w> {
        let shard = node.migration.as_ref().and_then(Migration::still_routed_to).unwrap_or(&node.shard);
        let token = self.route_token(node);
        Routed { node: &node.node, shard, token, sever: node.taken_over == Some(token.generation) }
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
