//! A plan that may be carried out.
//!
//! A [`Plan`] that exists is consistent in itself: names are unique, no batch is empty, no node moves twice, and batches
//! stand in an order in which they may run. That it fits the world is what [`crate::approve()`] adds.

use crate::order::order;
use crate::policy::{SoakPolicy, WINDOWS_MAX, When, Window};
use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};

/// Immutable and revisioned: which batches there are and what each moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct Plan {
    parts: Parts,
}

/// What a plan is stored as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    revision: u64,
    based_on: u64,
    source: ShardId,
    accept_damaged: BTreeSet<NodeId>,
    #[serde(default)]
    from_any_shard: bool,
    batches: Vec<PlanBatch>,
}

/// Nodes that flip together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanBatch {
    /// Its name, never used for other moves.
    pub name: BatchId,
    /// Batches that must be committed before it starts: of this plan, or of an earlier one.
    pub after: BTreeSet<BatchId>,
    /// Its moves: node and target.
    pub nodes: BTreeMap<NodeId, ShardId>,
    /// What it waits for when all its nodes are ready.
    #[serde(default)]
    pub when: When,
    /// When it may flip; empty: at any time.
    #[serde(default)]
    pub windows: Vec<Window>,
    /// After so many milliseconds it does not wait for idle nodes any more.
    #[serde(default)]
    pub force_after_ms: Option<u64>,
    /// What its soak must show.
    #[serde(default)]
    pub soak: SoakPolicy,
}

/// Why parts make no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not above the plan it replaces.
    #[error("revision {revision} cannot replace revision {based_on}")]
    Revision {
        /// The plan.
        revision: u64,
        /// What it replaces.
        based_on: u64,
    },
    /// Nothing to do.
    #[error("the plan has no batch")]
    NoBatch,
    /// A batch that does nothing.
    #[error("batch `{0}` has no node")]
    EmptyBatch(BatchId),
    /// A name used twice.
    #[error("batch `{0}` exists twice")]
    BatchTwice(BatchId),
    /// A node that would move twice.
    #[error("node `{0}` moves twice")]
    NodeTwice(NodeId),
    /// A move to where the node is.
    #[error("node `{0}` would move to its source")]
    TargetIsSource(NodeId),
    /// Permission for a node that does not move.
    #[error("node `{0}` may be damaged but does not move")]
    IdlePermission(NodeId),
    /// A batch that could never flip, or whose windows are none.
    #[error("batch `{batch}`: {why}")]
    Windows {
        /// Which.
        batch: BatchId,
        /// What is wrong.
        why: &'static str,
    },
    /// Batches that wait for each other.
    #[error("batch `{0}` waits for itself")]
    Cycle(BatchId),
}

impl Plan {
    /// Checks the parts against each other and puts the batches into an order in which they may run.
    ///
    /// # Errors
    /// [`PlanError`], the first that is found.
    pub fn new(
        revision: u64,
        based_on: u64,
        source: ShardId,
        accept_damaged: BTreeSet<NodeId>,
        batches: Vec<PlanBatch>,
    ) -> Result<Self, PlanError> {
        if revision <= based_on {
            return Err(PlanError::Revision { revision, based_on });
        }
        let moving = moving(&source, &batches)?;
        batches.iter().try_for_each(windows)?;
        if let Some(node) = accept_damaged.iter().find(|node| !moving.contains(node)) {
            return Err(PlanError::IdlePermission(node.clone()));
        }
        let batches = ordered(batches)?;
        Ok(Self { parts: Parts { revision, based_on, source, accept_damaged, from_any_shard: false, batches } })
    }

    /// The same for nodes of every shard, or of its source alone.
    #[must_use]
    pub const fn from_any_shard(mut self, any: bool) -> Self {
        self.parts.from_any_shard = any;
        self
    }

    /// Whether a node that is on another shard than its source may move with it.
    #[must_use]
    pub const fn is_from_any_shard(&self) -> bool {
        self.parts.from_any_shard
    }

    /// Its revision, above all earlier ones.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.parts.revision
    }

    /// The revision it replaces; 0 when it is the first.
    #[must_use]
    pub const fn based_on(&self) -> u64 {
        self.parts.based_on
    }

    /// The shard it relieves.
    #[must_use]
    pub const fn source(&self) -> &ShardId {
        &self.parts.source
    }

    /// Nodes that may move although some of their objects were damaged at the source already.
    #[must_use]
    pub const fn accept_damaged(&self) -> &BTreeSet<NodeId> {
        &self.parts.accept_damaged
    }

    /// Its batches; each comes after all of this plan that it waits for.
    #[must_use]
    pub fn batches(&self) -> &[PlanBatch] {
        &self.parts.batches
    }

    /// One batch.
    #[must_use]
    pub fn batch(&self, name: &BatchId) -> Option<&PlanBatch> {
        self.parts.batches.iter().find(|batch| batch.name == *name)
    }

    /// All its moves with their batch, in the order of the batches.
    pub fn moves<'p>(&'p self) -> impl Iterator<Item = (&'p BatchId, &'p NodeId, &'p ShardId)> {
        let moves = |batch: &'p PlanBatch| {
            let PlanBatch { name, nodes, .. } = batch;
            nodes.iter().map(move |(node, target)| (name, node, target))
        };
        self.parts.batches.iter().flat_map(moves)
    }
}

fn moving<'b>(source: &ShardId, batches: &'b [PlanBatch]) -> Result<BTreeSet<&'b NodeId>, PlanError> {
    if batches.is_empty() {
        return Err(PlanError::NoBatch);
    }
    let mut moving = BTreeSet::new();
    for batch in batches {
        if batch.nodes.is_empty() {
            return Err(PlanError::EmptyBatch(batch.name.clone()));
        }
        for (node, target) in &batch.nodes {
            if target == source {
                return Err(PlanError::TargetIsSource(node.clone()));
            }
            if !moving.insert(node) {
                return Err(PlanError::NodeTwice(node.clone()));
            }
        }
    }
    Ok(moving)
}

fn windows(batch: &PlanBatch) -> Result<(), PlanError> {
    let wrong = |why| Err(PlanError::Windows { batch: batch.name.clone(), why });
    if batch.when == When::Window && batch.windows.is_empty() {
        return wrong("it waits for a window and has none");
    }
    if batch.windows.len() > WINDOWS_MAX || !batch.windows.iter().all(|window| window.is_valid()) {
        return wrong("its windows are too many or not parts of a day");
    }
    if batch.force_after_ms.is_some() && batch.when != When::Idle {
        return wrong("only waiting for idle nodes can be forced");
    }
    Ok(())
}

fn ordered(batches: Vec<PlanBatch>) -> Result<Vec<PlanBatch>, PlanError> {
    let mut numbers = BTreeMap::new();
    for (number, batch) in batches.iter().enumerate() {
        if numbers.insert(&batch.name, number).is_some() {
            return Err(PlanError::BatchTwice(batch.name.clone()));
        }
    }
    // A name that is not of this plan is of an earlier one and holds up nothing here.
    let waits_for: Vec<Vec<usize>> = batches
        .iter()
        .map(|batch| batch.after.iter().filter_map(|name| numbers.get(name).copied()).collect())
        .collect();
    let sorted = order(&waits_for).map_err(|cycles| {
        let first = cycles.first().and_then(|cycle| cycle.first()).copied().unwrap_or(0);
        PlanError::Cycle(batches[first].name.clone())
    })?;
    let mut batches: Vec<Option<PlanBatch>> = batches.into_iter().map(Some).collect();
    Ok(sorted.into_iter().filter_map(|number| batches[number].take()).collect())
}

impl TryFrom<Parts> for Plan {
    type Error = PlanError;

    fn try_from(parts: Parts) -> Result<Self, PlanError> {
        let plan = Self::new(parts.revision, parts.based_on, parts.source, parts.accept_damaged, parts.batches)?;
        Ok(plan.from_any_shard(parts.from_any_shard))
    }
}

impl From<Plan> for Parts {
    fn from(plan: Plan) -> Self {
        plan.parts
    }
}
