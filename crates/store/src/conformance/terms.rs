//! Who may append.

use super::{Case, Subject, Violation, check, check_eq, check_journal, check_refused};
use crate::contract::Seq;
use crate::error::StoreError;
use shardlift_model::Term;

pub(super) const CASES: &[(&str, Case)] = &[
    ("every_campaign_gives_a_higher_term", higher),
    ("terms_survive_opening_and_are_never_given_twice", survival),
    ("a_campaign_goes_above_its_floor", floor),
    ("an_older_term_is_fenced_and_changes_nothing", older),
    ("an_older_term_stays_fenced_after_opening", older_after_opening),
    ("a_term_that_was_never_given_out_is_refused", foreign),
    ("campaigns_that_race_get_different_terms", race),
];

fn is_fenced(error: &StoreError) -> bool {
    matches!(error, StoreError::Fenced { .. })
}

fn higher(subject: &mut dyn Subject) -> Result<(), Violation> {
    let mut before = Term(0);
    for _ in 0..5 {
        let term = subject.store().campaign()?;
        check(term > before, || format!("term {term} after {before}"))?;
        check_eq("term()", &subject.store().term()?, &term)?;
        before = term;
    }
    Ok(())
}

fn survival(subject: &mut dyn Subject) -> Result<(), Violation> {
    let mut before = Term(0);
    for _ in 0..5 {
        let term = subject.store().campaign()?;
        check(term > before, || format!("term {term} after {before}"))?;
        subject.reopen()?;
        check_eq("term() after opening again", &subject.store().term()?, &term)?;
        before = term;
    }
    Ok(())
}

fn floor(subject: &mut dyn Subject) -> Result<(), Violation> {
    let high = subject.store().campaign_above(Term(1000))?;
    check(high > Term(1000), || format!("term {high} is not above 1000"))?;
    subject.reopen()?;
    let next = subject.store().campaign_above(Term(3))?;
    check(next > high, || format!("a low floor took the term back from {high} to {next}"))
}

fn older(subject: &mut dyn Subject) -> Result<(), Violation> {
    let store = subject.store();
    let old = store.campaign()?;
    store.append(old, Seq::ZERO, &[b"one".to_vec()])?;
    let new = store.campaign()?;
    check_refused("an append under the older term", store.append(old, Seq(1), &[b"late".to_vec()]), is_fenced)?;
    store.append(new, Seq(1), &[b"two".to_vec()])?;
    check_refused("an append under the older term", store.append(old, Seq(2), &[b"late".to_vec()]), is_fenced)?;
    check_journal(subject, &[b"one".to_vec(), b"two".to_vec()])
}

fn older_after_opening(subject: &mut dyn Subject) -> Result<(), Violation> {
    let old = subject.store().campaign()?;
    subject.store().append(old, Seq::ZERO, &[b"one".to_vec()])?;
    subject.store().campaign()?;
    subject.reopen()?;
    let result = subject.store().append(old, Seq(1), &[b"late".to_vec()]);
    check_refused("an append under the older term after opening", result, is_fenced)?;
    subject.store().campaign()?;
    let result = subject.store().append(old, Seq(1), &[b"late".to_vec()]);
    check_refused("an append under a much older term", result, is_fenced)?;
    check_journal(subject, &[b"one".to_vec()])
}

fn foreign(subject: &mut dyn Subject) -> Result<(), Violation> {
    let store = subject.store();
    let record = [b"never".to_vec()];
    check_refused("an append before any campaign", store.append(Term(0), Seq::ZERO, &record), is_fenced)?;
    check_refused("an append under a term of the future", store.append(Term(1), Seq::ZERO, &record), is_fenced)?;
    let term = store.campaign()?;
    let future = Term(term.0 + 1);
    check_refused("an append under a term of the future", store.append(future, Seq::ZERO, &record), is_fenced)?;
    check_refused("an append under term zero", store.append(Term(0), Seq::ZERO, &record), is_fenced)?;
    check_journal(subject, &[])
}

fn race(subject: &mut dyn Subject) -> Result<(), Violation> {
    let store = subject.store();
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..4).map(|_| store.campaign()).collect::<Vec<_>>())).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    let mut terms = Vec::new();
    for result in results {
        let thread = result.map_err(|_| Violation("a campaign panicked".to_owned()))?;
        terms.extend(thread.into_iter().collect::<Result<Vec<_>, _>>()?);
    }
    terms.sort_unstable();
    check(terms.windows(2).all(|pair| pair[0] < pair[1]), || format!("the same term was given twice: {terms:?}"))?;
    check_eq("term()", &Some(store.term()?), &terms.last().copied())
}
