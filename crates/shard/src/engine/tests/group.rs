//! Small objects that are stored together: under their own names, and whole where there is a file of that name.

use super::{hash, node, open, record, temps};
use crate::engine::Engine;
use bytes::Bytes;
use shardlift_model::{NodeId, ObjectKind, ObjectRecord, Token};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

/// More than are made durable one by one.
const MANY: usize = 40;

fn group(objects: usize) -> Vec<(ObjectRecord, Bytes)> {
    let object = |at: usize| {
        let data = format!("object {at}").into_bytes();
        (record(ObjectKind::Data, &data), Bytes::from(data))
    };
    (0..objects).map(object).collect()
}

async fn incoming(engine: &Arc<Engine>) -> NodeId {
    let node = node("acme/copy");
    let source = "a".parse().unwrap();
    engine.start_incoming(&node, Token::new(1, 1, 1), source, "a:1".to_owned(), false).await.unwrap();
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_an_earlier_attempt_has_left_is_replaced_whole() {
    for objects in [3, MANY] {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path()).await;
        let node = incoming(&engine).await;
        let group = group(objects);
        let path = engine.layout.file(&node, &group[1].0.key);
        std::fs::write(&path, b"obj").unwrap();
        let half_written = std::fs::metadata(&path).unwrap().ino();
        for outcome in engine.put_replica_batch(&node, group.clone(), false).await.unwrap() {
            outcome.unwrap();
        }
        for (record, data) in &group {
            let stored = std::fs::read(engine.layout.file(&node, &record.key)).unwrap();
            assert_eq!((hash(&stored), stored.len()), (record.sha256, data.len()));
        }
        assert_ne!(std::fs::metadata(&path).unwrap().ino(), half_written, "nothing was written into it");
        assert!(temps(dir.path()).is_empty());
        engine.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_recorded_is_judged_by_its_hash_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let group = group(2);
    let (whole, half) = {
        let engine = open(dir.path()).await;
        let node = incoming(&engine).await;
        let paths = [0, 1].map(|at| engine.layout.file(&node, &group[at].0.key));
        std::fs::write(&paths[0], &group[0].1).unwrap();
        std::fs::write(&paths[1], &group[1].1[..3]).unwrap();
        // As after a crash: nothing says that the folder is as the index knows it.
        engine.close().await.unwrap();
        std::fs::remove_file(dir.path().join(".shardlift/closed.json")).unwrap();
        (paths[0].clone(), paths[1].clone())
    };
    let engine = open(dir.path()).await;
    let node = node("acme/copy");
    assert_eq!(engine.object(&node, group[0].0.key).await.unwrap(), Some(group[0].0));
    assert_eq!(engine.object(&node, group[1].0.key).await.unwrap(), None);
    assert!(whole.exists() && !half.exists());
    engine.close().await.unwrap();
}
