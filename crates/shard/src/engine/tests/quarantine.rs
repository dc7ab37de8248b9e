//! Quarantine: renamed aside and back, over crashes, and nobody else is touched.

use super::commands::gone;
use super::*;
use crate::engine::{EngineError, Mode};
use shardlift_model::Token;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

fn token(step: u64) -> Token {
    Token::new(1, 1, step)
}

/// A node that has moved away, with objects of all kinds, and one below it that is served.
async fn retired() -> (tempfile::TempDir, Arc<Engine>, [NodeId; 2], Vec<ObjectKey>) {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let [node, below] = [node("acme"), node("acme/web")];
    let mut keys = Vec::new();
    for owner in [&node, &below] {
        engine.create_node(owner).await.unwrap();
        for kind in ObjectKind::ALL {
            keys.push(put(&engine, owner, kind, format!("{kind:?}").as_bytes()).await);
        }
    }
    let admission = engine.admission();
    let long = Duration::from_secs(60);
    let last = admission.fence(&node, token(1), long, long).await.unwrap().last;
    admission.seal(&node, token(2), last).await.unwrap();
    admission.retire(&node, token(3), gone("b")).await.unwrap();
    engine.detach(&node, token(4)).await.unwrap();
    keys.truncate(ObjectKind::ALL.len());
    (dir, engine, [node, below], keys)
}

async fn reopen(engine: Arc<Engine>, dir: &Path) -> Arc<Engine> {
    engine.close().await.unwrap();
    drop(engine);
    open(dir).await
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

const OWN: [&str; 6] = ["config", "data", "index", "keys", "locks", "snapshots"];

/// All is aside, readable for its owner alone, and the node below is whole.
async fn is_aside(engine: &Arc<Engine>, dir: &Path, [node, below]: &[NodeId; 2]) {
    assert!(matches!(engine.node(node).unwrap().mode, Mode::Quarantined { target } if target.as_str() == "b"));
    assert_eq!(names(&dir.join("acme")), ["web"]);
    assert_eq!(names(&dir.join(".quarantine/acme")), OWN);
    for name in OWN {
        let mode = fs::metadata(dir.join(".quarantine/acme").join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if name == "config" { 0o400 } else { 0o500 }, "{name}");
    }
    assert_eq!(engine.node(below).unwrap().mode, Mode::Serving);
    let read = reread(engine, below).await;
    assert!(read.mismatched.is_empty() && read.objects == engine.node(below).unwrap().objects, "INV-12");
    assert_eq!(engine.usage().alarms, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_renamed_aside_with_its_rows_and_back() {
    let (dir, engine, nodes, keys) = retired().await;
    let before = (engine.digest(&nodes[0]).await.unwrap(), engine.node(&nodes[0]).unwrap().bytes);
    for step in [5, 5, 6] {
        engine.quarantine(&nodes[0], token(step)).await.unwrap();
        is_aside(&engine, dir.path(), &nodes).await;
    }
    let engine = reopen(engine, dir.path()).await;
    is_aside(&engine, dir.path(), &nodes).await;
    let snapshot = engine.node(&nodes[0]).unwrap();
    assert_eq!((engine.digest(&nodes[0]).await.unwrap(), snapshot.bytes), before, "its bytes are still counted");
    assert!(snapshot.replica.is_some_and(|replica| replica.resumed) && snapshot.forward.is_none());
    for step in [7, 7, 8] {
        engine.restore(&nodes[0], token(step)).await.unwrap();
    }
    let engine = reopen(engine, dir.path()).await;
    assert!(matches!(engine.node(&nodes[0]).unwrap().mode, Mode::Retired { .. }));
    assert_eq!(engine.digest(&nodes[0]).await.unwrap(), before.0);
    for key in keys {
        assert!(engine.open_object(&nodes[0], key).await.unwrap().is_some(), "{key}");
    }
    assert_eq!((names(&dir.path().join("acme")).len(), engine.usage().alarms), (OWN.len() + 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_a_crash_broke_off_is_finished_at_the_next_start() {
    for moved in 0..=OWN.len() {
        let (dir, engine, nodes, _) = retired().await;
        let target = "b".parse().unwrap();
        // The record is durable; of the renames, only some came to pass.
        engine.set_mode(&nodes[0], token(5), Mode::Quarantined { target }).await.unwrap();
        let aside = dir.path().join(".quarantine/acme");
        fs::create_dir_all(&aside).unwrap();
        for name in &OWN[..moved] {
            fs::rename(dir.path().join("acme").join(name), aside.join(name)).unwrap();
        }
        let engine = reopen(engine, dir.path()).await;
        is_aside(&engine, dir.path(), &nodes).await;
        engine.restore(&nodes[0], token(6)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_a_crash_broke_off_can_be_done_again() {
    let (dir, engine, nodes, keys) = retired().await;
    engine.quarantine(&nodes[0], token(5)).await.unwrap();
    // Renamed back, not yet recorded.
    for name in &OWN[..3] {
        let aside = dir.path().join(".quarantine/acme").join(name);
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o700)).unwrap();
        fs::rename(aside, dir.path().join("acme").join(name)).unwrap();
    }
    engine.restore(&nodes[0], token(6)).await.unwrap();
    for key in &keys {
        assert!(engine.open_object(&nodes[0], *key).await.unwrap().is_some(), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_never_overwritten() {
    let (dir, engine, nodes, _) = retired().await;
    fs::create_dir_all(dir.path().join(".quarantine/acme")).unwrap();
    fs::write(dir.path().join(".quarantine/acme/config"), b"an older one").unwrap();
    let refused = engine.quarantine(&nodes[0], token(5)).await;
    assert!(matches!(&refused, Err(EngineError::Refused(text)) if text.contains("config")), "{refused:?}");
    assert_eq!(fs::read(dir.path().join(".quarantine/acme/config")).unwrap(), b"an older one");
    assert!(dir.path().join("acme/config").exists());
    let engine = reopen(engine, dir.path()).await;
    assert_eq!(engine.node(&nodes[1]).unwrap().mode, Mode::Serving, "the others are served all the same");
    fs::remove_file(dir.path().join(".quarantine/acme/config")).unwrap();
    engine.quarantine(&nodes[0], token(5)).await.unwrap();
    is_aside(&engine, dir.path(), &nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_writer_and_a_first_copy_are_never_put_into_quarantine() {
    let (dir, engine, [_, below], _) = retired().await;
    let copy = node("other");
    engine.start_incoming(&copy, token(1), "z".parse().unwrap(), "z:1".to_owned(), false).await.unwrap();
    for node in [&below, &copy] {
        for refused in [engine.quarantine(node, token(5)).await, engine.restore(node, token(6)).await] {
            assert!(matches!(refused, Err(EngineError::Refused(_))), "{node}: {refused:?}");
        }
    }
    let refused = engine.detach(&below, token(7)).await;
    assert!(matches!(refused, Err(EngineError::Refused(_))), "the writer follows nobody: {refused:?}");
    assert!(dir.path().join("acme/web/config").exists() && !dir.path().join(".quarantine").exists());
    let long = Duration::from_secs(60);
    let last = engine.admission().fence(&below, token(8), long, long).await.unwrap().last;
    engine.admission().seal(&below, token(9), last).await.unwrap();
    let refused = engine.quarantine(&below, token(10)).await;
    assert!(matches!(refused, Err(EngineError::Refused(_))), "sealed is the writer still: {refused:?}");
}
