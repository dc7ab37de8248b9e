//! Derives the effects. The order is that of the nodes' names, routes last: the same world gives the same list.

use super::Effect;
use crate::command::{Command, FinalState};
use crate::node::{Migration, Node};
use crate::stage::Stage;
use crate::world::World;
use shardlift_model::{ShardId, Token};

/// All that should be running now.
///
/// Routers are kept at the present routes at all times, with one exception: while a node is being promoted, a change of
/// routes would lead its clients to a shard that cannot serve them yet.
#[must_use]
pub fn effects(world: &World) -> Vec<Effect> {
    let moves = world.nodes.values().filter_map(|node| Some((node, node.migration.as_ref()?)));
    let mut effects: Vec<Effect> = moves.flat_map(|(node, moving)| of_move(world, node, moving)).collect();
    if !world.routers.is_empty() && world.routes_are_servable() {
        effects.push(Effect::SyncRouters { version: world.route_version });
    }
    effects
}

/// What a move needs: at most a command and a watch.
struct Derivation<'w> {
    node: &'w Node,
    moving: &'w Migration,
    token: Token,
}

fn of_move(world: &World, node: &Node, moving: &Migration) -> impl Iterator<Item = Effect> + use<> {
    let derivation = Derivation { node, moving, token: world.token(node) };
    let idle = moving.is_idle();
    let command = if idle { None } else { derivation.command() };
    let watch = if idle { None } else { derivation.watch() };
    command.into_iter().chain(watch)
}

impl Derivation<'_> {
    fn command(&self) -> Option<Effect> {
        let Migration { source, target, stage, accept_damaged, .. } = self.moving;
        let expected = self.moving.final_state;
        match stage {
            Stage::Offering => self.send(source, Command::Offer { target: target.clone() }),
            Stage::Starting => {
                let (source, accept_damaged) = (source.clone(), *accept_damaged);
                self.send(target, Command::StartReplica { source, accept_damaged })
            }
            Stage::VerifyRequested => self.send(target, Command::VerifyReplica),
            Stage::Fencing => self.send(source, Command::Fence),
            Stage::Completing => self.send_state(target, expected, |expected| Command::CompleteReplica { expected }),
            Stage::Sealing => self.send_state(source, expected, |expected| Command::Seal { expected }),
            Stage::Promoting => self.send_state(target, expected, |expected| Command::Promote { expected }),
            Stage::Retiring => self.send(source, Command::Retire { target: target.clone() }),
            Stage::Releasing => self.send(target, Command::EndLegacyCredentials),
            Stage::Unfencing => self.send(source, Command::Unfence),
            Stage::Discarding => self.send(target, Command::DiscardReplica),
            _ => None,
        }
    }

    fn watch(&self) -> Option<Effect> {
        let (node, token) = (self.node.node.clone(), self.token);
        match self.moving.stage {
            // After the comparison the copy keeps following, and may still break.
            Stage::Copying | Stage::CatchingUp | Stage::Verifying | Stage::AwaitingCertificate | Stage::Ready => {
                Some(Effect::WatchReplica { node, token, shard: self.moving.target.clone() })
            }
            Stage::Completing | Stage::Sealing => {
                Some(Effect::RenewFence { node, token, shard: self.moving.source.clone() })
            }
            Stage::Probing => {
                let (server_name, generation) = (self.node.server_name.clone(), self.node.generation);
                let shard = self.moving.target.clone();
                Some(Effect::Probe { node, token, server_name, shard, generation })
            }
            _ => None,
        }
    }

    fn send(&self, shard: &ShardId, command: Command) -> Option<Effect> {
        let (node, token) = (self.node.node.clone(), self.token);
        Some(Effect::Send { node, token, shard: shard.clone(), command })
    }

    fn send_state(
        &self,
        shard: &ShardId,
        state: Option<FinalState>,
        command: impl FnOnce(FinalState) -> Command,
    ) -> Option<Effect> {
        self.send(shard, command(state?))
    }
}

#[cfg(test)]
mod tests;
