//! Commands: form first, then the token, then the act.

use super::fault::of_engine;
use super::{Control, message};
use crate::engine::{Accepted, Mode, NodeSnapshot};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::{convert, v1};
use shardlift_model::{NodeId, ShardId, Token};
use std::time::Duration;

/// Longest lease of a fence: clients give up long before.
const LEASE_MAX: Duration = Duration::from_secs(600);

/// Shortest lease of a fence: below, it would be over before the answer is read.
const LEASE_MIN: Duration = Duration::from_millis(100);

/// Longest address in bytes.
const ADDRESS_BYTES_MAX: usize = 300;

pub(super) fn invalid(what: &str) -> Fault {
    Fault::new(FaultKind::Invalid, what)
}

pub(super) fn command(node: &str, token: Option<v1::Token>) -> Result<(NodeId, Token), Fault> {
    Ok((convert::node(node)?, convert::token(token)?))
}

fn lease(lease_ms: u32) -> Result<Duration, Fault> {
    let lease = Duration::from_millis(lease_ms.into());
    if (LEASE_MIN..=LEASE_MAX).contains(&lease) {
        return Ok(lease);
    }
    Err(invalid("lease_ms: 100 to 600000 is expected"))
}

/// `host:port` of another shard; `field` says which.
pub(super) fn address(field: &str, text: &str) -> Result<String, Fault> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
    match port {
        Some(1..) if text.len() <= ADDRESS_BYTES_MAX => Ok(text.to_owned()),
        _ => Err(invalid(&format!("{field}: host:port is expected"))),
    }
}

impl Control {
    pub(super) async fn set_node(&self, request: v1::SetNodeRequest) -> Result<v1::NodeStatus, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let settings = request.settings.ok_or_else(|| invalid("settings: the command needs them"))?;
        self.engine.configure(&node, token, message::settings(settings)?).await.map_err(of_engine)?;
        self.status(&node)
    }

    pub(super) async fn offer_node(&self, request: v1::OfferNodeRequest) -> Result<v1::NodeStatus, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let target = self.other_shard("target", &request.target)?;
        self.engine.offer(&node, token, target).await.map_err(of_engine)?;
        self.status(&node)
    }

    pub(super) async fn start_replica(&self, request: v1::StartReplicaRequest) -> Result<v1::NodeStatus, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let source = self.other_shard("source", &request.source)?;
        let address = address("source_peer_address", &request.source_peer_address)?;
        let _steering = self.jobs.steer(&node).await;
        let started = self.engine.start_incoming(&node, token, source, address, request.accept_damaged).await;
        if started.map_err(of_engine)? == Accepted::New {
            // Address or leave may have changed; what is here already stays.
            self.jobs.stop(&node).await;
        }
        if let Some(snapshot) = self.engine.node(&node) {
            self.jobs.start(&snapshot);
        }
        self.status(&node)
    }

    pub(super) async fn verify_replica(&self, request: v1::VerifyReplicaRequest) -> Result<v1::NodeStatus, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let _steering = self.jobs.steer(&node).await;
        let named = self.engine.ask_to_verify(&node, token).await.map_err(of_engine)?;
        self.jobs.verify(&node, named)?;
        self.status(&node)
    }

    pub(super) async fn deep_verify(&self, request: v1::DeepVerifyRequest) -> Result<v1::NodeStatus, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let v1::DeepVerifyRequest { run, bytes_per_second, .. } = request;
        self.engine.deep_verify(&node, token, run, bytes_per_second).await.map_err(of_engine)?;
        self.status(&node)
    }

    pub(super) async fn complete_replica(
        &self,
        request: v1::CompleteReplicaRequest,
    ) -> Result<v1::CompleteReplicaResponse, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let expected = message::final_state(request.r#final)?;
        self.engine.accept_token(&node, token).await.map_err(of_engine)?;
        self.incoming(&node)?;
        let state = self.jobs.complete(&node, token, expected).await?;
        Ok(v1::CompleteReplicaResponse { digest: Some(message::final_message(&state)) })
    }

    pub(super) async fn fence(&self, request: v1::FenceRequest) -> Result<v1::FenceResponse, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let lease = lease(request.lease_ms)?;
        let drain_max = Duration::from_millis(request.drain_ms_max.into());
        if drain_max > lease {
            return Err(invalid("drain_ms_max: longer than the lease"));
        }
        let fenced = self.engine.admission().fence(&node, token, lease, drain_max).await.map_err(of_engine)?;
        Ok(v1::FenceResponse { r#final: Some(message::final_message(&fenced.last)) })
    }

    pub(super) async fn renew_fence(&self, request: v1::RenewFenceRequest) -> Result<v1::RenewFenceResponse, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let lease = lease(request.lease_ms)?;
        self.engine.admission().renew(&node, token, lease).await.map_err(of_engine)?;
        Ok(v1::RenewFenceResponse {})
    }

    pub(super) async fn unfence(&self, request: v1::UnfenceRequest) -> Result<v1::NodeStatus, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        self.engine.admission().unfence(&node, token).await.map_err(of_engine)?;
        self.status(&node)
    }

    pub(super) async fn seal(&self, request: v1::SealRequest) -> Result<v1::SealResponse, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let expected = message::final_state(request.r#final)?;
        self.engine.admission().seal(&node, token, expected).await.map_err(of_engine)?;
        Ok(v1::SealResponse {})
    }

    /// The job ends first: a writer takes nothing from a source. It comes back when the promotion is refused.
    pub(super) async fn promote(&self, request: v1::PromoteRequest) -> Result<v1::NodeStatus, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let expected = message::final_state(request.r#final)?;
        let follower = match request.follower.as_str() {
            "" => None,
            text => Some(self.other_shard("follower", text)?),
        };
        let _steering = self.jobs.steer(&node).await;
        self.engine.accept_token(&node, token).await.map_err(of_engine)?;
        self.jobs.stop(&node).await;
        let promoted = self.engine.admission().promote(&node, token, expected, follower).await;
        if promoted.is_err()
            && let Some(snapshot) = self.engine.node(&node)
        {
            self.jobs.start(&snapshot);
        }
        promoted.map_err(of_engine)?;
        self.status(&node)
    }

    pub(super) async fn end_legacy_credentials(
        &self,
        request: v1::EndLegacyCredentialsRequest,
    ) -> Result<v1::NodeStatus, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        self.engine.end_legacy_credentials(&node, token).await.map_err(of_engine)?;
        self.status(&node)
    }

    /// INV-07, INV-12: the engine refuses unless the node is an incoming copy, in the transaction that records it; the
    /// job ends before the files go.
    pub(super) async fn discard_replica(&self, request: v1::DiscardReplicaRequest) -> Result<v1::NodeStatus, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let _steering = self.jobs.steer(&node).await;
        let discardable = |snapshot: &NodeSnapshot| {
            matches!(snapshot.mode, Mode::Incoming { .. })
                && !snapshot.replica.as_ref().is_some_and(|replica| replica.resumed)
        };
        if self.engine.node(&node).as_ref().is_some_and(discardable) {
            self.engine.accept_token(&node, token).await.map_err(of_engine)?;
            self.jobs.stop(&node).await;
        }
        self.engine.discard(&node, token).await.map_err(of_engine)?;
        self.status(&node)
    }

    /// The name of a shard in a command, which is never this one.
    pub(super) fn other_shard(&self, field: &'static str, text: &str) -> Result<ShardId, Fault> {
        let shard: ShardId = convert::name(field, text)?;
        if shard == self.about.shard { Err(invalid(&format!("{field}: the shard itself"))) } else { Ok(shard) }
    }

    fn incoming(&self, node: &NodeId) -> Result<(), Fault> {
        match self.engine.node(node).map(|snapshot| snapshot.mode) {
            Some(Mode::Incoming { .. }) => Ok(()),
            Some(mode) => {
                Err(Fault::new(FaultKind::Refused, format!("the node is {} here, not incoming", mode.word())))
            }
            None => Err(Fault::new(FaultKind::NotFound, format!("node {node} is not on this shard"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_leases_that_cannot_be_meant_are_refused() {
        for text in ["", "host", "host:", ":1", "host:0", "host:99999", &format!("{}:1", "x".repeat(400))] {
            assert_eq!(address("x", text).unwrap_err().kind(), FaultKind::Invalid, "{text}");
        }
        for text in ["127.0.0.1:1", "shard-b.example:8443", "[::1]:65535"] {
            assert_eq!(address("x", text).unwrap(), text);
        }
        assert!(lease(99).is_err() && lease(600_001).is_err());
        assert_eq!(lease(100).unwrap(), LEASE_MIN);
    }
}
