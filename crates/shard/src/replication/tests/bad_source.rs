//! Sources that lie, break off, or send what cannot be meant: nothing of it is ever counted, and the copy says what is wrong.

use super::stand_in::{Answer, StandIn, frames, head, stand_in};
use super::world::{Shard, World, bytes_of, eventually, key_of, node, token};
use crate::engine::tests::temps;
use crate::replication::frame::Kind;
use shardlift_api::v1;
use shardlift_api::v1::replication_server::Replication;
use shardlift_model::{ObjectKey, ObjectKind, ObjectRecord};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tonic::{Request, Response, Status};

/// Lists one object.
struct Lister(ObjectRecord);

#[tonic::async_trait]
impl Replication for Lister {
    async fn list_objects(
        &self,
        _: Request<v1::ListObjectsRequest>,
    ) -> Result<Response<v1::ListObjectsResponse>, Status> {
        Ok(Response::new(v1::ListObjectsResponse {
            objects: vec![self.0.into()],
            more: false,
            seq: 1,
            objects_total: 1,
            bytes_total: self.0.size,
        }))
    }

    async fn read_journal(
        &self,
        _: Request<v1::ReadJournalRequest>,
    ) -> Result<Response<v1::ReadJournalResponse>, Status> {
        Ok(Response::new(v1::ReadJournalResponse { changes: Vec::new(), seq: 1 }))
    }

    async fn get_digest(&self, _: Request<v1::GetDigestRequest>) -> Result<Response<v1::NodeDigest>, Status> {
        Err(Status::unavailable("not now"))
    }

    async fn read_digest(&self, _: Request<v1::ReadDigestRequest>) -> Result<Response<v1::ReadDigestResponse>, Status> {
        Err(Status::unavailable("not now"))
    }

    async fn get_side_data(&self, _: Request<v1::GetSideDataRequest>) -> Result<Response<v1::SideData>, Status> {
        Err(Status::unavailable("not now"))
    }
}

/// A pack of 508 bytes, and what it consists of.
fn pack() -> (ObjectRecord, Vec<u8>) {
    let bytes = bytes_of(1, 500);
    let key = key_of(ObjectKind::Data, &bytes);
    (ObjectRecord { key, size: 508, sha256: key.expected_sha256().unwrap() }, bytes)
}

/// A copy that is pulled from a source that lists this object and gives what a test wants, each time it is asked.
async fn pull_from(
    world: &World,
    record: ObjectRecord,
    give: impl Fn(u64) -> Answer + Send + Sync + 'static,
) -> (Shard, StandIn, Arc<AtomicU64>) {
    let target = world.shard("b").await;
    let asked = Arc::new(AtomicU64::new(0));
    let counted = asked.clone();
    let giving = Arc::new(move |_: v1::FetchObjectsRequest| give(counted.fetch_add(1, Ordering::SeqCst)));
    let source = stand_in(world, "a", Lister(record), giving).await;
    let request = v1::StartReplicaRequest {
        node: node().to_string(),
        token: token(1),
        source: "a".into(),
        source_peer_address: source.address.clone(),
        accept_damaged: false,
    };
    target.client.clone().start_replica(request).await.unwrap();
    (target, source, asked)
}

/// Waits until the copy says this, with nothing counted and nothing left over of what was on its way.
async fn says(target: &Shard, record: ObjectRecord, text: &str) -> v1::Replica {
    eventually(text, || async {
        let replica = target.replica().await;
        assert_eq!(replica.objects_done, 0, "{replica:?}");
        replica.bytes_arriving == 0 && (replica.failure.contains(text) || replica.waiting_for.contains(text))
    })
    .await;
    assert!(target.engine.object(&node(), record.key).await.unwrap().is_none());
    assert!(!target.path(record.key).exists());
    target.replica().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_sends_wrong_bytes_is_asked_twice_and_never_counted() {
    let world = World::new();
    let (record, _) = pack();
    let lie = move |_| frames(0, record, &[7; 508], &record.sha256.0).into();
    let (target, _source, asked) = pull_from(&world, record, lie).await;
    let replica = says(&target, record, "damaged at the source").await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_ne!(replica.phase, i32::from(v1::ReplicaPhase::Following));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_changes_the_bytes_each_time_is_tried_again_and_never_counted() {
    let world = World::new();
    let (record, _) = pack();
    let lie = move |asked: u64| frames(0, record, &[u8::try_from(asked % 250).unwrap(); 508], &record.sha256.0).into();
    let (target, _source, asked) = pull_from(&world, record, lie).await;
    let replica = says(&target, record, "other bytes").await;
    assert!(asked.load(Ordering::SeqCst) >= 2 && replica.failure.is_empty(), "{replica:?}");
}

/// What a source sends, and what the copy says to it.
fn nonsense() -> Vec<(&'static str, ObjectRecord, Answer)> {
    let (small, bytes) = pack();
    // The same at a size that goes straight to the disk.
    let large = ObjectRecord { size: 3 << 20, ..small };
    let config = ObjectRecord { key: ObjectKey::Config, ..small };
    let of_zeros = |record, length: usize| Answer::from(frames(0, record, &vec![0; length], &[]));
    let cut = |whole: Vec<u8>, length: usize| Answer { bytes: whole[..length].to_vec(), last: true };
    vec![
        ("longer at the source than its index says", small, of_zeros(small, 509)),
        ("longer at the source than its index says", large, of_zeros(large, (3 << 20) + 1)),
        ("longer at the source than its index says", large, of_zeros(large, 64 << 20)),
        ("ended a transfer early", small, cut(frames(0, small, &bytes, &[]), 300)),
        ("ended a transfer early", large, cut(frames(0, large, &vec![0; 1 << 20], &[]), 70_000)),
        ("ended a transfer early", small, cut(Vec::new(), 0)),
        ("cannot be meant", small, [head(0, small), Kind::Data.head(0).to_vec()].concat().into()),
        ("cannot be meant", small, [head(0, small), head(0, small)].concat().into()),
        ("cannot be meant", small, vec![9, 0, 0, 1, 7].into()),
        ("cannot be meant", small, vec![Kind::Object as u8, 0, 0, 2, 0xff, 0xff].into()),
        ("another object than asked for", small, frames(1, small, &bytes, &[]).into()),
        ("another object than asked for", small, frames(0, config, &bytes, &[]).into()),
        ("has grown at the source", small, head(0, large).into()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_none_is_never_counted_and_says_what_is_wrong() {
    for (text, record, Answer { bytes, last }) in nonsense() {
        let world = World::new();
        let give = move |_| Answer { bytes: bytes.clone(), last };
        let (target, _source, _) = pull_from(&world, record, give).await;
        says(&target, record, text).await;
        target.discard(2).await.unwrap();
        eventually("nothing is left of it", || async { temps(&target.data).is_empty() }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_drop_again_and_again_delay_a_copy_and_no_more() {
    let world = World::new();
    let data = bytes_of(9, 2_500_000);
    let key = key_of(ObjectKind::Data, &data);
    let record = ObjectRecord { key, size: data.len() as u64, sha256: key.expected_sha256().unwrap() };
    let whole = frames(0, record, &data, &[]);
    let give = move |asked: u64| {
        let last = asked < 5;
        let kept = if last { whole.len() / 6 * usize::try_from(asked + 1).unwrap() } else { whole.len() };
        Answer { bytes: whole[..kept].to_vec(), last }
    };
    let (target, _source, asked) = pull_from(&world, record, give).await;
    eventually("it has arrived", || async { target.engine.object(&node(), key).await.unwrap() == Some(record) }).await;
    assert_eq!(asked.load(Ordering::SeqCst), 6);
    assert!(temps(&target.data).is_empty());
}
