//! Invariants over one command: it goes only to the side, and at the stage, where it is meant to do something.

use super::super::{Violation, violation};
use crate::command::Command;
use crate::node::{Migration, Node};
use crate::stage::{Direction, Stage};
use shardlift_model::ShardId;

struct Sent<'w> {
    node: &'w Node,
    moving: &'w Migration,
    shard: &'w ShardId,
    found: Vec<Violation>,
}

/// INV-01, INV-05, INV-07, INV-09, INV-12.
pub(super) fn check(node: &Node, moving: &Migration, shard: &ShardId, command: &Command) -> Vec<Violation> {
    let mut sent = Sent { node, moving, shard, found: Vec::new() };
    match command {
        Command::Offer { .. }
        | Command::StartReplica { .. }
        | Command::VerifyReplica
        | Command::CompleteReplica { .. } => {
            sent.copy(command);
        }
        Command::Fence | Command::Seal { .. } | Command::Promote { .. } | Command::Retire { .. } => sent.flip(command),
        Command::Unfence => {
            sent.refuse(*shard != node.shard, "INV-01", "a shard would admit changes beside the writer");
            let meant = moving.stage == Stage::Unfencing && *shard == *sent.giver();
            sent.refuse(!meant, "INV-12", "a fence would be taken back without a decision to undo");
        }
        Command::DiscardReplica => {
            let kept = *shard == node.shard || node.old_copies.contains(shard);
            sent.refuse(kept, "INV-07", "a copy that was served would be discarded");
            let meant = sent.is_at(Stage::Discarding) && *shard == moving.target;
            sent.refuse(!meant, "INV-12", "a copy would be discarded without a decision to undo");
        }
        Command::EndLegacyCredentials => {
            let meant = sent.is_at(Stage::Releasing) && *shard == node.shard;
            sent.refuse(!meant, "INV-09", "old credentials would end before the release");
        }
        Command::Detach | Command::Quarantine | Command::Restore => sent.put_aside(command),
        Command::TakeStock => {
            sent.refuse(*shard == node.shard, "INV-01", "the writer would be taken for its follower");
            let meant = sent.is_at(Stage::TakingStock) && moving.takeover.is_some() && shard == sent.taker();
            sent.refuse(!meant, "INV-12", "a copy would stop following without a decision to take over");
        }
        Command::Depose => {
            sent.refuse(*shard == node.shard, "INV-07", "the writer would be deposed");
            let meant = sent.is_at(Stage::Deposing) && moving.takeover.is_some() && shard == sent.giver();
            sent.refuse(!meant, "INV-12", "a shard would give up a node that was not taken over from it");
        }
    }
    sent.found
}

impl Sent<'_> {
    fn refuse(&mut self, broken: bool, invariant: &'static str, what: &str) {
        if broken {
            let what = format!("`{}` at {}: {what}", self.node.node, self.moving.stage);
            self.found.push(violation(invariant, what));
        }
    }

    fn is_at(&self, stage: Stage) -> bool {
        self.moving.stage == stage
    }

    fn goes_back(&self) -> bool {
        self.moving.direction == Direction::Back
    }

    fn giver(&self) -> &ShardId {
        if self.goes_back() { &self.moving.target } else { &self.moving.source }
    }

    fn taker(&self) -> &ShardId {
        if self.goes_back() { &self.moving.source } else { &self.moving.target }
    }

    /// What makes or changes a copy.
    fn copy(&mut self, command: &Command) {
        let writer = &self.node.shard;
        let overwrites = match command {
            Command::Offer { target } => target == writer || self.moving.stage.is_committed(),
            Command::VerifyReplica => self.shard == writer || self.moving.stage.is_committed(),
            _ => self.shard == writer,
        };
        self.refuse(overwrites, "INV-01", "the writer would be overwritten by a copy");
        match command {
            Command::StartReplica { source, accept_damaged } => {
                let resumes = self.is_at(Stage::Resuming) && *self.shard == self.moving.source && !accept_damaged;
                let starts = self.is_at(Stage::Starting) && *self.shard == self.moving.target;
                self.refuse(source != writer || !(resumes || starts), "INV-12", "a copy would be made out of turn");
            }
            Command::CompleteReplica { expected } => {
                let named = self.moving.final_state == Some(*expected) && self.is_at(Stage::Completing);
                self.refuse(!named || self.shard != self.taker(), "INV-12", "a copy would be completed out of turn");
            }
            _ => {}
        }
    }

    /// What takes and gives the right to write.
    fn flip(&mut self, command: &Command) {
        let placed = *self.shard == self.node.shard;
        match command {
            Command::Seal { expected } => {
                let seen = self.moving.verified == Some(*expected) && self.shard == self.giver() && placed;
                self.refuse(!seen, "INV-05", "the writer would be sealed at a state that the taker was not seen at");
                let rehearsal = self.goes_back() && self.moving.rehearsal;
                self.refuse(rehearsal, "INV-12", "a rehearsal would seal the writer");
            }
            Command::Promote { expected, follower, settings } => {
                let committed = placed && self.is_at(Stage::Promoting) && self.shard == self.taker();
                self.refuse(!committed, "INV-01", "a shard would be promoted without a commit");
                let accepted = self.moving.takeover.as_ref().filter(|takeover| takeover.after_seq <= expected.seq);
                let seen = match &self.moving.takeover {
                    // The one exception: there is nobody left to compare with.
                    Some(_) => accepted.is_some_and(|takeover| takeover.stock == Some(*expected)),
                    None => self.moving.verified == Some(*expected),
                };
                self.refuse(!seen, "INV-05", "a copy would be promoted at a state that was not verified");
                self.refuse(follower != self.giver(), "INV-12", "another shard than the former writer would follow");
                let lacks = self.moving.takeover.is_some() && *settings != self.node.settings;
                self.refuse(lacks, "INV-08", "a node would be served without the holds that were placed on it");
            }
            Command::Retire { target, from_seq } => {
                self.refuse(*target != self.node.shard || placed, "INV-01", "the writer would be retired");
                let promoted = self.moving.promoted.is_some_and(|promoted| promoted.seq == *from_seq);
                let meant = promoted && self.is_at(Stage::Retiring);
                self.refuse(!meant, "INV-02", "the old copy would follow from another change than the promotion's");
            }
            _ => {
                let meant = placed && self.is_at(Stage::Fencing) && self.shard == self.giver();
                self.refuse(!meant, "INV-12", "a fence without a cutover");
            }
        }
    }

    /// INV-07: what stops a copy, or takes it out of sight, never goes to the writer.
    fn put_aside(&mut self, command: &Command) {
        let to_source = *self.shard == self.moving.source;
        let meant = match command {
            Command::Detach if self.goes_back() => self.is_at(Stage::Detaching) && !to_source,
            Command::Detach => self.is_at(Stage::Discarding) && self.node.old_copies.contains(self.shard),
            Command::Quarantine => self.is_at(Stage::Quarantining) && to_source,
            _ => self.is_at(Stage::Restoring) && to_source,
        };
        self.refuse(*self.shard == self.node.shard, "INV-07", "the writer's copy would be put aside");
        self.refuse(!meant, "INV-12", "a copy would be put aside or taken out out of turn");
    }
}
