//! A small world to check plans against, a generator of problems, and the world that fits a problem.

use expect_test::Expect;
use proptest::prelude::*;
use shardlift_model::{ByteCount, NodeId, ShardId, UnixMillis};
use shardlift_planner::{
    Finding, NodeLoad, NodeView, PlanOptions, Problem, ShardCapacity, ShardView, WorldView, check, parse,
};
use std::collections::BTreeMap;

pub(crate) const GIB: u64 = 1 << 30;

pub(crate) fn world() -> WorldView {
    let shard = |name: &str, free: u64, reachable| {
        (name.parse().unwrap(), ShardView { capacity: ByteCount(100 * GIB), free: ByteCount(free * GIB), reachable })
    };
    let node = |name: &str, shard: &str, gib: u64, busy: Option<&str>| {
        let (shard, busy) = (shard.parse().unwrap(), busy.map(|batch| batch.parse().unwrap()));
        (name.parse().unwrap(), NodeView { shard, bytes: ByteCount(gib * GIB), objects: gib * 100, busy })
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
        customer: node.default_customer(),
        node,
        bytes: ByteCount(bytes),
        objects: bytes / 100 + 1,
        snapshots: 3,
        last_snapshot: UnixMillis(1_700_000_000_000),
        pinned: false,
    }
}

pub(crate) fn capacity(shard: &str, capacity: u64, free: u64) -> ShardCapacity {
    ShardCapacity { shard: shard.parse().unwrap(), capacity: ByteCount(capacity), free: ByteCount(free) }
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
        let shard: ShardId = problem.source.clone();
        (load.node.clone(), NodeView { shard, bytes: load.bytes, objects: load.objects, busy: None })
    };
    let shard = |one: &ShardCapacity| {
        (one.shard.clone(), ShardView { capacity: one.capacity, free: one.free, reachable: true })
    };
    WorldView {
        revision: 0,
        shards: problem.shards.iter().map(shard).collect(),
        nodes: problem.nodes.iter().map(node).collect(),
        batches: BTreeMap::new(),
    }
}
