//! What every store promises, whatever it is made of.
//!
//! The suite in [`crate::conformance`] holds each implementation to this page.

use crate::error::StoreError;
use serde::{Deserialize, Serialize};
use shardlift_model::{ClusterId, Term};
use std::fmt;
use std::sync::Arc;

/// Longest record, in bytes.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most records in one append.
pub const APPEND_RECORDS_MAX: usize = 10_000;

/// Most bytes in one append, over all of its records.
pub const APPEND_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A read ends before the record that would take it over this many bytes; its first record is always given.
pub const READ_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Number of a record in the journal: 1, 2, 3 and so on. Zero is the place before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The place before the first record.
    pub const ZERO: Self = Self(0);

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The one that many records later.
    #[must_use]
    pub const fn plus(self, records: usize) -> Self {
        Self(self.0.saturating_add(records as u64))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A durable journal with a leadership term.
///
/// # The contract
///
/// - **Durable on return.** What [`campaign`](Self::campaign) and [`append`](Self::append) acknowledge survives `kill -9`
///   and power loss at any later instant (INV-11). What [`read`](Self::read), [`last`](Self::last) and
///   [`term`](Self::term) show is durable too: nobody acts on a record that could still vanish.
/// - **All or none.** An append is there whole or not at all, also after a crash in the middle of it.
/// - **Fenced.** The term counts, not the handle: once a higher term was given out, through whichever handle, an append
///   under a lower one is refused with [`StoreError::Fenced`] and changes nothing.
/// - **Optimistic.** An append names the record it follows. Where that is not the last one, it is refused with
///   [`StoreError::Conflict`] and changes nothing; of two that race, one wins.
/// - **May it repeat?** `campaign` may: a second call gives a second, higher term. `append` may not be repeated blindly
///   after [`StoreError::Unknown`]: it may have taken place. Repeating it with the same `after` is harmless (it conflicts
///   if it had), repeating it with a newer `after` doubles it. Open again, read back what follows `after`, then decide.
/// - **After an unknown outcome** a handle answers everything with [`StoreError::Poisoned`] until it is opened again. A failed
///   flush is never retried: the system may have dropped the pages and would then report success.
/// - **Errors.** [`StoreError::is_retryable`] is true only where nothing was done and the same call may succeed
///   later. All others are final for this handle and this call.
///
/// All calls block. A store is shared by reference; calls may come from several threads.
pub trait Store: Send + Sync {
    /// The cluster this store was created for.
    fn cluster(&self) -> &ClusterId;

    /// Takes leadership: durably raises the term by one and returns it. Every older term is fenced from then on.
    ///
    /// # Errors
    /// As the contract says.
    fn campaign(&self) -> Result<Term, StoreError> {
        self.campaign_above(Term(0))
    }

    /// Takes leadership with a term above both the present one and `floor`. For a store that was rebuilt: terms that
    /// shards have seen must never be given out again.
    ///
    /// # Errors
    /// As the contract says.
    fn campaign_above(&self, floor: Term) -> Result<Term, StoreError>;

    /// The highest term given out; zero before the first campaign.
    ///
    /// # Errors
    /// As the contract says.
    fn term(&self) -> Result<Term, StoreError>;

    /// Appends records after the record `after`, which must be the last one, under `term`, which must be the present
    /// one. Returns the number of the last record. An append of no records checks both and changes nothing.
    ///
    /// # Errors
    /// As the contract says; the limits of this module are refused before anything else.
    fn append(&self, term: Term, after: Seq, records: &[Vec<u8>]) -> Result<Seq, StoreError>;

    /// The number of the last record; zero when there is none.
    ///
    /// # Errors
    /// As the contract says.
    fn last(&self) -> Result<Seq, StoreError>;

    /// The records that follow `after`, in order and without gaps, at most `limit`. May give fewer than there are
    /// ([`READ_BYTES_MAX`]); gives none only at the end of the journal or for a limit of zero.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] names a record that is not what was appended; nothing of it is returned.
    fn read(&self, after: Seq, limit: usize) -> Result<Vec<(Seq, Vec<u8>)>, StoreError>;
}

macro_rules! delegate {
    ($($pointer:ident),*) => {$(
        impl<S: Store + ?Sized> Store for $pointer<S> {
            fn cluster(&self) -> &ClusterId {
                (**self).cluster()
            }

            fn campaign_above(&self, floor: Term) -> Result<Term, StoreError> {
                (**self).campaign_above(floor)
            }

            fn term(&self) -> Result<Term, StoreError> {
                (**self).term()
            }

            fn append(&self, term: Term, after: Seq, records: &[Vec<u8>]) -> Result<Seq, StoreError> {
                (**self).append(term, after, records)
            }

            fn last(&self) -> Result<Seq, StoreError> {
                (**self).last()
            }

            fn read(&self, after: Seq, limit: usize) -> Result<Vec<(Seq, Vec<u8>)>, StoreError> {
                (**self).read(after, limit)
            }
        }
    )*};
}

delegate!(Arc, Box);

/// Refuses an append that is over a limit.
pub(crate) fn check_limits(records: &[Vec<u8>]) -> Result<(), StoreError> {
    if records.len() > APPEND_RECORDS_MAX {
        return Err(StoreError::TooManyRecords { count: records.len() });
    }
    if let Some((index, record)) = records.iter().enumerate().find(|(_, record)| record.len() > RECORD_BYTES_MAX) {
        return Err(StoreError::RecordTooLong { index, bytes: record.len() });
    }
    let bytes = records.iter().map(Vec::len).sum();
    if bytes > APPEND_BYTES_MAX { Err(StoreError::AppendTooLong { bytes }) } else { Ok(()) }
}
