//! Legality of the takeover: the one commit for which only one side is left.

use super::Illegal;
use super::back::is_soaking;
use super::node::require;
use crate::event::{Event, Placement};
use crate::node::Migration;
use crate::stage::Stage;
use crate::world::World;

impl World {
    pub(super) fn legal_for_takeover(&self, event: &Event) -> Result<(), Illegal> {
        match event {
            Event::TakeoverStarted { node, after_seq, .. } => {
                let (_, moving) = self.moving(node)?;
                let open = moving.begins_takeover() || moving.accepts_greater_loss(*after_seq);
                require(open, node, moving, "no takeover begins here")?;
                let soaks = self.phase_of(moving).is_some_and(is_soaking);
                require(soaks, node, moving, "its batch is not being served by its targets")
            }
            Event::StockTaken { node, state } => {
                let (_, moving) = self.moving(node)?;
                let asked = moving.stage == Stage::TakingStock && !moving.is_idle();
                let takeover = moving.takeover.as_ref().filter(|takeover| asked && takeover.stock.is_none());
                require(takeover.is_some(), node, moving, "nobody was to name what it has")?;
                let enough = takeover.is_some_and(|takeover| takeover.after_seq <= state.seq);
                require(enough, node, moving, "more would be lost than was accepted")?;
                require(moving.tolerates(state), node, moving, "damaged objects were not accepted")
            }
            Event::TakeoverCommitted { placement, .. } => self.takeover_fits(placement),
            Event::WriterWrittenOff { node, .. } => {
                let (_, moving) = self.moving(node)?;
                let waits = moving.written_off_leads_to().is_some() && !moving.written_off;
                require(waits, node, moving, "nobody waits for its former writer")
            }
            _ => Ok(()),
        }
    }

    /// Instead of INV-05: exactly what the taker named, and at least what an operator accepted.
    fn takeover_fits(&self, placement: &Placement) -> Result<(), Illegal> {
        let node = &placement.node;
        let (known, moving) = self.moving(node)?;
        let wrong = |why| Err(Illegal::Commit { node: node.clone(), why });
        let Some(takeover) = moving.takeover.as_ref().filter(|_| moving.is_back()) else {
            return wrong("it is not taken over");
        };
        if moving.stage != Stage::TakingStock || moving.is_idle() {
            return wrong("nobody takes stock of it");
        }
        let Some(stock) = takeover.stock.filter(|stock| *stock == placement.final_state) else {
            return wrong("this is not what its new writer has");
        };
        if stock.seq < takeover.after_seq || !moving.tolerates(&stock) {
            return wrong("more is lost than an operator accepted");
        }
        self.place_follows(known, moving, placement)
    }
}

impl Migration {
    /// True where an operator may give the writer up, whether or not the move is held or being undone.
    #[must_use]
    pub fn begins_takeover(&self) -> bool {
        self.stage.begins_takeover(self.way())
    }

    /// True when a takeover is held before its commit and its operator gives up more than before.
    #[must_use]
    pub fn accepts_greater_loss(&self, after_seq: u64) -> bool {
        let less = self.takeover.as_ref().is_some_and(|takeover| after_seq < takeover.after_seq);
        less && self.stage == Stage::TakingStock && self.held.is_some()
    }
}
