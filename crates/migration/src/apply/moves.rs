//! What happens to one node's move, in either direction.

use crate::batch::BatchPhase;
use crate::event::{Event, Placement};
use crate::node::{Migration, Promoted, Rehearsal};
use crate::record::CommitRecord;
use crate::stage::Stage;
use crate::world::World;
use shardlift_model::{NodeId, Step, UnixMillis};

impl World {
    /// The commit of a batch or of a way back: the taker is the writer by record, and is to be promoted.
    pub(super) fn place(&mut self, placement: &Placement, at: UnixMillis) {
        self.place_at(placement, Stage::Promoting, at);
    }

    /// A commit, and the stage that follows it.
    pub(super) fn place_at(&mut self, placement: &Placement, stage: Stage, at: UnixMillis) {
        let term = self.term;
        let Some(node) = self.nodes.get_mut(&placement.node) else { return };
        node.shard = placement.shard.clone();
        node.generation = placement.generation;
        node.old_copies.remove(&placement.shard);
        let sealed_step = std::mem::replace(&mut node.step, Step(1));
        if let Some(moving) = &mut node.migration {
            moving.enter(stage, at);
            if !moving.is_back() {
                moving.record.commit = Some(CommitRecord {
                    generation: placement.generation,
                    term,
                    source: placement.final_state,
                    target: moving.verified,
                    promoted: None,
                    damage_accepted: moving.accept_damaged,
                });
            }
            moving.sealed_step = Some(sealed_step);
            moving.promoted = None;
            moving.final_state = Some(placement.final_state);
        }
    }

    pub(super) fn take_in_move_event(&mut self, event: &Event) {
        match event {
            Event::StageEntered { node, stage, step, at } => self.enter_stage(node, *stage, *step, *at),
            Event::ReplicaVerified { node, state } => self.with_move(node, |moving| {
                moving.verified = Some(*state);
                if moving.stage == Stage::Verifying {
                    moving.record.compared = Some(*state);
                }
            }),
            Event::FinalStateNamed { node, state } => self.with_move(node, |moving| moving.final_state = Some(*state)),
            Event::WriterPromoted { node, seq, snapshots } => self.with_move(node, |moving| {
                let promoted = Promoted { seq: *seq, snapshots: *snapshots };
                moving.promoted = Some(promoted);
                if !moving.is_back()
                    && let Some(commit) = &mut moving.record.commit
                {
                    commit.promoted = Some(promoted);
                }
            }),
            Event::SoakFactSeen { node, fact, .. } => self.with_move(node, |moving| moving.soak.take(fact)),
            Event::FenceLost { node, reason } => self.with_move(node, |moving| {
                moving.fence_attempts = moving.fence_attempts.saturating_add(1);
                moving.fence_lost = Some(reason.clone());
                moving.reenter = true;
            }),
            Event::MoveHeld { node, held } => self.with_move(node, |moving| moving.held = Some(held.clone())),
            Event::MoveRetried { node, accept_damaged } => self.with_move(node, |moving| {
                moving.held = None;
                moving.accept_damaged |= accept_damaged;
                moving.reenter = true;
            }),
            Event::UndoStarted { node, reason } => self.with_move(node, |moving| {
                moving.undo_reason = Some(reason.clone());
                moving.held = None;
                moving.reenter = false;
            }),
            _ => {}
        }
    }

    fn enter_stage(&mut self, name: &NodeId, stage: Stage, step: Step, at: UnixMillis) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let Some(moving) = &mut node.migration else { return };
        node.step = step;
        let promoted = moving.stage == Stage::Promoting && stage == Stage::Retiring;
        moving.enter(stage, at);
        if stage == Stage::RolledBack {
            node.old_copies.insert(moving.target.clone());
        }
        let batch = moving.batch.clone();
        if stage == Stage::Released {
            node.complete_move(self.batches.get(&batch));
        }
        if promoted {
            // From here on the taker can serve.
            self.change_route(name);
        }
        if stage == Stage::Starting {
            // Work that begins anew is not ready any more.
            self.with_batch(&batch, |batch| {
                batch.ready_at = batch.ready_at.filter(|_| batch.phase != BatchPhase::Preparing);
            });
        }
    }

    /// INV-06: a node's route changes, under the next version.
    pub(super) fn change_route(&mut self, node: &NodeId) {
        let version = self.route_version.saturating_add(1);
        self.route_version = version;
        self.with_move(node, |moving| moving.route_version = Some(version));
    }
}

impl Migration {
    /// What was compared before a copy or a fence begins anew says nothing about what comes after.
    pub(super) fn enter(&mut self, stage: Stage, at: UnixMillis) {
        self.stage = stage;
        self.stage_since = at;
        let phase = self.phase();
        if self.phase_entered.is_none_or(|(entered, _)| entered != phase) {
            self.phase_entered = Some((phase, at));
        }
        self.reenter = false;
        if !self.is_back() {
            self.record.came_to(stage, at);
        }
        match stage {
            Stage::Offering | Stage::Starting | Stage::VerifyRequested | Stage::Completing => self.verified = None,
            Stage::Fencing => self.final_state = None,
            Stage::Unfencing if self.is_proved_rehearsal() => {
                let waited = self.cutover_at.map(|began| at.since(began).as_millis()).unwrap_or_default();
                let took_ms = u64::try_from(waited).unwrap_or(u64::MAX);
                self.rehearsed = Some(Rehearsal { at, took_ms });
            }
            _ => {}
        }
    }

    /// True when a rehearsal has come as far as one can.
    pub(super) fn is_proved_rehearsal(&self) -> bool {
        self.is_back() && self.rehearsal && self.is_equal()
    }
}
