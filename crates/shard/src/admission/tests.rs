//! Tests of the gate (paused clock, no disk) and of the cutover (real store, short leases).

mod takeover;

use super::gate::{Entering, enter, watch_lease};
use super::*;
use crate::engine::nodes::NodeCell;
use crate::engine::tests::{eventually, node, open, put, put_as, record, store};
use crate::engine::{Accepted, FinalState, Mode, NodeRecord, PutError};
use bytes::Bytes;
use shardlift_model::{ObjectKind, Sha256, Token};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const LAST: FinalState = FinalState { seq: 4, root: Sha256([4; 32]), objects: 4, bytes: 4, damaged: 0 };

fn cell(mode: Mode) -> Arc<NodeCell> {
    Arc::new(NodeCell::new(node("web"), NodeRecord::new(mode)))
}

fn token(step: u64) -> Token {
    Token::new(1, 1, step)
}

async fn enters(cell: &Arc<NodeCell>, access: Access) -> Result<Permit, Unavailable> {
    let limits = ParkLimits::default();
    match enter(cell, access, Instant::now() + limits.wait, limits.count).await {
        Entering::Admitted(permit) => Ok(permit),
        Entering::Refused(why) => Err(why),
        Entering::Forwarded(onward) => panic!("forwarded to {:?}", onward.forward()),
    }
}

/// Whether a request comes in at once, is turned away, or waits.
async fn outcome(cell: &Arc<NodeCell>, access: Access) -> &'static str {
    match tokio::time::timeout(Duration::from_millis(1), enters(cell, access)).await {
        Ok(Ok(_)) => "in",
        Ok(Err(_)) => "unavailable",
        Err(_) => "parked",
    }
}

#[tokio::test(start_paused = true)]
async fn each_mode_admits_parks_or_turns_away() {
    let incoming =
        Mode::Incoming { source: "a".parse().unwrap(), source_peer_address: "a:1".to_owned(), accept_damaged: false };
    let retired = Mode::Retired { target: "b".parse().unwrap() };
    let table = [
        (Mode::Serving, "in", "in"),
        (Mode::Sealed { last: LAST }, "parked", "parked"),
        (incoming, "unavailable", "unavailable"),
        (retired, "unavailable", "unavailable"),
        (Mode::Stocked { source: "b".parse().unwrap(), state: LAST }, "unavailable", "unavailable"),
        (Mode::Discarded, "unavailable", "unavailable"),
    ];
    for (mode, read, mutate) in table {
        let word = mode.word();
        let cell = cell(mode);
        assert_eq!(
            (outcome(&cell, Access::Read).await, outcome(&cell, Access::Mutate).await),
            (read, mutate),
            "{word}"
        );
        assert_eq!(cell.gate.in_flight(), 0, "{word}");
    }
    let fenced = cell(Mode::Serving);
    fenced.gate.fence(token(1), SECOND).unwrap();
    assert_eq!((outcome(&fenced, Access::Read).await, outcome(&fenced, Access::Mutate).await), ("in", "parked"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_runs_out_lets_parked_mutations_in_by_itself() {
    let cell = cell(Mode::Serving);
    let number = cell.gate.fence(token(1), 10 * SECOND).unwrap();
    let watcher = tokio::spawn(watch_lease(Arc::clone(&cell), number));
    let started = Instant::now();
    let permit = enters(&cell, Access::Mutate).await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 10);
    watcher.await.unwrap();
    // INV-01: from here on this shard may acknowledge again, so nothing may rest on the old fence.
    assert!(matches!(cell.gate.renew(token(2), SECOND), Err(EngineError::FenceLost(_))));
    assert!(matches!(cell.gate.settle(number, LAST), Err(EngineError::FenceLost(_))));
    assert!(matches!(cell.gate.begin_seal(&LAST, Duration::ZERO), Err(EngineError::FenceLost(_))));
    drop(permit);
}

#[tokio::test(start_paused = true)]
async fn a_renewed_lease_counts_from_the_renewal() {
    let cell = cell(Mode::Serving);
    let number = cell.gate.fence(token(1), 10 * SECOND).unwrap();
    tokio::spawn(watch_lease(Arc::clone(&cell), number));
    let started = Instant::now();
    tokio::time::sleep(9 * SECOND).await;
    cell.gate.renew(token(2), 10 * SECOND).unwrap();
    drop(enters(&cell, Access::Mutate).await.unwrap());
    assert_eq!(started.elapsed().as_secs(), 19);
}

#[tokio::test(start_paused = true)]
async fn a_seal_needs_a_settled_fence_an_equal_state_and_time_to_spare() {
    let cell = cell(Mode::Serving);
    let margin = SECOND;
    let seal = |last: &FinalState| cell.gate.begin_seal(last, margin);
    assert!(matches!(seal(&LAST), Err(EngineError::FenceLost(_))), "no fence");
    let number = cell.gate.fence(token(1), 10 * SECOND).unwrap();
    assert!(matches!(seal(&LAST), Err(EngineError::FenceLost(_))), "not drained");
    cell.gate.settle(number, LAST).unwrap();
    for other in [FinalState { seq: 5, ..LAST }, FinalState { root: Sha256([5; 32]), ..LAST }] {
        assert!(matches!(seal(&other), Err(EngineError::DigestDiffers(_))), "{other:?}");
    }
    // Nobody watches this lease: the seal is refused by the clock alone, however late the watcher is.
    tokio::time::sleep(9 * SECOND).await;
    assert!(matches!(seal(&LAST), Err(EngineError::FenceLost(_))), "within the margin");
    cell.gate.renew(token(2), 10 * SECOND).unwrap();
    seal(&LAST).unwrap();
    cell.gate.renew(token(2), SECOND).expect("a late renewal is no sign of a lost fence");
    // INV-01: once sealing, the end of the lease opens nothing.
    tokio::spawn(watch_lease(Arc::clone(&cell), number)).await.unwrap();
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(outcome(&cell, Access::Mutate).await, "parked");
    assert_eq!(outcome(&cell, Access::Read).await, "in");
}

#[tokio::test(start_paused = true)]
async fn parking_is_bounded_in_time_and_number() {
    let cell = cell(Mode::Sealed { last: LAST });
    let wait = 5 * SECOND;
    let parked: Vec<_> = (0..3)
        .map(|_| {
            let cell = Arc::clone(&cell);
            tokio::spawn(async move {
                let entering = enter(&cell, Access::Read, Instant::now() + wait, 3).await;
                matches!(entering, Entering::Refused(Unavailable::ParkedTooLong))
            })
        })
        .collect();
    tokio::time::sleep(SECOND).await;
    assert_eq!(cell.gate.in_flight(), 3);
    let fourth = enter(&cell, Access::Mutate, Instant::now() + wait, 3).await;
    assert!(matches!(fourth, Entering::Refused(Unavailable::TooManyParked)));
    for request in parked {
        assert!(request.await.unwrap());
    }
    assert_eq!(cell.gate.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn mutations_that_do_not_end_are_broken_off_and_later_ones_are_not() {
    let cell = cell(Mode::Serving);
    let slow = enters(&cell, Access::Mutate).await.unwrap();
    let reading = enters(&cell, Access::Read).await.unwrap();
    let number = cell.gate.fence(token(1), 100 * SECOND).unwrap();
    assert!(!cell.gate.drained(Instant::now() + SECOND).await);
    assert_eq!(cell.gate.cancel_mutations(), 1);
    slow.cancelled().await;
    assert!(tokio::time::timeout(SECOND, reading.cancelled()).await.is_err(), "reads go on");
    drop(slow);
    assert!(cell.gate.drained(Instant::now() + SECOND).await);
    assert!(cell.gate.abandon(number));
    let later = enters(&cell, Access::Mutate).await.unwrap();
    assert!(tokio::time::timeout(SECOND, later.cancelled()).await.is_err());
}

async fn fence(engine: &Arc<Engine>, node: &NodeId, step: u64) -> FenceOutcome {
    engine.admission().fence(node, token(step), 60 * SECOND, SECOND).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_source_parks_writes_and_lets_them_go_on_when_it_is_unfenced() {
    let (_dir, engine, node) = store().await;
    put(&engine, &node, ObjectKind::Data, b"before").await;
    let fenced = fence(&engine, &node, 1).await;
    assert_eq!((fenced.last.seq, fenced.last.objects, fenced.cancelled), (1, 1, 0));
    assert_eq!(engine.node(&node).unwrap().mode, Mode::Fenced);
    let waiting = tokio::spawn({
        let (admission, node) = (engine.admission(), node.clone());
        async move { admission.enter(&node, Access::Mutate).await }
    });
    eventually("the request is parked", || engine.node(&node).unwrap().requests_in_flight == 1).await;
    assert!(matches!(engine.admission().enter(&node, Access::Read).await, Entry::Admitted(_)));
    // Asked again, it answers again.
    assert_eq!(fence(&engine, &node, 1).await.last, fenced.last);
    engine.admission().unfence(&node, token(2)).await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Entry::Admitted(_)));
    assert_eq!(engine.node(&node).unwrap().mode, Mode::Serving);
    assert!(matches!(engine.admission().enter(&"nobody".parse().unwrap(), Access::Read).await, Entry::Unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_final_seq_is_read_after_the_last_mutation_in_flight() {
    let (_dir, engine, node) = store().await;
    let Entry::Admitted(permit) = engine.admission().enter(&node, Access::Mutate).await else { panic!("not admitted") };
    let object = record(ObjectKind::Data, b"in flight");
    let mut upload = engine.begin_put(&node, object.key, None).await.unwrap();
    let fencing = tokio::spawn({
        let (engine, node) = (Arc::clone(&engine), node.clone());
        async move { engine.admission().fence(&node, token(1), 60 * SECOND, 30 * SECOND).await.unwrap() }
    });
    eventually("the fence is up", || engine.node(&node).unwrap().mode == Mode::Fenced).await;
    upload.write(Bytes::from("in flight")).await.unwrap();
    upload.finish().await.unwrap();
    assert!(!fencing.is_finished());
    drop(permit);
    let fenced = fencing.await.unwrap();
    // INV-02: what was acknowledged is part of what the target has to hold.
    assert_eq!((fenced.last.seq, fenced.last.objects), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_that_ignores_the_break_off_undoes_the_fence() {
    let (_dir, engine, node) = store().await;
    let Entry::Admitted(permit) = engine.admission().enter(&node, Access::Mutate).await else { panic!("not admitted") };
    let fenced = engine.admission().fence(&node, token(1), 60 * SECOND, Duration::from_millis(10)).await;
    assert!(matches!(fenced, Err(EngineError::DrainTimedOut(1))), "{fenced:?}");
    assert_eq!(engine.node(&node).unwrap().mode, Mode::Serving);
    permit.cancelled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_source_takes_nothing_more_ever_and_survives_a_restart() {
    let (dir, engine, node) = store().await;
    let key = put(&engine, &node, ObjectKind::Data, b"kept").await;
    let fenced = fence(&engine, &node, 1).await;
    engine.admission().seal(&node, token(2), fenced.last).await.unwrap();
    engine.admission().seal(&node, token(2), fenced.last).await.unwrap();
    // INV-01: refused below admission too, and nothing is left of it.
    let late = record(ObjectKind::Data, b"late").key;
    let refused = put_as(&engine, &node, late, b"late").await;
    assert!(matches!(refused, Err(PutError::Engine(EngineError::NotWritable { .. }))), "{refused:?}");
    assert!(matches!(engine.delete(&node, key).await, Err(EngineError::NotWritable { .. })));
    engine.close().await.unwrap();
    drop(engine);
    let engine = open(dir.path()).await;
    assert_eq!(engine.node(&node).unwrap().mode, Mode::Sealed { last: fenced.last });
    assert_eq!(engine.digest(&node).await.unwrap(), (fenced.digest, fenced.last.seq));
    let parked = tokio::spawn({
        let (admission, node) = (engine.admission(), node.clone());
        async move { admission.enter(&node, Access::Read).await }
    });
    eventually("the request is parked", || engine.node(&node).unwrap().requests_in_flight == 1).await;
    let target: shardlift_model::ShardId = "b".parse().unwrap();
    let gone = Retirement {
        target: target.clone(),
        client_address: "b:1".to_owned(),
        peer_address: "b:2".to_owned(),
        from_seq: 40,
    };
    assert_eq!(engine.admission().retire(&node, token(3), gone.clone()).await.unwrap(), Accepted::New);
    assert_eq!(engine.admission().retire(&node, token(3), gone).await.unwrap(), Accepted::Repeated);
    let Entry::Forward(onward) = parked.await.unwrap() else { panic!("not forwarded") };
    assert_eq!((onward.forward().shard.clone(), onward.token()), (target, token(3)));
    assert_eq!((engine.node(&node).unwrap().forwarding, engine.node(&node).unwrap().requests_in_flight), (1, 0));
    drop(onward);
    let snapshot = engine.node(&node).unwrap();
    assert_eq!((snapshot.forwarding, snapshot.replica.unwrap().applied_seq), (0, 40));
    assert!(engine.admission().unfence(&node, token(4)).await.is_err(), "a retired node does not resume");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_source_serves_again_and_refuses_the_seal() {
    let (dir, engine, node) = store().await;
    let fenced = fence(&engine, &node, 1).await;
    engine.close().await.unwrap();
    drop(engine);
    let engine = open(dir.path()).await;
    assert!(matches!(engine.admission().enter(&node, Access::Mutate).await, Entry::Admitted(_)));
    let sealed = engine.admission().seal(&node, token(2), fenced.last).await;
    assert!(matches!(sealed, Err(EngineError::FenceLost(_))), "{sealed:?}");
    assert_eq!(engine.node(&node).unwrap().mode, Mode::Serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_is_undone_by_a_recorded_decision_only() {
    let (_dir, engine, node) = store().await;
    let fenced = fence(&engine, &node, 1).await;
    let other = FinalState { seq: 9, ..fenced.last };
    assert!(matches!(engine.admission().seal(&node, token(2), other).await, Err(EngineError::DigestDiffers(_))));
    engine.admission().seal(&node, token(3), fenced.last).await.unwrap();
    assert_eq!(fence(&engine, &node, 4).await.last, fenced.last, "a sealed node says what it was sealed at");
    assert_eq!(outcome(&engine.cell(&node).unwrap(), Access::Mutate).await, "parked", "and stays sealed");
    engine.admission().unfence(&node, token(5)).await.unwrap();
    put(&engine, &node, ObjectKind::Data, b"again").await;
    assert!(matches!(engine.admission().enter(&node, Access::Mutate).await, Entry::Admitted(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_promoted_only_with_the_sealed_content_and_then_for_good() {
    let (_source_dir, source, node) = store().await;
    put(&source, &node, ObjectKind::Data, b"one").await;
    put(&source, &node, ObjectKind::Data, b"two").await;
    let last = fence(&source, &node, 1).await.last;
    source.admission().seal(&node, token(2), last).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let target = open(dir.path()).await;
    target.start_incoming(&node, token(1), "a".parse().unwrap(), "a:1".to_owned(), false).await.unwrap();
    let admission = target.admission();
    let follower: Option<shardlift_model::ShardId> = Some("a".parse().unwrap());
    let promote = |step| admission.promote(&node, Token::new(1, 2, step), last, follower.clone());
    target.put_replica(&node, record(ObjectKind::Data, b"one"), Bytes::from("one"), false).await.unwrap();
    assert!(matches!(promote(1).await, Err(EngineError::DigestDiffers(_))), "an object is missing");
    target.put_replica(&node, record(ObjectKind::Data, b"two"), Bytes::from("two"), false).await.unwrap();
    assert!(matches!(promote(2).await, Err(EngineError::DigestDiffers(_))), "the journal is not applied to the end");
    // INV-04: not before it is promoted.
    assert!(matches!(target.admission().enter(&node, Access::Mutate).await, Entry::Unavailable(Unavailable::Incoming)));
    target.apply_replica_deletes(&node, [].into(), last.seq).await.unwrap();
    promote(3).await.unwrap();
    assert_eq!(promote(3).await.unwrap(), Accepted::Repeated);
    assert!(matches!(target.admission().enter(&node, Access::Mutate).await, Entry::Admitted(_)));
    put(&target, &node, ObjectKind::Data, b"three").await;
    assert!(target.discard(&node, Token::new(1, 2, 4)).await.is_err(), "never a promoted node");
    target.close().await.unwrap();
    drop((target, admission));
    let target = open(dir.path()).await;
    let snapshot = target.node(&node).unwrap();
    assert_eq!((snapshot.mode, snapshot.generation.0, snapshot.objects), (Mode::Serving, 2, 3));
    assert_eq!(snapshot.taken_over_from, follower);
    assert_eq!((snapshot.promoted_seq, snapshot.seq, snapshot.offered_to), (2, 3, follower));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_fence_that_fails_leaves_the_fence_it_repeats() {
    let (_dir, engine, node) = store().await;
    let admission = engine.admission();
    let first = fence(&engine, &node, 1).await;
    // Something that a drain has to wait for and that does not end in time.
    let busy = engine.cell(&node).unwrap().enter_critical();
    let again = admission.fence(&node, token(1), 60 * SECOND, Duration::from_millis(1)).await;
    assert!(matches!(again, Err(EngineError::DrainTimedOut(1))), "{again:?}");
    drop(busy);
    let cell = engine.cell(&node).unwrap();
    assert_eq!(outcome(&cell, Access::Mutate).await, "parked", "INV-01: the first caller may be about to seal");
    admission.seal(&node, token(2), first.last).await.unwrap();
}
