//! Every store keeps the contract, and every store that breaks it in one way is found out by the case meant for it.

#![allow(clippy::unwrap_used, reason = "all of this is a test; clippy sees only functions marked so")]

use shardlift_model::{ClusterId, Term};
use shardlift_store::conformance::{Report, Subject, conformance};
use shardlift_store::faulty::{FaultPlan, FaultyStore};
use shardlift_store::{MemoryStore, Seq, SledStore, Store, StoreError};
use std::sync::atomic::{AtomicU64, Ordering};

/// The embedded store in a folder of its own.
struct Sled {
    temp: tempfile::TempDir,
    store: Option<SledStore>,
}

impl Subject for Sled {
    fn store(&self) -> &dyn Store {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        self.store = None;
        self.store = Some(SledStore::open(self.temp.path())?);
        Ok(())
    }
}

#[test]
fn the_embedded_store_conforms() {
    let report = conformance(&mut |cluster| {
        let temp = tempfile::tempdir().unwrap();
        let store = Some(SledStore::init(temp.path(), cluster)?);
        Ok(Box::new(Sled { temp, store }))
    });
    assert!(report.holds(), "{report}");
    assert!(report.outcomes.len() >= 20, "{report}");
}

/// A store that keeps its journal elsewhere than in the handle: opening again is a new handle.
struct Handle<S>(S, fn(&S) -> S);

impl<S: Store> Subject for Handle<S> {
    fn store(&self) -> &dyn Store {
        &self.0
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        self.0 = (self.1)(&self.0);
        Ok(())
    }
}

#[test]
fn the_store_in_memory_conforms() {
    let report = conformance(&mut |cluster| Ok(Box::new(Handle(MemoryStore::new(cluster), Clone::clone))));
    assert!(report.holds(), "{report}");
}

#[test]
fn the_faulty_store_conforms_when_it_has_no_faults() {
    let report = conformance(&mut |cluster| {
        let store = FaultyStore::new(MemoryStore::new(cluster), FaultPlan::none());
        Ok(Box::new(Handle(store, |store| FaultyStore::new(store.inner().clone(), FaultPlan::none()))))
    });
    assert!(report.holds(), "{report}");
}

/// One way to break the contract.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Breach {
    ForgetsTheLastAppendOnOpening,
    AcceptsAStaleTerm,
    AppliesHalfABatch,
    AppliesTheFirstRecordsOfARefusedBatch,
    IgnoresTheEnd,
    GivesTheSameTermTwiceAfterOpening,
    ForgetsTheFloor,
    CutsLongRecords,
    DropsEmptyRecords,
    ReadsFromOneTooEarly,
    TakesAnySize,
}

/// A store that breaks the contract in one way. It holds what the next handle will see.
struct Mutant {
    breach: Breach,
    store: MemoryStore,
    appended: AtomicU64,
}

impl Mutant {
    fn new(breach: Breach, cluster: ClusterId) -> Self {
        Self { breach, store: MemoryStore::new(cluster), appended: AtomicU64::new(0) }
    }

    fn refill(&self, records: &[Vec<u8>], term: Term) -> MemoryStore {
        let store = MemoryStore::new(self.store.cluster().clone());
        if term > Term(0) {
            store.campaign_above(Term(term.0 - 1)).unwrap();
        }
        if !records.is_empty() {
            store.campaign_above(Term(0)).unwrap();
            store.append(store.term().unwrap(), Seq(0), records).unwrap();
        }
        store
    }

    fn reopened(&self) -> Self {
        let term = self.store.term().unwrap();
        let records: Vec<_> = self.store.read(Seq(0), usize::MAX).unwrap().into_iter().map(|(_, r)| r).collect();
        let store = match self.breach {
            Breach::ForgetsTheLastAppendOnOpening => {
                let kept = records.len() - usize::try_from(self.appended.load(Ordering::SeqCst)).unwrap();
                self.refill(&records[..kept], term)
            }
            Breach::GivesTheSameTermTwiceAfterOpening => self.refill(&records, Term(0)),
            _ => self.store.clone(),
        };
        Self { breach: self.breach, store, appended: AtomicU64::new(0) }
    }
}

impl Store for Mutant {
    fn cluster(&self) -> &ClusterId {
        self.store.cluster()
    }

    fn campaign_above(&self, floor: Term) -> Result<Term, StoreError> {
        let floor = if self.breach == Breach::ForgetsTheFloor { Term(0) } else { floor };
        self.store.campaign_above(floor)
    }

    fn term(&self) -> Result<Term, StoreError> {
        self.store.term()
    }

    fn append(&self, term: Term, after: Seq, records: &[Vec<u8>]) -> Result<Seq, StoreError> {
        let (store, current) = (&self.store, self.store.term()?);
        let last = match self.breach {
            Breach::AcceptsAStaleTerm if term < current => store.append(current, after, records),
            Breach::IgnoresTheEnd => store.append(term, store.last()?, records),
            Breach::AppliesHalfABatch if records.len() > 1 => {
                store.append(term, after, &records[..records.len() / 2])?;
                Ok(after.plus(records.len()))
            }
            Breach::AppliesTheFirstRecordsOfARefusedBatch => {
                let result = store.append(term, after, records);
                if matches!(result, Err(StoreError::RecordTooLong { .. })) && records.len() > 1 {
                    store.append(term, after, &records[..1])?;
                }
                result
            }
            Breach::CutsLongRecords => {
                let cut: Vec<_> = records.iter().map(|r| r[..r.len().min(60_000)].to_vec()).collect();
                store.append(term, after, &cut)
            }
            Breach::DropsEmptyRecords => {
                let kept: Vec<_> = records.iter().filter(|r| !r.is_empty()).cloned().collect();
                store.append(term, after, &kept)
            }
            Breach::TakesAnySize => {
                let cut: Vec<_> = records.iter().take(10).map(|r| r[..r.len().min(100)].to_vec()).collect();
                store.append(term, after, &cut)
            }
            _ => store.append(term, after, records),
        }?;
        self.appended.store(records.len() as u64, Ordering::SeqCst);
        Ok(last)
    }

    fn last(&self) -> Result<Seq, StoreError> {
        self.store.last()
    }

    fn read(&self, after: Seq, limit: usize) -> Result<Vec<(Seq, Vec<u8>)>, StoreError> {
        if self.breach == Breach::ReadsFromOneTooEarly {
            return self.store.read(Seq(after.0.saturating_sub(1)), limit);
        }
        self.store.read(after, limit)
    }
}

fn report_on(breach: Breach) -> Report {
    conformance(&mut |cluster| Ok(Box::new(Handle(Mutant::new(breach, cluster), Mutant::reopened))))
}

#[test]
fn every_breach_is_found_by_the_case_meant_for_it() {
    for (breach, case) in [
        (Breach::ForgetsTheLastAppendOnOpening, "acknowledged_records_survive_every_opening"),
        (Breach::AcceptsAStaleTerm, "an_older_term_is_fenced_and_changes_nothing"),
        (Breach::AppliesHalfABatch, "an_accepted_batch_is_there_whole"),
        (Breach::AppliesTheFirstRecordsOfARefusedBatch, "a_refused_batch_leaves_no_part_of_itself"),
        (Breach::IgnoresTheEnd, "an_append_to_another_end_conflicts_and_changes_nothing"),
        (Breach::GivesTheSameTermTwiceAfterOpening, "terms_survive_opening_and_are_never_given_twice"),
        (Breach::ForgetsTheFloor, "a_campaign_goes_above_its_floor"),
        (Breach::CutsLongRecords, "records_of_awkward_lengths_come_back"),
        (Breach::DropsEmptyRecords, "records_keep_every_byte"),
        (Breach::ReadsFromOneTooEarly, "reads_begin_and_end_where_they_are_told"),
        (Breach::TakesAnySize, "the_longest_record_is_taken_and_one_byte_more_refused"),
    ] {
        let report = report_on(breach);
        assert!(report.failed().any(|failed| failed == case), "{breach:?} got past {case}:\n{report}");
    }
}
