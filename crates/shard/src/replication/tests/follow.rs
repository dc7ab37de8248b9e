//! Seeding, following, resuming.

use super::world::{World, bytes_of, caught_up, eventually, key_of, node, pulling};
use shardlift_api::v1;
use shardlift_model::{ObjectKind, Sha256};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_seeds_and_then_follows_puts_and_deletes() {
    let world = World::new();
    let (source, target) = pulling(&world, 40).await;
    caught_up(&source, &target).await;
    let gone = source.put(ObjectKind::Data, &bytes_of(900, 500)).await;
    source.put(ObjectKind::Data, &bytes_of(901, 400_000)).await;
    caught_up(&source, &target).await;
    source.delete(gone).await.unwrap();
    source.put(ObjectKind::Snapshots, &bytes_of(902, 500)).await;
    source.delete(key_of(ObjectKind::Index, &bytes_of(1, 300))).await.unwrap();
    caught_up(&source, &target).await;

    let replica = target.replica().await;
    let counted = source.engine.page_objects(&node(), None, 10_000, false).await.unwrap();
    assert_eq!((replica.objects_done, replica.bytes_done), (counted.objects_total, counted.bytes_total));
    assert_eq!((replica.objects_total, replica.bytes_total), (counted.objects_total, counted.bytes_total));
    assert_eq!(replica.source_seq, source.seq().await);
    assert_eq!(replica.waiting_for, "");
    assert_eq!(target.status().await.locks, 0, "locks travel in the final delta alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_comes_and_goes_and_comes_again_is_there() {
    let world = World::new();
    let (source, target) = pulling(&world, 3).await;
    caught_up(&source, &target).await;
    let bytes = bytes_of(900, 500);
    for _ in 0..5 {
        let key = source.put(ObjectKind::Data, &bytes).await;
        source.delete(key).await.unwrap();
    }
    let key = source.put(ObjectKind::Data, &bytes).await;
    source.delete(key_of(ObjectKind::Config, b"")).await.unwrap();
    source.put(ObjectKind::Config, b"another config").await;
    caught_up(&source, &target).await;
    assert_eq!(target.engine.object(&node(), key).await.unwrap().unwrap().size, bytes.len() as u64);
    assert_eq!(std::fs::read(target.path(key_of(ObjectKind::Config, b""))).unwrap(), b"another config");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_target_resumes_and_fetches_nothing_twice_that_was_counted() {
    let world = World::new();
    let (source, target) = pulling(&world, 700).await;
    eventually("some objects are here", || async { target.replica().await.objects_done > 100 }).await;
    let address = target.kill();
    source.put(ObjectKind::Data, &bytes_of(7_000, 500)).await;
    source.delete(key_of(ObjectKind::Data, &bytes_of(694, 1))).await.unwrap();
    let target = world.shard_at("b", &address).await;
    let kept = target.engine.page_objects(&node(), None, 10_000, false).await.unwrap().objects_total;
    let sent_before = source.counters.objects();
    caught_up(&source, &target).await;
    let total = source.engine.page_objects(&node(), None, 10_000, false).await.unwrap().objects_total;
    assert!(kept > 100 && kept < total, "{kept} of {total}: it was killed in between");
    let sent = source.counters.objects() - sent_before;
    assert!(sent <= total - kept + 1, "{sent} sent, {kept} of {total} were here");
    assert_eq!(target.replica().await.objects_done, total);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_source_is_waited_for_and_the_reason_is_visible() {
    let world = World::new();
    let (source, target) = pulling(&world, 20).await;
    caught_up(&source, &target).await;
    let address = source.kill();
    eventually("the target says why it waits", || async { target.replica().await.waiting_for.contains("the source") })
        .await;
    let source = world.shard_at("a", &address).await;
    source.put(ObjectKind::Data, &bytes_of(7_000, 500)).await;
    caught_up(&source, &target).await;
    assert_eq!(target.replica().await.waiting_for, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verification_compares_and_reads_every_byte_again() {
    let world = World::new();
    let (source, target) = pulling(&world, 30).await;
    caught_up(&source, &target).await;
    target.verify(3).await.unwrap();
    eventually("the copy is verified", || async { target.replica().await.verified.is_some() }).await;
    let verified = target.replica().await.verified.unwrap();
    let digest = verified.digest.unwrap();
    let (expected, seq) = source.engine.digest_of(&node(), false).await.unwrap();
    assert_eq!((digest.root, digest.seq), (expected.root.0.to_vec(), seq));
    assert_eq!((verified.objects_read, verified.bytes_read), (expected.objects, expected.bytes));
    // The same command again keeps the proof, a new one asks for a new proof.
    assert!(target.verify(3).await.unwrap().replica.unwrap().verified.is_some());
    assert!(target.verify(4).await.unwrap().replica.unwrap().verified.is_none());
    eventually("the copy is verified again", || async { target.replica().await.verified.is_some() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rot_in_the_copy_is_found_by_verification() {
    let world = World::new();
    let (source, target) = pulling(&world, 30).await;
    caught_up(&source, &target).await;
    let key = key_of(ObjectKind::Data, &bytes_of(10, 5_000));
    target.flip(key);
    target.verify(3).await.unwrap();
    eventually("the failure is told", || async { !target.replica().await.failure.is_empty() }).await;
    let replica = target.replica().await;
    assert!(replica.failure.contains(&key.name()) && replica.verified.is_none(), "{replica:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verification_asked_for_before_a_restart_is_done_after_it() {
    let world = World::new();
    let (source, target) = pulling(&world, 30).await;
    caught_up(&source, &target).await;
    target.verify(3).await.unwrap();
    let address = target.kill();
    let target = world.shard_at("b", &address).await;
    eventually("the copy is verified", || async { target.replica().await.verified.is_some() }).await;
    caught_up(&source, &target).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_lost_by_the_source_is_a_failure_and_never_taken_for_deleted() {
    let world = World::new();
    let (source, target) = (world.shard("a").await, world.shard("b").await);
    source.fill(10).await;
    let lost = key_of(ObjectKind::Data, &bytes_of(3, 5_000));
    std::fs::remove_file(source.path(lost)).unwrap();
    source.offer(1, "b").await.unwrap();
    target.start(2, &source, false).await.unwrap();
    eventually("the failure is told", || async { !target.replica().await.failure.is_empty() }).await;
    let replica = target.replica().await;
    assert!(replica.failure.contains("missing") && replica.failure.contains(&lost.name()), "{replica:?}");
    assert_eq!(replica.phase, i32::from(v1::ReplicaPhase::Seeding));
    assert!(target.engine.object(&node(), lost).await.unwrap().is_none());
    assert_ne!(target.root().await, Sha256([0; 32]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_source_at_rest_says_at_once_how_far_it_is() {
    let world = World::new();
    let (source, target) = pulling(&world, 3).await;
    // Well below the time for which a source without changes holds back its answer.
    let limit = crate::replication::replica::JOURNAL_WAIT / 2;
    tokio::time::timeout(limit, caught_up(&source, &target)).await.expect("the seq is visible before a change comes");
}
