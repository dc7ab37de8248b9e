//! How good plans by load are, on a small size of each family; `examples/planner_bench.rs` shows the large ones. And mutants:
//! what the checker, the count and the bound are there for, they see.

use crate::fixture::{findings, world_of};
use shardlift_model::ByteCount;
use shardlift_planner::baselines::{first_fit_decreasing, greedy, moves_of, outcome};
use shardlift_planner::families::Family;
use shardlift_planner::{CustomerRule, Draft, Goal, LoadProfile, PlanOptions, Problem, WorldView, render, solve};

const SEEDS: [u64; 2] = [1, 20_260_101];

fn share(fill: shardlift_planner::Fill) -> f64 {
    fill.0 as f64 / 1e9
}

#[test]
fn plans_end_near_the_bound_and_below_the_baselines() {
    for (family, seed) in Family::ALL.into_iter().flat_map(|family| SEEDS.map(|seed| (family, seed))) {
        let problem = family.problem(1_000, 20, seed).unwrap();
        let (draft, report) = solve(&problem).unwrap();
        let ours = outcome(&problem, &moves_of(&problem, &draft));
        let bound = share(report.load.unwrap().lower_bound);
        let over = share(ours.peak_after) / bound;
        assert!(over <= 1.03, "{family} {seed}: {over} of the bound");
        for (name, moves) in [("first fit", first_fit_decreasing(&problem)), ("greedy", greedy(&problem, 0.0))] {
            let theirs = outcome(&problem, &moves);
            // Ours stops within the tolerance, theirs goes on.
            assert!(
                share(ours.peak_after) <= share(theirs.peak_after).max(bound * 1.0201) * 1.001,
                "{family} {seed} {name}"
            );
        }
    }
}

/// Few nodes that are large beside their targets: here mending has to make room for them, and the bound to know rivals.
#[test]
fn giants_end_near_the_bound_too() {
    for (nodes, shards) in [(2_000, 10), (2_000, 40), (3_000, 30)] {
        for seed in SEEDS {
            let problem = Family::FewGiants.problem(nodes, shards, seed).unwrap();
            let (draft, report) = solve(&problem).unwrap();
            let over = share(outcome(&problem, &moves_of(&problem, &draft)).peak_after)
                / share(report.load.unwrap().lower_bound);
            assert!(over <= 1.03, "{nodes} on {shards}, {seed}: {over} of the bound");
        }
    }
}

#[test]
fn at_the_peak_of_the_greedy_rebalancer_no_more_bytes_move() {
    for (family, seed) in Family::ALL.into_iter().flat_map(|family| SEEDS.map(|seed| (family, seed))) {
        let problem = family.problem(1_000, 20, seed).unwrap();
        let theirs = outcome(&problem, &greedy(&problem, 0.0));
        let percent = u8::try_from(theirs.peak_after.0.div_ceil(10_000_000)).unwrap_or(u8::MAX);
        if percent > 100 {
            continue;
        }
        let options = PlanOptions { goal: Some(Goal::PeakAtMost { percent }), ..problem.options.clone() };
        let alike = Problem { options, ..problem };
        // Down to the same whole per cent.
        let theirs = outcome(&alike, &greedy(&alike, f64::from(percent) / 100.0));
        let (draft, _) = solve(&alike).unwrap();
        let ours = outcome(&alike, &moves_of(&alike, &draft));
        // Half a per cent is the grain of whole nodes where almost all have to leave.
        assert!(
            ours.bytes <= theirs.bytes + theirs.bytes / 200,
            "{family} {seed}: {} bytes against {}",
            ours.bytes,
            theirs.bytes
        );
    }
}

/// What is done to a good plan's world, and what the finding must say.
type Mutant = (&'static str, fn(&mut WorldView, &Draft), &'static str);

fn first(draft: &Draft) -> &shardlift_planner::Move {
    &draft.batches[0].moves[0]
}

const MUTANTS: [Mutant; 7] = [
    (
        "load",
        |world, draft| {
            let capacity = world.shards[&first(draft).target].load_capacity.unwrap();
            world.nodes.get_mut(&first(draft).node).unwrap().load = LoadProfile::of_hours(&[capacity; 168]).unwrap();
        },
        "of its load capacity",
    ),
    (
        "growth",
        |world, draft| {
            let free = world.shards[&first(draft).target].free.0;
            world.nodes.get_mut(&first(draft).node).unwrap().growth_bytes_per_day = i64::try_from(free).unwrap();
        },
        "is full",
    ),
    (
        "hold",
        |world, draft| {
            world.rules.holds.insert(first(draft).node.clone());
        },
        "is on hold",
    ),
    ("pin", |world, draft| world.nodes.get_mut(&first(draft).node).unwrap().pinned = true, "is pinned to `source`"),
    (
        "allowed targets",
        |world, draft| {
            world.rules.targets_of.insert(first(draft).node.clone(), ["nowhere".parse().unwrap()].into());
        },
        "may not go to",
    ),
    (
        "together",
        |world, draft| {
            let stays = draft.batches.iter().flat_map(|batch| &batch.moves).map(|one| &one.node).collect::<Vec<_>>();
            let other = world.nodes.keys().find(|node| !stays.contains(node)).unwrap().clone();
            let customer = world.nodes[&first(draft).node].customer.clone();
            world.nodes.get_mut(&other).unwrap().customer = customer.clone();
            world.rules.customers.insert(customer.unwrap(), CustomerRule::Together);
        },
        "is kept together, but",
    ),
    (
        "spread",
        |world, draft| {
            let customer = world.nodes[&first(draft).node].customer.clone();
            let target = first(draft).target.clone();
            let moves = draft.batches.iter().flat_map(|batch| &batch.moves);
            for one in moves.filter(|one| one.target == target) {
                world.nodes.get_mut(&one.node).unwrap().customer = customer.clone();
            }
            world.rules.customers.insert(customer.unwrap(), CustomerRule::SpreadNodes { nodes_max: 1 });
        },
        "is spread, at most 1 node on a shard, but",
    ),
];

#[test]
fn every_mutant_of_a_good_plan_by_load_is_found() {
    let problem = Family::DailyPeaks.problem(120, 4, 9).unwrap();
    let (draft, _) = solve(&problem).unwrap();
    let text = render(&draft, 1, 0);
    for (name, spoil, expected) in MUTANTS {
        let mut world = world_of(&problem);
        assert_eq!(findings(&text, &world), Vec::new());
        spoil(&mut world, &draft);
        let found = findings(&text, &world);
        assert!(found.iter().any(|one| one.message.contains(expected)), "{name}: {found:#?}");
    }
}

/// The last unit of load and the last byte of growth are still allowed; one more is not.
#[test]
fn the_checker_counts_load_and_growth_to_the_unit() {
    let problem = Family::ManySmall.problem(60, 3, 4).unwrap();
    let (draft, _) = solve(&problem).unwrap();
    let text = render(&draft, 1, 0);
    let target = &first(&draft).target;
    let moves: Vec<_> =
        draft.batches.iter().flat_map(|batch| &batch.moves).filter(|one| one.target == *target).collect();
    let mut row = [0; 168];
    let shard = problem.shards.iter().find(|shard| shard.shard == *target).unwrap();
    shard.load.add_to(&mut row);
    let of = |name| problem.nodes.iter().find(|node| node.node == name).unwrap();
    moves.iter().for_each(|one| of(one.node.clone()).load.add_to(&mut row));
    let mut world = world_of(&problem);
    let highest = row.iter().copied().max().unwrap();
    world.shards.get_mut(target).unwrap().load_capacity = Some(highest);
    assert_eq!(findings(&text, &world), Vec::new());
    world.shards.get_mut(target).unwrap().load_capacity = Some(highest - 1);
    assert_eq!(findings(&text, &world).len(), 1);

    let mut world = world_of(&problem);
    let then: u64 = moves.iter().map(|one| of(one.node.clone()).bytes_in(problem.options.horizon_days).0).sum();
    let reserve = (shard.capacity.0 * u64::from(problem.options.headroom_percent)).div_ceil(100);
    world.shards.get_mut(target).unwrap().free = ByteCount(then + reserve);
    assert_eq!(findings(&text, &world), Vec::new());
    world.shards.get_mut(target).unwrap().free = ByteCount(then + reserve - 1);
    let found = findings(&text, &world);
    assert!(found.len() == 1 && found[0].message.ends_with("; 1 B too much"), "{found:#?}");
}

/// The count that the properties rely on sees what is wrong with spoilt plans.
#[test]
fn the_count_sees_a_plan_that_makes_things_worse() {
    let problem = Family::DailyPeaks.problem(120, 4, 9).unwrap();
    let (draft, report) = solve(&problem).unwrap();
    let good = moves_of(&problem, &draft);
    let bound = report.load.unwrap().lower_bound;
    // All on one target.
    let heaped = good.iter().map(|(node, _)| (*node, 1)).collect();
    assert!(outcome(&problem, &heaped).peak_after > outcome(&problem, &good).peak_after);
    // Half of the plan.
    let half = good[..good.len() / 2].to_vec();
    let done = outcome(&problem, &half);
    assert!(done.peak_after > outcome(&problem, &good).peak_after && done.peak_after < done.peak_before);
    // No answer that is tried is below the bound.
    for moves in [good, first_fit_decreasing(&problem), greedy(&problem, 0.0), half] {
        assert!(outcome(&problem, &moves).peak_after >= bound);
    }
}
