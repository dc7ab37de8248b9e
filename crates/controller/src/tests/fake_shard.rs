//! A shard without data: modes, tokens and seqs as the protocol says. What a command does is in the yard.

use super::yard::{Copy, Order, Yard, status};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1::{self, NodeMode, shard_control_server::ShardControl};
use shardlift_model::{Activity, NodeId, ShardId};
use tonic::{Request, Response, Status};

#[derive(Debug, Clone)]
pub(super) struct FakeShard {
    pub(super) shard: ShardId,
    pub(super) yard: Yard,
    pub(super) address: String,
}

type Answer<T> = Result<Response<T>, Status>;

impl FakeShard {
    fn order(&self, node: &str, token: Option<v1::Token>, order: Order) -> Result<Copy, Fault> {
        self.yard.command((&self.shard, node), token, order)
    }

    fn act(&self, node: &str, token: Option<v1::Token>, order: Order) -> Answer<v1::NodeStatus> {
        let copy = self.order(node, token, order)?;
        Ok(Response::new(status(&node.parse().unwrap(), &copy, None)))
    }

    fn at_source(&self, node: &str) -> Option<Copy> {
        let node: NodeId = node.parse().unwrap();
        self.yard.with(|copies| {
            let source = copies.all.get(&(self.shard.clone(), node.clone()))?.source.clone()?;
            if copies.gone.contains(&source) {
                return None;
            }
            copies.all.get(&(source, node)).cloned()
        })
    }
}

#[tonic::async_trait]
impl ShardControl for FakeShard {
    async fn describe_shard(&self, _: Request<v1::DescribeShardRequest>) -> Answer<v1::DescribeShardResponse> {
        self.yard.reach(&self.shard)?;
        let nodes = self.yard.with(|copies| copies.all.keys().filter(|(shard, _)| *shard == self.shard).count());
        Ok(Response::new(v1::DescribeShardResponse {
            shard: self.shard.to_string(),
            capacity_bytes: 1 << 40,
            free_bytes: 1 << 39,
            nodes: nodes as u64,
            load_bytes_per_second: self
                .yard
                .with(|copies| copies.load_capacities.get(&self.shard).copied().unwrap_or(0)),
            client_address: self.address.clone(),
            peer_address: self.address.clone(),
            ..Default::default()
        }))
    }

    async fn get_limits(&self, _: Request<v1::GetLimitsRequest>) -> Answer<v1::LimitsStatus> {
        self.yard.reach(&self.shard)?;
        Ok(Response::new(self.yard.with(|copies| copies.limits.entry(self.shard.clone()).or_default().1.clone())))
    }

    async fn take_revocations(&self, _: Request<v1::TakeRevocationsRequest>) -> Answer<v1::TakeRevocationsResponse> {
        Err(Status::unimplemented("a fake shard shuts nobody out"))
    }

    async fn set_limits(&self, request: Request<v1::SetLimitsRequest>) -> Answer<v1::LimitsStatus> {
        self.yard.reach(&self.shard)?;
        let request = request.into_inner();
        let set = self.yard.with(|copies| {
            let (term, present) = copies.limits.entry(self.shard.clone()).or_default();
            if request.term < *term || request.revision != present.revision {
                return Err(Fault::new(FaultKind::Refused, "the limits were changed meanwhile"));
            }
            *term = request.term;
            present.revision += 1;
            present.cap_bytes_per_second = request.bytes_per_second.unwrap_or(present.cap_bytes_per_second);
            present.windows = request.windows.unwrap_or_else(|| present.windows.clone());
            Ok(present.clone())
        });
        Ok(Response::new(set?))
    }

    async fn list_nodes(&self, request: Request<v1::ListNodesRequest>) -> Answer<v1::ListNodesResponse> {
        self.yard.reach(&self.shard)?;
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

    async fn list_activity(&self, request: Request<v1::ListActivityRequest>) -> Answer<v1::ListActivityResponse> {
        self.yard.reach(&self.shard)?;
        let after = request.into_inner().after;
        let nodes = self.yard.with(|copies| {
            let own = copies
                .activities
                .iter()
                .filter(|((shard, node), _)| *shard == self.shard && node.as_str() > after.as_str());
            let encoded = |((_, node), activity): (&(_, NodeId), &Activity)| v1::NodeActivity {
                node: node.to_string(),
                activity: activity.encode(),
            };
            own.take(2).map(encoded).collect::<Vec<_>>()
        });
        let next = nodes.last().filter(|_| nodes.len() == 2).map(|node| node.node.clone()).unwrap_or_default();
        Ok(Response::new(v1::ListActivityResponse { nodes, next }))
    }

    async fn get_node(&self, request: Request<v1::GetNodeRequest>) -> Answer<v1::NodeStatus> {
        self.yard.reach(&self.shard)?;
        let name = request.into_inner().node;
        let source = self.at_source(&name);
        let node: NodeId = name.parse().unwrap();
        let found = self.yard.with(|copies| {
            let copy = copies.all.get_mut(&(self.shard.clone(), node.clone()))?;
            copy.looks += 1;
            if copy.mode == NodeMode::Incoming
                && !copy.stocked
                && let Some(source) = &source
            {
                let reached = if copy.looks < 2 { source.seq / 2 } else { source.seq };
                copy.seq = copy.seq.max(reached);
            }
            Some(status(&node, copy, source.as_ref()))
        });
        Ok(Response::new(found.ok_or_else(|| Fault::new(FaultKind::NotFound, "no such node here"))?))
    }

    async fn set_node(&self, request: Request<v1::SetNodeRequest>) -> Answer<v1::NodeStatus> {
        let v1::SetNodeRequest { node, token, settings } = request.into_inner();
        self.act(&node, token, Order::Set { settings: settings.unwrap_or_default() })
    }

    async fn offer_node(&self, request: Request<v1::OfferNodeRequest>) -> Answer<v1::NodeStatus> {
        let v1::OfferNodeRequest { node, token, target } = request.into_inner();
        self.act(&node, token, Order::Offer { target })
    }

    async fn start_replica(&self, request: Request<v1::StartReplicaRequest>) -> Answer<v1::NodeStatus> {
        let v1::StartReplicaRequest { node, token, source, .. } = request.into_inner();
        self.act(&node, token, Order::StartReplica { source: source.parse().unwrap() })
    }

    async fn verify_replica(&self, request: Request<v1::VerifyReplicaRequest>) -> Answer<v1::NodeStatus> {
        let v1::VerifyReplicaRequest { node, token } = request.into_inner();
        self.act(&node, token, Order::VerifyReplica)
    }

    async fn get_history(&self, request: Request<v1::GetHistoryRequest>) -> Answer<v1::NodeHistory> {
        self.yard.reach(&self.shard)?;
        let node: NodeId = request.into_inner().node.parse().unwrap();
        let key = (self.shard.clone(), node);
        if !self.yard.with(|copies| copies.all.contains_key(&key)) {
            return Err(Status::not_found("no such node"));
        }
        let (snapshots, sessions, credentials) = (3, 2, 1);
        Ok(Response::new(v1::NodeHistory { snapshots, sessions, credentials, ..Default::default() }))
    }

    async fn deep_verify(&self, request: Request<v1::DeepVerifyRequest>) -> Answer<v1::NodeStatus> {
        let v1::DeepVerifyRequest { node, token, run, .. } = request.into_inner();
        self.act(&node, token, Order::DeepVerify { run })
    }

    async fn fence(&self, request: Request<v1::FenceRequest>) -> Answer<v1::FenceResponse> {
        let v1::FenceRequest { node, token, .. } = request.into_inner();
        let copy = self.order(&node, token, Order::Fence)?;
        Ok(Response::new(v1::FenceResponse { r#final: Some(copy.digest()) }))
    }

    async fn renew_fence(&self, request: Request<v1::RenewFenceRequest>) -> Answer<v1::RenewFenceResponse> {
        let v1::RenewFenceRequest { node, token, .. } = request.into_inner();
        self.order(&node, token, Order::RenewFence)?;
        Ok(Response::new(v1::RenewFenceResponse {}))
    }

    async fn unfence(&self, request: Request<v1::UnfenceRequest>) -> Answer<v1::NodeStatus> {
        let v1::UnfenceRequest { node, token } = request.into_inner();
        self.act(&node, token, Order::Unfence)
    }

    async fn complete_replica(
        &self,
        request: Request<v1::CompleteReplicaRequest>,
    ) -> Answer<v1::CompleteReplicaResponse> {
        let v1::CompleteReplicaRequest { node, token, r#final } = request.into_inner();
        let copy = self.order(&node, token, Order::CompleteReplica { expected: r#final.unwrap_or_default() })?;
        Ok(Response::new(v1::CompleteReplicaResponse { digest: Some(copy.digest()) }))
    }

    async fn seal(&self, request: Request<v1::SealRequest>) -> Answer<v1::SealResponse> {
        let v1::SealRequest { node, token, r#final } = request.into_inner();
        self.order(&node, token, Order::Seal { expected: r#final.unwrap_or_default() })?;
        Ok(Response::new(v1::SealResponse {}))
    }

    async fn promote(&self, request: Request<v1::PromoteRequest>) -> Answer<v1::NodeStatus> {
        let v1::PromoteRequest { node, token, r#final, follower } = request.into_inner();
        self.act(&node, token, Order::Promote { expected: r#final.unwrap_or_default(), follower })
    }

    async fn retire(&self, request: Request<v1::RetireRequest>) -> Answer<v1::NodeStatus> {
        let v1::RetireRequest { node, token, target, from_seq, .. } = request.into_inner();
        self.act(&node, token, Order::Retire { target: target.parse().unwrap(), from_seq })
    }

    async fn detach(&self, request: Request<v1::DetachRequest>) -> Answer<v1::NodeStatus> {
        let v1::DetachRequest { node, token } = request.into_inner();
        self.act(&node, token, Order::Detach)
    }

    async fn take_stock(&self, request: Request<v1::TakeStockRequest>) -> Answer<v1::TakeStockResponse> {
        let v1::TakeStockRequest { node, token } = request.into_inner();
        let copy = self.order(&node, token, Order::TakeStock)?;
        Ok(Response::new(v1::TakeStockResponse { digest: Some(copy.digest()) }))
    }

    async fn depose(&self, request: Request<v1::DeposeRequest>) -> Answer<v1::NodeStatus> {
        let v1::DeposeRequest { node, token } = request.into_inner();
        self.act(&node, token, Order::Depose)
    }

    async fn quarantine(&self, request: Request<v1::QuarantineRequest>) -> Answer<v1::NodeStatus> {
        let v1::QuarantineRequest { node, token } = request.into_inner();
        self.act(&node, token, Order::Quarantine)
    }

    async fn restore(&self, request: Request<v1::RestoreRequest>) -> Answer<v1::NodeStatus> {
        let v1::RestoreRequest { node, token } = request.into_inner();
        self.act(&node, token, Order::Restore)
    }

    async fn end_legacy_credentials(
        &self,
        request: Request<v1::EndLegacyCredentialsRequest>,
    ) -> Answer<v1::NodeStatus> {
        let v1::EndLegacyCredentialsRequest { node, token } = request.into_inner();
        self.act(&node, token, Order::EndLegacyCredentials)
    }

    async fn discard_replica(&self, request: Request<v1::DiscardReplicaRequest>) -> Answer<v1::NodeStatus> {
        let v1::DiscardReplicaRequest { node, token } = request.into_inner();
        self.act(&node, token, Order::DiscardReplica)
    }
}
