//! Bars on a terminal: one for each node under way, a line for each batch, a line for the cluster.

use super::{Watched, batch_state};
use crate::output::{clean, progress};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use shardlift_api::v1;
use shardlift_model::UnixMillis;
use std::collections::BTreeMap;

/// Bars at once; more do not fit on a screen.
const BARS_MAX: usize = 30;

/// Alerts at once.
const ALERTS_MAX: usize = 3;

/// A terminal full of bars.
pub(crate) struct Bars {
    watched: Watched,
    all: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
}

/// What one bar shows, and what keeps it apart from others.
struct Row {
    key: String,
    text: String,
    bytes: Option<(u64, u64)>,
}

impl Bars {
    pub(super) fn new(watched: Watched) -> Self {
        Self { watched, all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()), bars: BTreeMap::new() }
    }

    pub(super) fn show(&mut self, status: &v1::StatusView) {
        let rows = rows(status, &self.watched);
        let is_same = rows.len() == self.bars.len() && rows.iter().all(|row| self.bars.contains_key(&row.key));
        if !is_same {
            self.bars.values().for_each(ProgressBar::finish_and_clear);
            self.bars = rows.iter().map(|row| (row.key.clone(), self.all.add(bar(row)))).collect();
        }
        for row in rows {
            let Some(bar) = self.bars.get(&row.key) else { continue };
            if let Some((done, total)) = row.bytes {
                bar.set_length(total);
                bar.set_position(done);
            }
            bar.set_message(row.text);
        }
    }

    pub(super) fn finish(self) {
        self.bars.values().for_each(ProgressBar::finish_and_clear);
    }
}

fn bar(row: &Row) -> ProgressBar {
    let template = if row.bytes.is_some() { "  {bar:24} {msg}" } else { "{wide_msg}" };
    // A template that does not parse would be a bug of these two lines; plain bars then do.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(row.bytes.map_or(0, |(_, total)| total)).with_style(style.progress_chars("=> "))
}

fn rows(status: &v1::StatusView, watched: &Watched) -> Vec<Row> {
    let line = |key: String, text: String| Row { key, text: clean(&text), bytes: None };
    let v1::StatusView { cluster, nodes, plan_revision, route_version, .. } = status;
    let mut rows = Vec::new();
    if *watched == Watched::All {
        let text = format!("cluster {cluster}: {nodes} nodes, plan {plan_revision}, routes {route_version}");
        rows.push(line("cluster".to_owned(), text));
    }
    for batch in watched.batches(status) {
        let state = batch_state(batch, UnixMillis(status.now_unix_ms));
        let whole = progress(batch.progress.as_ref());
        let waits = batch.waiting_for.first().map_or_else(String::new, |reason| format!("; waits for {reason}"));
        let text = format!("batch {}: {state}, {} nodes, {whole}{waits}", batch.batch, batch.nodes.len());
        rows.push(line(format!("batch {}", batch.batch), text));
        let room = BARS_MAX.saturating_sub(rows.len());
        rows.extend(watched.nodes(batch).take(room).map(|node| node_row(&batch.batch, node)));
        let left_out = watched.nodes(batch).count().saturating_sub(room);
        if left_out > 0 {
            rows.push(line(format!("rest {}", batch.batch), format!("  and {left_out} more nodes")));
        }
    }
    let alerts = status.alerts.iter().take(ALERTS_MAX).enumerate();
    rows.extend(alerts.map(|(n, alert)| line(format!("alert {n}"), format!("ALERT {alert}"))));
    rows
}

fn node_row(batch: &str, node: &v1::FleetNode) -> Row {
    let (done, total) = node.progress.as_ref().map_or((0, 0), |p| (p.bytes_done, p.bytes_total));
    let state = if node.held_because.is_empty() { node.phase.as_str() } else { "held" };
    let text = clean(&format!("{:<24} {state:<12} {}", node.node, progress(node.progress.as_ref())));
    Row { key: format!("node {batch} {}", node.node), text, bytes: Some((done, total.max(1))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_batch_leaves_room_on_the_screen() {
        let node = |n: u32| v1::FleetNode { node: format!("n{n}"), phase: "seeding".into(), ..Default::default() };
        let nodes = (0..100).map(node).collect();
        let batch = v1::BatchView { batch: "b".into(), phase: "preparing".into(), nodes, ..Default::default() };
        let status = v1::StatusView { batches: vec![batch], alerts: vec!["a\x1b[2J".into(); 9], ..Default::default() };
        let rows = rows(&status, &Watched::All);
        assert!(rows.len() <= BARS_MAX + 2 + ALERTS_MAX, "{}", rows.len());
        assert!(rows.iter().any(|row| row.text == "  and 72 more nodes"));
        assert!(rows.iter().all(|row| !row.text.contains('\x1b')));
    }
}
