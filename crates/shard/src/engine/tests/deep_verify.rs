//! Deep verify: what it finds and tells apart, how it goes on after a restart, and what it waits for.

use super::*;
use crate::engine::tables::Op;
use crate::engine::writer::{Origin, Work};
use crate::engine::{DeepVerifyId, DeepVerifyRecord, DeepVerifyState, EngineError, Mode, Rot};
use shardlift_model::{ByteCount, Token};

fn token(step: u64) -> Token {
    Token::new(1, 1, step)
}

fn state(engine: &Engine, node: &NodeId) -> Option<DeepVerifyState> {
    engine.node(node).unwrap().deep_verify
}

/// Waits for the end of a run under a token of this step.
async fn ended(engine: &Arc<Engine>, node: &NodeId, step: u64, run: u64) -> DeepVerifyRecord {
    let id = DeepVerifyId::new(token(step), run);
    eventually("all is read", || engine.deep_verified(node, id).is_some()).await;
    engine.deep_verified(node, id).unwrap()
}

async fn verified(engine: &Arc<Engine>, node: &NodeId, step: u64) -> DeepVerifyRecord {
    engine.deep_verify(node, token(step), 0, 0).await.unwrap();
    ended(engine, node, step, 0).await
}

async fn fill(engine: &Arc<Engine>, node: &NodeId, packs: u32) -> Vec<ObjectKey> {
    let mut keys = Vec::new();
    for n in 0..packs {
        keys.push(put(engine, node, ObjectKind::Data, &[&n.to_be_bytes()[..], &[7; 1000]].concat()).await);
    }
    keys.sort();
    keys
}

fn rot(engine: &Engine, node: &NodeId, key: ObjectKey) {
    let path = engine.layout.file(node, &key);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[2] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_and_loss_are_found_counted_and_named() {
    let (_dir, engine, node) = store().await;
    let keys = fill(&engine, &node, 20).await;
    let config = put(&engine, &node, ObjectKind::Config, b"the config").await;
    let good = verified(&engine, &node, 1).await;
    assert_eq!((good.objects_read, good.bytes_read, good.damaged, good.missing), (21, 20 * 1004 + 10, 0, 0));
    assert_eq!((good.names, good.failure), (vec![], None));
    rot(&engine, &node, keys[3]);
    rot(&engine, &node, config);
    std::fs::remove_file(engine.layout.file(&node, &keys[9])).unwrap();
    let bad = verified(&engine, &node, 2).await;
    assert_eq!((bad.damaged, bad.missing, bad.known_damaged, bad.objects_read), (2, 1, 0, 21));
    assert_eq!(bad.names, [config, keys[3], keys[9]]);
    let counts = engine.read_counts();
    assert_eq!((counts.damaged, counts.missing), (2, 1));
    assert_eq!(counts.direct_bytes + counts.cached_bytes, 39 * 1004 + 20, "{counts:?}");
    println!("{} bytes past the page cache, {} through it", counts.direct_bytes, counts.cached_bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arose_here_stays_apart_from_what_the_copy_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let node = node("acme/web");
    let source = "shard-a".parse().unwrap();
    engine.start_incoming(&node, token(1), source, "a:1".to_owned(), true).await.unwrap();
    let good: Vec<_> = [&b"one"[..], b"two"].map(|data| (record(ObjectKind::Data, data), data)).into();
    for (record, data) in &good {
        engine.put_replica(&node, *record, Bytes::copy_from_slice(data), false).await.unwrap();
    }
    let given = record(ObjectKind::Data, b"was good at the source once");
    engine.put_replica(&node, given, Bytes::from_static(b"and is not any more"), true).await.unwrap();
    let read = verified(&engine, &node, 2).await;
    assert_eq!((read.damaged, read.known_damaged, read.objects_read), (0, 1, 3));
    // A copy of another writer: its damage is an alarm here and no word in the journal.
    rot(&engine, &node, good[0].0.key);
    let read = verified(&engine, &node, 3).await;
    assert_eq!((read.damaged, read.known_damaged), (1, 1));
    engine.put_replica(&node, good[0].0, Bytes::from_static(b"one"), false).await.unwrap();

    // It becomes the writer with the damage that its final state names; what rots from then on is its own.
    let digest = engine.digest(&node).await.unwrap();
    let state = crate::engine::FinalState::new(&digest.0, digest.1);
    engine
        .update_replica(&node, move |replica| {
            (replica.phase, replica.applied_seq) = (crate::engine::ReplicaPhase::Complete, state.seq);
            Ok(())
        })
        .await
        .unwrap();
    engine.admission().promote(&node, Token::new(1, 2, 1), state, None).await.unwrap();
    rot(&engine, &node, good[1].0.key);
    for run in 0..3 {
        engine.deep_verify(&node, Token::new(1, 2, 2), run, 0).await.unwrap();
        let id = DeepVerifyId::new(Token::new(1, 2, 2), run);
        eventually("all is read", || engine.deep_verified(&node, id).is_some()).await;
        let read = engine.deep_verified(&node, id).unwrap();
        assert_eq!((read.damaged, read.known_damaged, read.names), (1, 1, vec![good[1].0.key]), "run {run}");
    }
    assert_eq!(engine.node(&node).unwrap().damaged, 2, "both are on record");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_run_again_changes_nothing_and_a_higher_one_begins_anew() {
    let (_dir, engine, node) = store().await;
    fill(&engine, &node, 5).await;
    let first = verified(&engine, &node, 3).await;
    // Again, by a later leader too.
    for again in [token(3), Token::new(2, 1, 3)] {
        engine.deep_verify(&node, again, 0, 0).await.unwrap();
        assert_eq!(state(&engine, &node).unwrap().record, first, "{again}");
    }
    engine.deep_verify(&node, Token::new(2, 1, 3), 1, 0).await.unwrap();
    let second = ended(&engine, &node, 3, 1).await;
    assert_eq!((second.run, second.objects_read), (1, 5));
    // INV-03: the token is one of the node's.
    let stale = engine.deep_verify(&node, Token::new(2, 1, 2), 9, 0).await;
    assert!(matches!(stale, Err(EngineError::StaleToken { .. })), "{stale:?}");
    let lower = engine.accept_token(&node, token(99)).await;
    assert!(matches!(lower, Err(EngineError::StaleToken { .. })), "{lower:?}");
    let unknown = engine.deep_verify(&super::node("nobody"), token(1), 0, 0).await;
    assert!(matches!(unknown, Err(EngineError::NodeUnknown(_))));
}

/// A store whose deep verifies read so fast.
async fn paced(dir: &Path, bytes_per_second: u64) -> Arc<Engine> {
    let config = EngineConfig { deep_verify_bytes_per_second: bytes_per_second, ..EngineConfig::new(dir) };
    Engine::open(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let node = node("acme/web");
    let engine = paced(dir.path(), 0).await;
    engine.create_node(&node).await.unwrap();
    let ops = 1200_u32;
    let keys = fill(&engine, &node, ops).await;
    rot(&engine, &node, keys[1]);
    // So slow that it is in the middle for long once two thirds have been recorded; an object costs a block of 4096 bytes.
    engine.deep_verify(&node, token(1), 0, 4096 * 400).await.unwrap();
    let recorded = |engine: &Engine| engine.cell(&node).unwrap().record().deep_verify.clone().unwrap();
    eventually("it is recorded how far it is", || recorded(&engine).objects_read >= 500).await;
    engine.close().await.unwrap();
    let left = recorded(&engine);
    assert!(left.ended_at.is_none() && left.after.is_some() && left.objects_read < 1200, "{left:?}");
    drop(engine);
    let engine = paced(dir.path(), 0).await;
    let read = ended(&engine, &node, 1, 0).await;
    assert_eq!((read.objects_read, read.bytes_read), (1200, 1200 * 1004), "each once");
    assert_eq!((read.damaged, &read.names[..]), (1, &keys[1..2]), "what was found before the restart is kept");
    let counts = engine.read_counts();
    let since = counts.direct_bytes + counts.cached_bytes;
    assert_eq!(since, (1200 - left.objects_read) * 1004, "and nothing is read twice");
    engine.close().await.unwrap();
    let again = paced(dir.path(), 0).await;
    assert_eq!(again.node(&node).unwrap().deep_verify.unwrap().record, read, "what has ended stays as it ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_read_at_once_share_the_limit_of_the_shard() {
    let dir = tempfile::tempdir().unwrap();
    let engine = paced(dir.path(), 4096 * 100).await;
    let nodes: Vec<NodeId> = (0..6).map(|n| super::node(&format!("n{n}"))).collect();
    for node in &nodes {
        engine.create_node(node).await.unwrap();
        fill(&engine, node, 25).await;
    }
    let started = std::time::Instant::now();
    for node in &nodes {
        engine.deep_verify(node, token(1), 0, u64::MAX).await.unwrap();
    }
    for node in &nodes {
        assert_eq!(ended(&engine, node, 1, 0).await.objects_read, 25);
    }
    // 150 objects of a block each at 100 blocks a second, less what may be used at once.
    let took = started.elapsed();
    assert!(took > Duration::from_millis(1200), "{took:?}");
    println!("150 objects at 100 a second took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_meanwhile_is_neither_read_nor_missing() {
    let (_dir, engine, node) = store().await;
    let keys = fill(&engine, &node, 60).await;
    // It waits for a seat with its page looked up already.
    let mut seats = Vec::new();
    while let Some(seat) = engine.readers.try_seat() {
        seats.push(seat);
    }
    engine.deep_verify(&node, token(1), 0, 0).await.unwrap();
    eventually("it waits", || state(&engine, &node).unwrap().waiting_for.starts_with("its turn")).await;
    for key in &keys[40..] {
        engine.delete(&node, *key).await.unwrap();
    }
    // One that is gone from the disk before the index says so.
    std::fs::remove_file(engine.layout.file(&node, &keys[39])).unwrap();
    let work = Work::Record {
        origin: Origin::Client,
        at: super::super::now(),
        ops: vec![Op::Delete(keys[39])],
        applied: None,
    };
    engine.writer.submit(&node, work).await.unwrap();
    drop(seats);
    let read = ended(&engine, &node, 1, 0).await;
    assert_eq!((read.objects_read, read.damaged, read.missing), (39, 0, 0));
    assert_eq!(engine.usage().alarms, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_the_end_of_a_fence_and_ends_with_a_quarantine() {
    let (_dir, engine, node) = store().await;
    let keys = fill(&engine, &node, 30).await;
    rot(&engine, &node, keys[29]);
    let admission = engine.admission();
    let lease = Duration::from_secs(30);
    let last = admission.fence(&node, token(1), lease, Duration::ZERO).await.unwrap().last;
    engine.deep_verify(&node, token(2), 0, 0).await.unwrap();
    eventually("it says so", || state(&engine, &node).unwrap().waiting_for == "the end of the fence").await;
    assert_eq!(engine.digest(&node).await.unwrap().1, last.seq, "a fenced node does not change");
    admission.unfence(&node, token(3)).await.unwrap();
    let read = ended(&engine, &node, 2, 0).await;
    assert_eq!((read.damaged, read.objects_read), (1, 30));

    let retired = Mode::Retired { target: "b".parse().unwrap() };
    engine.set_mode(&node, token(4), retired).await.unwrap();
    engine.deep_verify(&node, token(5), 0, 4096 * 20).await.unwrap();
    engine.quarantine(&node, token(6)).await.unwrap();
    let read = ended(&engine, &node, 5, 0).await;
    assert!(read.failure.as_deref().is_some_and(|failure| failure.contains("quarantined")), "{read:?}");
    assert_eq!(
        (read.missing, engine.node(&node).unwrap().missing),
        (0, 0),
        "files that were put aside are not missing"
    );
    assert_eq!(engine.record_rot(&node, keys[0]).await.unwrap(), Rot::None);
    let refused = engine.deep_verify(&node, token(7), 0, 0).await;
    assert!(matches!(refused, Err(EngineError::Refused(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_is_hashed_step_by_step_and_a_longer_file_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig { capacity: Some(ByteCount(1 << 30)), ..EngineConfig::new(dir.path()) };
    let engine = Engine::open(config).await.unwrap();
    let node = node("acme/web");
    engine.create_node(&node).await.unwrap();
    let large: Vec<u8> = (0..5_000_003_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let key = put(&engine, &node, ObjectKind::Data, &large).await;
    let read = verified(&engine, &node, 1).await;
    assert_eq!((read.bytes_read, read.damaged), (5_000_003, 0));
    let path = engine.layout.file(&node, &key);
    std::fs::write(path, [&large[..], &[0; 3_000_000]].concat()).unwrap();
    let read = verified(&engine, &node, 2).await;
    assert_eq!((read.bytes_read, read.damaged), (8_000_003, 1));
}
