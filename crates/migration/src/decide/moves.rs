//! What operators ask of one node's move.

use super::{Refusal, back, bounded};
use crate::event::Event;
use crate::node::{Migration, Node};
use crate::stage::Stage;
use crate::world::World;
use shardlift_model::NodeId;

pub(super) fn known<'w>(world: &'w World, node: &NodeId) -> Result<&'w Node, Refusal> {
    let missing = || Refusal::not_found(format!("node `{node}` is not known"), "`shardlift node list` shows all nodes");
    world.nodes.get(node).ok_or_else(missing)
}

pub(super) fn moving<'w>(world: &'w World, node: &NodeId) -> Result<&'w Migration, Refusal> {
    let not_moving =
        || Refusal::precondition(format!("node `{node}` is not moving"), "`shardlift plan make` plans a move for it");
    known(world, node)?.migration.as_ref().ok_or_else(not_moving)
}

pub(super) fn abort(world: &World, node: &NodeId, reason: &str) -> Result<Vec<Event>, Refusal> {
    let moving = moving(world, node)?;
    if moving.has_left() {
        return Ok(vec![]);
    }
    if moving.is_committed() {
        return Err(committed(node, moving));
    }
    let reason = reason_or(reason, "an operator aborted it");
    world.checked(Event::UndoStarted { node: node.clone(), reason })
}

fn committed(node: &NodeId, moving: &Migration) -> Refusal {
    let message = format!("the move of node `{node}` to `{}` is committed and cannot be aborted", moving.target);
    let advice = match moving.stage {
        Stage::RolledBack => format!("it was moved back already: `{}` serves it", moving.source),
        Stage::Releasing | Stage::Quarantining | Stage::Released => back::out_of_quarantine(node),
        _ => format!("roll it back instead: `shardlift node rollback {node}`"),
    };
    Refusal::precondition(message, advice)
}

/// What an operator gave as the reason, else a standing one.
pub(super) fn reason_or(reason: &str, standing: &str) -> String {
    match bounded(reason) {
        reason if reason.is_empty() => standing.to_owned(),
        reason => reason,
    }
}

pub(super) fn retry(world: &World, node: &NodeId, accept_damaged: bool) -> Result<Vec<Event>, Refusal> {
    let moving = moving(world, node)?;
    if moving.held.is_some() {
        return world.checked(Event::MoveRetried { node: node.clone(), accept_damaged });
    }
    let message = format!("the move of node `{node}` is not held: there is nothing to retry");
    Err(Refusal::precondition(message, format!("`shardlift node explain {node}` says what it waits for")))
}
