//! Who goes when: a canary first, then batches that grow.
//!
//! The canary is small, so that a mistake costs little, and really used, so that a mistake shows. After it the smallest
//! go first: what is at stake in a batch grows only with what earlier batches have shown.

use super::free_name;
use crate::conflict::Conflict;
use crate::problem::{NodeLoad, PlanOptions};
use shardlift_model::{BatchId, ByteCount, NodeId, UnixMillis};
use std::collections::BTreeSet;
use std::time::Duration;

/// A node counts as active when its last snapshot is at most this much older than the newest one of the inventory.
const ACTIVE_WITHIN: Duration = Duration::from_secs(7 * 24 * 3600);

/// One batch: indices into the nodes, in the order of their names; for the canary, why each was chosen.
pub(super) struct Group {
    pub(super) name: BatchId,
    pub(super) members: Vec<usize>,
    pub(super) reasons: Vec<&'static str>,
}

/// How much a node's next backup will show; the smallest is the best canary.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Activity {
    Recent,
    Dormant,
    Never,
}

/// The policy for canaries: the smallest wins.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct CanaryRank<'p> {
    activity: Activity,
    bytes: ByteCount,
    node: &'p NodeId,
}

/// The policy for the order of all others: the smallest goes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Stake<'p> {
    bytes: ByteCount,
    node: &'p NodeId,
}

impl Activity {
    pub(super) fn of(node: &NodeLoad, newest: UnixMillis) -> Self {
        if node.sessions_per_week > 0 {
            Self::Recent
        } else if node.snapshots == 0 {
            Self::Never
        } else if newest.since(node.last_snapshot) <= ACTIVE_WITHIN {
            Self::Recent
        } else {
            Self::Dormant
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Recent => "among the smallest nodes that are in use",
            Self::Dormant => "among the smallest nodes with snapshots; none in the last week",
            Self::Never => "among the smallest nodes; it has no snapshot yet and will show little",
        }
    }
}

/// Cuts the nodes into batches.
pub(super) fn cut(nodes: &[&NodeLoad], options: &PlanOptions) -> Result<Vec<Group>, Conflict> {
    let newest = nodes.iter().filter(|n| n.snapshots > 0).map(|n| n.last_snapshot).max().unwrap_or_default();
    let mut rest: Vec<usize> = (0..nodes.len()).collect();
    rest.sort_by_key(|&at| {
        let node = nodes[at];
        CanaryRank { activity: Activity::of(node, newest), bytes: node.bytes, node: &node.node }
    });
    let mut canary: Vec<usize> = rest.drain(..options.canary_nodes.min(nodes.len())).collect();
    canary.sort_unstable();
    let reasons = canary.iter().map(|&at| Activity::of(nodes[at], newest).reason()).collect();
    let mut names = Names::without(&options.taken_names);
    let mut groups = vec![Group { name: names.canary()?, members: canary, reasons }];
    rest.sort_by_key(|&at| Stake { bytes: nodes[at].bytes, node: &nodes[at].node });
    let mut size = options.canary_nodes;
    let mut rest = rest.as_slice();
    while !rest.is_empty() {
        size = options.batch_nodes.unwrap_or_else(|| size.saturating_mul(2));
        let (members, later) = rest.split_at(size.min(rest.len()));
        let mut members = members.to_vec();
        members.sort_unstable();
        groups.push(Group { name: names.batch()?, members, reasons: Vec::new() });
        rest = later;
    }
    Ok(groups)
}

/// Names that neither earlier plans nor earlier batches have.
pub(super) struct Names {
    used: BTreeSet<BatchId>,
    /// Where the series goes on, so that many batches do not search it from the start again and again.
    number: u64,
}

impl Names {
    pub(super) fn without(taken: &BTreeSet<BatchId>) -> Self {
        Self { used: taken.clone(), number: 0 }
    }

    pub(super) fn canary(&mut self) -> Result<BatchId, Conflict> {
        let series = std::iter::once("canary".to_owned()).chain((2_u64..).map(|number| format!("canary-{number}")));
        let name = free_name(series, |name| self.used.contains(name))?;
        self.used.insert(name.clone());
        Ok(name)
    }

    pub(super) fn batch(&mut self) -> Result<BatchId, Conflict> {
        let number = &mut self.number;
        let series = std::iter::from_fn(|| {
            *number = number.checked_add(1)?;
            Some(format!("batch-{number}"))
        });
        let name = free_name(series, |name| self.used.contains(name))?;
        self.used.insert(name.clone());
        Ok(name)
    }
}
