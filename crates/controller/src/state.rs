//! What everybody may look at: the recorded world as of the last durable event, and what was observed of the parts.
//!
//! The loop alone writes the recorded part, and only after an append was acknowledged. Observations are in memory only and
//! decide nothing. Locks are held for a look, never across a wait.

use crate::history::History;
use crate::journal::Entry;
use crate::observed::Observed;
use shardlift_migration::{Event, World};
use shardlift_model::{Generation, NodeId};
use shardlift_store::Seq;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, RwLock};
use tokio::sync::watch;

/// The fold of the journal up to `revision`.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// All that is recorded.
    pub(crate) world: World,
    /// Number of the last event in it.
    pub(crate) revision: Seq,
    /// What happened, in sentences.
    pub(crate) history: History,
    /// Where in the journal the receipts are: they are read from there when somebody asks.
    pub(crate) receipts: BTreeMap<(NodeId, Generation), Seq>,
}

impl Recorded {
    /// Takes in the event with the next number.
    pub(crate) fn take(&mut self, seq: Seq, entry: &Entry) {
        self.history.tell(seq, entry, &self.world);
        self.world.apply(&entry.event);
        if let Event::ReceiptIssued { node, generation, .. } = &entry.event {
            self.receipts.insert((node.clone(), *generation), seq);
        }
        self.revision = seq;
    }
}

/// Both parts, and a bell that rings when one of them changed.
#[derive(Debug)]
pub(crate) struct Shared {
    recorded: RwLock<Recorded>,
    observed: RwLock<Observed>,
    changes: watch::Sender<u64>,
    /// Whether something moves, as of this event.
    active: Mutex<Option<(Seq, bool)>>,
}

impl Shared {
    pub(crate) fn new(recorded: Recorded) -> Self {
        let changes = watch::Sender::new(0);
        Self { recorded: RwLock::new(recorded), observed: RwLock::default(), changes, active: Mutex::default() }
    }

    /// Looks at what is recorded. A panic elsewhere does not make the look wrong: every write is one `take` or none.
    pub(crate) fn recorded<T>(&self, look: impl FnOnce(&Recorded) -> T) -> T {
        look(&self.recorded.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the recorded world.
    pub(crate) fn world<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        self.recorded(|recorded| look(&recorded.world))
    }

    /// The answer to a question whether something moves: many ask between two events, and one look is enough for all of them.
    pub(crate) fn once_a_revision(&self, is_active: impl FnOnce(&World) -> bool) -> bool {
        self.recorded(|recorded| {
            let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
            match *active {
                Some((revision, answer)) if revision == recorded.revision => answer,
                _ => {
                    let answer = is_active(&recorded.world);
                    *active = Some((recorded.revision, answer));
                    answer
                }
            }
        })
    }

    /// Looks at both at once.
    pub(crate) fn both<T>(&self, look: impl FnOnce(&Recorded, &Observed) -> T) -> T {
        self.recorded(|recorded| look(recorded, &self.observed.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Looks at the observations.
    pub(crate) fn observed<T>(&self, look: impl FnOnce(&Observed) -> T) -> T {
        look(&self.observed.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in events that are durable.
    pub(crate) fn take(&self, first: Seq, entries: &[Entry]) {
        let mut recorded = self.recorded.write().unwrap_or_else(PoisonError::into_inner);
        for (index, entry) in entries.iter().enumerate() {
            recorded.take(first.plus(index), entry);
        }
        drop(recorded);
        self.ring();
    }

    /// Notes an observation.
    pub(crate) fn observe(&self, note: impl FnOnce(&mut Observed)) {
        note(&mut self.observed.write().unwrap_or_else(PoisonError::into_inner));
        self.ring();
    }

    /// Notes an observation that depends on what is recorded.
    pub(crate) fn observe_in(&self, note: impl FnOnce(&World, &mut Observed)) {
        self.world(|world| self.observe(|observed| note(world, observed)));
    }

    /// Wakes up whenever something changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn ring(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}
