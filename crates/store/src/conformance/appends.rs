//! What an append does, and what a read shows of it.

use super::{Case, Subject, Violation, check, check_eq, check_journal, check_refused, read_all};
use crate::contract::Seq;
use crate::error::StoreError;
use shardlift_model::Term;

pub(super) const CASES: &[(&str, Case)] = &[
    ("a_new_store_is_empty", new_store),
    ("records_are_numbered_from_one_and_keep_their_order", order),
    ("acknowledged_records_survive_every_opening", survival),
    ("records_keep_every_byte", bytes),
    ("an_append_to_another_end_conflicts_and_changes_nothing", conflict),
    ("a_refused_batch_leaves_no_part_of_itself", refused_batch),
    ("an_accepted_batch_is_there_whole", whole_batch),
    ("an_append_of_nothing_checks_and_changes_nothing", empty_append),
    ("reads_begin_and_end_where_they_are_told", paging),
    ("of_appends_that_race_one_wins", race),
];

fn numbered(count: usize) -> Vec<Vec<u8>> {
    (1..=count).map(|n| format!("record {n}").into_bytes()).collect()
}

fn new_store(subject: &mut dyn Subject) -> Result<(), Violation> {
    for _ in 0..2 {
        let store = subject.store();
        check_eq("cluster()", &store.cluster().as_str(), &"conformance")?;
        check_eq("last()", &store.last()?, &Seq::ZERO)?;
        check_eq("term()", &store.term()?, &Term(0))?;
        check_eq("read()", &store.read(Seq::ZERO, 10)?, &Vec::new())?;
        subject.reopen()?;
    }
    Ok(())
}

fn order(subject: &mut dyn Subject) -> Result<(), Violation> {
    let store = subject.store();
    let term = store.campaign()?;
    let records = numbered(30);
    let mut last = Seq::ZERO;
    for group in [&records[..1], &records[1..3], &records[3..20], &records[20..]] {
        let expected = last.plus(group.len());
        last = store.append(term, last, group)?;
        check_eq("what append() returns", &last, &expected)?;
        check_eq("last()", &store.last()?, &expected)?;
    }
    check_journal(subject, &records)
}

fn survival(subject: &mut dyn Subject) -> Result<(), Violation> {
    let mut expected = Vec::new();
    for round in 0..5_u8 {
        let term = subject.store().campaign()?;
        for n in 0..=round {
            let last = Seq(expected.len() as u64);
            let group = vec![vec![round, n], vec![n, round, 7]];
            subject.store().append(term, last, &group)?;
            expected.extend(group);
        }
        subject.reopen()?;
        check_eq("records after opening again", &read_all(subject.store())?, &expected)?;
    }
    Ok(())
}

fn bytes(subject: &mut dyn Subject) -> Result<(), Violation> {
    let records: Vec<Vec<u8>> =
        vec![vec![], (0..=255).collect(), vec![0; 3], vec![0; 3], vec![0xff; 70_000], b"\n\0\r".to_vec(), vec![]];
    let term = subject.store().campaign()?;
    subject.store().append(term, Seq::ZERO, &records)?;
    check_journal(subject, &records)
}

fn conflict(subject: &mut dyn Subject) -> Result<(), Violation> {
    let store = subject.store();
    let term = store.campaign()?;
    let records = numbered(5);
    store.append(term, Seq::ZERO, &records)?;
    for after in [0, 1, 4, 6, 1_000_000, u64::MAX] {
        let result = store.append(term, Seq(after), &numbered(2));
        check_refused(&format!("an append after {after}, with 5 there"), result, |error| {
            matches!(error, StoreError::Conflict { last: Seq(5), .. })
        })?;
    }
    check_journal(subject, &records)
}

fn refused_batch(subject: &mut dyn Subject) -> Result<(), Violation> {
    let store = subject.store();
    let term = store.campaign()?;
    let records = numbered(3);
    store.append(term, Seq::ZERO, &records)?;
    let mut batch = numbered(9);
    batch[5] = vec![1; crate::contract::RECORD_BYTES_MAX + 1];
    let too_long = |error: &StoreError| matches!(error, StoreError::RecordTooLong { index: 5, .. });
    check_refused("a batch with one record over the limit", store.append(term, Seq(3), &batch), too_long)?;
    check_eq("last() after a refusal", &store.last()?, &Seq(3))?;
    check_journal(subject, &records)
}

fn whole_batch(subject: &mut dyn Subject) -> Result<(), Violation> {
    let term = subject.store().campaign()?;
    let mut expected = Vec::new();
    for count in [2, 17, 100, 999] {
        let batch = numbered(count);
        subject.store().append(term, Seq(expected.len() as u64), &batch)?;
        expected.extend(batch);
        check(read_all(subject.store())? == expected, || format!("a batch of {count} is not there whole"))?;
    }
    check_journal(subject, &expected)
}

fn empty_append(subject: &mut dyn Subject) -> Result<(), Violation> {
    let store = subject.store();
    let term = store.campaign()?;
    store.append(term, Seq::ZERO, &numbered(2))?;
    check_eq("an append of nothing", &store.append(term, Seq(2), &[])?, &Seq(2))?;
    let conflict = |error: &StoreError| matches!(error, StoreError::Conflict { .. });
    check_refused("an append of nothing in the wrong place", store.append(term, Seq(1), &[]), conflict)?;
    store.campaign()?;
    let fenced = |error: &StoreError| matches!(error, StoreError::Fenced { .. });
    check_refused("an append of nothing under an old term", store.append(term, Seq(2), &[]), fenced)?;
    check_journal(subject, &numbered(2))
}

fn paging(subject: &mut dyn Subject) -> Result<(), Violation> {
    let store = subject.store();
    let term = store.campaign()?;
    let records = numbered(20);
    store.append(term, Seq::ZERO, &records)?;
    for (after, limit) in [(0, 0), (0, 1), (0, 7), (5, 3), (19, 1), (19, 9), (20, 9), (21, 9), (u64::MAX, 9), (0, 99)] {
        let start = usize::try_from(after.min(20)).unwrap_or(20);
        let expected: Vec<_> =
            records.iter().enumerate().skip(start).take(limit).map(|(n, r)| (Seq(n as u64 + 1), r.clone())).collect();
        let mut found = store.read(Seq(after), limit)?;
        // A store may give fewer than asked for, but not none.
        check(found.is_empty() == expected.is_empty(), || format!("read({after}, {limit}) gave {}", found.len()))?;
        while found.len() < expected.len() {
            let more = store.read(Seq(after).plus(found.len()), limit - found.len())?;
            check(!more.is_empty(), || format!("read({after}, {limit}) ends too early"))?;
            found.extend(more);
        }
        check_eq(&format!("read({after}, {limit})"), &found, &expected)?;
    }
    Ok(())
}

fn race(subject: &mut dyn Subject) -> Result<(), Violation> {
    const THREADS: usize = 4;
    const ROUNDS: u64 = 8;
    let store = subject.store();
    let term = store.campaign()?;
    let mut expected = Vec::new();
    for round in 0..ROUNDS {
        let results: Vec<_> = std::thread::scope(|scope| {
            let append = |thread: usize| {
                let record = format!("round {round} thread {thread}").into_bytes();
                store.append(term, Seq(round), std::slice::from_ref(&record)).map(|seq| (seq, record))
            };
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || append(thread))).collect();
            threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        let mut winners = Vec::new();
        for result in results {
            match result.map_err(|_| Violation("an append panicked".to_owned()))? {
                Ok((seq, record)) => {
                    check_eq("number of the winner", &seq, &Seq(round + 1))?;
                    winners.push(record);
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        check_eq("winners of a race", &winners.len(), &1)?;
        expected.extend(winners);
    }
    check_journal(subject, &expected)
}
