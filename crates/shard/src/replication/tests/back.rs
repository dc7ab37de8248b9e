//! The way back: a former writer follows the new one, stops, goes on, and takes over again.

use super::aftermath::{hand_over, moved};
use super::world::{Shard, World, bytes_of, caught_up, eventually, key_of, node, pulling};
use crate::engine::Mode;
use crate::engine::tests::lose_row;
use shardlift_api::fault::FaultKind;
use shardlift_api::v1;
use shardlift_model::{ObjectKey, ObjectKind};

async fn has(shard: &Shard, key: ObjectKey) -> bool {
    shard.engine.object(&node(), key).await.unwrap().is_some() && shard.path(key).exists()
}

fn is_retired_to(shard: &Shard, target: &str) -> bool {
    matches!(shard.engine.node(&node()).unwrap().mode, Mode::Retired { target: to } if to.as_str() == target)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_writer_follows_puts_and_deletes_and_a_restart_loses_nothing() {
    let world = World::new();
    let (former, writer) = moved(&world, 20).await;
    let put = writer.put(ObjectKind::Data, &bytes_of(900, 500)).await;
    let gone = key_of(ObjectKind::Index, &bytes_of(1, 300));
    writer.delete(gone).await.unwrap();
    caught_up(&writer, &former).await;
    assert!(has(&former, put).await && !has(&former, gone).await);
    let address = former.kill();
    for pack in 0..15 {
        writer
            .delete(key_of(
                ObjectKind::Data,
                &bytes_of(pack, [0, 1, 700, 5_000, 40_000, 200_000, 300_000][pack as usize % 7]),
            ))
            .await
            .unwrap();
        writer.put(ObjectKind::Data, &bytes_of(1_000 + pack, 900)).await;
    }
    let former = world.shard_at("a", &address).await;
    caught_up(&writer, &former).await;
    assert_eq!(writer.counters.pages(), 0, "INV-07: nothing rests on a listing");
    former.verify_at((2, 3)).await.unwrap();
    eventually("the copy is verified", || async { former.replica().await.verified.is_some() }).await;
    assert_eq!(former.status().await.forwards_to, "b", "over a restart, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_writer_says_at_once_how_far_it_is() {
    let world = World::new();
    let (former, writer) = moved(&world, 5).await;
    let started = std::time::Instant::now();
    let seq = writer.seq().await;
    eventually("it says so", || async {
        let replica = former.replica().await;
        (replica.source_seq, replica.applied_seq, replica.waiting_for.as_str()) == (seq, seq, "")
    })
    .await;
    assert!(started.elapsed().as_secs() < 10, "although the writer has nothing to tell");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detached_copy_keeps_what_it_has_and_follows_again_from_there() {
    let world = World::new();
    let (former, writer) = moved(&world, 10).await;
    writer.put(ObjectKind::Data, &bytes_of(900, 500)).await;
    caught_up(&writer, &former).await;
    let applied = former.replica().await.applied_seq;
    for _ in 0..2 {
        let status = former.detach((2, 3)).await.unwrap();
        assert_eq!((status.mode, status.forwards_to.as_str()), (i32::from(v1::NodeMode::Retired), "b"));
    }
    former.detach((2, 4)).await.unwrap();
    assert!(former.jobs.status(&node()).is_none());
    let kept = former.root().await;
    let late = writer.put(ObjectKind::Data, &bytes_of(901, 500)).await;
    writer.delete(key_of(ObjectKind::Data, &bytes_of(900, 500))).await.unwrap();
    let address = former.kill();
    let former = world.shard_at("a", &address).await;
    assert!(is_retired_to(&former, "b") && !has(&former, late).await);
    assert_eq!(former.root().await, kept);
    assert_eq!(former.engine.node(&node()).unwrap().replica.unwrap().applied_seq, applied);

    let other = world.shard("c").await;
    let refused = former.follow_again((2, 5), &other).await.unwrap_err();
    assert!(refused.message().contains("moved to b"), "{refused:?}");
    let sent = writer.counters.objects();
    former.follow_again((2, 6), &writer).await.unwrap();
    caught_up(&writer, &former).await;
    assert!(has(&former, late).await);
    assert_eq!((writer.counters.objects() - sent, writer.counters.pages()), (1, 0), "the change alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_goes_there_and_back_and_there_again() {
    let world = World::new();
    let (mut writer, mut follower) = pulling(&world, 12).await;
    caught_up(&writer, &follower).await;
    let mut stored = Vec::new();
    for generation in 2..=5 {
        stored.push(writer.put(ObjectKind::Data, &bytes_of(2_000 + generation, 800)).await);
        writer.delete(key_of(ObjectKind::Locks, &bytes_of(1 + generation, 300))).await.unwrap();
        writer.put(ObjectKind::Locks, &bytes_of(2 + generation, 300)).await;
        hand_over(&writer, &follower, generation).await;
        std::mem::swap(&mut writer, &mut follower);
        stored.push(writer.put(ObjectKind::Snapshots, &bytes_of(3_000 + generation, 300)).await);
        caught_up(&writer, &follower).await;
        for key in &stored {
            assert!(has(&writer, *key).await && has(&follower, *key).await, "INV-02: {key} under {generation}");
        }
        assert_eq!((writer.status().await.locks, writer.status().await.generation), (1, generation));
        assert_eq!(follower.status().await.forwards_to, writer.name);
        let late = bytes_of(4_000, 10);
        let refused = follower.try_put(&node(), key_of(ObjectKind::Data, &late), &late).await;
        assert!(refused.is_err(), "INV-01: {refused:?}");
    }
    assert_eq!(writer.counters.pages() + follower.counters.pages(), 1 + 4, "the first copy, and locks at each flip");
}

/// What was lost at the writer without a word in its journal.
async fn lose_at(writer: &Shard) -> (ObjectKey, ObjectKey) {
    let missing = writer.put(ObjectKind::Data, &bytes_of(900, 500)).await;
    let forgotten = writer.put(ObjectKind::Data, &bytes_of(901, 500)).await;
    (missing, forgotten)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_has_lost_objects_takes_none_from_its_follower() {
    let world = World::new();
    let (former, writer) = moved(&world, 5).await;
    let (missing, forgotten) = lose_at(&writer).await;
    caught_up(&writer, &former).await;
    std::fs::remove_file(writer.path(missing)).unwrap();
    lose_row(&writer.engine, &node(), forgotten);
    former.verify_at((2, 3)).await.unwrap();
    eventually("the difference is told", || async { former.replica().await.failure.contains("differs") }).await;
    let last = writer.fence_at((2, 4)).await;
    let refused = former.complete_at((2, 5), &last).await.unwrap_err();
    assert_eq!(FaultKind::from(&refused), FaultKind::Refused);
    assert!(refused.message().contains("although every change was applied"), "{refused:?}");
    assert!(has(&former, missing).await && has(&former, forgotten).await, "INV-07");
    // It goes on to follow when it is asked to, and has forgotten what else it was to do.
    former.follow_again((2, 6), &writer).await.unwrap();
    let unfence =
        v1::UnfenceRequest { node: node().to_string(), token: Some(v1::Token { term: 1, generation: 2, step: 7 }) };
    writer.client.clone().unfence(unfence).await.unwrap();
    let late = writer.put(ObjectKind::Data, &bytes_of(902, 500)).await;
    eventually("it follows", || async { has(&former, late).await }).await;
    assert_eq!(former.replica().await.failure, "");
}

/// The mutant: a copy that may be repaired by listing loses what its source has lost, so the test above would see it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_repaired_by_listing_does_lose_what_its_source_has_lost() {
    let world = World::new();
    let (source, target) = pulling(&world, 5).await;
    let (_, forgotten) = lose_at(&source).await;
    caught_up(&source, &target).await;
    lose_row(&source.engine, &node(), forgotten);
    target.verify(3).await.unwrap();
    eventually("the object is gone", || async { !has(&target, forgotten).await }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_follows_the_writer_is_never_discarded() {
    let world = World::new();
    let (former, writer) = moved(&world, 5).await;
    let request = v1::DiscardReplicaRequest {
        node: node().to_string(),
        token: Some(v1::Token { term: 1, generation: 2, step: 3 }),
    };
    let refused = former.client.clone().discard_replica(request).await.unwrap_err();
    assert_eq!(FaultKind::from(&refused), FaultKind::Refused, "INV-07");
    for refused in [
        writer.detach((2, 3)).await.unwrap_err(),
        writer.quarantine((2, 4)).await.unwrap_err(),
        writer.restore((2, 5)).await.unwrap_err(),
        writer.retire((2, 6), &former).await.unwrap_err(),
    ] {
        assert_eq!(FaultKind::from(&refused), FaultKind::Refused, "the writer stays: {refused:?}");
    }
    writer.put(ObjectKind::Data, &bytes_of(900, 500)).await;
    caught_up(&writer, &former).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_comes_out_of_quarantine_and_follows_on() {
    let world = World::new();
    let (former, writer) = moved(&world, 10).await;
    caught_up(&writer, &former).await;
    for step in [3, 3, 4] {
        let status = former.quarantine((2, step)).await.unwrap();
        assert_eq!((status.mode, status.forwards_to.as_str()), (i32::from(v1::NodeMode::Quarantined), ""));
    }
    assert!(former.jobs.status(&node()).is_none() && !former.data.join("acme/web-1/data").exists());
    let refused = former.follow_again((2, 5), &writer).await.unwrap_err();
    assert_eq!(FaultKind::from(&refused), FaultKind::Refused);
    writer.put(ObjectKind::Data, &bytes_of(900, 500)).await;
    let address = former.kill();
    let former = world.shard_at("a", &address).await;
    for step in [6, 6, 7] {
        assert_eq!(former.restore((2, step)).await.unwrap().mode, i32::from(v1::NodeMode::Retired));
    }
    former.follow_again((2, 8), &writer).await.unwrap();
    caught_up(&writer, &former).await;
    former.verify_at((2, 9)).await.unwrap();
    eventually("every byte is there", || async { former.replica().await.verified.is_some() }).await;
    assert_eq!(writer.counters.pages(), 0);
}
