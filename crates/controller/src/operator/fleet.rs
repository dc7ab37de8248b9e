//! Nodes as operators see them.

use super::way_back::{too_far_behind, way_back};
use super::{OperatorService, PAGE_MAX, progress, verify};
use crate::clock;
use crate::observed::Observed;
use crate::wire::node_digest;
use shardlift_api::convert;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_migration::{CertificateState, Input, Migration, Node, Stage, World, explain};
use shardlift_model::{Activity, HourOfWeek, NodeId, UnixMillis};
use std::ops::Bound;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Longest reason that an operator may give.
const REASON_CHARS_MAX: usize = 500;

/// Nodes that one page looks at: what few match is found over several pages, and nobody waits for one of them.
const LOOKS_MAX: usize = 20_000;

/// Above this many nodes in a batch, one that is ready does not name those that are not.
const NAMED_OTHERS_MAX: usize = 500;

/// A node with what was observed of it.
pub(crate) fn fleet_node(world: &World, observed: &Observed, node: &Node) -> v1::FleetNode {
    let (no_status, no_settings) = (v1::NodeStatus::default(), v1::NodeSettings::default());
    let status = observed.at_writer(node).unwrap_or(&no_status);
    let migration = node.migration.as_ref().filter(|migration| !migration.stage.is_over());
    let settings = status.settings.as_ref().unwrap_or(&no_settings);
    let held = migration.and_then(|migration| migration.held.as_ref());
    v1::FleetNode {
        node: node.node.to_string(),
        customer: node.customer.to_string(),
        server_name: node.server_name.to_string(),
        shard: node.shard.to_string(),
        generation: node.generation.0,
        phase: phase_word(node).to_owned(),
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
        activity: observed.activities.get(&node.node).map(activity),
        loss: node.migration.as_ref().and_then(loss).unwrap_or_default(),
        since_unix_ms: migration.map_or(0, |migration| migration.phase_since().0),
        deep_verify: observed.at_writer(node).and_then(|status| verify::view(node, &node.shard, status)),
    }
}

/// KiB of an hour as bytes per second.
pub(super) const fn per_second(kib_per_hour: u64) -> u64 {
    kib_per_hour.saturating_mul(1024) / 3600
}

fn activity(activity: &Activity) -> v1::ActivityView {
    let week = activity.week();
    let peak = HourOfWeek::all().zip(activity.load_kib()).max_by_key(|(_, kib)| *kib).filter(|(_, kib)| *kib > 0);
    v1::ActivityView {
        client: activity.client().to_owned(),
        schedule: activity.schedule(),
        sessions_per_week: activity.sessions_per_week(),
        growth_bytes_per_day: activity.growth_bytes_per_day(),
        requests_per_week: week.requests,
        bytes_in_per_week: week.bytes_in,
        bytes_out_per_week: week.bytes_out,
        mean_us: week.mean_us(),
        peak_hour: peak.map_or_else(String::new, |(hour, _)| hour.to_string()),
        peak_bytes_per_second: peak.map_or(0, |(_, kib)| per_second(kib)),
        watched_hours: activity.watched_hours(),
    }
}

/// The word for where its move stands.
fn phase_word(node: &Node) -> &'static str {
    let migration = node.migration.as_ref().filter(|migration| !migration.stage.is_over());
    migration.map_or("settled", |migration| migration.phase().as_str())
}

/// Who is asked for; what is empty is no condition. Decided by what is recorded alone, so that nobody is shown who is not.
struct Filter<'r> {
    customer: &'r str,
    shard: &'r str,
    phase: &'r str,
}

impl Filter<'_> {
    fn matches(&self, node: &Node) -> bool {
        let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        is(self.shard, node.shard.as_str())
            && is(self.customer, node.customer.as_str())
            && is(self.phase, phase_word(node))
    }
}

/// A page of nodes, and who was looked at last when there is more behind it.
struct Page<'w> {
    nodes: Vec<&'w Node>,
    next: Option<&'w NodeId>,
}

/// The next nodes that match. At most [`LOOKS_MAX`] are looked at: a page may have fewer than asked for, or none, and still
/// have a next one.
fn page<'w>(world: &'w World, after: Option<NodeId>, limit: usize, filter: &Filter<'_>) -> Page<'w> {
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut range = world.nodes.range((start, Bound::Unbounded)).peekable();
    let mut nodes = Vec::new();
    let mut last = None;
    for (name, node) in range.by_ref().take(LOOKS_MAX) {
        last = Some(name);
        if filter.matches(node) {
            nodes.push(node);
            if nodes.len() == limit {
                break;
            }
        }
    }
    let next = last.filter(|_| range.peek().is_some());
    Page { nodes, next }
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
    if let Some(moving) = node.migration.as_ref().filter(|moving| moving.stage == Stage::Ready && moving.held.is_none())
        && world.batches.get(&moving.batch).is_some_and(|batch| batch.nodes.len() > NAMED_OTHERS_MAX)
    {
        // Looking at all others for each of them would take the square of their number.
        return "the rest of its batch, or the time of its flip".to_owned();
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
        let filter = Filter { customer: &request.customer, shard: &request.shard, phase: &request.phase };
        Ok(self.context.shared.both(|recorded, observed| {
            let world = &recorded.world;
            let Page { nodes, next } = page(world, after, limit as usize, &filter);
            v1::ListFleetResponse {
                nodes: nodes.into_iter().map(|node| fleet_node(world, observed, node)).collect(),
                next: next.map(ToString::to_string).unwrap_or_default(),
            }
        }))
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

#[cfg(test)]
mod tests;
