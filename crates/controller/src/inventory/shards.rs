//! Looks at one shard: itself, then all its nodes, page by page.

use super::activity::Due;
use super::pages::{PAGE, Pages};
use super::pause;
use crate::channels::{Deadline as _, Within as _};
use crate::effects::Context;
use shardlift_api::v1::shard_control_client::ShardControlClient;
use shardlift_api::v1::{self, NodeMode};
use shardlift_migration::world::Shard;
use shardlift_migration::{CertificateState, Input, Node};
use shardlift_model::{ByteCount, Generation, NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tonic::Status;
use tonic::transport::Channel;

/// How long one question may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Issuer of certificates from before the cluster.
const LEGACY_ISSUER: &str = "legacy";

/// Certificates that were reported and led to nothing; asked again only when the recorded state changes.
type Reported = BTreeSet<(NodeId, String)>;

pub(super) async fn run(context: Context, shard: ShardId) {
    let mut reported = Reported::new();
    let mut activity = Due::default();
    loop {
        if let Err(status) = look(&context, &shard, &mut reported, &mut activity).await {
            tracing::debug!(%shard, reason = status.message(), "the shard cannot be looked at");
            let problem = Some(status.message().to_owned());
            context.shared.observe(|observed| observed.shards.entry(shard.clone()).or_default().problem = problem);
        }
        pause(&context).await;
    }
}

async fn look(context: &Context, shard: &ShardId, reported: &mut Reported, activity: &mut Due) -> Result<(), Status> {
    let Some(address) = context.shard_address(shard) else { return Ok(()) };
    let mut client = context.channels.shard(shard, &address);
    let about = client.describe_shard(DEADLINE.on(v1::DescribeShardRequest {})).within(DEADLINE).await?.into_inner();
    record_shard(context, shard, &about).await;
    // Estimates go by what was heard last: a shard that does not say it now is not asked twice.
    let limits = client.get_limits(DEADLINE.on(v1::GetLimitsRequest {})).within(DEADLINE).await;
    context.shared.observe(|observed| {
        let seen = observed.shards.entry(shard.clone()).or_default();
        seen.about = Some(about);
        seen.problem = None;
        seen.limits = limits.ok().map(tonic::Response::into_inner).or(seen.limits.take());
    });
    let nodes = list(&mut client).await?;
    let inputs = context.shared.world(|world| {
        let listed = nodes.iter().filter(|(node, _)| !world.nodes.contains_key(*node));
        let mut inputs: Vec<Input> = listed.filter_map(|(node, status)| node_listed(shard, node, status)).collect();
        for (node, status) in &nodes {
            let Some(known) = world.nodes.get(node).filter(|known| known.shard == *shard) else { continue };
            inputs.extend(certificate_seen(known, status, reported));
        }
        inputs
    });
    context.shared.observe_in(|world, observed| {
        for (node, status) in &nodes {
            if let Some(known) = world.nodes.get(node) {
                observed.hear(known, shard, status);
            }
        }
        let seen = observed.shards.entry(shard.clone()).or_default();
        seen.nodes = nodes;
        seen.listed = true;
    });
    // All at once: the loop records a group of them with one append.
    futures::future::join_all(inputs.into_iter().map(|input| context.inputs.report(input))).await;
    activity.look(context, shard, &mut client).await
}

/// A shard may move its client and peer addresses and grow; its control address is the operator's word.
async fn record_shard(context: &Context, shard: &ShardId, about: &v1::DescribeShardResponse) {
    let known = context.shared.world(|world| world.shards.get(shard).cloned());
    let Some(known) = known else { return };
    let present = describe(shard, &known.control_address, about);
    if present != known {
        context.inputs.report(Input::RecordShard { shard: present }).await;
    }
}

/// A shard as it described itself.
pub(crate) fn describe(shard: &ShardId, control_address: &str, about: &v1::DescribeShardResponse) -> Shard {
    Shard {
        shard: shard.clone(),
        control_address: control_address.to_owned(),
        peer_address: about.peer_address.clone(),
        client_address: about.client_address.clone(),
        capacity: ByteCount(about.capacity_bytes),
    }
}

/// All nodes of a shard, whatever their mode.
pub(crate) async fn list(client: &mut ShardControlClient<Channel>) -> Result<BTreeMap<NodeId, v1::NodeStatus>, Status> {
    let mut nodes = BTreeMap::new();
    let mut pages = Pages::of("nodes");
    loop {
        let request = v1::ListNodesRequest { after: pages.after(), limit: PAGE };
        let page = client.list_nodes(DEADLINE.on(request)).within(DEADLINE).await?.into_inner();
        for status in page.nodes {
            match status.node.parse() {
                Ok(node) => {
                    nodes.insert(node, status);
                }
                Err(error) => tracing::warn!(%error, "a shard listed a node whose name is none"),
            }
        }
        if !pages.turn(page.next)? {
            return Ok(nodes);
        }
    }
}

/// Only a node that is served is found; an incoming or retired copy is not a second writer.
fn node_listed(shard: &ShardId, node: &NodeId, status: &v1::NodeStatus) -> Option<Input> {
    if status.mode() != NodeMode::Serving {
        return None;
    }
    let settings = status.settings.clone().unwrap_or_default();
    Some(Input::NodeListed {
        node: node.clone(),
        shard: shard.clone(),
        generation: Generation(status.generation),
        customer: settings.customer.parse().ok(),
        server_name: settings.server_name.parse().ok(),
    })
}

/// The certificate that was issued last, or one under the same token whose answer seemed lost, once its shard has seen it;
/// later, the newest one it has seen.
fn certificate_seen(known: &Node, status: &v1::NodeStatus, reported: &mut Reported) -> Option<Input> {
    let own = status.seen_certificates.iter().filter(|seen| seen.issuer != LEGACY_ISSUER);
    let serial = match &known.certificate {
        CertificateState::None | CertificateState::TokenCreated => return None,
        CertificateState::Issued { serial } => {
            reported.retain(|(node, _)| *node != known.node);
            own.map(|seen| &seen.serial).find(|seen| *seen == serial || known.serials.contains(seen))?
        }
        CertificateState::InUse { serial } => {
            let newest = own.max_by_key(|seen| seen.first_seen_unix_ms)?;
            (newest.serial != *serial).then_some(&newest.serial)?
        }
    };
    let is_new = matches!(known.certificate, CertificateState::Issued { .. })
        || reported.insert((known.node.clone(), serial.clone()));
    is_new.then(|| Input::CertificateSeen { node: known.node.clone(), serial: serial.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_model::Step;

    fn known(certificate: CertificateState) -> Node {
        Node {
            node: "a".parse().unwrap(),
            customer: "a".parse().unwrap(),
            server_name: "a.backup.example".parse().unwrap(),
            shard: "s".parse().unwrap(),
            generation: Generation(1),
            step: Step(0),
            certificate,
            enrolled_with: None,
            serials: vec![],
            old_copies: BTreeSet::new(),
            taken_over: None,
            settings: None,
            given_up: vec![],
            receipts_due: vec![],
            receipts: vec![],
            migration: None,
        }
    }

    fn status(seen: &[(&str, &str, u64)]) -> v1::NodeStatus {
        let seen = seen.iter().map(|(issuer, serial, at)| v1::SeenCertificate {
            issuer: (*issuer).into(),
            serial: (*serial).into(),
            first_seen_unix_ms: *at,
            last_seen_unix_ms: *at,
        });
        v1::NodeStatus { seen_certificates: seen.collect(), ..Default::default() }
    }

    #[test]
    fn a_certificate_of_an_older_ca_is_never_the_new_one() {
        let node = known(CertificateState::Issued { serial: "a1".into() });
        let mut reported = Reported::new();
        assert_eq!(certificate_seen(&node, &status(&[("legacy", "a1", 1)]), &mut reported), None);
        assert_eq!(certificate_seen(&node, &status(&[("issuing-1", "b2", 1)]), &mut reported), None);
        let seen = certificate_seen(&node, &status(&[("legacy", "x", 9), ("issuing-1", "a1", 1)]), &mut reported);
        assert_eq!(seen, Some(Input::CertificateSeen { node: node.node, serial: "a1".into() }));
    }

    #[test]
    fn a_certificate_that_led_to_nothing_is_reported_once() {
        let node = known(CertificateState::InUse { serial: "a1".into() });
        let mut reported = Reported::new();
        let status = status(&[("issuing-1", "a1", 1), ("issuing-1", "zz", 2)]);
        assert!(certificate_seen(&node, &status, &mut reported).is_some());
        assert!(certificate_seen(&node, &status, &mut reported).is_none());
    }

    #[test]
    fn only_served_nodes_are_found() {
        let (shard, node) = ("s".parse().unwrap(), "a".parse().unwrap());
        for mode in [NodeMode::Incoming, NodeMode::Retired, NodeMode::Discarded, NodeMode::Sealed] {
            let status = v1::NodeStatus { mode: mode.into(), ..Default::default() };
            assert_eq!(node_listed(&shard, &node, &status), None);
        }
        let status = v1::NodeStatus { mode: NodeMode::Serving.into(), generation: 4, ..Default::default() };
        assert!(matches!(
            node_listed(&shard, &node, &status),
            Some(Input::NodeListed { generation: Generation(4), .. })
        ));
    }
}
