//! The doctor: asks every shard and router anew, and compares what they say with what is recorded. Changes nothing.
//!
//! A node whose move went on while the parts were asked is left out: what was seen of it is from two different moments. A part
//! that does not answer is named, and nothing is concluded from its silence.

mod certificates;
mod expected;
mod findings;

use super::OperatorService;
use crate::channels::{Deadline as _, Within as _};
use crate::clock;
use crate::effects::read_back_routes;
use crate::inventory::list_nodes;
use findings::{Seen, findings};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::{convert, v1};
use shardlift_migration::World;
use shardlift_model::{NodeId, Step};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a part may take to introduce itself; its lists have limits of their own.
const DEADLINE: Duration = Duration::from_secs(5);

/// Most findings in one answer.
const FINDINGS_MAX: usize = 1000;

impl OperatorService {
    /// Compares one node, or all.
    pub(super) async fn diagnose_named(&self, name: &str) -> Result<v1::DiagnoseResponse, Fault> {
        let only: Option<NodeId> = if name.is_empty() { None } else { Some(convert::node(name)?) };
        let before = self.context.shared.world(steps);
        if let Some(node) = only.as_ref().filter(|node| !before.contains_key(*node)) {
            let text = format!("node {node} is not known\n`shardlift node list` shows all nodes");
            return Err(Fault::new(FaultKind::NotFound, text));
        }
        let (seen, unchecked) = self.look_at_all().await;
        let (mut found, nodes_checked) = self.context.shared.world(|world| {
            let stood_still = |node: &&shardlift_migration::Node| {
                before.get(&node.node) == Some(&node.step) && only.as_ref().is_none_or(|only| *only == node.node)
            };
            let nodes: Vec<_> = world.nodes.values().filter(stood_still).collect();
            let found: Vec<v1::Finding> = nodes.iter().flat_map(|node| findings(world, node, &seen)).collect();
            (found, nodes.len() as u64)
        });
        let issuers = self.issuer.listing().map_err(Fault::internal)?;
        let (name, ends) = self.issuer.signing().map_err(Fault::internal)?;
        found.extend(certificates::ending_ca(&name, ends, clock::now()).filter(|_| only.is_none()));
        let certificates = self
            .context
            .shared
            .both(|recorded, observed| certificates::findings(&recorded.world, observed, &issuers, clock::now()));
        let is_asked = |one: &v1::Finding| only.as_ref().is_none_or(|node| certificates::of_node(one, node));
        found.extend(certificates.into_iter().filter(is_asked));
        found.truncate(FINDINGS_MAX);
        Ok(v1::DiagnoseResponse { findings: found, nodes_checked, unchecked })
    }

    async fn look_at_all(&self) -> (Seen, Vec<String>) {
        let context = &self.context;
        let shards = context.shared.world(|world| world.shards.values().cloned().collect::<Vec<_>>());
        let asks = shards.into_iter().map(|shard| async move {
            let mut client = context.channels.shard(&shard.shard, &shard.control_address);
            let described = client.describe_shard(DEADLINE.on(v1::DescribeShardRequest {})).within(DEADLINE).await;
            let listed = match described {
                Ok(_) => list_nodes(&mut client).await,
                Err(status) => Err(status),
            };
            (shard.shard, listed)
        });
        let mut seen = Seen::default();
        let mut unchecked = Vec::new();
        for (shard, listed) in futures::future::join_all(asks).await {
            match listed {
                Ok(nodes) => drop(seen.shards.insert(shard, nodes)),
                Err(status) => unchecked.push(format!("shard {shard}: {}", status.message())),
            }
        }
        let asks = context.routers().into_iter().map(|(router, address)| async move {
            let mut client = context.channels.router(&router, &address);
            (router, read_back_routes(&mut client).await)
        });
        for (router, routes) in futures::future::join_all(asks).await {
            match routes {
                Ok((_, routes)) => drop(seen.routers.insert(router, routes)),
                Err(problem) => unchecked.push(format!("router {router}: {problem}")),
            }
        }
        (seen, unchecked)
    }
}

/// Where each node's move stands: it moves on with every command.
fn steps(world: &World) -> BTreeMap<NodeId, Step> {
    world.nodes.values().map(|node| (node.node.clone(), node.step)).collect()
}
