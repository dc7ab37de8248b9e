//! Legality of plans and of what happens to a batch as a whole.

use super::Illegal;
use crate::batch::{Batch, BatchPhase, Verdict};
use crate::event::{Event, Placement};
use crate::node::{Migration, Node};
use crate::stage::Stage;
use crate::world::{AppliedPlan, World};
use shardlift_model::{BatchId, Generation, NodeId};
use std::collections::BTreeSet;

impl World {
    pub(super) fn legal_for_batch(&self, event: &Event) -> Result<(), Illegal> {
        use BatchPhase::{Committed, CuttingOver, Planned, Preparing, Soaking};
        match event {
            Event::PlanApplied { plan, batches, accept_damaged } => self.plan_fits(plan, batches, accept_damaged),
            Event::BatchStarted { batch, .. } => self.in_phase(batch, &[Planned]).map(|_| ()),
            Event::BatchPaused { batch } => {
                let found = self.in_phase(batch, &[Planned, Preparing, CuttingOver])?;
                require(!found.paused, found, "it is held already")
            }
            Event::BatchResumed { batch } => {
                let found = self.known_batch(batch)?;
                require(found.paused, found, "it is not held")
            }
            Event::BatchReady { batch, .. } => {
                let found = self.in_phase(batch, &[Preparing])?;
                require(found.ready_at.is_none() && self.is_ready(found), found, "not all its nodes are ready")
            }
            Event::CutoverStarted { batch, .. } => {
                let found = self.in_phase(batch, &[Preparing])?;
                require(self.is_flippable(found), found, "it may not cut over yet")
            }
            Event::BatchCommitted { batch, placements, .. } => {
                let found = self.in_phase(batch, &[CuttingOver])?;
                self.commit_fits(found, placements)
            }
            Event::BatchSettled { batch } => {
                let found = self.in_phase(batch, &[Committed])?;
                require(self.is_settled(found), found, "not all its nodes are served by their targets")
            }
            Event::VerdictReached { batch, verdict } => self.verdict_fits(batch, verdict),
            Event::BatchReleased { batch, .. } => {
                let found = self.in_phase(batch, &[Soaking])?;
                let rests = self.remaining(found).all(|(_, moving)| moving.is_soaking() || moving.is_concluded());
                require(rests, found, "one of its nodes does not rest")
            }
            Event::BatchRolledBack { batch } => {
                let found = self.in_phase(batch, &[Committed, Soaking])?;
                let mut members = self.members(found).map(|(_, moving)| moving.stage);
                let is_back = |stage| matches!(stage, Stage::RolledBack | Stage::Deposing);
                let gone = members.all(|stage| stage == Stage::Aborted || is_back(stage));
                let back = self.members(found).any(|(_, moving)| is_back(moving.stage));
                require(gone && back, found, "not all its nodes were moved back")
            }
            Event::BatchAborted { batch } => {
                let found = self.in_phase(batch, &[Planned, Preparing, CuttingOver])?;
                require(self.remaining(found).next().is_none(), found, "nodes are still in it")
            }
            _ => Ok(()),
        }
    }

    fn verdict_fits(&self, batch: &BatchId, verdict: &Verdict) -> Result<(), Illegal> {
        let found = self.in_phase(batch, &[BatchPhase::Committed, BatchPhase::Soaking])?;
        match verdict {
            Verdict::Good => {
                require(found.phase == BatchPhase::Soaking && found.verdict.is_none(), found, "it does not soak")?;
                let soaks = self.remaining(found).any(|(_, moving)| moving.is_soaking());
                let proved = self.soak_unproved(found).next().is_none() && self.soak_alert(found).is_none();
                require(soaks && proved, found, "its soak did not show what its policy asks for")
            }
            Verdict::Bad { .. } => {
                let told = matches!(found.verdict, Some(Verdict::Bad { .. }));
                require(!told && self.soak_alert(found).is_some(), found, "none of its nodes gave an alert")
            }
        }
    }

    fn known_batch(&self, batch: &BatchId) -> Result<&Batch, Illegal> {
        self.batches.get(batch).ok_or_else(|| Illegal::UnknownBatch(batch.clone()))
    }

    fn in_phase(&self, batch: &BatchId, phases: &[BatchPhase]) -> Result<&Batch, Illegal> {
        let found = self.known_batch(batch)?;
        require(phases.contains(&found.phase), found, "this cannot happen in its phase")?;
        Ok(found)
    }

    /// A plan replaces all that was never started, and touches nothing else.
    fn plan_fits(&self, plan: &AppliedPlan, batches: &[Batch], damaged: &[NodeId]) -> Result<(), Illegal> {
        let wrong = |what: String| Err(Illegal::Plan(what));
        if plan.revision <= self.plan_revision() {
            return wrong(format!("revision {} does not follow {}", plan.revision, self.plan_revision()));
        }
        let mut nodes: BTreeSet<&NodeId> = BTreeSet::new();
        let mut names: BTreeSet<&BatchId> = self.started().map(|batch| &batch.batch).collect();
        for batch in batches {
            let Batch { batch: name, plan_revision, after, phase, .. } = batch;
            if batch.nodes.is_empty() || *plan_revision != plan.revision || *phase != BatchPhase::Planned {
                return wrong(format!("batch `{name}` is not a new batch of this plan"));
            }
            if !batch.windows.iter().all(|window| window.is_valid()) {
                return wrong(format!("batch `{name}` has a window that is no part of a day"));
            }
            // Batches stand in an order in which they may run, so waiting for an earlier one makes no circle.
            if let Some(unknown) = after.iter().find(|other| !names.contains(other)) {
                return wrong(format!("batch `{name}` waits for `{unknown}`, which is not before it"));
            }
            if !names.insert(name) {
                return wrong(format!("batch `{name}` exists already"));
            }
            for (node, target) in &batch.nodes {
                self.known_shard(target)?;
                let known = self.known_node(node)?;
                if known.shard == *target || !nodes.insert(node) || !self.is_free(node) {
                    return wrong(format!("node `{node}` cannot move to `{target}` in batch `{name}`"));
                }
            }
        }
        let preparing = self.started().filter(|batch| batch.phase == BatchPhase::Preparing);
        let mut kept = preparing.flat_map(|batch| batch.after.iter().map(move |other| (batch, other)));
        if let Some((batch, other)) = kept.find(|(_, other)| !names.contains(other)) {
            return wrong(format!("batch `{}` is under way and waits for `{other}`, which would be gone", batch.batch));
        }
        match damaged.iter().find(|node| !nodes.contains(node)) {
            Some(node) => wrong(format!("node `{node}` may be damaged but does not move")),
            None => Ok(()),
        }
    }

    /// Batches that a new plan leaves alone.
    pub(crate) fn started(&self) -> impl Iterator<Item = &Batch> {
        self.batches.values().filter(|batch| batch.phase != BatchPhase::Planned)
    }

    /// True when a new plan may move the node: no move is under way. A move that was never started is replaced.
    pub(crate) fn is_free(&self, node: &NodeId) -> bool {
        self.migration(node).is_none_or(|(_, moving)| {
            let started = self.batches.get(&moving.batch).is_some_and(|batch| batch.phase != BatchPhase::Planned);
            moving.stage.is_over() || (moving.stage == Stage::Planned && !started)
        })
    }

    /// INV-05, INV-12: exactly the nodes that are left, all sealed at what both sides were verified to have.
    fn commit_fits(&self, batch: &Batch, placements: &[Placement]) -> Result<(), Illegal> {
        let mut expected: BTreeSet<&NodeId> = self.remaining(batch).map(|(node, _)| &node.node).collect();
        require(!placements.is_empty(), batch, "a commit places at least one node")?;
        for placement in placements {
            let node = &placement.node;
            let wrong = |why| Err(Illegal::Commit { node: node.clone(), why });
            let Some((known, moving)) = self.migration(node).filter(|_| expected.remove(node)) else {
                return wrong("it is not in the batch, or twice");
            };
            self.placement_fits(known, moving, placement)?;
        }
        match expected.first() {
            Some(node) => Err(Illegal::Commit { node: (*node).clone(), why: "it is still in the batch but left out" }),
            None => Ok(()),
        }
    }
}

impl World {
    /// INV-05, INV-06: a commit puts a sealed node on its taker, under the next generation, at what both sides had.
    pub(super) fn placement_fits(&self, known: &Node, moving: &Migration, placed: &Placement) -> Result<(), Illegal> {
        let wrong = |why| Err(Illegal::Commit { node: placed.node.clone(), why });
        if moving.stage != Stage::Sealed || moving.is_idle() {
            return wrong("it is not sealed");
        }
        let same = moving.is_equal() && moving.final_state == Some(placed.final_state);
        if !same || !moving.tolerates(&placed.final_state) {
            return wrong("this is not the state that both sides were verified to have");
        }
        self.place_follows(known, moving, placed)
    }

    /// INV-06: a placement is where the move goes, under the next generation.
    pub(super) fn place_follows(&self, known: &Node, moving: &Migration, placed: &Placement) -> Result<(), Illegal> {
        let node = &placed.node;
        if placed.shard != *moving.taker() {
            return Err(Illegal::Commit { node: node.clone(), why: "the new placement is not where it goes" });
        }
        let (generation, present) = (placed.generation, known.generation);
        if present.0.checked_add(1).map(Generation) != Some(generation) {
            return Err(Illegal::Generation { node: node.clone(), generation, present });
        }
        Ok(())
    }
}

fn require(holds: bool, batch: &Batch, why: &'static str) -> Result<(), Illegal> {
    if holds { Ok(()) } else { Err(Illegal::Batch { batch: batch.batch.clone(), phase: batch.phase, why }) }
}
