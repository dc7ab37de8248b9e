//! Answers of effects. One that carries another token than the present stage's came late and is ignored, and so is one
//! that does not fit the stage.

use super::bounded;
use crate::command::FinalState;
use crate::event::Event;
use crate::input::Outcome;
use crate::node::{Held, Migration, Node};
use crate::stage::Stage;
use crate::world::World;
use shardlift_model::{NodeId, Token, UnixMillis};

/// What to do about damage that was there before the move.
const ACCEPT_DAMAGED: &str = "repair the repository at the source, or accept the damage with \
                              `shardlift node retry NODE --accept-damaged`; the node blocks its batch until then";

/// What to do about damage in the only copy that is left.
const ACCEPT_DAMAGED_STOCK: &str = "repair the repository's files at the shard that takes the node over, then \
                                    `shardlift node retry NODE`; or accept the damage with \
                                    `shardlift node retry NODE --accept-damaged`; no clients are served until then";

pub(super) fn answer(world: &World, node: &NodeId, token: Token, outcome: &Outcome, now: UnixMillis) -> Vec<Event> {
    let Some((known, moving)) = world.migration(node) else { return vec![] };
    if world.token(known) != token || moving.is_idle() || moving.stage.is_over() {
        return vec![];
    }
    Answered { known, moving, now }.event(world.limits.ready_lag_max, outcome).into_iter().collect()
}

pub(super) fn routes_confirmed(world: &World, version: u64, now: UnixMillis) -> Vec<Event> {
    // Routers cannot hold what was never made.
    if version > world.route_version {
        return vec![];
    }
    let next = |node: &Node| {
        let moving = node.migration.as_ref().filter(|moving| !moving.is_idle())?;
        let confirmed = moving.route_version.is_some_and(|own| own <= version);
        match moving.stage {
            Stage::Routing if confirmed => Some(node.enter(Stage::Probing, now)),
            Stage::Redirecting if confirmed => Some(node.enter(Stage::Promoting, now)),
            _ => None,
        }
    };
    world.nodes.values().filter_map(next).collect()
}

impl Node {
    /// The next stage of its move.
    pub(crate) fn enter(&self, stage: Stage, at: UnixMillis) -> Event {
        Event::StageEntered { node: self.node.clone(), stage, step: self.next_step(), at }
    }
}

struct Answered<'w> {
    known: &'w Node,
    moving: &'w Migration,
    now: UnixMillis,
}

impl Answered<'_> {
    fn event(&self, lag_max: u64, outcome: &Outcome) -> Option<Event> {
        match outcome {
            Outcome::Done => self.done(),
            Outcome::Following { lag } => match self.moving.stage {
                Stage::Copying => Some(self.enter(Stage::CatchingUp)),
                Stage::CatchingUp if *lag <= lag_max => Some(self.enter(Stage::VerifyRequested)),
                _ => None,
            },
            Outcome::Verified { state } => self.verified(*state),
            Outcome::Fenced { state } => self.fenced(*state),
            Outcome::Completed { state } => self.completed(*state),
            Outcome::Probed { shard, generation, serving } => {
                let right = *shard == *self.moving.taker() && *generation == self.known.generation && *serving;
                (self.moving.stage == Stage::Probing && right).then(|| self.enter(self.moving.probed()))
            }
            Outcome::StockTaken { state } => self.stock_taken(*state),
            Outcome::Promoted { seq, snapshots } => self.promoted(*seq, *snapshots),
            Outcome::FenceLost { reason } if self.moving.stage.again() == Some(Stage::Fencing) => {
                Some(self.fence_lost(bounded(reason)))
            }
            Outcome::FenceLost { .. } => None,
            Outcome::Refused { reason } => self.failed(reason, false),
            Outcome::ReplicaFailed { reason, damaged_at_source } => self.replica_failed(reason, *damaged_at_source),
        }
    }

    fn done(&self) -> Option<Event> {
        let next = match self.moving.stage {
            Stage::Offering => Stage::Starting,
            Stage::Starting => Stage::Copying,
            Stage::VerifyRequested => Stage::Verifying,
            Stage::Sealing => Stage::Sealed,
            Stage::Retiring => Stage::Routing,
            Stage::Detaching | Stage::Deposing => Stage::RolledBack,
            Stage::Releasing => Stage::Quarantining,
            Stage::Quarantining => Stage::Released,
            Stage::Restoring => Stage::Resuming,
            Stage::Resuming if self.moving.is_back() => {
                return Some(Event::RollbackUndone { node: self.known.node.clone(), at: self.now });
            }
            Stage::Resuming => Stage::Soaking,
            Stage::Unfencing if self.moving.is_back() => Stage::Resuming,
            Stage::Unfencing => Stage::Discarding,
            Stage::Discarding => Stage::Aborted,
            _ => return None,
        };
        Some(self.enter(next))
    }

    fn stock_taken(&self, state: FinalState) -> Option<Event> {
        let takeover = self.moving.takeover.as_ref().filter(|takeover| takeover.stock.is_none())?;
        if self.moving.stage != Stage::TakingStock {
            return None;
        }
        let (giver, taker) = (self.moving.giver(), self.moving.taker());
        if state.seq < takeover.after_seq {
            let reason = format!(
                "`{taker}` has the changes of `{giver}` up to {} only; what was given up are those after {}",
                state.seq, takeover.after_seq
            );
            let advice = format!(
                "find out why `{taker}` has less than it had; or give up all after {0}: \
                 `shardlift node rollback NODE --accept-loss {0}`",
                state.seq
            );
            return Some(self.hold(reason, &advice));
        }
        if self.moving.tolerates(&state) {
            return Some(Event::StockTaken { node: self.known.node.clone(), state });
        }
        Some(self.hold(damaged(&state), ACCEPT_DAMAGED_STOCK))
    }

    fn promoted(&self, seq: u64, snapshots: u64) -> Option<Event> {
        let open = self.moving.stage == Stage::Promoting && self.moving.promoted.is_none();
        open.then(|| Event::WriterPromoted { node: self.known.node.clone(), seq, snapshots })
    }

    fn verified(&self, state: FinalState) -> Option<Event> {
        if self.moving.stage != Stage::Verifying {
            return None;
        }
        if self.moving.tolerates(&state) {
            return Some(Event::ReplicaVerified { node: self.known.node.clone(), state });
        }
        Some(self.hold(damaged(&state), ACCEPT_DAMAGED))
    }

    fn fenced(&self, state: FinalState) -> Option<Event> {
        if self.moving.stage != Stage::Fencing {
            return None;
        }
        if self.moving.tolerates(&state) {
            return Some(Event::FinalStateNamed { node: self.known.node.clone(), state });
        }
        // INV-05. Clients are parked: they must not wait until an operator has looked at it.
        Some(self.undo(format!("{}; {}", damaged(&state), self.repair())))
    }

    fn completed(&self, state: FinalState) -> Option<Event> {
        if self.moving.stage != Stage::Completing {
            return None;
        }
        let expected = self.moving.final_state?;
        if state == expected {
            return Some(Event::ReplicaVerified { node: self.known.node.clone(), state });
        }
        Some(self.fence_lost(format!(
            "`{}` is at change {} with {} objects and {} bytes, `{}` at change {} with {} objects and {} bytes{}",
            self.moving.taker(),
            state.seq,
            state.objects,
            state.bytes,
            self.moving.giver(),
            expected.seq,
            expected.objects,
            expected.bytes,
            if state.root == expected.root { "" } else { "; their digests differ" }
        )))
    }

    fn replica_failed(&self, reason: &str, damaged_at_source: bool) -> Option<Event> {
        if !self.moving.stage.is_cutting_over() {
            return self.failed(reason, damaged_at_source);
        }
        if self.moving.stage == Stage::Sealed {
            return None;
        }
        let advice = if damaged_at_source { self.repair() } else { "the copy cannot be completed" };
        Some(self.undo(format!("{}; {advice}", bounded(reason))))
    }

    /// What to do about damage that stands in the way of a commit.
    const fn repair(&self) -> &'static str {
        if self.moving.is_back() {
            "repair the repository at the target, then roll back again"
        } else {
            "repair the repository at the source, or plan the node again with `accept_damaged`"
        }
    }

    /// Refused for good, or a copy that cannot go on.
    fn failed(&self, reason: &str, damaged_at_source: bool) -> Option<Event> {
        let (stage, reason) = (self.moving.stage, bounded(reason));
        if stage.again() == Some(Stage::Fencing) {
            return Some(self.fence_lost(reason));
        }
        if !stage.may_be_held() {
            return None;
        }
        let advice = match stage {
            _ if damaged_at_source => ACCEPT_DAMAGED,
            Stage::TakingStock => {
                "its writer was given up and its clients are served by nobody: deal with the cause at the shard that takes \
                 it over, then `shardlift node retry NODE`"
            }
            Stage::Deposing => {
                "clients are served: deal with the cause at the former writer, then `shardlift node retry NODE`; or \
                 when it will never return: `shardlift node write-off NODE`"
            }
            _ if self.moving.written_off_leads_to().is_some() => {
                "the commit stands and clients are served: deal with the cause at the former writer, then \
                 `shardlift node retry NODE`; or when it will never return: `shardlift node write-off NODE`"
            }
            _ if self.moving.is_undoing() => {
                "the shard it is on serves its clients or will; deal with the cause, then `shardlift node retry NODE`"
            }
            _ if stage.is_committed() => {
                "the commit stands: deal with the cause at the shard, then `shardlift node retry NODE`"
            }
            _ => {
                "deal with the cause, then `shardlift node retry NODE`; or take the node out of its batch with \
                 `shardlift node abort NODE`; it blocks its batch until then"
            }
        };
        Some(self.hold(reason, advice))
    }

    fn enter(&self, stage: Stage) -> Event {
        self.known.enter(stage, self.now)
    }

    fn fence_lost(&self, reason: String) -> Event {
        Event::FenceLost { node: self.known.node.clone(), reason }
    }

    fn undo(&self, reason: String) -> Event {
        Event::UndoStarted { node: self.known.node.clone(), reason }
    }

    fn hold(&self, reason: String, advice: &str) -> Event {
        let advice = advice.replace("NODE", self.known.node.as_str());
        Event::MoveHeld { node: self.known.node.clone(), held: Held { reason, advice, since: self.now } }
    }
}

fn damaged(state: &FinalState) -> String {
    format!("{} of {} objects do not match their name: they were damaged before the move", state.damaged, state.objects)
}
