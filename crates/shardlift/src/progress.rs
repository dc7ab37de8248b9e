//! Progress as it happens: bars on a terminal, a line for each change elsewhere.

mod bars;
mod lines;

use crate::output::flip_words;
use bars::Bars;
use lines::Lines;
use shardlift_api::v1;
use shardlift_model::UnixMillis;
use std::io::IsTerminal as _;

/// What shows progress.
pub(crate) enum Display {
    Bars(Bars),
    Lines(Lines),
}

impl Display {
    pub(crate) fn to_stderr(watched: Watched) -> Self {
        if std::io::stderr().is_terminal() { Self::Bars(Bars::new(watched)) } else { Self::Lines(Lines::new(watched)) }
    }

    /// Shows a view. The lines that are returned are for the caller to print.
    pub(crate) fn show(&mut self, status: &v1::StatusView) -> Vec<String> {
        match self {
            Self::Bars(bars) => {
                bars.show(status);
                Vec::new()
            }
            Self::Lines(lines) => lines.changes(status),
        }
    }

    /// Leaves the terminal to what comes next.
    pub(crate) fn finish(self) {
        if let Self::Bars(bars) = self {
            bars.finish();
        }
    }
}

/// What is worth a look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Watched {
    /// The cluster, and all batches that are under way.
    #[default]
    All,
    /// One batch.
    Batch(String),
    /// One node of one batch.
    Node {
        /// The batch.
        batch: String,
        /// The node.
        node: String,
    },
}

impl Watched {
    /// The one batch, if it is one.
    pub(crate) fn batch(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Batch(batch) | Self::Node { batch, .. } => Some(batch),
        }
    }

    fn batches<'s>(&'s self, status: &'s v1::StatusView) -> impl Iterator<Item = &'s v1::BatchView> {
        status.batches.iter().filter(move |view| match self {
            Self::Batch(batch) | Self::Node { batch, .. } => view.batch == *batch,
            Self::All => !matches!(view.phase.as_str(), "planned" | "released" | "aborted" | "rolled_back"),
        })
    }

    fn nodes<'s>(&'s self, batch: &'s v1::BatchView) -> impl Iterator<Item = &'s v1::FleetNode> {
        batch.nodes.iter().filter(move |view| match self {
            Self::Node { node, .. } => view.node == *node,
            Self::All | Self::Batch(_) => true,
        })
    }
}

/// Where a batch stands, with when it flips and what its soak came to.
fn batch_state(batch: &v1::BatchView, now: UnixMillis) -> String {
    let paused = if batch.paused { ", paused" } else { "" };
    let flips = match flip_words(batch, now) {
        // Nothing is waited for that others do not show.
        words if words.is_empty() || words == "now" => String::new(),
        words => format!(", flips: {words}"),
    };
    let verdict = if batch.verdict.is_empty() { String::new() } else { format!(", verdict {}", batch.verdict) };
    format!("{}{paused}{flips}{verdict}", batch.phase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_is_watched_without_the_others_of_its_batch() {
        let node = |name: &str| v1::FleetNode { node: name.into(), ..Default::default() };
        let batch = |name: &str, phase: &str| v1::BatchView {
            batch: name.into(),
            phase: phase.into(),
            nodes: vec![node("n1"), node("n2")],
            ..Default::default()
        };
        let status = v1::StatusView {
            batches: vec![batch("b1", "soaking"), batch("b2", "rolled_back"), batch("b3", "preparing")],
            ..Default::default()
        };
        let seen = |watched: Watched| -> Vec<String> {
            let pairs = watched.batches(&status).flat_map(|batch| watched.nodes(batch).map(move |node| (batch, node)));
            pairs.map(|(batch, node)| format!("{} {}", batch.batch, node.node)).collect()
        };
        assert_eq!(seen(Watched::All), ["b1 n1", "b1 n2", "b3 n1", "b3 n2"], "what is over is not watched");
        assert_eq!(seen(Watched::Batch("b2".into())), ["b2 n1", "b2 n2"]);
        assert_eq!(seen(Watched::Node { batch: "b1".into(), node: "n2".into() }), ["b1 n2"]);
    }
}
