//! What follows for single nodes.

use crate::batch::{Batch, BatchPhase};
use crate::command::FinalState;
use crate::event::{Event, Placement};
use crate::node::{CertificateState, Migration, Node};
use crate::stage::{Stage, Way};
use crate::world::World;
use shardlift_model::UnixMillis;

/// Why a rehearsal that went well is undone.
const REHEARSED: &str = "the rehearsal is over: the way back is good";

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
    if moving.undo_reason.is_some() && !moving.is_undoing() {
        return moving.stage.undo(moving.direction).map(|stage| node.enter(stage, now));
    }
    if let Some(reason) = ends_way_back(world, moving, now) {
        return Some(Event::UndoStarted { node: node.node.clone(), reason });
    }
    if moving.reenter {
        return begins_anew(world, node, moving, now);
    }
    if moving.is_back() && moving.stage == Stage::Sealed {
        return commit_back(node, moving, now);
    }
    if moving.stage == Stage::TakingStock {
        return commit_takeover(node, moving, now);
    }
    next(world, node, moving).map(|stage| node.enter(stage, now))
}

fn next(world: &World, node: &Node, moving: &Migration) -> Option<Stage> {
    let phase = world.batches.get(&moving.batch).map(|batch| batch.phase);
    Some(match moving.stage {
        Stage::Verifying if moving.verified.is_some() => Stage::AwaitingCertificate,
        Stage::AwaitingCertificate if matches!(node.certificate, CertificateState::InUse { .. }) => Stage::Ready,
        Stage::Ready if phase == Some(BatchPhase::CuttingOver) => Stage::Fencing,
        Stage::Fencing if moving.final_state.is_some() => Stage::Completing,
        Stage::Completing if moving.is_equal() => Stage::Sealing,
        Stage::Promoting if moving.promoted.is_some() => moving.promoted_leads_to(),
        // Nobody to read back, nobody to ask.
        Stage::Routing if world.routers.is_empty() => Stage::Probing,
        Stage::Redirecting if world.routers.is_empty() => Stage::Promoting,
        Stage::Probing if world.routers.is_empty() => moving.probed(),
        Stage::Soaking if phase == Some(BatchPhase::Released) => Stage::Releasing,
        _ if moving.written_off => return moving.written_off_leads_to(),
        _ => return None,
    })
}

/// Why a way back ends before its seal: it was a rehearsal and went well, or clients have waited long enough.
fn ends_way_back(world: &World, moving: &Migration, now: UnixMillis) -> Option<String> {
    let open = moving.is_back() && moving.undo_reason.is_none() && moving.stage.is_cutting_over();
    if !open || moving.stage == Stage::Sealed {
        return None;
    }
    if moving.rehearsal && moving.stage == Stage::Completing && moving.is_equal() {
        return Some(REHEARSED.to_owned());
    }
    let late = moving.cutover_at.is_some_and(|began| now.since(began) > world.limits.cutover_max());
    late.then(|| {
        let last = moving.fence_lost.as_ref().map(|reason| format!("; the last fence was lost: {reason}"));
        format!(
            "it was not sealed within the {} ms of a cutover{}",
            world.limits.cutover_ms_max,
            last.unwrap_or_default()
        )
    })
}

fn commit_back(node: &Node, moving: &Migration, now: UnixMillis) -> Option<Event> {
    Some(Event::RollbackCommitted { at: now, placements: vec![node.new_placement(moving)?] })
}

/// As soon as the stock is known: there is nobody to compare it with.
fn commit_takeover(node: &Node, moving: &Migration, now: UnixMillis) -> Option<Event> {
    let final_state = moving.takeover.as_ref()?.stock?;
    Some(Event::TakeoverCommitted { at: now, placement: node.placement_at(moving, final_state) })
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

impl Node {
    /// Where the commit of its move puts it.
    pub(crate) fn new_placement(&self, moving: &Migration) -> Option<Placement> {
        Some(self.placement_at(moving, moving.final_state?))
    }

    fn placement_at(&self, moving: &Migration, final_state: FinalState) -> Placement {
        let (shard, generation) = (moving.taker().clone(), self.generation.next());
        Placement { node: self.node.clone(), shard, generation, final_state }
    }
}

impl Migration {
    /// The stage after a probe that found the taker.
    pub(crate) fn probed(&self) -> Stage {
        match self.way() {
            Way::Forward => Stage::Soaking,
            Way::Back => Stage::Detaching,
            Way::WithoutWriter => Stage::Deposing,
        }
    }

    /// The stage after the promotion. A giver that is gone is not retired, and the routes lead to the taker already.
    fn promoted_leads_to(&self) -> Stage {
        match self.way() {
            Way::Forward | Way::Back => Stage::Retiring,
            Way::WithoutWriter => Stage::Probing,
        }
    }
}

/// Nodes of started batches that have not begun, in the order of the plan.
fn waiting(world: &World) -> impl Iterator<Item = &Node> {
    let open = |batch: &&Batch| batch.phase == BatchPhase::Preparing && !batch.paused;
    let mut batches: Vec<&Batch> = world.batches.values().filter(open).collect();
    batches.sort_by_key(|batch| (batch.plan_revision, batch.position));
    let nodes = batches.into_iter().flat_map(|batch| world.remaining(batch));
    nodes.filter(|(_, moving)| moving.stage == Stage::Planned).map(|(node, _)| node)
}
