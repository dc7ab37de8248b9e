//! What the parts said last, and when. Never recorded, never a ground for a decision; for views, plans and waiting reasons.

mod heard;

pub(crate) use heard::{Heard, Look};

use crate::clock;
use crate::estimates::Measured;
use shardlift_api::v1;
use shardlift_migration::{Migration, Node, World};
use shardlift_model::{Activity, BatchId, HourOfWeek, NodeId, RouterId, ShardId};
use std::collections::BTreeMap;
use std::fmt;
use tokio::time::Instant;

/// A shard as last seen.
#[derive(Debug, Default)]
pub(crate) struct ShardSeen {
    /// What it said about itself.
    pub(crate) about: Option<v1::DescribeShardResponse>,
    /// What replication is allowed there.
    pub(crate) limits: Option<v1::LimitsStatus>,
    /// Its nodes.
    pub(crate) nodes: BTreeMap<NodeId, v1::NodeStatus>,
    /// True after the first complete list of its nodes.
    pub(crate) listed: bool,
    /// True after it has said once what its nodes do.
    pub(crate) counted: bool,
    /// The busiest hour of its nodes together, and its load in KiB.
    pub(crate) peak: Option<(HourOfWeek, u64)>,
    /// Why it cannot be asked right now.
    pub(crate) problem: Option<String>,
}

impl ShardSeen {
    /// It answered the last time it was asked.
    pub(crate) const fn is_reachable(&self) -> bool {
        self.about.is_some() && self.problem.is_none()
    }
}

/// A router as last seen.
#[derive(Debug, Default)]
pub(crate) struct RouterSeen {
    /// What it said about itself.
    pub(crate) about: Option<v1::DescribeRouterResponse>,
    /// Why it cannot be asked right now, or why its routes are not the recorded ones.
    pub(crate) problem: Option<String>,
}

/// A part that keeps revocation lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ListHolder {
    /// A shard.
    Shard(ShardId),
    /// A router.
    Router(RouterId),
}

impl ListHolder {
    /// All parts that are known.
    pub(crate) fn all(world: &World) -> impl Iterator<Item = Self> + '_ {
        let shards = world.shards.keys().cloned().map(Self::Shard);
        shards.chain(world.routers.keys().cloned().map(Self::Router))
    }
}

impl fmt::Display for ListHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shard(shard) => write!(f, "shard {shard}"),
            Self::Router(router) => write!(f, "router {router}"),
        }
    }
}

/// How fast a copy grows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    arrived: u64,
    at: Instant,
    /// Smoothed.
    pub(crate) bytes_per_second: u64,
}

/// Bytes of a copy that are durable or on their way. What is durable alone comes by whole objects, in leaps: no measure of how fast.
pub(crate) const fn arrived(replica: &v1::Replica) -> u64 {
    replica.bytes_done.saturating_add(replica.bytes_arriving)
}

/// All observations.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// By shard.
    pub(crate) shards: BTreeMap<ShardId, ShardSeen>,
    /// By router.
    pub(crate) routers: BTreeMap<RouterId, RouterSeen>,
    /// By node: what it does, as its writer said last.
    pub(crate) activities: BTreeMap<NodeId, Activity>,
    /// What copies brought so far, over days.
    pub(crate) measured: Measured,
    /// By moving node.
    pub(crate) rates: BTreeMap<NodeId, Rate>,
    /// Why a node's command was not answered yet.
    pub(crate) waits: BTreeMap<NodeId, String>,
    /// By node with a follower: what was heard of its writer.
    pub(crate) heard: BTreeMap<NodeId, Heard>,
    /// Why the receipt of a completed move was not made yet.
    pub(crate) receipt_waits: BTreeMap<NodeId, String>,
    /// What stands before the flip of a batch whose nodes are ready.
    pub(crate) batch_waits: BTreeMap<BatchId, Vec<String>>,
}

impl Observed {
    /// A node as its writer sees it.
    pub(crate) fn at_writer(&self, node: &Node) -> Option<&v1::NodeStatus> {
        self.shards.get(&node.shard)?.nodes.get(&node.node)
    }

    /// The copy that follows the writer, as its own shard sees it: on its way to the target before the commit, the old one after.
    pub(crate) fn replica(&self, node: &Node) -> Option<&v1::Replica> {
        let moving = node.migration.as_ref()?;
        let follower = if node.shard == moving.source { &moving.target } else { &moving.source };
        self.shards.get(follower)?.nodes.get(&node.node)?.replica.as_ref()
    }

    /// The number of the list of this CA that a part holds; 0: none, or it has not said.
    pub(crate) fn list_at(&self, holder: &ListHolder, issuer: &str) -> u64 {
        let held = match holder {
            ListHolder::Shard(shard) => {
                self.shards.get(shard).and_then(|seen| seen.about.as_ref()).map(|about| &about.revocations)
            }
            ListHolder::Router(router) => {
                self.routers.get(router).and_then(|seen| seen.about.as_ref()).map(|about| &about.revocations)
            }
        };
        let held = held.and_then(|held| held.iter().find(|held| held.issuer == issuer));
        held.map_or(0, |held| held.number)
    }

    /// The number up to which a part holds the lists of all these CAs.
    pub(crate) fn lists_at(&self, holder: &ListHolder, issuers: &[String]) -> u64 {
        issuers.iter().map(|issuer| self.list_at(holder, issuer)).min().unwrap_or(0)
    }

    /// Why a part cannot be asked right now.
    pub(crate) fn problem_at(&self, holder: &ListHolder) -> Option<&String> {
        match holder {
            ListHolder::Shard(shard) => self.shards.get(shard)?.problem.as_ref(),
            ListHolder::Router(router) => self.routers.get(router)?.problem.as_ref(),
        }
    }

    /// A part has taken a list.
    pub(crate) fn note_list(&mut self, holder: &ListHolder, taken: v1::TakeRevocationsResponse) {
        let held = match holder {
            ListHolder::Shard(shard) => {
                self.shards.get_mut(shard).and_then(|seen| seen.about.as_mut()).map(|about| &mut about.revocations)
            }
            ListHolder::Router(router) => {
                self.routers.get_mut(router).and_then(|seen| seen.about.as_mut()).map(|about| &mut about.revocations)
            }
        };
        // One that was not described yet says it itself in a moment.
        let Some(held) = held else { return };
        held.retain(|held| held.issuer != taken.issuer);
        let v1::TakeRevocationsResponse { issuer, number } = taken;
        held.push(v1::HeldRevocations { issuer, number, ..Default::default() });
    }

    /// Takes in one node's status.
    pub(crate) fn note_node(&mut self, shard: &ShardId, node: &NodeId, status: v1::NodeStatus) {
        if let Some(replica) = &status.replica {
            self.note_progress(node, arrived(replica));
        }
        self.shards.entry(shard.clone()).or_default().nodes.insert(node.clone(), status);
    }

    /// Keeps what a node's writer says of itself, while there is a follower that might have to do without it.
    pub(crate) fn hear(&mut self, node: &Node, shard: &ShardId, status: &v1::NodeStatus) {
        let follows = |moving: &Migration| {
            moving.is_committed() && !moving.stage.is_over() && moving.takeover.is_none() && moving.target == *shard
        };
        if !node.migration.as_ref().is_some_and(follows) {
            return;
        }
        let heard = self.heard.entry(node.node.clone()).or_insert_with(|| Heard::new(shard.clone()));
        if heard.writer() != shard {
            *heard = Heard::new(shard.clone());
        }
        heard.take(status, clock::now());
    }

    /// Smooths over about three looks; a copy that was started again begins anew.
    fn note_progress(&mut self, node: &NodeId, arrived: u64) {
        let now = Instant::now();
        let Some(rate) = self.rates.get_mut(node).filter(|rate| rate.arrived <= arrived) else {
            self.rates.insert(node.clone(), Rate { arrived, at: now, bytes_per_second: 0 });
            return;
        };
        let elapsed = u64::try_from((now - rate.at).as_millis()).unwrap_or(u64::MAX);
        if elapsed < 100 {
            return;
        }
        let present = (arrived - rate.arrived).saturating_mul(1000) / elapsed;
        let smoothed = if rate.bytes_per_second == 0 { present } else { (rate.bytes_per_second / 3) * 2 + present / 3 };
        *rate = Rate { arrived, at: now, bytes_per_second: smoothed };
    }

    /// Says why a node waits, or that it does not any more.
    pub(crate) fn note_wait(&mut self, node: &NodeId, reason: Option<String>) {
        match reason {
            Some(reason) => self.waits.insert(node.clone(), reason),
            None => self.waits.remove(node),
        };
    }

    /// Says why a receipt is not made, or that nothing is in the way any more.
    pub(crate) fn note_receipt_wait(&mut self, node: &NodeId, reason: Option<String>) {
        match reason {
            Some(reason) => self.receipt_waits.insert(node.clone(), reason),
            None => self.receipt_waits.remove(node),
        };
    }

    /// Forgets what belongs to nothing that is recorded.
    pub(crate) fn forget_ended(&mut self, world: &World) {
        let moves = |node: &NodeId| {
            world.nodes.get(node).and_then(|node| node.migration.as_ref()).is_some_and(|m| !m.stage.is_over())
        };
        self.activities.retain(|node, _| world.nodes.contains_key(node));
        self.rates.retain(|node, _| moves(node));
        self.waits.retain(|node, _| moves(node));
        let is_due = |node: &NodeId| world.nodes.get(node).is_some_and(|node| !node.receipts_due.is_empty());
        self.receipt_waits.retain(|node, _| is_due(node));
        let has_lost = |node: &NodeId| {
            world.nodes.get(node).and_then(|node| node.migration.as_ref()).is_some_and(|m| m.takeover.is_some())
        };
        self.heard.retain(|node, _| moves(node) || has_lost(node));
        let waits = |batch: &BatchId| world.batches.get(batch).is_some_and(|batch| world.is_flippable(batch));
        self.batch_waits.retain(|batch, _| waits(batch));
    }
}
