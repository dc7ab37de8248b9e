//! What happened, in sentences: a bounded worklog for customers and the last events of each node for operators.
//!
//! Filled while the journal is folded, live and on recovery alike, so that both tell the same story.

use crate::journal::Entry;
use crate::sentences::{Concerns, tell};
use shardlift_api::view::WorklogEntry;
use shardlift_migration::World;
use shardlift_model::{BatchId, CustomerId, NodeId, UnixMillis};
use shardlift_store::Seq;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Worklog entries kept.
const WORKLOG_MAX: usize = 10_000;

/// Sentences kept for each node.
const NODE_LINES_MAX: usize = 30;

/// One sentence for operators.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) at: UnixMillis,
    pub(crate) text: String,
}

/// The story so far.
#[derive(Debug, Default)]
pub(crate) struct History {
    worklog: VecDeque<WorklogEntry>,
    nodes: BTreeMap<NodeId, VecDeque<Line>>,
}

impl History {
    /// Adds an event. `before` is the world that it has not changed yet.
    pub(crate) fn tell(&mut self, seq: Seq, entry: &Entry, before: &World) {
        let told = tell(&entry.event, before);
        let (node, customers) = match told.concerns {
            Concerns::Operators => return,
            Concerns::Service => (None, BTreeSet::new()),
            Concerns::NewNode(node, customer) => (Some(node), BTreeSet::from([customer])),
            Concerns::Node(node) => {
                let Some(known) = before.nodes.get(&node) else { return };
                (Some(node), BTreeSet::from([known.customer.clone()]))
            }
            Concerns::Batch(batch) => {
                let customers = customers_of(&batch, before);
                // An entry without customers would be for everybody.
                if customers.is_empty() {
                    return;
                }
                (None, customers)
            }
        };
        if let Some(node) = &node {
            let lines = self.nodes.entry(node.clone()).or_default();
            lines.push_back(Line { at: entry.at, text: told.operator });
            while lines.len() > NODE_LINES_MAX {
                lines.pop_front();
            }
        }
        if let Some(text) = told.customer {
            self.worklog.push_back(WorklogEntry { id: seq.0, at: entry.at, node, customers, text });
            while self.worklog.len() > WORKLOG_MAX {
                self.worklog.pop_front();
            }
        }
    }

    /// Oldest first.
    pub(crate) fn worklog(&self) -> impl Iterator<Item = &WorklogEntry> {
        self.worklog.iter()
    }

    /// Oldest first.
    pub(crate) fn lines_of(&self, node: &NodeId) -> impl Iterator<Item = &Line> {
        self.nodes.get(node).into_iter().flatten()
    }
}

fn customers_of(batch: &BatchId, world: &World) -> BTreeSet<CustomerId> {
    let nodes = world.batches.get(batch).into_iter().flat_map(|batch| batch.nodes.keys());
    nodes.filter_map(|node| world.nodes.get(node)).map(|node| node.customer.clone()).collect()
}
