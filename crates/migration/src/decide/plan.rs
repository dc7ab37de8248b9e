//! A reviewed plan comes into force.

use super::Refusal;
use crate::batch::{Batch, BatchPhase};
use crate::event::Event;
use crate::record::BatchOrders;
use crate::stage::Stage;
use crate::world::{AppliedPlan, World};
use shardlift_model::{BatchId, NodeId, UnixMillis};
use shardlift_planner::{FILE_BYTES_MAX, Plan, PlanBatch};
use std::collections::BTreeSet;

/// Batches of the plan that were started already, with the same moves, are carried over as they are.
pub(super) fn apply(
    world: &World,
    plan: &Plan,
    text: &str,
    reviewed: u64,
    now: UnixMillis,
) -> Result<Vec<Event>, Refusal> {
    revisions(world, plan, reviewed)?;
    if text.len() > FILE_BYTES_MAX {
        return Err(Refusal::invalid(format!("a plan file has at most {FILE_BYTES_MAX} bytes"), "split the plan"));
    }
    let carried: BTreeSet<&BatchId> = world.started().map(|batch| &batch.batch).collect();
    let mut batches = Vec::new();
    for (position, batch) in (0_u32..).zip(plan.batches()) {
        if carried.contains(&batch.name) {
            same_moves(world, batch)?;
        } else {
            movable(world, plan, batch)?;
            batches.push(new_batch(plan, batch, position));
        }
    }
    let new: BTreeSet<&NodeId> = batches.iter().flat_map(|batch| batch.nodes.keys()).collect();
    let accept_damaged = plan.accept_damaged().iter().filter(|node| new.contains(node)).cloned().collect();
    let plan = AppliedPlan { revision: plan.revision(), text: text.to_owned(), applied_at: now };
    world.checked(Event::PlanApplied { plan, batches, accept_damaged })
}

fn revisions(world: &World, plan: &Plan, reviewed: u64) -> Result<(), Refusal> {
    let (revision, based_on, present) = (plan.revision(), plan.based_on(), world.plan_revision());
    if reviewed != revision {
        let message = format!("revision {reviewed} was reviewed, but the file has revision {revision}");
        return Err(Refusal::precondition(message, format!("review the file, then apply it as revision {revision}")));
    }
    if based_on != present {
        let message = format!("the plan is based on revision {based_on}, but revision {present} is in force");
        let advice = format!("compare it with `shardlift plan show`, then set `based_on = {present}`");
        return Err(Refusal::precondition(message, advice));
    }
    Ok(())
}

fn same_moves(world: &World, batch: &PlanBatch) -> Result<(), Refusal> {
    let Some(started) = world.batches.get(&batch.name) else { return Ok(()) };
    let same_policy = started.when == batch.when
        && started.windows == batch.windows
        && started.force_after_ms == batch.force_after_ms
        && started.soak == batch.soak;
    if started.nodes == batch.nodes && same_policy {
        return Ok(());
    }
    if started.nodes == batch.nodes {
        let message = format!(
            "batch `{}` was started already, with another `when`, `windows`, `force_after` or `soak`",
            batch.name
        );
        return Err(Refusal::conflict(message, "put these back: a batch keeps what it was started with"));
    }
    let message = format!("batch `{}` was started already, with other moves", batch.name);
    Err(Refusal::conflict(message, "give the new batch a name that no batch had before"))
}

fn movable(world: &World, plan: &Plan, batch: &PlanBatch) -> Result<(), Refusal> {
    for (node, target) in &batch.nodes {
        let known = super::moves::known(world, node)?;
        if known.shard != *plan.source() && plan.is_from_any_shard() {
            if known.shard == *target {
                let message = format!("node `{node}` is on `{target}` already");
                return Err(Refusal::precondition(message, "remove it from the plan"));
            }
        } else if known.shard != *plan.source() {
            let message = format!("node `{node}` is on `{}`, not on the source `{}`", known.shard, plan.source());
            return Err(Refusal::precondition(message, "plan it in a plan of its own source"));
        }
        if let Some(moving) = known.migration.as_ref().filter(|_| !world.is_free(node)) {
            let message = format!("node `{node}` is moving already, in batch `{}`", moving.batch);
            return Err(Refusal::conflict(message, "wait for that batch, or abort the node in it first"));
        }
        let released = known.migration.as_ref().filter(|moving| moving.stage == Stage::Released);
        if released.is_some_and(|moving| moving.source == *target) {
            let message = format!("node `{node}` has its old copy on `{target}`, in quarantine");
            let advice = format!("{}, then `shardlift node rollback {node}`", super::back::out_of_quarantine(node));
            return Err(Refusal::precondition(message, advice));
        }
        if !world.shards.contains_key(target) {
            let advice = "`shardlift shard list` shows all shards";
            return Err(Refusal::not_found(format!("target `{target}` is not a shard of this cluster"), advice));
        }
    }
    Ok(())
}

fn new_batch(plan: &Plan, batch: &PlanBatch, position: u32) -> Batch {
    Batch {
        batch: batch.name.clone(),
        plan_revision: plan.revision(),
        position,
        after: batch.after.clone(),
        nodes: batch.nodes.clone(),
        when: batch.when,
        windows: batch.windows.clone(),
        force_after_ms: batch.force_after_ms,
        soak: batch.soak,
        phase: BatchPhase::Planned,
        paused: false,
        started_at: None,
        ready_at: None,
        cutover_at: None,
        committed_at: None,
        verdict: None,
        orders: BatchOrders::default(),
    }
}
