//! The way back: how it begins, is committed, is undone; and how an old copy comes out of quarantine.

use crate::batch::{BatchPhase, Verdict};
use crate::event::Event;
use crate::node::Migration;
use crate::soak::SoakFacts;
use crate::stage::{Direction, Stage};
use crate::world::World;
use shardlift_model::{NodeId, UnixMillis};

impl World {
    pub(super) fn take_in_way_back(&mut self, event: &Event) {
        match event {
            Event::RollbackStarted { node, reason, rehearsal, at } => {
                self.begin_way_back(node, reason, *rehearsal, *at)
            }
            Event::RollbackCommitted { at, placements } => {
                placements.iter().for_each(|placement| self.place(placement, *at));
            }
            Event::RollbackUndone { node, at } => self.with_step(node, |moving| moving.serve_on(*at)),
            Event::RestoreStarted { node, at } => {
                let Some(batch) = self.migration(node).map(|(_, moving)| moving.batch.clone()) else { return };
                // It soaks once more, and is released once more.
                self.with_batch(&batch, |batch| {
                    batch.phase = BatchPhase::Soaking;
                    batch.verdict = None;
                });
                self.with_step(node, |moving| {
                    moving.enter(Stage::Restoring, *at);
                    moving.soak = SoakFacts::NONE;
                    moving.rollback_failed = None;
                    moving.verdict_heeded = false;
                });
            }
            _ => {}
        }
    }

    fn begin_way_back(&mut self, node: &NodeId, reason: &str, rehearsal: bool, at: UnixMillis) {
        let heeds = !rehearsal && self.is_in_bad_batch(node);
        self.with_step(node, |moving| {
            moving.direction = Direction::Back;
            moving.enter(Stage::Fencing, at);
            moving.verified = None;
            moving.fence_attempts = 0;
            moving.fence_lost = None;
            moving.undo_reason = None;
            moving.rollback_reason = Some(reason.to_owned());
            moving.rollback_failed = None;
            moving.rehearsal = rehearsal;
            moving.cutover_at = Some(at);
            moving.verdict_heeded |= heeds;
        });
    }

    /// True when the verdict on a node's batch is bad: a way back that begins now heeds it.
    pub(super) fn is_in_bad_batch(&self, node: &NodeId) -> bool {
        let batch = self.migration(node).and_then(|(_, moving)| self.batches.get(&moving.batch));
        matches!(batch.and_then(|batch| batch.verdict.as_ref()), Some(Verdict::Bad { .. }))
    }

    /// A change that is a stage of its own, with the next step.
    pub(super) fn with_step(&mut self, node: &NodeId, change: impl FnOnce(&mut Migration)) {
        let Some(node) = self.nodes.get_mut(node) else { return };
        let Some(moving) = &mut node.migration else { return };
        node.step = node.step.next();
        change(moving);
    }
}

impl Migration {
    /// The way back is undone: the target serves on, the source follows it.
    fn serve_on(&mut self, at: UnixMillis) {
        if !self.is_proved_rehearsal() {
            self.rollback_failed = self.undo_reason.clone();
        }
        self.direction = Direction::Forward;
        self.undo_reason = None;
        self.rehearsal = false;
        self.fence_attempts = 0;
        self.fence_lost = None;
        self.enter(Stage::Soaking, at);
    }
}
