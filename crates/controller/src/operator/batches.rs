//! Batches as operators see them.

use super::fleet::{fleet_node, rfc3339, waiting_for};
use super::{progress, verify};
use crate::clock;
use crate::estimates::{self, Outlook};
use crate::observed::Observed;
use shardlift_api::v1;
use shardlift_migration::{Batch, BatchPhase, Migration, Node, Stage, Verdict, World};
use shardlift_model::{BatchId, ShardId};

/// Reasons shown for one batch.
const REASONS_MAX: usize = 20;

/// Nodes of all batches that are shown together.
const NODES_SHOWN_MAX: usize = 2000;

/// All batches in the order of their plans.
///
/// With their nodes as long as these are few; else only those of batches that are under way, and of the one that is named.
pub(super) fn batch_views(world: &World, observed: &Observed, named: &str) -> Vec<v1::BatchView> {
    views_and_whole(world, observed, named).0
}

/// The same, and how long all batches that are not over take.
pub(super) fn views_and_whole(
    world: &World,
    observed: &Observed,
    named: &str,
) -> (Vec<v1::BatchView>, Option<v1::EstimateView>) {
    let notes = Notes::of(world, observed);
    let few = world.batches.values().map(|batch| batch.nodes.len()).sum::<usize>() <= NODES_SHOWN_MAX;
    let is_shown = |batch: &Batch| {
        let under_way = batch.phase != BatchPhase::Planned && !batch.phase.is_over();
        few || under_way || batch.batch.as_str() == named
    };
    let view = |batch: &Batch| {
        let nodes = if is_shown(batch) { node_views(world, observed, batch) } else { Vec::new() };
        batch_view(world, observed, batch, &notes, nodes)
    };
    let views = in_order(world).map(view).collect();
    (views, notes.outlook.as_ref().map(|outlook| estimates::view(&outlook.whole)))
}

/// One batch with its nodes.
pub(super) fn whole_view(world: &World, observed: &Observed, batch: &Batch) -> v1::BatchView {
    let nodes = node_views(world, observed, batch);
    batch_view(world, observed, batch, &Notes::of(world, observed), nodes)
}

/// What is said of batches by looking at all of them.
struct Notes {
    outlook: Option<Outlook>,
    advice: Option<(BatchId, String)>,
}

impl Notes {
    fn of(world: &World, observed: &Observed) -> Self {
        let now = clock::now();
        let left = estimates::left(world, observed, now);
        let conditions = |source: &ShardId| estimates::conditions(world, observed, &left, source);
        let outlook = estimates::outlook(&left, &observed.measured, conditions, now);
        Self { outlook, advice: estimates::advice(world).map(|(batch, note)| (batch.clone(), note)) }
    }

    fn estimate(&self, batch: &Batch) -> Option<v1::EstimateView> {
        self.outlook.as_ref()?.batches.get(&batch.batch).map(estimates::view)
    }

    fn advice(&self, batch: &Batch) -> String {
        let note = self.advice.as_ref().filter(|(name, _)| *name == batch.batch);
        note.map(|(_, note)| note.clone()).unwrap_or_default()
    }
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
    let stays = |node: &&Node| node.migration.as_ref().is_some_and(|m| !m.has_left());
    progress::sum(members(world, batch).filter(stays).map(|node| progress::of_node(observed, node)))
}

fn node_views(world: &World, observed: &Observed, batch: &Batch) -> Vec<v1::FleetNode> {
    let node_view = |node: &Node| {
        let mut view = fleet_node(world, observed, node);
        // In its batch, a node whose move is over still shows how it ended.
        if let Some(migration) = &node.migration {
            view.phase = migration.phase().as_str().to_owned();
            view.batch = migration.batch.to_string();
            view.target = migration.target.to_string();
            view.since_unix_ms = migration.phase_since().0;
        }
        view
    };
    members(world, batch).map(node_view).collect()
}

fn batch_view(
    world: &World,
    observed: &Observed,
    batch: &Batch,
    notes: &Notes,
    nodes: Vec<v1::FleetNode>,
) -> v1::BatchView {
    v1::BatchView {
        batch: batch.batch.to_string(),
        phase: batch.phase.as_str().to_owned(),
        paused: batch.paused,
        plan_revision: batch.plan_revision,
        started_at_unix_ms: batch.started_at.map_or(0, |at| at.0),
        committed_at_unix_ms: batch.committed_at.map_or(0, |at| at.0),
        route_version: route_version(world, batch),
        progress: Some(batch_progress(world, observed, batch)),
        nodes,
        node_count: members(world, batch).count() as u64,
        waiting_for: reasons(world, observed, batch),
        when: batch.when.as_str().to_owned(),
        next_window_unix_ms: batch.next_window(clock::now()).map_or(0, |at| at.0),
        verdict: verdict_words(batch),
        estimate: notes.estimate(batch),
        since_unix_ms: estimates::batch_since(world, batch).map_or(0, |at| at.0),
        advice: notes.advice(batch),
    }
}

/// The first version of the routes in which all its nodes that flipped lead to their new place.
fn route_version(world: &World, batch: &Batch) -> u64 {
    let versions = members(world, batch).filter_map(|node| node.migration.as_ref()?.route_version);
    versions.max().unwrap_or(0)
}

/// What its soak came to. One that was moved back has none: nothing of it soaks any more.
fn verdict_words(batch: &Batch) -> String {
    match &batch.verdict {
        _ if batch.phase == BatchPhase::RolledBack => String::new(),
        None => String::new(),
        Some(Verdict::Good) => "good".to_owned(),
        Some(Verdict::Bad { reason }) => format!("bad: {reason}"),
    }
}

/// What stands between a batch whose nodes are all ready and its flip.
fn moment(world: &World, observed: &Observed, batch: &Batch) -> Vec<String> {
    let now = clock::now();
    if !world.is_flippable(batch) {
        return Vec::new();
    }
    let mut reasons = observed.batch_waits.get(&batch.batch).cloned().unwrap_or_default();
    if !batch.window_at(now)
        && let Some(next) = batch.next_window(now)
    {
        reasons.push(format!("its next window, at {}", rfc3339(next)));
    }
    reasons
}

/// What the soak still has to show, and what an operator can do.
fn soak(world: &World, observed: &Observed, batch: &Batch) -> Vec<String> {
    let name = &batch.batch;
    match &batch.verdict {
        Some(Verdict::Good) => vec![format!("an operator: shardlift batch release {name}")],
        Some(Verdict::Bad { reason }) => vec![format!(
            "an operator, because {reason}: shardlift batch rollback {name}, or shardlift batch release {name} --force"
        )],
        None => {
            let left = world.soak_left(batch, clock::now());
            let time = (!left.is_zero()).then(|| format!("the rest of the soak, {} s", left.as_secs()));
            let unproved = world.soak_unproved(batch).map(|(node, _)| {
                let what = verify::under_way(observed, node).unwrap_or_else(|| "what its soak must show".to_owned());
                format!("{}: {what}", node.node)
            });
            time.into_iter().chain(unproved).collect()
        }
    }
}

fn reasons(world: &World, observed: &Observed, batch: &Batch) -> Vec<String> {
    let mut reasons = Vec::new();
    if batch.phase.is_over() {
        // All that is left of it are shards that were given up and have not returned.
        let waits = members(world, batch).filter(|node| node.is_moving());
        let concluded = waits.filter(|node| node.migration.as_ref().is_some_and(Migration::is_concluded));
        reasons.extend(concluded.map(|node| format!("{}: {}", node.node, waiting_for(world, observed, node))));
        return bounded(reasons);
    }
    if batch.phase == BatchPhase::Planned {
        reasons.push(format!("an operator: shardlift batch start {}", batch.batch));
        return reasons;
    }
    if batch.paused {
        reasons.push(format!("an operator: shardlift batch resume {}", batch.batch));
    }
    if batch.phase == BatchPhase::Soaking {
        reasons.extend(soak(world, observed, batch));
    }
    if batch.phase == BatchPhase::Preparing {
        let unmet = world.unmet_after(batch);
        reasons.extend(unmet.map(|name| format!("batch {name} to come to a good end of its soak")));
        reasons.extend(moment(world, observed, batch));
    }
    for node in members(world, batch) {
        let Some(migration) = &node.migration else { continue };
        if migration.stage.is_over() || migration.stage == Stage::Ready || migration.is_soaking() {
            continue;
        }
        if reasons.len() > REASONS_MAX {
            // What is left out is counted, not told.
            reasons.push(String::new());
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
    bounded(reasons)
}

fn bounded(mut reasons: Vec<String>) -> Vec<String> {
    if reasons.len() > REASONS_MAX {
        let left_out = reasons.len() - REASONS_MAX;
        reasons.truncate(REASONS_MAX);
        reasons.push(format!("and {left_out} more"));
    }
    reasons
}
