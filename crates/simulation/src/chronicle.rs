//! What the controllers have recorded, as it is recorded: read from the store that they share, told, and counted for those who wait
//! for a stage.

use crate::cluster::Shared;
use crate::faults::Moment;
use crate::tally::{Sort, Tally};
use anyhow::{Context as _, Result};
use shardlift_migration::{Event, Stage};
use shardlift_store::{Seq, Store as _};
use std::collections::BTreeSet;
use std::time::Duration;

/// Events read at once.
const PAGE: usize = 1000;

/// How far the store was read, and who entered which stage when.
#[derive(Debug, Default)]
pub struct Chronicle {
    last: Option<Seq>,
    entered: Vec<(String, Stage, Duration)>,
    /// Nodes that went back without their writer, while it has not been deposed.
    taken_over: BTreeSet<String>,
    /// When something was told last.
    pub told: Duration,
}

impl Chronicle {
    /// Reads on.
    ///
    /// # Errors
    /// When a record is none.
    pub fn read_on(&mut self, shared: &Shared) -> Result<()> {
        let (store, story) = (&shared.store, &shared.story);
        for (seq, record) in store.read(self.last.unwrap_or(Seq::ZERO), PAGE)? {
            self.last = Some(seq);
            let json = record.get(1..).context("an empty record")?;
            let mut entry: serde_json::Value = serde_json::from_slice(json)?;
            let event: Event = serde_json::from_value(entry["event"].take())?;
            if let Some(line) = line(&event) {
                story.tell("record", line);
                self.told = story.now();
            }
            let known = self.entered.len();
            self.note(&event, story.now());
            for (node, stage, _) in &self.entered[known..] {
                shared.witness.enter(node, *stage);
            }
            self.count(&event, &shared.tally);
        }
        Ok(())
    }

    /// Some stages are entered by an event of another name.
    fn note(&mut self, event: &Event, now: Duration) {
        match event {
            Event::StageEntered { node, stage, .. } => self.entered.push((node.to_string(), *stage, now)),
            Event::RollbackStarted { node, .. } => self.entered.push((node.to_string(), Stage::Fencing, now)),
            Event::BatchCommitted { placements, .. } | Event::RollbackCommitted { placements, .. } => {
                let promoted = placements.iter().map(|placement| placement.node.to_string());
                self.entered.extend(promoted.map(|node| (node, Stage::Promoting, now)));
            }
            _ => {}
        }
    }

    fn count(&mut self, event: &Event, tally: &Tally) {
        match event {
            Event::TakeoverCommitted { placement, .. } => {
                self.taken_over.insert(placement.node.to_string());
            }
            Event::StageEntered { node, stage: Stage::RolledBack, .. } if self.taken_over.remove(node.as_str()) => {
                tally.count(Sort::Deposed);
            }
            _ => {}
        }
    }

    /// Whether a moment has come.
    #[must_use]
    pub fn has_come(&self, moment: &Moment, began: Duration, now: Duration) -> bool {
        match moment {
            Moment::At(at) => began + *at <= now,
            Moment::Stage { node, stage, nth, after } => {
                let mut entered = self.entered.iter().filter(|(who, what, _)| who == node && what == stage);
                entered.nth(nth - 1).is_some_and(|(_, _, at)| *at + *after <= now)
            }
        }
    }
}

/// What is told of an event. Numbers that no seed decides, such as a certificate's, are not.
fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::LeadershipTaken { term } => format!("term {}", term.0),
        Event::StageEntered { node, stage, .. } => format!("{node} is {stage:?}"),
        Event::BatchCommitted { batch, placements, .. } => {
            let nodes: Vec<_> = placements.iter().map(|placement| placement.node.as_str()).collect();
            format!("{batch} is committed: {}", nodes.join(" "))
        }
        Event::RollbackCommitted { placements, .. } => {
            let nodes: Vec<_> = placements.iter().map(|placement| placement.node.as_str()).collect();
            format!("a way back is committed: {}", nodes.join(" "))
        }
        Event::FenceLost { node, reason } => format!("{node} lost its fence: {reason}"),
        Event::MoveHeld { node, held } => format!("{node} is held: {held:?}"),
        Event::MoveRetried { node, .. } => format!("{node} goes on"),
        Event::UndoStarted { node, reason } => format!("{node} is undone: {reason}"),
        Event::RollbackStarted { node, reason, .. } => format!("{node} goes back: {reason}"),
        Event::RollbackUndone { node, .. } => format!("{node} does not go back"),
        Event::VerdictReached { batch, verdict } => format!("{batch}: {verdict:?}"),
        Event::TakeoverStarted { node, after_seq, .. } => {
            format!("{node} goes back without its writer, after {after_seq}")
        }
        Event::StockTaken { node, .. } => format!("{node} has taken stock"),
        Event::TakeoverCommitted { placement, .. } => format!("{} is taken over", placement.node),
        Event::BatchAborted { batch } => format!("{batch} is aborted"),
        Event::BatchRolledBack { batch } => format!("{batch} is rolled back"),
        _ => return None,
    })
}
