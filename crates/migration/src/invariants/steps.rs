//! Invariants over one event: what may differ between the world before and the world after.

use super::{Violation, violation};
use crate::effect::{Effect, effects};
use crate::event::{Event, Placement};
use crate::lookup::Routed;
use crate::node::Node;
use crate::record::Order;
use crate::stage::{Direction, Stage};
use crate::world::World;
use shardlift_model::NodeId;
use std::collections::BTreeMap;

/// What must hold between two worlds with one event between them.
#[must_use]
pub fn check_step(before: &World, event: &Event, after: &World) -> Vec<Violation> {
    let mut found = Vec::new();
    if after.term < before.term {
        found.push(violation("INV-03", format!("term {} after {}", after.term, before.term)));
    }
    for (name, was) in &before.nodes {
        let Some(is) = after.nodes.get(name) else {
            found.push(violation("INV-12", format!("`{name}` is gone")));
            continue;
        };
        found.extend(tokens_grow(before, was, after, is));
        found.extend(only_commits_place(event, was, is));
        if was != is && !concerns(before, event, name) {
            found.push(violation("INV-12", format!("`{name}` was changed by {event:?}")));
        }
    }
    found.extend(commands_keep_their_tokens(before, after));
    found.extend(routes_grow(before, after));
    found
}

/// INV-03: a node's tokens only grow, and with every stage; those of its routes never shrink.
fn tokens_grow(before: &World, was: &Node, after: &World, is: &Node) -> Option<Violation> {
    let (old, new) = (before.token(was), after.token(is));
    let stage = |node: &Node| node.migration.as_ref().map(|moving| (moving.batch.clone(), moving.stage));
    // Planning a move, and forgetting one that was never begun, sends nothing.
    let entered = stage(was) != stage(is) && stage(is).is_some_and(|(_, stage)| stage != Stage::Planned);
    let grown = if entered { new > old } else { new >= old };
    if !grown {
        return Some(violation("INV-03", format!("the token of `{}` went from {old} to {new}", was.node)));
    }
    let (old, new) = (before.route_token(was), after.route_token(is));
    (new < old).then(|| violation("INV-03", format!("the route of `{}` went from {old} to {new}", was.node)))
}

/// INV-03: what was sent under a token is what is sent under it, or nothing.
fn commands_keep_their_tokens(before: &World, after: &World) -> Vec<Violation> {
    let commands = |world: &World| -> BTreeMap<_, _> {
        let sent = effects(world).into_iter().filter_map(|effect| match effect {
            Effect::Send { node, token, shard, command } => Some(((node, token), (shard, command))),
            _ => None,
        });
        sent.collect()
    };
    let before = commands(before);
    let changed = commands(after).into_iter().filter(|(key, is)| before.get(key).is_some_and(|was| was != is));
    changed.map(|((node, token), _)| violation("INV-03", format!("`{node}`: {token} means another command"))).collect()
}

/// INV-05, INV-06: a placement changes by a commit that says so, of a node that was sealed at what is committed.
fn only_commits_place(event: &Event, was: &Node, is: &Node) -> Option<Violation> {
    if was.shard == is.shard && was.generation == is.generation {
        return None;
    }
    let broken = |id, what: &str| Some(violation(id, format!("`{}`: {what}", was.node)));
    if let Event::TakeoverCommitted { placement, .. } = event {
        return only_what_was_accepted_is_lost(placement, was, is);
    }
    let (Event::BatchCommitted { placements, .. } | Event::RollbackCommitted { placements, .. }) = event else {
        return broken("INV-06", "its placement changed without a commit");
    };
    let Some(placement) = placements.iter().find(|placement| placement.node == was.node) else {
        return broken("INV-06", "the commit does not place it");
    };
    let sealed = was.migration.as_ref().filter(|moving| moving.stage == Stage::Sealed);
    let Some(moving) = sealed else {
        return broken("INV-05", "it was committed but not sealed");
    };
    if moving.verified != Some(placement.final_state) || moving.final_state != Some(placement.final_state) {
        return broken("INV-05", "it was committed at another state than verified");
    }
    let back = matches!(event, Event::RollbackCommitted { .. });
    if back != (moving.direction == Direction::Back) || (back && moving.rehearsal) {
        return broken("INV-06", "it was committed the other way than it goes");
    }
    let goes_to = if back { &moving.source } else { &moving.target };
    if is.generation.0 != was.generation.0 + 1 || is.shard != *goes_to {
        return broken("INV-06", "it was not placed where it goes under the next generation");
    }
    None
}

/// The exception to INV-05: one side is gone. What is committed is what the other one named under that decision, and no less than
/// what an operator wanted to keep.
fn only_what_was_accepted_is_lost(placement: &Placement, was: &Node, is: &Node) -> Option<Violation> {
    let broken = |id, what: &str| Some(violation(id, format!("`{}`: {what}", was.node)));
    let moving = was.migration.as_ref().filter(|m| m.stage == Stage::TakingStock && m.direction == Direction::Back);
    let Some((moving, takeover)) = moving.and_then(|moving| Some((moving, moving.takeover.as_ref()?))) else {
        return broken("INV-05", "it was committed without its writer, and nobody had given that up");
    };
    if placement.node != was.node || takeover.stock != Some(placement.final_state) {
        return broken("INV-05", "it was taken over at another state than its new writer has");
    }
    if placement.final_state.seq < takeover.after_seq {
        return broken("INV-02", "more was lost than an operator gave up");
    }
    if is.generation.0 != was.generation.0 + 1 || is.shard != moving.source {
        return broken("INV-06", "it was not placed where it goes under the next generation");
    }
    None
}

/// INV-06: a changed route has a higher version, and versions only grow.
fn routes_grow(before: &World, after: &World) -> Option<Violation> {
    let (old, new) = (before.route_version, after.route_version);
    if new < old {
        return Some(violation("INV-06", format!("route version {new} after {old}")));
    }
    let routes = |world: &World| -> Vec<_> {
        let address = |shard| world.shards.get(shard).map(|shard| shard.client_address.clone());
        let rows = world.routes().into_iter().map(|(name, routed)| {
            let Routed { node, shard, token, sever } = routed;
            (name.clone(), node.clone(), shard.clone(), token.generation, address(shard), sever)
        });
        rows.collect()
    };
    let changed = routes(before) != routes(after);
    (changed && new == old).then(|| violation("INV-06", format!("other routes under the same version {new}")))
}

/// INV-12: which nodes an event may touch.
fn concerns(before: &World, event: &Event, name: &NodeId) -> bool {
    match event {
        Event::NodeFound { node, .. }
        | Event::NodeDefined { node, .. }
        | Event::StageEntered { node, .. }
        | Event::ReplicaVerified { node, .. }
        | Event::FinalStateNamed { node, .. }
        | Event::FenceLost { node, .. }
        | Event::MoveHeld { node, .. }
        | Event::MoveRetried { node, .. }
        | Event::UndoStarted { node, .. }
        | Event::WriterPromoted { node, .. }
        | Event::RollbackStarted { node, .. }
        | Event::RollbackUndone { node, .. }
        | Event::RestoreStarted { node, .. }
        | Event::SoakFactSeen { node, .. }
        | Event::TakeoverStarted { node, .. }
        | Event::StockTaken { node, .. }
        | Event::WriterWrittenOff { node, .. }
        | Event::NodeEnrolled { node, .. }
        | Event::SettingsChanged { node, .. }
        | Event::ReceiptIssued { node, .. }
        | Event::OrderGiven { order: Order::AcceptDamaged { node }, .. }
        | Event::CertificateSeen { node, .. } => node == name,
        Event::TakeoverCommitted { placement, .. } => placement.node == *name,
        Event::EnrolmentGranted { grant, .. } => grant.node == *name,
        Event::BatchCommitted { placements, .. } | Event::RollbackCommitted { placements, .. } => {
            placements.iter().any(|placement| placement.node == *name)
        }
        // New moves, and moves that were never begun.
        Event::PlanApplied { batches, .. } => {
            let planned = before.migration(name).is_some_and(|(_, moving)| moving.stage == Stage::Planned);
            planned || batches.iter().any(|batch| batch.nodes.contains_key(name))
        }
        Event::CertificatesRevoked { serials, nodes, .. } => {
            let holds = |node: &Node| serials.iter().any(|serial| node.serials.contains(serial));
            nodes.contains(name) || before.nodes.get(name).is_some_and(holds)
        }
        Event::CertificateIssued { holder, renews: Some(_), .. } => holder.node().as_ref() == Some(name),
        Event::LeadershipTaken { .. }
        | Event::CertificateIssued { .. }
        | Event::RevocationListRenewed { .. }
        | Event::LimitsSet { .. }
        | Event::SeedingAdvised { .. }
        | Event::ShardRecorded { .. }
        | Event::RouterRecorded { .. }
        | Event::BatchStarted { .. }
        | Event::BatchPaused { .. }
        | Event::BatchResumed { .. }
        | Event::BatchReady { .. }
        | Event::CutoverStarted { .. }
        | Event::BatchSettled { .. }
        | Event::VerdictReached { .. }
        | Event::BatchReleased { .. }
        | Event::BatchAborted { .. }
        | Event::BatchRolledBack { .. }
        | Event::OrderGiven { .. }
        | Event::StatusTokenGranted { .. } => false,
    }
}
