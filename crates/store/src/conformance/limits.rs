//! The sizes a store takes and those it refuses.

use super::{Case, Subject, Violation, check_eq, check_journal, check_refused};
use crate::contract::{APPEND_BYTES_MAX, APPEND_RECORDS_MAX, RECORD_BYTES_MAX, Seq};
use crate::error::StoreError;

pub(super) const CASES: &[(&str, Case)] = &[
    ("records_of_awkward_lengths_come_back", awkward),
    ("the_longest_record_is_taken_and_one_byte_more_refused", longest_record),
    ("the_largest_batch_is_taken_and_one_record_more_refused", largest_batch),
    ("the_heaviest_batch_is_taken_and_one_byte_more_refused", heaviest_batch),
];

/// Bytes that repeat in no short period, so that swapped pieces show.
fn patterned(length: usize) -> Vec<u8> {
    let mut state = length as u64 | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(step).collect()
}

fn awkward(subject: &mut dyn Subject) -> Result<(), Violation> {
    let mut records = Vec::new();
    for length in [1024, 4096, 16 * 1024, 32 * 1024, 48 * 1024, 64 * 1024, 128 * 1024, 512 * 1024] {
        records.extend([length - 1, length, length + 1].map(patterned));
    }
    let term = subject.store().campaign()?;
    let mut last = Seq::ZERO;
    for group in records.chunks(5) {
        last = subject.store().append(term, last, group)?;
    }
    check_journal(subject, &records)
}

fn longest_record(subject: &mut dyn Subject) -> Result<(), Violation> {
    let store = subject.store();
    let term = store.campaign()?;
    let records = [patterned(RECORD_BYTES_MAX), b"small".to_vec()];
    check_eq("append()", &store.append(term, Seq::ZERO, &records)?, &Seq(2))?;
    let too_long = |error: &StoreError| matches!(error, StoreError::RecordTooLong { index: 0, .. });
    let result = store.append(term, Seq(2), &[vec![0; RECORD_BYTES_MAX + 1]]);
    check_refused("a record one byte over the limit", result, too_long)?;
    check_journal(subject, &records)
}

fn largest_batch(subject: &mut dyn Subject) -> Result<(), Violation> {
    let store = subject.store();
    let term = store.campaign()?;
    let mut records: Vec<Vec<u8>> = (0..=APPEND_RECORDS_MAX).map(|n| patterned(n % 200)).collect();
    let too_many = |error: &StoreError| matches!(error, StoreError::TooManyRecords { .. });
    check_refused("a batch one record over the limit", store.append(term, Seq::ZERO, &records), too_many)?;
    records.pop();
    store.append(term, Seq::ZERO, &records)?;
    check_journal(subject, &records)
}

fn heaviest_batch(subject: &mut dyn Subject) -> Result<(), Violation> {
    let store = subject.store();
    let term = store.campaign()?;
    let mut records = vec![vec![5; RECORD_BYTES_MAX]; APPEND_BYTES_MAX / RECORD_BYTES_MAX];
    records.push(vec![0]);
    let too_long = |error: &StoreError| matches!(error, StoreError::AppendTooLong { .. });
    check_refused("a batch one byte over the limit", store.append(term, Seq::ZERO, &records), too_long)?;
    records.pop();
    store.append(term, Seq::ZERO, &records)?;
    check_journal(subject, &records)
}
