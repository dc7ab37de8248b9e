//! Nodes as operators see them.

use super::way_back::{too_far_behind, way_back};
use super::{OperatorService, PAGE_MAX, progress, verify};
use crate::clock;
use crate::observed::Observed;
use crate::wire::node_digest;
use shardlift_api::convert;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_migration::{CertificateState, Input, Migration, Node, World, explain};
use shardlift_model::{NodeId, UnixMillis};
use std::ops::Bound;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Longest reason that an operator may give.
const REASON_CHARS_MAX: usize = 500;

/// A node with what was observed of it.
pub(crate) fn fleet_node(world: &World, observed: &Observed, node: &Node) -> v1::FleetNode {
    let status = observed.at_writer(node).cloned().unwrap_or_default();
    let migration = node.migration.as_ref().filter(|migration| !migration.stage.is_over());
    let settings = status.settings.unwrap_or_default();
    let held = migration.and_then(|migration| migration.held.as_ref());
    v1::FleetNode {
        node: node.node.to_string(),
        customer: node.customer.to_string(),
        server_name: node.server_name.to_string(),
        shard: node.shard.to_string(),
        generation: node.generation.0,
        phase: migration.map_or("settled", |migration| migration.phase().as_str()).to_owned(),
        batch: migration.map_or_else(String::new, |migration| migration.batch.to_string()),
        target: migration.map_or_else(String::new, |migration| migration.target.to_string()),
        objects: status.objects,
        bytes: status.bytes,
        snapshots: status.snapshots,
        last_snapshot_unix_ms: status.last_snapshot_unix_ms,
        certificate: certificate_word(&node.certificate).to_owned(),
        progress: migration.map(|_| progress::of_node(observed, node)),
        waiting_for: migration.map_or_else(String::new, |_| waiting_for(world, observed, node)),
        held_because: held.map_or_else(String::new, |held| format!("{}\n{}", held.reason, held.advice)),
        verified: migration.and_then(|migration| migration.verified.as_ref()).map(node_digest),
        quota_bytes: settings.quota_bytes,
        append_only: settings.append_only,
        holds: settings.holds.iter().map(|hold| format!("{}: {}", hold.id, hold.reason)).collect(),
        way_back: way_back(world, observed, node),
        loss: node.migration.as_ref().and_then(loss).unwrap_or_default(),
        deep_verify: observed.at_writer(node).and_then(|status| verify::view(node, &node.shard, status)),
    }
}

/// What was given up when a node went back without its writer. More than the operator accepted is never lost, and less when
/// its new writer had more.
fn loss(moving: &Migration) -> Option<String> {
    let takeover = moving.takeover.as_ref()?;
    let seq = takeover.stock.map_or(takeover.after_seq, |stock| stock.seq);
    let at = moving.cutover_at.map_or_else(String::new, |at| format!(", at {}", rfc3339(at)));
    let why = moving.rollback_reason.as_deref().unwrap_or("no reason is on record");
    Some(format!("what {} stored after its change {seq}{at}: {why}", moving.target))
}

/// What an operator gave as a reason, bounded, with who it was.
pub(super) fn reason(done: &str, asker: &str, given: &str) -> String {
    let given: String = given.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
    match given.trim() {
        "" => format!("{done} by {asker}"),
        given => format!("{done} by {asker}: {given}"),
    }
}

/// What stops the node right now: what its command met, else what its stage waits for.
pub(super) fn waiting_for(world: &World, observed: &Observed, node: &Node) -> String {
    if let Some(reason) = observed.waits.get(&node.node) {
        return reason.clone();
    }
    explain(world, &node.node, clock::now()).map_or_else(String::new, |explanation| explanation.waits_for.join("; "))
}

/// The word for how far a new certificate is.
pub(crate) const fn certificate_word(state: &CertificateState) -> &'static str {
    match state {
        CertificateState::None => "none",
        CertificateState::TokenCreated => "token",
        CertificateState::Issued { .. } => "issued",
        CertificateState::InUse { .. } => "in_use",
    }
}

pub(super) fn unknown(node: &NodeId) -> Fault {
    Fault::new(FaultKind::NotFound, format!("node {node} is not known\n`shardlift node list` shows all nodes"))
}

/// As people and programs read it.
pub(crate) fn rfc3339(at: UnixMillis) -> String {
    let seconds = i64::try_from(at.0 / 1000).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    seconds.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{} ms", at.0))
}

impl OperatorService {
    pub(super) fn node_view(&self, node: &NodeId) -> Result<v1::FleetNode, Fault> {
        let found = self.context.shared.both(|recorded, observed| {
            let node = recorded.world.nodes.get(node)?;
            Some(fleet_node(&recorded.world, observed, node))
        });
        found.ok_or_else(|| unknown(node))
    }

    pub(super) fn node_named(&self, name: &str) -> Result<v1::FleetNode, Fault> {
        self.node_view(&convert::node(name)?)
    }

    pub(super) fn list_fleet_page(&self, request: &v1::ListFleetRequest) -> Result<v1::ListFleetResponse, Fault> {
        let after: Option<NodeId> = match request.after.as_str() {
            "" => None,
            after => Some(convert::name("after", after)?),
        };
        let limit = match request.limit {
            0 => PAGE_MAX,
            limit => limit.min(PAGE_MAX),
        };
        let matches = |node: &v1::FleetNode| {
            let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
            is(&request.customer, &node.customer) && is(&request.shard, &node.shard) && is(&request.phase, &node.phase)
        };
        let mut nodes = self.context.shared.both(|recorded, observed| {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let range = recorded.world.nodes.range((start, Bound::Unbounded));
            let views = range.map(|(_, node)| fleet_node(&recorded.world, observed, node));
            // One more than asked for tells whether there is a next page.
            views.filter(matches).take(limit as usize + 1).collect::<Vec<_>>()
        });
        let has_more = nodes.len() > limit as usize;
        nodes.truncate(limit as usize);
        let next = nodes.last().filter(|_| has_more).map(|node| node.node.clone()).unwrap_or_default();
        Ok(v1::ListFleetResponse { nodes, next })
    }

    pub(super) fn explain_named(&self, name: &str) -> Result<v1::ExplainNodeResponse, Fault> {
        let node = convert::node(name)?;
        let answer = self.context.shared.both(|recorded, observed| {
            let explanation = explain(&recorded.world, &node, clock::now())?;
            let mut waits_for = explanation.waits_for;
            waits_for.extend(observed.waits.get(&node).cloned());
            let known = recorded.world.nodes.get(&node);
            waits_for.extend(known.and_then(|known| verify::under_way(observed, known)));
            let lines = recorded.history.lines_of(&node);
            Some(v1::ExplainNodeResponse {
                node: node.to_string(),
                r#where: explanation.where_,
                why: explanation.why,
                waits_for,
                unblock: explanation.unblock,
                history: lines.map(|line| format!("{} {}", rfc3339(line.at), line.text)).collect(),
            })
        });
        answer.ok_or_else(|| unknown(&node))
    }

    pub(super) async fn define_node_checked(&self, request: &v1::DefineNodeRequest) -> Result<v1::FleetNode, Fault> {
        let node = convert::node(&request.node)?;
        let customer = match request.customer.as_str() {
            "" => None,
            text => Some(convert::name("customer", text)?),
        };
        let server_name = match request.server_name.as_str() {
            "" => None,
            text => Some(convert::name("server name", text)?),
        };
        if customer.is_none() && server_name.is_none() {
            return Err(Fault::new(FaultKind::Invalid, "nothing to define\ngive a customer, a server name, or both"));
        }
        self.submit(Input::DefineNode { node: node.clone(), customer, server_name }).await?;
        self.node_view(&node)
    }

    pub(super) async fn abort_node_checked(
        &self,
        request: &v1::AbortNodeRequest,
        asker: &str,
    ) -> Result<v1::FleetNode, Fault> {
        let node = convert::node(&request.node)?;
        let reason = reason("taken out", asker, &request.reason);
        self.submit(Input::AbortNode { node: node.clone(), reason }).await?;
        self.node_view(&node)
    }

    pub(super) async fn roll_back_node_checked(
        &self,
        request: &v1::RollBackNodeRequest,
        asker: &str,
    ) -> Result<v1::FleetNode, Fault> {
        let node = convert::node(&request.node)?;
        if let Some(accepted) = request.accepted_loss {
            if request.rehearse {
                return Err(Fault::new(FaultKind::Invalid, super::loss::REHEARSAL_LOSES_NOTHING));
            }
            self.take_over(&node, accepted, &request.reason, asker).await?;
            return self.node_view(&node);
        }
        self.writer_answers(&node).await?;
        self.not_too_far_behind(|world| world.nodes.get(&node).into_iter().collect())?;
        let input = if request.rehearse {
            Input::RehearseRollback { node: node.clone() }
        } else {
            Input::RollBackNode { node: node.clone(), reason: reason("rolled back", asker, &request.reason) }
        };
        self.submit(input).await?;
        self.node_view(&node)
    }

    /// Refuses a way back whose followers have much to catch up with.
    pub(super) fn not_too_far_behind(&self, nodes: impl FnOnce(&World) -> Vec<&Node>) -> Result<(), Fault> {
        let behind = self.context.shared.both(|recorded, observed| {
            let world = &recorded.world;
            nodes(world).into_iter().find_map(|node| too_far_behind(world, observed, node))
        });
        let advice = "try again when `shardlift node show` says that it has caught up";
        behind.map_or(Ok(()), |what| Err(Fault::new(FaultKind::Refused, format!("{what}\n{advice}"))))
    }

    pub(super) async fn write_off_writer_checked(&self, name: &str) -> Result<v1::FleetNode, Fault> {
        let node = convert::node(name)?;
        self.former_writer_is_silent(&node).await?;
        self.submit(Input::WriteOffWriter { node: node.clone() }).await?;
        self.node_view(&node)
    }

    pub(super) async fn restore_node_checked(&self, name: &str) -> Result<v1::FleetNode, Fault> {
        let node = convert::node(name)?;
        self.submit(Input::RestoreNode { node: node.clone() }).await?;
        self.node_view(&node)
    }

    pub(super) async fn retry_node_checked(
        &self,
        request: &v1::RetryNodeRequest,
        asker: &str,
    ) -> Result<v1::FleetNode, Fault> {
        let node = convert::node(&request.node)?;
        let accept_damaged = request.accept_damaged;
        let input = Input::RetryNode { node: node.clone(), accept_damaged };
        self.submit(super::ordered(asker, input)).await?;
        self.node_view(&node)
    }
}
