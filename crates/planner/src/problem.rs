//! What the solver is asked: the nodes of one source, the shards that could take them, and the operator's wishes.
//!
//! A problem is plain data from elsewhere and may be absurd; [`Problem::eligible`] is where that is refused, in words.

mod sane;
pub(crate) mod wishes;

use crate::conflict::Conflict;
use crate::load::LoadProfile;
use crate::policy::Window;
pub(crate) use sane::{BYTES_MAX, HORIZON_DAYS_MAX};
use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, ByteCount, CustomerId, NodeId, ShardId, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use wishes::{CustomerRule, Goal, HORIZON_DAYS_DEFAULT, TOLERANCE_PERMILLE_DEFAULT};

/// Share of a shard's capacity that no plan may use, unless the operator says otherwise.
pub const HEADROOM_PERCENT_DEFAULT: u8 = 20;

/// A question to [`crate::solve()`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The shard to relieve.
    pub source: ShardId,
    /// The nodes of the source, and those of other shards as far as they are measured.
    pub nodes: Vec<NodeLoad>,
    /// The shards that could be targets. The source may be among them; its fill is then reported.
    pub shards: Vec<ShardCapacity>,
    /// The operator's wishes.
    pub options: PlanOptions,
}

/// One node as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLoad {
    /// Which node.
    pub node: NodeId,
    /// Who owns it.
    pub customer: CustomerId,
    /// Bytes it stores.
    pub bytes: ByteCount,
    /// Objects it stores.
    pub objects: u64,
    /// Snapshots among them.
    pub snapshots: u64,
    /// When the last snapshot was saved; zero when there is none.
    pub last_snapshot: UnixMillis,
    /// True when the operator wants it to stay.
    pub pinned: bool,
    /// Where its writer is; `None`: on the source.
    #[serde(default)]
    pub shard: Option<ShardId>,
    /// Bytes it gains each day; below zero when it shrinks.
    #[serde(default)]
    pub growth_bytes_per_day: i64,
    /// Sessions it has in a week; how much a canary will show.
    #[serde(default)]
    pub sessions_per_week: u32,
    /// Its load by hour of the week; zero without a measurement.
    #[serde(default)]
    pub load: LoadProfile,
}

impl NodeLoad {
    /// A node of the source of which only its size is known.
    #[must_use]
    pub fn new(node: NodeId, bytes: ByteCount) -> Self {
        Self {
            customer: node.default_customer(),
            node,
            bytes,
            objects: 0,
            snapshots: 0,
            last_snapshot: UnixMillis(0),
            pinned: false,
            shard: None,
            growth_bytes_per_day: 0,
            sessions_per_week: 0,
            load: LoadProfile::default(),
        }
    }

    /// Its size in so many days. A node that shrinks is counted as it is: nobody can rely on shrinking.
    #[must_use]
    pub fn bytes_in(&self, days: u16) -> ByteCount {
        let growth = u64::try_from(self.growth_bytes_per_day).unwrap_or(0);
        self.bytes.saturating_add(ByteCount(growth.saturating_mul(u64::from(days))))
    }
}

/// Room on one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCapacity {
    /// Which shard.
    pub shard: ShardId,
    /// All bytes it could hold.
    pub capacity: ByteCount,
    /// Bytes free, less what unfinished batches will still bring.
    pub free: ByteCount,
    /// Bytes that nodes outside the problem gain there each day.
    #[serde(default)]
    pub growth_bytes_per_day: i64,
    /// Load it bears in one hour; `None` when nobody knows.
    #[serde(default)]
    pub load_capacity: Option<u64>,
    /// Load by hour that nodes outside the problem cause there.
    #[serde(default)]
    pub load: LoadProfile,
}

impl ShardCapacity {
    /// A shard of which only its room is known.
    #[must_use]
    pub fn new(shard: ShardId, capacity: ByteCount, free: ByteCount) -> Self {
        let load = LoadProfile::default();
        Self { shard, capacity, free, growth_bytes_per_day: 0, load_capacity: None, load }
    }
}

/// The operator's wishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanOptions {
    /// Shards that may take nodes; empty: every shard but the source.
    pub targets: Vec<ShardId>,
    /// Nodes in the first batch.
    pub canary_nodes: usize,
    /// Nodes in every later batch; `None`: each batch twice as many as the one before.
    pub batch_nodes: Option<usize>,
    /// Nodes that stay. Every one must be on the source, so that a typing error does not move a node.
    pub exclude: Vec<NodeId>,
    /// Share of each target's capacity that stays free.
    pub headroom_percent: u8,
    /// Batch names that earlier plans have used; the draft uses none of them.
    pub taken_names: BTreeSet<BatchId>,
    /// When the plan has done enough; `None`: the lowest peak where load is known, else everything leaves.
    pub goal: Option<Goal>,
    /// How far above the lower bound the worst hour may end; a larger one moves fewer bytes.
    pub tolerance_permille: u16,
    /// Days of growth for which targets keep room.
    pub horizon_days: u16,
    /// Most bytes that may move.
    pub bytes_max: Option<ByteCount>,
    /// Most nodes that may move.
    pub moves_max: Option<u64>,
    /// Nodes of every shard may move, not only those of the source.
    pub from_any_shard: bool,
    /// Batches flip in these parts of a day alone; empty: whenever it suits their nodes.
    pub windows: Vec<Window>,
    /// Nodes that leave the source whatever it brings.
    pub must_move: Vec<NodeId>,
    /// Nodes that do not move now, but may later.
    pub holds: Vec<NodeId>,
    /// Nodes that stay where they are, beside those that are pinned in the inventory.
    pub pins: Vec<NodeId>,
    /// Where some nodes may go; a node that is not named may go to every target.
    pub targets_of: BTreeMap<NodeId, Vec<ShardId>>,
    /// How nodes of one customer stand to each other.
    pub customers: BTreeMap<CustomerId, CustomerRule>,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            canary_nodes: 1,
            batch_nodes: None,
            exclude: Vec::new(),
            headroom_percent: HEADROOM_PERCENT_DEFAULT,
            taken_names: BTreeSet::new(),
            goal: None,
            tolerance_permille: TOLERANCE_PERMILLE_DEFAULT,
            horizon_days: HORIZON_DAYS_DEFAULT,
            bytes_max: None,
            moves_max: None,
            from_any_shard: false,
            windows: Vec::new(),
            must_move: Vec::new(),
            holds: Vec::new(),
            pins: Vec::new(),
            targets_of: BTreeMap::new(),
            customers: BTreeMap::new(),
        }
    }
}

/// The problem after it was found sane: who moves, who stays and why, and who may take them.
pub(crate) struct Eligible<'p> {
    pub(crate) movable: Vec<&'p NodeLoad>,
    pub(crate) staying: Vec<(&'p NodeLoad, &'static str)>,
    pub(crate) targets: Vec<&'p ShardCapacity>,
}

impl Problem {
    /// True when a node or a shard has measured load.
    #[must_use]
    pub fn is_load_known(&self) -> bool {
        self.nodes.iter().any(|node| !node.load.is_zero()) || self.shards.iter().any(|shard| !shard.load.is_zero())
    }

    /// The goal, chosen by what is known when the operator named none.
    #[must_use]
    pub fn goal(&self) -> Goal {
        let usual = || if self.is_load_known() { Goal::LowestPeak } else { Goal::Evacuate };
        self.options.goal.unwrap_or_else(usual)
    }

    /// True when sizes alone do not answer it.
    pub(crate) fn needs_relief(&self) -> bool {
        let options = &self.options;
        let wishes = !options.customers.is_empty() || !options.targets_of.is_empty() || !options.must_move.is_empty();
        let limits = options.bytes_max.is_some() || options.moves_max.is_some() || options.from_any_shard;
        let growth = self.nodes.iter().any(|node| node.growth_bytes_per_day > 0)
            || self.shards.iter().any(|shard| shard.growth_bytes_per_day > 0);
        self.is_load_known() || self.goal() != Goal::Evacuate || wishes || limits || growth
    }

    /// Where a node is.
    pub(crate) fn shard_of<'p>(&'p self, node: &'p NodeLoad) -> &'p ShardId {
        node.shard.as_ref().unwrap_or(&self.source)
    }

    /// Refuses figures and wishes that contradict each other, then sorts out who moves and who may take.
    pub(crate) fn eligible(&self) -> Result<Eligible<'_>, Conflict> {
        self.options.refuse_absurd()?;
        let targets = self.targets()?;
        let excluded = self.excluded()?;
        self.refuse_figures()?;
        self.refuse_wishes()?;
        let held: BTreeSet<&NodeId> = self.options.holds.iter().collect();
        let pinned: BTreeSet<&NodeId> = self.options.pins.iter().collect();
        let mut movable = Vec::new();
        let mut staying = Vec::new();
        for node in &self.nodes {
            if !self.options.from_any_shard && self.shard_of(node) != &self.source {
                continue;
            }
            if excluded.contains(&node.node) {
                staying.push((node, "excluded by the operator"));
            } else if node.pinned || pinned.contains(&node.node) {
                staying.push((node, "pinned to its shard"));
            } else if held.contains(&node.node) {
                staying.push((node, "on hold: not now"));
            } else {
                movable.push(node);
            }
        }
        movable.sort_by(|a, b| a.node.cmp(&b.node));
        staying.sort_by(|a, b| a.0.node.cmp(&b.0.node));
        if movable.is_empty() {
            return Err(Conflict::NothingToMove { source_shard: self.source.clone(), staying: staying.len() });
        }
        Ok(Eligible { movable, staying, targets })
    }

    fn targets(&self) -> Result<Vec<&ShardCapacity>, Conflict> {
        let mut known = BTreeSet::new();
        for shard in &self.shards {
            if !known.insert(&shard.shard) {
                return Err(Conflict::ShardTwice { shard: shard.shard.clone() });
            }
            if shard.free > shard.capacity {
                let (free, capacity) = (shard.free, shard.capacity);
                return Err(Conflict::FreeAboveCapacity { shard: shard.shard.clone(), free, capacity });
            }
        }
        for target in &self.options.targets {
            if *target == self.source {
                return Err(Conflict::TargetIsSource { shard: target.clone() });
            }
            if !known.contains(target) {
                return Err(Conflict::UnknownTarget { shard: target.clone() });
            }
        }
        let wanted: BTreeSet<&ShardId> = self.options.targets.iter().collect();
        let may_take =
            |shard: &&ShardCapacity| shard.shard != self.source && (wanted.is_empty() || wanted.contains(&shard.shard));
        let mut targets: Vec<_> = self.shards.iter().filter(may_take).collect();
        targets.sort_by(|a, b| a.shard.cmp(&b.shard));
        if targets.is_empty() { Err(Conflict::NoTarget { source_shard: self.source.clone() }) } else { Ok(targets) }
    }

    fn excluded(&self) -> Result<BTreeSet<&NodeId>, Conflict> {
        let mut known = BTreeSet::new();
        for node in &self.nodes {
            if !known.insert(&node.node) {
                return Err(Conflict::NodeTwice { node: node.node.clone() });
            }
        }
        match self.options.exclude.iter().find(|node| !known.contains(node)) {
            Some(node) => Err(Conflict::UnknownExclusion { node: node.clone(), source_shard: self.source.clone() }),
            None => Ok(self.options.exclude.iter().collect()),
        }
    }
}
