//! The takeover: how a follower takes a node over from a writer that is gone; and former writers that nobody waits for any more.

use crate::event::{Event, Placement};
use crate::node::Takeover;
use crate::record::GivenUp;
use crate::stage::{Direction, Stage};
use crate::world::World;
use shardlift_model::{NodeId, UnixMillis};

impl World {
    pub(super) fn take_in_takeover(&mut self, event: &Event) {
        match event {
            Event::TakeoverStarted { node, after_seq, reason, at } => {
                self.begin_takeover(node, *after_seq, reason, *at);
            }
            Event::StockTaken { node, state } => self.with_takeover(node, |takeover| takeover.stock = Some(*state)),
            Event::TakeoverCommitted { at, placement } => self.commit_takeover(placement, *at),
            Event::WriterWrittenOff { node, .. } => {
                self.with_move(node, |moving| {
                    moving.written_off = true;
                    moving.held = None;
                    moving.reenter = false;
                });
            }
            _ => {}
        }
    }

    /// Whatever was under way ends here: an attempt to go back with the writer, its undo, a move that was held.
    fn begin_takeover(&mut self, node: &NodeId, after_seq: u64, reason: &str, at: UnixMillis) {
        let heeds = self.is_in_bad_batch(node);
        self.with_step(node, |moving| {
            moving.direction = Direction::Back;
            moving.enter(Stage::TakingStock, at);
            moving.takeover = Some(Takeover { after_seq, stock: None });
            moving.verified = None;
            moving.final_state = None;
            moving.held = None;
            moving.fence_attempts = 0;
            moving.fence_lost = None;
            moving.undo_reason = None;
            moving.rollback_reason = Some(reason.to_owned());
            moving.rollback_failed = None;
            moving.rehearsal = false;
            moving.cutover_at = Some(at);
            moving.verdict_heeded |= heeds;
        });
    }

    /// The routes of the new placement are in force at once: they keep clients from a writer that may live on, cut off.
    fn commit_takeover(&mut self, placement: &Placement, at: UnixMillis) {
        self.place_at(placement, Stage::Redirecting, at);
        let Some(node) = self.nodes.get_mut(&placement.node) else { return };
        node.taken_over = Some(placement.generation);
        let lost = node.migration.as_ref().and_then(|moving| {
            let after_seq = moving.takeover.as_ref()?.after_seq;
            Some(GivenUp { at, writer: moving.giver().clone(), after_seq, generation: placement.generation })
        });
        if let Some(lost) = lost {
            node.give_up(lost);
        }
        self.change_route(&placement.node);
    }

    fn with_takeover(&mut self, node: &NodeId, change: impl FnOnce(&mut Takeover)) {
        self.with_move(node, |moving| {
            if let Some(takeover) = &mut moving.takeover {
                change(takeover);
            }
        });
    }
}
