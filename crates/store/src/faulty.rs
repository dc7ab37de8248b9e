//! A store that fails as stores do, by a plan: for the tests of whoever uses a store.
//!
//! Everything it does is allowed by the contract of [`Store`]. A caller that keeps to the contract loses nothing and
//! doubles nothing, whatever the plan.

use crate::contract::{Seq, Store};
use crate::error::{Cause, StoreError};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use shardlift_model::{ClusterId, Term};
use std::collections::VecDeque;
use std::sync::Mutex;

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the call goes through.
    None,
    /// Nothing is done and the caller is told so: [`StoreError::Unavailable`].
    FailBefore,
    /// The write takes place, but the caller is not told: [`StoreError::Unknown`].
    FailAfter,
    /// The write is torn and opening again drops it: [`StoreError::Unknown`], and nothing took place.
    Torn,
}

/// Which calls fail.
#[derive(Debug)]
pub enum FaultPlan {
    /// Each write fails with this chance in a thousand, in one of the three ways; each read too, by being refused.
    /// The same seed and the same calls give the same faults.
    Seeded {
        /// The state of the dice.
        dice: Box<StdRng>,
        /// Chance of a fault, in thousandths.
        per_mille: u32,
    },
    /// One entry for each write, in order; then none. Reads are left alone.
    Script(VecDeque<Fault>),
    /// Every call is refused until there is another plan: the store is out of reach.
    Unreachable,
}

impl FaultPlan {
    /// No faults.
    #[must_use]
    pub const fn none() -> Self {
        Self::Script(VecDeque::new())
    }

    /// Faults by chance, the same for the same seed.
    #[must_use]
    pub fn seeded(seed: u64, per_mille: u32) -> Self {
        Self::Seeded { dice: Box::new(StdRng::seed_from_u64(seed)), per_mille: per_mille.min(1000) }
    }

    /// These faults, one for each write.
    #[must_use]
    pub fn script(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self::Script(faults.into_iter().collect())
    }

    fn for_write(&mut self) -> Fault {
        match self {
            Self::Script(faults) => faults.pop_front().unwrap_or(Fault::None),
            Self::Unreachable => Fault::FailBefore,
            Self::Seeded { dice, per_mille } => {
                if !dice.random_ratio(*per_mille, 1000) {
                    return Fault::None;
                }
                match dice.random_range(0..3) {
                    0 => Fault::FailBefore,
                    1 => Fault::FailAfter,
                    _ => Fault::Torn,
                }
            }
        }
    }

    fn for_read(&mut self) -> Fault {
        match self {
            Self::Seeded { dice, per_mille } => {
                if dice.random_ratio(*per_mille, 1000) {
                    Fault::FailBefore
                } else {
                    Fault::None
                }
            }
            Self::Script(_) => Fault::None,
            Self::Unreachable => Fault::FailBefore,
        }
    }
}

/// How often which fault came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultCount {
    /// [`Fault::FailBefore`], writes and reads.
    pub fail_before: u64,
    /// [`Fault::FailAfter`].
    pub fail_after: u64,
    /// [`Fault::Torn`].
    pub torn: u64,
    /// Calls while the store was out of reach.
    pub unreachable: u64,
}

/// A store around another, which fails by plan. After an unknown outcome it answers nothing until
/// [`reopen`](Self::reopen), as a real one.
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    plan: FaultPlan,
    count: FaultCount,
    poisoned: bool,
}

impl State {
    fn note_refused(&mut self) {
        match self.plan {
            FaultPlan::Unreachable => self.count.unreachable += 1,
            FaultPlan::Seeded { .. } | FaultPlan::Script(_) => self.count.fail_before += 1,
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a planned fault")]
struct Planned;

impl<S: Store> FaultyStore<S> {
    /// A store that fails by this plan.
    pub const fn new(inner: S, plan: FaultPlan) -> Self {
        let count = FaultCount { fail_before: 0, fail_after: 0, torn: 0, unreachable: 0 };
        Self { inner, state: Mutex::new(State { plan, count, poisoned: false }) }
    }

    /// Closes and opens: after an unknown outcome the store answers again.
    pub fn reopen(&self) {
        self.with_state(|state| state.poisoned = false);
    }

    /// Replaces what is left of the plan.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.with_state(|state| state.plan = plan);
    }

    /// What has happened so far.
    pub fn count(&self) -> FaultCount {
        self.with_state(|state| state.count)
    }

    /// The store within, which knows what really took place.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    fn with_state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        // The state is whole between any two statements that change it, so a panic elsewhere does not spoil it.
        f(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn write<T>(&self, write: impl FnOnce(&S) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let fault = self.with_state(|state| {
            if state.poisoned {
                return Err(StoreError::Poisoned);
            }
            let fault = state.plan.for_write();
            match fault {
                Fault::None => {}
                Fault::FailBefore => state.note_refused(),
                Fault::FailAfter => state.count.fail_after += 1,
                Fault::Torn => state.count.torn += 1,
            }
            state.poisoned = matches!(fault, Fault::FailAfter | Fault::Torn);
            Ok(fault)
        })?;
        match fault {
            Fault::None => write(&self.inner),
            Fault::FailBefore => Err(StoreError::Unavailable { source: Cause::from(Planned) }),
            Fault::FailAfter => {
                // A refusal stays one: where nothing was done there is nothing unknown about the outcome.
                write(&self.inner).inspect_err(|_| self.reopen())?;
                Err(StoreError::Unknown { source: Cause::from(Planned) })
            }
            Fault::Torn => Err(StoreError::Unknown { source: Cause::from(Planned) }),
        }
    }

    fn read_with<T>(&self, read: impl FnOnce(&S) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let fault = self.with_state(|state| {
            if state.poisoned {
                return Err(StoreError::Poisoned);
            }
            let fault = state.plan.for_read();
            if fault == Fault::FailBefore {
                state.note_refused();
            }
            Ok(fault)
        })?;
        if fault == Fault::FailBefore {
            return Err(StoreError::Unavailable { source: Cause::from(Planned) });
        }
        read(&self.inner)
    }
}

impl<S: Store> Store for FaultyStore<S> {
    fn cluster(&self) -> &ClusterId {
        self.inner.cluster()
    }

    fn campaign_above(&self, floor: Term) -> Result<Term, StoreError> {
        self.write(|inner| inner.campaign_above(floor))
    }

    fn term(&self) -> Result<Term, StoreError> {
        self.read_with(Store::term)
    }

    fn append(&self, term: Term, after: Seq, records: &[Vec<u8>]) -> Result<Seq, StoreError> {
        self.write(|inner| inner.append(term, after, records))
    }

    fn last(&self) -> Result<Seq, StoreError> {
        self.read_with(Store::last)
    }

    fn read(&self, after: Seq, limit: usize) -> Result<Vec<(Seq, Vec<u8>)>, StoreError> {
        self.read_with(|inner| inner.read(after, limit))
    }
}
