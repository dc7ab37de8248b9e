//! Commands to a former writer, and a node that has moved.

use super::world::{Shard, World, caught_up, node, pulling};
use shardlift_api::v1::{self, NodeDigest, NodeStatus};

type Answer = Result<NodeStatus, tonic::Status>;

/// Generation and step of a command.
type At = (u64, u64);

#[allow(clippy::unnecessary_wraps)] // As messages want it.
fn token(at: At) -> Option<v1::Token> {
    Some(v1::Token { term: 1, generation: at.0, step: at.1 })
}

impl Shard {
    pub(crate) async fn promote_for(&self, at: At, last: &NodeDigest, follower: &str) -> Answer {
        let request = v1::PromoteRequest {
            node: node().to_string(),
            token: token(at),
            r#final: Some(last.clone()),
            follower: follower.into(),
        };
        self.client.clone().promote(request).await.map(tonic::Response::into_inner)
    }

    /// Follows the target from where it was promoted.
    pub(crate) async fn retire(&self, at: At, target: &Shard) -> Answer {
        let request = v1::RetireRequest {
            node: node().to_string(),
            token: token(at),
            target: target.name.clone(),
            target_client_address: "127.0.0.1:1".into(),
            target_peer_address: target.address.clone(),
            from_seq: target.status().await.promoted_seq,
        };
        self.client.clone().retire(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn detach(&self, at: At) -> Answer {
        let request = v1::DetachRequest { node: node().to_string(), token: token(at) };
        self.client.clone().detach(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn quarantine(&self, at: At) -> Answer {
        let request = v1::QuarantineRequest { node: node().to_string(), token: token(at) };
        self.client.clone().quarantine(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn restore(&self, at: At) -> Answer {
        let request = v1::RestoreRequest { node: node().to_string(), token: token(at) };
        self.client.clone().restore(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn follow_again(&self, at: At, source: &Shard) -> Answer {
        let request = v1::StartReplicaRequest {
            node: node().to_string(),
            token: token(at),
            source: source.name.clone(),
            source_peer_address: source.address.clone(),
            accept_damaged: false,
        };
        self.client.clone().start_replica(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn verify_at(&self, at: At) -> Answer {
        let request = v1::VerifyReplicaRequest { node: node().to_string(), token: token(at) };
        self.client.clone().verify_replica(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn fence_at(&self, at: At) -> NodeDigest {
        let request =
            v1::FenceRequest { node: node().to_string(), token: token(at), lease_ms: 20_000, drain_ms_max: 50 };
        self.client.clone().fence(request).await.unwrap().into_inner().r#final.unwrap()
    }

    pub(crate) async fn complete_at(&self, at: At, last: &NodeDigest) -> Result<NodeDigest, tonic::Status> {
        let request =
            v1::CompleteReplicaRequest { node: node().to_string(), token: token(at), r#final: Some(last.clone()) };
        self.client.clone().complete_replica(request).await.map(|answer| answer.into_inner().digest.unwrap())
    }

    async fn seal_at(&self, at: At, last: &NodeDigest) {
        let request = v1::SealRequest { node: node().to_string(), token: token(at), r#final: Some(last.clone()) };
        self.client.clone().seal(request).await.unwrap();
    }
}

/// Moves the node from its writer to the shard that follows it, under the next generation. All answers are lost once.
pub(crate) async fn hand_over(writer: &Shard, follower: &Shard, generation: u64) {
    let last = writer.fence_at((generation - 1, 20)).await;
    for _ in 0..2 {
        assert_eq!(follower.complete_at((generation - 1, 21), &last).await.unwrap(), last);
    }
    writer.seal_at((generation - 1, 22), &last).await;
    writer.seal_at((generation - 1, 22), &last).await;
    let status = follower.promote_for((generation, 1), &last, &writer.name).await.unwrap();
    assert_eq!(follower.promote_for((generation, 1), &last, &writer.name).await.unwrap(), status);
    assert_eq!((status.generation, status.promoted_seq), (generation, status.seq));
    assert_eq!((status.forwards_to.as_str(), status.replica), ("", None));
    for _ in 0..2 {
        let status = writer.retire((generation, 2), follower).await.unwrap();
        assert_eq!((status.mode, status.forwards_to), (i32::from(v1::NodeMode::Incoming), follower.name.clone()));
    }
}

/// A node that has moved from a to b and is followed by a.
pub(crate) async fn moved(world: &World, packs: usize) -> (Shard, Shard) {
    let (source, target) = pulling(world, packs).await;
    caught_up(&source, &target).await;
    hand_over(&source, &target, 2).await;
    (source, target)
}
