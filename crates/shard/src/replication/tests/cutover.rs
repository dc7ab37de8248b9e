//! The move's last steps: fence, completion, seal, promotion, retirement; and giving a copy up.

use super::world::{World, bytes_of, caught_up, eventually, key_of, node, pulling, token};
use crate::admission::{Access, Entry};
use crate::auth::htpasswd::Credential;
use crate::engine::{EngineError, Mode, PutError, SessionEnd, SessionRecord};
use shardlift_api::fault::FaultKind;
use shardlift_api::v1;
use shardlift_model::activity::Counts;
use shardlift_model::{ObjectKind, UnixMillis};

fn session(started: u64) -> SessionRecord {
    SessionRecord {
        started_at: UnixMillis(started),
        ended_at: UnixMillis(started + 5),
        end: SessionEnd::LockDeleted,
        objects_put: 3,
        bytes_put: 4,
        objects_deleted: 5,
        bytes_read: 6,
        errors: 7,
        snapshots_put: 1,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_moves_with_its_locks_and_all_that_belongs_to_it() {
    let world = World::new();
    let (source, target) = pulling(&world, 20).await;
    let hold = v1::Hold { id: "h1".into(), reason: "court".into(), placed_at_unix_ms: 9 };
    let settings = v1::NodeSettings {
        customer: "acme".into(),
        server_name: "web-1.backup.example".into(),
        quota_bytes: 1 << 30,
        append_only: true,
        holds: vec![hold],
        legacy_credentials_ended: false,
    };
    let set = v1::SetNodeRequest { node: node().to_string(), token: token(3), settings: Some(settings.clone()) };
    source.client.clone().set_node(set).await.unwrap();
    source.engine.record_session(&node(), session(100)).await.unwrap();
    source.engine.record_session(&node(), session(200)).await.unwrap();
    source.engine.record_certificate(&node(), "legacy", "ab12", UnixMillis(77)).await.unwrap();
    source.engine.note_activity(&node(), Counts { bytes_out: 1 << 20, ..Counts::default() });
    let line = Credential { account: "acme".into(), hash: bcrypt::hash("secret", 4).unwrap() };
    let other = Credential { account: "other".into(), hash: bcrypt::hash("secret", 4).unwrap() };
    source.passwords.merge(&[line, other]).unwrap();
    caught_up(&source, &target).await;
    let stored = source.status().await;
    // The copy is made some time after the client was there.
    eventually("the clock goes on", || async { super::world::now().0 > stored.newest_lock_unix_ms + 20 }).await;

    let last = source.fence(4, 20_000).await.unwrap();
    let own = target.complete(5, &last).await.unwrap();
    assert_eq!(own, last);
    assert_eq!(target.replica().await.phase, i32::from(v1::ReplicaPhase::Complete));
    assert_eq!(target.complete(5, &last).await.unwrap(), last, "a repetition has the same outcome");
    source.seal(6, &last).await.unwrap();
    source.seal(6, &last).await.unwrap();
    target.promote((2, 1), &last).await.unwrap();
    let status = target.promote((2, 1), &last).await.unwrap();
    source.retire((2, 2), &target).await.unwrap();

    assert_eq!((status.mode, status.generation), (i32::from(v1::NodeMode::Serving), 2));
    assert_eq!((status.settings.unwrap(), status.locks, status.replica), (settings, 1, None));
    assert_eq!(
        (status.newest_lock_unix_ms, status.last_snapshot_unix_ms),
        (stored.newest_lock_unix_ms, stored.last_snapshot_unix_ms),
        "the client's times, not those of the copy"
    );
    assert_eq!(status.seen_certificates[0].serial, "ab12");
    let activity = target.engine.activity(&node()).unwrap();
    assert_eq!(activity.present().bytes_out + activity.week().bytes_out, 1 << 20, "what the node does comes along");
    assert_eq!(target.engine.side_data(&node()).await.unwrap().sessions, [session(100), session(200)]);
    assert!(target.passwords.verify("acme", "secret").await);
    assert!(!target.passwords.verify("other", "secret").await, "INV-12: other accounts stay where they are");
    target.put(ObjectKind::Snapshots, &bytes_of(5_000, 100)).await;
    let late = bytes_of(5_001, 100);
    let refused = source.try_put(&node(), key_of(ObjectKind::Data, &late), &late).await;
    assert!(matches!(refused, Err(PutError::Engine(EngineError::NotWritable { .. }))), "INV-01: {refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_takes_no_mutation_before_its_promotion_is_durable() {
    let world = World::new();
    let (source, target) = pulling(&world, 5).await;
    caught_up(&source, &target).await;
    let bytes = bytes_of(6_000, 100);
    let key = key_of(ObjectKind::Data, &bytes);
    let enters = || async {
        let admission = target.engine.admission();
        admission.enter(&node(), Access::Mutate).await
    };
    let last = source.fence(4, 20_000).await.unwrap();
    target.complete(5, &last).await.unwrap();
    source.seal(6, &last).await.unwrap();
    assert!(matches!(enters().await, Entry::Unavailable(_)));
    let refused = target.try_put(&node(), key, &bytes).await;
    assert!(matches!(refused, Err(PutError::Engine(EngineError::NotWritable { .. }))), "INV-04: {refused:?}");
    target.promote((2, 1), &last).await.unwrap();
    assert!(matches!(enters().await, Entry::Admitted(_)));
    target.put(ObjectKind::Data, &bytes).await;

    let address = target.kill();
    let target = world.shard_at("b", &address).await;
    let snapshot = target.engine.node(&node()).unwrap();
    assert_eq!((snapshot.mode, snapshot.generation.0), (Mode::Serving, 2), "INV-04");
    assert!(target.engine.object(&node(), key).await.unwrap().is_some(), "INV-02");
    assert!(target.jobs.status(&node()).is_none(), "a writer pulls nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_at_another_state_is_refused_and_the_copy_goes_on() {
    let world = World::new();
    let (source, target) = pulling(&world, 5).await;
    caught_up(&source, &target).await;
    let last = source.fence(4, 20_000).await.unwrap();
    let refused = target.promote((1, 5), &last).await.unwrap_err();
    assert_eq!(FaultKind::from(&refused), FaultKind::Refused, "its lock is not here yet");
    assert_eq!(target.status().await.mode, i32::from(v1::NodeMode::Incoming));
    assert_eq!(target.complete(6, &last).await.unwrap(), last, "the job came back");
    let mut other = last.clone();
    other.bytes += 1;
    assert!(target.promote((1, 7), &other).await.is_err());
    target.promote((1, 8), &last).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completion_goes_to_the_final_seq_even_from_far_behind_and_survives_a_kill() {
    let world = World::new();
    let (source, target) = pulling(&world, 10).await;
    caught_up(&source, &target).await;
    let address = target.kill();
    for object in 0..150 {
        source.put(ObjectKind::Data, &bytes_of(8_000 + object, 50)).await;
    }
    source.delete(key_of(ObjectKind::Locks, &bytes_of(3, 300))).await.unwrap();
    source.put(ObjectKind::Locks, &bytes_of(4, 300)).await;
    let last = source.fence(4, 20_000).await.unwrap();
    let target = world.shard_at("b", &address).await;
    assert_eq!(target.complete(5, &last).await.unwrap(), last);
    let address = target.kill();
    let target = world.shard_at("b", &address).await;
    assert_eq!(target.complete(5, &last).await.unwrap(), last, "again after a kill");
    source.seal(6, &last).await.unwrap();
    target.promote((2, 1), &last).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_fence_is_lost_the_seal_is_refused_and_the_next_completion_catches_up() {
    let world = World::new();
    let (source, target) = pulling(&world, 5).await;
    caught_up(&source, &target).await;
    let first = source.fence(4, 200).await.unwrap();
    eventually("the lease runs out", || async { source.status().await.mode == i32::from(v1::NodeMode::Serving) }).await;
    source.put(ObjectKind::Data, &bytes_of(9_000, 50)).await;
    target.complete(5, &first).await.unwrap();
    let refused = source.seal(6, &first).await.unwrap_err();
    assert_eq!(FaultKind::from(&refused), FaultKind::Refused);
    let second = source.fence(7, 20_000).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(target.complete(8, &second).await.unwrap(), second);
    source.seal(9, &second).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_discarded_copy_is_gone_and_only_the_copy() {
    let world = World::new();
    let (source, target) = pulling(&world, 20).await;
    let neighbour = "acme/web-2".parse().unwrap();
    target.engine.create_node(&neighbour).await.unwrap();
    let kept = target.put_in(&neighbour, ObjectKind::Config, b"neighbour").await;
    caught_up(&source, &target).await;
    for step in [3, 3, 4] {
        let status = target.discard(step).await.unwrap();
        assert_eq!((status.mode, status.objects, status.replica), (i32::from(v1::NodeMode::Discarded), 0, None));
    }
    assert!(!target.data.join("acme/web-1").exists());
    assert!(target.engine.object(&neighbour, kept).await.unwrap().is_some(), "INV-12");
    assert!(target.data.join("acme/web-2/config").exists(), "INV-12");
    assert_eq!(source.status().await.mode, i32::from(v1::NodeMode::Serving));

    let address = target.kill();
    let target = world.shard_at("b", &address).await;
    assert!(target.jobs.status(&node()).is_none());
    assert_eq!(FaultKind::from(&target.start(3, &source, false).await.unwrap_err()), FaultKind::StaleToken);
    target.start(5, &source, false).await.unwrap();
    caught_up(&source, &target).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_discard_for_a_copy_that_never_came_is_done_and_fences_later_starts() {
    let world = World::new();
    let (source, target) = (world.shard("a").await, world.shard("b").await);
    source.fill(1).await;
    target.discard(5).await.unwrap();
    assert_eq!(FaultKind::from(&target.start(4, &source, false).await.unwrap_err()), FaultKind::StaleToken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_node_is_never_discarded() {
    let world = World::new();
    let (source, target) = pulling(&world, 3).await;
    caught_up(&source, &target).await;
    let last = source.fence(4, 20_000).await.unwrap();
    target.complete(5, &last).await.unwrap();
    source.seal(6, &last).await.unwrap();
    target.promote((2, 1), &last).await.unwrap();
    let request = v1::DiscardReplicaRequest {
        node: node().to_string(),
        token: Some(v1::Token { term: 9, generation: 9, step: 9 }),
    };
    let refused = target.client.clone().discard_replica(request).await.unwrap_err();
    assert_eq!(FaultKind::from(&refused), FaultKind::Refused, "INV-07");
    assert_eq!(target.engine.digest(&node()).await.unwrap().0.root.0.to_vec(), last.root);
}
