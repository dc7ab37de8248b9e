//! Sources whose objects are damaged.

use super::world::{CLUSTER, World, bytes_of, eventually, key_of, node, pulling, token};
use shardlift_api::v1;
use shardlift_model::ObjectKind;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rot_at_the_source_is_named_and_not_counted() {
    for size in [5_000, 700_000] {
        let world = World::new();
        let (source, target) = (world.shard("a").await, world.shard("b").await);
        source.fill(30).await;
        let rotten = source.put(ObjectKind::Data, &bytes_of(500, size)).await;
        source.flip(rotten);
        source.offer(1, "b").await.unwrap();
        target.start(2, &source, false).await.unwrap();
        eventually("the failure is told", || async { !target.replica().await.failure.is_empty() }).await;
        let replica = target.replica().await;
        assert!(replica.failure.contains("damaged at the source"), "{replica:?}");
        assert!(replica.failure.contains(&rotten.name()), "{replica:?}");
        assert_eq!(replica.damaged_at_source, 1);
        assert!(target.engine.object(&node(), rotten).await.unwrap().is_none());
        assert!(!target.path(rotten).exists());
        let here = target.engine.page_objects(&node(), None, 1000, false).await.unwrap().objects_total;
        assert_eq!(replica.objects_done, here, "what is counted is what is here");

        target.start(3, &source, true).await.unwrap();
        eventually("it goes on by the operator's leave", || async {
            target.replica().await.phase == i32::from(v1::ReplicaPhase::Following)
        })
        .await;
        assert_eq!(target.replica().await.damaged_at_source, 1);
        assert!(
            target.engine.object(&node(), rotten).await.unwrap().unwrap().is_damaged(),
            "kept, and told as damaged"
        );
        assert_eq!(std::fs::read(target.path(rotten)).unwrap(), std::fs::read(source.path(rotten)).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rot_that_the_source_did_not_know_of_is_recorded_there_and_moves_by_leave_with_equal_digests() {
    let world = World::new();
    let (source, target) = (world.shard("a").await, world.shard("b").await);
    source.fill(10).await;
    let small = source.put(ObjectKind::Data, &bytes_of(500, 5_000)).await;
    let large = source.put(ObjectKind::Data, &bytes_of(501, 700_000)).await;
    let cut = source.put(ObjectKind::Data, &bytes_of(502, 9_000)).await;
    source.flip(small);
    source.flip(large);
    std::fs::write(source.path(cut), b"short").unwrap();
    assert_eq!(source.status().await.damaged, 0, "nobody has looked");
    source.offer(1, "b").await.unwrap();
    target.start(2, &source, false).await.unwrap();
    eventually("the source knows", || async { source.status().await.damaged == 3 }).await;
    eventually("the target names all", || async {
        let failure = target.replica().await.failure;
        [small, large, cut].iter().all(|key| failure.contains(&key.name()))
    })
    .await;
    assert_eq!(source.engine.usage().alarms, 0, "there are records that say why");
    target.verify(3).await.unwrap();
    let last = source.fence(4, 300).await.unwrap();
    assert_eq!(last.damaged, 3);
    assert!(target.complete(5, &last).await.is_err(), "not without acceptance");
    assert_eq!(target.replica().await.verified, None);

    target.start(6, &source, true).await.unwrap();
    eventually("it follows by the operator's leave", || async {
        target.replica().await.phase == i32::from(v1::ReplicaPhase::Following)
    })
    .await;
    target.verify(7).await.unwrap();
    eventually("it is verified", || async { target.replica().await.verified.is_some() }).await;
    let last = source.fence(8, 20_000).await.unwrap();
    assert_eq!(target.complete(9, &last).await.unwrap(), last);
    source.seal(10, &last).await.unwrap();
    let status = target.promote((2, 1), &last).await.unwrap();
    assert_eq!((status.mode, status.damaged), (i32::from(v1::NodeMode::Serving), 3));
    let (here, there) = (target.engine.digest(&node()).await.unwrap(), source.engine.digest(&node()).await.unwrap());
    assert_eq!(here.0.root, there.0.root);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_copy_is_not_given_up_for_what_has_rotted_at_the_source_since() {
    let world = World::new();
    let (source, target) = pulling(&world, 5).await;
    let key = source.put(ObjectKind::Data, &bytes_of(600, 5_000)).await;
    super::world::caught_up(&source, &target).await;
    source.flip(key);
    assert_eq!(crate::engine::tests::reread(&source.engine, &node()).await.mismatched, [key]);
    eventually("it is told", || async { target.replica().await.failure.contains("the copy here is good") }).await;
    assert_eq!(std::fs::read(target.path(key)).unwrap(), bytes_of(600, 5_000), "INV-07");
    assert!(!target.engine.object(&node(), key).await.unwrap().unwrap().is_damaged());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_with_another_name_is_not_believed_to_be_the_source() {
    let world = World::new();
    let (source, target) = (world.shard("a").await, world.shard("b").await);
    source.fill(1).await;
    source.offer(1, "b").await.unwrap();
    let request = v1::StartReplicaRequest {
        node: node().to_string(),
        token: token(1),
        source: "c".into(),
        source_peer_address: source.address.clone(),
        accept_damaged: false,
    };
    target.client.clone().start_replica(request).await.unwrap();
    eventually("it says why", || async { target.replica().await.waiting_for.contains("cannot be reached") }).await;
    let waiting_for = target.replica().await.waiting_for;
    assert!(waiting_for.contains("expected was shard c"), "{waiting_for} in cluster {CLUSTER}");
    assert_eq!(target.status().await.objects, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn surplus_in_the_copy_is_found_when_it_is_compared() {
    let world = World::new();
    let (source, target) = pulling(&world, 5).await;
    super::world::caught_up(&source, &target).await;
    let lost = key_of(ObjectKind::Data, &bytes_of(4, 40_000));
    target.engine.apply_replica_delete(&node(), lost).await.unwrap();
    assert_ne!(source.root().await, target.root().await, "the checker sees a copy that lacks an object");
    target.verify(3).await.unwrap();
    eventually("it is fetched again", || async { target.replica().await.verified.is_some() }).await;
    assert_eq!(source.root().await, target.root().await);
}
