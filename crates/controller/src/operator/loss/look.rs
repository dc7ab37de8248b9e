//! Asking shards that may be gone. A process that is being restarted gets the time for it; all shards get it at the same time.

use super::super::OperatorService;
use crate::channels::{Deadline as _, Within as _};
use crate::inventory::list_nodes;
use futures::StreamExt as _;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_model::{NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Between questions to a silent shard.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Shards that are looked at at the same time.
const SHARDS_AT_ONCE: usize = 16;

const NOT_THERE: &str = "does not have it any more";
const SILENT: &str = "does not answer";

/// What shards said of all their nodes.
#[derive(Debug, Default)]
pub(super) struct Looks(BTreeMap<ShardId, Option<BTreeMap<NodeId, v1::NodeStatus>>>);

impl Looks {
    /// What a shard says of a node, or why it says nothing.
    pub(super) fn of(&self, shard: &ShardId, node: &NodeId) -> Result<&v1::NodeStatus, String> {
        match self.0.get(shard) {
            Some(Some(nodes)) => nodes.get(node).ok_or_else(|| NOT_THERE.to_owned()),
            _ => Err(SILENT.to_owned()),
        }
    }
}

impl OperatorService {
    /// What a node's writer says of it, or why it says nothing.
    pub(super) async fn ask_writer(&self, writer: &ShardId, node: &NodeId) -> Result<v1::NodeStatus, String> {
        let until = Instant::now() + self.context.pace.silence;
        loop {
            match timeout_at(until, self.context.node_at(writer, node)).await {
                Ok(Ok(status)) => return Ok(status),
                Ok(Err(status)) if FaultKind::from(&status) == FaultKind::NotFound => return Err(NOT_THERE.to_owned()),
                Ok(Err(_)) if Instant::now() + ASK_AGAIN < until => tokio::time::sleep(ASK_AGAIN).await,
                Ok(Err(_)) | Err(_) => return Err(SILENT.to_owned()),
            }
        }
    }

    /// One look at each of these shards, side by side.
    ///
    /// # Errors
    /// A shard that answers and does not list its nodes: it is not gone, and nothing is known of it.
    pub(super) async fn look_at(&self, shards: BTreeSet<ShardId>) -> Result<Looks, Fault> {
        let looks = futures::stream::iter(shards).map(|shard| async move {
            let nodes = self.nodes_of(&shard).await?;
            Ok((shard, nodes))
        });
        let looks: Vec<Result<_, Fault>> = looks.buffer_unordered(SHARDS_AT_ONCE).collect().await;
        looks.into_iter().collect::<Result<_, _>>().map(Looks)
    }

    /// All nodes of a shard; `None` when it says nothing.
    async fn nodes_of(&self, shard: &ShardId) -> Result<Option<BTreeMap<NodeId, v1::NodeStatus>>, Fault> {
        let until = Instant::now() + self.context.pace.silence;
        let Some(address) = self.context.shard_address(shard) else { return Ok(None) };
        let mut client = self.context.channels.shard(shard, &address);
        loop {
            let left = until.saturating_duration_since(Instant::now()).max(ASK_AGAIN);
            // Whether it is there shows at once; its list may be long.
            let described = client.describe_shard(left.on(v1::DescribeShardRequest {})).within(left).await;
            let listed = match described {
                Ok(_) => list_nodes(&mut client).await.map(Some),
                Err(_silent) => Ok(None),
            };
            match listed {
                Ok(Some(nodes)) => return Ok(Some(nodes)),
                Ok(None) | Err(_) if Instant::now() + ASK_AGAIN < until => tokio::time::sleep(ASK_AGAIN).await,
                Ok(None) => return Ok(None),
                Err(status) => {
                    let what = format!("{shard} answers and does not list its nodes: {}", status.message());
                    return Err(Fault::new(FaultKind::Unavailable, format!("{what}\ntry again")));
                }
            }
        }
    }
}
