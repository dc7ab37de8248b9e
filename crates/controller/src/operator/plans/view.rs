//! The inventory as the planner sees it: what is recorded, and what the shards said last.
//!
//! Load is what [`shardlift_model::Activity`] counts, in KiB an hour. It is a ground for placements only when every shard that could be
//! part of the plan has said how much it bears; a share of an unknown capacity is no figure.

use crate::observed::{Observed, ShardSeen};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_migration::{BatchPhase, Migration, Node, World};
use shardlift_model::activity::Counts;
use shardlift_model::{Activity, BatchId, ByteCount, HOURS, NodeId, ShardId, UnixMillis};
use shardlift_planner::{
    LOAD_MAX, LoadProfile, NodeLoad, NodeView, PlanOptions, Problem, Rules, ShardCapacity, ShardView, WorldView,
};
use std::collections::BTreeMap;

/// Bytes per second as KiB an hour.
const fn kib_per_hour(bytes_per_second: u64) -> u64 {
    bytes_per_second.saturating_mul(3600) / 1024
}

/// What the solver is asked, from a source that has listed its nodes.
pub(super) fn problem(
    world: &World,
    observed: &Observed,
    source: ShardId,
    options: PlanOptions,
) -> Result<Problem, Fault> {
    if !world.shards.contains_key(&source) {
        let text = format!("shard {source} is not known\n`shardlift shard list` shows all shards");
        return Err(Fault::new(FaultKind::NotFound, text));
    }
    let seen = observed.shards.get(&source);
    if !seen.is_some_and(|seen| seen.is_reachable() && seen.listed) {
        let text =
            format!("shard {source} has not listed its nodes\nwait until `shardlift shard list` shows it reachable");
        return Err(Fault::new(FaultKind::Unavailable, text));
    }
    let by_load = unstated(world, observed).is_empty();
    let counted = |shard: &&ShardId| observed.shards.get(*shard).is_some_and(|seen| seen.counted);
    if by_load && let Some(shard) = reachable(world, observed).find(|shard| !counted(shard)) {
        let text = format!("shard {shard} has not said yet what its nodes do\ntry again in a moment");
        return Err(Fault::new(FaultKind::Unavailable, text));
    }
    // Nodes of other shards count where there is load to compare, where they may move too, and where they share a rule.
    let elsewhere = by_load || options.from_any_shard || !options.customers.is_empty();
    let counts = |node: &&Node| {
        let is_there = node.shard == source || (elsewhere && is_reachable(observed, &node.shard));
        is_there && busy(world, node).is_none()
    };
    let load = |node: &Node| {
        let known = node_load(observed, node)?;
        let shard = (node.shard != source).then(|| node.shard.clone());
        let load = if by_load { known.load.clone() } else { LoadProfile::default() };
        Some(NodeLoad { shard, load, ..known })
    };
    let nodes = world.nodes.values().filter(counts).filter_map(load).collect();
    let movers = Movers::of(world, observed, |_| true);
    let shards = reachable(world, observed).map(|shard| {
        let ShardView { capacity, free, growth_bytes_per_day, load_capacity, load, .. } =
            shard_view(world, observed, shard, &movers);
        let (load_capacity, load) = if by_load { (load_capacity, load) } else { Default::default() };
        ShardCapacity { shard: shard.clone(), capacity, free, growth_bytes_per_day, load_capacity, load }
    });
    Ok(Problem { source, nodes, shards: shards.collect(), options })
}

/// What a plan is checked against.
pub(super) fn world_view(world: &World, observed: &Observed) -> WorldView {
    let node_view = |node: &Node| {
        let known = node_load(observed, node).unwrap_or_else(|| NodeLoad::new(node.node.clone(), ByteCount(0)));
        NodeView {
            customer: Some(node.customer.clone()),
            busy: busy(world, node).map(|migration| migration.batch.clone()),
            growth_bytes_per_day: known.growth_bytes_per_day,
            load: known.load,
            generation: node.generation,
            ..NodeView::new(node.shard.clone(), known.bytes, known.objects)
        }
    };
    // A node that has flipped is one of its target's nodes.
    let movers = Movers::of(world, observed, |migration| !migration.is_committed());
    let shard = |shard: &ShardId| (shard.clone(), shard_view(world, observed, shard, &movers));
    WorldView {
        revision: world.plan_revision(),
        shards: world.shards.keys().map(shard).collect(),
        nodes: world.nodes.iter().map(|(name, node)| (name.clone(), node_view(node))).collect(),
        batches: earlier_batches(world),
        rules: Rules::default(),
    }
}

/// What a plan should not be trusted with: that it is made by sizes alone, or by less than a week. `None`: nothing.
pub(super) fn caveat(world: &World, observed: &Observed) -> Option<String> {
    let unstated = unstated(world, observed);
    if !unstated.is_empty() {
        let names = unstated.iter().map(|shard| shard.as_str()).collect::<Vec<_>>().join(", ");
        return Some(format!(
            "placed by size: how much load {names} can bear is not known; `load_bytes_per_second` in shard.toml says it"
        ));
    }
    let activities = || observed.activities.values();
    if activities().all(|activity| activity.week() == Counts::default()) {
        return Some("placed by size: no load is known yet, an hour counts when it is over".to_owned());
    }
    let counted = activities().map(Activity::watched_hours).max().unwrap_or(0);
    let left = (HOURS as u64).saturating_sub(counted);
    (left > 0).then(|| {
        format!("load was counted for {counted} h: what the other {left} hours of the week bring is not known yet")
    })
}

fn reachable<'a>(world: &'a World, observed: &'a Observed) -> impl Iterator<Item = &'a ShardId> {
    world.shards.keys().filter(|shard| is_reachable(observed, shard))
}

/// Reachable shards that have not said how much load they bear.
fn unstated<'a>(world: &'a World, observed: &'a Observed) -> Vec<&'a ShardId> {
    reachable(world, observed).filter(|shard| load_capacity(observed, shard).is_none()).collect()
}

fn is_reachable(observed: &Observed, shard: &ShardId) -> bool {
    observed.shards.get(shard).is_some_and(ShardSeen::is_reachable)
}

fn load_capacity(observed: &Observed, shard: &ShardId) -> Option<u64> {
    let about = observed.shards.get(shard)?.about.as_ref()?;
    Some(kib_per_hour(about.load_bytes_per_second).min(LOAD_MAX)).filter(|kib| *kib > 0)
}

/// A node's load by hour, as its shard counts it.
pub(in crate::operator) fn load_of(observed: &Observed, node: &NodeId) -> LoadProfile {
    let hours = observed.activities.get(node).map(|activity| activity.load_kib().map(|kib| kib.min(LOAD_MAX)));
    // 168 figures, none of them above the largest: there is nothing to refuse.
    hours.and_then(|hours| LoadProfile::of_hours(&hours).ok()).unwrap_or_default()
}

/// A node as its writer sees it; `None` when that was not asked yet.
fn node_load(observed: &Observed, node: &Node) -> Option<NodeLoad> {
    let status = observed.at_writer(node)?;
    let activity = observed.activities.get(&node.node);
    let sessions = activity.map_or(0, |activity| activity.sessions_per_week());
    Some(NodeLoad {
        customer: node.customer.clone(),
        objects: status.objects,
        snapshots: status.snapshots,
        last_snapshot: UnixMillis(status.last_snapshot_unix_ms),
        growth_bytes_per_day: activity.map_or(0, |activity| activity.growth_bytes_per_day()),
        sessions_per_week: u32::try_from(sessions).unwrap_or(u32::MAX),
        load: load_of(observed, &node.node),
        ..NodeLoad::new(node.node.clone(), ByteCount(status.bytes))
    })
}

fn earlier_batches(world: &World) -> BTreeMap<BatchId, BTreeMap<NodeId, ShardId>> {
    world.batches.values().map(|batch| (batch.batch.clone(), batch.nodes.clone())).collect()
}

/// The move that a node is in the middle of; a batch that was never started holds nobody.
fn busy<'w>(world: &'w World, node: &'w Node) -> Option<&'w Migration> {
    let migration = node.migration.as_ref().filter(|migration| !migration.stage.is_over())?;
    let phase = world.batches.get(&migration.batch).map(|batch| batch.phase);
    (phase != Some(BatchPhase::Planned)).then_some(migration)
}

/// What nodes in the middle of a move mean to the shards that they will be on.
#[derive(Default)]
struct Movers<'w> {
    by_target: BTreeMap<&'w ShardId, Coming>,
}

struct Coming {
    bytes: u64,
    growth_bytes_per_day: i64,
    load: [u64; HOURS],
}

impl<'w> Movers<'w> {
    /// Load and growth are those of the moves that `brings_load`; bytes are those of all that have still to arrive.
    fn of(world: &'w World, observed: &Observed, brings_load: impl Fn(&Migration) -> bool) -> Self {
        let mut movers = Self::default();
        for node in world.nodes.values() {
            let Some(migration) = busy(world, node) else { continue };
            let coming = movers.by_target.entry(&migration.target).or_insert(Coming {
                bytes: 0,
                growth_bytes_per_day: 0,
                load: [0; HOURS],
            });
            if !migration.is_committed() {
                let bytes = observed.at_writer(node).map_or(0, |status| status.bytes);
                let arrived = observed.replica(node).map_or(0, |replica| replica.bytes_done);
                coming.bytes = coming.bytes.saturating_add(bytes.saturating_sub(arrived));
            }
            if brings_load(migration) {
                let growth = observed.activities.get(&node.node).map_or(0, |activity| activity.growth_bytes_per_day());
                coming.growth_bytes_per_day = coming.growth_bytes_per_day.saturating_add(growth.max(0));
                load_of(observed, &node.node).add_to(&mut coming.load);
            }
        }
        movers
    }
}

/// A shard with the room that moves under way leave.
fn shard_view(world: &World, observed: &Observed, shard: &ShardId, movers: &Movers<'_>) -> ShardView {
    let seen = observed.shards.get(shard);
    let about = seen.and_then(|seen| seen.about.as_ref());
    let recorded = world.shards.get(shard).map_or(0, |shard| shard.capacity.0);
    let capacity = about.map_or(recorded, |about| about.capacity_bytes);
    let free = about.map_or(0, |about| about.free_bytes).min(capacity);
    let coming = movers.by_target.get(shard);
    let load = coming.map(|coming| coming.load.map(|kib| kib.min(LOAD_MAX)));
    ShardView {
        reachable: is_reachable(observed, shard),
        growth_bytes_per_day: coming.map_or(0, |coming| coming.growth_bytes_per_day),
        load_capacity: load_capacity(observed, shard),
        load: load.and_then(|hours| LoadProfile::of_hours(&hours).ok()).unwrap_or_default(),
        ..ShardView::new(ByteCount(capacity), ByteCount(free.saturating_sub(coming.map_or(0, |coming| coming.bytes))))
    }
}
