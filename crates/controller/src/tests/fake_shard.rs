//! A shard without data: modes, tokens and seqs as the protocol says.

use super::yard::{Copy, Yard, status};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1::{self, NodeMode, shard_control_server::ShardControl};
use shardlift_model::{NodeId, ShardId, Token};
use tonic::{Request, Response, Status};

#[derive(Debug, Clone)]
pub(super) struct FakeShard {
    pub(super) shard: ShardId,
    pub(super) yard: Yard,
    pub(super) address: String,
}

type Answer<T> = Result<Response<T>, Status>;

fn refused(text: &str) -> Fault {
    Fault::new(FaultKind::Refused, text)
}

impl FakeShard {
    fn act(
        &self,
        name: &'static str,
        node: &str,
        token: Option<v1::Token>,
        act: impl FnOnce(&mut Copy) -> Result<(), Fault>,
    ) -> Result<v1::NodeStatus, Fault> {
        let copy = self.yard.command(name, (&self.shard, node), token, act)?;
        Ok(status(&node.parse().unwrap(), &copy, None))
    }

    fn at_source(&self, node: &str) -> Option<Copy> {
        let node: NodeId = node.parse().unwrap();
        self.yard.with(|copies| {
            let source = copies.all.get(&(self.shard.clone(), node.clone()))?.source.clone()?;
            copies.all.get(&(source, node)).cloned()
        })
    }
}

#[tonic::async_trait]
impl ShardControl for FakeShard {
    async fn describe_shard(&self, _: Request<v1::DescribeShardRequest>) -> Answer<v1::DescribeShardResponse> {
        let nodes = self.yard.with(|copies| copies.all.keys().filter(|(shard, _)| *shard == self.shard).count());
        Ok(Response::new(v1::DescribeShardResponse {
            shard: self.shard.to_string(),
            capacity_bytes: 1 << 40,
            free_bytes: 1 << 39,
            nodes: nodes as u64,
            client_address: self.address.clone(),
            peer_address: self.address.clone(),
            ..Default::default()
        }))
    }

    async fn list_nodes(&self, request: Request<v1::ListNodesRequest>) -> Answer<v1::ListNodesResponse> {
        let after = request.into_inner().after;
        let nodes = self.yard.with(|copies| {
            let own =
                copies.all.iter().filter(|((shard, node), _)| *shard == self.shard && node.as_str() > after.as_str());
            // Two per page, so that paging is used.
            own.take(2).map(|((_, node), copy)| status(node, copy, None)).collect::<Vec<_>>()
        });
        let next = nodes.last().filter(|_| nodes.len() == 2).map(|node| node.node.clone()).unwrap_or_default();
        Ok(Response::new(v1::ListNodesResponse { nodes, next }))
    }

    async fn get_node(&self, request: Request<v1::GetNodeRequest>) -> Answer<v1::NodeStatus> {
        let name = request.into_inner().node;
        let source = self.at_source(&name);
        let node: NodeId = name.parse().unwrap();
        let found = self.yard.with(|copies| {
            let copy = copies.all.get_mut(&(self.shard.clone(), node.clone()))?;
            copy.looks += 1;
            if copy.mode == NodeMode::Incoming
                && let Some(source) = &source
            {
                copy.seq = if copy.looks < 2 { source.seq / 2 } else { source.seq };
            }
            Some(status(&node, copy, source.as_ref()))
        });
        Ok(Response::new(found.ok_or_else(|| Fault::new(FaultKind::NotFound, "no such node here"))?))
    }

    async fn set_node(&self, _: Request<v1::SetNodeRequest>) -> Answer<v1::NodeStatus> {
        Err(Status::unimplemented("not used"))
    }

    async fn offer_node(&self, request: Request<v1::OfferNodeRequest>) -> Answer<v1::NodeStatus> {
        let v1::OfferNodeRequest { node, token, target } = request.into_inner();
        let done = self.act("offer", &node, token, |copy| {
            copy.offered_to = Some(target);
            Ok(())
        });
        Ok(Response::new(done?))
    }

    async fn start_replica(&self, request: Request<v1::StartReplicaRequest>) -> Answer<v1::NodeStatus> {
        let v1::StartReplicaRequest { node, token, source, .. } = request.into_inner();
        let (name, source): (NodeId, ShardId) = (node.parse().unwrap(), source.parse().unwrap());
        let offered = self.yard.with(|copies| copies.all.get(&(source.clone(), name.clone()))?.offered_to.clone());
        if offered.as_deref() != Some(self.shard.as_str()) {
            return Err(refused("the source has not offered it").into());
        }
        self.yard.with(|copies| {
            copies.all.entry((self.shard.clone(), name)).or_insert_with(|| Copy {
                mode: NodeMode::Incoming,
                generation: 0,
                seq: 0,
                token: Token::default(),
                ..Copy::serving(0)
            });
        });
        let done = self.act("start_replica", &node, token, |copy| {
            if matches!(copy.mode, NodeMode::Serving | NodeMode::Fenced | NodeMode::Sealed) {
                return Err(refused("it is served here"));
            }
            copy.mode = NodeMode::Incoming;
            copy.source = Some(source);
            copy.verified = false;
            Ok(())
        });
        Ok(Response::new(done?))
    }

    async fn verify_replica(&self, request: Request<v1::VerifyReplicaRequest>) -> Answer<v1::NodeStatus> {
        let v1::VerifyReplicaRequest { node, token } = request.into_inner();
        let done = self.act("verify_replica", &node, token, |copy| {
            copy.verified = true;
            Ok(())
        });
        Ok(Response::new(done?))
    }

    async fn fence(&self, request: Request<v1::FenceRequest>) -> Answer<v1::FenceResponse> {
        let v1::FenceRequest { node, token, .. } = request.into_inner();
        let copy = self.yard.command("fence", (&self.shard, &node), token, |copy| {
            if !matches!(copy.mode, NodeMode::Serving | NodeMode::Fenced) {
                return Err(refused("it is not served here"));
            }
            copy.mode = NodeMode::Fenced;
            Ok(())
        })?;
        Ok(Response::new(v1::FenceResponse { r#final: Some(copy.digest()) }))
    }

    async fn renew_fence(&self, request: Request<v1::RenewFenceRequest>) -> Answer<v1::RenewFenceResponse> {
        let v1::RenewFenceRequest { node, token, .. } = request.into_inner();
        self.yard.command("renew_fence", (&self.shard, &node), token, |copy| match copy.mode {
            NodeMode::Fenced => Ok(()),
            _ => Err(refused("there is no fence")),
        })?;
        Ok(Response::new(v1::RenewFenceResponse {}))
    }

    async fn unfence(&self, request: Request<v1::UnfenceRequest>) -> Answer<v1::NodeStatus> {
        let v1::UnfenceRequest { node, token } = request.into_inner();
        let done = self.act("unfence", &node, token, |copy| {
            copy.mode = NodeMode::Serving;
            Ok(())
        });
        Ok(Response::new(done?))
    }

    async fn complete_replica(
        &self,
        request: Request<v1::CompleteReplicaRequest>,
    ) -> Answer<v1::CompleteReplicaResponse> {
        let v1::CompleteReplicaRequest { node, token, r#final } = request.into_inner();
        let copy = self.yard.command("complete_replica", (&self.shard, &node), token, |copy| {
            copy.seq = r#final.unwrap_or_default().seq;
            Ok(())
        })?;
        Ok(Response::new(v1::CompleteReplicaResponse { digest: Some(copy.digest()) }))
    }

    async fn seal(&self, request: Request<v1::SealRequest>) -> Answer<v1::SealResponse> {
        let v1::SealRequest { node, token, .. } = request.into_inner();
        self.yard.command("seal", (&self.shard, &node), token, |copy| match copy.mode {
            NodeMode::Fenced | NodeMode::Sealed => {
                copy.mode = NodeMode::Sealed;
                Ok(())
            }
            _ => Err(refused("there is no fence")),
        })?;
        Ok(Response::new(v1::SealResponse {}))
    }

    async fn promote(&self, request: Request<v1::PromoteRequest>) -> Answer<v1::NodeStatus> {
        let v1::PromoteRequest { node, token, r#final } = request.into_inner();
        let generation = token.as_ref().map_or(0, |token| token.generation);
        let done = self.act("promote", &node, token, |copy| {
            if r#final.unwrap_or_default() != copy.digest() {
                return Err(refused("the digest differs"));
            }
            copy.mode = NodeMode::Serving;
            copy.generation = generation;
            Ok(())
        });
        Ok(Response::new(done?))
    }

    async fn retire(&self, request: Request<v1::RetireRequest>) -> Answer<v1::NodeStatus> {
        let v1::RetireRequest { node, token, .. } = request.into_inner();
        let done = self.act("retire", &node, token, |copy| match copy.mode {
            NodeMode::Sealed | NodeMode::Retired => {
                copy.mode = NodeMode::Retired;
                Ok(())
            }
            _ => Err(refused("it is not sealed")),
        });
        Ok(Response::new(done?))
    }

    async fn end_legacy_credentials(
        &self,
        request: Request<v1::EndLegacyCredentialsRequest>,
    ) -> Answer<v1::NodeStatus> {
        let v1::EndLegacyCredentialsRequest { node, token } = request.into_inner();
        let done = self.act("end_legacy_credentials", &node, token, |copy| {
            copy.legacy_ended = true;
            Ok(())
        });
        Ok(Response::new(done?))
    }

    async fn discard_replica(&self, request: Request<v1::DiscardReplicaRequest>) -> Answer<v1::NodeStatus> {
        let v1::DiscardReplicaRequest { node, token } = request.into_inner();
        let done = self.act("discard_replica", &node, token, |copy| match copy.mode {
            NodeMode::Incoming | NodeMode::Discarded => {
                copy.mode = NodeMode::Discarded;
                Ok(())
            }
            _ => Err(refused("it was promoted")),
        });
        Ok(Response::new(done?))
    }
}
