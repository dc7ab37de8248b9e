//! What follows for single nodes.

use crate::batch::{Batch, BatchPhase};
use crate::event::Event;
use crate::node::{CertificateState, Migration, Node};
use crate::stage::Stage;
use crate::world::World;
use shardlift_model::UnixMillis;

pub(super) fn advance(world: &World, now: UnixMillis) -> Vec<Event> {
    let moves = world.nodes.values().filter_map(|node| Some((node, node.migration.as_ref()?)));
    let live = moves.filter(|(_, moving)| !moving.stage.is_over() && moving.held.is_none());
    let mut places = None;
    let mut events = Vec::new();
    for (node, moving) in live {
        if moving.reenter && moving.stage.again().is_some_and(Stage::is_seeding) {
            // It takes a place like one that begins.
            let places = places.get_or_insert_with(|| world.seeding_places());
            if *places == 0 {
                continue;
            }
            *places -= 1;
        }
        events.extend(follows(world, node, moving, now));
    }
    let mut places = places.unwrap_or(usize::MAX);
    for node in waiting(world) {
        places = if places == usize::MAX { world.seeding_places() } else { places };
        if places == 0 {
            break;
        }
        places -= 1;
        events.push(node.enter(Stage::Offering, now));
    }
    events
}

fn follows(world: &World, node: &Node, moving: &Migration, now: UnixMillis) -> Option<Event> {
    if moving.undo_reason.is_some() && !moving.stage.is_undo() {
        return moving.stage.undo().map(|stage| node.enter(stage, now));
    }
    if moving.reenter {
        return begins_anew(world, node, moving, now);
    }
    let phase = world.batches.get(&moving.batch).map(|batch| batch.phase);
    let next = match moving.stage {
        Stage::Verifying if moving.verified.is_some() => Stage::AwaitingCertificate,
        Stage::AwaitingCertificate if matches!(node.certificate, CertificateState::InUse { .. }) => Stage::Ready,
        Stage::Ready if phase == Some(BatchPhase::CuttingOver) => Stage::Fencing,
        Stage::Fencing if moving.final_state.is_some() => Stage::Completing,
        Stage::Completing if moving.final_state.is_some() && moving.verified == moving.final_state => Stage::Sealing,
        // Nobody to read back, nobody to ask.
        Stage::Routing if world.routers.is_empty() && world.routes_are_servable() => Stage::Retiring,
        Stage::Probing if world.routers.is_empty() => Stage::Soaking,
        Stage::Soaking if phase == Some(BatchPhase::Released) => Stage::Releasing,
        _ => return None,
    };
    Some(node.enter(next, now))
}

fn begins_anew(world: &World, node: &Node, moving: &Migration, now: UnixMillis) -> Option<Event> {
    let stage = moving.stage.again()?;
    let max = world.limits.fence_attempts_max;
    if stage == Stage::Fencing && moving.fence_attempts > max {
        let last = moving.fence_lost.as_deref().unwrap_or("no reason was given");
        let reason = format!("the fence was lost {} times; the last time: {last}", moving.fence_attempts);
        return Some(Event::UndoStarted { node: node.node.clone(), reason });
    }
    Some(node.enter(stage, now))
}

/// Nodes of started batches that have not begun, in the order of the plan.
fn waiting(world: &World) -> impl Iterator<Item = &Node> {
    let open = |batch: &&Batch| batch.phase == BatchPhase::Preparing && !batch.paused;
    let mut batches: Vec<&Batch> = world.batches.values().filter(open).collect();
    batches.sort_by_key(|batch| (batch.plan_revision, batch.position));
    let nodes = batches.into_iter().flat_map(|batch| world.remaining(batch));
    nodes.filter(|(_, moving)| moving.stage == Stage::Planned).map(|(node, _)| node)
}
