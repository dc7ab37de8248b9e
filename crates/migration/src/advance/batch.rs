//! What follows for batches.

use crate::batch::{Batch, BatchPhase, OnAlert, Verdict};
use crate::event::{Event, Placement};
use crate::node::Node;
use crate::stage::Stage;
use crate::world::World;
use shardlift_model::UnixMillis;

/// The events of the first batch for which anything follows: what follows for the next one may depend on them.
pub(super) fn advance(world: &World, now: UnixMillis) -> Vec<Event> {
    let mut live: Vec<&Batch> = world.batches.values().filter(|batch| !batch.phase.is_over()).collect();
    live.sort_by_key(|batch| (batch.plan_revision, batch.position));
    live.into_iter().map(|batch| follows(world, batch, now)).find(|events| !events.is_empty()).unwrap_or_default()
}

fn follows(world: &World, batch: &Batch, now: UnixMillis) -> Vec<Event> {
    let name = || batch.batch.clone();
    match batch.phase {
        BatchPhase::Planned | BatchPhase::Preparing | BatchPhase::CuttingOver
            if world.remaining(batch).next().is_none() =>
        {
            vec![Event::BatchAborted { batch: name() }]
        }
        BatchPhase::Preparing if batch.ready_at.is_none() && world.is_ready(batch) => {
            vec![Event::BatchReady { batch: name(), at: now }]
        }
        BatchPhase::CuttingOver => cutting_over(world, batch, now),
        BatchPhase::Committed | BatchPhase::Soaking => {
            ended(world, batch, now).map_or_else(|| soaking(world, batch, now), |event| vec![event])
        }
        _ => vec![],
    }
}

/// Commits when all that are left are sealed. When the time is over, those that are not sealed leave; nobody else is
/// touched (INV-12).
fn cutting_over(world: &World, batch: &Batch, now: UnixMillis) -> Vec<Event> {
    let unsealed: Vec<&Node> =
        world.remaining(batch).filter(|(_, moving)| moving.stage != Stage::Sealed).map(|(node, _)| node).collect();
    if unsealed.is_empty() {
        return commit(world, batch, now).into_iter().collect();
    }
    let over = batch.cutover_at.is_some_and(|began| now.since(began) > world.limits.cutover_max());
    let late = |node: &Node| {
        let reason = format!("it was not sealed within the {} ms of a cutover", world.limits.cutover_ms_max);
        Event::UndoStarted { node: node.node.clone(), reason }
    };
    unsealed.into_iter().filter(|_| over).map(late).collect()
}

fn commit(world: &World, batch: &Batch, now: UnixMillis) -> Option<Event> {
    let placements: Option<Vec<Placement>> =
        world.remaining(batch).map(|(node, moving)| node.new_placement(moving)).collect();
    Some(Event::BatchCommitted { batch: batch.batch.clone(), at: now, placements: placements? })
}

/// None of its nodes is served by its target under this batch any more.
fn ended(world: &World, batch: &Batch, now: UnixMillis) -> Option<Event> {
    if !world.members(batch).all(|(_, moving)| moving.is_concluded()) {
        return None;
    }
    let has = |stage| world.members(batch).any(|(_, moving)| moving.stage == stage);
    let name = batch.batch.clone();
    match batch.phase {
        BatchPhase::Soaking if has(Stage::Released) => Some(Event::BatchReleased { batch: name, at: now }),
        _ if has(Stage::RolledBack) || has(Stage::Deposing) => Some(Event::BatchRolledBack { batch: name }),
        _ => None,
    }
}

fn soaking(world: &World, batch: &Batch, now: UnixMillis) -> Vec<Event> {
    let name = || batch.batch.clone();
    if let Some(verdict) = verdict(world, batch, now) {
        return vec![Event::VerdictReached { batch: name(), verdict }];
    }
    let back = heeding(world, batch, now);
    if !back.is_empty() {
        return back;
    }
    if batch.phase == BatchPhase::Committed && world.is_settled(batch) {
        return vec![Event::BatchSettled { batch: name() }];
    }
    vec![]
}

/// A verdict that is not recorded yet. An alert counts at once, even after a good verdict.
fn verdict(world: &World, batch: &Batch, now: UnixMillis) -> Option<Verdict> {
    if let Some((node, alert)) = world.soak_alert(batch) {
        let told = matches!(batch.verdict, Some(Verdict::Bad { .. }));
        return (!told).then(|| Verdict::Bad { reason: format!("`{node}`: {alert}") });
    }
    let open = batch.phase == BatchPhase::Soaking && batch.verdict.is_none();
    let good = open
        && world.remaining(batch).any(|(_, moving)| moving.is_soaking())
        && world.soak_left(batch, now).is_zero()
        && world.soak_unproved(batch).next().is_none();
    good.then_some(Verdict::Good)
}

/// The ways back that a bad verdict leads to, each begun once.
fn heeding(world: &World, batch: &Batch, now: UnixMillis) -> Vec<Event> {
    let Some(Verdict::Bad { reason }) = &batch.verdict else { return vec![] };
    if batch.soak.on_alert != OnAlert::RollBack {
        return vec![];
    }
    let reason = format!("the verdict on its batch is bad: {reason}");
    let soaking = world.remaining(batch).filter(|(_, moving)| moving.is_soaking() && !moving.verdict_heeded);
    let started = |(node, _): (&Node, _)| {
        let (node, reason) = (node.node.clone(), reason.clone());
        Event::RollbackStarted { node, reason, rehearsal: false, at: now }
    };
    soaking.map(started).collect()
}
