//! Back without the writer: it dies for good, or is only cut off and returns.

use super::aftermath::{hand_over, moved};
use super::stand_in::{absent, stand_in};
use super::world::{Shard, World, bytes_of, caught_up, eventually, key_of, node};
use crate::admission::{Access, Entry};
use crate::engine::Mode;
use bytes::Bytes;
use shardlift_api::fault::FaultKind;
use shardlift_api::v1::replication_server::Replication;
use shardlift_api::v1::{self, NodeDigest, NodeStatus};
use shardlift_model::{ObjectKey, ObjectKind, ObjectRecord};
use std::sync::Arc;
use tonic::{Request, Response, Status};

#[allow(clippy::unnecessary_wraps)] // As messages want it.
fn token(at: (u64, u64)) -> Option<v1::Token> {
    Some(v1::Token { term: 1, generation: at.0, step: at.1 })
}

impl Shard {
    async fn take_stock(&self, at: (u64, u64)) -> Result<NodeDigest, Status> {
        let request = v1::TakeStockRequest { node: node().to_string(), token: token(at) };
        self.client.clone().take_stock(request).await.map(|answer| answer.into_inner().digest.unwrap())
    }

    async fn depose(&self, at: (u64, u64)) -> Result<NodeStatus, Status> {
        let request = v1::DeposeRequest { node: node().to_string(), token: token(at) };
        self.client.clone().depose(request).await.map(Response::into_inner)
    }

    async fn offer_at(&self, at: (u64, u64), target: &str) {
        let request = v1::OfferNodeRequest { node: node().to_string(), token: token(at), target: target.into() };
        self.client.clone().offer_node(request).await.unwrap();
    }

    async fn has(&self, key: ObjectKey) -> bool {
        self.engine.object(&node(), key).await.unwrap().is_some() && self.path(key).exists()
    }

    async fn takes_clients(&self) -> bool {
        matches!(self.engine.admission().enter(&node(), Access::Mutate).await, Entry::Admitted(_))
    }
}

fn stale(outcome: Result<NodeStatus, Status>) -> bool {
    outcome.is_err_and(|status| FaultKind::from(&status) == FaultKind::StaleToken)
}

/// The copy stands still: nothing follows, not after a restart either.
fn stands_still(shard: &Shard) -> bool {
    shard.jobs.status(&node()).is_none() && matches!(shard.engine.node(&node()).unwrap().mode, Mode::Stocked { .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_goes_back_without_its_writer_which_gives_it_up_when_it_returns() {
    let world = World::new();
    let (former, writer) = moved(&world, 12).await;
    let kept = writer.put(ObjectKind::Snapshots, &bytes_of(900, 300)).await;
    caught_up(&writer, &former).await;
    let accepted = writer.seq().await;
    let address = former.kill();
    // What nobody but the writer has: given up.
    let lost = writer.put(ObjectKind::Data, &bytes_of(901, 300)).await;
    let deleted = key_of(ObjectKind::Index, &bytes_of(1, 300));
    writer.delete(deleted).await.unwrap();
    let place = writer.kill();

    let former = world.shard_at("a", &address).await;
    let stock = former.take_stock((2, 5)).await.unwrap();
    assert_eq!((stock.seq, former.take_stock((2, 5)).await.unwrap()), (accepted, stock.clone()));
    let (digest, _) = former.engine.digest(&node()).await.unwrap();
    assert_eq!((stock.root.clone(), stock.objects), (digest.root.0.to_vec(), digest.objects), "locks included");
    let replica = former.replica().await;
    assert_eq!((replica.phase, replica.applied_seq), (i32::from(v1::ReplicaPhase::Complete), accepted));
    let address = former.kill();
    let former = world.shard_at("a", &address).await;
    assert!(stands_still(&former) && !former.takes_clients().await);
    assert_eq!(former.status().await.mode, i32::from(v1::NodeMode::Incoming));

    let mut other = stock.clone();
    other.seq += 1;
    assert!(former.promote_for((3, 1), &other, "b").await.is_err());
    assert!(stands_still(&former), "a promotion that is refused starts nothing");
    former.promote_for((3, 2), &stock, "b").await.unwrap();
    assert!(former.has(kept).await && former.has(deleted).await && !former.has(lost).await, "INV-02 up to that seq");
    let new = former.put(ObjectKind::Snapshots, &bytes_of(902, 300)).await;

    // It knows of nothing yet.
    let returned = world.shard_at("b", &place).await;
    assert!(returned.takes_clients().await);
    for step in [3, 3, 4] {
        let status = returned.depose((3, step)).await.unwrap();
        assert_eq!((status.mode, status.forwards_to.as_str()), (i32::from(v1::NodeMode::Retired), ""));
    }
    assert!(stale(returned.promote_for((2, 1), &stock, "a").await), "INV-03");
    assert!(stale(returned.retire((3, 1), &former).await), "INV-03");
    let place = returned.kill();
    let returned = world.shard_at("b", &place).await;
    assert!(!returned.takes_clients().await && returned.jobs.status(&node()).is_none());
    assert!(returned.try_put(&node(), new, &bytes_of(902, 300)).await.is_err(), "INV-01");
    assert!(returned.has(lost).await, "what it has is kept");

    // There again, as a copy like a first one.
    former.offer_at((3, 10), "b").await;
    let listed = former.counters.pages();
    returned.follow_again((3, 11), &former).await.unwrap();
    eventually("all of the writer is there", || async { returned.has(new).await && returned.has(deleted).await }).await;
    assert!(former.counters.pages() > listed, "it begins by listing");
    hand_over(&former, &returned, 4).await;
    assert!(!returned.has(lost).await, "what only it had is no longer the node's");
    let (here, there) = (former.engine.digest(&node()).await.unwrap(), returned.engine.digest(&node()).await.unwrap());
    assert_eq!(here.0, there.0);
    returned.put(ObjectKind::Data, &bytes_of(903, 300)).await;
    caught_up(&returned, &former).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verified_copy_of_a_deposed_writer_has_nothing_of_its_own() {
    let world = World::new();
    let (former, writer) = moved(&world, 5).await;
    caught_up(&writer, &former).await;
    let stock = former.take_stock((2, 5)).await.unwrap();
    let lost = writer.put(ObjectKind::Data, &bytes_of(901, 300)).await;
    former.promote_for((3, 1), &stock, "b").await.unwrap();
    writer.depose((3, 3)).await.unwrap();
    former.offer_at((3, 4), "b").await;
    writer.follow_again((3, 5), &former).await.unwrap();
    writer.verify_at((3, 6)).await.unwrap();
    eventually("it is verified", || async { writer.replica().await.verified.is_some() }).await;
    assert!(!writer.has(lost).await);
    assert_eq!(former.root().await, writer.root().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_only_cut_off_is_followed_no_more() {
    let world = World::new();
    let (former, writer) = moved(&world, 5).await;
    caught_up(&writer, &former).await;
    let stock = former.take_stock((2, 5)).await.unwrap();
    let late = writer.put(ObjectKind::Data, &bytes_of(901, 300)).await;
    assert!(stands_still(&former));
    for refused in [
        former.follow_again((2, 4), &writer).await,
        former.retire((2, 3), &writer).await,
        former.detach((2, 2)).await,
        former.verify_at((2, 1)).await,
    ] {
        assert!(stale(refused), "INV-03: a command that came late");
    }
    for refused in [
        former.follow_again((2, 6), &writer).await.unwrap_err(),
        former.retire((2, 7), &writer).await.unwrap_err(),
        former.verify_at((2, 8)).await.unwrap_err(),
        former.complete_at((2, 9), &stock).await.unwrap_err(),
    ] {
        assert_eq!(FaultKind::from(&refused), FaultKind::Refused, "{refused:?}");
    }
    assert!(stands_still(&former) && !former.has(late).await);
    assert_eq!(former.take_stock((2, 10)).await.unwrap(), stock);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_that_is_refused_leaves_the_copy_as_it_was() {
    let world = World::new();
    let (former, writer) = moved(&world, 5).await;
    for refused in [writer.take_stock((2, 5)).await.unwrap_err(), former.take_stock((2, 1)).await.unwrap_err()] {
        assert!(matches!(FaultKind::from(&refused), FaultKind::Refused | FaultKind::StaleToken), "{refused:?}");
    }
    let put = writer.put(ObjectKind::Data, &bytes_of(901, 300)).await;
    eventually("it follows", || async { former.has(put).await }).await;
    // The token alone is durable, and then the shard dies: it is as if nobody had asked.
    former.engine.accept_token(&node(), shardlift_model::Token::new(1, 2, 6)).await.unwrap();
    let address = former.kill();
    let former = world.shard_at("a", &address).await;
    let put = writer.put(ObjectKind::Data, &bytes_of(902, 300)).await;
    eventually("it follows", || async { former.has(put).await }).await;
    assert_eq!(former.take_stock((2, 6)).await.unwrap().seq, writer.seq().await);
}

/// A writer that tells its journal change by change and has none of its objects any more, up to where it dies.
struct Dying {
    changes: Vec<v1::Change>,
    /// The last change that it tells.
    last: u64,
}

#[tonic::async_trait]
impl Replication for Dying {
    async fn list_objects(
        &self,
        _: Request<v1::ListObjectsRequest>,
    ) -> Result<Response<v1::ListObjectsResponse>, Status> {
        Err(Status::unavailable("gone"))
    }

    async fn read_journal(
        &self,
        request: Request<v1::ReadJournalRequest>,
    ) -> Result<Response<v1::ReadJournalResponse>, Status> {
        let after = request.get_ref().after_seq;
        if after >= self.last {
            return Err(Status::unavailable("gone"));
        }
        let changes = self.changes.iter().filter(|change| change.seq == after + 1).cloned().collect();
        let seq = self.changes.last().unwrap().seq;
        Ok(Response::new(v1::ReadJournalResponse { changes, seq }))
    }

    async fn get_digest(&self, _: Request<v1::GetDigestRequest>) -> Result<Response<v1::NodeDigest>, Status> {
        Err(Status::unavailable("gone"))
    }

    async fn read_digest(&self, _: Request<v1::ReadDigestRequest>) -> Result<Response<v1::ReadDigestResponse>, Status> {
        Err(Status::unavailable("gone"))
    }

    async fn get_side_data(&self, _: Request<v1::GetSideDataRequest>) -> Result<Response<v1::SideData>, Status> {
        Err(Status::unavailable("gone"))
    }
}

fn put(seq: u64, kind: ObjectKind, bytes: &[u8]) -> v1::Change {
    let key = key_of(kind, bytes);
    let sha256 = key.expected_sha256().unwrap();
    let record = ObjectRecord { key, size: bytes.len() as u64, sha256 };
    v1::Change { seq, at_unix_ms: 1, what: Some(v1::change::What::Put(record.into())) }
}

fn delete(seq: u64, key: ObjectKey) -> v1::Change {
    v1::Change { seq, at_unix_ms: 1, what: Some(v1::change::What::Delete(key.into())) }
}

/// A prune that repacks: the new pack was itself repacked before it could be fetched. Until the newest is here, nothing may go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_dies_in_the_middle_of_a_prune_takes_nothing_with_it() {
    let world = World::new();
    let (former, writer) = moved(&world, 5).await;
    caught_up(&writer, &former).await;
    let (seq, content) = (writer.seq().await, former.root().await);
    drop(writer.kill());
    let old = key_of(ObjectKind::Data, &bytes_of(3, 5_000));
    assert!(former.has(old).await);
    let repacked = key_of(ObjectKind::Data, &bytes_of(700, 300));
    let changes = vec![
        put(seq + 1, ObjectKind::Data, &bytes_of(700, 300)),
        delete(seq + 2, old),
        put(seq + 3, ObjectKind::Data, &bytes_of(701, 300)),
        delete(seq + 4, repacked),
    ];
    let nothing_left = Arc::new(|request: v1::FetchObjectsRequest| absent(request.objects.len()).into());
    let dying = stand_in(&world, "b", Dying { changes, last: seq + 2 }, nothing_left).await;
    let request = v1::StartReplicaRequest {
        node: node().to_string(),
        token: token((2, 4)),
        source: "b".into(),
        source_peer_address: dying.address.clone(),
        accept_damaged: false,
    };
    former.client.clone().start_replica(request).await.unwrap();
    eventually("it has come to where the writer dies", || async {
        former.replica().await.waiting_for.contains("gone")
    })
    .await;
    let stock = former.take_stock((2, 5)).await.unwrap();
    assert_eq!((stock.seq, former.root().await), (seq, content), "what was there at that seq, whole");
    assert!(former.has(old).await, "INV-02");
}

/// The pack of a page cannot be fetched: what names it does not come, and what it replaces does not go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_here_never_refers_to_what_is_not() {
    let world = World::new();
    let (former, writer) = moved(&world, 5).await;
    caught_up(&writer, &former).await;
    let seq = writer.seq().await;
    let address = former.kill();
    let old = key_of(ObjectKind::Data, &bytes_of(3, 5_000));
    let good = writer.put(ObjectKind::Data, &bytes_of(700, 300)).await;
    let unreachable = writer.put(ObjectKind::Data, &Bytes::from(bytes_of(701, 300))).await;
    let index = writer.put(ObjectKind::Index, &bytes_of(702, 300)).await;
    let snapshot = writer.put(ObjectKind::Snapshots, &bytes_of(703, 300)).await;
    writer.delete(old).await.unwrap();
    std::fs::remove_file(writer.path(unreachable)).unwrap();
    let former = world.shard_at("a", &address).await;
    eventually("it says so", || async { former.replica().await.failure.contains("missing at the source") }).await;
    drop(writer.kill());
    let stock = former.take_stock((2, 5)).await.unwrap();
    assert_eq!(stock.seq, seq);
    assert!(former.has(old).await, "INV-02");
    assert!(!former.has(index).await && !former.has(snapshot).await);
    assert!(former.has(good).await, "a pack that nobody names does no harm");
    former.promote_for((3, 1), &stock, "b").await.unwrap();
}
