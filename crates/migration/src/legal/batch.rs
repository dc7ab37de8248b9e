//! Legality of plans and of what happens to a batch as a whole.

use super::Illegal;
use crate::batch::{Batch, BatchPhase};
use crate::event::{Event, Placement};
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
            Event::CutoverStarted { batch, .. } => {
                let found = self.in_phase(batch, &[Preparing])?;
                require(self.may_cut_over(found), found, "it may not cut over yet")
            }
            Event::BatchCommitted { batch, route_version, placements, .. } => {
                let found = self.in_phase(batch, &[CuttingOver])?;
                self.commit_fits(found, placements)?;
                self.next_routes(*route_version, true)
            }
            Event::BatchSettled { batch } => {
                let found = self.in_phase(batch, &[Committed])?;
                let mut remaining = self.remaining(found);
                let served = remaining.all(|(_, moving)| moving.stage == Stage::Soaking);
                require(served, found, "not all its nodes are served by their targets")
            }
            Event::BatchReleased { batch, .. } => self.in_phase(batch, &[Soaking]).map(|_| ()),
            Event::BatchAborted { batch } => {
                let found = self.in_phase(batch, &[Planned, Preparing, CuttingOver])?;
                require(self.remaining(found).next().is_none(), found, "nodes are still in it")
            }
            _ => Ok(()),
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
            if moving.stage != Stage::Sealed {
                return wrong("it is not sealed");
            }
            if placement.shard != moving.target {
                return wrong("the new placement is not its target");
            }
            let same = moving.final_state == Some(placement.final_state) && moving.verified == moving.final_state;
            if !same || !moving.tolerates(&placement.final_state) {
                return wrong("this is not the state that both sides were verified to have");
            }
            let (generation, present) = (placement.generation, known.generation);
            if present.0.checked_add(1).map(Generation) != Some(generation) {
                return Err(Illegal::Generation { node: node.clone(), generation, present });
            }
        }
        match expected.first() {
            Some(node) => Err(Illegal::Commit { node: (*node).clone(), why: "it is still in the batch but left out" }),
            None => Ok(()),
        }
    }
}

fn require(holds: bool, batch: &Batch, why: &'static str) -> Result<(), Illegal> {
    if holds { Ok(()) } else { Err(Illegal::Batch { batch: batch.batch.clone(), phase: batch.phase, why }) }
}
