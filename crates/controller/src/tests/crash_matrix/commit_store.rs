//! A store in which something goes wrong with the append that holds a commit; all others go through.

use crate::journal::Entry;
use crate::tests::yard::{Mishap, Spot, Yard};
use shardlift_migration::Event;
use shardlift_model::{ClusterId, NodeId, Term};
use shardlift_store::{MemoryStore, Seq, Store, StoreError};
use std::sync::Mutex;
use std::time::Duration;

/// How often a store looks whether the next controller leads.
const LOOKS_MAX: usize = 10_000;

/// An append that was made.
type Append = (Term, Seq, Vec<Vec<u8>>);

pub(super) struct CommitStore {
    inner: MemoryStore,
    yard: Yard,
    node: NodeId,
    late: Mutex<Option<Append>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the controller died, or the answer was lost")]
struct NoAnswer;

fn no_answer() -> StoreError {
    StoreError::Unknown { source: Box::new(NoAnswer) }
}

impl CommitStore {
    pub(super) fn new(inner: MemoryStore, yard: Yard, node: NodeId) -> Self {
        Self { inner, yard, node, late: Mutex::default() }
    }

    /// The generation under which these records place the node.
    fn commits(&self, records: &[Vec<u8>]) -> Option<u64> {
        records.iter().find_map(|record| commit_of(&Entry::from_record(record).unwrap().event, &self.node))
    }

    /// The commit that is late arrives once more: it follows a record that is not the last one any more.
    pub(super) fn arrive_late(&self) {
        let Some((term, after, records)) = self.late.lock().unwrap().clone() else { return };
        let answer = self.inner.append(term, after, &records);
        self.yard.with(|copies| {
            copies.mishaps.arrived_late += 1;
            if answer.is_ok() {
                copies.violations.push("INV-05: a commit was recorded twice".to_owned());
            }
        });
    }

    /// The caller is dead by then; it is never told.
    fn wait_for_the_next_leader(&self) -> StoreError {
        for _ in 0..LOOKS_MAX {
            if !self.yard.with(|copies| copies.mishaps.down) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        no_answer()
    }
}

/// The generation under which an event places a node.
pub(super) fn commit_of(event: &Event, node: &NodeId) -> Option<u64> {
    let placements = match event {
        Event::BatchCommitted { placements, .. } | Event::RollbackCommitted { placements, .. } => &placements[..],
        Event::TakeoverCommitted { placement, .. } => std::slice::from_ref(placement),
        _ => return None,
    };
    placements.iter().find(|placement| placement.node == *node).map(|placement| placement.generation.0)
}

impl Store for CommitStore {
    fn cluster(&self) -> &ClusterId {
        self.inner.cluster()
    }

    fn campaign_above(&self, floor: Term) -> Result<Term, StoreError> {
        self.inner.campaign_above(floor)
    }

    fn term(&self) -> Result<Term, StoreError> {
        self.inner.term()
    }

    fn append(&self, term: Term, after: Seq, records: &[Vec<u8>]) -> Result<Seq, StoreError> {
        let spot = self.commits(records).map(Spot::Commit);
        let mishap = spot.and_then(|spot| self.yard.with(|copies| copies.mishaps.meet(&spot)));
        let append = || self.inner.append(term, after, records);
        match mishap {
            Some(Mishap::CrashBefore) => Err(self.wait_for_the_next_leader()),
            Some(Mishap::CrashAfter) => {
                append()?;
                Err(self.wait_for_the_next_leader())
            }
            Some(Mishap::AnswerLost) => {
                append()?;
                Err(no_answer())
            }
            Some(Mishap::Doubled) => {
                let first = append();
                if append().is_ok() {
                    let text = "INV-05: the same append was taken twice".to_owned();
                    self.yard.with(|copies| copies.violations.push(text));
                }
                first
            }
            Some(Mishap::Late) => {
                let answer = append();
                *self.late.lock().unwrap() = Some((term, after, records.to_vec()));
                answer
            }
            None => {
                let answer = append();
                self.arrive_late();
                answer
            }
        }
    }

    fn last(&self) -> Result<Seq, StoreError> {
        self.inner.last()
    }

    fn read(&self, after: Seq, limit: usize) -> Result<Vec<(Seq, Vec<u8>)>, StoreError> {
        self.inner.read(after, limit)
    }
}
