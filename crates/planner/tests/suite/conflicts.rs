//! Problems without a plan: each says why, in words.

use crate::fixture::{capacity, load, problem};
use expect_test::{Expect, expect};
use shardlift_planner::{NodeLoad, PlanOptions, Problem, ShardCapacity, solve};

fn expect_conflict(problem: &Problem, expect: Expect) {
    expect.assert_eq(&format!("{}\n", solve(problem).unwrap_err()));
}

fn nodes() -> Vec<NodeLoad> {
    vec![load("acme/a", 300), load("acme/b", 200), load("zeta/c", 100)]
}

fn shards() -> Vec<ShardCapacity> {
    vec![capacity("source", 1000, 0), capacity("shard-b", 1000, 900), capacity("shard-c", 1000, 500)]
}

fn with(options: PlanOptions) -> Problem {
    Problem { options, ..problem(nodes(), shards()) }
}

#[test]
fn a_node_larger_than_every_target_is_named_with_what_is_missing() {
    let mut nodes = nodes();
    nodes.push(load("acme/huge", 5000));
    nodes.push(load("acme/large", 900));
    expect_conflict(
        &problem(nodes, shards()),
        expect![[r#"
        node `acme/huge` (4.8 KiB) fits on no target: `shard-b` has the most room, 700 B above its reserve; 4.1 KiB are missing; 1 other node is too large as well
    "#]],
    );
}

#[test]
fn nodes_larger_than_all_targets_together_are_counted() {
    let nodes = (0..5).map(|n| load(&format!("acme/n{n}"), 250)).collect();
    expect_conflict(
        &problem(nodes, shards()),
        expect![[r#"
        5 nodes with 1.2 KiB do not fit on 2 targets, which have 1000 B above their reserve; 250 B are missing; the first that finds no place is `acme/n3`
    "#]],
    );
}

#[test]
fn a_packing_that_was_not_found_does_not_claim_to_be_impossible() {
    let nodes = vec![load("a", 400), load("b", 350), load("c", 250)];
    let shards = vec![capacity("shard-b", 625, 625), capacity("shard-c", 625, 625)];
    expect_conflict(
        &problem(nodes, shards),
        expect![[r#"
        no packing was found, though the room is enough as a sum: node `c` (250 B) is the first without a place; `shard-c` has the most room left, 150 B; 100 B are missing; exclude a large node or add room
    "#]],
    );
}

#[test]
fn wishes_that_contradict_the_inventory_are_refused() {
    let unknown = PlanOptions { targets: vec!["shard-x".parse().unwrap()], ..PlanOptions::default() };
    expect_conflict(
        &with(unknown),
        expect![[r#"
        target `shard-x` is not a shard of this cluster
    "#]],
    );
    let itself = PlanOptions { targets: vec!["source".parse().unwrap()], ..PlanOptions::default() };
    expect_conflict(
        &with(itself),
        expect![[r#"
        `source` is the source and cannot be a target too
    "#]],
    );
    let misspelt = PlanOptions { exclude: vec!["acme/aa".parse().unwrap()], ..PlanOptions::default() };
    expect_conflict(
        &with(misspelt),
        expect![[r#"
        node `acme/aa` is excluded but is not on `source`; a misspelt name would move the node that was meant
    "#]],
    );
    let all = nodes().into_iter().map(|node| node.node).collect();
    expect_conflict(
        &with(PlanOptions { exclude: all, ..PlanOptions::default() }),
        expect![[r#"
        no node on `source` may move: 3 are excluded or pinned
    "#]],
    );
    expect_conflict(
        &problem(nodes(), shards()[..1].to_vec()),
        expect![[r#"
        there is no shard but the source `source`; add one with `shardlift shard add`
    "#]],
    );
}

#[test]
fn absurd_figures_are_refused() {
    expect_conflict(
        &with(PlanOptions { headroom_percent: 101, ..PlanOptions::default() }),
        expect![[r#"
        a headroom of 101 % is more than the whole shard; 0 to 100 is expected
    "#]],
    );
    expect_conflict(
        &with(PlanOptions { canary_nodes: 0, ..PlanOptions::default() }),
        expect![[r#"
        a canary batch of 0 nodes shows nothing; at least 1 is expected
    "#]],
    );
    expect_conflict(
        &with(PlanOptions { batch_nodes: Some(0), ..PlanOptions::default() }),
        expect![[r#"
        batches of 0 nodes never end; at least 1 is expected, or no figure for doubling batches
    "#]],
    );
    expect_conflict(
        &problem(nodes(), vec![capacity("shard-b", 1, 2)]),
        expect![[r#"
        shard `shard-b` reports 2 B free of a capacity of 1 B
    "#]],
    );
    let twice = [nodes(), nodes()].concat();
    expect_conflict(
        &problem(twice, shards()),
        expect![[r#"
        the inventory names node `acme/a` twice
    "#]],
    );
    let twice = [shards(), shards()].concat();
    expect_conflict(
        &problem(nodes(), twice),
        expect![[r#"
        the inventory names shard `source` twice
    "#]],
    );
}

#[test]
fn figures_near_the_end_of_the_range_do_not_wrap() {
    let nodes = vec![load("a", u64::MAX), load("b", u64::MAX)];
    let shards = vec![capacity("shard-b", u64::MAX, u64::MAX)];
    let options = PlanOptions { headroom_percent: 0, ..PlanOptions::default() };
    expect_conflict(
        &Problem { options, ..problem(nodes, shards) },
        expect![[r#"
        2 nodes with 15.9 EiB do not fit on 1 target, which have 15.9 EiB above their reserve; 15.9 EiB are missing; the first that finds no place is `b`
    "#]],
    );
}
