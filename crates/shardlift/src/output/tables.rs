//! Shards, routers, batches, plans and the whole, for people.

use super::estimates::{advice_lines, estimate_lines, estimate_times};
use super::limits::pace_lines;
use super::way_back::flip_words;
use super::{bytes, clean, instant, or_dash, span, table};
use shardlift_api::v1;
use shardlift_model::UnixMillis;

pub(crate) fn shard_table(shards: &[v1::ShardView]) -> String {
    let row = |shard: &v1::ShardView| {
        vec![
            shard.shard.clone(),
            state(shard.reachable, &shard.problem),
            shard.nodes.to_string(),
            bytes(shard.capacity_bytes),
            bytes(shard.free_bytes),
            peak(shard),
            shard.client_address.clone(),
            shard.control_address.clone(),
        ]
    };
    table(&["SHARD", "STATE", "NODES", "CAPACITY", "FREE", "PEAK HOUR", "CLIENTS", "CONTROL"], shards.iter().map(row))
}

/// `62% of 100.0 MiB/s, Tuesday 02:00`.
fn peak(shard: &v1::ShardView) -> String {
    if shard.peak_hour.is_empty() {
        return "-".to_owned();
    }
    let (load, capacity) = (shard.peak_bytes_per_second, shard.load_bytes_per_second);
    let share = match (u128::from(load) * 100).checked_div(u128::from(capacity)) {
        Some(percent) => format!("{percent}% of {}/s", bytes(capacity)),
        None => format!("{}/s", bytes(load)),
    };
    format!("{share}, {}", shard.peak_hour)
}

pub(crate) fn router_table(routers: &[v1::RouterView]) -> String {
    let row = |router: &v1::RouterView| {
        vec![
            router.router.clone(),
            state(router.reachable, &router.problem),
            router.version.to_string(),
            or_dash(&router.client_address),
            router.control_address.clone(),
        ]
    };
    table(&["ROUTER", "STATE", "ROUTES", "CLIENTS", "CONTROL"], routers.iter().map(row))
}

fn state(reachable: bool, problem: &str) -> String {
    match (reachable, problem) {
        (true, "") => "ok".to_owned(),
        (true, problem) => problem.to_owned(),
        (false, "") => "not reachable".to_owned(),
        (false, problem) => format!("not reachable: {problem}"),
    }
}

pub(crate) fn batch_table(batches: &[v1::BatchView], now: UnixMillis) -> String {
    let row = |batch: &v1::BatchView| {
        vec![
            batch.batch.clone(),
            phase(batch),
            or_dash(&flip_words(batch, now)),
            node_count(batch).to_string(),
            progress(batch.progress.as_ref()),
            estimate_times(batch.estimate.as_ref()),
            instant(batch.started_at_unix_ms),
            instant(batch.committed_at_unix_ms),
            or_dash(&batch.verdict),
            or_dash(batch.waiting_for.first().map_or("", String::as_str)),
        ]
    };
    let headers =
        ["BATCH", "PHASE", "FLIPS", "NODES", "PROGRESS", "TAKES", "STARTED", "COMMITTED", "VERDICT", "WAITS FOR"];
    let notes = advice_lines(batches);
    let gap = if notes.is_empty() { "" } else { "\n\n" };
    format!("{}{gap}{}", table(&headers, batches.iter().map(row)), notes.trim_end())
}

/// How many nodes it has; they may not all be listed.
pub(crate) fn node_count(batch: &v1::BatchView) -> u64 {
    batch.node_count.max(batch.nodes.len() as u64)
}

pub(super) fn phase(batch: &v1::BatchView) -> String {
    if batch.paused { format!("{}, paused", batch.phase) } else { batch.phase.clone() }
}

/// `40% of 1.0 GiB, 12.0 MiB/s, 50s left`.
pub(crate) fn progress(progress: Option<&v1::Progress>) -> String {
    let Some(progress) = progress.filter(|progress| progress.bytes_total > 0) else { return "-".to_owned() };
    let hundredths = u128::from(progress.bytes_done) * 100 / u128::from(progress.bytes_total);
    let mut text = format!("{}% of {}", hundredths.min(100), bytes(progress.bytes_total));
    if progress.bytes_per_second > 0 {
        text.push_str(&format!(", {}/s", bytes(progress.bytes_per_second)));
    }
    if progress.eta_ms > 0 {
        text.push_str(&format!(", {} left", span(progress.eta_ms)));
    }
    text
}

pub(crate) fn status_text(status: &v1::StatusView) -> String {
    let v1::StatusView { cluster, term, revision, plan_revision, route_version, nodes, .. } = status;
    let mut text = format!(
        "cluster {cluster}: {nodes} nodes, plan {plan_revision}, routes {route_version}, term {term}, revision {revision}\n"
    );
    for (is_shown, part) in [
        (!status.shards.is_empty(), shard_table(&status.shards)),
        (!status.routers.is_empty(), router_table(&status.routers)),
        (!status.batches.is_empty(), batch_table(&status.batches, UnixMillis(status.now_unix_ms))),
    ] {
        if is_shown {
            text.push_str(&format!("\n{part}\n"));
        }
    }
    let estimates = estimate_lines(status);
    if !estimates.is_empty() {
        text.push_str(&format!("\n{estimates}"));
    }
    let paces = pace_lines(&status.shards);
    if !paces.is_empty() {
        text.push_str(&format!("\n{paces}"));
    }
    for (n, alert) in status.alerts.iter().enumerate() {
        let gap = if n == 0 { "\n" } else { "" };
        text.push_str(&format!("{gap}ALERT {}\n", clean(alert)));
    }
    text
}

pub(crate) fn check_text(check: &v1::CheckPlanResponse) -> String {
    if check.problems.is_empty() {
        let v1::CheckPlanResponse { revision, batches, nodes, .. } = check;
        // Sizes are known to the controller alone; a look at the form has none.
        let size = if check.bytes == 0 { String::new() } else { format!(", {}", bytes(check.bytes)) };
        return format!("ok: revision {revision}, {batches} batches, {nodes} nodes{size}");
    }
    format!("{} problems", check.problems.len())
}
