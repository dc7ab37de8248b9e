//! Shards and routers as operators see them, and how they are added.
//!
//! A part is recorded only after it has answered under its own certificate: a wrong address or name is found now and not
//! in the middle of a move.

use super::OperatorService;
use super::fleet::per_second;
use crate::channels::{Deadline as _, Within as _};
use crate::inventory::describe;
use crate::observed::Observed;
use shardlift_api::convert;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_migration::world::{Router, Shard};
use shardlift_migration::{Input, World};
use shardlift_model::{RouterId, ShardId};
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::Status;

/// How long a part may take to introduce itself.
const DEADLINE: Duration = Duration::from_secs(10);

/// Longest address.
const ADDRESS_BYTES_MAX: usize = 300;

fn shard_view(observed: &Observed, shard: &Shard, nodes: u64) -> v1::ShardView {
    let seen = observed.shards.get(&shard.shard);
    let about = seen.and_then(|seen| seen.about.as_ref());
    let peak = seen.and_then(|seen| seen.peak);
    v1::ShardView {
        shard: shard.shard.to_string(),
        control_address: shard.control_address.clone(),
        peer_address: shard.peer_address.clone(),
        client_address: shard.client_address.clone(),
        capacity_bytes: shard.capacity.0,
        free_bytes: about.map_or(0, |about| about.free_bytes),
        nodes,
        reachable: seen.is_some_and(crate::observed::ShardSeen::is_reachable),
        problem: seen.map_or_else(|| "not seen yet".to_owned(), |seen| seen.problem.clone().unwrap_or_default()),
        pace: about.map_or_else(String::new, |about| about.pace.clone()),
        load_bytes_per_second: about.map_or(0, |about| about.load_bytes_per_second),
        peak_bytes_per_second: peak.map_or(0, |(_, kib)| per_second(kib)),
        peak_hour: peak.map_or_else(String::new, |(hour, _)| hour.to_string()),
    }
}

/// All shards.
pub(super) fn shard_views(world: &World, observed: &Observed) -> Vec<v1::ShardView> {
    // One look at the nodes for all shards together.
    let mut nodes: BTreeMap<&ShardId, u64> = BTreeMap::new();
    world.nodes.values().for_each(|node| *nodes.entry(&node.shard).or_default() += 1);
    let count = |shard: &Shard| nodes.get(&shard.shard).copied().unwrap_or(0);
    world.shards.values().map(|shard| shard_view(observed, shard, count(shard))).collect()
}

fn router_view(observed: &Observed, router: &Router) -> v1::RouterView {
    let seen = observed.routers.get(&router.router);
    let about = seen.and_then(|seen| seen.about.as_ref());
    v1::RouterView {
        router: router.router.to_string(),
        control_address: router.control_address.clone(),
        version: about.map_or(0, |about| about.version),
        reachable: about.is_some(),
        problem: seen.map_or_else(|| "not seen yet".to_owned(), |seen| seen.problem.clone().unwrap_or_default()),
        client_address: about.map_or_else(String::new, |about| about.client_address.clone()),
    }
}

/// All routers.
pub(super) fn router_views(world: &World, observed: &Observed) -> Vec<v1::RouterView> {
    world.routers.values().map(|router| router_view(observed, router)).collect()
}

/// `host:port`.
pub(crate) fn check_address(field: &'static str, text: &str) -> Result<(), Fault> {
    let parts = text.rsplit_once(':').filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if parts.is_some() && text.len() <= ADDRESS_BYTES_MAX && !text.contains(char::is_whitespace) {
        return Ok(());
    }
    Err(Fault::new(FaultKind::Invalid, format!("{field}: host:port is expected")))
}

fn not_met(what: &str, address: &str, status: &Status) -> Fault {
    let advice = "check the address, that it is running, and that its certificate carries this name";
    let text = format!("{what} did not introduce itself at {address}: {}\n{advice}", status.message());
    Fault::new(FaultKind::from(status), text)
}

impl OperatorService {
    pub(super) async fn add_shard_checked(&self, request: &v1::AddShardRequest) -> Result<v1::ShardView, Fault> {
        let shard: ShardId = convert::name("shard", &request.shard)?;
        let address = &request.control_address;
        check_address("control address", address)?;
        let mut client = self.context.channels.shard(&shard, address);
        let answer = client.describe_shard(DEADLINE.on(v1::DescribeShardRequest {})).within(DEADLINE).await;
        let about = answer.map_err(|status| not_met(&format!("shard {shard}"), address, &status))?.into_inner();
        if about.shard != shard.as_str() {
            return Err(Fault::new(FaultKind::Refused, format!("{address} says that it is shard {}", about.shard)));
        }
        self.submit(Input::RecordShard { shard: describe(&shard, address, &about) }).await?;
        self.context.shared.observe(|observed| {
            let seen = observed.shards.entry(shard.clone()).or_default();
            seen.about = Some(about);
            seen.problem = None;
        });
        let view = self.context.shared.both(|recorded, observed| {
            let nodes = recorded.world.nodes.values().filter(|node| node.shard == shard).count() as u64;
            recorded.world.shards.get(&shard).map(|shard| shard_view(observed, shard, nodes))
        });
        view.ok_or_else(|| Fault::new(FaultKind::Internal, "the shard was not recorded"))
    }

    pub(super) async fn add_router_checked(&self, request: &v1::AddRouterRequest) -> Result<v1::RouterView, Fault> {
        let router: RouterId = convert::name("router", &request.router)?;
        let address = &request.control_address;
        check_address("control address", address)?;
        let mut client = self.context.channels.router(&router, address);
        let answer = client.describe_router(DEADLINE.on(v1::DescribeRouterRequest {})).within(DEADLINE).await;
        let about = answer.map_err(|status| not_met(&format!("router {router}"), address, &status))?.into_inner();
        if about.router != router.as_str() {
            return Err(Fault::new(FaultKind::Refused, format!("{address} says that it is router {}", about.router)));
        }
        let recorded = Router { router: router.clone(), control_address: address.clone() };
        self.submit(Input::RecordRouter { router: recorded.clone() }).await?;
        self.context.shared.observe(|observed| {
            let seen = observed.routers.entry(router).or_default();
            seen.about = Some(about);
        });
        Ok(self.context.shared.observed(|observed| router_view(observed, &recorded)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for good in ["127.0.0.1:1", "shard-b.example:9443", "[::1]:80"] {
            assert!(check_address("a", good).is_ok(), "{good}");
        }
        for bad in ["", "host", ":1", "host:", "host:70000", "host :1", "http://host:x"] {
            assert!(check_address("a", bad).is_err(), "{bad}");
        }
    }
}
