//! What the operator wants of a plan, beyond who may move: how much relief, at what cost, and who stays with whom.

use crate::words::counted;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Days of growth for which targets keep room, unless the operator says otherwise.
pub const HORIZON_DAYS_DEFAULT: u16 = 30;

/// How far above the lower bound the worst hour may end, unless the operator says otherwise, in per mille.
pub const TOLERANCE_PERMILLE_DEFAULT: u16 = 20;

/// When a plan has done enough for the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "goal", rename_all = "snake_case", deny_unknown_fields)]
pub enum Goal {
    /// Every node that may move leaves the source.
    Evacuate,
    /// The worst hour of all shards that the plan can change comes as near to the lower bound as the tolerance asks.
    LowestPeak,
    /// No shard that the plan can change has an hour above this share of its load capacity.
    PeakAtMost {
        /// Per cent of the load capacity.
        percent: u8,
    },
    /// So many nodes stay on the source.
    Leave {
        /// How many.
        nodes: u64,
    },
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evacuate => f.write_str("every node leaves the source"),
            Self::LowestPeak => f.write_str("the lowest peak"),
            Self::PeakAtMost { percent } => write!(f, "no hour above {percent} % of a shard's load capacity"),
            Self::Leave { nodes } => write!(f, "{} stay on the source", counted(*nodes, "node")),
        }
    }
}

/// How a customer's nodes stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case", deny_unknown_fields)]
pub enum CustomerRule {
    /// Nodes that are on one shard move together, to one target, or stay.
    Together,
    /// A shard that gets a node of the customer has at most so many of them afterwards.
    SpreadNodes {
        /// Nodes on one shard.
        nodes_max: u32,
    },
    /// A shard that gets a node of the customer has at most this share of them afterwards, rounded up to whole nodes.
    SpreadShare {
        /// Per cent of the customer's nodes.
        percent_max: u8,
    },
}

impl CustomerRule {
    /// Most nodes on a shard that gets one, for a customer of so many; `None` when the rule sets no limit.
    #[must_use]
    pub fn nodes_max(self, nodes: u64) -> Option<u64> {
        match self {
            Self::Together => None,
            Self::SpreadNodes { nodes_max } => Some(u64::from(nodes_max)),
            Self::SpreadShare { percent_max } => Some((nodes.saturating_mul(u64::from(percent_max))).div_ceil(100)),
        }
    }
}

impl fmt::Display for CustomerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Together => f.write_str("kept together"),
            Self::SpreadNodes { nodes_max } => {
                write!(f, "spread, at most {} on a shard", counted(u64::from(*nodes_max), "node"))
            }
            Self::SpreadShare { percent_max } => write!(f, "spread, at most {percent_max} % of its nodes on a shard"),
        }
    }
}
