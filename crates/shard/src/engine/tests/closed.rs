//! Starts after a close in good order: what is not looked at again, and what is all the same.

use super::*;
use crate::engine::EngineError;
use shardlift_model::ObjectKind;
use std::fs;

async fn reopen(engine: Arc<Engine>, dir: &Path) -> Arc<Engine> {
    engine.close().await.unwrap();
    drop(engine);
    open(dir).await
}

/// A store with an object of each kind in each of two nodes, closed in good order.
async fn closed() -> (tempfile::TempDir, NodeId) {
    let (dir, engine, node) = store().await;
    let other = super::node("web-2");
    assert!(engine.create_node(&other).await.unwrap());
    for node in [&node, &other] {
        for kind in ObjectKind::ALL {
            put(&engine, node, kind, b"bytes").await;
        }
    }
    assert_eq!(engine.compared_at_start(), 0, "there was nothing");
    engine.close().await.unwrap();
    (dir, node)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_compared_again_as_long_as_every_close_is_in_good_order() {
    let (dir, node) = closed().await;
    for round in 0..3_u32 {
        let engine = open(dir.path()).await;
        assert_eq!((engine.compared_at_start(), engine.node(&node).unwrap().objects), (0, 6 + u64::from(round)));
        put(&engine, &node, ObjectKind::Data, format!("round {round}").as_bytes()).await;
        engine.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_server_did_in_between_is_found() {
    for kind in [ObjectKind::Keys, ObjectKind::Index, ObjectKind::Snapshots, ObjectKind::Locks] {
        let (dir, node) = closed().await;
        let added = record(kind, b"added");
        let folder = dir.path().join("acme/web").join(kind.as_str());
        fs::write(folder.join(added.key.name()), b"added").unwrap();
        let engine = open(dir.path()).await;
        assert_eq!(engine.compared_at_start(), 1, "{kind:?}: this node alone");
        assert!(engine.open_object(&node, added.key).await.unwrap().is_some(), "{kind:?}");
        engine.close().await.unwrap();
        fs::remove_file(folder.join(record(kind, b"bytes").key.name())).unwrap();
        let engine = open(dir.path()).await;
        assert_eq!((engine.compared_at_start(), engine.node(&node).unwrap().missing), (1, 1), "{kind:?}");
        // What is known to be wrong is looked at each time, until it is right.
        let engine = reopen(engine, dir.path()).await;
        assert_eq!((engine.compared_at_start(), engine.node(&node).unwrap().missing), (1, 1), "{kind:?}");
        put_as(&engine, &node, record(kind, b"bytes").key, b"bytes").await.unwrap();
        let engine = reopen(engine, dir.path()).await;
        assert_eq!((engine.compared_at_start(), engine.node(&node).unwrap().missing), (0, 0), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_folder_is_gone_or_another_one_is_compared() {
    let (dir, node) = closed().await;
    fs::rename(dir.path().join("acme/web"), dir.path().join(".elsewhere")).unwrap();
    let engine = open(dir.path()).await;
    assert_eq!((engine.compared_at_start(), engine.node(&node).unwrap().missing), (1, 6));
    engine.close().await.unwrap();
    fs::remove_dir_all(dir.path().join("acme/web")).unwrap();
    fs::rename(dir.path().join(".elsewhere"), dir.path().join("acme/web")).unwrap();
    let engine = open(dir.path()).await;
    assert_eq!((engine.compared_at_start(), engine.node(&node).unwrap().missing), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_stands_for_one_start_and_half_a_note_for_none() {
    let (dir, _) = closed().await;
    let note = dir.path().join(".shardlift/closed.json");
    let text = fs::read(&note).unwrap();
    let engine = open(dir.path()).await;
    assert!(!note.exists(), "gone before anything else was written");
    engine.close().await.unwrap();
    // As if the process had been killed after that start.
    fs::remove_file(&note).unwrap();
    let engine = open(dir.path()).await;
    assert_eq!(engine.compared_at_start(), 2);
    engine.close().await.unwrap();
    for length in [0, 1, text.len() / 2, text.len() - 1] {
        fs::write(&note, &text[..length]).unwrap();
        let engine = open(dir.path()).await;
        assert_eq!(engine.compared_at_start(), 2, "{length} bytes of {}", text.len());
        engine.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_half_done_at_the_close_is_compared() {
    let (dir, node) = closed().await;
    let engine = open(dir.path()).await;
    let mut upload = engine.begin_put(&node, record(ObjectKind::Data, b"half").key, Some(4)).await.unwrap();
    upload.write(Bytes::from_static(b"ha")).await.unwrap();
    let finished = {
        let key = record(ObjectKind::Data, b"late").key;
        let mut upload = engine.begin_put(&node, key, Some(4)).await.unwrap();
        upload.write(Bytes::from_static(b"late")).await.unwrap();
        upload
    };
    engine.close().await.unwrap();
    let late = finished.finish().await;
    assert!(matches!(late, Err(PutError::Engine(EngineError::Stopped))), "{late:?}");
    drop((upload, engine));
    assert_eq!(open(dir.path()).await.compared_at_start(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_section_that_failed_leaves_a_doubt() {
    let (dir, node) = closed().await;
    let engine = open(dir.path()).await;
    let refused = put_as(&engine, &node, ObjectKey::Config, b"another config").await;
    assert!(matches!(refused, Err(PutError::Exists)), "{refused:?}");
    let engine = reopen(engine, dir.path()).await;
    assert_eq!(engine.compared_at_start(), 1);
    assert_eq!(reopen(engine, dir.path()).await.compared_at_start(), 0);
}
