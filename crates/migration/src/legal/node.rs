//! Legality of what happens to one node's move.

use super::Illegal;
use crate::batch::BatchPhase;
use crate::event::Event;
use crate::node::{CertificateState, Migration, Node};
use crate::stage::Stage;
use crate::world::World;
use shardlift_model::{NodeId, Step};

impl World {
    pub(super) fn legal_for_node(&self, event: &Event) -> Result<(), Illegal> {
        match event {
            Event::StageEntered { node, stage, step, .. } => self.stage_follows(node, *stage, *step),
            Event::ReplicaVerified { node, state } => {
                let (_, moving) = self.moving(node)?;
                let stage = moving.stage;
                let last = stage == Stage::Completing && moving.final_state == Some(*state);
                require(stage == Stage::Verifying || last, node, moving, "nothing was to be compared")?;
                require(!moving.is_idle(), node, moving, "the move waits")?;
                require(moving.tolerates(state), node, moving, "damaged objects were not accepted")
            }
            Event::FinalStateNamed { node, state } => {
                let (_, moving) = self.moving(node)?;
                require(moving.stage == Stage::Fencing && !moving.is_idle(), node, moving, "it is not being fenced")?;
                require(moving.final_state.is_none(), node, moving, "the final state was named already")?;
                require(moving.tolerates(state), node, moving, "damaged objects were not accepted")
            }
            Event::FenceLost { node, .. } => {
                let (_, moving) = self.moving(node)?;
                let fenced = moving.stage.again() == Some(Stage::Fencing) && !moving.is_idle();
                require(fenced, node, moving, "it has no fence to lose")
            }
            Event::MoveHeld { node, .. } => {
                let (_, moving) = self.moving(node)?;
                require(moving.stage.may_be_held() && !moving.is_idle(), node, moving, "it cannot be held here")
            }
            Event::MoveRetried { node, .. } => {
                let (_, moving) = self.moving(node)?;
                require(moving.held.is_some(), node, moving, "it is not held")
            }
            Event::UndoStarted { node, .. } => {
                let (_, moving) = self.moving(node)?;
                let open = moving.undo_reason.is_none() && moving.stage.undo(moving.direction).is_some();
                require(open, node, moving, "it cannot be undone")
            }
            Event::WriterPromoted { node, .. } => {
                let (_, moving) = self.moving(node)?;
                let open = moving.stage == Stage::Promoting && moving.promoted.is_none() && !moving.is_idle();
                require(open, node, moving, "nobody is to become its writer")
            }
            _ => Ok(()),
        }
    }

    pub(super) fn moving(&self, node: &NodeId) -> Result<(&Node, &Migration), Illegal> {
        self.known_node(node)?;
        let moving = self.migration(node).filter(|(_, moving)| !moving.stage.is_over());
        moving.ok_or_else(|| Illegal::NotMoving(node.clone()))
    }

    fn stage_follows(&self, node: &NodeId, stage: Stage, step: Step) -> Result<(), Illegal> {
        let (known, moving) = self.moving(node)?;
        let present = moving.stage;
        let wrong = |why| Err(Illegal::Stage { node: node.clone(), present, stage, why });
        if known.step.0.checked_add(1).map(Step) != Some(step) {
            return Err(Illegal::Step { node: node.clone(), step, present: known.step });
        }
        if !present.allowed(moving.way()).any(|allowed| allowed == stage) {
            return wrong("the order of stages does not have this");
        }
        if moving.held.is_some() {
            return wrong("the move is held");
        }
        if moving.reenter {
            return if present.again() == Some(stage) { Ok(()) } else { wrong("work is to begin anew") };
        }
        let begins_undo = stage.is_undo() && !moving.is_undoing();
        if begins_undo != (moving.undo_reason.is_some() && !moving.is_undoing()) {
            return wrong("an undo begins with the decision to undo, and nothing else follows that");
        }
        let again = present.again() == Some(stage);
        if again {
            return wrong("nothing makes work begin anew");
        }
        match self.gate(known, moving, stage) {
            Some(why) => wrong(why),
            None => Ok(()),
        }
    }

    /// What, beside the order of stages, still stands before a stage.
    fn gate(&self, node: &Node, moving: &Migration, stage: Stage) -> Option<&'static str> {
        let phase = self.batches.get(&moving.batch).map(|batch| batch.phase);
        let (open, why) = match stage {
            Stage::Offering => (phase == Some(BatchPhase::Preparing), "its batch was not started"),
            Stage::AwaitingCertificate => (moving.verified.is_some(), "both sides were not compared"),
            Stage::Ready => {
                (matches!(node.certificate, CertificateState::InUse { .. }), "its certificate was not seen in use")
            }
            Stage::Fencing if moving.stage == Stage::Ready => {
                (phase == Some(BatchPhase::CuttingOver), "its batch does not cut over")
            }
            Stage::Fencing => (false, "only the start of a way back leads there"),
            Stage::Completing => (moving.final_state.is_some(), "the final state was not named"),
            Stage::Sealing if moving.is_back() && moving.rehearsal => (false, "a rehearsal seals nothing"),
            // INV-05
            Stage::Sealing | Stage::Sealed => (moving.is_equal(), "the taker was not seen at the final state"),
            Stage::Promoting if moving.stage == Stage::Redirecting => (true, ""),
            Stage::Promoting => (false, "only the commit leads there"),
            Stage::TakingStock => (false, "only an operator's decision leads there"),
            Stage::Redirecting => (false, "only the commit of a takeover leads there"),
            Stage::Retiring => (moving.promoted.is_some(), "the taker is not the writer yet"),
            Stage::Probing if moving.stage == Stage::Promoting => {
                (moving.promoted.is_some(), "the taker is not the writer yet")
            }
            Stage::Soaking if moving.is_back() => (false, "only the end of the undo leads there"),
            Stage::Releasing => (phase == Some(BatchPhase::Released), "the soak goes on"),
            Stage::Restoring => (false, "only an operator's decision leads there"),
            _ => (true, ""),
        };
        (!open).then_some(why)
    }
}

pub(super) fn require(holds: bool, node: &NodeId, moving: &Migration, why: &'static str) -> Result<(), Illegal> {
    if holds { Ok(()) } else { Err(Illegal::Move { node: node.clone(), stage: moving.stage, why }) }
}
