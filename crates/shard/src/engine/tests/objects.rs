//! Storing, reading, listing and deleting in one process.

use super::*;
use crate::engine::{Change, Deleted, EngineError, Mode, Op, Rot};
use shardlift_model::Token;
use shardlift_model::digest::Digest;
use std::collections::BTreeMap;
use tokio::io::AsyncReadExt as _;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_can_be_read_listed_and_deleted() {
    let (_dir, engine, node) = store().await;
    let big: Vec<u8> = (0..3_500_000_u32).map(|n| (n % 251) as u8).collect();
    for kind in ObjectKind::ALL {
        let key = put(&engine, &node, kind, &big).await;
        let mut object = engine.open_object(&node, key).await.unwrap().unwrap();
        let mut read = Vec::new();
        object.file.read_to_end(&mut read).await.unwrap();
        assert!(read == big && object.size == big.len() as u64);
        assert_eq!(engine.list(&node, kind).await.unwrap(), [(key.name(), big.len() as u64)]);
        assert_eq!(engine.delete(&node, key).await.unwrap(), Deleted::Deleted);
        assert_eq!(engine.delete(&node, key).await.unwrap(), Deleted::Absent);
        assert!(engine.open_object(&node, key).await.unwrap().is_none());
    }
    let (changes, last) = engine.changes(&node, 0, 100).await.unwrap();
    let seqs: Vec<u64> = changes.iter().map(|change| change.seq).collect();
    assert_eq!((seqs, last), ((1..=12).collect(), 12));
    assert!(matches!(changes[1], Change { op: Op::Delete(ObjectKey::Config), .. }));
    let snapshot = engine.node(&node).unwrap();
    assert_eq!((snapshot.objects, snapshot.bytes, snapshot.locks, snapshot.newest_lock), (0, 0, 0, None));
    assert_eq!(engine.space.promised(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identical_upload_is_answered_as_done_and_changes_nothing() {
    let (dir, engine, node) = store().await;
    let key = put(&engine, &node, ObjectKind::Data, b"pack").await;
    assert_eq!(put_as(&engine, &node, key, b"pack").await.unwrap(), Put::Identical);
    put(&engine, &node, ObjectKind::Config, b"config").await;
    assert_eq!(put_as(&engine, &node, ObjectKey::Config, b"config").await.unwrap(), Put::Identical);
    assert!(matches!(put_as(&engine, &node, ObjectKey::Config, b"other").await, Err(PutError::Exists)));
    assert_eq!(engine.node(&node).unwrap().seq, 2);
    assert!(temps(dir.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_uploads_of_one_object_at_once_leave_one_change() {
    let (_dir, engine, node) = store().await;
    let key = record(ObjectKind::Data, b"same").key;
    let outcomes = futures::future::join_all((0..8).map(|_| put_as(&engine, &node, key, b"same"))).await;
    let created = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Put::Created))).count();
    assert!(created == 1 && outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(engine.node(&node).unwrap().seq, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_upload_leaves_nothing_behind() {
    let (dir, engine, node) = store().await;
    let key = record(ObjectKind::Data, b"right").key;
    assert!(matches!(put_as(&engine, &node, key, b"wrong").await, Err(PutError::HashMismatch { .. })));
    let mut short = engine.begin_put(&node, key, Some(9)).await.unwrap();
    short.write(Bytes::from_static(b"right")).await.unwrap();
    assert!(matches!(short.finish().await, Err(PutError::TooShort { received: 5, declared: 9 })));
    let mut long = engine.begin_put(&node, key, Some(2)).await.unwrap();
    assert!(matches!(long.write(Bytes::from_static(b"right")).await, Err(PutError::TooLarge { declared: 2 })));
    drop(long);
    let mut dropped = engine.begin_put(&node, key, None).await.unwrap();
    dropped.write(Bytes::from(vec![1; 3 << 20])).await.unwrap();
    drop(dropped);
    let unknown = engine.begin_put(&super::node("nobody"), key, None).await;
    assert!(matches!(unknown, Err(PutError::NodeUnknown(_))));
    eventually("half-written files are gone", || temps(dir.path()).is_empty()).await;
    assert_eq!(engine.node(&node).unwrap().seq, 0);
    assert_eq!(engine.space.promised(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_object_that_is_gone_is_an_alarm_and_a_new_upload_heals_it() {
    let (_dir, engine, node) = store().await;
    let key = put(&engine, &node, ObjectKind::Data, b"precious").await;
    let path = engine.layout.file(&node, &key);
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(engine.open_object(&node, key).await, Err(EngineError::Missing { .. })));
    assert_eq!((engine.usage().alarms, engine.node(&node).unwrap().missing), (1, 1));
    assert_eq!(engine.list(&node, ObjectKind::Data).await.unwrap().len(), 1);
    assert_eq!(put_as(&engine, &node, key, b"precious").await.unwrap(), Put::Created);
    assert_eq!((engine.usage().alarms, engine.node(&node).unwrap().seq), (0, 1));
    std::fs::write(&path, b"prec").unwrap();
    assert!(matches!(
        engine.open_object(&node, key).await,
        Err(EngineError::SizeDiffers { found: 4, recorded: 8, .. })
    ));
    assert_eq!(engine.usage().alarms, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_folder_is_an_error_and_never_an_empty_list() {
    let (_dir, engine, node) = store().await;
    let folder = engine.layout.kind(&node, ObjectKind::Snapshots);
    std::fs::remove_dir(&folder).unwrap();
    assert!(matches!(engine.list(&node, ObjectKind::Snapshots).await, Err(EngineError::Io { .. })));
    std::fs::write(&folder, b"").unwrap();
    assert!(matches!(engine.list(&node, ObjectKind::Snapshots).await, Err(EngineError::Io { .. })));
    assert!(engine.list(&node, ObjectKind::Keys).await.unwrap().is_empty());
    let unknown = engine.list(&super::node("nobody"), ObjectKind::Keys).await;
    assert!(matches!(unknown, Err(EngineError::NodeUnknown(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn rereading_finds_what_rotted_on_disk() {
    let (_dir, engine, node) = store().await;
    let rotten = put(&engine, &node, ObjectKind::Data, b"rots").await;
    let gone = put(&engine, &node, ObjectKind::Index, b"goes").await;
    put(&engine, &node, ObjectKind::Keys, b"stays").await;
    assert!(reread(&engine, &node).await.mismatched.is_empty());
    std::fs::write(engine.layout.file(&node, &rotten), b"r0ts").unwrap();
    std::fs::remove_file(engine.layout.file(&node, &gone)).unwrap();
    let found = reread(&engine, &node).await;
    assert_eq!((found.objects, found.bytes, found.mismatched), (3, 9, vec![rotten, gone]));
    assert_eq!(engine.usage().alarms, 1, "what is gone");
    assert_eq!(engine.node(&node).unwrap().damaged, 1, "what has rotted is on record");
}

/// The digest as ADR 19 describes it, computed without the code under test.
fn digest_by_hand(records: &BTreeMap<ObjectKey, ObjectRecord>) -> Sha256 {
    let mut root = vec![2];
    for kind in ObjectKind::ALL {
        let rows: Vec<(String, Vec<u8>)> = records.iter().filter(|(key, _)| key.kind() == kind).map(row).collect();
        if !rows.is_empty() {
            root.push(kind as u8);
            root.extend(hash_by_hand(&rows, 0).0);
        }
    }
    hash(&root)
}

/// The name in digits, and what stands for the object in its leaf.
fn row((key, record): (&ObjectKey, &ObjectRecord)) -> (String, Vec<u8>) {
    let name = key.expected_sha256().unwrap_or(Sha256([0; 32]));
    let mut row = vec![key.kind() as u8];
    row.extend(name.0);
    row.extend(record.size.to_be_bytes());
    row.extend(record.sha256.0);
    (name.to_string(), row)
}

fn hash_by_hand(rows: &[(String, Vec<u8>)], depth: usize) -> Sha256 {
    if rows.len() <= 32 {
        return hash(&rows.iter().fold(vec![0], |bytes, (_, row)| [bytes, row.clone()].concat()));
    }
    let mut branch = vec![1];
    for (digit, text) in (0..).zip("0123456789abcdef".chars()) {
        let below: Vec<_> = rows.iter().filter(|(name, _)| name[depth..].starts_with(text)).cloned().collect();
        if !below.is_empty() {
            branch.push(digit);
            branch.extend(hash_by_hand(&below, depth + 1).0);
        }
    }
    hash(&branch)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_digest_equals_one_computed_independently_with_and_without_locks() {
    let (_dir, engine, node) = store().await;
    let mut records = BTreeMap::new();
    for n in 0..120_u32 {
        let kind = if n < 60 { ObjectKind::ALL[n as usize % 6] } else { ObjectKind::Data };
        if kind == ObjectKind::Config && n > 0 {
            continue;
        }
        let data = n.to_be_bytes();
        records.insert(put(&engine, &node, kind, &data).await, record(kind, &data));
    }
    let victim = *records.keys().nth(7).unwrap();
    engine.delete(&node, victim).await.unwrap();
    records.remove(&victim);
    let (digest, seq) = engine.digest(&node).await.unwrap();
    assert_eq!(digest.root, digest_by_hand(&records));
    assert_eq!((digest.objects, seq), (records.len() as u64, records.len() as u64 + 2));
    records.retain(|key, _| key.kind() != ObjectKind::Locks);
    let (digest, _) = engine.digest_of(&node, false).await.unwrap();
    assert_eq!(digest.root, digest_by_hand(&records));
    assert_eq!(digest, records.values().copied().collect::<Digest>());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_add_up_to_all_objects_and_end_before_the_locks_when_asked() {
    let (_dir, engine, node) = store().await;
    for n in 0..25_u32 {
        put(&engine, &node, ObjectKind::ALL[1 + n as usize % 5], &n.to_be_bytes()).await;
    }
    for (with_locks, total) in [(true, 25), (false, 20)] {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = engine.page_objects(&node, after, 7, with_locks).await.unwrap();
            assert_eq!((page.objects_total, page.seq), (total, 25));
            after = page.objects.last().map(|record| record.key);
            all.extend(page.objects);
            if !page.more {
                break;
            }
        }
        assert_eq!(all.len() as u64, total);
        assert!(all.is_sorted());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_objects_are_listed_from_the_index() {
    let (_dir, engine, node) = store().await;
    for part in 0..25_u32 {
        let ops = (0..4000_u32).map(|n| {
            let sha256 = hash(&(part * 4000 + n).to_be_bytes());
            (
                Op::Put(ObjectRecord { key: ObjectKey::Named(ObjectKind::Data, sha256), size: 9, sha256 }),
                Default::default(),
            )
        });
        let work = super::super::writer::Work::Adopt(ops.collect());
        engine.writer.submit(&node, work).await.unwrap();
    }
    let started = std::time::Instant::now();
    let listed = engine.list(&node, ObjectKind::Data).await.unwrap().len();
    let list = started.elapsed();
    let (digest, _) = engine.digest(&node).await.unwrap();
    println!("100,000 objects: listed in {list:?}, digest in {:?}", started.elapsed() - list);
    assert_eq!((listed, digest.objects), (100_000, 100_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_a_node_again_changes_nothing() {
    let (_dir, engine, node) = store().await;
    assert!(!engine.create_node(&node).await.unwrap());
    let snapshot = engine.node(&node).unwrap();
    assert_eq!((snapshot.mode, snapshot.seq), (Mode::Serving, 0));
    assert_eq!(engine.nodes_after(None, 10).len(), 1);
    assert!(engine.nodes_after(Some(&node), 10).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rot_is_recorded_as_what_is_there_and_healed_by_the_right_bytes() {
    let (dir, engine, node) = store().await;
    let rotten = put(&engine, &node, ObjectKind::Data, b"rots").await;
    let config = put(&engine, &node, ObjectKind::Config, b"config").await;
    assert_eq!(engine.record_rot(&node, rotten).await.unwrap(), Rot::None, "a good object stays as it is");
    std::fs::write(engine.layout.file(&node, &rotten), b"r0tten").unwrap();
    std::fs::write(engine.layout.file(&node, &config), b"C0nfig").unwrap();
    assert_eq!(engine.record_rot(&node, config).await.unwrap(), Rot::Alarm, "nothing else says what it was");
    assert_eq!(engine.record_rot(&node, rotten).await.unwrap(), Rot::Recorded(3));
    assert_eq!(engine.record_rot(&node, rotten).await.unwrap(), Rot::None, "once");
    let recorded = engine.object(&node, rotten).await.unwrap().unwrap();
    assert_eq!((recorded.size, recorded.sha256, recorded.is_damaged()), (6, hash(b"r0tten"), true));
    assert_eq!((engine.node(&node).unwrap().damaged, engine.usage().alarms), (1, 1));
    engine.close().await.unwrap();
    let engine = open(dir.path()).await;
    assert_eq!(engine.node(&node).unwrap().damaged, 1, "known after a restart");
    assert_eq!(put_as(&engine, &node, rotten, b"rots").await.unwrap(), Put::Created);
    assert_eq!(engine.node(&node).unwrap().damaged, 0);

    std::fs::write(engine.layout.file(&node, &rotten), b"r0ts").unwrap();
    let (_, seq) = engine.digest(&node).await.unwrap();
    let retired = Mode::Retired { target: "b".parse().unwrap() };
    engine.set_mode(&node, Token::new(1, 1, 1), retired).await.unwrap();
    assert_eq!(engine.record_rot(&node, rotten).await.unwrap(), Rot::Alarm, "its state was handed over");
    assert_eq!(engine.digest(&node).await.unwrap().1, seq);
}
