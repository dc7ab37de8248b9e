//! A small world to check plans against, a generator of problems, and the world that fits a problem.

use expect_test::Expect;
use proptest::prelude::*;
use shardlift_model::{ByteCount, NodeId, ShardId, UnixMillis};
use shardlift_planner::{
    Finding, NodeLoad, NodeView, PlanOptions, Problem, Rules, ShardCapacity, ShardView, WorldView, check, parse,
};
use std::collections::BTreeMap;

pub(crate) const GIB: u64 = 1 << 30;

pub(crate) fn world() -> WorldView {
    let shard = |name: &str, free: u64, reachable| {
        (name.parse().unwrap(), ShardView { reachable, ..ShardView::new(ByteCount(100 * GIB), ByteCount(free * GIB)) })
    };
    let node = |name: &str, shard: &str, gib: u64, busy: Option<&str>| {
        let (shard, busy) = (shard.parse().unwrap(), busy.map(|batch| batch.parse().unwrap()));
        (name.parse().unwrap(), NodeView { busy, ..NodeView::new(shard, ByteCount(gib * GIB), gib * 100) })
    };
    let batch = |name: &str, node: &str, target: &str| {
        (name.parse().unwrap(), BTreeMap::from([(node.parse().unwrap(), target.parse().unwrap())]))
    };
    WorldView {
        revision: 1,
        shards: [
            shard("source", 5, true),
            shard("shard-b", 60, true),
            shard("shard-c", 45, true),
            shard("shard-d", 90, false),
        ]
        .into(),
        nodes: [
            node("acme/web-1", "source", 1, None),
            node("acme/web-2", "source", 2, None),
            node("acme/db-1", "source", 30, None),
            node("zeta/moving", "source", 3, Some("old-2")),
            node("zeta/moved", "shard-b", 4, None),
        ]
        .into(),
        rules: Rules::default(),
        batches: [batch("old-1", "zeta/moved", "shard-b"), batch("old-2", "zeta/moving", "shard-b")].into(),
    }
}

pub(crate) fn findings(text: &str, world: &WorldView) -> Vec<Finding> {
    match parse(text) {
        Ok(file) => check(&file, world),
        Err(findings) => findings,
    }
}

/// All findings of a file in the small world, as people see them.
pub(crate) fn expect_findings(text: &str, expect: Expect) {
    let mut shown: Vec<String> = findings(text, &world()).iter().map(Finding::to_string).collect();
    if shown.is_empty() {
        shown.push("no findings".to_owned());
    }
    expect.assert_eq(&(shown.join("\n\n") + "\n"));
}

/// The same for batches below a good head of four lines.
pub(crate) fn expect_batch_findings(batches: &str, expect: Expect) {
    expect_findings(&format!("version = 1\nrevision = 2\nbased_on = 1\nsource = \"source\"\n{batches}"), expect);
}

pub(crate) fn load(node: &str, bytes: u64) -> NodeLoad {
    let node: NodeId = node.parse().unwrap();
    NodeLoad {
        objects: bytes / 100 + 1,
        snapshots: 3,
        last_snapshot: UnixMillis(1_700_000_000_000),
        ..NodeLoad::new(node, ByteCount(bytes))
    }
}

pub(crate) fn capacity(shard: &str, capacity: u64, free: u64) -> ShardCapacity {
    ShardCapacity::new(shard.parse().unwrap(), ByteCount(capacity), ByteCount(free))
}

pub(crate) fn problem(nodes: Vec<NodeLoad>, shards: Vec<ShardCapacity>) -> Problem {
    Problem { source: "source".parse().unwrap(), nodes, shards, options: PlanOptions::default() }
}

/// Problems of all kinds: tight and roomy, with pins, exclusions, chosen targets and nodes without snapshots.
pub(crate) fn any_problem() -> impl Strategy<Value = Problem> {
    let node = (0_u64..400, 0_u64..3, 0_u64..2_000_000_000, 0_u8..8);
    let shard = (1_u64..6_000, 0_u64..=100);
    let options = (0_u8..=40, 1_usize..4, prop::option::of(1_usize..6), any::<bool>(), any::<bool>());
    (prop::collection::vec(node, 1..30), prop::collection::vec(shard, 1..6), options).prop_map(
        |(nodes, shards, (headroom_percent, canary_nodes, batch_nodes, choose, exclude))| {
            let nodes = nodes.into_iter().enumerate().map(|(at, (bytes, snapshots, last, pin))| NodeLoad {
                snapshots,
                last_snapshot: UnixMillis(last),
                pinned: pin == 0,
                ..load(&format!("c{}/n{at}", at % 3), bytes)
            });
            let shards = shards.into_iter().enumerate();
            let shards = shards.map(|(at, (all, free))| capacity(&format!("shard-{at}"), all, all * free / 100));
            let nodes: Vec<NodeLoad> = nodes.collect();
            let shards: Vec<ShardCapacity> = shards.chain([capacity("source", 20_000, 10)]).collect();
            let targets = if choose { vec![shards[0].shard.clone()] } else { Vec::new() };
            let exclude = if exclude { vec![nodes[0].node.clone()] } else { Vec::new() };
            let options =
                PlanOptions { targets, canary_nodes, batch_nodes, exclude, headroom_percent, ..PlanOptions::default() };
            Problem { options, ..problem(nodes, shards) }
        },
    )
}

/// The world in which a problem was seen.
pub(crate) fn world_of(problem: &Problem) -> WorldView {
    let node = |load: &NodeLoad| {
        let shard: ShardId = load.shard.clone().unwrap_or_else(|| problem.source.clone());
        let view = NodeView {
            customer: Some(load.customer.clone()),
            pinned: load.pinned,
            growth_bytes_per_day: load.growth_bytes_per_day,
            load: load.load.clone(),
            ..NodeView::new(shard, load.bytes, load.objects)
        };
        (load.node.clone(), view)
    };
    let shard = |one: &ShardCapacity| {
        let view = ShardView {
            growth_bytes_per_day: one.growth_bytes_per_day,
            load_capacity: one.load_capacity,
            load: one.load.clone(),
            ..ShardView::new(one.capacity, one.free)
        };
        (one.shard.clone(), view)
    };
    WorldView {
        revision: 0,
        shards: problem.shards.iter().map(shard).collect(),
        nodes: problem.nodes.iter().map(node).collect(),
        batches: BTreeMap::new(),
        rules: Rules::of(&problem.options),
    }
}
