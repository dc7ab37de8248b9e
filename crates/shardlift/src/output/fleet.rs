//! Nodes, for people.

use super::estimates::{estimate_text, phase_for};
use super::tables::{phase, progress};
use super::verify::verify_line;
use super::way_back::{batch_way_back, flip_words, node_way_back};
use super::{bytes, clean, fields, instant, or_dash, span, table};
use shardlift_api::v1;
use shardlift_model::UnixMillis;

/// Nodes whose loss is told of one batch.
const TOLD_MAX: usize = 10;

pub(crate) fn fleet_table(nodes: &[v1::FleetNode]) -> String {
    let row = |node: &v1::FleetNode| {
        vec![
            node.node.clone(),
            or_dash(&node.customer),
            node.shard.clone(),
            if node.held_because.is_empty() { node.phase.clone() } else { format!("{}, held", node.phase) },
            or_dash(&node.batch),
            or_dash(&node.target),
            bytes(node.bytes),
            node.snapshots.to_string(),
            instant(node.last_snapshot_unix_ms),
            node.certificate.clone(),
        ]
    };
    let headers =
        ["NODE", "CUSTOMER", "SHARD", "PHASE", "BATCH", "TARGET", "SIZE", "SNAPSHOTS", "LAST SNAPSHOT", "CERTIFICATE"];
    table(&headers, nodes.iter().map(row))
}

pub(crate) fn node_text(node: &v1::FleetNode) -> String {
    let progress_of = node.progress.as_ref().filter(|progress| progress.bytes_total > 0);
    let verified = node.verified.as_ref().map_or_else(String::new, |digest| {
        format!("equal at change {}: {} objects, {}", digest.seq, digest.objects, bytes(digest.bytes))
    });
    let lag =
        progress_of.filter(|progress| progress.lag > 0).map_or_else(String::new, |p| format!("{} changes", p.lag));
    let way_back = node.way_back.as_ref();
    let activity = node.activity.as_ref();
    fields(&[
        ("node", node.node.clone()),
        ("customer", node.customer.clone()),
        ("server name", node.server_name.clone()),
        ("shard", node.shard.clone()),
        ("generation", node.generation.to_string()),
        ("phase", node.phase.clone()),
        ("since", if node.since_unix_ms == 0 { String::new() } else { instant(node.since_unix_ms) }),
        ("batch", node.batch.clone()),
        ("target", node.target.clone()),
        ("progress", progress_of.map_or_else(String::new, |p| progress(Some(p)))),
        ("lag", lag),
        ("verified", verified),
        ("deep verify", node.deep_verify.as_ref().map_or_else(String::new, verify_line)),
        ("waits for", node.waiting_for.clone()),
        ("held because", node.held_because.clone()),
        ("way back", way_back.map_or_else(String::new, |_| node_way_back(node))),
        ("rehearsed", way_back.map_or_else(String::new, |way| or_never(&way.rehearsed))),
        ("lost", node.loss.clone()),
        ("rollback failed", way_back.map_or_else(String::new, |way| way.failed.clone())),
        ("objects", node.objects.to_string()),
        ("size", bytes(node.bytes)),
        ("quota", if node.quota_bytes == 0 { String::new() } else { bytes(node.quota_bytes) }),
        ("append-only", if node.append_only { "yes".to_owned() } else { String::new() }),
        ("holds", node.holds.join("\n")),
        ("snapshots", node.snapshots.to_string()),
        ("last snapshot", instant(node.last_snapshot_unix_ms)),
        ("certificate", node.certificate.clone()),
        ("client", activity.map_or_else(String::new, |activity| activity.client.clone())),
        ("schedule", activity.map_or_else(String::new, schedule)),
        ("growth", activity.map_or_else(String::new, growth)),
        ("load", activity.map_or_else(String::new, load)),
    ])
}

fn schedule(activity: &v1::ActivityView) -> String {
    format!("{} UTC, {} sessions a week", activity.schedule, activity.sessions_per_week)
}

fn growth(activity: &v1::ActivityView) -> String {
    let sign = if activity.growth_bytes_per_day < 0 { "-" } else { "" };
    format!("{sign}{} a day", bytes(activity.growth_bytes_per_day.unsigned_abs()))
}

/// What it costs its shard, and how long that is known.
fn load(activity: &v1::ActivityView) -> String {
    if activity.peak_hour.is_empty() {
        return format!("none in the {} hours that were counted", activity.watched_hours);
    }
    let (day, hour) = (activity.watched_hours / 24, activity.watched_hours % 24);
    format!(
        "{}/s in its busiest hour, {}; {} requests a week of {} ms each, {} in, {} out; counted for {day} d {hour} h",
        bytes(activity.peak_bytes_per_second),
        activity.peak_hour,
        activity.requests_per_week,
        activity.mean_us.div_ceil(1000),
        bytes(activity.bytes_in_per_week),
        bytes(activity.bytes_out_per_week),
    )
}

fn or_never(text: &str) -> String {
    if text.is_empty() { "never".to_owned() } else { text.to_owned() }
}

pub(crate) fn batch_text(batch: &v1::BatchView, now: UnixMillis) -> String {
    let time = |unix_ms| if unix_ms == 0 { String::new() } else { instant(unix_ms) };
    let has_way_back = batch.nodes.iter().any(|node| node.way_back.is_some());
    let eta = batch.progress.as_ref().map_or(0, |progress| progress.eta_ms);
    let mut text = fields(&[
        ("batch", batch.batch.clone()),
        ("phase", phase_for(&phase(batch), batch.since_unix_ms, now)),
        ("takes", batch.estimate.as_ref().map_or_else(String::new, |estimate| estimate_text(Some(estimate)))),
        ("advice", batch.advice.clone()),
        ("flips", flip_words(batch, now)),
        ("verdict", batch.verdict.clone()),
        ("plan", batch.plan_revision.to_string()),
        ("started", time(batch.started_at_unix_ms)),
        ("committed", time(batch.committed_at_unix_ms)),
        ("routes", if batch.route_version == 0 { String::new() } else { batch.route_version.to_string() }),
        ("progress", progress(batch.progress.as_ref())),
        ("time left", if eta == 0 { String::new() } else { span(eta) }),
        ("way back", if has_way_back { batch_way_back(&batch.nodes) } else { String::new() }),
        ("lost", lost(&batch.nodes)),
        ("waits for", batch.waiting_for.join("\n")),
    ]);
    if !batch.nodes.is_empty() {
        text.push_str(&format!("\n{}\n", fleet_table(&batch.nodes)));
    }
    text
}

/// What was given up of these nodes.
fn lost(nodes: &[v1::FleetNode]) -> String {
    let lost: Vec<_> = nodes.iter().filter(|node| !node.loss.is_empty()).collect();
    let mut lines: Vec<String> =
        lost.iter().take(TOLD_MAX).map(|node| format!("{}: {}", node.node, node.loss)).collect();
    if lost.len() > TOLD_MAX {
        lines.push(format!("and {} more", lost.len() - TOLD_MAX));
    }
    lines.join("\n")
}

pub(crate) fn explain_text(explanation: &v1::ExplainNodeResponse) -> String {
    let mut text = format!("{}: {}\n", clean(&explanation.node), clean(&explanation.r#where));
    text.push_str(&format!("why: {}\n", clean(&explanation.why)));
    for (title, lines) in [
        ("waits for", &explanation.waits_for),
        ("what unblocks it", &explanation.unblock),
        ("history", &explanation.history),
    ] {
        if !lines.is_empty() {
            text.push_str(&format!("{title}:\n"));
            text.extend(lines.iter().map(|line| format!("  {}\n", clean(line))));
        }
    }
    text
}
