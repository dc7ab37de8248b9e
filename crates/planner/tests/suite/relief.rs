//! Plans by load: what holds for every problem, whatever its family and wishes.

use crate::fixture::world_of;
use proptest::prelude::*;
use proptest::sample::Index;
use shardlift_model::{ByteCount, CustomerId, NodeId, ShardId};
use shardlift_planner::baselines::{moves_of, outcome};
use shardlift_planner::families::Family;
use shardlift_planner::{
    Conflict, CustomerRule, Draft, Goal, HOURS, LoadProfile, NodeLoad, PlanOptions, Problem, Report, check, parse,
    render, solve,
};
use std::collections::{BTreeMap, BTreeSet};

/// Problems of every family with wishes of every kind, some of which cannot be granted.
pub(crate) fn any_relief() -> impl Strategy<Value = Problem> {
    let shape = (prop::sample::select(Family::ALL.to_vec()), 20_usize..160, 3_usize..9, any::<u64>());
    let goal = prop::option::of(prop_oneof![
        Just(Goal::LowestPeak),
        Just(Goal::Evacuate),
        (40_u8..100).prop_map(|percent| Goal::PeakAtMost { percent }),
        (0_u64..40).prop_map(|nodes| Goal::Leave { nodes }),
    ]);
    let limits = (prop::option::of(1_u64..2000), prop::option::of(1_u64..100), 0_u8..40, 0_u16..90);
    let wishes = (any::<[bool; 6]>(), prop::collection::vec(any::<Index>(), 6), 1_usize..4);
    (shape, goal, limits, wishes).prop_map(
        |((family, nodes, shards, seed), goal, limits, (made, picks, canary_nodes))| {
            let mut problem = family.problem(nodes, shards, seed).unwrap();
            let pick = |at: usize| picks[at].index(nodes);
            let name = |at: usize| problem.nodes[pick(at)].node.clone();
            let customer = |at: usize| problem.nodes[pick(at)].customer.clone();
            let windows = ["00:00-24:00", "22:30-04:10", "03:00-03:01"];
            let target = problem.shards[1 + picks[0].index(shards - 1)].shard.clone();
            let options = PlanOptions {
                goal,
                canary_nodes,
                bytes_max: limits.0.filter(|_| made[0]).map(|gib| ByteCount(gib << 30)),
                moves_max: limits.1.filter(|_| made[0]),
                headroom_percent: limits.2,
                horizon_days: limits.3,
                windows: made[5].then(|| windows[picks[5].index(windows.len())].parse().unwrap()).into_iter().collect(),
                holds: made[1].then(|| name(0)).into_iter().collect(),
                exclude: made[1].then(|| name(1)).into_iter().collect(),
                must_move: made[2].then(|| name(2)).into_iter().collect(),
                targets_of: made[3].then(|| (name(3), vec![target])).into_iter().collect(),
                customers: [
                    (made[4], customer(4), CustomerRule::Together),
                    (made[5], customer(5), CustomerRule::SpreadNodes { nodes_max: 2 }),
                ]
                .into_iter()
                .filter_map(|(made, customer, rule)| made.then_some((customer, rule)))
                .collect(),
                ..PlanOptions::default()
            };
            problem.options = options;
            problem.nodes[pick(5)].pinned = made[2];
            problem
        },
    )
}

pub(crate) fn moves(draft: &Draft) -> BTreeMap<&NodeId, &ShardId> {
    draft.batches.iter().flat_map(|batch| &batch.moves).map(|one| (&one.node, &one.target)).collect()
}

/// Load by shard and hour with these moves done; counted without any code of the solver.
fn weeks(problem: &Problem, moves: &BTreeMap<&NodeId, &ShardId>) -> BTreeMap<ShardId, [u64; HOURS]> {
    let mut weeks: BTreeMap<ShardId, [u64; HOURS]> = BTreeMap::new();
    for shard in &problem.shards {
        shard.load.add_to(weeks.entry(shard.shard.clone()).or_insert([0; HOURS]));
    }
    for node in &problem.nodes {
        let here = node.shard.as_ref().unwrap_or(&problem.source);
        let at = moves.get(&node.node).copied().unwrap_or(here);
        node.load.add_to(weeks.get_mut(at).unwrap());
    }
    weeks
}

/// Busiest hour over capacity of the source and all targets of the whole draft.
fn worst(problem: &Problem, moves: &BTreeMap<&NodeId, &ShardId>, touched: &BTreeSet<&ShardId>) -> f64 {
    let weeks = weeks(problem, moves);
    let share = |shard: &ShardId| {
        let capacity = problem.shards.iter().find(|one| one.shard == *shard).unwrap().load_capacity.unwrap();
        *weeks[shard].iter().max().unwrap() as f64 / capacity as f64
    };
    touched.iter().map(|shard| share(shard)).fold(0.0, f64::max)
}

fn touched<'p>(problem: &'p Problem, draft: &'p Draft) -> BTreeSet<&'p ShardId> {
    moves(draft).into_values().chain([&problem.source]).collect()
}

/// The first batch that leaves the busiest hour busier than it found it, in words.
pub(crate) fn busier(problem: &Problem, draft: &Draft) -> Option<String> {
    let touched = touched(problem, draft);
    let end = worst(problem, &moves(draft), &touched);
    let mut done: BTreeMap<&NodeId, &ShardId> = BTreeMap::new();
    let mut before = worst(problem, &done, &touched);
    let asked = matches!(problem.goal(), Goal::Evacuate | Goal::Leave { .. }) || !problem.options.must_move.is_empty();
    for batch in &draft.batches {
        done.extend(batch.moves.iter().map(|one| (&one.node, &one.target)));
        let after = worst(problem, &done, &touched);
        // What has to move whatever it brings may end worse, but never worse than in the end.
        let allowed = if asked { before.max(end) } else { before };
        if after > allowed * (1.0 + 1e-6) {
            return Some(format!("{after} after {before} in {}", batch.name));
        }
        before = after;
    }
    None
}

/// Moves of the next plan.
pub(crate) fn still_to_move(problem: &Problem) -> usize {
    solved(problem).map_or(0, |(draft, _)| moves(&draft).len())
}

/// The problem as it is once the draft was carried out.
pub(crate) fn carried_out(problem: &Problem, draft: &Draft) -> Problem {
    let mut after = problem.clone();
    for (node, target) in moves(draft) {
        let node = after.nodes.iter_mut().find(|one| one.node == *node).unwrap();
        node.shard = Some(target.clone());
        let shard = after.shards.iter_mut().find(|one| one.shard == *target).unwrap();
        shard.free = shard.free.saturating_sub(node.bytes);
    }
    let moved: BTreeSet<&NodeId> = moves(draft).into_keys().collect();
    after.options.must_move.retain(|node| !moved.contains(node));
    after
}

pub(crate) fn solved(problem: &Problem) -> Option<(Draft, Report)> {
    match solve(problem) {
        Ok(answer) => Some(answer),
        Err(Conflict::Wishes { wishes, .. }) => {
            assert!(!wishes.is_empty(), "a conflict names what conflicts");
            None
        }
        Err(Conflict::NothingToMove { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_target_is_overfilled_with_growth_and_rules_are_kept(problem in any_relief()) {
        let Some((draft, _)) = solved(&problem) else { return Ok(()) };
        let options = &problem.options;
        let moves = moves(&draft);
        let of = |node: &NodeId| problem.nodes.iter().find(|one| one.node == *node).unwrap();
        let mut brought: BTreeMap<&ShardId, u128> = BTreeMap::new();
        for (node, target) in &moves {
            let load = of(node);
            prop_assert!(!load.pinned && !options.holds.contains(node) && !options.exclude.contains(node));
            prop_assert!(**target != problem.source);
            prop_assert!(options.targets_of.get(node).is_none_or(|allowed| allowed.contains(target)));
            let growth = u128::try_from(load.growth_bytes_per_day).unwrap() * u128::from(options.horizon_days);
            *brought.entry(target).or_default() += u128::from(load.bytes.0) + growth;
        }
        for (target, bytes) in brought {
            let shard = problem.shards.iter().find(|one| one.shard == *target).unwrap();
            let left = u128::from(shard.free.0).checked_sub(bytes);
            let enough = left.is_some_and(|left| left * 100 >= u128::from(shard.capacity.0) * u128::from(options.headroom_percent));
            prop_assert!(enough, "{target} is overfilled");
        }
        prop_assert!(options.must_move.iter().all(|node| moves.contains_key(node)));
        prop_assert!(options.moves_max.is_none_or(|most| moves.len() as u64 <= most));
        let bytes: u64 = moves.keys().map(|node| of(node).bytes.0).sum();
        prop_assert!(options.bytes_max.is_none_or(|most| bytes <= most.0));
        if let Some(Goal::Leave { nodes }) = options.goal {
            prop_assert!(problem.nodes.len() as u64 - moves.len() as u64 <= nodes);
        }
    }

    #[test]
    fn the_checker_agrees_with_the_solver(problem in any_relief()) {
        let Some((draft, report)) = solved(&problem) else { return Ok(()) };
        let too_hot = report.load.is_some_and(|load| load.after.share.0 > 1_000_000_000);
        if draft.batches.is_empty() || too_hot { return Ok(()) }
        let file = parse(&render(&draft, 1, 0)).unwrap();
        prop_assert_eq!(check(&file, &world_of(&problem)), Vec::new());
    }

    #[test]
    fn the_report_tells_what_the_moves_come_to(problem in any_relief()) {
        let Some((draft, report)) = solved(&problem) else { return Ok(()) };
        let load = report.load.clone().unwrap();
        let counted = outcome(&problem, &moves_of(&problem, &draft));
        prop_assert_eq!(counted.peak_after, load.after.share);
        prop_assert_eq!((counted.bytes, counted.moves as u64), (load.bytes.0, load.moves));
        prop_assert!(load.lower_bound.0 <= load.after.share.0 + 1, "a bound that was beaten is none: {load}");
        if let Some(Goal::PeakAtMost { percent }) = problem.options.goal {
            prop_assert!(load.after.share.0 <= u64::from(percent) * 10_000_000);
        }
    }

    #[test]
    fn no_batch_leaves_the_busiest_hour_busier(problem in any_relief()) {
        let Some((draft, _)) = solved(&problem) else { return Ok(()) };
        prop_assert_eq!(busier(&problem, &draft), None);
    }

    #[test]
    fn an_answer_that_was_carried_out_is_left_alone(problem in any_relief()) {
        // With limits there is always more to do the next time.
        let options = PlanOptions { bytes_max: None, moves_max: None, ..problem.options.clone() };
        let problem = Problem { options, ..problem };
        let Some((draft, _)) = solved(&problem) else { return Ok(()) };
        prop_assert_eq!(still_to_move(&carried_out(&problem, &draft)), 0, "{:?}", problem.options);
    }

    #[test]
    fn the_order_of_the_inventory_does_not_matter(problem in any_relief(), turn in any::<Index>()) {
        let mut turned = problem.clone();
        let by = turn.index(turned.nodes.len());
        turned.nodes.rotate_left(by);
        turned.shards.reverse();
        prop_assert_eq!(solve(&problem), solve(&problem));
        prop_assert_eq!(solve(&problem), solve(&turned));
    }

    #[test]
    fn customers_stay_together_or_are_spread(problem in any_relief()) {
        let Some((draft, _)) = solved(&problem) else { return Ok(()) };
        let moves = moves(&draft);
        for (customer, rule) in &problem.options.customers {
            let at = at_end(&problem, &moves, customer);
            let count = |shard: &ShardId| at.iter().filter(|at| **at == shard).count() as u64;
            match rule {
                CustomerRule::Together => prop_assert!(at.iter().collect::<BTreeSet<_>>().len() <= 1),
                rule => for shard in at.iter().filter(|shard| ***shard != problem.source) {
                    prop_assert!(count(shard) <= rule.nodes_max(at.len() as u64).unwrap());
                }
            }
        }
    }
}

fn at_end<'p>(problem: &'p Problem, moves: &BTreeMap<&NodeId, &'p ShardId>, customer: &CustomerId) -> Vec<&'p ShardId> {
    let nodes = problem.nodes.iter().filter(|node| node.customer == *customer);
    nodes.map(|node| moves.get(&node.node).copied().unwrap_or(&problem.source)).collect()
}

/// The properties say nothing about problems without an answer, so most must have one, of every kind.
#[test]
fn the_generated_problems_have_answers_and_conflicts() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut plans, mut moving, mut conflicts) = (0, 0, 0);
    for _ in 0..300 {
        match solved(&any_relief().new_tree(&mut runner).unwrap().current()) {
            Some((draft, _)) => {
                plans += 1;
                moving += usize::from(!draft.batches.is_empty());
            }
            None => conflicts += 1,
        }
    }
    assert!(plans > 150 && moving > 120 && conflicts > 20, "{plans} plans, {moving} with moves, {conflicts} conflicts");
}

#[test]
fn a_small_change_of_the_world_moves_few_nodes() {
    for family in Family::ALL {
        let problem = family.problem(600, 12, 7).unwrap();
        let (draft, _) = solve(&problem).unwrap();
        let mut after = carried_out(&problem, &draft);
        // One node in fifty doubles its load.
        for node in after.nodes.iter_mut().step_by(50) {
            let doubled: Vec<u64> =
                node.load.steps().iter().map(|step| u64::from(*step) * node.load.unit() * 2).collect();
            node.load = LoadProfile::of_hours(&doubled).unwrap();
        }
        let more = still_to_move(&after);
        let (first, still) = (moves(&draft).len(), after.nodes.iter().filter(|node| node.shard.is_none()).count());
        assert!(more * 5 <= first.min(still).max(50), "{family}: {more} more after {first}, {still} were left");
    }
}

fn node_of(problem: &Problem, number: usize) -> NodeLoad {
    problem.nodes[number].clone()
}

#[test]
fn a_conflict_is_the_smallest_set_of_wishes() {
    let mut problem = Family::DailyPeaks.problem(60, 4, 3).unwrap();
    let node = node_of(&problem, 5).node;
    problem.options.must_move = vec![node.clone()];
    problem.options.headroom_percent = 100;
    // The pins and the hold have nothing to do with it.
    problem.nodes[9].pinned = true;
    problem.options.holds = vec![node_of(&problem, 10).node];
    let Err(Conflict::Wishes { wishes, .. }) = solve(&problem) else { panic!("there is no room at all") };
    assert_eq!(wishes.len(), 2, "{wishes:?}");
    assert!(wishes[0].starts_with("100 % of each target stays free"), "{wishes:?}");
    assert!(wishes[1].starts_with(&format!("must move: {node}")), "{wishes:?}");

    let mut problem = Family::ManySmall.problem(60, 4, 3).unwrap();
    problem.options.goal = Some(Goal::PeakAtMost { percent: 5 });
    let error = solve(&problem).unwrap_err().to_string();
    assert!(
        error.starts_with("these cannot hold together: no hour above 5 % of a shard's load capacity (reached: "),
        "{error}"
    );
    problem.options.goal = Some(Goal::PeakAtMost { percent: 98 });
    problem.options.moves_max = Some(3);
    let error = solve(&problem).unwrap_err().to_string();
    assert!(error.contains("at most 3 nodes move; no hour above 98 %"), "{error}");
}

#[test]
fn a_node_must_move_and_may_not() {
    let mut problem = Family::DailyPeaks.problem(60, 4, 3).unwrap();
    let node = node_of(&problem, 5).node;
    problem.options.must_move = vec![node.clone()];
    problem.options.holds = vec![node.clone()];
    let error = solve(&problem).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "these cannot hold together: node `{node}` must move; node `{node}` is on hold; without any one of them there is one"
        )
    );
}

#[test]
fn absent_and_absurd_figures_are_refused_with_their_place() {
    let good = Family::ManySmall.problem(30, 3, 1).unwrap();
    let refused = |spoil: &dyn Fn(&mut Problem)| {
        let mut problem = good.clone();
        spoil(&mut problem);
        solve(&problem).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&|problem| problem.shards[1].load_capacity = None),
        "shard `shard-001`: load_capacity is absent, though nodes have measured load; the load it bears in one hour, in the same unit, is expected"
    );
    assert_eq!(
        refused(&|problem| problem.shards[2].load_capacity = Some(0)),
        "shard `shard-002`: load_capacity is 0; the load it bears in one hour is expected"
    );
    let node = good.nodes[4].node.clone();
    assert_eq!(
        refused(&|problem| problem.nodes[4].growth_bytes_per_day = i64::MIN),
        format!(
            "node `{node}`: growth_bytes_per_day is -9223372036854775808; at most 1 PiB a day, up or down, is expected"
        )
    );
    assert_eq!(
        refused(&|problem| problem.nodes[4].shard = Some("nowhere".parse().unwrap())),
        format!("node `{node}`: shard is `nowhere`; a shard of the inventory is expected")
    );
    assert_eq!(
        refused(&|problem| problem.options.goal = Some(Goal::PeakAtMost { percent: 0 })),
        "goal: a peak of at most 0 %; 1 to 100 % is expected"
    );
    assert_eq!(
        refused(&|problem| problem.options.holds = vec!["no/body".parse().unwrap()]),
        "holds `no/body`: there is no such node in the inventory; a node of the inventory is expected"
    );
    assert!(serde_json::from_str::<PlanOptions>(r#"{"bytes_max": -1}"#).is_err());
}

#[test]
fn the_report_explains_each_move() {
    let problem = Family::DailyPeaks.problem(60, 4, 3).unwrap();
    let (_, report) = solve(&problem).unwrap();
    let line = &report.placements[0];
    assert!(line.why.starts_with("moves: ") && line.why.contains(" peak, "), "{}", line.why);
    assert!(line.why.contains(&format!("; {}: lowest resulting peak of 3 targets, ", line.target)), "{}", line.why);
    let text = report.to_string();
    assert!(text.starts_with("goal: the lowest peak\npeak: 140."), "{text}");
}

#[test]
fn any_shard_may_give_when_it_is_asked_for() {
    let mut problem = Family::DailyPeaks.problem(300, 6, 11).unwrap();
    // All on two shards: the source and one target that it has overrun.
    let hot = problem.shards[1].shard.clone();
    for (number, node) in problem.nodes.iter_mut().enumerate() {
        node.shard = (number % 2 == 0).then(|| hot.clone());
    }
    problem.options.from_any_shard = true;
    let (draft, report) = solve(&problem).unwrap();
    let moved = moves(&draft);
    let from_hot = problem.nodes.iter().filter(|node| node.shard.is_some() && moved.contains_key(&node.node)).count();
    let load = report.load.unwrap();
    assert!(from_hot > 20 && load.before.shard == hot, "{from_hot} {load}");
    assert!((load.after.share.0 as f64) < load.lower_bound.0 as f64 * 1.15, "{load}");
}
