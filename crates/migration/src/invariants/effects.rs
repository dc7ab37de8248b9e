//! Invariants over what is sent. Given a world and the effects that are to run in it.

use super::{Violation, violation};
use crate::command::Command;
use crate::effect::Effect;
use crate::node::{Migration, Node};
use crate::stage::Stage;
use crate::world::World;
use shardlift_model::{ShardId, Token};
use std::collections::BTreeMap;

/// What must hold for all that is sent.
#[must_use]
pub fn check_effects(world: &World, effects: &[Effect]) -> Vec<Violation> {
    let mut found: Vec<Violation> = effects.iter().flat_map(|effect| one(world, effect)).collect();
    found.extend(one_command_per_token(effects));
    found
}

fn one(world: &World, effect: &Effect) -> Vec<Violation> {
    if let Effect::SyncRouters { version } = effect {
        return routes(world, *version).into_iter().collect();
    }
    let Some((name, shard)) = effect.goes_to() else { return vec![] };
    let Some((node, moving)) = world.migration(name) else {
        return vec![violation("INV-12", format!("`{name}` does not move, but {effect:?}"))];
    };
    let mut found = Vec::new();
    if *shard != moving.source && *shard != moving.target {
        found.push(violation("INV-12", format!("`{shard}` is neither source nor target of `{name}`: {effect:?}")));
    }
    if token_of(effect).is_some_and(|token| token != world.token(node)) {
        found.push(violation("INV-03", format!("not the token of the present stage: {effect:?}")));
    }
    if let Effect::Send { command, .. } = effect {
        found.extend(recipient(node, moving, shard, command));
    }
    found
}

const fn token_of(effect: &Effect) -> Option<Token> {
    match effect {
        Effect::Send { token, .. }
        | Effect::RenewFence { token, .. }
        | Effect::WatchReplica { token, .. }
        | Effect::Probe { token, .. } => Some(*token),
        Effect::SyncRouters { .. } => None,
    }
}

/// INV-01, INV-12: what takes a copy or the writer's right away goes only where there is one to take.
fn recipient(node: &Node, moving: &Migration, shard: &ShardId, command: &Command) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut broken = |id, what: &str| found.push(violation(id, format!("`{}` at {}: {what}", node.node, moving.stage)));
    match command {
        Command::DiscardReplica => {
            if *shard == node.shard {
                broken("INV-07", "the writer's copy would be discarded");
            }
            if moving.stage != Stage::Discarding || *shard != moving.target {
                broken("INV-12", "a copy would be discarded without a decision to undo");
            }
        }
        Command::Unfence => {
            if moving.stage.is_committed() || node.shard != moving.source {
                broken("INV-01", "the source would admit changes beside the target");
            }
            if moving.stage != Stage::Unfencing || *shard != moving.source {
                broken("INV-12", "a fence would be taken back without a decision to undo");
            }
        }
        Command::Promote { expected } => {
            if *shard != node.shard || moving.stage != Stage::Promoting {
                broken("INV-01", "a shard would be promoted without a commit");
            }
            if moving.verified != Some(*expected) {
                broken("INV-05", "a copy would be promoted at a state that was not verified");
            }
        }
        Command::Seal { expected } if moving.verified != Some(*expected) || *shard != moving.source => {
            broken("INV-05", "the source would be sealed at a state that the target was not seen at");
        }
        Command::Retire { target } if *target != node.shard || *shard == node.shard => {
            broken("INV-01", "the writer would be retired");
        }
        Command::Fence if *shard != node.shard || moving.stage != Stage::Fencing => {
            broken("INV-12", "a fence without a cutover");
        }
        Command::EndLegacyCredentials if moving.stage != Stage::Releasing || *shard != node.shard => {
            broken("INV-09", "old credentials would end before the release");
        }
        Command::Offer { .. } | Command::StartReplica { .. } | Command::VerifyReplica
            if moving.stage.is_committed() || moving.target == node.shard =>
        {
            broken("INV-01", "the writer would be overwritten by a copy");
        }
        _ => {}
    }
    found
}

/// INV-06: routers are told the present routes, and never of a shard that cannot serve yet.
fn routes(world: &World, version: u64) -> Option<Violation> {
    if version != world.route_version {
        return Some(violation("INV-06", format!("routes {version}, but {} are in force", world.route_version)));
    }
    let promoting = |node: &&Node| node.migration.as_ref().is_some_and(|moving| moving.stage == Stage::Promoting);
    let node = world.nodes.values().find(promoting)?;
    Some(violation("INV-06", format!("clients of `{}` would be led to a shard that cannot serve yet", node.node)))
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
