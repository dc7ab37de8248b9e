//! Questions: what is here and how it is doing. They change nothing.

use super::fault::of_engine;
use super::{Control, message};
use crate::engine::{Mode, NodeSnapshot};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::{convert, v1};
use shardlift_model::NodeId;

/// Certificates that a history names.
const CERTIFICATES_NAMED_MAX: usize = 8;

/// Most nodes of one page.
const PAGE_MAX: u32 = 1000;

/// Nodes of a page when the caller does not say.
const PAGE_DEFAULT: u32 = 200;

impl Control {
    pub(super) async fn take_revocations(
        &self,
        request: v1::TakeRevocationsRequest,
    ) -> Result<v1::TakeRevocationsResponse, Fault> {
        self.revoked.take_brought(request).await
    }

    pub(super) async fn describe_shard(&self, _: v1::DescribeShardRequest) -> Result<v1::DescribeShardResponse, Fault> {
        let usage = self.engine.usage();
        let standing = self.engine.throttle().standing();
        Ok(v1::DescribeShardResponse {
            shard: self.about.shard.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capacity_bytes: usage.capacity.0,
            free_bytes: usage.free.0,
            nodes: usage.nodes,
            client_address: self.about.client_address.clone(),
            peer_address: self.about.peer_address.clone(),
            alarms: usage.alarms,
            bytes_per_second: standing.rate.unwrap_or(0),
            pace: standing.reason,
            load_bytes_per_second: self.about.load_capacity.unwrap_or(0),
            revocations: self.revoked.held(),
        })
    }

    pub(super) async fn list_nodes(&self, request: v1::ListNodesRequest) -> Result<v1::ListNodesResponse, Fault> {
        let (page, next) = self.page(&request.after, request.limit)?;
        Ok(v1::ListNodesResponse { nodes: page.iter().map(|node| self.status_of(node)).collect(), next })
    }

    pub(super) async fn list_activity(
        &self,
        request: v1::ListActivityRequest,
    ) -> Result<v1::ListActivityResponse, Fault> {
        let (page, next) = self.page(&request.after, request.limit)?;
        let activity = |node: &NodeSnapshot| {
            let activity = self.engine.activity(&node.node)?.encode();
            Some(v1::NodeActivity { node: node.node.to_string(), activity })
        };
        let served = page.iter().filter(|node| matches!(node.mode, Mode::Serving | Mode::Fenced));
        Ok(v1::ListActivityResponse { nodes: served.filter_map(activity).collect(), next })
    }

    /// Nodes after one that is named, and what to name for those after them.
    fn page(&self, after: &str, limit: u32) -> Result<(Vec<NodeSnapshot>, String), Fault> {
        let after: Option<NodeId> = if after.is_empty() { None } else { Some(convert::name("after", after)?) };
        let limit = if limit == 0 { PAGE_DEFAULT } else { limit.min(PAGE_MAX) };
        let limit = usize::try_from(limit).map_err(Fault::internal)?;
        let mut page = self.engine.nodes_after(after.as_ref(), limit + 1);
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|last| last.node.to_string()).unwrap_or_default();
        Ok((page, next))
    }

    pub(super) async fn get_node(&self, request: v1::GetNodeRequest) -> Result<v1::NodeStatus, Fault> {
        self.status(&convert::node(&request.node)?)
    }

    pub(super) async fn get_history(&self, request: v1::GetHistoryRequest) -> Result<v1::NodeHistory, Fault> {
        let node = convert::node(&request.node)?;
        let unknown = || Fault::new(FaultKind::NotFound, format!("node {node} is not on this shard"));
        let snapshots = self.engine.node(&node).ok_or_else(unknown)?.snapshots;
        let mut side = self.engine.side_data(&node).await.map_err(of_engine)?;
        side.seen_certificates.sort_by_key(|seen| std::cmp::Reverse(seen.last_seen));
        let last = side.seen_certificates.iter().take(CERTIFICATES_NAMED_MAX);
        Ok(v1::NodeHistory {
            snapshots,
            sessions: side.sessions.len() as u64,
            credentials: self.jobs.credential_lines(&node).await?,
            certificates: side.seen_certificates.len() as u64,
            last_certificates: last.map(message::certificate_message).collect(),
            settings: Some(message::settings_message(&side.settings)),
        })
    }

    /// A node as it is now.
    pub(super) fn status(&self, node: &NodeId) -> Result<v1::NodeStatus, Fault> {
        let unknown = || Fault::new(FaultKind::NotFound, format!("node {node} is not on this shard"));
        self.engine.node(node).map(|snapshot| self.status_of(&snapshot)).ok_or_else(unknown)
    }

    fn status_of(&self, snapshot: &NodeSnapshot) -> v1::NodeStatus {
        let connections = (self.connections)(&snapshot.node);
        message::node_status(snapshot, self.jobs.status(&snapshot.node), connections)
    }
}
