//! Plans for generated inventories, against first-fit-decreasing and a greedy rebalancer on the same input.
//!
//! `cargo run --release -p shardlift-planner --example planner_bench -- [NODES SHARDS [JSON]]`; without arguments 1,000
//! nodes on 20 shards and 100,000 on 200. Above 200,000 nodes the baselines, which would take many minutes, are left out.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "a measurement needs a clock and shows its figures"
)]

use shardlift_planner::baselines::{Moves, Outcome, first_fit_decreasing, greedy, moves_of, outcome};
use shardlift_planner::families::Family;
use shardlift_planner::{Goal, PlanOptions, Problem, solve};
use std::error::Error;
use std::time::Instant;

const SEED: u64 = 20_260_101;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let sizes = match arguments.as_slice() {
        [nodes, shards, ..] => vec![(nodes.parse()?, shards.parse()?)],
        _ => vec![(1_000, 20), (100_000, 200)],
    };
    println!(
        "{:<13}{:>9}{:>7}  {:<14}{:>8}{:>8}{:>8}{:>7}{:>10}{:>9}{:>8}",
        "family", "nodes", "shards", "planner", "before", "after", "bound", "over", "moved", "moves", "seconds"
    );
    let mut lines = Vec::new();
    for (nodes, shards) in sizes {
        for family in Family::ALL {
            let problem = family.problem(nodes, shards, SEED)?;
            lines.extend(measure(family, &problem)?);
        }
    }
    println!("memory at most: {} MiB", memory_mib());
    if let Some(path) = arguments.get(2) {
        let all = serde_json::json!({ "seed": SEED, "memory_mib": memory_mib(), "rows": lines });
        std::fs::write(path, serde_json::to_string_pretty(&all)?)?;
    }
    Ok(())
}

fn measure(family: Family, problem: &Problem) -> Result<Vec<serde_json::Value>, Box<dyn Error>> {
    let start = Instant::now();
    let (draft, report) = solve(problem)?;
    let seconds = start.elapsed().as_secs_f64();
    let load = report.load.ok_or("no load was measured")?;
    let bound = load.lower_bound.0 as f64 / 1e9;
    let ours = outcome(problem, &moves_of(problem, &draft));
    let mut lines = Vec::new();
    let mut show = |planner: &str, outcome: Outcome, seconds: f64| {
        let share = |fill: shardlift_planner::Fill| fill.0 as f64 / 1e9;
        let (before, after) = (share(outcome.peak_before), share(outcome.peak_after));
        let (nodes, shards) = (problem.nodes.len(), problem.shards.len());
        let tib = outcome.bytes as f64 / (1_u64 << 40) as f64;
        println!(
            "{:<13}{nodes:>9}{shards:>7}  {planner:<14}{:>7.1}%{:>7.2}%{:>7.2}%{:>6.1}%{tib:>9.2}T{:>9}{seconds:>8.2}",
            family.as_str(),
            before * 100.0,
            after * 100.0,
            bound * 100.0,
            (after / bound - 1.0) * 100.0,
            outcome.moves
        );
        lines.push(serde_json::json!({
            "family": family.as_str(), "nodes": nodes, "shards": shards, "planner": planner, "peak_before": before,
            "peak_after": after, "lower_bound": bound, "binding": load.binding, "bytes": outcome.bytes,
            "moves": outcome.moves, "batches": draft.batches.len(), "seconds": seconds,
        }));
    };
    show("shardlift", ours, seconds);
    let timed = |plan: &dyn Fn() -> Moves| {
        let start = Instant::now();
        let moves = plan();
        (outcome(problem, &moves), start.elapsed().as_secs_f64())
    };
    if problem.nodes.len() <= 200_000 {
        let (first_fit, seconds) = timed(&|| first_fit_decreasing(problem));
        show("first-fit-decr", first_fit, seconds);
        let (greedy_ends, seconds) = timed(&|| greedy(problem, 0.0));
        show("greedy", greedy_ends, seconds);
        // The same peak for both, so that bytes can be compared.
        let (mut alike, reached) = (problem.clone(), greedy_ends.peak_after.0 as f64 / 1e9);
        let tolerance_permille = ((reached / bound - 1.0) * 1000.0).floor().clamp(0.0, 1000.0) as u16;
        alike.options = PlanOptions { goal: Some(Goal::LowestPeak), tolerance_permille, ..alike.options };
        let start = Instant::now();
        let (draft, _) = solve(&alike)?;
        let seconds = start.elapsed().as_secs_f64();
        show("as greedy", outcome(problem, &moves_of(problem, &draft)), seconds);
    }
    Ok(lines)
}

/// The most memory this process has had.
fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib / 1024)
}
