//! A journal survives the way out and back, and no changed export gets in.

#![allow(clippy::unwrap_used, reason = "all of this is a test; clippy sees only functions marked so")]

use shardlift_model::Term;
use shardlift_store::{ExportError, MemoryStore, Seq, SledStore, Store, check_export, export, import};
use std::io::Cursor;

fn filled() -> (MemoryStore, Vec<u8>) {
    let store = MemoryStore::new("c1".parse().unwrap());
    store.campaign().unwrap();
    let term = store.campaign().unwrap();
    let records = [b"one".to_vec(), vec![], (0..=255).collect(), vec![7; 300_000]];
    store.append(term, Seq(0), &records).unwrap();
    let mut text = Vec::new();
    let summary = export(&store, &mut text).unwrap();
    assert_eq!((summary.last, summary.term), (Seq(4), Term(2)));
    (store, text)
}

#[test]
fn a_journal_survives_the_way_out_and_back() {
    let (source, text) = filled();
    let temp = tempfile::tempdir().unwrap();
    let rebuilt = SledStore::init(temp.path(), "c1".parse().unwrap()).unwrap();
    let summary = import(&rebuilt, Cursor::new(&text)).unwrap();
    assert_eq!(summary.last, Seq(4));
    assert!(rebuilt.term().unwrap() > source.term().unwrap(), "a term that was seen must not be given out again");
    drop(rebuilt);
    let rebuilt = SledStore::open(temp.path()).unwrap();
    assert_eq!(rebuilt.read(Seq(0), 99).unwrap(), source.read(Seq(0), 99).unwrap());
}

#[test]
fn more_records_than_one_append_takes_are_imported() {
    let store = MemoryStore::new("c1".parse().unwrap());
    let term = store.campaign().unwrap();
    let records: Vec<_> = (0..10_000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    store.append(term, Seq(0), &records).unwrap();
    store.append(term, Seq(10_000), &records[..123]).unwrap();
    let mut text = Vec::new();
    export(&store, &mut text).unwrap();
    let rebuilt = MemoryStore::new("c1".parse().unwrap());
    assert_eq!(import(&rebuilt, Cursor::new(text)).unwrap().last, Seq(10_123));
    assert_eq!(rebuilt.read(Seq(0), usize::MAX).unwrap(), store.read(Seq(0), usize::MAX).unwrap());
}

#[test]
fn a_changed_export_is_refused_and_changes_nothing() {
    let (_, text) = filled();
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let join = |lines: &[&str]| lines.join("\n") + "\n";
    let cases: Vec<(&str, String)> = vec![
        ("empty", String::new()),
        ("no header", join(&lines[1..])),
        ("no end", join(&lines[..5])),
        ("a record left out", join(&[lines[0], lines[1], lines[3], lines[4], lines[5]])),
        ("the last record left out", join(&[lines[0], lines[1], lines[2], lines[3], lines[5]])),
        ("records swapped", join(&[lines[0], lines[2], lines[1], lines[3], lines[4], lines[5]])),
        ("a record doubled", join(&[lines[0], lines[1], lines[1], lines[2], lines[3], lines[4], lines[5]])),
        ("a record changed", text.replacen("b25l", "b25m", 1)),
        ("the cluster changed", text.replacen("\"c1\"", "\"c2\"", 1)),
        ("another version", text.replacen("\"version\":1", "\"version\":2", 1)),
        ("another format", text.replacen("shardlift-journal", "other", 1)),
        ("something after the end", text.clone() + "{}\n"),
        ("the last line cut", text[..text.len() - 1].to_owned()),
        ("no text", "\u{0}\u{1}\n".to_owned()),
    ];
    for (name, changed) in cases {
        assert_ne!(changed, text, "{name}");
        let store = MemoryStore::new("c1".parse().unwrap());
        let result = import(&store, Cursor::new(changed.as_bytes()));
        assert!(matches!(result, Err(ExportError::Line { .. })), "{name}: {result:?}");
        assert!(check_export(changed.as_bytes()).is_err(), "{name}");
        assert_eq!((store.last().unwrap(), store.term().unwrap()), (Seq(0), Term(0)), "{name}");
    }
}

#[test]
fn an_import_needs_an_empty_store_of_the_same_cluster() {
    let (source, text) = filled();
    assert!(matches!(import(&source, Cursor::new(&text)), Err(ExportError::NotEmpty { last: Seq(4) })));
    let other = MemoryStore::new("c2".parse().unwrap());
    assert!(matches!(import(&other, Cursor::new(&text)), Err(ExportError::WrongCluster { .. })));
    assert_eq!((other.last().unwrap(), other.term().unwrap()), (Seq(0), Term(0)));
}
