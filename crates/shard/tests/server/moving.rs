//! Two shards and a node that moves between them as the controller would have it.

use crate::http::Http;
use crate::world::{ANY_PORT, NODE, Pair, Running, World, eventually};
use shardlift_api::v1;
use shardlift_model::Role;
use std::net::SocketAddr;

/// Generation and step of a command.
type At = (u64, u64);

#[allow(clippy::unnecessary_wraps)] // As messages want it.
fn token(at: At) -> Option<v1::Token> {
    Some(v1::Token { term: 1, generation: at.0, step: at.1 })
}

/// A shard that may come again on the same folder and the same addresses.
pub(crate) async fn second(world: &World, lines: &str) -> Running {
    world.shard_at("b", "data-b", [ANY_PORT; 2], lines).await
}

/// Where a shard is found, running or not.
pub(crate) struct Place {
    name: String,
    clients: SocketAddr,
    control: SocketAddr,
}

/// The second shard again, after its end, where it was before.
pub(crate) async fn again(world: &World, place: &Place) -> Running {
    world.shard_at("b", "data-b", [place.clients, place.control], "").await
}

impl Running {
    pub(crate) async fn offer(&self, at: At, target: &Self) {
        let request = v1::OfferNodeRequest { node: NODE.to_owned(), token: token(at), target: target.name.clone() };
        self.control.clone().offer_node(request).await.unwrap();
    }

    pub(crate) async fn start_replica(&self, at: At, source: &Self) {
        let request = v1::StartReplicaRequest {
            node: NODE.to_owned(),
            token: token(at),
            source: source.name.clone(),
            source_peer_address: source.control_address.to_string(),
            accept_damaged: false,
        };
        self.control.clone().start_replica(request).await.unwrap();
        self.caught_up(source).await;
    }

    /// The copy holds what the source holds now. What clients go on to store there meanwhile is not waited for.
    pub(crate) async fn caught_up(&self, source: &Self) {
        let seq = source.status(NODE).await.seq;
        eventually("the copy has caught up", || async {
            let replica = self.status(NODE).await.replica.unwrap_or_default();
            assert_eq!(replica.failure, "");
            let following = replica.phase == i32::from(v1::ReplicaPhase::Following);
            following && replica.applied_seq >= seq
        })
        .await;
    }

    pub(crate) async fn fence_at(&self, at: At) -> v1::NodeDigest {
        let request =
            v1::FenceRequest { node: NODE.to_owned(), token: token(at), lease_ms: 60_000, drain_ms_max: 5_000 };
        self.control.clone().fence(request).await.unwrap().into_inner().r#final.unwrap()
    }

    pub(crate) async fn retire_to(&self, at: At, target: &Self) {
        let from_seq = target.status(NODE).await.promoted_seq;
        self.retire_from(at, &target.place(), from_seq).await;
    }

    pub(crate) fn place(&self) -> Place {
        Place { name: self.name.clone(), clients: self.clients, control: self.control_address }
    }

    pub(crate) async fn retire_from(&self, at: At, target: &Place, from_seq: u64) {
        let request = v1::RetireRequest {
            node: NODE.to_owned(),
            token: token(at),
            target: target.name.clone(),
            target_client_address: target.clients.to_string(),
            target_peer_address: target.control.to_string(),
            from_seq,
        };
        self.control.clone().retire(request).await.unwrap();
    }

    pub(crate) async fn end_legacy_credentials_at(&self, node: &str, at: At) {
        let request = v1::EndLegacyCredentialsRequest { node: node.to_owned(), token: token(at) };
        self.control.clone().end_legacy_credentials(request).await.unwrap();
    }

    /// From the fence to the promotion of the follower.
    pub(crate) async fn give_to(&self, follower: &Self, generation: u64) {
        let last = self.seal_for(follower, generation - 1).await;
        self.promote_follower(follower, generation, last).await;
    }

    /// From the fence to the seal.
    pub(crate) async fn seal_for(&self, follower: &Self, generation: u64) -> v1::NodeDigest {
        let last = self.fence_at((generation, 50)).await;
        let (node, r#final) = (NODE.to_owned(), Some(last.clone()));
        let complete =
            v1::CompleteReplicaRequest { node: node.clone(), token: token((generation, 51)), r#final: r#final.clone() };
        let digest = follower.control.clone().complete_replica(complete).await.unwrap().into_inner().digest;
        assert_eq!(digest, r#final);
        let seal = v1::SealRequest { node, token: token((generation, 52)), r#final };
        self.control.clone().seal(seal).await.unwrap();
        last
    }

    pub(crate) async fn promote_follower(&self, follower: &Self, generation: u64, last: v1::NodeDigest) {
        let promote = v1::PromoteRequest {
            node: NODE.to_owned(),
            token: token((generation, 1)),
            r#final: Some(last),
            follower: self.name.clone(),
        };
        follower.control.clone().promote(promote).await.unwrap();
    }
}

/// A node at a, ready to be taken over by b, and the certificate of its client.
pub(crate) async fn following(world: &World, lines: &str) -> (Running, Running, Pair) {
    following_with(world, lines, v1::NodeSettings::default()).await
}

pub(crate) async fn following_with(world: &World, lines: &str, settings: v1::NodeSettings) -> (Running, Running, Pair) {
    let (a, b) = (world.shard_with(lines).await, second(world, lines).await);
    a.make_node(NODE, settings).await;
    let client = world.issue(Role::Node, NODE);
    let mut http = Http::open(world, &a, Some(&client), crate::http::BOTH[0]).await.unwrap();
    assert_eq!(http.post("/acme/web/config", b"the config").await.unwrap().status, 200);
    a.offer((1, 2), &b).await;
    b.start_replica((1, 2), &a).await;
    (a, b, client)
}

/// A node that has moved from a to b.
pub(crate) async fn moved(world: &World, lines: &str) -> (Running, Running, Pair) {
    let (a, b, client) = following(world, lines).await;
    a.give_to(&b, 2).await;
    a.retire_to((2, 2), &b).await;
    (a, b, client)
}
