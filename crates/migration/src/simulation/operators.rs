//! What operators do in the simulation: at random while there are faults, and what is left to them when those are over.

use super::Simulation;
use crate::certificates::CertificateHolder;
use crate::fixture::plan;
use crate::{BatchPhase, Direction, Input, Migration, Settings, Stage};
use shardlift_model::{BatchId, ByteCount, NodeId, Role, UnixMillis};
use std::collections::BTreeMap;

/// True from the commit of a way back on: whoever is gone then is waited for only until it is written off.
pub(super) const fn is_back_at_its_source(moving: &Migration) -> bool {
    use Stage::{Detaching, Probing, Promoting, Retiring, Routing};
    let committed = matches!(moving.stage, Promoting | Retiring | Routing | Probing | Detaching);
    committed && matches!(moving.direction, Direction::Back)
}

impl Simulation {
    pub(super) fn operate(&mut self) {
        let batches: Vec<BatchId> = self.bench.world.batches.keys().cloned().collect();
        let Some(batch) = self.dice.pick(&batches).cloned() else { return };
        let Some(node) = self.any_node() else { return };
        let reason = || "at random".to_owned();
        let input = match self.dice.below(36) {
            0 if self.faults => Input::PauseBatch { batch },
            2 if self.faults && self.dice.chance(20) => Input::AbortNode { node, reason: reason() },
            3..=5 => Input::ResumeBatch { batch },
            6..=8 => Input::RetryNode { node, accept_damaged: self.dice.chance(50) },
            9 | 10 => Input::ReleaseBatch { batch, force: self.dice.chance(30) },
            11 => {
                let serial = self.bench.world.nodes[&node].serials.last().cloned().unwrap_or_default();
                Input::CertificateSeen { node, serial }
            }
            12 | 13 => Input::RollBackNode { node, reason: reason() },
            14 if self.dice.chance(30) => return self.roll_back_batch(batch),
            15 | 16 => Input::RehearseRollback { node },
            17 | 18 => Input::RestoreNode { node },
            19 => return self.plan_again(&node),
            20 => Input::RehearseBatch { batch },
            21..=25 => return self.give_the_writer_up(&node),
            26 | 27 => {
                let generation = self.bench.world.nodes[&node].generation;
                let settings = Settings { quota: Some(ByteCount(self.bench.now.0)), ..Settings::default() };
                Input::RecordSettings { node, generation, settings }
            }
            29 => {
                let shown = self.bench.world.nodes[&node].serials.last().cloned().unwrap_or_default();
                let serial = format!("f{:x}", self.bench.now.0);
                let holder = CertificateHolder { role: Role::Node, name: node.as_str().to_owned() };
                Input::RenewCertificate { shown, serial, holder, not_after: UnixMillis(u64::MAX) }
            }
            // Of what was measured, not of an operator.
            28 => Input::AdviseSeeding { count: u32::try_from(self.dice.below(6)).unwrap() },
            _ => Input::StartBatch { batch },
        };
        self.input(input);
    }

    /// Those of its nodes whose writer is gone go back without it: all of them or none.
    fn roll_back_batch(&mut self, batch: BatchId) {
        let world = &self.bench.world;
        let members = world.batches.get(&batch).into_iter().flat_map(|found| world.members(found));
        let gone = members
            .filter(|(node, moving)| moving.begins_takeover() && self.shards.is_gone(&node.node, &moving.target));
        let losses: BTreeMap<NodeId, u64> =
            gone.map(|(node, moving)| (node.node.clone(), self.shards.content(&node.node, &moving.source))).collect();
        self.input(Input::RollBackBatch { batch, reason: "at random".to_owned(), losses: losses.clone() });
        losses.keys().for_each(|node| self.note_accepted(node));
    }

    /// A node whose move is over, or was never begun, is planned anew: refused for most.
    fn plan_again(&mut self, node: &NodeId) {
        let present = self.bench.world.plan_revision();
        let name = format!("again-{present}");
        let plan = plan(present + 1, present, &[(&name, &[], &[node.as_str()])]);
        self.input(Input::ApplyPlan { plan, text: String::new(), reviewed_revision: present + 1 });
    }

    /// Of a writer that is gone; now and then of one that is only cut off, and once more than there is to keep.
    fn give_the_writer_up(&mut self, node: &NodeId) {
        let Some((_, moving)) = self.bench.world.migration(node) else { return };
        let (source, target) = (moving.source.clone(), moving.target.clone());
        let is_gone = self.shards.is_gone(node, &target);
        if is_gone && self.dice.chance(20) {
            return self.input(Input::WriteOffWriter { node: node.clone() });
        }
        if is_gone || (self.faults && self.dice.chance(20)) {
            let kept = self.shards.content(node, &source);
            let after_seq = (kept + u64::from(self.dice.chance(20))).saturating_sub(self.dice.roll() % 3);
            self.take_over(node, after_seq);
        }
    }

    fn take_over(&mut self, node: &NodeId, after_seq: u64) {
        self.input(Input::TakeOver { node: node.clone(), after_seq, reason: "it is gone".to_owned() });
        self.note_accepted(node);
    }

    fn note_accepted(&mut self, node: &NodeId) {
        let moving = self.bench.world.migration(node).map(|(_, moving)| moving);
        if let Some(takeover) = moving.and_then(|moving| moving.takeover.as_ref()) {
            self.shards.accepted.insert(node.clone(), takeover.after_seq);
        }
    }

    /// A shard that is gone for good will not answer however long one waits: its nodes are taken over and it is written off.
    /// Where nothing can be given up any more it turns out that it was only cut off; where nothing was lost with it, another
    /// machine takes its place.
    pub(super) fn give_up_what_is_gone(&mut self, node: &NodeId) {
        let Some((known, moving)) = self.bench.world.migration(node) else { return };
        let (source, target, stage) = (moving.source.clone(), moving.target.clone(), moving.stage);
        let less = moving.takeover.is_some() && stage == Stage::TakingStock;
        let (begins, goes_on) = (moving.begins_takeover(), moving.takeover.is_some() || is_back_at_its_source(moving));
        let waits = moving.written_off_leads_to().is_some();
        let is_placed = known.shard == target || moving.is_back();
        if less || (begins && self.shards.is_gone(node, &target)) {
            return self.take_over(node, self.shards.content(node, &source));
        }
        if !self.shards.is_gone(node, &target) {
            return;
        }
        match stage {
            _ if waits => self.input(Input::WriteOffWriter { node: node.clone() }),
            _ if goes_on || stage.is_over() => {}
            _ => self.shards.bring_back(node, &target, is_placed),
        }
    }

    /// A batch waits for ever behind one that was moved back, until an operator has looked: this one gives it up.
    pub(super) fn give_up_behind_a_rollback(&mut self, batch: &BatchId) {
        let world = &self.bench.world;
        let Some(found) = world.batches.get(batch) else { return };
        let moved_back = |name: &BatchId| world.batches.get(name).is_some_and(|b| b.phase == BatchPhase::RolledBack);
        if !world.unmet_after(found).any(moved_back) {
            return;
        }
        let nodes: Vec<NodeId> = found.nodes.keys().cloned().collect();
        for node in nodes {
            self.input(Input::AbortNode { node, reason: "the batch before it was moved back".to_owned() });
        }
    }
}
