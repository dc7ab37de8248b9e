//! From a store to a world: take leadership, then fold the journal.
//!
//! Leadership first: whoever led before is fenced and cannot append behind our back while we read. A journal with an
//! event that could not have been decided in its place is refused with its number, never repaired.

use crate::history::History;
use crate::journal::{Entry, EntryError};
use crate::ledger::Ledger;
use crate::state::Recorded;
use shardlift_migration::World;
use shardlift_model::Term;
use shardlift_store::{Seq, StoreError};
use std::collections::BTreeMap;

/// Records per read.
const PAGE: usize = 4096;

/// Why a store gives no world.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The store failed.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// A record that is no event.
    #[error("record {seq} of the journal cannot be read")]
    Record {
        /// Which one.
        seq: Seq,
        /// What is wrong with it.
        #[source]
        source: EntryError,
    },
    /// An event that does not fit what went before.
    #[error("record {seq} of the journal does not fit the records before it: {why}")]
    Illegal {
        /// Which one.
        seq: Seq,
        /// Why.
        why: String,
    },
}

/// Becomes the leader and reads what was recorded so far.
pub(crate) async fn recover(ledger: &Ledger, empty: World) -> Result<(Term, Recorded), RecoveryError> {
    let term = ledger.campaign().await?;
    let mut recorded =
        Recorded { world: empty, revision: Seq::ZERO, history: History::default(), receipts: BTreeMap::new() };
    loop {
        let page = ledger.read(recorded.revision, PAGE).await?;
        if page.is_empty() {
            return Ok((term, recorded));
        }
        for (seq, record) in page {
            let entry = Entry::from_record(&record).map_err(|source| RecoveryError::Record { seq, source })?;
            let legal = recorded.world.legal(&entry.event);
            legal.map_err(|illegal| RecoveryError::Illegal { seq, why: illegal.to_string() })?;
            recorded.take(seq, &entry);
        }
    }
}
