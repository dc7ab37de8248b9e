//! A caller that keeps to the contract loses nothing and doubles nothing; one that does not is caught.

#![allow(clippy::unwrap_used, reason = "all of this is a test; clippy sees only functions marked so")]

use shardlift_model::Term;
use shardlift_store::faulty::{Fault, FaultPlan, FaultyStore};
use shardlift_store::{MemoryStore, Seq, Store, StoreError};

type Faulty = FaultyStore<MemoryStore>;

fn faulty(plan: FaultPlan) -> Faulty {
    FaultyStore::new(MemoryStore::new("c1".parse().unwrap()), plan)
}

/// Repeats a call while the store says that it may be repeated.
fn repeat<T>(mut call: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 0..10_000 {
        match call() {
            Err(error) if error.is_retryable() => {}
            other => return other,
        }
    }
    panic!("refused ten thousand times in a row");
}

/// Takes leadership, whatever it takes.
fn lead(store: &Faulty) -> Term {
    for _ in 0..10_000 {
        match repeat(|| store.campaign()) {
            Ok(term) => return term,
            Err(_) => store.reopen(),
        }
    }
    panic!("no leadership in ten thousand tries");
}

/// Appends these records once each. With `careful` off, an append of unknown outcome is taken for failed.
fn append_all(store: &Faulty, records: &[Vec<u8>], careful: bool) {
    let mut term = lead(store);
    let mut next = 0;
    let mut last = Seq(0);
    while next < records.len() {
        match repeat(|| store.append(term, last, &records[next..=next])) {
            Ok(seq) => {
                last = seq;
                next += 1;
            }
            Err(_) => {
                store.reopen();
                term = lead(store);
                let found = repeat(|| store.last()).unwrap();
                if careful && found > last {
                    next += 1;
                }
                last = found;
            }
        }
    }
}

fn records() -> Vec<Vec<u8>> {
    (0..300_u32).map(|n| n.to_be_bytes().to_vec()).collect()
}

fn found(store: &Faulty) -> Vec<Vec<u8>> {
    store.inner().read(Seq(0), usize::MAX).unwrap().into_iter().map(|(_, record)| record).collect()
}

#[test]
fn a_careful_caller_loses_nothing_and_doubles_nothing() {
    for seed in 0..40 {
        let store = faulty(FaultPlan::seeded(seed, 300));
        append_all(&store, &records(), true);
        assert_eq!(found(&store), records(), "seed {seed}");
        let count = store.count();
        assert!(count.fail_before > 0 && count.fail_after > 0 && count.torn > 0, "seed {seed}: {count:?}");
    }
}

#[test]
fn a_careless_caller_is_caught() {
    let caught = (0..40).filter(|seed| {
        let store = faulty(FaultPlan::seeded(*seed, 300));
        append_all(&store, &records(), false);
        found(&store) != records()
    });
    assert_eq!(caught.count(), 40);
}

#[test]
fn the_same_seed_gives_the_same_faults() {
    let count = |seed| {
        let store = faulty(FaultPlan::seeded(seed, 200));
        append_all(&store, &records(), true);
        store.count()
    };
    assert_eq!(count(7), count(7));
    assert!((8..20).any(|seed| count(seed) != count(7)));
}

#[test]
fn a_script_is_followed_to_the_letter() {
    let script = [Fault::None, Fault::FailBefore, Fault::Torn, Fault::FailAfter];
    let store = faulty(FaultPlan::script(script));
    let term = store.campaign().unwrap();
    let one = [b"one".to_vec()];
    assert!(store.append(term, Seq(0), &one).unwrap_err().is_retryable());
    assert_eq!(store.last().unwrap(), Seq(0));
    assert!(store.append(term, Seq(0), &one).unwrap_err().is_unknown());
    assert!(matches!(store.last(), Err(StoreError::Poisoned)));
    store.reopen();
    assert_eq!(store.last().unwrap(), Seq(0));
    assert!(store.append(term, Seq(0), &one).unwrap_err().is_unknown());
    assert!(matches!(store.append(term, Seq(0), &one), Err(StoreError::Poisoned)));
    store.reopen();
    assert_eq!(store.last().unwrap(), Seq(1));
    assert_eq!(store.append(term, Seq(1), &one).unwrap(), Seq(2));
}

#[test]
fn a_refusal_stays_one_where_a_fault_was_planned() {
    let store = faulty(FaultPlan::script([Fault::None, Fault::FailAfter]));
    let term = store.campaign().unwrap();
    assert!(matches!(store.append(term, Seq(9), &[vec![1]]), Err(StoreError::Conflict { .. })));
    assert_eq!(store.last().unwrap(), Seq(0));
}

#[test]
fn a_store_that_is_out_of_reach_refuses_everything_until_it_is_back() {
    let store = faulty(FaultPlan::none());
    let term = store.campaign().unwrap();
    store.set_plan(FaultPlan::Unreachable);
    assert!(store.append(term, Seq(0), &[vec![1]]).unwrap_err().is_retryable());
    assert!(store.last().unwrap_err().is_retryable() && store.campaign().unwrap_err().is_retryable());
    assert_eq!((store.count().unreachable, store.count().fail_before), (3, 0));
    store.set_plan(FaultPlan::none());
    assert_eq!(store.append(term, Seq(0), &[vec![1]]).unwrap(), Seq(1));
    assert_eq!(found(&store), [[1]]);
}
