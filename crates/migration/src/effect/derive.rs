//! Derives the effects. The order is that of the nodes' names, then of the batches' names, routes last: the same world gives
//! the same list.

use super::Effect;
use crate::batch::{Batch, When};
use crate::command::{Command, FinalState};
use crate::node::{Migration, Node};
use crate::record::RECEIPTS_AT_ONCE_MAX;
use crate::stage::Stage;
use crate::world::World;
use shardlift_model::{ShardId, Token};

/// All that should be running now. Routers are kept at the present routes at all times.
#[must_use]
pub fn effects(world: &World) -> Vec<Effect> {
    let moves = world.nodes.values().filter_map(|node| Some((node, node.migration.as_ref()?)));
    let mut effects: Vec<Effect> = moves.flat_map(|(node, moving)| of_move(world, node, moving)).collect();
    let flippable = world.batches.values().filter(|batch| world.is_flippable(batch));
    effects.extend(flippable.map(|batch| ask(world, batch)));
    let due = world.receipts_due().take(RECEIPTS_AT_ONCE_MAX);
    effects.extend(
        due.map(|(node, due)| Effect::IssueReceipt { node: node.node.clone(), generation: due.commit.generation }),
    );
    if !world.routers.is_empty() {
        effects.push(Effect::SyncRouters { version: world.route_version });
    }
    effects
}

fn ask(world: &World, batch: &Batch) -> Effect {
    let places = || world.remaining(batch).map(|(node, moving)| (node.node.clone(), moving.giver().clone())).collect();
    Effect::AskCutover { batch: batch.batch.clone(), idle: (batch.when == When::Idle).then(places) }
}

/// What a move needs: at most a command and a watch.
struct Derivation<'w> {
    world: &'w World,
    node: &'w Node,
    moving: &'w Migration,
    token: Token,
}

fn of_move(world: &World, node: &Node, moving: &Migration) -> impl Iterator<Item = Effect> + use<> {
    let derivation = Derivation { world, node, moving, token: world.token(node) };
    let idle = moving.is_idle();
    let command = if idle { None } else { derivation.command() };
    let watch = if idle { None } else { derivation.watch() };
    command.into_iter().chain(watch)
}

impl Derivation<'_> {
    fn command(&self) -> Option<Effect> {
        let Migration { source, target, stage, accept_damaged, .. } = self.moving;
        let (giver, taker) = (self.moving.giver(), self.moving.taker());
        let expected = self.moving.final_state;
        match stage {
            Stage::Offering => self.send(source, Command::Offer { target: target.clone() }),
            Stage::Starting => {
                let (source, accept_damaged) = (source.clone(), *accept_damaged);
                self.send(target, Command::StartReplica { source, accept_damaged })
            }
            Stage::VerifyRequested => self.send(target, Command::VerifyReplica),
            Stage::Fencing => self.send(giver, Command::Fence),
            Stage::Completing => self.send_state(taker, expected, |expected| Command::CompleteReplica { expected }),
            Stage::Sealing => self.send_state(giver, expected, |expected| Command::Seal { expected }),
            Stage::Promoting => {
                let follower = giver.clone();
                // What was set at a writer that is gone did not come with its last changes.
                let settings = self.node.settings.clone().filter(|_| self.moving.takeover.is_some());
                self.send_state(taker, expected, |expected| Command::Promote { expected, follower, settings })
            }
            Stage::Retiring => {
                let (target, from_seq) = (taker.clone(), self.moving.promoted?.seq);
                self.send(giver, Command::Retire { target, from_seq })
            }
            Stage::Detaching => self.send(giver, Command::Detach),
            Stage::TakingStock => self.send(taker, Command::TakeStock),
            Stage::Deposing => self.send(giver, Command::Depose),
            Stage::Releasing => self.send(&self.node.shard, Command::EndLegacyCredentials),
            Stage::Quarantining => self.send(source, Command::Quarantine),
            Stage::Restoring => self.send(source, Command::Restore),
            Stage::Resuming => {
                self.send(source, Command::StartReplica { source: self.node.shard.clone(), accept_damaged: false })
            }
            Stage::Unfencing => self.send(giver, Command::Unfence),
            // INV-07: an old copy that followed once is never discarded, by no path.
            Stage::Discarding if self.node.old_copies.contains(target) => self.send(target, Command::Detach),
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
                Some(Effect::RenewFence { node, token, shard: self.moving.giver().clone() })
            }
            Stage::Probing => {
                let (server_name, generation) = (self.node.server_name.clone(), self.node.generation);
                let shard = self.moving.taker().clone();
                Some(Effect::Probe { node, token, server_name, shard, generation })
            }
            Stage::Soaking => {
                let (writer, follower) = (self.moving.target.clone(), self.moving.source.clone());
                let wanted = self.world.batches.get(&self.moving.batch).is_some_and(|batch| batch.soak.verify);
                let verify = wanted && !self.moving.soak.verified;
                Some(Effect::WatchSoak { node, token, writer, follower, verify })
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
