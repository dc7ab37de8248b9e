//! Invariants over what is sent. Given a world and the effects that are to run in it.

mod recipient;

use super::{Violation, violation};
use crate::batch::BatchPhase;
use crate::command::Command;
use crate::effect::Effect;
use crate::lookup::Routed;
use crate::node::Node;
use crate::stage::Stage;
use crate::world::World;
use shardlift_model::{BatchId, NodeId, ServerName, ShardId};
use std::collections::BTreeMap;

/// What must hold for all that is sent.
#[must_use]
pub fn check_effects(world: &World, effects: &[Effect]) -> Vec<Violation> {
    let mut found: Vec<Violation> = effects.iter().flat_map(|effect| one(world, effect)).collect();
    found.extend(one_command_per_token(effects));
    found
}

fn one(world: &World, effect: &Effect) -> Vec<Violation> {
    match effect {
        Effect::SyncRouters { version } => return routes(world, *version),
        Effect::AskCutover { batch, idle } => return asked(world, batch, idle.as_deref()).into_iter().collect(),
        _ => {}
    }
    let Some((name, shard)) = effect.goes_to() else { return vec![] };
    let Some((node, moving)) = world.migration(name) else {
        return vec![violation("INV-12", format!("`{name}` does not move, but {effect:?}"))];
    };
    let mut found = Vec::new();
    if *shard != moving.source && *shard != moving.target {
        found.push(violation("INV-12", format!("`{shard}` is neither source nor target of `{name}`: {effect:?}")));
    }
    if effect.token().is_some_and(|token| token != world.token(node)) {
        found.push(violation("INV-03", format!("not the token of the present stage: {effect:?}")));
    }
    match effect {
        Effect::Send { command, .. } => found.extend(recipient::check(node, moving, shard, command)),
        Effect::WatchSoak { follower, .. } if *shard != node.shard || *follower == node.shard => {
            found.push(violation("INV-01", format!("`{shard}` is taken for the writer of `{name}`")));
        }
        _ => {}
    }
    found
}

/// INV-12: only a batch that is ready is asked about, and only its own nodes where they are.
fn asked(world: &World, batch: &BatchId, idle: Option<&[(NodeId, ShardId)]>) -> Option<Violation> {
    let broken = |what: &str| Some(violation("INV-12", format!("batch `{batch}`: {what}")));
    let Some(found) = world.batches.get(batch).filter(|found| found.phase == BatchPhase::Preparing) else {
        return broken("it would flip without being prepared");
    };
    let own = |(node, shard): &(NodeId, ShardId)| {
        found.nodes.contains_key(node) && world.nodes.get(node).is_some_and(|node| node.shard == *shard)
    };
    if idle.is_none_or(|nodes| nodes.iter().all(own)) { None } else { broken("another node or shard is asked") }
}

/// INV-06: routers are told the present routes, and never of a shard that cannot serve yet.
fn routes(world: &World, version: u64) -> Vec<Violation> {
    if version != world.route_version {
        return vec![violation("INV-06", format!("routes {version}, but {} are in force", world.route_version))];
    }
    check_routes(world, &world.routes())
}

/// INV-06: every node is led to its placement; one that is being promoted to where it was, under the generation before.
pub(crate) fn check_routes(world: &World, routes: &BTreeMap<&ServerName, Routed<'_>>) -> Vec<Violation> {
    let mut found = Vec::new();
    for node in world.nodes.values() {
        let Some(routed) = routes.get(&node.server_name).filter(|routed| *routed.node == node.node) else {
            found.push(violation("INV-06", format!("`{}` has no route", node.node)));
            continue;
        };
        let unpromoted = is_unpromoted(node);
        if unpromoted == (*routed.shard == node.shard) {
            let what = format!("clients of `{}` would be led to `{}`, which cannot serve it", node.node, routed.shard);
            found.push(violation("INV-06", what));
        }
        if (routed.token.generation < node.generation) != unpromoted {
            found.push(violation("INV-06", format!("the route of `{}` is of another generation", node.node)));
        }
        found.extend(severs_when_taken_over(node, routed));
    }
    found
}

/// Where clients are led elsewhere than to the placement, because no shard may be known to serve there. A taker that is to be
/// promoted without its giver is led to all the same: it sends clients away until then, and nobody else may have them.
fn is_unpromoted(node: &Node) -> bool {
    node.migration.as_ref().is_some_and(|moving| match moving.stage {
        Stage::Promoting => moving.takeover.is_none(),
        Stage::TakingStock => moving.route_version.is_none(),
        _ => false,
    })
}

/// INV-01: from the commit of a takeover on, its routes tear clients away from a former writer that may live.
fn severs_when_taken_over(node: &Node, routed: &Routed<'_>) -> Option<Violation> {
    let moving = node.migration.as_ref().filter(|moving| moving.takeover.is_some())?;
    let committed = matches!(moving.stage, Stage::Redirecting | Stage::Promoting | Stage::Probing | Stage::Deposing);
    (committed && !routed.sever).then(|| {
        violation("INV-01", format!("routers would go on passing clients of `{}` to its former writer", node.node))
    })
}

/// INV-03: a token stands for one command.
fn one_command_per_token(effects: &[Effect]) -> Vec<Violation> {
    let mut sent: BTreeMap<_, &Command> = BTreeMap::new();
    let mut found = Vec::new();
    for effect in effects {
        let Effect::Send { node, token, command, .. } = effect else { continue };
        if sent.insert((node, token), command).is_some() {
            found.push(violation("INV-03", format!("two commands for `{node}` bear the token {token}")));
        }
    }
    found
}
