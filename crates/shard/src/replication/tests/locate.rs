//! What differs between two copies is found without a listing.

use super::world::{World, bytes_of, caught_up, eventually, key_of, node, pulling};
use bytes::Bytes;
use shardlift_api::v1::{self, replication_client::ReplicationClient};
use shardlift_model::{ObjectKind, ObjectRecord};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_difference_is_found_by_the_digests_alone_and_mended() {
    let world = World::new();
    let (source, target) = pulling(&world, 3).await;
    for number in 0..300 {
        source.put(ObjectKind::Data, &bytes_of(1000 + number, 20)).await;
    }
    caught_up(&source, &target).await;
    // Some are lost here, and one is here that is not there.
    let lost: Vec<_> =
        (0..300).step_by(37).map(|number| key_of(ObjectKind::Data, &bytes_of(1000 + number, 20))).collect();
    for key in &lost {
        target.engine.apply_replica_delete(&node(), *key).await.unwrap();
    }
    let surplus = bytes_of(5000, 20);
    let key = key_of(ObjectKind::Data, &surplus);
    let record = ObjectRecord { key, size: 20, sha256: key.expected_sha256().unwrap() };
    let stored = target.engine.put_replica_batch(&node(), vec![(record, Bytes::from(surplus))], false).await.unwrap();
    assert!(stored.iter().all(Result::is_ok));
    assert_ne!(source.root().await, target.root().await);
    let (pages, sent) = (source.counters.pages(), source.counters.objects());
    target.verify(3).await.unwrap();
    eventually("it is equal again", || async { target.replica().await.verified.is_some() }).await;
    assert_eq!(source.root().await, target.root().await);
    assert_eq!(source.counters.objects() - sent, lost.len() as u64, "what was lost and nothing else");
    assert_eq!(source.counters.pages(), pages, "nothing was listed");
    assert!(!target.path(key).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_is_read_at_places_that_can_be_and_not_at_too_many() {
    let world = World::new();
    let (source, _target) = pulling(&world, 2).await;
    let read = async |places: Vec<v1::DigestPlace>| {
        let mut client: ReplicationClient<_> = world.puller("b", &source);
        client.read_digest(v1::ReadDigestRequest { node: node().to_string(), places }).await
    };
    let place = v1::DigestPlace { kind: v1::ObjectKind::Data.into(), digits: 0, name: vec![0; 32] };
    let parts = read(vec![place.clone(); 64]).await.unwrap().into_inner().parts;
    assert!(parts.len() == 64 && parts.iter().all(|part| part.children.is_empty() && !part.objects.is_empty()));
    for (wrong, expected) in [
        (vec![place.clone(); 65], "more than 64"),
        (vec![v1::DigestPlace { digits: 65, ..place.clone() }], "do not fit"),
        (vec![v1::DigestPlace { kind: 9, ..place.clone() }], "do not fit"),
        (vec![v1::DigestPlace { name: vec![1; 32], ..place.clone() }], "do not fit"),
        (vec![v1::DigestPlace { name: vec![0; 31], ..place }], "do not fit"),
    ] {
        let refused = read(wrong).await.unwrap_err();
        assert!(refused.message().contains(expected), "{refused}");
    }
}
