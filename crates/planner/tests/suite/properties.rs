//! What holds for every problem and every text.

use crate::fixture::{any_problem, world_of};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree as _;
use shardlift_planner::{Conflict, Draft, Problem, approve, check, parse, render, solve};
use std::collections::{BTreeMap, BTreeSet};

/// The room of every allowed target, counted without any code of the solver: the reserve is found by trying.
fn rooms(problem: &Problem) -> BTreeMap<&str, u64> {
    let allowed = |shard: &str| {
        let targets = &problem.options.targets;
        shard != problem.source.as_str() && (targets.is_empty() || targets.iter().any(|t| t.as_str() == shard))
    };
    let room = |free: u64, capacity: u64| {
        let percent = u64::from(problem.options.headroom_percent);
        (0..=free).rev().find(|used| (free - used) * 100 >= capacity * percent).unwrap_or(0)
    };
    let shards = problem.shards.iter().filter(|shard| allowed(shard.shard.as_str()));
    shards.map(|shard| (shard.shard.as_str(), room(shard.free.0, shard.capacity.0))).collect()
}

fn movable(problem: &Problem) -> BTreeMap<&str, u64> {
    let nodes = problem.nodes.iter().filter(|node| !node.pinned && !problem.options.exclude.contains(&node.node));
    nodes.map(|node| (node.node.as_str(), node.bytes.0)).collect()
}

fn moves(draft: &Draft) -> Vec<(&str, &str)> {
    let moves = draft.batches.iter().flat_map(|batch| &batch.moves);
    moves.map(|one| (one.node.as_str(), one.target.as_str())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_draft_moves_every_node_that_may_move_once_and_overfills_nothing(problem in any_problem()) {
        let Ok((draft, report)) = solve(&problem) else { return Ok(()) };
        let (rooms, movable, moves) = (rooms(&problem), movable(&problem), moves(&draft));
        prop_assert_eq!(moves.len(), movable.len());
        prop_assert_eq!(moves.iter().map(|one| one.0).collect::<BTreeSet<_>>(), movable.keys().copied().collect());
        let mut loads: BTreeMap<&str, u64> = BTreeMap::new();
        for (node, target) in moves {
            *loads.entry(target).or_default() += movable[node];
        }
        for (target, bytes) in &loads {
            prop_assert!(bytes <= &rooms[target], "{target}: {bytes} of {}", rooms[target]);
        }
        for line in &report.targets {
            prop_assert_eq!(line.bytes.0, loads.get(line.shard.as_str()).copied().unwrap_or(0));
        }
        prop_assert_eq!(report.placements.len() + report.staying.len(), problem.nodes.len());
    }

    #[test]
    fn a_conflict_that_claims_a_proof_is_right(problem in any_problem()) {
        let (rooms, movable) = (rooms(&problem), movable(&problem));
        let (room, bytes) = (rooms.values().sum::<u64>(), movable.values().sum::<u64>());
        let (roomiest, largest) = (rooms.values().max().copied(), movable.values().max().copied());
        match solve(&problem) {
            Err(Conflict::NodeTooLarge { missing, .. }) => {
                prop_assert_eq!(Some(missing.0), largest.zip(roomiest).map(|(a, b)| a - b));
            }
            Err(Conflict::NotEnoughRoom { missing, .. }) => prop_assert_eq!(missing.0, bytes - room),
            Err(Conflict::NothingToMove { .. }) => prop_assert!(movable.is_empty()),
            Err(Conflict::NoPackingFound { .. }) => prop_assert!(bytes <= room && largest <= roomiest),
            Err(other) => prop_assert!(false, "{other}"),
            Ok(_) => prop_assert!(bytes <= room),
        }
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(problem in any_problem(), turn in any::<Index>()) {
        let mut turned = problem.clone();
        let by = turn.index(turned.nodes.len());
        turned.nodes.rotate_left(by);
        turned.nodes.reverse();
        turned.shards.reverse();
        prop_assert_eq!(solve(&problem), solve(&problem));
        prop_assert_eq!(solve(&problem), solve(&turned));
    }

    #[test]
    fn a_draft_survives_its_file_and_the_checker_finds_nothing(problem in any_problem()) {
        let Ok((draft, _)) = solve(&problem) else { return Ok(()) };
        let text = render(&draft, 1, 0);
        let file = parse(&text).unwrap();
        prop_assert_eq!(file.text(), text.as_str());
        let read: Vec<(String, Vec<(&str, &str)>)> = file
            .batches()
            .map(|(name, moves)| (name.to_string(), moves.map(|(n, t)| (n.as_str(), t.as_str())).collect()))
            .collect();
        let drafted: Vec<(String, Vec<(&str, &str)>)> = draft
            .batches
            .iter()
            .map(|b| (b.name.to_string(), b.moves.iter().map(|m| (m.node.as_str(), m.target.as_str())).collect()))
            .collect();
        prop_assert_eq!(read, drafted);
        prop_assert_eq!(check(&file, &world_of(&problem)), Vec::new());
        let plan = approve(&file, &world_of(&problem)).unwrap();
        prop_assert_eq!(plan.batches().len(), draft.batches.len());
        for (batch, above) in plan.batches().iter().skip(1).zip(plan.batches()) {
            prop_assert_eq!(batch.after.iter().collect::<Vec<_>>(), vec![&above.name]);
        }
    }

    #[test]
    fn a_canary_is_never_larger_than_a_node_as_active_as_itself(problem in any_problem()) {
        let Ok((draft, _)) = solve(&problem) else { return Ok(()) };
        prop_assert_eq!(draft.batches[0].moves.len(), problem.options.canary_nodes.min(movable(&problem).len()));
        let has_snapshot = |name: &str| problem.nodes.iter().any(|n| n.node.as_str() == name && n.snapshots > 0);
        let active: Vec<_> = moves(&draft).into_iter().filter(|one| has_snapshot(one.0)).collect();
        let canary: Vec<_> = draft.batches[0].moves.iter().map(|one| one.node.as_str()).collect();
        // A node without any snapshot is a canary only when nodes with one have run out.
        if canary.iter().any(|node| !has_snapshot(node)) {
            prop_assert!(active.iter().all(|one| canary.contains(&one.0)));
        }
    }

    #[test]
    fn no_text_makes_the_reader_crash_and_every_finding_has_a_place(
        problem in any_problem(),
        edits in prop::collection::vec((any::<Index>(), prop::sample::select(TOKENS.to_vec()), 0_usize..12), 1..6),
    ) {
        let Ok((draft, _)) = solve(&problem) else { return Ok(()) };
        let mut chars: Vec<char> = render(&draft, 1, 0).chars().collect();
        for (at, token, drop) in edits {
            let at = at.index(chars.len() + 1);
            let end = (at + drop).min(chars.len());
            chars.splice(at..end, token.chars());
        }
        let text: String = chars.into_iter().collect();
        let findings = match parse(&text) {
            Ok(file) => check(&file, &world_of(&problem)),
            Err(findings) => {
                prop_assert!(!findings.is_empty());
                findings
            }
        };
        prop_assert!(findings.is_sorted());
        for finding in findings {
            prop_assert!(!finding.hint.is_empty() && !finding.message.is_empty());
            let line = text.split('\n').nth(finding.line as usize - 1);
            let chars = line.map(|line| line.chars().count());
            prop_assert!(chars.is_some_and(|chars| (finding.column as usize) <= chars + 1), "{finding}");
            prop_assert!(!finding.to_string().contains(char::from(27)), "an escape character is shown");
        }
    }
}

const TOKENS: [&str; 20] = [
    "",
    "[",
    "]",
    "[[batch]]",
    "\n[batch]\n",
    "\"",
    "'",
    "\"\"\"",
    "=",
    ".",
    "\n",
    "\r\n",
    "#",
    "{",
    "}",
    "1e9",
    "ü",
    "\u{1b}",
    "\nname = \"x\"\n",
    "\n[batch.nodes]\n",
];

/// The properties above say nothing about a problem without a plan, so most problems must have one, and some must not.
#[test]
fn the_generated_problems_are_of_all_kinds() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut plans, mut uneven, mut too_large, mut too_many) = (0, 0, 0, 0);
    for _ in 0..1000 {
        match solve(&any_problem().new_tree(&mut runner).unwrap().current()) {
            Ok((_, report)) => {
                plans += 1;
                uneven += usize::from(report.placements.iter().any(|line| line.why.contains("an even packing fails")));
            }
            Err(Conflict::NodeTooLarge { .. }) => too_large += 1,
            Err(Conflict::NotEnoughRoom { .. }) => too_many += 1,
            Err(_) => {}
        }
    }
    assert!(plans > 300 && uneven > 0 && too_large > 20 && too_many > 20, "{plans} {uneven} {too_large} {too_many}");
}
