//! Legality of the way back, and of what is seen during the soak.

use super::Illegal;
use super::node::require;
use crate::batch::BatchPhase;
use crate::event::{Event, Placement};
use crate::node::{Migration, Node};
use crate::stage::Stage;
use crate::world::World;
use shardlift_model::NodeId;
use std::collections::BTreeSet;

impl World {
    pub(super) fn legal_for_way_back(&self, event: &Event) -> Result<(), Illegal> {
        match event {
            Event::RollbackStarted { node, rehearsal, .. } => {
                let (_, moving) = self.moving(node)?;
                let stage = moving.stage;
                let begins =
                    stage == Stage::Soaking || (!rehearsal && matches!(stage, Stage::Routing | Stage::Probing));
                let open = begins && !moving.is_back() && !moving.is_idle();
                require(open, node, moving, "no way back begins here")?;
                let soaks = self.phase_of(moving).is_some_and(is_soaking);
                require(soaks, node, moving, "its batch is not being served by its targets")
            }
            Event::RollbackCommitted { placements, .. } => self.commit_back_fits(placements),
            Event::RollbackUndone { node, .. } => {
                let (_, moving) = self.moving(node)?;
                let open = moving.is_back() && moving.stage == Stage::Resuming && !moving.is_idle();
                require(open, node, moving, "no undo of a way back ends here")
            }
            Event::RestoreStarted { node, .. } => {
                let (_, moving) = self.moved(node)?;
                let released =
                    self.phase_of(moving).is_some_and(|phase| phase == BatchPhase::Released || is_soaking(phase));
                require(moving.stage == Stage::Released && released, node, moving, "it has no copy in quarantine")
            }
            Event::SoakFactSeen { node, fact, .. } => {
                let (_, moving) = self.moving(node)?;
                require(
                    moving.is_soaking() && !moving.soak.has(fact),
                    node,
                    moving,
                    "it does not soak, or that is known",
                )?;
                let fits = fact.shard().is_none_or(|shard| *shard == moving.source || *shard == moving.target);
                require(fits && fact.is_bounded(), node, moving, "no shard of this move has that")
            }
            _ => Ok(()),
        }
    }

    /// A node that has or had a move.
    fn moved(&self, node: &NodeId) -> Result<(&Node, &Migration), Illegal> {
        self.known_node(node)?;
        self.migration(node).ok_or_else(|| Illegal::NotMoving(node.clone()))
    }

    pub(super) fn phase_of(&self, moving: &Migration) -> Option<BatchPhase> {
        self.batches.get(&moving.batch).map(|batch| batch.phase)
    }

    /// INV-05: nodes that go back, sealed at what both sides were verified to have.
    fn commit_back_fits(&self, placements: &[Placement]) -> Result<(), Illegal> {
        let mut seen: BTreeSet<&NodeId> = BTreeSet::new();
        for placement in placements {
            let (known, moving) = self.moving(&placement.node)?;
            let back = moving.is_back() && !moving.rehearsal && seen.insert(&placement.node);
            require(back, &placement.node, moving, "it does not go back, or is placed twice")?;
            self.placement_fits(known, moving, placement)?;
        }
        match placements.first() {
            Some(_) => Ok(()),
            None => Err(Illegal::EmptyCommit),
        }
    }
}

pub(super) const fn is_soaking(phase: BatchPhase) -> bool {
    matches!(phase, BatchPhase::Committed | BatchPhase::Soaking)
}
