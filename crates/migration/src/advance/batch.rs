//! What follows for batches.

use crate::batch::{Batch, BatchPhase};
use crate::event::{Event, Placement};
use crate::node::{Migration, Node};
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
        BatchPhase::Preparing if world.may_cut_over(batch) => vec![Event::CutoverStarted { batch: name(), at: now }],
        BatchPhase::CuttingOver => cutting_over(world, batch, now),
        BatchPhase::Committed if world.remaining(batch).all(|(_, moving)| moving.stage == Stage::Soaking) => {
            vec![Event::BatchSettled { batch: name() }]
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
    let placement = |(node, moving): (&Node, &Migration)| {
        let (shard, generation) = (moving.target.clone(), node.generation.next());
        Some(Placement { node: node.node.clone(), shard, generation, final_state: moving.final_state? })
    };
    let placements: Option<Vec<Placement>> = world.remaining(batch).map(placement).collect();
    let route_version = world.route_version.saturating_add(1);
    Some(Event::BatchCommitted { batch: batch.batch.clone(), at: now, route_version, placements: placements? })
}
