//! What a plan is measured against: two simple planners on the same problem, and a count that knows no planner.
//!
//! Both take the nodes of the source that are neither pinned nor excluded nor held; other wishes they do not know.

use crate::draft::{Draft, Fill};
use crate::load::HOURS;
use crate::problem::{NodeLoad, Problem};
use shardlift_model::{NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};

/// Who goes where, as numbers of nodes and shards in the order of the problem.
pub type Moves = Vec<(usize, usize)>;

/// What moves come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Busiest hour of the source and of all shards that get something, before.
    pub peak_before: Fill,
    /// The same, after.
    pub peak_after: Fill,
    /// Bytes that move.
    pub bytes: u64,
    /// Nodes that move.
    pub moves: usize,
}

struct World<'p> {
    problem: &'p Problem,
    source: usize,
    rows: Vec<[u64; HOURS]>,
    room: Vec<u64>,
    nodes: Vec<usize>,
}

impl<'p> World<'p> {
    fn of(problem: &'p Problem) -> Self {
        let numbers: BTreeMap<&ShardId, usize> =
            problem.shards.iter().enumerate().map(|(number, shard)| (&shard.shard, number)).collect();
        let source = numbers.get(&problem.source).copied().unwrap_or(0);
        let mut rows = vec![[0; HOURS]; problem.shards.len()];
        let mut growth = vec![0_u64; problem.shards.len()];
        problem.shards.iter().zip(&mut rows).for_each(|(shard, row)| shard.load.add_to(row));
        for node in &problem.nodes {
            let at = numbers.get(problem.shard_of(node)).copied().unwrap_or(source);
            node.load.add_to(&mut rows[at]);
            growth[at] += u64::try_from(node.growth_bytes_per_day).unwrap_or(0);
        }
        let options = &problem.options;
        let room = problem.shards.iter().zip(growth).map(|(shard, growth)| {
            let reserve =
                shard.capacity.0 / 100 * u64::from(options.headroom_percent) + u64::from(options.headroom_percent);
            let growth = growth + u64::try_from(shard.growth_bytes_per_day).unwrap_or(0);
            shard.free.0.saturating_sub(reserve).saturating_sub(growth * u64::from(options.horizon_days))
        });
        let staying: BTreeSet<&NodeId> = options.exclude.iter().chain(&options.holds).collect();
        let goes = |node: &NodeLoad| {
            !node.pinned && problem.shard_of(node) == &problem.source && !staying.contains(&node.node)
        };
        let nodes = (0..problem.nodes.len()).filter(|number| goes(&problem.nodes[*number])).collect();
        Self { problem, source, room: room.collect(), rows, nodes }
    }

    fn share(&self, shard: usize) -> f64 {
        let capacity = self.problem.shards[shard].load_capacity.unwrap_or(1).max(1);
        self.rows[shard].iter().copied().max().unwrap_or(0) as f64 / capacity as f64
    }

    fn share_with(&self, shard: usize, node: usize) -> f64 {
        let capacity = self.problem.shards[shard].load_capacity.unwrap_or(1).max(1);
        let load = &self.problem.nodes[node].load;
        let sums = self.rows[shard].iter().zip(load.steps()).map(|(sum, step)| sum + u64::from(*step) * load.unit());
        sums.max().unwrap_or(0) as f64 / capacity as f64
    }

    fn bytes_then(&self, node: usize) -> u64 {
        self.problem.nodes[node].bytes_in(self.problem.options.horizon_days).0
    }

    fn go(&mut self, node: usize, target: usize) {
        let load = &self.problem.nodes[node].load;
        for (sum, step) in self.rows[self.source].iter_mut().zip(load.steps()) {
            *sum -= u64::from(*step) * load.unit();
        }
        load.add_to(&mut self.rows[target]);
        self.room[target] -= self.bytes_then(node);
    }
}

/// First-fit-decreasing: the nodes with the busiest hours leave until the source is below a level, each to the first shard
/// that stays below it. The level is the lowest for which that works, found by halving.
#[must_use]
pub fn first_fit_decreasing(problem: &Problem) -> Moves {
    let world = World::of(problem);
    let mut order = world.nodes.clone();
    order.sort_by_key(|number| (std::cmp::Reverse(problem.nodes[*number].load.highest()), *number));
    let (mut low, mut high) = (0.0, world.share(world.source));
    let mut best = Vec::new();
    for _ in 0..10 {
        let level = f64::midpoint(low, high);
        match fit_first(problem, &order, level) {
            Some(moves) => (best, high) = (moves, level),
            None => low = level,
        }
    }
    best
}

fn fit_first(problem: &Problem, order: &[usize], level: f64) -> Option<Moves> {
    let mut world = World::of(problem);
    let mut moves = Vec::new();
    for &node in order {
        if world.share(world.source) <= level {
            return Some(moves);
        }
        let fits = |shard: &usize| {
            *shard != world.source
                && world.room[*shard] >= world.bytes_then(node)
                && world.share_with(*shard, node) <= level
        };
        let Some(target) = (0..problem.shards.len()).find(fits) else { continue };
        world.go(node, target);
        moves.push((node, target));
    }
    (world.share(world.source) <= level).then_some(moves)
}

/// Nodes and shards that the greedy planner tries before it gives up.
const TRIED: usize = 40;

/// A greedy rebalancer: of the busiest hour of the source, the node that relieves it most for its bytes goes to the shard
/// that is quietest in that hour, as long as the target stays below where the source was. `down_to` ends it.
#[must_use]
pub fn greedy(problem: &Problem, down_to: f64) -> Moves {
    let mut world = World::of(problem);
    let mut orders: Vec<Option<Vec<usize>>> = vec![None; HOURS];
    let mut gone = vec![false; problem.nodes.len()];
    let mut moves = Vec::new();
    loop {
        let peak = world.share(world.source);
        let row = &world.rows[world.source];
        let hour = (0..HOURS).fold(0, |best, hour| if row[hour] > row[best] { hour } else { best });
        if peak <= down_to {
            return moves;
        }
        let order = orders[hour].get_or_insert_with(|| by_relief(problem, &world.nodes, hour));
        // From the end: the most relief for its bytes.
        while order.last().is_some_and(|node| gone[*node]) {
            order.pop();
        }
        let open = order.iter().rev().copied().filter(|node| !gone[*node]).take(TRIED);
        let Some((node, target)) = open.into_iter().find_map(|node| Some((node, quiet(&world, node, hour, peak)?)))
        else {
            return moves;
        };
        gone[node] = true;
        world.go(node, target);
        moves.push((node, target));
    }
}

fn by_relief(problem: &Problem, nodes: &[usize], hour: usize) -> Vec<usize> {
    let relief = |node: &usize| {
        let NodeLoad { load, bytes, .. } = &problem.nodes[*node];
        (u64::from(load.steps()[hour]) * load.unit()) as f64 / (bytes.0 as f64 + 1.0)
    };
    let mut order: Vec<usize> = nodes.iter().copied().filter(|node| relief(node) > 0.0).collect();
    order.sort_by(|a, b| relief(a).total_cmp(&relief(b)).then(b.cmp(a)));
    order
}

fn quiet(world: &World<'_>, node: usize, hour: usize, peak: f64) -> Option<usize> {
    let at = |shard: usize| {
        world.rows[shard][hour] as f64 / world.problem.shards[shard].load_capacity.unwrap_or(1).max(1) as f64
    };
    let mut shards: Vec<usize> = (0..world.rows.len()).filter(|shard| *shard != world.source).collect();
    shards.sort_by(|a, b| at(*a).total_cmp(&at(*b)).then(a.cmp(b)));
    let fits = |shard: &usize| world.room[*shard] >= world.bytes_then(node) && world.share_with(*shard, node) < peak;
    shards.into_iter().take(TRIED).find(fits)
}

/// The moves of a draft.
#[must_use]
pub fn moves_of(problem: &Problem, draft: &Draft) -> Moves {
    let nodes: BTreeMap<&NodeId, usize> =
        problem.nodes.iter().enumerate().map(|(number, node)| (&node.node, number)).collect();
    let shards: BTreeMap<&ShardId, usize> =
        problem.shards.iter().enumerate().map(|(number, shard)| (&shard.shard, number)).collect();
    let moves = draft.batches.iter().flat_map(|batch| &batch.moves);
    moves.filter_map(|one| Some((*nodes.get(&one.node)?, *shards.get(&one.target)?))).collect()
}

/// Counts what moves come to, from the problem alone.
#[must_use]
pub fn outcome(problem: &Problem, moves: &Moves) -> Outcome {
    let mut world = World::of(problem);
    let mut touched: BTreeSet<usize> = moves.iter().map(|(_, target)| *target).collect();
    touched.insert(world.source);
    let peak = |world: &World<'_>| {
        let shares = touched.iter().map(|shard| {
            let capacity = problem.shards[*shard].load_capacity.unwrap_or(1);
            Fill::of_load(world.rows[*shard].iter().copied().max().unwrap_or(0), capacity)
        });
        shares.max().unwrap_or(Fill(0))
    };
    let peak_before = peak(&world);
    for (node, target) in moves {
        world.room[*target] = u64::MAX;
        world.go(*node, *target);
    }
    let bytes = moves.iter().fold(0_u64, |sum, (node, _)| sum.saturating_add(problem.nodes[*node].bytes.0));
    Outcome { peak_before, peak_after: peak(&world), bytes, moves: moves.len() }
}
