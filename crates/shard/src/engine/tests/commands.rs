//! Commands: tokens, incoming copies, side data.

use super::*;
use crate::admission::Retirement;
use crate::engine::{
    Accepted, EngineError, FinalState, Hold, Mode, ReplicaPhase, SeenCertificate, SessionEnd, SessionRecord, Settings,
    SideData,
};
use futures::future::BoxFuture;
use shardlift_model::{ShardId, Token, UnixMillis};

pub(super) fn shard(name: &str) -> ShardId {
    name.parse().unwrap()
}

/// A retirement to a shard at seq 7 of its journal.
pub(super) fn gone(target: &str) -> Retirement {
    Retirement {
        target: shard(target),
        client_address: format!("{target}:1"),
        peer_address: format!("{target}:2"),
        from_seq: 7,
    }
}

const NOTHING: FinalState = FinalState { seq: 0, root: Sha256([0; 32]), objects: 0, bytes: 0, damaged: 0 };

/// Every command there is; a new one belongs here.
fn commands(
    engine: &Arc<Engine>,
    node: &NodeId,
    token: Token,
) -> Vec<(&'static str, BoxFuture<'static, Option<EngineError>>)> {
    let lease = Duration::from_secs(5);
    macro_rules! command {
        ($name:literal, |$engine:ident, $node:ident| $call:expr) => {{
            let ($engine, $node) = (Arc::clone(engine), node.clone());
            let run: BoxFuture<'static, Option<EngineError>> = Box::pin(async move { $call.await.err() });
            ($name, run)
        }};
    }
    vec![
        command!("accept_token", |e, n| e.accept_token(&n, token)),
        command!("configure", |e, n| e.configure(&n, token, Settings::default())),
        command!("offer", |e, n| e.offer(&n, token, shard("b"))),
        command!("end_legacy_credentials", |e, n| e.end_legacy_credentials(&n, token)),
        command!("start_incoming", |e, n| e.start_incoming(&n, token, shard("a"), "a:1".to_owned(), false)),
        command!("discard", |e, n| e.discard(&n, token)),
        command!("set_mode", |e, n| e.set_mode(&n, token, Mode::Serving)),
        command!("fence", |e, n| e.admission().fence(&n, token, lease, lease)),
        command!("renew", |e, n| e.admission().renew(&n, token, lease)),
        command!("unfence", |e, n| e.admission().unfence(&n, token)),
        command!("seal", |e, n| e.admission().seal(&n, token, NOTHING)),
        command!("promote", |e, n| e.admission().promote(&n, token, NOTHING, None)),
        command!("retire", |e, n| e.admission().retire(&n, token, gone("b"))),
        command!("detach", |e, n| e.detach(&n, token)),
        command!("quarantine", |e, n| e.quarantine(&n, token)),
        command!("restore", |e, n| e.restore(&n, token)),
        command!("take_stock", |e, n| e.admission().take_stock(&n, token)),
        command!("depose", |e, n| e.admission().depose(&n, token)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_refuses_a_stale_token_before_and_after_a_restart() {
    let (dir, engine, node) = store().await;
    engine.accept_token(&node, Token::new(2, 5, 5)).await.unwrap();
    let mut engine = engine;
    for round in 0..2 {
        for stale in [Token::new(1, 9, 9), Token::new(2, 4, 9), Token::new(2, 5, 4)] {
            for (name, command) in commands(&engine, &node, stale) {
                // INV-03: nothing lower than what was persisted.
                let error = command.await;
                let highest = Token::new(2, 5, 5);
                assert!(
                    matches!(error, Some(EngineError::StaleToken { highest: h }) if h == highest),
                    "round {round}, {name} with {stale}: {error:?}"
                );
            }
        }
        let snapshot = engine.node(&node).unwrap();
        assert_eq!((snapshot.mode, snapshot.token, snapshot.offered_to), (Mode::Serving, Token::new(2, 5, 5), None));
        engine.close().await.unwrap();
        drop(engine);
        engine = open(dir.path()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_persists_its_token_even_when_it_is_refused() {
    let (_dir, engine, node) = store().await;
    for step in 1..=18 {
        let token = Token::new(1, 1, step as u64);
        let (name, command) = commands(&engine, &node, token).remove(step - 1);
        let outcome = command.await;
        assert!(outcome.as_ref().is_none_or(EngineError::is_refusal), "{name}: {outcome:?}");
        assert_eq!(engine.node(&node).unwrap().token, token, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equal_token_is_a_repetition_with_the_same_outcome() {
    let (_dir, engine, node) = store().await;
    let token = Token::new(1, 1, 1);
    assert_eq!(engine.offer(&node, token, shard("b")).await.unwrap(), Accepted::New);
    assert_eq!(engine.offer(&node, token, shard("b")).await.unwrap(), Accepted::Repeated);
    assert_eq!(engine.node(&node).unwrap().offered_to, Some(shard("b")));
}

async fn incoming(engine: &Arc<Engine>, node: &NodeId) {
    let token = Token::new(1, 1, 1);
    engine.start_incoming(node, token, shard("a"), "a:1".to_owned(), false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incoming_copy_takes_pulled_objects_and_no_clients() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let node = node("acme/web");
    incoming(&engine, &node).await;
    // INV-04: not even past admission.
    let key = record(ObjectKind::Data, b"client").key;
    let refused = put_as(&engine, &node, key, b"client").await;
    assert!(matches!(refused, Err(PutError::Engine(EngineError::NotWritable { .. }))), "{refused:?}");
    assert!(!engine.layout.file(&node, &key).exists());
    assert!(matches!(engine.create_node(&node).await, Err(EngineError::NotWritable { .. })));
    let good = record(ObjectKind::Data, b"good");
    let wrong = record(ObjectKind::Data, b"wanted");
    let config = record(ObjectKind::Config, b"config");
    let batch = vec![(good, Bytes::from("good")), (wrong, Bytes::from("found")), (config, Bytes::from("config"))];
    let outcomes = engine.put_replica_batch(&node, batch.clone(), false).await.unwrap();
    assert_eq!((outcomes[0].as_ref().unwrap(), outcomes[2].as_ref().unwrap()), (&good, &config));
    assert!(matches!(outcomes[1], Err(PutError::HashMismatch { found }) if found == hash(b"found")));
    assert!(matches!(
        engine.put_replica(&node, wrong, Bytes::from("found"), false).await,
        Err(PutError::HashMismatch { .. })
    ));
    let kept = engine.put_replica(&node, wrong, Bytes::from("found"), true).await.unwrap();
    assert!(kept.is_damaged() && kept.sha256 == hash(b"found"));
    let seq = engine.node(&node).unwrap().seq;
    engine.put_replica_batch(&node, batch, false).await.unwrap();
    assert_eq!(engine.node(&node).unwrap().seq, seq, "a repetition changes nothing");
    engine.apply_replica_delete(&node, wrong.key).await.unwrap();
    let gone = || std::collections::BTreeSet::from([good.key]);
    engine.apply_replica_deletes(&node, gone(), 7).await.unwrap();
    engine.put_replica(&node, good, Bytes::from("good"), false).await.unwrap();
    assert!(engine.apply_replica_deletes(&node, gone(), 6).await.is_err(), "both or neither");
    engine
        .update_replica(&node, |replica| {
            replica.phase = ReplicaPhase::Following;
            Ok(())
        })
        .await
        .unwrap();
    engine.close().await.unwrap();
    drop(engine);
    let engine = open(dir.path()).await;
    let snapshot = engine.node(&node).unwrap();
    let replica = snapshot.replica.unwrap();
    assert_eq!(
        (replica.applied_seq, replica.phase, snapshot.objects, snapshot.damaged),
        (7, ReplicaPhase::Following, 2, 0)
    );
    assert!(temps(dir.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serving_node_takes_nothing_from_a_source() {
    let (_dir, engine, node) = store().await;
    let object = record(ObjectKind::Data, b"pulled");
    put(&engine, &node, ObjectKind::Data, b"mine").await;
    let mine = record(ObjectKind::Data, b"mine").key;
    let pulled = Bytes::from("pulled");
    assert!(engine.put_replica_batch(&node, vec![(object, pulled.clone())], false).await.is_err());
    assert!(engine.put_replica(&node, object, pulled, false).await.is_err());
    assert!(engine.apply_replica_delete(&node, mine).await.is_err());
    assert!(engine.apply_replica_deletes(&node, [mine].into(), 1).await.is_err());
    assert!(engine.merge_side_data(&node, SideData::default()).await.is_err());
    let over = engine.start_incoming(&node, Token::new(1, 1, 1), shard("a"), "a:1".to_owned(), false).await;
    assert!(matches!(over, Err(EngineError::Refused(_))));
    // INV-07, INV-12: a served node is not discarded.
    assert!(matches!(engine.discard(&node, Token::new(1, 1, 2)).await, Err(EngineError::Refused(_))));
    assert!(engine.layout.file(&node, &mine).exists());
    assert_eq!(engine.node(&node).unwrap().seq, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_copy_leaves_its_token_and_its_neighbour() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let [copy, neighbour] = [node("acme"), node("acme/web")];
    engine.create_node(&neighbour).await.unwrap();
    let theirs = put(&engine, &neighbour, ObjectKind::Data, b"theirs").await;
    incoming(&engine, &copy).await;
    engine.put_replica(&copy, record(ObjectKind::Data, b"ours"), Bytes::from("ours"), false).await.unwrap();
    std::fs::write(dir.path().join("acme/index/notes.txt"), b"by hand").unwrap();
    let token = Token::new(1, 1, 2);
    assert_eq!(engine.discard(&copy, token).await.unwrap(), Accepted::New);
    assert_eq!(engine.discard(&copy, token).await.unwrap(), Accepted::Repeated);
    let snapshot = engine.node(&copy).unwrap();
    assert_eq!((snapshot.mode, snapshot.token, snapshot.objects), (Mode::Discarded, token, 0));
    assert!(!dir.path().join("acme/data").exists() && !dir.path().join("acme/config").exists());
    assert!(dir.path().join("acme/index/notes.txt").exists(), "what is not an object stays");
    assert!(engine.open_object(&neighbour, theirs).await.unwrap().is_some());
    assert!(reread(&engine, &neighbour).await.mismatched.is_empty());
    // It can come again.
    engine.start_incoming(&copy, Token::new(1, 2, 1), shard("a"), "a:1".to_owned(), false).await.unwrap();
    engine.put_replica(&copy, record(ObjectKind::Data, b"ours"), Bytes::from("ours"), false).await.unwrap();
    assert_eq!(engine.usage().nodes, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn side_data_moves_and_certificates_are_written_at_most_once_a_minute() {
    let (dir, engine, source) = store().await;
    let at = |minute: u64| UnixMillis(1_000_000 + minute * 60_000);
    engine.record_certificate(&source, "legacy", "0a", at(0)).await.unwrap();
    engine.record_certificate(&source, "legacy", "0a", UnixMillis(at(0).0 + 30_000)).await.unwrap();
    assert_eq!(engine.node(&source).unwrap().seen_certificates[0].last_seen, at(0));
    engine.record_certificate(&source, "legacy", "0a", at(2)).await.unwrap();
    let session = SessionRecord {
        started_at: at(0),
        ended_at: at(1),
        end: SessionEnd::LockDeleted,
        objects_put: 3,
        bytes_put: 9,
        objects_deleted: 0,
        bytes_read: 0,
        errors: 0,
        snapshots_put: 1,
    };
    engine.record_session(&source, session.clone()).await.unwrap();
    let hold = Hold { id: "h".to_owned(), reason: "court".to_owned(), placed_at: at(0) };
    let settings = Settings { append_only: true, holds: vec![hold], ..Settings::default() };
    engine.set_settings(&source, settings).await.unwrap();
    let side = engine.side_data(&source).await.unwrap();
    let target = node("acme/other");
    incoming(&engine, &target).await;
    for _ in 0..2 {
        engine.merge_side_data(&target, side.clone()).await.unwrap();
    }
    engine.close().await.unwrap();
    drop(engine);
    let engine = open(dir.path()).await;
    let moved = engine.side_data(&target).await.unwrap();
    assert_eq!(moved, side);
    assert_eq!(moved.sessions, [session]);
    let seen =
        SeenCertificate { issuer: "legacy".to_owned(), serial: "0a".to_owned(), first_seen: at(0), last_seen: at(2) };
    assert_eq!(moved.seen_certificates, [seen]);
    assert!(engine.is_append_only(&target) && moved.settings.holds.len() == 1);
    let long = Settings {
        holds: vec![Hold { id: "x".repeat(2000), reason: String::new(), placed_at: at(0) }],
        ..Settings::default()
    };
    assert!(matches!(engine.set_settings(&target, long).await, Err(EngineError::Refused(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_are_done_when_they_are_recorded_and_a_close_waits_for_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let node = node("acme/web");
    incoming(&engine, &node).await;
    let objects: Vec<_> = (0..200_u32)
        .map(|number| {
            let data = number.to_be_bytes();
            (record(ObjectKind::Data, &data), Bytes::copy_from_slice(&data))
        })
        .collect();
    let keys: std::collections::BTreeSet<_> = objects.iter().map(|(record, _)| record.key).collect();
    engine.put_replica_batch(&node, objects, false).await.unwrap();
    engine.apply_replica_deletes(&node, keys.clone(), 7).await.unwrap();
    assert_eq!(engine.node(&node).unwrap().objects, 0);
    engine.close().await.unwrap();
    assert!(keys.iter().all(|key| !engine.layout.file(&node, key).exists()));
    drop(engine);
    let engine = open(dir.path()).await;
    assert_eq!(engine.compared_at_start(), 0, "it was closed in good order");
}
