//! A store in memory: the same rules, nothing kept beyond the process. For tests, simulations and demonstrations.

use crate::contract::{READ_BYTES_MAX, Seq, Store, check_limits};
use crate::error::StoreError;
use crate::head::Head;
use crate::record::ChainHash;
use shardlift_model::{ClusterId, Term};
use std::sync::{Arc, Mutex, MutexGuard};

/// A store in memory. A clone is a second handle on the same journal, as a second controller would have.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    cluster: ClusterId,
    journal: Arc<Mutex<Journal>>,
}

#[derive(Debug)]
struct Journal {
    head: Head,
    records: Vec<Vec<u8>>,
}

impl MemoryStore {
    /// An empty store for a cluster.
    #[must_use]
    pub fn new(cluster: ClusterId) -> Self {
        let head = Head { term: Term(0), last: Seq::ZERO, hash: ChainHash::genesis(&cluster) };
        Self { cluster, journal: Arc::new(Mutex::new(Journal { head, records: Vec::new() })) }
    }

    fn journal(&self) -> Result<MutexGuard<'_, Journal>, StoreError> {
        self.journal.lock().map_err(|_| StoreError::Poisoned)
    }
}

impl Store for MemoryStore {
    fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    fn campaign_above(&self, floor: Term) -> Result<Term, StoreError> {
        let mut journal = self.journal()?;
        journal.head.term = journal.head.term_above(floor)?;
        Ok(journal.head.term)
    }

    fn term(&self) -> Result<Term, StoreError> {
        Ok(self.journal()?.head.term)
    }

    fn append(&self, term: Term, after: Seq, records: &[Vec<u8>]) -> Result<Seq, StoreError> {
        check_limits(records)?;
        let mut journal = self.journal()?;
        journal.head.admit(term, after)?;
        journal.head = journal.head.after(records)?;
        journal.records.extend_from_slice(records);
        Ok(journal.head.last)
    }

    fn last(&self) -> Result<Seq, StoreError> {
        Ok(self.journal()?.head.last)
    }

    fn read(&self, after: Seq, limit: usize) -> Result<Vec<(Seq, Vec<u8>)>, StoreError> {
        let journal = self.journal()?;
        let skip = usize::try_from(after.0).unwrap_or(usize::MAX).min(journal.records.len());
        let mut bytes = 0;
        let fits = |record: &&Vec<u8>| {
            let first = bytes == 0;
            bytes += record.len();
            first || bytes <= READ_BYTES_MAX
        };
        let records = journal.records[skip..].iter().take(limit).take_while(fits).cloned();
        Ok(records.enumerate().map(|(index, record)| (after.plus(index + 1), record)).collect())
    }
}
