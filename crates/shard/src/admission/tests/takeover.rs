//! Stock is taken of a copy whose writer is gone, and the writer is deposed: modes, tokens, what clients have in progress, restarts.

use super::*;
use crate::admission::Onward;
use crate::engine::Settings;
use shardlift_model::ShardId;

fn shard(name: &str) -> ShardId {
    name.parse().unwrap()
}

fn gone(from_seq: u64) -> Retirement {
    Retirement { target: shard("b"), client_address: "b:1".into(), peer_address: "b:2".into(), from_seq }
}

/// A node that was fenced and sealed for b.
async fn sealed() -> (tempfile::TempDir, Arc<Engine>, NodeId, FinalState) {
    let (dir, engine, node) = store().await;
    put(&engine, &node, ObjectKind::Data, b"kept").await;
    put(&engine, &node, ObjectKind::Locks, b"a lock").await;
    engine.offer(&node, token(1), shard("b")).await.unwrap();
    let last = fence(&engine, &node, 2).await.last;
    engine.admission().seal(&node, token(3), last).await.unwrap();
    (dir, engine, node, last)
}

async fn again(engine: Arc<Engine>, dir: &tempfile::TempDir) -> Arc<Engine> {
    engine.close().await.unwrap();
    drop(engine);
    open(dir.path()).await
}

async fn forwarded(engine: &Arc<Engine>, node: &NodeId) -> Onward {
    match engine.admission().enter(node, Access::Mutate).await {
        Entry::Forward(onward) => onward,
        other => panic!("not forwarded: {other:?}"),
    }
}

fn is_refused<T: std::fmt::Debug>(outcome: Result<T, EngineError>) -> bool {
    matches!(outcome, Err(EngineError::Refused(_) | EngineError::NotWritable { .. } | EngineError::DigestDiffers(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_node_has_in_stock_what_it_was_sealed_at() {
    let (dir, engine, node, last) = sealed().await;
    let parked = tokio::spawn({
        let (admission, node) = (engine.admission(), node.clone());
        async move { admission.enter(&node, Access::Read).await }
    });
    eventually("the request is parked", || engine.node(&node).unwrap().requests_in_flight == 1).await;
    let admission = engine.admission();
    assert_eq!(admission.take_stock(&node, token(4)).await.unwrap(), last);
    assert!(matches!(parked.await.unwrap(), Entry::Unavailable(Unavailable::Incoming)), "503, so that it comes again");
    for step in [4, 5] {
        assert_eq!(admission.take_stock(&node, token(step)).await.unwrap(), last, "the same answer for ever");
    }
    let late = admission.retire(&node, token(4), gone(7)).await;
    assert!(matches!(late, Err(EngineError::StaleToken { .. })), "INV-03: {late:?}");
    let engine = again(engine, &dir).await;
    let snapshot = engine.node(&node).unwrap();
    assert_eq!(snapshot.mode, Mode::Stocked { source: shard("b"), state: last });
    assert_eq!((snapshot.replica.unwrap().applied_seq, snapshot.offered_to), (last.seq, None));
    assert_eq!(engine.admission().take_stock(&node, token(6)).await.unwrap(), last);
    promoted_at_its_stock_alone(&engine, &node, last).await;
}

async fn promoted_at_its_stock_alone(engine: &Arc<Engine>, node: &NodeId, stock: FinalState) {
    let admission = engine.admission();
    let promote = |step, state| admission.promote(node, Token::new(1, 2, step), state, Some(shard("b")));
    for (step, other) in [
        (1, FinalState { seq: stock.seq + 1, ..stock }),
        (2, FinalState { root: Sha256([1; 32]), ..stock }),
        (3, FinalState { objects: stock.objects + 1, ..stock }),
    ] {
        assert!(matches!(promote(step, other).await, Err(EngineError::DigestDiffers(_))), "{other:?}");
        // INV-04.
        assert!(matches!(admission.enter(node, Access::Mutate).await, Entry::Unavailable(Unavailable::Incoming)));
    }
    promote(4, stock).await.unwrap();
    assert!(matches!(admission.enter(node, Access::Mutate).await, Entry::Admitted(_)));
    put(engine, node, ObjectKind::Data, b"new").await;
    assert!(is_refused(admission.take_stock(node, Token::new(1, 2, 5)).await), "the writer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_following_copy_stops_forwarding_and_nothing_changes_it_any_more() {
    let (dir, engine, node, _) = sealed().await;
    let admission = engine.admission();
    admission.retire(&node, token(4), gone(40)).await.unwrap();
    let key = record(ObjectKind::Data, b"followed");
    engine.put_replica(&node, key, Bytes::from("followed"), false).await.unwrap();
    engine.apply_replica_deletes(&node, [].into(), 41).await.unwrap();
    let onward = forwarded(&engine, &node).await;
    let taking = tokio::spawn({
        let (admission, node) = (engine.admission(), node.clone());
        async move { admission.take_stock(&node, token(5)).await }
    });
    onward.cancelled().cancelled().await;
    assert!(matches!(engine.node(&node).unwrap().mode, Mode::Stocked { .. }), "durable before anybody is sent away");
    assert!(!taking.is_finished(), "a forwarded request is on its way still");
    drop(onward);
    let stock = taking.await.unwrap().unwrap();
    assert_eq!((stock.seq, stock.objects), (41, 3), "seqs are those of the writer that is gone");
    assert!(matches!(admission.enter(&node, Access::Read).await, Entry::Unavailable(Unavailable::Incoming)));

    let other = record(ObjectKind::Data, b"late");
    assert!(engine.put_replica(&node, other, Bytes::from("late"), false).await.is_err());
    assert!(is_refused(engine.apply_replica_deletes(&node, [key.key].into(), 42).await));
    assert!(is_refused(engine.update_replica(&node, |_| Ok(())).await));
    for (what, refused) in [
        ("start", engine.start_incoming(&node, token(6), shard("b"), "b:2".into(), false).await),
        ("retire", admission.retire(&node, token(7), gone(7)).await),
        ("detach", engine.detach(&node, token(8)).await),
        ("quarantine", engine.quarantine(&node, token(9)).await),
        ("discard", engine.discard(&node, token(10)).await),
        ("depose", admission.depose(&node, token(11)).await),
        ("unfence", admission.unfence(&node, token(12)).await.map(|()| Accepted::New)),
    ] {
        assert!(is_refused(refused), "{what}");
    }
    engine.configure(&node, token(13), Settings::default()).await.unwrap();
    // A file that a crash has left is not taken for a part of it.
    std::fs::write(engine_file(&dir, &other.key), b"late").unwrap();
    let engine = again(engine, &dir).await;
    assert_eq!(engine.node(&node).unwrap().mode, Mode::Stocked { source: shard("b"), state: stock });
    promoted_at_its_stock_alone(&engine, &node, stock).await;
}

fn engine_file(dir: &tempfile::TempDir, key: &shardlift_model::ObjectKey) -> std::path::PathBuf {
    dir.path().join("acme/web/data").join(&key.name()[..2]).join(key.name())
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_taken_of_no_writer_and_of_no_other_copy() {
    let (_dir, engine, node) = store().await;
    let admission = engine.admission();
    assert!(is_refused(admission.take_stock(&node, token(1)).await), "serving");
    fence(&engine, &node, 2).await;
    assert!(is_refused(admission.take_stock(&node, token(3)).await), "fenced");
    assert_eq!(engine.node(&node).unwrap().mode, Mode::Fenced, "and stays so");
    let copy = super::node("copy");
    engine.start_incoming(&copy, token(1), shard("a"), "a:1".into(), false).await.unwrap();
    assert!(is_refused(admission.take_stock(&copy, token(2)).await), "never the writer");
    engine.discard(&copy, token(4)).await.unwrap();
    assert!(is_refused(admission.take_stock(&copy, token(5)).await), "discarded");
    assert!(is_refused(admission.depose(&copy, token(6)).await), "discarded");
    let (_dir, engine, node, _) = sealed().await;
    let admission = engine.admission();
    admission.retire(&node, token(4), gone(7)).await.unwrap();
    engine.detach(&node, token(5)).await.unwrap();
    assert!(is_refused(admission.take_stock(&node, token(6)).await), "detached");
    engine.quarantine(&node, token(7)).await.unwrap();
    assert!(is_refused(admission.take_stock(&node, token(8)).await), "quarantined");
    assert!(is_refused(admission.depose(&node, token(9)).await), "quarantined");
    let unknown = admission.take_stock(&super::node("nobody"), token(1)).await;
    assert!(matches!(unknown, Err(EngineError::NodeUnknown(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_node_that_lost_something_has_no_stock() {
    let (_dir, engine, node, _) = sealed().await;
    crate::engine::tests::lose_row(&engine, &node, record(ObjectKind::Data, b"kept").key);
    let refused = engine.admission().take_stock(&node, token(4)).await;
    assert!(matches!(refused, Err(EngineError::DigestDiffers(_))), "{refused:?}");
    assert!(matches!(engine.node(&node).unwrap().mode, Mode::Sealed { .. }));
}

/// A writer that took the node over from b.
async fn writer() -> (tempfile::TempDir, Arc<Engine>, NodeId) {
    let (dir, engine, node, last) = sealed().await;
    engine.admission().take_stock(&node, token(4)).await.unwrap();
    engine.admission().promote(&node, Token::new(1, 2, 1), last, Some(shard("b"))).await.unwrap();
    (dir, engine, node)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_was_never_promoted_is_deposed_like_any_other() {
    let (_dir, engine, _) = store().await;
    let copy = super::node("copy");
    engine.start_incoming(&copy, token(1), shard("a"), "a:1".into(), false).await.unwrap();
    engine.admission().depose(&copy, token(3)).await.unwrap();
    assert_eq!(engine.node(&copy).unwrap().mode, Mode::Retired { target: shard("a") });
    engine.start_incoming(&copy, token(4), shard("c"), "c:1".into(), false).await.unwrap();
    assert!(!engine.node(&copy).unwrap().replica.unwrap().resumed, "it begins by listing");
    // A move there that is taken back leaves it as it is, whatever it was before.
    engine.detach(&copy, token(5)).await.unwrap();
    assert_eq!(engine.node(&copy).unwrap().mode, Mode::Retired { target: shard("c") });
    engine.start_incoming(&copy, token(6), shard("a"), "a:1".into(), false).await.unwrap();
    assert!(!engine.node(&copy).unwrap().replica.unwrap().resumed, "it begins by listing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposed_writer_breaks_mutations_off_before_it_answers_and_serves_nobody() {
    let (dir, engine, node) = writer().await;
    let admission = engine.admission();
    let Entry::Admitted(permit) = admission.enter(&node, Access::Mutate).await else { panic!("not admitted") };
    let late = record(ObjectKind::Data, b"late");
    let mut upload = engine.begin_put(&node, late.key, None).await.unwrap();
    upload.write(Bytes::from("late")).await.unwrap();
    let deposing = tokio::spawn({
        let (admission, node) = (engine.admission(), node.clone());
        async move { admission.depose(&node, Token::new(1, 3, 9)).await }
    });
    permit.cancelled().await;
    // INV-01: below admission too.
    assert!(matches!(upload.finish().await, Err(PutError::Engine(EngineError::NotWritable { .. }))));
    assert!(!deposing.is_finished(), "the request is there still");
    drop(permit);
    assert_eq!(deposing.await.unwrap().unwrap(), Accepted::New);
    assert_eq!(admission.depose(&node, Token::new(1, 3, 9)).await.unwrap(), Accepted::Repeated);
    admission.depose(&node, Token::new(1, 3, 10)).await.unwrap();
    let engine = again(engine, &dir).await;
    let snapshot = engine.node(&node).unwrap();
    assert_eq!(snapshot.mode, Mode::Retired { target: shard("b") });
    assert_eq!((snapshot.replica, snapshot.forward, snapshot.offered_to, snapshot.objects), (None, None, None, 2));
    let admission = engine.admission();
    assert!(matches!(admission.enter(&node, Access::Read).await, Entry::Unavailable(Unavailable::Retired)));
    let older = admission.unfence(&node, Token::new(1, 3, 9)).await;
    assert!(matches!(older, Err(EngineError::StaleToken { .. })), "INV-03: {older:?}");
    assert!(is_refused(admission.unfence(&node, Token::new(1, 3, 11)).await), "it does not resume");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_ignores_the_break_off_does_not_keep_the_node() {
    let (_dir, engine, node) = writer().await;
    let admission = engine.admission();
    let Entry::Admitted(permit) = admission.enter(&node, Access::Mutate).await else { panic!("not admitted") };
    let deposed = admission.depose(&node, Token::new(1, 3, 9)).await;
    assert!(matches!(deposed, Err(EngineError::DrainTimedOut(1))), "{deposed:?}");
    assert!(matches!(engine.node(&node).unwrap().mode, Mode::Retired { .. }), "given up all the same");
    drop(permit);
    assert_eq!(admission.depose(&node, Token::new(1, 3, 9)).await.unwrap(), Accepted::Repeated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_a_sealed_and_a_following_writer_are_deposed_and_begin_anew_if_they_follow() {
    for way in ["fenced", "sealed", "following", "detached"] {
        let (dir, engine, node) = writer().await;
        let admission = engine.admission();
        let at = |step| Token::new(1, 2, step);
        let last = admission.fence(&node, at(5), 60 * SECOND, SECOND).await.unwrap().last;
        if way != "fenced" {
            admission.seal(&node, at(6), last).await.unwrap();
        }
        if matches!(way, "following" | "detached") {
            admission.retire(&node, at(7), gone(9)).await.unwrap();
        }
        if way == "detached" {
            engine.detach(&node, at(8)).await.unwrap();
        }
        admission.depose(&node, at(9)).await.unwrap();
        assert!(matches!(admission.renew(&node, at(10), SECOND).await, Err(EngineError::FenceLost(_))), "{way}");
        let engine = again(engine, &dir).await;
        assert_eq!(engine.node(&node).unwrap().mode, Mode::Retired { target: shard("b") }, "{way}");
        engine.start_incoming(&node, Token::new(1, 4, 1), shard("c"), "c:1".into(), false).await.unwrap();
        let replica = engine.node(&node).unwrap().replica.unwrap();
        assert_eq!((replica.resumed, replica.journal_from, replica.applied_seq), (false, None, 0), "{way}");
    }
}
