//! The properties of plans by load trip over plans and planners that do not have them.

use crate::relief::{busier, carried_out, still_to_move};
use shardlift_planner::families::Family;
use shardlift_planner::{Draft, LoadProfile, Problem, solve};

/// A problem of each family, with its plan.
fn planned() -> impl Iterator<Item = (Family, Problem, Draft)> {
    Family::ALL.into_iter().map(|family| {
        let problem = family.problem(300, 8, 11).unwrap();
        let (draft, _) = solve(&problem).unwrap();
        (family, problem, draft)
    })
}

#[test]
fn a_batch_that_heaps_all_on_one_target_is_seen() {
    for (family, problem, mut draft) in planned() {
        assert_eq!(busier(&problem, &draft), None, "{family}: the plan itself");
        let target = draft.batches[0].moves[0].target.clone();
        let all: Vec<_> = draft.batches.drain(1..).flat_map(|batch| batch.moves).collect();
        draft.batches[0].moves.extend(all);
        draft.batches[0].moves.iter_mut().for_each(|one| one.target = target.clone());
        assert!(busier(&problem, &draft).is_some(), "{family}");
    }
}

#[test]
fn a_planner_that_stops_half_way_is_seen() {
    for (family, problem, mut draft) in planned() {
        assert_eq!(still_to_move(&carried_out(&problem, &draft)), 0, "{family}: the plan itself");
        let half = draft.batches.len() / 2;
        draft.batches.truncate(half);
        assert!(still_to_move(&carried_out(&problem, &draft)) > 0, "{family}");
    }
}

#[test]
fn another_answer_is_another_answer() {
    for (family, problem, draft) in planned() {
        assert_eq!(solve(&problem).unwrap().0, draft, "{family}: the same problem");
        let mut other = problem.clone();
        let moved = &draft.batches[0].moves[0].node;
        let node = other.nodes.iter_mut().find(|node| node.node == *moved).unwrap();
        node.load = LoadProfile::default();
        assert_ne!(solve(&other).unwrap().0, draft, "{family}: the canary brings nothing any more");
    }
}
