//! A line for each change, for logs and pipes: phases, tenths of a copy, holds, alerts.

use super::{Watched, batch_state};
use crate::output::{clean, node_count, progress};
use shardlift_api::v1;
use shardlift_model::UnixMillis;
use std::collections::{BTreeMap, BTreeSet};

/// How long a reason to wait has to stand before it is told, and how often a new one is told.
const REASON_MS: u64 = 5_000;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Seen {
    phase: String,
    tenths: u64,
    held_because: String,
    undone_because: String,
    reason: String,
    reason_at_ms: u64,
}

/// What was told so far.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    watched: Watched,
    batches: BTreeMap<String, String>,
    nodes: BTreeMap<(String, String), Seen>,
    alerts: BTreeSet<String>,
}

impl Lines {
    pub(super) fn new(watched: Watched) -> Self {
        Self { watched, ..Self::default() }
    }

    /// What is new in a view.
    pub(super) fn changes(&mut self, status: &v1::StatusView) -> Vec<String> {
        let mut lines = Vec::new();
        let watched = self.watched.clone();
        for batch in watched.batches(status) {
            self.batch_changes(batch, UnixMillis(status.now_unix_ms), &mut lines);
            for node in watched.nodes(batch) {
                self.node_changes(&batch.batch, node, status.now_unix_ms, &mut lines);
            }
        }
        let alerts: BTreeSet<String> = status.alerts.iter().cloned().collect();
        lines.extend(alerts.difference(&self.alerts).map(|alert| format!("ALERT {alert}")));
        self.alerts = alerts;
        lines.iter().map(|line| clean(line)).collect()
    }

    fn batch_changes(&mut self, batch: &v1::BatchView, now: UnixMillis, lines: &mut Vec<String>) {
        let state = batch_state(batch, now);
        let before = self.batches.insert(batch.batch.clone(), state.clone());
        if before.as_ref() != Some(&state) {
            lines.push(format!("batch {}: {state}, {} nodes", batch.batch, node_count(batch)));
        }
    }

    fn node_changes(&mut self, batch: &str, node: &v1::FleetNode, now_ms: u64, lines: &mut Vec<String>) {
        let seen = self.nodes.entry((batch.to_owned(), node.node.clone())).or_default();
        let tenths = tenths(node.progress.as_ref());
        let is_copied = node.phase == "seeding" && tenths > seen.tenths;
        if seen.phase != node.phase || is_copied {
            let how_far = if node.phase == "seeding" { progress(node.progress.as_ref()) } else { String::new() };
            let gap = if how_far.is_empty() || how_far == "-" { "" } else { " " };
            lines.push(format!("  {}: {}{gap}{}", node.node, node.phase, how_far.trim_start_matches('-')));
            (seen.phase, seen.tenths) = (node.phase.clone(), tenths);
        }
        if seen.held_because != node.held_because {
            seen.held_because.clone_from(&node.held_because);
            let held = if node.held_because.is_empty() {
                "goes on".to_owned()
            } else {
                format!("held: {}", node.held_because)
            };
            lines.push(format!("  {}: {held}", node.node));
        }
        let undone_because = node.way_back.as_ref().map_or("", |way_back| way_back.failed.as_str());
        if seen.undone_because != undone_because {
            undone_because.clone_into(&mut seen.undone_because);
            if !undone_because.is_empty() {
                lines.push(format!("  {}: its way back was undone: {undone_because}", node.node));
            }
        }
        if seen.reason != node.waiting_for && now_ms.saturating_sub(seen.reason_at_ms) >= REASON_MS {
            // The first one only starts the clock: most reasons pass by themselves.
            let is_first = seen.reason_at_ms == 0;
            seen.reason_at_ms = now_ms;
            if !is_first {
                seen.reason.clone_from(&node.waiting_for);
                if !node.waiting_for.is_empty() {
                    lines.push(format!("  {}: waits for {}", node.node, node.waiting_for));
                }
            }
        }
    }
}

fn tenths(progress: Option<&v1::Progress>) -> u64 {
    let of = |p: &v1::Progress| (u128::from(p.bytes_done) * 10).checked_div(u128::from(p.bytes_total)).unwrap_or(0);
    progress.map_or(0, |progress| u64::try_from(of(progress)).unwrap_or(10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn view(phase: &str, node_phase: &str, done: u64, at_s: u64) -> v1::StatusView {
        let progress = v1::Progress {
            bytes_done: done << 20,
            bytes_total: 100 << 20,
            bytes_per_second: 5 << 20,
            eta_ms: (100 - done) * 200,
            ..Default::default()
        };
        let node = v1::FleetNode {
            node: "acme/web-1".into(),
            phase: node_phase.into(),
            progress: Some(progress),
            ..Default::default()
        };
        let batch =
            v1::BatchView { batch: "canary".into(), phase: phase.into(), nodes: vec![node], ..Default::default() };
        v1::StatusView { batches: vec![batch], now_unix_ms: at_s * 1000, ..Default::default() }
    }

    #[test]
    fn each_change_is_told_once() {
        let mut lines = Lines::new(Watched::Batch("canary".into()));
        let mut held = view("preparing", "ready", 100, 20);
        held.batches[0].nodes[0].held_because = "objects are damaged\nlook at them".into();
        held.alerts = vec!["node acme/web-1 needs an operator".into()];
        let mut waits = held.clone();
        waits.now_unix_ms = 30_000;
        waits.batches[0].nodes[0].held_because = String::new();
        waits.batches[0].nodes[0].waiting_for = "the new certificate to be used".into();
        let mut still = waits.clone();
        still.now_unix_ms = 36_000;
        let told: Vec<String> = [
            view("planned", "planned", 0, 1),
            view("preparing", "seeding", 1, 2),
            view("preparing", "seeding", 9, 3),
            view("preparing", "seeding", 42, 4),
            view("preparing", "following", 100, 5),
            held.clone(),
            held,
            waits,
            still.clone(),
            still,
            view("soaking", "soaking", 100, 50),
        ]
        .iter()
        .flat_map(|view| lines.changes(view))
        .collect();
        expect![[r#"
            batch canary: planned, 1 nodes
              acme/web-1: planned
            batch canary: preparing, 1 nodes
              acme/web-1: seeding 1% of 100.0 MiB, 5.0 MiB/s, 20s left
              acme/web-1: seeding 42% of 100.0 MiB, 5.0 MiB/s, 12s left
              acme/web-1: following
              acme/web-1: ready
              acme/web-1: held: objects are damaged look at them
            ALERT node acme/web-1 needs an operator
              acme/web-1: goes on
              acme/web-1: waits for the new certificate to be used
            batch canary: soaking, 1 nodes
              acme/web-1: soaking"#]]
        .assert_eq(&told.join("\n"));
    }

    #[test]
    fn when_a_batch_flips_its_verdict_and_an_undone_way_back_are_told_once() {
        let mut lines = Lines::new(Watched::Batch("canary".into()));
        let mut closed = view("preparing", "ready", 100, 20);
        (closed.batches[0].when, closed.batches[0].next_window_unix_ms) = ("window".into(), 3_600_000);
        let mut open = closed.clone();
        (open.now_unix_ms, open.batches[0].next_window_unix_ms) = (3_600_500, 3_600_501);
        let mut still_open = open.clone();
        (still_open.now_unix_ms, still_open.batches[0].next_window_unix_ms) = (3_700_000, 3_700_001);
        let soaking = view("soaking", "soaking", 100, 3_800);
        let back = view("soaking", "rolling_back", 100, 3_900);
        let mut undone = view("soaking", "soaking", 100, 4_000);
        undone.batches[0].nodes[0].way_back =
            Some(v1::WayBack { failed: "shard a does not answer".into(), ..Default::default() });
        let mut judged = undone.clone();
        judged.batches[0].verdict = "good".into();
        let views = [closed, open, still_open, soaking, back, undone.clone(), undone, judged.clone(), judged];
        let told: Vec<String> = views.iter().flat_map(|view| lines.changes(view)).collect();
        expect![[r#"
            batch canary: preparing, flips: window, from 1970-01-01T01:00:00Z, 1 nodes
              acme/web-1: ready
            batch canary: preparing, flips: window, open now, 1 nodes
            batch canary: soaking, 1 nodes
              acme/web-1: soaking
              acme/web-1: rolling_back
              acme/web-1: soaking
              acme/web-1: its way back was undone: shard a does not answer
            batch canary: soaking, verdict good, 1 nodes"#]]
        .assert_eq(&told.join("\n"));
    }

    #[test]
    fn other_batches_are_not_told_to_who_waits_for_one() {
        let mut lines = Lines::new(Watched::Batch("batch-2".into()));
        assert!(lines.changes(&view("preparing", "seeding", 1, 1)).is_empty());
        assert!(!Lines::new(Watched::All).changes(&view("preparing", "seeding", 1, 1)).is_empty());
    }
}
