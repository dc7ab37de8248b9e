//! What operators ask of one node's move.

use super::{Refusal, bounded};
use crate::event::Event;
use crate::node::{Migration, Node};
use crate::world::World;
use shardlift_model::NodeId;

pub(super) fn known<'w>(world: &'w World, node: &NodeId) -> Result<&'w Node, Refusal> {
    let missing = || Refusal::not_found(format!("node `{node}` is not known"), "`shardlift node list` shows all nodes");
    world.nodes.get(node).ok_or_else(missing)
}

fn moving<'w>(world: &'w World, node: &NodeId) -> Result<&'w Migration, Refusal> {
    let not_moving =
        || Refusal::precondition(format!("node `{node}` is not moving"), "`shardlift plan make` plans a move for it");
    known(world, node)?.migration.as_ref().ok_or_else(not_moving)
}

pub(super) fn abort(world: &World, node: &NodeId, reason: &str) -> Result<Vec<Event>, Refusal> {
    let moving = moving(world, node)?;
    if moving.has_left() {
        return Ok(vec![]);
    }
    if moving.stage.is_committed() {
        let message = format!("the move of node `{node}` to `{}` is committed and cannot be aborted", moving.target);
        let advice = format!("plan a move from `{}` back to `{}`: it loses nothing", moving.target, moving.source);
        return Err(Refusal::precondition(message, advice));
    }
    let reason = match bounded(reason) {
        reason if reason.is_empty() => "an operator aborted it".to_owned(),
        reason => reason,
    };
    world.checked(Event::UndoStarted { node: node.clone(), reason })
}

pub(super) fn retry(world: &World, node: &NodeId, accept_damaged: bool) -> Result<Vec<Event>, Refusal> {
    let moving = moving(world, node)?;
    if moving.held.is_some() {
        return world.checked(Event::MoveRetried { node: node.clone(), accept_damaged });
    }
    let message = format!("the move of node `{node}` is not held: there is nothing to retry");
    Err(Refusal::precondition(message, format!("`shardlift node explain {node}` says what it waits for")))
}
