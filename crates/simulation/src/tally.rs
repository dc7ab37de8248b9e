//! How often what really happened in a run: faults that fired, orders that were carried out, situations that came about. What was
//! planned and met nothing is not counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

macro_rules! sorts {
    ($($(#[$meta:meta])* $sort:ident,)*) => {
        /// What is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Sort {
            $($(#[$meta])* $sort,)*
        }

        impl Sort {
            /// All.
            pub const ALL: &[Self] = &[$(Self::$sort,)*];
        }
    };
}

sorts! {
    /// A running part died.
    Crash,
    /// A shard or router lost its power with something on its disk that was not durable.
    PowerCut,
    /// A host lost its power between two changes of its disk that a part makes in one go.
    CutMidway,
    /// A file lost bytes in it.
    TornFile,
    /// A name was undone in it.
    UndoneName,
    /// Two parts did not hear each other.
    Partition,
    /// One of two did not hear the other.
    OneWay,
    /// What two parts sent each other arrived later.
    Hold,
    /// A controller took over from one that was running.
    Takeover,
    /// A controller took over from one that had ended.
    Succession,
    /// The wall clock of one host was off by an hour.
    ClockOff,
    /// The wall clock of one host was off by years.
    ClockFarOff,
    /// A client found the server's certificate expired, or not valid yet.
    ServerExpired,
    /// A client's certificate was refused as expired, or as not valid yet.
    ClientExpired,
    /// A shard ran out of space.
    DiskFull,
    /// A bit of an object changed.
    Rot,
    /// The store did not take an append.
    StoreRefused,
    /// The store took an append and the answer was lost.
    StoreAnswerLost,
    /// A controller did not reach the store.
    StoreOutOfReach,
    /// A shard died and did not come back while nodes moved.
    Dead,
    /// An operator moved a node back.
    RolledBack,
    /// An operator moved a batch back.
    BatchRolledBack,
    /// An operator rehearsed the way back.
    Rehearsed,
    /// An operator took a node out of its batch.
    Aborted,
    /// An operator gave up a writer that was gone, and the node went back without it.
    LossAccepted,
    /// An object that was given up so was really missing.
    LossFelt,
    /// A writer that had been given up came back and gave its node up.
    Deposed,
    /// An operator released a batch.
    Released,
    /// An operator took a copy out of quarantine.
    Restored,
    /// An operator asked for a way back or an abort while the node was between two places.
    AskedMidway,
    /// A mutation arrived at a fence and was parked.
    Parked,
    /// A fence found a mutation in flight.
    Drained,
    /// A client deleted while its node was being copied.
    DeletedDuringCopy,
    /// A command came to a shard a second time.
    Repeated,
}

/// Counts of one run.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<Sort, u64>>);

impl Tally {
    /// It happened.
    pub fn count(&self, sort: Sort) {
        self.add(sort, 1);
    }

    /// It happened so many times.
    pub fn add(&self, sort: Sort, times: u64) {
        if times > 0 {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(sort).or_default() += times;
        }
    }

    /// All that happened.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Sort, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
