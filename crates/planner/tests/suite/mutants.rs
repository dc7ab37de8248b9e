//! The checker sees what it is there for: every way to spoil a good plan is found, wherever it is done.

use crate::fixture::{any_problem, findings, world_of};
use proptest::prelude::*;
use proptest::sample::Index;
use shardlift_model::ByteCount;
use shardlift_planner::{Draft, Move, WorldView, render, solve};

/// A good plan that can be spoilt.
struct Good {
    draft: Draft,
    world: WorldView,
    revision: u64,
    based_on: u64,
    /// Batch and move where the plan is spoilt.
    at: (usize, usize),
}

impl Good {
    fn spoilt(&mut self) -> &mut Move {
        &mut self.draft.batches[self.at.0].moves[self.at.1]
    }
}

/// What is done to the plan or to its world, and what the finding must say.
type Mutant = (fn(&mut Good), &'static str);

const MUTANTS: [Mutant; 16] = [
    (|good| good.spoilt().node = "no/body".parse().unwrap(), "is not known"),
    (|good| good.spoilt().target = "nowhere".parse().unwrap(), "is not a shard of this cluster"),
    (|good| good.spoilt().target = "source".parse().unwrap(), "its source"),
    (
        |good| {
            let twice = good.spoilt().clone();
            let mut batch = good.draft.batches[0].clone();
            (batch.name, batch.moves) = ("again".parse().unwrap(), vec![twice]);
            good.draft.batches.push(batch);
        },
        "is listed twice: here and at line",
    ),
    (
        |good| {
            let twice = good.spoilt().clone();
            good.draft.batches[good.at.0].moves.push(twice);
        },
        "is listed twice in this batch: here and at line",
    ),
    (
        |good| {
            let node = good.spoilt().node.clone();
            good.world.nodes.get_mut(&node).unwrap().shard = "elsewhere".parse().unwrap();
        },
        "not on the source",
    ),
    (
        |good| {
            let node = good.spoilt().node.clone();
            good.world.nodes.get_mut(&node).unwrap().busy = Some("other".parse().unwrap());
        },
        "already moving in batch",
    ),
    (
        |good| {
            let (node, target) = (good.spoilt().node.clone(), good.spoilt().target.clone());
            let free = good.world.shards[&target].free;
            good.world.nodes.get_mut(&node).unwrap().bytes = ByteCount(free.0 + 1);
        },
        "is full",
    ),
    (
        |good| {
            let target = good.spoilt().target.clone();
            good.world.shards.get_mut(&target).unwrap().reachable = false;
        },
        "is not reachable",
    ),
    (
        |good| {
            let mut batch = good.draft.batches[good.at.0].clone();
            batch.moves.clear();
            good.draft.batches.push(batch);
        },
        "exists twice",
    ),
    (|good| good.draft.batches[good.at.0].moves.clear(), "has no node"),
    (
        |good| {
            let name = good.draft.batches[good.at.0].name.clone();
            good.world.batches.insert(name, [("no/body".parse().unwrap(), "shard-0".parse().unwrap())].into());
        },
        "of an earlier plan has other moves",
    ),
    (|good| good.world.revision = 7, "stale plan"),
    (|good| good.based_on = good.revision, "cyclic revision"),
    (|good| good.draft.source = "nowhere".parse().unwrap(), "is not a shard of this cluster"),
    (
        |good| {
            let source = good.draft.source.clone();
            good.world.shards.get_mut(&source).unwrap().reachable = false;
        },
        "is not reachable",
    ),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_mutant_of_a_good_plan_is_found(problem in any_problem(), batch in any::<Index>(), node in any::<Index>()) {
        let Ok((draft, _)) = solve(&problem) else { return Ok(()) };
        for (number, (spoil, expected)) in MUTANTS.iter().enumerate() {
            let batch = batch.index(draft.batches.len());
            let at = (batch, node.index(draft.batches[batch].moves.len()));
            let world = world_of(&problem);
            let mut good = Good { draft: draft.clone(), world, revision: 1, based_on: 0, at };
            prop_assert_eq!(findings(&render(&good.draft, 1, 0), &good.world), Vec::new());
            spoil(&mut good);
            let found = findings(&render(&good.draft, good.revision, good.based_on), &good.world);
            prop_assert!(found.iter().any(|one| one.message.contains(expected)), "mutant {number}: {found:#?}");
        }
    }

    /// One byte less than needed is too little, exactly what is needed is enough.
    #[test]
    fn the_checker_counts_room_to_the_byte(problem in any_problem(), node in any::<Index>()) {
        let Ok((draft, _)) = solve(&problem) else { return Ok(()) };
        let moves: Vec<&Move> = draft.batches.iter().flat_map(|batch| &batch.moves).collect();
        let target = &moves[node.index(moves.len())].target;
        let brought: u64 = moves.iter().filter(|one| one.target == *target).map(|one| one.bytes.0).sum();
        let mut world = world_of(&problem);
        let shard = world.shards.get_mut(target).unwrap();
        let reserve = (shard.capacity.0 * u64::from(problem.options.headroom_percent)).div_ceil(100);
        shard.free = ByteCount(brought + reserve);
        let text = render(&draft, 1, 0);
        prop_assert_eq!(findings(&text, &world), Vec::new());
        if brought > 0 {
            world.shards.get_mut(target).unwrap().free = ByteCount(brought + reserve - 1);
            let found = findings(&text, &world);
            prop_assert_eq!(found.len(), 1);
            prop_assert!(found[0].message.ends_with("; 1 B too much"), "{}", found[0]);
        }
    }
}
