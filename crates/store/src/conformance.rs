//! One suite for every store: each case is a sentence of the contract in [`crate::Store`].
//!
//! A case gets a fresh, empty store and may close and open it. Nothing here panics; the report says what failed and why.

mod appends;
mod limits;
mod terms;

use crate::contract::{Seq, Store};
use crate::error::StoreError;
use shardlift_model::ClusterId;
use std::fmt;

/// A store under test.
pub trait Subject {
    /// The store, open.
    fn store(&self) -> &dyn Store;

    /// Closes the store and opens it again, as a new process would.
    ///
    /// # Errors
    /// When it does not open.
    fn reopen(&mut self) -> Result<(), StoreError>;
}

/// Why a case failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

impl From<StoreError> for Violation {
    fn from(error: StoreError) -> Self {
        Self(format!("an unexpected error: {error}"))
    }
}

/// What came of every case, in order.
#[derive(Debug)]
pub struct Report {
    /// Name of the case and its outcome.
    pub outcomes: Vec<(&'static str, Result<(), Violation>)>,
}

impl Report {
    /// Names of the cases that failed.
    pub fn failed(&self) -> impl Iterator<Item = &'static str> {
        self.outcomes.iter().filter(|(_, outcome)| outcome.is_err()).map(|(name, _)| *name)
    }

    /// True when every case held.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.outcomes.is_empty() && self.failed().next().is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in &self.outcomes {
            match outcome {
                Ok(()) => writeln!(f, "ok      {name}")?,
                Err(violation) => writeln!(f, "FAILED  {name}: {violation}")?,
            }
        }
        Ok(())
    }
}

type Case = fn(&mut dyn Subject) -> Result<(), Violation>;

/// Runs every case, each on a store of its own that `make` creates for the given cluster.
pub fn conformance(make: &mut dyn FnMut(ClusterId) -> Result<Box<dyn Subject>, StoreError>) -> Report {
    let cases = appends::CASES.iter().chain(terms::CASES).chain(limits::CASES);
    let outcomes = cases.map(|(name, case)| (*name, run(make, *case))).collect();
    Report { outcomes }
}

fn run(make: &mut dyn FnMut(ClusterId) -> Result<Box<dyn Subject>, StoreError>, case: Case) -> Result<(), Violation> {
    let cluster: ClusterId = "conformance".parse().map_err(|error| Violation(format!("{error}")))?;
    case(make(cluster)?.as_mut())
}

/// Holds a condition.
fn check(condition: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if condition { Ok(()) } else { Err(Violation(what())) }
}

/// Holds that two values are equal.
fn check_eq<T: PartialEq + fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), Violation> {
    check(found == expected, || format!("{what}: {found:?}, expected {expected:?}"))
}

/// Holds that a call was refused in the expected way, and for good.
fn check_refused<T: fmt::Debug>(
    what: &str,
    result: Result<T, StoreError>,
    expected: fn(&StoreError) -> bool,
) -> Result<(), Violation> {
    match result {
        Err(error) if expected(&error) => {
            check(!error.is_retryable(), || format!("{what}: {error} claims to pass later"))
        }
        other => Err(Violation(format!("{what}: {other:?}"))),
    }
}

/// Reads the whole journal, however few records a read gives.
fn read_all(store: &dyn Store) -> Result<Vec<Vec<u8>>, Violation> {
    let mut found = Vec::new();
    let mut after = Seq::ZERO;
    loop {
        let page = store.read(after, usize::MAX)?;
        if page.is_empty() {
            break;
        }
        for (seq, record) in page {
            check_eq("number of a record", &seq, &after.next())?;
            after = seq;
            found.push(record);
        }
    }
    check_eq("last()", &store.last()?, &after)?;
    Ok(found)
}

/// Holds that the journal is exactly this, now and after opening again.
fn check_journal(subject: &mut dyn Subject, expected: &[Vec<u8>]) -> Result<(), Violation> {
    for when in ["as it is", "opened again"] {
        let found = read_all(subject.store())?;
        check(found == expected, || {
            let wrong = found.iter().zip(expected).position(|(found, expected)| found != expected);
            format!("{when}: {} records, expected {}; the first wrong one: {wrong:?}", found.len(), expected.len())
        })?;
        if when == "as it is" {
            subject.reopen()?;
        }
    }
    Ok(())
}
