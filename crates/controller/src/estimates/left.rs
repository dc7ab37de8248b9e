//! What is still to be done: by batch, by source, by target. From what is recorded, and from what the shards said last.

use crate::observed::Observed;
use crate::operator::{in_order, node_progress};
use shardlift_migration::{Batch, BatchPhase, Migration, Node, World};
use shardlift_model::{BatchId, NodeId, ShardId, UnixMillis};
use shardlift_planner::PlanFile;
use shardlift_planner::estimate::{BatchWork, soaks_of};
use std::collections::BTreeMap;

/// How long a flip takes, from the fence to the last router: a few seconds, whatever moves.
const FLIP_MS: u64 = 5_000;

/// A batch that is not over.
#[derive(Debug, Clone)]
pub(crate) struct Left {
    pub(crate) batch: BatchId,
    /// Nodes that flip with it.
    pub(crate) nodes: u64,
    /// Time that does not depend on bytes.
    fixed_ms: u64,
    parts: BTreeMap<ShardId, BatchWork>,
}

impl Left {
    const fn new(batch: BatchId, fixed_ms: u64) -> Self {
        Self { batch, nodes: 0, fixed_ms, parts: BTreeMap::new() }
    }

    fn add(&mut self, (source, target): (&ShardId, &ShardId), sizes: (u64, u64)) {
        let none = || BatchWork::none(self.batch.clone(), self.fixed_ms);
        if sizes.0 > 0 {
            self.parts.entry(source.clone()).or_insert_with(none).add(target, sizes);
        }
    }

    /// The sources that still have to give.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &ShardId> {
        self.parts.keys()
    }

    /// What this source still has to give; none, but the same time, when it is another one's batch.
    pub(super) fn part(&self, source: Option<&ShardId>) -> BatchWork {
        let part = source.and_then(|source| self.parts.get(source)).cloned();
        part.unwrap_or_else(|| BatchWork::none(self.batch.clone(), self.fixed_ms))
    }

    /// Bytes that are still to go.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.values().map(BatchWork::total).fold(0, u64::saturating_add)
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = &ShardId> {
        self.parts.values().flat_map(|part| part.bytes.keys())
    }
}

/// What a node gains each day; one that shrinks, and one of which nothing was heard, gains nothing.
fn growth(observed: &Observed, node: &Node) -> u64 {
    let daily = observed.activities.get(&node.node).map_or(0, |activity| activity.growth_bytes_per_day());
    u64::try_from(daily).unwrap_or(0)
}

/// All batches that are not over, in their order.
pub(crate) fn left(world: &World, observed: &Observed, now: UnixMillis) -> Vec<Left> {
    let open = in_order(world).filter(|batch| !batch.phase.is_over());
    open.map(|batch| left_of(world, observed, batch, now)).collect()
}

fn left_of(world: &World, observed: &Observed, batch: &Batch, now: UnixMillis) -> Left {
    let soak_ms = u64::try_from(world.soak_left(batch, now).as_millis()).unwrap_or(u64::MAX);
    let fixed_ms = match batch.phase {
        BatchPhase::Soaking | BatchPhase::Committed => soak_ms,
        _ => batch.soak.min_ms.saturating_add(FLIP_MS),
    };
    let mut left = Left::new(batch.batch.clone(), fixed_ms);
    for (node, moving) in world.remaining(batch) {
        left.nodes += 1;
        if !moving.is_committed() {
            let progress = node_progress(observed, node);
            let bytes = progress.bytes_total.saturating_sub(progress.bytes_done);
            left.add((&moving.source, &moving.target), (bytes, growth(observed, node)));
        }
    }
    left
}

/// A plan file that names a node nobody knows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownNode(pub(crate) NodeId);

/// The batches of a plan file, in its order. What is under way of them counts as it is, what is over not at all.
pub(crate) fn left_of_file(
    world: &World,
    observed: &Observed,
    file: &PlanFile,
    now: UnixMillis,
) -> Result<Vec<Left>, UnknownNode> {
    let soaks = soaks_of(file);
    let mut all = Vec::new();
    for (name, moves) in file.batches() {
        let begun = world.batches.get(name).filter(|batch| batch.phase != BatchPhase::Planned);
        if let Some(batch) = begun {
            if !batch.phase.is_over() {
                all.push(left_of(world, observed, batch, now));
            }
            continue;
        }
        let soak_ms = soaks.get(name).copied().unwrap_or(0);
        let mut left = Left::new(name.clone(), soak_ms.saturating_add(FLIP_MS));
        for (name, target) in moves {
            let node = world.nodes.get(name).ok_or_else(|| UnknownNode(name.clone()))?;
            let bytes = observed.at_writer(node).map_or(0, |status| status.bytes);
            left.nodes += 1;
            left.add((&node.shard, target), (bytes, growth(observed, node)));
        }
        all.push(left);
    }
    Ok(all)
}

/// Since when a batch is in its phase; `None` where that is not recorded.
pub(crate) fn batch_since(world: &World, batch: &Batch) -> Option<UnixMillis> {
    match batch.phase {
        BatchPhase::Planned => {
            world.plan.as_ref().filter(|plan| plan.revision == batch.plan_revision).map(|plan| plan.applied_at)
        }
        BatchPhase::Preparing => batch.started_at,
        BatchPhase::CuttingOver => batch.cutover_at,
        BatchPhase::Committed => batch.committed_at,
        // It began with the last node that came to be served by its target.
        BatchPhase::Soaking => {
            let soaking = world.remaining(batch).map(|(_, moving)| moving).filter(|moving| moving.is_soaking());
            soaking.map(Migration::phase_since).max()
        }
        BatchPhase::Released | BatchPhase::Aborted | BatchPhase::RolledBack => None,
    }
}
