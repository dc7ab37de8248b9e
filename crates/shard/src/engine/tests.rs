//! Tests of the engine, and what they and the tests of admission share.

mod activity;
mod closed;
mod commands;
mod crash;
mod deep_verify;
mod group;
mod objects;
mod quarantine;
mod restart;
mod scale;
pub(crate) mod space;

use super::reread::{Finding, Walk};
use super::{Engine, EngineConfig, Put, PutError, tables};
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use shardlift_model::{NodeId, ObjectKey, ObjectKind, ObjectRecord, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn hash(data: &[u8]) -> Sha256 {
    Sha256(digest(&SHA256, data).as_ref().try_into().unwrap())
}

/// The record that bytes have when they are stored under their own name.
pub(crate) fn record(kind: ObjectKind, data: &[u8]) -> ObjectRecord {
    let sha256 = hash(data);
    let key = if kind == ObjectKind::Config { ObjectKey::Config } else { ObjectKey::Named(kind, sha256) };
    ObjectRecord { key, size: data.len() as u64, sha256 }
}

pub(crate) fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub(crate) async fn open(data: &Path) -> Arc<Engine> {
    Engine::open(EngineConfig::new(data)).await.unwrap()
}

/// A fresh store with one serving node `acme/web`.
pub(crate) async fn store() -> (tempfile::TempDir, Arc<Engine>, NodeId) {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let node = node("acme/web");
    assert!(engine.create_node(&node).await.unwrap());
    (dir, engine, node)
}

pub(crate) async fn put_as(engine: &Arc<Engine>, node: &NodeId, key: ObjectKey, data: &[u8]) -> Result<Put, PutError> {
    let mut upload = engine.begin_put(node, key, Some(data.len() as u64)).await?;
    for part in data.chunks(100_000) {
        upload.write(Bytes::copy_from_slice(part)).await?;
    }
    upload.finish().await
}

pub(crate) async fn put(engine: &Arc<Engine>, node: &NodeId, kind: ObjectKind, data: &[u8]) -> ObjectKey {
    let key = record(kind, data).key;
    assert_eq!(put_as(engine, node, key, data).await.unwrap(), Put::Created);
    key
}

/// The index forgets an object without a word in the journal, as after a start with an older index: no digest is kept over that.
pub(crate) fn lose_row(engine: &Engine, node: &NodeId, key: ObjectKey) {
    let db = engine.db().unwrap();
    let write = db.begin_write().unwrap();
    {
        let mut objects = write.open_table(tables::OBJECTS).unwrap();
        assert!(objects.remove(tables::object_key(node, &key).as_slice()).unwrap().is_some());
    }
    write.commit().unwrap();
    engine.digests.forget_all();
}

/// What reading all objects of a node again has shown.
pub(crate) struct Reread {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    pub(crate) mismatched: Vec<ObjectKey>,
}

/// Reads all objects of a node again, with nothing recorded of how far it is.
pub(crate) async fn reread(engine: &Arc<Engine>, node: &NodeId) -> Reread {
    let (cell, pace) = (engine.cell(node).unwrap(), engine.readers.pace(node, 0));
    let mut walk = Walk::new(engine, &cell, None);
    let mut found = Reread { objects: 0, bytes: 0, mismatched: Vec::new() };
    while let Some(record) = walk.next().await.unwrap() {
        let Some(read) = walk.read(&record, &pace).await.unwrap() else { continue };
        found.objects += 1;
        found.bytes += read.bytes;
        if matches!(read.finding, Finding::Damaged | Finding::Missing) {
            found.mismatched.push(read.key);
        }
    }
    found
}

/// Waits for something that other threads bring about; gives up after ten seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never came to pass: {what}");
}

/// All half-written files below a folder.
pub(crate) fn temps(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != ".shardlift" {
            found.extend(temps(&path));
        } else if name.contains(".shardlift-") {
            found.push(path);
        }
    }
    found
}
