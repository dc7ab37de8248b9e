//! Every way to change a log is noticed, with the number of the record.

use super::*;
use crate::{Chain, Entry};
use shardlift_model::UnixMillis;

const RECORDS: u64 = 12;

/// Signs by saying so: who has the key knows the word.
fn envelope(statement: &Statement, key: &str) -> String {
    format!("{key} {}", String::from_utf8(statement.payload()).unwrap())
}

fn judge<'j>() -> Judge<'j> {
    Box::new(|envelope: &str| {
        let (key, payload) = envelope.split_once(' ').ok_or("no envelope")?;
        let statement = Statement::read(payload.as_bytes()).map_err(|error| error.to_string())?;
        if key == "key" { Ok(Signed { statement, by: "c".to_owned() }) } else { Err("wrong signature".to_owned()) }
    })
}

fn push(chain: &mut Chain, entry: Entry) -> String {
    chain.push(UnixMillis(1_795_523_696_000 + chain.head().seq), entry).1
}

fn checkpoint(chain: &mut Chain, key: &str) -> String {
    let statement = Statement { cluster: "c1".parse().unwrap(), at: UnixMillis(1), head: chain.head() };
    push(chain, statement.entry("controller c", &envelope(&statement, key)))
}

fn entry(n: u64) -> Entry {
    Entry::new("operator alice", "start batch", &format!("batch-{n}"), "done").text(field::BATCH, &format!("batch-{n}"))
}

/// A segment of records with a checkpoint as the last but one.
fn log_by(key: &str) -> Vec<String> {
    let mut chain = Chain::after(Head::NONE);
    let mut lines = vec![push(&mut chain, Entry::segment("controller c", &"c1".parse().unwrap()))];
    lines.extend((2..RECORDS - 1).map(|n| push(&mut chain, entry(n))));
    lines.push(checkpoint(&mut chain, key));
    lines.push(push(&mut chain, entry(RECORDS)));
    lines
}

fn log() -> Vec<String> {
    log_by("key")
}

fn check_text(text: &[u8], kept: &[Head], signatures: bool) -> Report {
    let mut check = Check::new(Head::NONE, kept, signatures, judge());
    check.segment("audit-00000000000000000001.jsonl");
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => check.line(line, true),
            None => check.line(line, false),
        }
    }
    check.end()
}

fn check(lines: &[String]) -> Report {
    check_text(lines.concat().as_bytes(), &[], true)
}

fn said(report: &Report) -> Vec<(u64, &'static str)> {
    report.faults.iter().map(|fault| (fault.seq, fault.kind.code())).collect()
}

fn record(line: &str) -> Record {
    Record::read(line.trim_end().as_bytes()).unwrap()
}

#[test]
fn a_log_that_nobody_touched_is_good() {
    let report = check(&log());
    assert_eq!((said(&report), report.records, report.segments), (vec![], RECORDS, 1));
    assert_eq!(report.head.seq, RECORDS);
    assert_eq!(report.signed.unwrap().statement.head.seq, RECORDS - 2);
    let kept = [report.head, Head { seq: 3, hash: record(&log()[2]).hash }];
    assert_eq!(said(&check_text(log().concat().as_bytes(), &kept, true)), vec![]);
}

#[test]
fn every_bit_of_every_record_counts() {
    let lines = log();
    let text = lines.concat().into_bytes();
    let mut at = 0;
    for (index, line) in lines.iter().enumerate() {
        let seq = index as u64 + 1;
        for offset in 0..line.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut changed = text.clone();
                changed[at + offset] ^= flip;
                let report = check_text(&changed, &[], true);
                let first = report.faults.first().map(|fault| fault.seq);
                // Without its end, the last line is what a crash would have left.
                if seq == RECORDS && offset == line.len() - 1 {
                    assert!(report.torn_bytes > 0 && report.head.seq == RECORDS - 1);
                    continue;
                }
                let named = first == Some(seq) || report.faults.iter().any(|fault| fault.seq == seq);
                assert!(named, "record {seq}, byte {offset}, {flip:#x}: {:?}", said(&report));
            }
        }
        at += line.len();
    }
}

#[test]
fn what_is_changed_without_a_new_hash_is_one_altered_record() {
    let mut lines = log();
    lines[4] = lines[4].replace("alice", "mallet");
    assert_eq!(said(&check(&lines)), vec![(5, "altered")]);
}

#[test]
fn records_that_are_dropped_swapped_repeated_or_inserted_are_named() {
    let lines = log();
    for index in 1..lines.len() - 1 {
        let seq = index as u64 + 1;
        let mut dropped = lines.clone();
        dropped.remove(index);
        assert!(said(&check(&dropped)).contains(&(seq, "missing")), "{seq}: {:?}", said(&check(&dropped)));
        let mut repeated = lines.clone();
        repeated.insert(index, lines[index].clone());
        assert_eq!(said(&check(&repeated)), vec![(seq, "repeated")]);
    }
    for index in 1..lines.len() - 2 {
        let seq = index as u64 + 1;
        let mut swapped = lines.clone();
        swapped.swap(index, index + 1);
        assert_eq!(said(&check(&swapped)), vec![(seq, "reordered")], "{seq}");
    }
    let mut chain = Chain::after(Head { seq: 4, hash: record(&lines[3]).hash });
    let mut inserted = lines.clone();
    inserted.insert(4, push(&mut chain, entry(99)));
    assert_eq!(said(&check(&inserted)), vec![(5, "repeated"), (6, "unlinked")]);
    let mut none = lines;
    none.insert(4, "rubbish\n".to_owned());
    assert_eq!(said(&check(&none)), vec![(5, "altered")]);
}

#[test]
fn a_record_that_is_replaced_and_hashed_anew_does_not_fit() {
    let lines = log();
    for index in 1..lines.len() - 1 {
        let seq = index as u64 + 1;
        let mut chain = Chain::after(Head { seq: seq - 1, hash: record(&lines[index - 1]).hash });
        let mut forged = lines.clone();
        forged[index] = push(&mut chain, entry(99));
        assert!(said(&check(&forged)).contains(&(seq + 1, "unlinked")), "{seq}: {:?}", said(&check(&forged)));
    }
}

#[test]
fn a_log_that_is_written_anew_lacks_the_signature() {
    for key in ["", "other"] {
        let report = check(&log_by(key));
        assert_eq!(said(&report), vec![(1, "unsigned"), (RECORDS - 1, "checkpoint")]);
        assert_eq!(report.signed, None);
    }
    // Checkpoints of the true log say nothing about another one.
    let (mut forged, stolen) = (Vec::new(), record(&log()[10]).entry);
    let mut chain = Chain::after(Head::NONE);
    forged.push(push(&mut chain, Entry::segment("controller c", &"c1".parse().unwrap())));
    forged.extend((2..RECORDS - 1).map(|n| push(&mut chain, entry(n + 1))));
    forged.push(push(&mut chain, stolen));
    assert_eq!(said(&check(&forged)), vec![(1, "unsigned"), (RECORDS - 1, "checkpoint")]);
    // With the key, only who has kept a head can tell.
    let mut chain = Chain::after(Head::NONE);
    let mut anew = vec![push(&mut chain, Entry::segment("controller c", &"c1".parse().unwrap()))];
    anew.extend((2..=RECORDS).map(|n| push(&mut chain, entry(n + 1))));
    anew.push(checkpoint(&mut chain, "key"));
    assert_eq!(said(&check(&anew)), vec![]);
    let kept = [Head { seq: 5, hash: record(&log()[4]).hash }];
    let report = check_text(anew.concat().as_bytes(), &kept, true);
    assert_eq!(said(&report), vec![(5, "other_than_kept")]);
}

#[test]
fn a_long_stretch_without_a_checkpoint_is_named() {
    let mut chain = Chain::after(Head::NONE);
    let mut lines = vec![push(&mut chain, Entry::segment("controller c", &"c1".parse().unwrap()))];
    lines.push(checkpoint(&mut chain, "key"));
    lines.extend((3..=UNSIGNED_MAX + 1).map(|n| push(&mut chain, entry(n))));
    assert_eq!(said(&check(&lines)), vec![]);
    lines.extend((0..2).map(|n| push(&mut chain, entry(n))));
    assert_eq!(said(&check(&lines)), vec![(2, "unsigned")]);
    lines.push(checkpoint(&mut chain, "key"));
    assert_eq!(said(&check(&lines)), vec![(2, "unsigned")], "a later one does not make up for it");
    assert_eq!(said(&check_text(lines.concat().as_bytes(), &[], false)), vec![]);
}

#[test]
fn a_cut_tail_is_noticed_by_who_kept_the_head_and_a_torn_line_is_no_fault() {
    let lines = log();
    let head = Head { seq: RECORDS, hash: record(&lines[lines.len() - 1]).hash };
    for keep in 0..lines.len() {
        let text = lines[..keep].concat();
        let report = check_text(text.as_bytes(), &[head], false);
        assert_eq!(said(&report), vec![(RECORDS, "cut")], "{keep}");
    }
    let last = &lines[lines.len() - 1];
    for bytes in 1..last.len() {
        let text = lines[..lines.len() - 1].concat() + &last[..bytes];
        let report = check_text(text.as_bytes(), &[], true);
        assert_eq!((said(&report), report.torn_bytes, report.head.seq), (vec![], bytes as u64, RECORDS - 1));
    }
}

#[test]
fn segments_follow_each_other_and_say_what_they_are() {
    let lines = log();
    let mut chain = Chain::after(Head { seq: RECORDS, hash: record(&lines[lines.len() - 1]).hash });
    let second = [push(&mut chain, Entry::segment("controller c", &"c1".parse().unwrap())), push(&mut chain, entry(1))];
    let run = |segments: &[(&str, &[String])], after: Head| {
        let mut check = Check::new(after, &[], false, judge());
        for (name, lines) in segments {
            check.segment(name);
            lines.iter().for_each(|line| check.line(line.trim_end().as_bytes(), true));
        }
        let report = check.end();
        report.faults.iter().map(|fault| (fault.seq, fault.kind.code())).collect::<Vec<_>>()
    };
    let (one, two) = ("audit-00000000000000000001.jsonl", "audit-00000000000000000013.jsonl");
    assert_eq!(run(&[(one, &lines), (two, &second)], Head::NONE), vec![]);
    assert_eq!(run(&[("kept.jsonl", &lines), ("x", &second)], Head::NONE), vec![]);
    assert_eq!(run(&[(two, &second)], Head::NONE), vec![(1, "missing")]);
    let end = Head { seq: RECORDS, hash: record(&lines[lines.len() - 1]).hash };
    assert_eq!(run(&[(two, &second)], end), vec![]);
    assert_eq!(run(&[(two, &second)], Head { seq: RECORDS, hash: Sha256([1; 32]) }), vec![(13, "unlinked")]);
    assert_eq!(run(&[(one, &lines), (one, &second)], Head::NONE), vec![(13, "other_name")]);
    assert_eq!(run(&[(one, &lines), (two, &second[1..])], Head::NONE), vec![(13, "missing"), (14, "not_a_segment")]);
    let torn_inside = [lines[..5].to_vec(), vec![lines[5][..40].to_owned()]].concat();
    let mut check = Check::new(Head::NONE, &[], false, judge());
    check.segment(one);
    torn_inside.iter().for_each(|line| check.line(line.trim_end().as_bytes(), line.ends_with('\n')));
    check.segment(two);
    second.iter().for_each(|line| check.line(line.trim_end().as_bytes(), true));
    assert_eq!(said(&check.end())[0], (6, "altered"), "only the last line of all may be torn");
}

#[test]
fn a_record_in_another_spelling_is_altered_even_with_its_hash() {
    let mut chain = Chain::after(Head::NONE);
    let line = push(&mut chain, Entry::segment("controller c", &"c1".parse().unwrap()));
    let hashed = line.split(",\"hash\"").next().unwrap().replace("\"seq\":1", "\"seq\": 1");
    let digest = <sha2::Sha256 as sha2::Digest>::digest(hashed.as_bytes());
    let forged = format!("{hashed},\"hash\":\"{}\"}}", hex::encode(digest));
    assert_eq!(Record::read(forged.as_bytes()), Err(NotARecord::Form));
}

#[test]
fn a_break_that_the_writer_states_is_named() {
    let mut chain = Chain::after(Head::NONE);
    let broken = Entry::broken("controller c", &"c1".parse().unwrap(), "line 3");
    let lines = vec![push(&mut chain, broken), checkpoint(&mut chain, "key")];
    let report = check(&lines);
    assert_eq!(said(&report), vec![(1, "broken")]);
    assert!(report.faults[0].to_string().contains("line 3"));
}
