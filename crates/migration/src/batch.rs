//! One batch: nodes that flip together.

use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, NodeId, ShardId, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchPhase {
    /// Not started.
    Planned,
    /// Nodes seed, follow and become ready.
    Preparing,
    /// Nodes are fenced and sealed.
    CuttingOver,
    /// The one commit record exists; promotion and routing follow.
    Committed,
    /// All its nodes are served by their targets.
    Soaking,
    /// Old credentials ended.
    Released,
    /// All its nodes left it.
    Aborted,
}

/// Nodes that flip together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Its name.
    pub batch: BatchId,
    /// The plan it belongs to.
    pub plan_revision: u64,
    /// Its place in the plan.
    pub position: u32,
    /// Batches that must be committed and soaking before this one may cut over.
    pub after: BTreeSet<BatchId>,
    /// Which node goes where. Nodes that left the batch stay listed; their migration says so.
    pub nodes: BTreeMap<NodeId, ShardId>,
    /// Where it stands.
    pub phase: BatchPhase,
    /// An operator holds it: no new phase begins.
    pub paused: bool,
    /// When it was started.
    pub started_at: Option<UnixMillis>,
    /// When the present cutover began.
    pub cutover_at: Option<UnixMillis>,
    /// When it was committed.
    pub committed_at: Option<UnixMillis>,
    /// The route version of its commit.
    pub route_version: Option<u64>,
}

impl BatchPhase {
    /// The word for people and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Preparing => "preparing",
            Self::CuttingOver => "cutting_over",
            Self::Committed => "committed",
            Self::Soaking => "soaking",
            Self::Released => "released",
            Self::Aborted => "aborted",
        }
    }

    /// True when nothing more will happen to the batch.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Released | Self::Aborted)
    }
}
