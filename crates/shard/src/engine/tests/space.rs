//! Promises of space: quota, capacity, a full disk. Nothing promised is ever lost.

use super::*;
use crate::engine::Settings;
use proptest::prelude::*;
use shardlift_model::ByteCount;
use std::sync::atomic::Ordering;

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_kept_and_a_repetition_fits_even_when_it_is_used_up() {
    let (_dir, engine, node) = store().await;
    let settings = Settings { quota: Some(ByteCount(100)), ..Settings::default() };
    engine.set_settings(&node, settings).await.unwrap();
    let key = put(&engine, &node, ObjectKind::Data, &[1; 80]).await;
    let over = record(ObjectKind::Data, &[2; 30]).key;
    assert!(matches!(put_as(&engine, &node, over, &[2; 30]).await, Err(PutError::QuotaExceeded)));
    // Without a declared length the quota shows while the bytes come.
    let mut upload = engine.begin_put(&node, over, None).await.unwrap();
    upload.write(Bytes::from(vec![2; 20])).await.unwrap();
    assert!(matches!(upload.write(Bytes::from(vec![2; 10])).await, Err(PutError::QuotaExceeded)));
    drop(upload);
    assert_eq!(put_as(&engine, &node, key, &[1; 80]).await.unwrap(), Put::Identical);
    engine.delete(&node, key).await.unwrap();
    put(&engine, &node, ObjectKind::Data, &[3; 100]).await;
    assert_eq!(engine.space.promised(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_at_the_same_time_cannot_share_a_byte_of_quota() {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig { default_quota: Some(ByteCount(1000)), ..EngineConfig::new(dir.path()) };
    let engine = Engine::open(config).await.unwrap();
    let node = node("web");
    engine.create_node(&node).await.unwrap();
    let outcomes = futures::future::join_all((0..20_u8).map(|n| {
        let (engine, node) = (&engine, &node);
        async move { put_as(engine, node, record(ObjectKind::Data, &[n; 150]).key, &[n; 150]).await }
    }))
    .await;
    assert!(outcomes.iter().filter(|outcome| outcome.is_ok()).count() <= 6, "{outcomes:?}");
    assert!(engine.node(&node).unwrap().bytes <= 1000);
    assert_eq!(engine.space.promised(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_capacity_of_the_shard_is_kept_over_all_nodes() {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig { capacity: Some(ByteCount(100)), ..EngineConfig::new(dir.path()) };
    let engine = Engine::open(config).await.unwrap();
    let [a, b] = [node("a"), node("b")];
    for node in [&a, &b] {
        engine.create_node(node).await.unwrap();
    }
    put(&engine, &a, ObjectKind::Data, &[1; 60]).await;
    let key = record(ObjectKind::Data, &[1; 60]).key;
    assert!(matches!(put_as(&engine, &b, key, &[1; 60]).await, Err(PutError::DiskFull)));
    assert_eq!((engine.usage().capacity, engine.usage().free), (ByteCount(100), ByteCount(40)));
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Good,
    Wrong,
    Short,
    Dropped,
    Deleted,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn no_promise_leaks(
        steps in proptest::collection::vec((0_u8..12, 0_usize..400, 0_u8..5, any::<bool>()), 1..25)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (_dir, engine, node) = store().await;
            let settings = Settings { quota: Some(ByteCount(1500)), ..Settings::default() };
            engine.set_settings(&node, settings).await.unwrap();
            for (n, size, ending, declared) in steps {
                let ending = [Ending::Good, Ending::Wrong, Ending::Short, Ending::Dropped, Ending::Deleted][ending as usize];
                let data = vec![n; size];
                let key = record(ObjectKind::Data, &data).key;
                let length = declared.then_some(size as u64 + u64::from(matches!(ending, Ending::Short)));
                // Refusals over quota are part of the game; what counts is what they leave.
                if let Ok(mut upload) = engine.begin_put(&node, key, length).await {
                    let body = if matches!(ending, Ending::Wrong) { vec![n ^ 0x80; size] } else { data };
                    let written = upload.write(Bytes::from(body)).await.is_ok();
                    match ending {
                        Ending::Dropped => drop(upload),
                        _ if !written => drop(upload),
                        _ => drop(upload.finish().await),
                    }
                }
                if matches!(ending, Ending::Deleted) {
                    engine.delete(&node, key).await.unwrap();
                }
            }
            let cell = engine.cell(&node).unwrap();
            assert_eq!((engine.space.promised(), cell.reserved.load(Ordering::SeqCst)), ((0, 0), 0));
            let page = engine.page_objects(&node, None, usize::MAX, true).await.unwrap();
            let bytes: u64 = page.objects.iter().map(|record| record.size).sum();
            let snapshot = engine.node(&node).unwrap();
            assert_eq!((bytes, page.objects.len() as u64), (snapshot.bytes, snapshot.objects));
            assert_eq!(engine.nodes.used.load(Ordering::SeqCst), bytes);
            assert!(bytes <= 1500);
        });
    }
}

/// A small file system of its own, unmounted at the end.
pub(crate) struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// `None`, said aloud for this test, where mounting is not allowed.
    pub(crate) fn mount(folder: &Path, megabytes: u32, test: &str) -> Option<Self> {
        let size = format!("size={megabytes}m");
        let mut mount = std::process::Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder);
        let mounted = mount.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success());
        if !mounted {
            // Past the test runner, which keeps what a passing test prints to itself.
            let line = format!("SKIPPED: {test}: mounting a tmpfs needs root\n");
            std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
        }
        mounted.then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_uploads_and_still_takes_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let test = "a_full_disk_refuses_uploads_and_still_takes_deletes";
    let Some(_disk) = SmallDisk::mount(dir.path(), 48, test) else { return };
    let engine = open(dir.path()).await;
    let node = node("web");
    engine.create_node(&node).await.unwrap();
    let mut stored = Vec::new();
    let refused = loop {
        let data = vec![stored.len() as u8; 1 << 20];
        let key = record(ObjectKind::Data, &data).key;
        // Every other one without a length, so that the disk runs full under an upload too.
        let declared = (stored.len() % 2 == 0).then_some(data.len() as u64);
        let outcome = async {
            let mut upload = engine.begin_put(&node, key, declared).await?;
            upload.write(Bytes::from(data)).await?;
            upload.finish().await
        };
        match outcome.await {
            Ok(_) => stored.push(key),
            Err(error) => break error,
        }
        assert!(stored.len() < 48, "the disk never ran full");
    };
    assert!(matches!(refused, PutError::DiskFull), "{refused:?}");
    assert!(stored.len() > 10, "{}", stored.len());
    // Somebody else fills what is left: writing fails in the middle, and the store goes on.
    let ballast = dir.path().join("ballast");
    assert!(std::fs::write(&ballast, vec![0; 48 << 20]).is_err());
    assert_eq!(engine.usage().free, ByteCount(0));
    let replica = engine.begin_put(&node, record(ObjectKind::Data, b"x").key, Some(1)).await;
    assert!(matches!(replica, Err(PutError::DiskFull)));
    std::fs::remove_file(&ballast).unwrap();
    engine.delete(&node, stored.pop().unwrap()).await.unwrap();
    engine.delete(&node, stored.pop().unwrap()).await.unwrap();
    put(&engine, &node, ObjectKind::Index, b"fits again").await;
    assert!(temps(dir.path()).is_empty());
    assert_eq!(engine.space.promised(), (0, 0));
    engine.close().await.unwrap();
    drop(engine);
    let engine = open(dir.path()).await;
    assert_eq!(engine.node(&node).unwrap().objects, stored.len() as u64 + 1);
    engine.close().await.unwrap();
}
