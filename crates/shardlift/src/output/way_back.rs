//! The way back, the flip and the doctor's findings in words.

use super::{clean, fields, instant, or_dash, span, table};
use shardlift_api::v1;
use shardlift_model::UnixMillis;

/// Nodes whose problem is told for one batch.
const TOLD_MAX: usize = 10;

/// A window counts as open when it begins within this time of the view: the two clocks were read one after the other.
const OPEN_WITHIN_MS: u64 = 1000;

/// What a rollback of this node would be like now.
pub(crate) fn node_way_back(node: &v1::FleetNode) -> String {
    match &node.way_back {
        None => format!("nothing is known of a way back: it is {}", node.phase),
        Some(way_back) if node.phase == "rolling_back" => format!("a way back to {} is under way", way_back.follower),
        Some(way_back) => now_words(way_back),
    }
}

fn now_words(way_back: &v1::WayBack) -> String {
    let v1::WayBack { follower, lag, takes_ms, snapshots_kept, problem, .. } = way_back;
    let kept = kept(*snapshots_kept);
    if !problem.is_empty() {
        return format!("rollback would have to wait now: {problem}; it {kept}");
    }
    let behind = match lag {
        0 => "has all changes".to_owned(),
        1 => "follows 1 change behind".to_owned(),
        lag => format!("follows {lag} changes behind"),
    };
    format!("rollback now takes about {} and {kept}; shard {follower} {behind}", short(*takes_ms))
}

fn kept(snapshots: u64) -> String {
    match snapshots {
        0 => "has no newer snapshot to keep".to_owned(),
        1 => "keeps 1 snapshot".to_owned(),
        count => format!("keeps {count} snapshots"),
    }
}

/// What a way back without the writer would cost.
pub(crate) fn loss_text(preview: &v1::LossPreview) -> String {
    let v1::LossPreview { followed_seq, heard_seq, snapshots_kept, snapshots_lost, .. } = preview;
    let heard = match preview.heard_at_unix_ms {
        0 => "not heard since the controller started".to_owned(),
        at => format!("last heard at {}", instant(at)),
    };
    let writer = if preview.writer_answers { "answers".to_owned() } else { format!("does not answer, {heard}") };
    let count = |count: u64, what: &str| if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") };
    let can = preview.problem.is_empty();
    let only_if = |can: bool, text: String| if can { text } else { String::new() };
    let lost = heard_seq.saturating_sub(*followed_seq);
    fields(&[
        ("served by", only_if(!preview.writer.is_empty(), format!("{}, which {writer}", preview.writer))),
        ("goes back to", preview.follower.clone()),
        ("kept", only_if(can, format!("its changes up to {followed_seq}; {}", count(*snapshots_kept, "snapshot")))),
        (
            "lost",
            only_if(
                can,
                format!(
                    "{} and {} that were heard of, and all that it stored later",
                    count(lost, "change"),
                    count(*snapshots_lost, "snapshot")
                ),
            ),
        ),
        ("problem", preview.problem.clone()),
    ])
}

/// What a way back of a batch would cost of which writers are gone: node by node, then in sum.
pub(crate) fn batch_loss_text(preview: &v1::BatchLossPreview) -> String {
    let row = |node: &v1::LossPreview| {
        let gone = |text: String| if node.writer_answers { "-".to_owned() } else { text };
        let lost = node.heard_seq.saturating_sub(node.followed_seq);
        vec![
            node.node.clone(),
            if node.writer_answers { node.writer.clone() } else { format!("{}, gone", node.writer) },
            if node.writer_answers { "all".to_owned() } else { node.followed_seq.to_string() },
            gone(lost.to_string()),
            gone(node.snapshots_lost.to_string()),
            instant(node.lost_since_unix_ms),
            or_dash(node.problem.lines().next().unwrap_or_default()),
        ]
    };
    let headers = ["NODE", "SERVED BY", "KEPT UP TO", "CHANGES LOST", "SNAPSHOTS LOST", "STORED SINCE", "PROBLEM"];
    let mut text = if preview.nodes.is_empty() {
        String::new()
    } else {
        format!("{}\n\n", table(&headers, preview.nodes.iter().map(row)))
    };
    if preview.problem.is_empty() {
        text.push_str(&format!("{}\n", batch_loss_sum(&preview.nodes)));
    } else {
        text.push_str(&fields(&[("problem", preview.problem.clone())]));
    }
    text
}

fn batch_loss_sum(nodes: &[v1::LossPreview]) -> String {
    let (answering, gone): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| node.writer_answers);
    let count = |count: u64, what: &str| if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") };
    let sum = |of: fn(&v1::LossPreview) -> u64| gone.iter().map(|node| of(node)).fold(0, u64::saturating_add);
    format!(
        "{} without the shard that served it: {} and {} that were heard of are lost, and all that it stored later; {} with all \
         changes",
        count(gone.len() as u64, "node"),
        count(sum(|node| node.heard_seq.saturating_sub(node.followed_seq)), "change"),
        count(sum(|node| node.snapshots_lost), "snapshot"),
        count(answering.len() as u64, "node"),
    )
}

/// What a rollback of these nodes would be like now, in sums; then what is in the way, node by node.
pub(crate) fn batch_way_back(nodes: &[v1::FleetNode]) -> String {
    let ways: Vec<(&str, &v1::WayBack)> =
        nodes.iter().filter_map(|node| Some((node.node.as_str(), node.way_back.as_ref()?))).collect();
    if ways.is_empty() {
        return "nothing is known of a way back of its nodes".to_owned();
    }
    let sum = |of: fn(&v1::WayBack) -> u64| ways.iter().map(|(_, way)| of(way)).fold(0, u64::saturating_add);
    let takes = ways.iter().map(|(_, way)| way.takes_ms).max().unwrap_or(0);
    let behind = match sum(|way| way.lag) {
        0 => "the old copies have all changes".to_owned(),
        lag => format!("the old copies are {lag} changes behind in all"),
    };
    let (count, kept) = (ways.len(), kept(sum(|way| way.snapshots_kept)));
    let mut text =
        format!("rollback of {count} nodes now takes at most about {} for each and {kept}; {behind}", short(takes));
    let in_the_way: Vec<_> = ways.iter().filter(|(_, way)| !way.problem.is_empty()).collect();
    for (node, way) in in_the_way.iter().take(TOLD_MAX) {
        text.push_str(&format!("\n{node} would have to wait: {}", clean(&way.problem)));
    }
    if in_the_way.len() > TOLD_MAX {
        text.push_str(&format!("\nand {} more would have to wait", in_the_way.len() - TOLD_MAX));
    }
    text
}

/// Tenths of a second where they matter.
fn short(ms: u64) -> String {
    if ms >= 10_000 {
        return span(ms);
    }
    let tenths = ms.div_ceil(100);
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// When a batch flips that has not flipped yet; empty when it no longer matters.
pub(crate) fn flip_words(batch: &v1::BatchView, now: UnixMillis) -> String {
    let v1::BatchView { when, next_window_unix_ms: next, .. } = batch;
    if !matches!(batch.phase.as_str(), "planned" | "preparing" | "cutting_over") {
        return String::new();
    }
    let window = if when == "window" { "window,".to_owned() } else { format!("{when}, window") };
    match *next {
        0 => when.clone(),
        next if next <= now.0.saturating_add(OPEN_WITHIN_MS) => format!("{window} open now"),
        next => format!("{window} from {}", instant(next)),
    }
}

/// What the doctor found.
pub(crate) fn doctor_text(found: &v1::DiagnoseResponse) -> String {
    let mut text = String::new();
    for v1::Finding { subject, what, repair, command } in &found.findings {
        text.push_str(&format!("{}: {}\n", clean(subject), clean(what)));
        if !repair.is_empty() {
            text.push_str(&format!("  repair: {}\n", clean(repair)));
        }
        if !command.is_empty() {
            text.push_str(&format!("  --apply runs: shardlift {}\n", clean(command)));
        }
    }
    for part in &found.unchecked {
        text.push_str(&format!("not checked: {}\n", clean(part)));
    }
    let gap = if text.is_empty() { "" } else { "\n" };
    let v1::DiagnoseResponse { findings, nodes_checked, unchecked } = found;
    format!(
        "{text}{gap}{nodes_checked} nodes checked, {} findings, {} parts did not answer\n",
        findings.len(),
        unchecked.len()
    )
}

#[cfg(test)]
mod tests;
