//! The lower bound against every plan there is, on problems small enough to try all: few nodes, each large for a target.

use shardlift_model::ByteCount;
use shardlift_planner::baselines::{Moves, outcome};
use shardlift_planner::families::Dice;
use shardlift_planner::{Goal, HOURS, LoadProfile, NodeLoad, PlanOptions, Problem, ShardCapacity, solve};

const NODES: usize = 7;
const TARGETS: usize = 3;

/// Nodes of 25 to 100 with one busy stretch in an eight-hour day, targets that bear 40 to 120.
fn few_large(seed: u64) -> Problem {
    let mut dice = Dice::new(seed);
    let shard = |name: String, capacity: u64, load: LoadProfile| ShardCapacity {
        load_capacity: Some(capacity),
        load,
        ..ShardCapacity::new(name.parse().unwrap(), ByteCount(1 << 40), ByteCount(1 << 40))
    };
    let nodes = (0..NODES).map(|number| {
        let (start, lasts, load) = (dice.below(8), 1 + dice.below(3), 25 + dice.below(76));
        let week: [u64; HOURS] = std::array::from_fn(|hour| {
            let since = (hour as u64 % 8 + 8 - start) % 8;
            if since < lasts { load * (lasts - since) / lasts } else { 1 }
        });
        NodeLoad {
            load: LoadProfile::of_hours(&week).unwrap(),
            ..NodeLoad::new(format!("c/n{number}").parse().unwrap(), ByteCount(1 << 30))
        }
    });
    let nodes = nodes.collect();
    let mut shards = vec![shard("source".into(), 150 + dice.below(200), LoadProfile::default())];
    for number in 0..TARGETS {
        let other = LoadProfile::of_hours(&[dice.below(10); HOURS]).unwrap();
        shards.push(shard(format!("shard-{number}"), 40 + dice.below(81), other));
    }
    let options = PlanOptions { goal: Some(Goal::LowestPeak), ..PlanOptions::default() };
    Problem { source: "source".parse().unwrap(), nodes, shards, options }
}

/// The lowest peak of all plans, in billionths.
fn best(problem: &Problem) -> u64 {
    let places = TARGETS + 1;
    let plans = (0..places.pow(NODES as u32)).map(|plan| -> Moves {
        let places = (0..NODES).map(|node| (node, plan / places.pow(node as u32) % places));
        places.filter(|(_, place)| *place > 0).collect()
    });
    plans.map(|moves| outcome(problem, &moves).peak_after.0).min().unwrap()
}

#[test]
fn no_plan_at_all_is_below_the_bound() {
    let (mut held_up, mut near) = ([0; 2], 0);
    for seed in 0..120 {
        let problem = few_large(seed);
        let (_, report) = solve(&problem).unwrap();
        let load = report.load.unwrap();
        let best = best(&problem);
        assert!(load.lower_bound.0 <= best + 1, "seed {seed}: {load}, but {best} is possible");
        // The mutant: half as much again is beaten nearly always.
        near += usize::from(load.lower_bound.0 * 3 / 2 > best);
        for (count, word) in held_up.iter_mut().zip(["compete", "too large"]) {
            *count += usize::from(load.binding.contains(word));
        }
    }
    assert!(near >= 100, "a bound far from everything proves nothing: {near} of 120");
    assert!(held_up.iter().all(|count| *count >= 5), "each bound must have been tried: {held_up:?}");
}
