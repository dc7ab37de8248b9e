//! What came out, for people and for programs.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// The fewest snapshots a node may end with: three from before the move and one from after it.
const SNAPSHOTS_MIN: u64 = 4;

/// One node's row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is the outcome of a check of its own")]
pub struct NodeReport {
    /// The node.
    pub node: String,
    /// Whose it is.
    pub customer: String,
    /// The shard it was on.
    pub source: String,
    /// The shard it is on now.
    pub target: String,
    /// Its generation now.
    pub generation: u64,
    /// The batch it moved in.
    pub batch: String,
    /// Its objects now.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Snapshots that its client lists.
    pub snapshots: u64,
    /// Verified by the shards at one seq, and the two data folders hold the same bytes.
    pub digest_equal: bool,
    /// `restic check --read-data` found nothing.
    pub check_ok: bool,
    /// A restore gave the original tree.
    pub restore_equal: bool,
    /// One more backup worked, and every snapshot ever acknowledged is listed.
    pub backup_after_ok: bool,
    /// Runs of the client that failed and lines that it wrote on standard error, during the move and after it.
    pub client_errors: u64,
}

impl NodeReport {
    /// True when all of it holds.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.digest_equal
            && self.check_ok
            && self.restore_equal
            && self.backup_after_ok
            && self.client_errors == 0
            && self.snapshots >= SNAPSHOTS_MIN
            && self.source != self.target
    }
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// A row for each node.
    pub nodes: Vec<NodeReport>,
    /// The batches in the order they moved.
    pub batches: Vec<String>,
    /// How long everything took.
    pub seconds: f64,
    /// True when all of it holds for every node.
    pub ok: bool,
}

impl Report {
    pub(super) fn new(nodes: Vec<NodeReport>, batches: Vec<String>, took: Duration) -> Self {
        let ok = !nodes.is_empty() && nodes.iter().all(NodeReport::is_ok);
        let seconds = (took.as_secs_f64() * 10.0).round() / 10.0;
        Self { nodes, batches, seconds, ok }
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<11} {:<8} {:<17} {:>3} {:<8} {:>7} {:>9} {:>9} {:<7}{:<6}{:<8}{:<7}errors",
            "node",
            "customer",
            "moved",
            "gen",
            "batch",
            "objects",
            "MiB",
            "snapshots",
            "digest",
            "check",
            "restore",
            "backup"
        )?;
        let word = |good: bool| if good { "ok" } else { "NO" };
        for node in &self.nodes {
            let moved = format!("{} > {}", node.source, node.target);
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            let mebibytes = node.bytes as f64 / f64::from(1 << 20);
            writeln!(
                f,
                "{:<11} {:<8} {moved:<17} {:>3} {:<8} {:>7} {mebibytes:>9.1} {:>9} {:<7}{:<6}{:<8}{:<7}{}",
                node.node,
                node.customer,
                node.generation,
                node.batch,
                node.objects,
                node.snapshots,
                word(node.digest_equal),
                word(node.check_ok),
                word(node.restore_equal),
                word(node.backup_after_ok),
                node.client_errors
            )?;
        }
        let verdict = if self.ok { "All of it holds." } else { "NOT all of it holds." };
        write!(f, "{} nodes in {} batches, {:.1} s. {verdict}", self.nodes.len(), self.batches.len(), self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> NodeReport {
        NodeReport {
            source: "a".to_owned(),
            target: "b".to_owned(),
            snapshots: 4,
            digest_equal: true,
            check_ok: true,
            restore_equal: true,
            backup_after_ok: true,
            ..NodeReport::default()
        }
    }

    #[test]
    fn one_failed_check_of_one_node_is_a_failure_of_all() {
        let spoil: [fn(&mut NodeReport); 7] = [
            |node| node.digest_equal = false,
            |node| node.check_ok = false,
            |node| node.restore_equal = false,
            |node| node.backup_after_ok = false,
            |node| node.client_errors = 1,
            |node| node.snapshots = 3,
            |node| node.target = "a".to_owned(),
        ];
        let report = |nodes| Report::new(nodes, vec![], Duration::ZERO).ok;
        assert!(report(vec![good(), good()]));
        assert!(!report(vec![]));
        for spoil in spoil {
            let mut bad = good();
            spoil(&mut bad);
            assert!(!report(vec![good(), bad]));
        }
    }
}
