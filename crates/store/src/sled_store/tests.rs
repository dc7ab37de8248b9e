//! The wrapper's own promises, one by one.

use super::*;
use crate::record::PIECE_BYTES_MAX;
use std::fs;
use std::path::PathBuf;

fn cluster() -> ClusterId {
    "c1".parse().unwrap()
}

/// A store with these many records of a few bytes each, closed.
fn filled(records: usize) -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let store = SledStore::init(&dir, cluster()).unwrap();
    let term = store.campaign().unwrap();
    let records: Vec<_> = (0..records).map(|n| format!("record {n}").into_bytes()).collect();
    store.append(term, Seq::ZERO, &records).unwrap();
    (temp, dir)
}

/// Changes the database behind the store's back.
fn tamper(dir: &Path, change: impl FnOnce(&sled::Db)) {
    let engine = Engine::open(&dir.join("journal"), Sync::Full).unwrap();
    change(engine.db());
    engine.flush().unwrap();
}

fn copy_folder(source: &Path, target: &Path) {
    fs::create_dir_all(target).unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        let target = target.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn opening_never_creates() {
    let temp = tempfile::tempdir().unwrap();
    for dir in [temp.path().to_owned(), temp.path().join("missing")] {
        assert!(matches!(SledStore::open(&dir), Err(StoreError::NotInitialised { .. })));
    }
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn a_store_is_created_in_an_empty_folder_only() {
    let (_temp, dir) = filled(1);
    assert!(matches!(SledStore::init(&dir, cluster()), Err(StoreError::NotEmpty { .. })));
    assert_eq!(SledStore::open(&dir).unwrap().last().unwrap(), Seq(1));
}

#[test]
fn a_store_in_use_is_not_opened_twice() {
    let (_temp, dir) = filled(1);
    let first = SledStore::open(&dir).unwrap();
    let second = SledStore::open(&dir).unwrap_err();
    assert!(matches!(second, StoreError::InUse { .. }) && second.is_retryable());
    drop(first);
    SledStore::open(&dir).unwrap();
}

#[test]
fn an_older_copy_of_the_database_does_not_pass_for_the_present_one() {
    let (temp, dir) = filled(3);
    copy_folder(&dir.join("journal"), &temp.path().join("copy"));
    let store = SledStore::open(&dir).unwrap();
    let term = store.campaign().unwrap();
    store.append(term, Seq(3), &[b"four".to_vec()]).unwrap();
    drop(store);
    fs::remove_dir_all(dir.join("journal")).unwrap();
    copy_folder(&temp.path().join("copy"), &dir.join("journal"));
    let Err(StoreError::Behind { last, term, marker_last, marker_term }) = SledStore::open(&dir) else { panic!() };
    assert_eq!((last, term, marker_last, marker_term), (Seq(3), Term(1), Seq(4), Term(2)));
}

#[test]
fn a_lost_term_alone_is_noticed() {
    let (temp, dir) = filled(3);
    copy_folder(&dir.join("journal"), &temp.path().join("copy"));
    SledStore::open(&dir).unwrap().campaign().unwrap();
    fs::remove_dir_all(dir.join("journal")).unwrap();
    copy_folder(&temp.path().join("copy"), &dir.join("journal"));
    assert!(matches!(SledStore::open(&dir), Err(StoreError::Behind { marker_term: Term(2), .. })));
}

#[test]
fn a_longer_journal_with_another_history_is_refused() {
    let (_temp, dir) = filled(3);
    let (_other_temp, other) = filled(2);
    let store = SledStore::open(&other).unwrap();
    store.append(Term(1), Seq(2), &[b"another".to_vec(), b"history".to_vec()]).unwrap();
    drop(store);
    fs::remove_dir_all(dir.join("journal")).unwrap();
    copy_folder(&other.join("journal"), &dir.join("journal"));
    assert!(matches!(SledStore::open(&dir), Err(StoreError::Damaged { seq: Seq(3), .. })));
}

#[test]
fn a_database_that_is_gone_or_empty_or_of_another_cluster_is_refused() {
    type Damage = fn(&Path);
    let damage: [(&str, Damage); 4] = [
        ("gone", |journal| fs::remove_dir_all(journal).unwrap()),
        ("log gone", |journal| fs::remove_file(journal.join("db")).unwrap()),
        ("log empty", |journal| fs::write(journal.join("db"), b"").unwrap()),
        ("another cluster", |journal| {
            let temp = tempfile::tempdir().unwrap();
            drop(SledStore::init(temp.path(), "c2".parse().unwrap()).unwrap());
            fs::remove_dir_all(journal).unwrap();
            copy_folder(&temp.path().join("journal"), journal);
        }),
    ];
    for (name, damage) in damage {
        let (_temp, dir) = filled(3);
        damage(&dir.join("journal"));
        let error = SledStore::open(&dir).unwrap_err();
        let refused = matches!(
            error,
            StoreError::DamagedStore { .. } | StoreError::Behind { .. } | StoreError::WrongCluster { .. }
        );
        assert!(refused, "{name}: {error:?}");
    }
}

#[test]
fn unfinished_snapshots_are_removed_before_opening() {
    let (_temp, dir) = filled(3);
    for name in ["snap.0000000000000000.generating", "snap.00000000FFFFFFFF.generating"] {
        fs::write(dir.join("journal").join(name), b"torn").unwrap();
    }
    assert_eq!(SledStore::open(&dir).unwrap().last().unwrap(), Seq(3));
    let names = fs::read_dir(dir.join("journal")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().ends_with("generating")));
}

#[test]
fn a_changed_missing_or_added_record_is_refused_with_its_number() {
    type Change = fn(&sled::Db);
    let change: [(&str, Seq, Change); 6] = [
        ("changed", Seq(3), |db| {
            let mut value = db.get(layout::piece_key(Seq(3), 0)).unwrap().unwrap().to_vec();
            *value.last_mut().unwrap() ^= 1;
            db.insert(layout::piece_key(Seq(3), 0), value).unwrap();
        }),
        ("missing", Seq(2), |db| drop(db.remove(layout::piece_key(Seq(2), 0)).unwrap())),
        ("last missing", Seq(5), |db| drop(db.remove(layout::piece_key(Seq(5), 0)).unwrap())),
        ("swapped", Seq(1), |db| {
            let [one, two] = [1, 2].map(|n| db.get(layout::piece_key(Seq(n), 0)).unwrap().unwrap());
            db.insert(layout::piece_key(Seq(1), 0), two).unwrap();
            db.insert(layout::piece_key(Seq(2), 0), one).unwrap();
        }),
        ("head changed", Seq(5), |db| {
            let mut value = db.get(layout::HEAD_KEY).unwrap().unwrap().to_vec();
            value[17] ^= 1;
            drop(db.insert(layout::HEAD_KEY, value).unwrap());
        }),
        ("added", Seq(6), |db| drop(db.insert(layout::piece_key(Seq(6), 0), vec![1, 2, 3]).unwrap())),
    ];
    for (name, expected, change) in change {
        let (_temp, dir) = filled(5);
        tamper(&dir, change);
        for _ in 0..2 {
            match SledStore::open(&dir) {
                Err(StoreError::Damaged { seq, .. }) => assert_eq!(seq, expected, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_record_damaged_while_the_store_is_open_is_refused_alone() {
    let (_temp, dir) = filled(5);
    let store = SledStore::open(&dir).unwrap();
    store.engine.db().insert(layout::piece_key(Seq(4), 0), vec![1; 60]).unwrap();
    assert!(matches!(store.read(Seq(0), 10), Err(StoreError::Damaged { seq: Seq(4), .. })));
    assert_eq!(store.read(Seq(0), 3).unwrap().len(), 3);
}

#[test]
fn what_precedes_the_damage_can_be_salvaged_and_imported() {
    let (temp, dir) = filled(5);
    tamper(&dir, |db| drop(db.remove(layout::piece_key(Seq(4), 0)).unwrap()));
    let mut text = Vec::new();
    let salvaged = salvage(&dir, &mut text).unwrap();
    assert_eq!((salvaged.last, salvaged.acknowledged), (Seq(3), Seq(5)));
    assert!(matches!(salvaged.stopped_by, Some(StoreError::Damaged { seq: Seq(4), .. })));
    let rebuilt = SledStore::init(&temp.path().join("rebuilt"), cluster()).unwrap();
    let imported = crate::import(&rebuilt, std::io::Cursor::new(text)).unwrap();
    assert_eq!((imported.last, imported.term), (Seq(3), Term(2)));
    assert_eq!(rebuilt.read(Seq(2), 9).unwrap(), [(Seq(3), b"record 2".to_vec())]);
}

#[test]
fn the_marker_never_runs_ahead_and_always_catches_up() {
    let (_temp, dir) = filled(2);
    // As after a kill between the database's write and the marker's.
    let (batch, head) = {
        let engine = Engine::open(&dir.join("journal"), Sync::Full).unwrap();
        let head = engine.head(&cluster()).unwrap();
        layout::append_batch(&cluster(), &head, &[b"three".to_vec()]).unwrap()
    };
    tamper(&dir, |db| db.apply_batch(batch).unwrap());
    assert_eq!(SledStore::open(&dir).unwrap().last().unwrap(), Seq(3));
    let (_, _, mark) = Marker::open(&Folder::new(&dir), Sync::Full).unwrap();
    assert_eq!(mark, Mark::of(&head));
}

#[test]
fn no_page_outgrows_the_log() {
    let temp = tempfile::tempdir().unwrap();
    let store = SledStore::init(temp.path(), cluster()).unwrap();
    let term = store.campaign().unwrap();
    let mut last = Seq::ZERO;
    for round in 0..40 {
        let records: Vec<_> = (0..6).map(|n| vec![n; PIECE_BYTES_MAX * (1 + usize::from(n)) - round]).collect();
        last = store.append(term, last, &records).unwrap();
        let side_files = fs::read_dir(temp.path().join("journal/blobs")).unwrap().count();
        assert_eq!(side_files, 0, "round {round}");
    }
    last = store.append(term, last, &[vec![9; crate::RECORD_BYTES_MAX]]).unwrap();
    assert_eq!(fs::read_dir(temp.path().join("journal/blobs")).unwrap().count(), 0);
    drop(store);
    assert_eq!(SledStore::open(temp.path()).unwrap().last().unwrap(), last);
}

#[test]
fn a_failed_write_poisons_the_handle_until_it_is_opened_again() {
    let (_temp, dir) = filled(2);
    let store = SledStore::open(&dir).unwrap();
    let term = store.campaign().unwrap();
    // The side folder is listed in every write: without it the write fails after the records went in.
    fs::rename(dir.join("journal/blobs"), dir.join("journal/away")).unwrap();
    let error = store.append(term, Seq(2), &[b"three".to_vec()]).unwrap_err();
    assert!(error.is_unknown() && !error.is_retryable(), "{error:?}");
    fs::rename(dir.join("journal/away"), dir.join("journal/blobs")).unwrap();
    assert!(matches!(store.append(term, Seq(2), &[b"three".to_vec()]), Err(StoreError::Poisoned)));
    assert!(matches!(store.campaign(), Err(StoreError::Poisoned)));
    assert!(matches!(store.last(), Err(StoreError::Poisoned)));
    assert!(matches!(store.read(Seq(0), 9), Err(StoreError::Poisoned)));
    drop(store);
    let store = SledStore::open(&dir).unwrap();
    assert!(matches!(store.last().unwrap(), Seq(2 | 3)));
}
