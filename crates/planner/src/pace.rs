//! How large the next batch should be, from how the batches before it ended.
//!
//! Success doubles, a failure halves, a bad verdict starts from the canary again. After something went wrong, doubling
//! ends at half the size at which it did; from there batches grow by a quarter only.

use crate::words::counted;
use serde::{Deserialize, Serialize};

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum BatchResult {
    /// All nodes moved and the soak was good.
    Good,
    /// Some nodes did not make it; the others did.
    Failed {
        /// How many did not.
        nodes: u64,
    },
    /// The soak gave an alert, or the batch was rolled back.
    BadVerdict,
}

/// A batch that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Nodes that it had.
    pub nodes: u64,
    /// How it ended.
    pub result: BatchResult,
}

/// Bounds of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaceRules {
    /// Nodes of a canary; the least that is tried after a bad verdict.
    pub canary_nodes: u64,
    /// Most nodes of a batch.
    pub nodes_max: u64,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextBatch {
    /// Nodes of the next batch; at least one.
    pub nodes: u64,
    /// Why so many, in words.
    pub why: String,
}

/// The size of the next batch after these, the oldest first.
#[must_use]
pub fn next_batch(finished: &[Finished], rules: PaceRules) -> NextBatch {
    let canary = rules.canary_nodes.clamp(1, rules.nodes_max.max(1));
    let bounded = |nodes: u64, why: String| {
        let most = rules.nodes_max.max(1);
        let why = if nodes > most { format!("{why}; limited to {}", counted(most, "node")) } else { why };
        NextBatch { nodes: nodes.clamp(1, most), why }
    };
    let Some(last) = finished.last() else {
        return bounded(canary, "the first batch is a canary".to_owned());
    };
    let size = counted(last.nodes, "node");
    match last.result {
        BatchResult::BadVerdict => bounded(canary, format!("the batch of {size} got a bad verdict: a canary again")),
        BatchResult::Failed { nodes } => {
            let half = (last.nodes / 2).max(1);
            bounded(half, format!("{} of {size} failed: half as many", counted(nodes, "node")))
        }
        BatchResult::Good => match slow_from(finished) {
            Some(slow) if last.nodes >= slow => {
                let nodes = last.nodes.saturating_add((last.nodes / 4).max(1));
                bounded(
                    nodes,
                    format!("the batch of {size} was good: a quarter more, as one of twice {slow} went wrong"),
                )
            }
            Some(slow) => {
                let nodes = last.nodes.saturating_mul(2).min(slow);
                bounded(nodes, format!("the batch of {size} was good: up to twice as many, half of what went wrong"))
            }
            None => bounded(last.nodes.saturating_mul(2), format!("the batch of {size} was good: twice as many")),
        },
    }
}

/// Half the size of the last batch that went wrong.
fn slow_from(finished: &[Finished]) -> Option<u64> {
    let wrong = finished.iter().rev().find(|batch| batch.result != BatchResult::Good)?;
    Some((wrong.nodes / 2).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(results: &[BatchResult]) -> Vec<u64> {
        let rules = PaceRules { canary_nodes: 1, nodes_max: 100 };
        let mut finished = Vec::new();
        for result in results {
            let nodes = next_batch(&finished, rules).nodes;
            finished.push(Finished { nodes, result: *result });
        }
        finished.into_iter().map(|batch| batch.nodes).collect()
    }

    #[test]
    fn success_doubles_a_failure_halves_and_a_bad_verdict_starts_again() {
        use BatchResult::{BadVerdict, Failed, Good};
        assert_eq!(sizes(&[Good; 9]), [1, 2, 4, 8, 16, 32, 64, 100, 100]);
        assert_eq!(
            sizes(&[Good, Good, Good, Good, Failed { nodes: 2 }, Good, Good, Good]),
            [1, 2, 4, 8, 16, 8, 10, 12]
        );
        assert_eq!(sizes(&[Good, Good, Good, BadVerdict, Good, Good, Good, Good]), [1, 2, 4, 8, 1, 2, 4, 5]);
        assert_eq!(sizes(&[Failed { nodes: 1 }, BadVerdict, Good]), [1, 1, 1]);
    }

    #[test]
    fn the_reason_is_given_in_words() {
        let rules = PaceRules { canary_nodes: 2, nodes_max: 10 };
        let after = |nodes, result| next_batch(&[Finished { nodes, result }], rules).why;
        assert_eq!(next_batch(&[], rules).why, "the first batch is a canary");
        assert_eq!(after(8, BatchResult::Good), "the batch of 8 nodes was good: twice as many; limited to 10 nodes");
        assert_eq!(after(8, BatchResult::Failed { nodes: 1 }), "1 node of 8 nodes failed: half as many");
        assert_eq!(after(8, BatchResult::BadVerdict), "the batch of 8 nodes got a bad verdict: a canary again");
    }

    #[test]
    fn no_history_leads_to_a_batch_without_nodes_or_above_the_bound() {
        let rules = PaceRules { canary_nodes: 0, nodes_max: 0 };
        for result in [BatchResult::Good, BatchResult::BadVerdict, BatchResult::Failed { nodes: u64::MAX }] {
            for nodes in [0, 1, u64::MAX] {
                assert_eq!(next_batch(&[Finished { nodes, result }], rules).nodes, 1);
            }
        }
    }
}
