//! The lines of the report, and the file that all benchmarks append to.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// Ours and a peer's, measured in the same run; more is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The benchmark.
    pub bench: String,
    /// What was measured.
    pub case: String,
    /// Our figure.
    pub ours: f64,
    /// The peer's figure.
    pub peer: f64,
    /// Who the peer is.
    pub peer_name: String,
    /// The unit of both.
    pub unit: String,
    /// Ours divided by the peer's.
    pub ratio: f64,
    /// What the ratio has to be at least.
    pub goal: f64,
    /// Whether it is.
    pub met: bool,
}

impl Comparison {
    pub(super) fn new(
        bench: &str,
        case: &str,
        (ours, peer): (f64, f64),
        peer_name: &str,
        unit: &str,
        goal: f64,
    ) -> Self {
        let ratio = ours / peer;
        let [bench, case, peer_name, unit] = [bench, case, peer_name, unit].map(str::to_owned);
        Self { bench, case, ours, peer, peer_name, unit, ratio, goal, met: ratio >= goal }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bench, case, ours, peer, peer_name, unit, ratio, goal, met } = self;
        write!(
            f,
            "{bench}: {case}: {ours:.1} {unit}, {peer_name} {peer:.1} {unit}: ratio {ratio:.2}, goal {goal} {}",
            verdict(*met)
        )
    }
}

const fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "NOT met" }
}

/// How long the nodes of one batch were parked at its flip, as their clients saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParkedTimes {
    /// The benchmark.
    pub bench: String,
    /// Nodes of the batch; each gives one value, its longest request across the flip.
    pub nodes: usize,
    /// Half of the nodes were parked no longer.
    pub p50_ms: f64,
    /// 99 of 100 nodes were parked no longer.
    pub p99_ms: f64,
    /// No node was parked longer.
    pub max_ms: f64,
    /// From the start of the cutover until all nodes were probed.
    pub flip_ms: f64,
    /// Between two objects of one client; a node may have been parked this much longer than any of its requests.
    pub pace_ms: f64,
    /// Half of all requests before the flip took no longer.
    pub before_p50_ms: f64,
    /// 99 of 100 requests before the flip took no longer.
    pub before_p99_ms: f64,
    /// Requests in all.
    pub requests: usize,
    /// Of these without answer or refused.
    pub failed: usize,
    /// Acknowledged objects that are not at the target.
    pub lost: usize,
    /// What `p99_ms` has to be below.
    pub goal_ms: f64,
    /// Whether it is.
    pub met: bool,
}

impl fmt::Display for ParkedTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bench, nodes, p50_ms, p99_ms, max_ms, flip_ms, pace_ms, before_p50_ms, before_p99_ms, .. } = self;
        let Self { requests, failed, lost, goal_ms, met, .. } = self;
        write!(
            f,
            "{bench}: {nodes} nodes parked: p50 {p50_ms:.0} ms, p99 {p99_ms:.0} ms, max {max_ms:.0} ms, goal p99 below \
             {goal_ms:.0} ms {}; all probed after {flip_ms:.0} ms; {requests} requests, one each {pace_ms:.0} ms a node \
             (before the flip p50 {before_p50_ms:.1} ms, p99 {before_p99_ms:.1} ms), {failed} failed, {lost} lost",
            verdict(*met)
        )
    }
}

/// What real clients said of a flip in the middle of their backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// The benchmark.
    pub bench: String,
    /// Clients at work at the same time.
    pub clients: usize,
    /// Backups in all.
    pub runs: usize,
    /// Of these under way all through the flip.
    pub through: usize,
    /// Lines on standard error of all of them.
    pub lines: usize,
    /// Acknowledged snapshots that are not listed afterwards.
    pub lost: usize,
    /// How many lines there should be.
    pub goal: usize,
    /// Whether there are no more.
    pub met: bool,
}

impl fmt::Display for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bench, clients, runs, through, lines, lost, goal, met } = self;
        write!(
            f,
            "{bench}: {clients} clients, {runs} backups, {through} of them through the flip: {lines} lines on standard \
             error, goal {goal} {}; {lost} snapshots lost",
            verdict(*met)
        )
    }
}

/// What clients feel of a move, with clients first and without, and what the move gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientsFirst {
    /// The benchmark.
    pub bench: String,
    /// Clients that backed up.
    pub clients: usize,
    /// Nodes that left.
    pub nodes: usize,
    /// Size of each, in MiB.
    pub mebibytes: u64,
    /// Requests of clients that were timed.
    pub requests: usize,
    /// Half of the requests without a move took no longer.
    pub usual_p50_ms: f64,
    /// 99 of 100 took no longer.
    pub usual_p99_ms: f64,
    /// During a move, clients first.
    pub on_p50_ms: f64,
    /// The same.
    pub on_p99_ms: f64,
    /// During a move, clients first switched off.
    pub off_p50_ms: f64,
    /// The same.
    pub off_p99_ms: f64,
    /// Half of the whole backups without a move took no longer.
    pub usual_backup_s: Option<f64>,
    /// During a move, clients first.
    pub on_backup_s: Option<f64>,
    /// During a move, clients first switched off.
    pub off_backup_s: Option<f64>,
    /// The move without clients.
    pub idle_mebibytes_per_second: f64,
    /// The move with them, clients first.
    pub on_mebibytes_per_second: f64,
    /// The move with them, clients first switched off.
    pub off_mebibytes_per_second: f64,
    /// p99 with the move by p99 without, clients first.
    pub latency_on: f64,
    /// Clients first switched off.
    pub latency_off: f64,
    /// Throughput with clients by throughput without, clients first.
    pub throughput_on: f64,
    /// Clients first switched off.
    pub throughput_off: f64,
    /// Why the source's pace was what it was.
    pub reasons: Vec<String>,
    /// Whether clients felt as little as they should.
    pub latency_met: bool,
    /// Whether the move got as much as it should.
    pub throughput_met: bool,
    /// Whether clients felt more with clients first switched off.
    pub off_is_worse: bool,
}

impl ClientsFirst {
    /// What `latency_on` may be at most.
    pub const LATENCY_GOAL: f64 = 1.3;
    /// What `throughput_on` has to be at least.
    pub const THROUGHPUT_GOAL: f64 = 0.6;
}

impl fmt::Display for ClientsFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bench, clients, nodes, mebibytes, usual_p50_ms, usual_p99_ms, on_p99_ms, off_p99_ms, .. } = self;
        let Self { latency_on, latency_off, throughput_on, throughput_off, idle_mebibytes_per_second, .. } = self;
        write!(
            f,
            "{bench}: {clients} clients, {nodes} nodes of {mebibytes} MiB leave: p99 {usual_p99_ms:.1} ms without the move (p50 \
             {usual_p50_ms:.1} ms), {on_p99_ms:.1} ms with it: {latency_on:.2} times, goal at most {:.1} {}; throughput \
             {throughput_on:.2} of {idle_mebibytes_per_second:.0} MiB/s, goal at least {:.1} {}; clients first switched off: p99 \
             {off_p99_ms:.1} ms, {latency_off:.2} times; throughput {throughput_off:.2}{}",
            Self::LATENCY_GOAL,
            verdict(self.latency_met),
            Self::THROUGHPUT_GOAL,
            verdict(self.throughput_met),
            if self.off_is_worse { "" } else { " (not worse for clients)" },
        )
    }
}

/// Adds one line to the report, a JSON list that is made when it is not there.
///
/// # Errors
/// When the report is not such a list or cannot be written.
pub fn append(path: &Path, row: &impl Serialize) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut rows: Vec<serde_json::Value> = match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is no report", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    rows.push(serde_json::to_value(row)?);
    std::fs::write(path, serde_json::to_string_pretty(&rows)? + "\n")
        .with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestRoot;

    #[test]
    fn rows_are_added_and_what_is_no_report_is_left_alone() {
        let root = TestRoot::new("bench-report").unwrap();
        let path = root.path().join("bench/report.json");
        for ours in [9.0, 8.0] {
            append(&path, &Comparison::new("backup", "small", (ours, 10.0), "peer", "MiB/s", 0.9)).unwrap();
        }
        let rows: Vec<Comparison> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(rows.iter().map(|row| row.met).collect::<Vec<_>>(), [true, false]);
        std::fs::write(&path, "precious").unwrap();
        assert!(append(&path, &rows[0]).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
