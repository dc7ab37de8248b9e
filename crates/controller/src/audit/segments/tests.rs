//! What a crash, a full disk or a hand leaves behind, and how the next process goes on.

use super::*;
use crate::audit::pen::{Pen, Seal};
use shardlift_audit::{Check, Entry, Report, Signed, Statement, Value, field, what};
use std::fs::OpenOptions;
use std::io::Write as _;

const FIRST: &str = "audit-00000000000000000001.jsonl";

/// Signs by writing it down.
fn seal() -> Seal {
    let sign = |payload: &[u8]| Ok(String::from_utf8(payload.to_vec()).unwrap());
    Seal { who: "controller c".to_owned(), sign: Box::new(sign) }
}

fn pen(folder: &Path, bytes_max: u64) -> Result<Pen, OpenError> {
    Pen::open(folder, bytes_max, &"c1".parse().unwrap(), seal())
}

fn entries(count: u64) -> Vec<Entry> {
    (0..count).map(|n| Entry::new("operator alice", "start batch", &format!("batch-{n}"), "done")).collect()
}

fn check(folder: &Path) -> Report {
    let judge = |envelope: &str| {
        let statement = Statement::read(envelope.as_bytes()).map_err(|error| error.to_string())?;
        Ok(Signed { statement, by: "c".to_owned() })
    };
    let mut check = Check::new(Head::NONE, &[], true, Box::new(judge));
    for first in all_segments(folder).unwrap() {
        check.segment(&segment_name(first));
        let text = fs::read(folder.join(segment_name(first))).unwrap();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            check.line(line.strip_suffix(b"\n").unwrap_or(line), line.ends_with(b"\n"));
        }
    }
    check.end()
}

fn codes(report: &Report) -> Vec<(u64, &'static str)> {
    report.faults.iter().map(|fault| (fault.seq, fault.kind.code())).collect()
}

fn last_record(folder: &Path, said: &str) -> shardlift_audit::Record {
    let text =
        all_segments(folder).unwrap().into_iter().map(|first| fs::read(folder.join(segment_name(first))).unwrap());
    let text = text.collect::<Vec<_>>().concat();
    let mut records = text.split(|byte| *byte == b'\n').filter_map(|line| shardlift_audit::Record::read(line).ok());
    records.rfind(|record| record.entry.what == said).unwrap()
}

#[test]
fn a_log_goes_on_where_it_ended_and_says_so() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("a/audit");
    for round in 1..=3 {
        let mut pen = pen(&folder, 1 << 20).unwrap();
        pen.write(entries(2)).unwrap();
        let report = check(&folder);
        // Once the beginning; each time: opened, its checkpoint, and two.
        assert_eq!((codes(&report), report.head.seq), (vec![], 1 + 4 * round));
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(folder.join(FIRST)).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_line_that_was_torn_at_any_byte_is_taken_away_and_told_of() {
    let root = tempfile::tempdir().unwrap();
    let whole = root.path().join("whole");
    let mut first = pen(&whole, 1 << 20).unwrap();
    first.write(entries(3)).unwrap();
    let text = fs::read(whole.join(FIRST)).unwrap();
    let last = text[..text.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for end in last..text.len() {
        let folder = root.path().join(end.to_string());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(FIRST), &text[..end]).unwrap();
        let torn = (end - last) as u64;
        let report = check(&folder);
        assert_eq!((codes(&report), report.torn_bytes), (vec![], torn), "a crash is not tampering");
        pen(&folder, 1 << 20).unwrap().write(entries(1)).unwrap();
        let report = check(&folder);
        assert_eq!((codes(&report), report.torn_bytes, report.head.seq), (vec![], 0, 5 + 3), "{torn}");
        let said = last_record(&folder, what::OPENED).entry.fields.get(field::TORN_BYTES).cloned();
        assert_eq!(said, (torn > 0).then_some(Value::Number(torn)));
    }
}

#[test]
fn a_segment_that_was_made_and_not_begun_is_begun() {
    for begun in [&b""[..], b"{\"seq\":9,\"at", &[0; 300]] {
        let root = tempfile::tempdir().unwrap();
        pen(root.path(), 1 << 20).unwrap().write(entries(3)).unwrap();
        let next = check(root.path()).head.seq + 1;
        fs::write(root.path().join(segment_name(next)), begun).unwrap();
        pen(root.path(), 1 << 20).unwrap().write(entries(1)).unwrap();
        let report = check(root.path());
        assert_eq!((codes(&report), report.segments, report.head.seq), (vec![], 2, next + 3));
        assert_eq!(last_record(root.path(), what::SEGMENT).seq, next);
    }
}

#[test]
fn what_a_hand_has_done_at_the_end_is_stated_in_a_segment_of_its_own() {
    let root = tempfile::tempdir().unwrap();
    type Hand = fn(&str) -> String;
    let hands: [(&str, Hand, &str); 3] = [
        ("a", |text| text.replace("batch-1", "batch-7"), "altered"),
        ("b", |text| format!("{text}rubbish\n"), "altered"),
        (
            "c",
            |text| {
                text.lines().filter(|line| !line.contains("batch-1")).fold(String::new(), |all, line| all + line + "\n")
            },
            "missing",
        ),
    ];
    for (name, hand, code) in hands {
        let folder = root.path().join(name);
        pen(&folder, 1 << 20).unwrap().write(entries(3)).unwrap();
        let text = fs::read_to_string(folder.join(FIRST)).unwrap();
        fs::write(folder.join(FIRST), hand(&text)).unwrap();
        let before = check(&folder);
        assert!(before.faults[0].kind.code() == code, "{:?}", before.faults);
        for _ in 0..2 {
            pen(&folder, 1 << 20).unwrap().write(entries(2)).unwrap();
        }
        let after = check(&folder);
        let (broken, rest): (Vec<_>, Vec<_>) =
            after.faults.into_iter().partition(|fault| fault.kind.code() == "broken");
        assert_eq!(
            (rest, broken.len(), after.segments),
            (before.faults, 1, 2),
            "nothing new is wrong, and it is stated"
        );
        assert!(last_record(&folder, what::BROKEN).text(field::WHY).unwrap().contains("record "));
    }
}

#[test]
fn an_end_that_nobody_can_read_stops_the_start_and_says_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(FIRST), "rubbish\nmore\n").unwrap();
    let refusal = pen(root.path(), 1 << 20).map(|_| ()).unwrap_err().to_string();
    assert!(refusal.contains("audit verify") && refusal.contains("elsewhere"), "{refusal}");
    // Segments out of order would be read in another order than they were written in.
    fs::remove_file(root.path().join(FIRST)).unwrap();
    drop(pen(root.path(), 1 << 20).unwrap());
    fs::write(root.path().join(segment_name(900)), "").unwrap();
    assert!(matches!(pen(root.path(), 1 << 20).map(|_| ()), Err(OpenError::Unreadable { .. })));
}

#[test]
fn a_full_segment_ends_with_a_checkpoint_and_the_next_one_follows_it() {
    let root = tempfile::tempdir().unwrap();
    let mut writing = pen(root.path(), 4096).unwrap();
    (0..60).for_each(|_| writing.write(entries(2)).unwrap());
    let mut all = all_segments(root.path()).unwrap();
    assert!(all.len() > 3, "{all:?}");
    assert_eq!(codes(&check(root.path())), vec![]);
    all.pop();
    for first in all {
        let text = fs::read_to_string(root.path().join(segment_name(first))).unwrap();
        assert!(text.lines().last().unwrap().contains("\"what\":\"checkpoint\""), "{first}");
        assert!(text.len() < 4096 + 2048, "{}", text.len());
        let blocks =
            std::os::unix::fs::MetadataExt::blocks(&fs::metadata(root.path().join(segment_name(first))).unwrap());
        assert!(blocks * 512 < RESERVED_BYTES, "what was reserved is given back: {blocks}");
    }
    drop(writing);
    let before = check(root.path()).head.seq;
    drop(pen(root.path(), 4096).unwrap());
    assert!(check(root.path()).head.seq > before && check(root.path()).faults.is_empty());
}

#[test]
fn checkpoints_come_often_enough_for_the_check() {
    let root = tempfile::tempdir().unwrap();
    let mut pen = pen(root.path(), 1 << 30).unwrap();
    (0..8).for_each(|_| pen.write(entries(900)).unwrap());
    let report = check(root.path());
    assert_eq!(codes(&report), vec![]);
    assert!(report.signed.is_some());
}

#[test]
fn what_could_not_be_written_is_not_there_and_a_doubt_is_final() {
    let root = tempfile::tempdir().unwrap();
    let (mut segments, _) = Segments::open(root.path(), 1 << 20).unwrap();
    segments.append(b"one\n").unwrap();
    // Too large for the file system: nothing of it may stay.
    let small = OpenOptions::new().append(true).open(root.path().join(FIRST)).unwrap();
    (&small).write_all(b"left over").unwrap();
    segments.cut().unwrap();
    assert_eq!(fs::read(root.path().join(FIRST)).unwrap(), b"one\n");
    segments.file = WriteFile::open(Path::new("/dev/full"), How::Present).unwrap();
    assert_eq!(segments.append(b"two\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
    // It cannot be cut back: what is on disk is not known, and nothing is added any more.
    segments.file = WriteFile::open(&root.path().join(FIRST), How::Present).unwrap();
    assert!(segments.append(b"two\n").unwrap_err().to_string().contains("in doubt"));
    assert!(segments.reserve().is_err());
    assert_eq!(fs::read(root.path().join(FIRST)).unwrap(), b"one\n");
}

#[test]
fn a_disk_that_is_full_from_the_start_stops_no_controller_and_admits_nothing() {
    let root = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", root.path().join(FIRST)).unwrap();
    let mut full = pen(root.path(), 1 << 20).unwrap();
    assert!(full.reserve().is_err(), "nobody is admitted");
    assert!(full.write(entries(1)).is_err());
    drop(full);
    fs::remove_file(root.path().join(FIRST)).unwrap();
    let mut roomy = pen(root.path(), 1 << 20).unwrap();
    roomy.reserve().unwrap();
    assert_eq!((codes(&check(root.path())), check(root.path()).head.seq), (vec![], 3));
}
