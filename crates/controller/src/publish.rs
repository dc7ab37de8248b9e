//! The read model of the status API: made from the recorded world and the observations, replaced as a whole.
//!
//! Whoever answers customers reads the last one from memory and never waits for the controller. It is made anew at most
//! every [`PAUSE`], and only after something changed.

use crate::issuer::Issuer;
use crate::metrics::Metrics;
use crate::observed::Observed;
use crate::operator::percent;
use crate::operator::{batch_progress, certificate_word, in_order, members, node_progress, rfc3339, way_back};
use crate::state::{Recorded, Shared};
use crate::{clock, operator};
use shardlift_api::view;
use shardlift_migration::{Batch, CertificateState, Migration, Node, Phase, Takeover, World};
use shardlift_model::{ByteCount, UnixMillis};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Shortest time between two snapshots.
const PAUSE: Duration = Duration::from_millis(200);

/// The same as a multiple of how long the last one took to make: with very many nodes, others want to look as well.
const PAUSE_FACTOR: u32 = 10;

/// Keeps the read model fresh until told to stop.
pub(crate) async fn run(
    shared: Arc<Shared>,
    issuer: Arc<Issuer>,
    metrics: Metrics,
    sender: watch::Sender<Arc<view::World>>,
    shutdown: CancellationToken,
) {
    let mut changes = shared.changes();
    loop {
        changes.mark_unchanged();
        let began = Instant::now();
        // What cannot be signed is told where it is brought to shards.
        let lists = issuer.lists(&shared).unwrap_or_default();
        let revocation_lists = lists.iter().map(|list| (list.issuer.clone(), Arc::clone(&list.der))).collect();
        sender.send_replace(Arc::new(view::World { revocation_lists, ..shared.both(snapshot) }));
        shared.both(|recorded, observed| count(&metrics, &recorded.world, observed));
        let pause = PAUSE.max(began.elapsed() * PAUSE_FACTOR);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

fn count(metrics: &Metrics, world: &World, observed: &Observed) {
    let mut phases: BTreeMap<&'static str, usize> = operator::PHASES.iter().map(|phase| (*phase, 0)).collect();
    let mut held = 0;
    for node in world.nodes.values() {
        let migration = node.migration.as_ref().filter(|migration| !migration.stage.is_over());
        let phase = migration.map_or("settled", |migration| migration.phase().as_str());
        *phases.entry(phase).or_default() += 1;
        held += i64::from(migration.is_some_and(|migration| migration.held.is_some()));
    }
    phases.into_iter().for_each(|(phase, count)| metrics.nodes_in(phase, count));
    metrics.moves_held.set(held);
    metrics.term.set(i64::try_from(world.term.0).unwrap_or(i64::MAX));
    let shards = world.shards.keys().filter(|shard| observed.shards.get(shard).is_none_or(|seen| !seen.is_reachable()));
    let routers =
        world.routers.keys().filter(|router| observed.routers.get(router).is_none_or(|seen| seen.about.is_none()));
    metrics.parts_unreachable.set(i64::try_from(shards.count() + routers.count()).unwrap_or(i64::MAX));
}

/// The read model as of now, but for what is signed.
pub(crate) fn snapshot(recorded: &Recorded, observed: &Observed) -> view::World {
    let world = &recorded.world;
    let access = |grant: &shardlift_migration::world::StatusGrant| view::Access {
        customer: grant.customer.clone(),
        expires_at: grant.expires_at,
    };
    view::World {
        revision: recorded.revision.0,
        made_at: clock::now(),
        nodes: world.nodes.iter().map(|(name, node)| (name.clone(), node_view(world, observed, node))).collect(),
        batches: in_order(world).map(|batch| batch_view(world, observed, batch)).collect(),
        worklog: recorded.history.worklog().cloned().collect(),
        revocation_lists: Vec::new(),
        access: world.status_tokens.iter().map(|(token, grant)| (*token, access(grant))).collect(),
    }
}

fn batch_view(world: &World, observed: &Observed, batch: &Batch) -> view::BatchView {
    view::BatchView {
        batch: batch.batch.clone(),
        phase: batch.phase.as_str(),
        paused: batch.paused,
        nodes: members(world, batch).map(|node| node.node.clone()).collect(),
        progress_percent: percent(&batch_progress(world, observed, batch)),
        started_at: batch.started_at,
        committed_at: batch.committed_at,
    }
}

fn node_view(world: &World, observed: &Observed, node: &Node) -> view::NodeView {
    let status = observed.at_writer(node);
    let migration = node.migration.as_ref().filter(|migration| migration.phase() != Phase::Aborted);
    let (state, summary) = words(observed, node, migration);
    let moving = migration.filter(|migration| !matches!(migration.phase(), Phase::Planned));
    view::NodeView {
        node: node.node.clone(),
        customer: node.customer.clone(),
        server_name: node.server_name.clone(),
        state,
        summary,
        shard: node.shard.clone(),
        target: migration.map(|migration| migration.target.clone()),
        batch: migration.map(|migration| migration.batch.clone()),
        progress_percent: moving.map(|_| percent(&node_progress(observed, node))),
        bytes: ByteCount(status.map_or(0, |status| status.bytes)),
        snapshots: status.map_or(0, |status| status.snapshots),
        last_backup_at: status.map(|status| UnixMillis(status.last_snapshot_unix_ms)).filter(|at| at.0 > 0),
        certificate: certificate_word(&node.certificate),
        to_do: migration.map_or_else(Vec::new, |migration| to_do(node, migration)),
        // Of a node that goes back without its writer something may be lost.
        way_back: way_back(world, observed, node)
            .filter(|_| moving.is_none_or(|m| m.takeover.is_none()))
            .map(|way| view::WayBack { lag: way.lag, takes_ms: way.takes_ms, snapshots_kept: way.snapshots_kept }),
    }
}

/// The state in customer words, and one sentence about it.
fn words(observed: &Observed, node: &Node, migration: Option<&Migration>) -> (&'static str, String) {
    let Some(migration) = migration else {
        return ("not_affected", "This node stays where it is.".to_owned());
    };
    if let Some(takeover) = &migration.takeover {
        return without_writer(observed, node, migration, takeover);
    }
    let target = &migration.target;
    if migration.held.is_some() {
        let text = "The move waits for the operators. Backups go on as before.";
        return ("needs_attention", text.to_owned());
    }
    match migration.phase() {
        Phase::Planned => ("planned", format!("This node is planned to move to {target}. Nothing has changed yet.")),
        Phase::Seeding | Phase::Following => {
            ("copying", format!("This node is being copied to {target}. Backups go on as before."))
        }
        Phase::Ready => ("ready", format!("The copy on {target} is complete and verified. The change-over is next.")),
        Phase::Fenced | Phase::Sealed | Phase::Committed => {
            ("moving", format!("This node changes over to {target} now. Writes wait for a few seconds."))
        }
        Phase::Soaking => ("moved", format!("This node is served by {}. The old copy is kept for now.", node.shard)),
        Phase::RollingBack => {
            ("moving", "This node changes back to its former server. Writes wait for a few seconds.".to_owned())
        }
        Phase::Released | Phase::Restoring => ("done", format!("This node has moved to {}.", node.shard)),
        Phase::Undoing => ("planned", "The move is being taken back. Backups go on as before.".to_owned()),
        Phase::Aborted | Phase::RolledBack => ("not_affected", "This node stays where it is.".to_owned()),
    }
}

/// A node whose server has failed, and which goes back to where it came from.
fn without_writer(
    observed: &Observed,
    node: &Node,
    migration: &Migration,
    takeover: &Takeover,
) -> (&'static str, String) {
    let source = &migration.source;
    if migration.is_concluded() {
        let lost = lost(observed, node, migration, takeover);
        return ("not_affected", format!("This node is served by {source} again.{lost}"));
    }
    if migration.held.is_some() {
        let text =
            "This node's server has failed. The operators bring it back; its backups and restores wait for that.";
        return ("needs_attention", text.to_owned());
    }
    let lost = lost(observed, node, migration, takeover);
    ("moving", format!("This node is being moved back to {source}, because its present server has failed.{lost}"))
}

/// Between which moments a customer's last backups are gone; the first one is known as long as the controller runs.
fn lost(observed: &Observed, node: &Node, migration: &Migration, takeover: &Takeover) -> String {
    let Some(until) = migration.cutover_at.map(rfc3339) else { return String::new() };
    let kept = takeover.stock.map_or(takeover.after_seq, |stock| stock.seq);
    match observed.heard.get(&node.node).and_then(|heard| heard.since(kept)).map(rfc3339) {
        Some(since) => format!(" Backups stored between {since} and {until} are not available any more."),
        None => format!(" Backups stored shortly before {until} may not be available any more."),
    }
}

/// What only the customer can do.
fn to_do(node: &Node, migration: &Migration) -> Vec<String> {
    if migration.stage.is_over() {
        return Vec::new();
    }
    match &node.certificate {
        CertificateState::InUse { .. } => Vec::new(),
        CertificateState::None => vec!["Ask for the one-time token for your new client certificate.".to_owned()],
        CertificateState::TokenCreated => {
            vec!["Run `shardlift node enroll` with your one-time token on the client's machine.".to_owned()]
        }
        CertificateState::Issued { .. } => vec!["Run one backup with the new certificate.".to_owned()],
    }
}
