//! Every length arrives as it was, whichever way it is written, and a full disk is told before anything is written.

use super::*;
use crate::engine::tests::{hash, node, record, temps};
use crate::engine::{Engine, EngineConfig, ReplicaUpload};
use shardlift_model::{ByteCount, NodeId, ObjectKind, ObjectRecord, Token};
use std::path::Path;

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 31 + at / 257) % 251).unwrap()).collect()
}

async fn incoming(folder: &Path, capacity: Option<u64>) -> (Arc<Engine>, NodeId) {
    let config = EngineConfig { capacity: capacity.map(ByteCount), ..EngineConfig::new(folder) };
    let engine = Engine::open(config).await.unwrap();
    let node = node("acme/copy");
    let source = "a".parse().unwrap();
    engine.start_incoming(&node, Token::new(1, 1, 1), source, "a:1".to_owned(), false).await.unwrap();
    (engine, node)
}

/// Brings the bytes in pieces of a length that fits nothing.
async fn write(upload: &mut ReplicaUpload, data: &[u8]) -> Result<(), PutError> {
    let mut left = data;
    while !left.is_empty() {
        let room = upload.room();
        let (part, rest) = left.split_at(room.len().min(77_777).min(left.len()));
        room[..part.len()].copy_from_slice(part);
        upload.filled(part.len()).await?;
        left = rest;
    }
    Ok(())
}

async fn pull(engine: &Arc<Engine>, node: &NodeId, expected: ObjectRecord, data: &[u8]) -> Result<(), PutError> {
    let mut upload = engine.begin_put_replica(node, expected).await?;
    write(&mut upload, data).await?;
    let arrived = upload.complete().await?;
    assert_eq!((arrived.size(), arrived.sha256()), (data.len() as u64, hash(data)));
    arrived.keep(false).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_length_arrives_as_it_was_past_the_page_cache_and_through_it() {
    // One on a disk, one where nothing is a disk; either may or may not take direct writes.
    let disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    for folder in [disk, memory] {
        let (engine, node) = incoming(folder.path(), None).await;
        for length in [0, 1, 4095, 4096, 4097, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 4097] {
            let data = content(length);
            let object = record(ObjectKind::Data, &data);
            pull(&engine, &node, object, &data).await.unwrap();
            let mut found = Vec::new();
            let opened = engine.open_object(&node, object.key).await.unwrap().unwrap();
            let mut file = opened.file;
            tokio::io::AsyncReadExt::read_to_end(&mut file, &mut found).await.unwrap();
            assert!(found == data, "{} {length}", folder.path().display());
        }
        assert!(temps(folder.path()).is_empty());
        assert_eq!(engine.space.promised(), (0, 0));
        engine.close().await.unwrap();
    }
}

#[test]
fn a_file_system_that_refuses_direct_writes_in_the_middle_is_written_on_through_the_cache() {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let path = folder.path().join("file");
    let file = WriteFile::open(&path, shardlift_net::disk::How::New(0o600)).unwrap();
    if !file.set_direct(true).unwrap() {
        println!("SKIPPED: the fallback from direct writes: the file system here takes none");
        return;
    }
    let temp = Temp::new(path.clone());
    let mut half = Half { file, temp, hash: Context::new(&SHA256), length: 0, direct: true };
    let data = content(3 * 8192);
    // From memory at an odd place: what file systems answer with EINVAL.
    let begin = data.as_ptr().align_offset(ALIGNMENT) + 1;
    let odd = &data[begin..begin + 2 * ALIGNMENT];
    half.append(odd).unwrap();
    println!("written on {}", if half.direct { "all the same" } else { "through the cache" });
    half.append(b"tail").unwrap();
    assert!(!half.direct);
    half.file.sync().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), [odd, b"tail"].concat());
    assert_eq!(hash_of(half.hash).unwrap(), hash(&[odd, b"tail"].concat()));
}

#[tokio::test(flavor = "multi_thread")]
async fn space_is_promised_before_the_first_byte_and_given_back_at_every_end() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, node) = incoming(folder.path(), Some(3 << 20)).await;
    let data = content(2 << 20);
    let object = record(ObjectKind::Data, &data);
    let first = engine.begin_put_replica(&node, object).await.unwrap();
    let second =
        engine.begin_put_replica(&node, ObjectRecord { size: 2 << 20, ..record(ObjectKind::Data, b"2") }).await;
    assert!(matches!(second, Err(PutError::DiskFull)), "all of it is promised, though not a byte has come");
    drop(first);
    // More than announced is promised as it comes.
    let mut longer = engine.begin_put_replica(&node, ObjectRecord { size: 1, ..object }).await.unwrap();
    write(&mut longer, &data).await.unwrap();
    let over = write(&mut longer, &data).await;
    assert!(matches!(over, Err(PutError::DiskFull)), "{over:?}");
    drop(longer);
    let settled = || engine.space.promised() == (0, 0) && temps(folder.path()).is_empty();
    crate::engine::tests::eventually("nothing is left of what was dropped", settled).await;
    pull(&engine, &node, object, &data).await.unwrap();
    assert_eq!(engine.space.promised(), (0, 0));
    engine.close().await.unwrap();
}
