//! What a start makes of what it finds: adoption and every row of the reconciliation's table.

use super::*;
use crate::engine::tables::Op;
use crate::engine::writer::{Origin, Work};
use crate::engine::{EngineError, Mode};
use shardlift_model::Token;
use std::fs;

/// As after a crash: with nothing said of how it was left.
async fn reopen(engine: Arc<Engine>, dir: &Path) -> Arc<Engine> {
    engine.close().await.unwrap();
    drop(engine);
    fs::remove_file(dir.join(".shardlift/closed.json")).unwrap();
    open(dir).await
}

fn plain_repository(folder: &Path) {
    for kind in ["data/ab", "data/00", "index", "keys", "locks", "snapshots"] {
        fs::create_dir_all(folder.join(kind)).unwrap();
    }
    fs::write(folder.join("config"), b"sealed config").unwrap();
    for (kind, data) in [(ObjectKind::Keys, "key"), (ObjectKind::Snapshots, "snap"), (ObjectKind::Locks, "lock")] {
        let record = record(kind, data.as_bytes());
        fs::write(folder.join(kind.as_str()).join(record.key.name()), data).unwrap();
    }
    let pack = record(ObjectKind::Data, b"pack").key.name();
    fs::create_dir_all(folder.join("data").join(&pack[..2])).unwrap();
    fs::write(folder.join("data").join(&pack[..2]).join(&pack), b"pack").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_repositories_are_adopted_in_place_and_left_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    plain_repository(&dir.path().join("web-1"));
    plain_repository(&dir.path().join("acme/db"));
    fs::create_dir_all(dir.path().join("acme/not-a-repository")).unwrap();
    fs::write(dir.path().join(".htpasswd"), "x").unwrap();
    // Not objects of ours: other temp files, other names, a pack in the wrong folder, an empty pack.
    let stray = format!("{}.rest-server-temp123", "0".repeat(64));
    fs::write(dir.path().join("web-1/data/00").join(&stray), b"half").unwrap();
    fs::write(dir.path().join("web-1/index/README"), b"x").unwrap();
    fs::write(dir.path().join("web-1/data/ab").join("1".repeat(64)), b"x").unwrap();
    fs::write(dir.path().join("web-1/data/00").join("0".repeat(64)), b"").unwrap();
    let engine = open(dir.path()).await;
    let names: Vec<String> = engine.nodes_after(None, 10).iter().map(|node| node.node.to_string()).collect();
    assert_eq!(names, ["acme/db", "web-1"]);
    let web = node("web-1");
    let snapshot = engine.node(&web).unwrap();
    assert_eq!((snapshot.mode, snapshot.objects, snapshot.damaged), (Mode::Serving, 6, 1));
    assert!(snapshot.last_snapshot.is_some() && snapshot.newest_lock.is_some());
    let config = engine.object(&web, ObjectKey::Config).await.unwrap().unwrap();
    assert_eq!(config.sha256, hash(b"sealed config"));
    assert_eq!(fs::read(dir.path().join("web-1/data/00").join(&stray)).unwrap(), b"half");
    let before = (engine.digest(&web).await.unwrap(), snapshot.seq);
    let engine = reopen(engine, dir.path()).await;
    let after = (engine.digest(&web).await.unwrap(), engine.node(&web).unwrap().seq);
    assert_eq!(before, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_leaves_is_settled_at_the_next_start() {
    let (dir, engine, node) = store().await;
    let kept = put(&engine, &node, ObjectKind::Keys, b"kept").await;
    let deleted = put(&engine, &node, ObjectKind::Data, b"deleted").await;
    let missing = put(&engine, &node, ObjectKind::Data, b"missing").await;
    let shortened = put(&engine, &node, ObjectKind::Index, b"shortened").await;
    // A delete that was recorded but not carried out.
    let work =
        Work::Record { origin: Origin::Client, at: super::super::now(), ops: vec![Op::Delete(deleted)], applied: None };
    engine.writer.submit(&node, work).await.unwrap();
    let path = |key| engine.layout.file(&node, &key);
    let (deleted_path, missing_path, shortened_path) = (path(deleted), path(missing), path(shortened));
    assert!(deleted_path.exists());
    fs::remove_file(&missing_path).unwrap();
    fs::write(&shortened_path, b"short").unwrap();
    // An upload that has its name but no record, and one that has neither.
    let unrecorded = record(ObjectKind::Snapshots, b"unrecorded");
    fs::write(engine.layout.file(&node, &unrecorded.key), b"unrecorded").unwrap();
    let temp = engine.layout.temp(&node, &unrecorded.key).unwrap().0;
    let seq = engine.node(&node).unwrap().seq;
    let engine = reopen(engine, dir.path()).await;
    assert!(!deleted_path.exists() && !temp.exists());
    assert!(engine.open_object(&node, deleted).await.unwrap().is_none());
    assert!(engine.open_object(&node, kept).await.unwrap().is_some());
    assert!(engine.open_object(&node, unrecorded.key).await.unwrap().is_some());
    assert!(matches!(engine.open_object(&node, missing).await, Err(EngineError::Missing { .. })));
    let damaged = engine.object(&node, shortened).await.unwrap().unwrap();
    assert!(damaged.is_damaged() && damaged.size == 5 && damaged.sha256 == hash(b"short"));
    let snapshot = engine.node(&node).unwrap();
    assert_eq!((snapshot.seq, snapshot.missing, snapshot.damaged), (seq + 2, 1, 1));
    assert_eq!(engine.list(&node, ObjectKind::Data).await.unwrap().len(), 1, "missing is never deleted");
    let engine = reopen(engine, dir.path()).await;
    assert_eq!(engine.node(&node).unwrap().seq, seq + 2, "a second start finds nothing to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incoming_copy_keeps_only_what_is_proven_by_its_hash() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let node = node("acme/web");
    let source = "shard-a".parse().unwrap();
    engine.start_incoming(&node, Token::new(1, 1, 1), source, "a:1".to_owned(), false).await.unwrap();
    let good = record(ObjectKind::Data, b"good");
    let bad = record(ObjectKind::Data, b"bad");
    fs::write(engine.layout.file(&node, &good.key), b"good").unwrap();
    fs::write(engine.layout.file(&node, &bad.key), b"b4d").unwrap();
    fs::write(engine.layout.file(&node, &ObjectKey::Config), b"who knows").unwrap();
    let engine = reopen(engine, dir.path()).await;
    let page = engine.page_objects(&node, None, 10, true).await.unwrap();
    assert_eq!(page.objects, [good]);
    assert!(!engine.layout.file(&node, &bad.key).exists());
    assert!(matches!(engine.node(&node).unwrap().mode, Mode::Incoming { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_index_is_refused_and_not_taken_for_an_empty_one() {
    let (dir, engine, _) = store().await;
    engine.close().await.unwrap();
    fs::rename(dir.path().join(".shardlift/index.redb"), dir.path().join("elsewhere")).unwrap();
    let opened = Engine::open(EngineConfig::new(dir.path())).await;
    assert!(matches!(opened, Err(EngineError::State(_))), "{opened:?}");
    // Another store's index under this marker.
    let (other, engine, _) = store().await;
    engine.close().await.unwrap();
    fs::copy(other.path().join(".shardlift/index.redb"), dir.path().join(".shardlift/index.redb")).unwrap();
    let opened = Engine::open(EngineConfig::new(dir.path())).await;
    assert!(matches!(opened, Err(EngineError::State(_))), "{opened:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_folder_may_not_be_where_a_node_could_be() {
    let dir = tempfile::tempdir().unwrap();
    for state in ["state", "", "a/b"] {
        let config = EngineConfig { state: dir.path().join(state), ..EngineConfig::new(dir.path()) };
        assert!(matches!(Engine::open(config).await, Err(EngineError::State(_))), "{state}");
    }
    let absent = Engine::open(EngineConfig::new(dir.path().join("absent"))).await;
    assert!(matches!(absent, Err(EngineError::State(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_answers_that_it_has_stopped() {
    let (_dir, engine, node) = store().await;
    engine.close().await.unwrap();
    engine.close().await.unwrap();
    assert!(engine.stopped().is_cancelled());
    assert!(matches!(engine.delete(&node, ObjectKey::Config).await, Err(EngineError::Stopped)));
    assert!(matches!(engine.digest(&node).await, Err(EngineError::Stopped)));
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_go_away_in_the_middle_leave_index_and_folder_equal() {
    let (dir, engine, node) = store().await;
    for n in 0..60_u64 {
        let data = n.to_be_bytes();
        let storing = tokio::spawn({
            let (engine, node) = (Arc::clone(&engine), node.clone());
            async move {
                let key = record(ObjectKind::Data, &data).key;
                put_as(&engine, &node, key, &data).await.unwrap();
                engine.delete(&node, key).await.unwrap();
            }
        });
        tokio::time::sleep(Duration::from_micros(n * 97)).await;
        storing.abort();
    }
    let cell = engine.cell(&node).unwrap();
    let at_rest = || *cell.critical.borrow() == 0 && temps(dir.path()).is_empty() && engine.space.promised() == (0, 0);
    eventually("what had begun has ended", at_rest).await;
    let before = (engine.digest(&node).await.unwrap(), engine.node(&node).unwrap().objects);
    drop(cell);
    let engine = reopen(engine, dir.path()).await;
    assert_eq!(before, (engine.digest(&node).await.unwrap(), engine.node(&node).unwrap().objects));
}
