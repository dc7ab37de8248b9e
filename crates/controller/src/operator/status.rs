//! The whole at a glance, once or as a stream.

use super::{batches, parts};
use crate::clock;
use crate::estimates;
use crate::observed::Observed;
use crate::state::{Recorded, Shared};
use futures::{Stream, StreamExt as _};
use shardlift_api::v1;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;

/// Views as they change.
pub(crate) type StatusStream = Pin<Box<dyn Stream<Item = Result<v1::StatusView, Status>> + Send>>;

/// Shortest and longest time between two views.
const INTERVAL_MS: std::ops::RangeInclusive<u32> = 100..=60_000;

/// Without a wish.
const INTERVAL_MS_DEFAULT: u32 = 500;

/// Alerts shown at once.
const ALERTS_MAX: usize = 100;

/// `named`: a batch whose nodes are shown in any case.
pub(super) fn status_view(shared: &Shared, named: &str) -> v1::StatusView {
    shared.both(|recorded, observed| {
        let world = &recorded.world;
        let (batches, estimate) = batches::views_and_whole(world, observed, named);
        v1::StatusView {
            revision: recorded.revision.0,
            cluster: world.cluster.to_string(),
            term: world.term.0,
            now_unix_ms: clock::now().0,
            shards: parts::shard_views(world, observed),
            routers: parts::router_views(world, observed),
            batches,
            plan_revision: world.plan_revision(),
            route_version: world.route_version,
            nodes: world.nodes.len() as u64,
            alerts: alerts(recorded, observed),
            estimate,
            seeding: estimates::seeding_words(world, observed),
        }
    })
}

fn alerts(recorded: &Recorded, observed: &Observed) -> Vec<String> {
    let world = &recorded.world;
    let mut alerts = Vec::new();
    for node in world.nodes.values() {
        let migration = node.migration.as_ref().filter(|migration| !migration.stage.is_over());
        if let Some(held) = migration.and_then(|migration| migration.held.as_ref()) {
            alerts.push(format!("node {} needs an operator: {}", node.node, held.reason));
        }
    }
    for shard in world.shards.keys() {
        let Some(seen) = observed.shards.get(shard) else { continue };
        if let Some(problem) = &seen.problem {
            alerts.push(format!("shard {shard} does not answer: {problem}"));
        }
        let alarms = seen.about.as_ref().map_or(0, |about| about.alarms);
        if alarms > 0 {
            alerts.push(format!("shard {shard} has {alarms} objects that are missing or damaged without a record"));
        }
    }
    for router in world.routers.keys() {
        let problem = observed.routers.get(router).and_then(|seen| seen.problem.as_ref());
        alerts.extend(problem.map(|problem| format!("router {router}: {problem}")));
    }
    if alerts.len() > ALERTS_MAX {
        let left_out = alerts.len() - ALERTS_MAX;
        alerts.truncate(ALERTS_MAX);
        alerts.push(format!("and {left_out} more"));
    }
    alerts
}

/// The present view at once, then again after each change, never more often than asked for.
pub(super) fn watch(shared: Arc<Shared>, request: v1::WatchStatusRequest) -> StatusStream {
    let v1::WatchStatusRequest { interval_ms, batch } = request;
    let interval_ms = if interval_ms == 0 { INTERVAL_MS_DEFAULT } else { interval_ms };
    let interval = Duration::from_millis(interval_ms.clamp(*INTERVAL_MS.start(), *INTERVAL_MS.end()).into());
    let changes = shared.changes();
    futures::stream::unfold((shared, changes, batch, true), move |(shared, mut changes, batch, is_first)| async move {
        if !is_first {
            tokio::time::sleep(interval).await;
            changes.changed().await.ok()?;
        }
        changes.mark_unchanged();
        let view = status_view(&shared, &batch);
        Some((Ok(view), (shared, changes, batch, false)))
    })
    .boxed()
}
