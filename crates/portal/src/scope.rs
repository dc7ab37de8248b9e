//! The part of the read model that one customer may see; the only way from a request to the read model.
//!
//! INV-10: a node is seen by its customer. Of a batch, its customers see how it goes, how many nodes it has, and their
//! own. Of the worklog, a customer sees what is addressed to all or to them, unless it is about somebody else's node.

use serde::Serialize;
use shardlift_api::view::{NodeView, WorklogEntry, World};
use shardlift_model::{BatchId, CustomerId, NodeId, UnixMillis};
use std::ops::Bound;
use std::sync::Arc;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// A node.
    Node,
    /// A node of a batch.
    Member,
    /// Whom an entry of the worklog is addressed to.
    Addressee,
    /// Whose node an entry of the worklog is about.
    Subject,
}

/// A customer's view.
#[derive(Debug)]
pub(crate) struct Scope {
    world: Arc<World>,
    customer: CustomerId,
    /// The check that a mutant leaves out.
    #[cfg(test)]
    blind: Option<Sight>,
}

/// A batch as one of its customers sees it.
#[derive(Debug, Serialize)]
pub(crate) struct OwnBatch<'a> {
    batch: &'a BatchId,
    phase: &'static str,
    paused: bool,
    nodes_total: usize,
    nodes: Vec<&'a NodeId>,
    progress_percent: u8,
    started_at: Option<UnixMillis>,
    committed_at: Option<UnixMillis>,
}

impl Scope {
    pub(crate) const fn new(world: Arc<World>, customer: CustomerId) -> Self {
        Self {
            world,
            customer,
            #[cfg(test)]
            blind: None,
        }
    }

    /// A mutant of this view.
    #[cfg(test)]
    pub(crate) fn blind_to(self, blind: Option<Sight>) -> Self {
        Self { blind, ..self }
    }

    /// Whose view it is.
    pub(crate) const fn customer(&self) -> &CustomerId {
        &self.customer
    }

    /// INV-10: every look at anything that has an owner goes through here.
    fn sees(&self, sight: Sight, owner: &CustomerId) -> bool {
        #[cfg(test)]
        if self.blind == Some(sight) {
            return true;
        }
        // The sight matters to mutants only: the rule is the same for all.
        let _ = sight;
        *owner == self.customer
    }

    /// One node.
    pub(crate) fn node(&self, node: &NodeId) -> Option<&NodeView> {
        self.world.nodes.get(node).filter(|view| self.sees(Sight::Node, &view.customer))
    }

    /// The nodes in the order of their names, from the one after `after`.
    pub(crate) fn nodes_after<'a>(&'a self, after: Option<&NodeId>) -> impl Iterator<Item = &'a NodeView> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let nodes = self.world.nodes.range((start, Bound::Unbounded));
        nodes.map(|(_, view)| view).filter(|view| self.sees(Sight::Node, &view.customer))
    }

    /// The batches with a node of this customer, in the order of the plan.
    pub(crate) fn batches(&self) -> impl Iterator<Item = OwnBatch<'_>> {
        self.world.batches.iter().filter_map(|batch| {
            let own = |node: &&NodeId| {
                let view = self.world.nodes.get(*node);
                view.is_some_and(|view| self.sees(Sight::Member, &view.customer))
            };
            let nodes: Vec<&NodeId> = batch.nodes.iter().filter(own).collect();
            (!nodes.is_empty()).then_some(OwnBatch {
                batch: &batch.batch,
                phase: batch.phase,
                paused: batch.paused,
                nodes_total: batch.nodes.len(),
                nodes,
                progress_percent: batch.progress_percent,
                started_at: batch.started_at,
                committed_at: batch.committed_at,
            })
        })
    }

    /// The worklog, oldest first, from the entry after `after`.
    pub(crate) fn worklog_after(&self, after: u64) -> impl Iterator<Item = &WorklogEntry> {
        let start = self.world.worklog.partition_point(|entry| entry.id <= after);
        self.world.worklog[start..].iter().filter(|entry| self.is_told(entry))
    }

    fn is_told(&self, entry: &WorklogEntry) -> bool {
        let to = &entry.customers;
        let addressed = to.is_empty() || to.iter().any(|customer| self.sees(Sight::Addressee, customer));
        addressed && self.may_read_about(entry)
    }

    /// A node that changed its customer takes its past with it: nobody sees somebody else's node in an old entry.
    /// About a node that is gone, only its one addressee reads.
    fn may_read_about(&self, entry: &WorklogEntry) -> bool {
        let Some(node) = &entry.node else { return true };
        match self.world.nodes.get(node) {
            Some(view) => self.sees(Sight::Subject, &view.customer),
            None => entry.customers.len() == 1,
        }
    }
}
