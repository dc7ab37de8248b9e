//! Batches as operators see them.

use super::fleet::{fleet_node, waiting_for};
use super::progress;
use crate::observed::Observed;
use shardlift_api::v1;
use shardlift_migration::{Batch, BatchPhase, Node, Stage, World};

/// Reasons shown for one batch.
const REASONS_MAX: usize = 20;

/// All batches in the order of their plans.
pub(super) fn batch_views(world: &World, observed: &Observed) -> Vec<v1::BatchView> {
    in_order(world).map(|batch| batch_view(world, observed, batch)).collect()
}

/// By plan, then by place in the plan.
pub(crate) fn in_order(world: &World) -> impl Iterator<Item = &Batch> {
    let mut batches: Vec<&Batch> = world.batches.values().collect();
    batches.sort_by_key(|batch| (batch.plan_revision, batch.position, &batch.batch));
    batches.into_iter()
}

/// The nodes whose present or last move belongs to this batch.
pub(crate) fn members<'w>(world: &'w World, batch: &'w Batch) -> impl Iterator<Item = &'w Node> {
    let known = batch.nodes.keys().filter_map(|node| world.nodes.get(node));
    known.filter(|node| node.migration.as_ref().is_some_and(|migration| migration.batch == batch.batch))
}

/// Progress of all nodes that have not left the batch.
pub(crate) fn batch_progress(world: &World, observed: &Observed, batch: &Batch) -> v1::Progress {
    let stays = |node: &&Node| node.migration.as_ref().is_some_and(|m| !has_left(m.stage));
    progress::sum(members(world, batch).filter(stays).map(|node| progress::of_node(observed, node)))
}

const fn has_left(stage: Stage) -> bool {
    matches!(stage, Stage::Unfencing | Stage::Discarding | Stage::Aborted)
}

pub(super) fn batch_view(world: &World, observed: &Observed, batch: &Batch) -> v1::BatchView {
    let node_view = |node: &Node| {
        let mut view = fleet_node(world, observed, node);
        // In its batch, a node whose move is over still shows how it ended.
        if let Some(migration) = &node.migration {
            view.phase = migration.stage.phase().as_str().to_owned();
            view.batch = migration.batch.to_string();
            view.target = migration.target.to_string();
        }
        view
    };
    v1::BatchView {
        batch: batch.batch.to_string(),
        phase: batch.phase.as_str().to_owned(),
        paused: batch.paused,
        plan_revision: batch.plan_revision,
        started_at_unix_ms: batch.started_at.map_or(0, |at| at.0),
        committed_at_unix_ms: batch.committed_at.map_or(0, |at| at.0),
        route_version: batch.route_version.unwrap_or(0),
        progress: Some(batch_progress(world, observed, batch)),
        nodes: members(world, batch).map(node_view).collect(),
        waiting_for: reasons(world, observed, batch),
    }
}

fn reasons(world: &World, observed: &Observed, batch: &Batch) -> Vec<String> {
    let mut reasons = Vec::new();
    if batch.phase.is_over() {
        return reasons;
    }
    if batch.phase == BatchPhase::Planned {
        reasons.push(format!("an operator: shardlift batch start {}", batch.batch));
        return reasons;
    }
    if batch.paused {
        reasons.push(format!("an operator: shardlift batch resume {}", batch.batch));
    }
    if batch.phase == BatchPhase::Soaking {
        reasons.push(format!("the end of the soak: shardlift batch release {}", batch.batch));
        return reasons;
    }
    let done = |name| {
        let phase = world.batches.get(name).map(|before| before.phase);
        phase.is_none_or(|phase| matches!(phase, BatchPhase::Soaking | BatchPhase::Released | BatchPhase::Aborted))
    };
    if batch.phase == BatchPhase::Preparing {
        reasons.extend(batch.after.iter().filter(|name| !done(name)).map(|name| format!("batch {name} to soak")));
    }
    for node in members(world, batch) {
        let Some(migration) = &node.migration else { continue };
        if migration.stage.is_over() || migration.stage == Stage::Ready {
            continue;
        }
        let why = match &migration.held {
            Some(held) => format!("an operator, because {}", held.reason),
            None => waiting_for(world, observed, node),
        };
        if !why.is_empty() {
            reasons.push(format!("{}: {why}", node.node));
        }
    }
    if reasons.len() > REASONS_MAX {
        let left_out = reasons.len() - REASONS_MAX;
        reasons.truncate(REASONS_MAX);
        reasons.push(format!("and {left_out} more"));
    }
    reasons
}
