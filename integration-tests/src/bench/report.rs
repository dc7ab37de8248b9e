//! One line of the report, and the file that all benchmarks append to.

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
        let verdict = if *met { "met" } else { "NOT met" };
        write!(
            f,
            "{bench}: {case}: {ours:.1} {unit}, {peer_name} {peer:.1} {unit}: ratio {ratio:.2}, goal {goal} {verdict}"
        )
    }
}

/// Adds one line to the report, a JSON list that is made when it is not there.
///
/// # Errors
/// When the report is not such a list or cannot be written.
pub fn append(path: &Path, comparison: &Comparison) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut rows: Vec<serde_json::Value> = match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is no report", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    rows.push(serde_json::to_value(comparison)?);
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
