//! A large cluster is planned, written, read and checked without a step that grows with the square.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "a measurement needs a clock and shows its figures"
)]

use crate::fixture::{capacity, load, problem, world_of};
use shardlift_model::ByteCount;
use shardlift_planner::families::Family;
use shardlift_planner::{
    Draft, DraftBatch, Drafted, FILE_BYTES_MAX, FINDINGS_MAX, Move, PlacementReason, Problem, Report, check, parse,
    render, solve,
};
use std::time::{Duration, Instant};

/// Heavy-tailed sizes from a fixed sequence (Numerical Recipes' generator): many small nodes, a few large ones.
fn cluster(nodes: u64, shards: u64) -> Problem {
    let mut state = 7_u64;
    let nodes = (0..nodes).map(|n| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let scale = (state >> 40) % 20;
        load(&format!("c{}/node-{n}", n % 977), 1_000_000 + ((state >> 20) % 1000) * (1 << scale))
    });
    let shards = (0..shards).map(|n| capacity(&format!("shard-{n}"), 1 << 46, 1 << 45));
    problem(nodes.collect(), shards.chain([capacity("source", 1 << 50, 0)]).collect())
}

#[test]
fn twenty_thousand_nodes_on_fifty_shards_take_seconds_at_most() {
    let problem = cluster(20_000, 50);
    let world = world_of(&problem);
    let start = Instant::now();
    let (draft, _) = solve(&problem).unwrap();
    let solved = start.elapsed();
    let text = render(&draft, 1, 0);
    let file = parse(&text).unwrap();
    let read = start.elapsed();
    assert_eq!(check(&file, &world), Vec::new());
    let checked = start.elapsed();
    println!("solve {solved:?}, write and read {:?}, check {:?}", read - solved, checked - read);
    // Generous for a loaded machine without optimisation; anything quadratic takes minutes.
    assert!(checked < Duration::from_secs(30), "{checked:?}");
}

/// A plan of so many moves with a reason for each, made without the solver.
fn long_plan(moves: usize) -> (Draft, Report) {
    let (small, report) = solve(&Family::DailyPeaks.problem(40, 3, 5).unwrap()).unwrap();
    let (batch, why) = (small.batches[0].name.clone(), report.placements[0].why.clone());
    let one = |number: usize| Move {
        node: format!("customer-{}/node-{number:06}", number % 977).parse().unwrap(),
        target: format!("shard-{:03}", number % 200).parse().unwrap(),
        bytes: ByteCount(3 << 30),
        objects: 4711,
    };
    let all: Vec<Move> = (0..moves).map(one).collect();
    let placed = |one: &Move| PlacementReason {
        node: one.node.clone(),
        batch: batch.clone(),
        target: one.target.clone(),
        why: why.clone(),
    };
    let report = Report { placements: all.iter().map(placed).collect(), ..report };
    (Draft { batches: vec![DraftBatch { moves: all, ..small.batches[0].clone() }], ..small }, report)
}

#[test]
fn a_hundred_thousand_moves_fit_into_a_file_with_their_sizes_and_fewer_with_their_reasons() {
    let written = |moves: usize| {
        let (draft, report) = long_plan(moves);
        render(Drafted { report: Some(&report), ..Drafted::from(&draft) }, 1, 0)
    };
    let text = written(50_000);
    assert_eq!(text.matches("  # moves: ").count(), 50_000);
    let text = written(100_000);
    assert!(text.len() <= FILE_BYTES_MAX && !text.contains("  # moves: "));
    assert_eq!(text.matches("\"  # 3.0 GiB, 4711 objects\n").count(), 100_000);
    let start = Instant::now();
    let file = parse(&text).unwrap();
    println!("{} bytes with 100,000 moves read in {:?}", text.len(), start.elapsed());
    assert_eq!(file.batches().flat_map(|(_, moves)| moves).count(), 100_000);
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn twenty_thousand_wrong_lines_are_reported_in_seconds_at_most() {
    let problem = cluster(20_000, 50);
    let mut world = world_of(&problem);
    let (draft, _) = solve(&problem).unwrap();
    world.nodes = world.nodes.into_iter().map(|(node, view)| (format!("{node}-x").parse().unwrap(), view)).collect();
    let file = parse(&render(&draft, 1, 0)).unwrap();
    let start = Instant::now();
    let findings = check(&file, &world);
    println!("{} findings in {:?}", findings.len(), start.elapsed());
    assert_eq!(findings.len(), FINDINGS_MAX);
    assert!(findings[FINDINGS_MAX - 1].message.ends_with("(and 19000 more findings after this one)"));
    assert!(start.elapsed() < Duration::from_secs(30));
}
