//! Who leaves a shard that is above its level: relief of all its busy hours for the fewest bytes.
//!
//! This is a covering problem: every hour above the level must lose its excess. Each hour has a price; items go by relief
//! at these prices for each byte, as many as it takes; then the price of hours that lost more than they had to falls, and
//! the choice is made anew (multiplicative weights, as for the linear relaxation). The cheapest choice is kept, and items
//! that turn out not to be needed are dropped again, the most bytes first.

use super::board::{Board, Item};
use super::kernel::{Row, dot};
use crate::load::HOURS;
use std::cmp::Reverse;
use std::collections::BTreeSet;

const ROUNDS: usize = 12;

/// Up to so many items, a second way of choosing is tried as well.
const HOURLY_MAX: usize = 20_000;

/// What may still move.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    pub(super) bytes: u64,
    pub(super) nodes: u64,
}

impl Budget {
    pub(super) fn of(board: &Board<'_>) -> Self {
        let bytes = board.options.bytes_max.map_or(u64::MAX, |max| max.0);
        Self { bytes, nodes: board.options.moves_max.unwrap_or(u64::MAX) }
    }

    /// True when neither bytes nor moves are limited.
    pub(super) fn is_free(self) -> bool {
        self.bytes == u64::MAX && self.nodes == u64::MAX
    }

    pub(super) fn has(self, item: &Item) -> bool {
        item.bytes <= self.bytes && u64::from(item.nodes) <= self.nodes
    }

    /// What is not limited is not used up.
    pub(super) fn spend(&mut self, item: &Item) {
        let left = |limit: u64, used: u64| if limit == u64::MAX { limit } else { limit.saturating_sub(used) };
        self.bytes = left(self.bytes, item.bytes);
        self.nodes = left(self.nodes, u64::from(item.nodes));
    }

    /// Takes back what was spent.
    pub(super) fn restore(&mut self, item: &Item) {
        self.bytes = self.bytes.saturating_add(item.bytes);
        self.nodes = self.nodes.saturating_add(u64::from(item.nodes));
    }

    /// What an item costs: bytes, and where moves are counted its share of them as well.
    fn cost(self, item: &Item) -> f64 {
        let bytes = item.bytes as f64 + 1.0;
        if self.nodes == u64::MAX {
            return bytes;
        }
        let all = if self.bytes == u64::MAX { 1e15 } else { self.bytes as f64 + 1.0 };
        bytes / all + f64::from(item.nodes) / (self.nodes as f64 + 1.0)
    }
}

struct Choice {
    chosen: Vec<u32>,
    lost: [f64; HOURS],
    cost: f64,
    covers: bool,
}

/// Chooses among `items`; `excess` is the load that each hour must lose.
pub(super) fn choose(board: &Board<'_>, items: &[u32], excess: &[f64; HOURS], budget: Budget) -> Vec<u32> {
    if excess.iter().all(|load| *load <= 0.0) {
        return Vec::new();
    }
    let most = excess.iter().copied().fold(0.0, f64::max);
    let mut prices = excess.map(|load| if load > 0.0 { 1.0 } else { 0.0 });
    let mut best: Option<Choice> = None;
    for _ in 0..ROUNDS {
        let order = by_relief(board, items, &prices, budget);
        let choice = prefix(board, &order, excess, budget);
        for (hour, price) in prices.iter_mut().enumerate() {
            if excess[hour] > 0.0 {
                // An hour that lost just enough keeps its price.
                let ratio = (excess[hour] / choice.lost[hour].max(most * 1e-9)).clamp(0.05, 20.0);
                *price = (*price * ratio).max(1e-6);
            }
        }
        let highest = prices.iter().copied().fold(0.0, f64::max);
        prices.iter_mut().for_each(|price| *price /= highest);
        let better = |kept: &Choice| (choice.covers, kept.cost) > (kept.covers, choice.cost);
        if best.as_ref().is_none_or(better) {
            best = Some(choice);
        }
    }
    let hourly = (items.len() <= HOURLY_MAX).then(|| by_worst_hour(board, items, excess, budget));
    let mut found: Option<Choice> = None;
    for mut choice in best.into_iter().chain(hourly) {
        if choice.covers {
            drop_idle(board, &mut choice, excess, budget);
        }
        let better = |kept: &Choice| (choice.covers, kept.cost) > (kept.covers, choice.cost);
        if found.as_ref().is_none_or(better) {
            found = Some(choice);
        }
    }
    found.map(|choice| choice.chosen).unwrap_or_default()
}

/// Another way, for few items: whoever relieves the worst hour most for its cost, one at a time.
fn by_worst_hour(board: &Board<'_>, items: &[u32], excess: &[f64; HOURS], mut budget: Budget) -> Choice {
    let mut left = *excess;
    let mut orders: Vec<Option<Vec<u32>>> = vec![None; HOURS];
    let mut taken: BTreeSet<u32> = BTreeSet::new();
    let mut choice = Choice { chosen: Vec::new(), lost: [0.0; HOURS], cost: 0.0, covers: false };
    let whole = budget;
    loop {
        let hour = (0..HOURS).fold(0, |worst, hour| if left[hour] > left[worst] { hour } else { worst });
        if left[hour] <= 0.0 {
            choice.covers = true;
            break;
        }
        let order = orders[hour].get_or_insert_with(|| {
            let mut prices = [0.0; HOURS];
            prices[hour] = 1.0;
            let mut order = by_relief(board, items, &prices, whole);
            order.reverse();
            order
        });
        let Some(number) = order.pop() else { break };
        let item = &board.items[number as usize];
        if !budget.has(item) || !taken.insert(number) {
            continue;
        }
        budget.spend(item);
        choice.cost += whole.cost(item);
        choice.chosen.push(number);
        for (left, step) in left.iter_mut().zip(item.load.steps()) {
            *left -= f64::from(*step) * item.load.unit() as f64;
        }
    }
    for (hour, lost) in choice.lost.iter_mut().enumerate() {
        *lost = excess[hour] - left[hour];
    }
    choice
}

/// All items that relieve anything, the most relief for its cost first.
fn by_relief(board: &Board<'_>, items: &[u32], prices: &[f64; HOURS], budget: Budget) -> Vec<u32> {
    let weights: Row = prices.map(|price| price as f32);
    let mut scored: Vec<(f32, u32)> = items
        .iter()
        .filter_map(|&number| {
            let item = &board.items[number as usize];
            let relief = f64::from(dot(&weights, item.load.steps())) * item.load.unit() as f64;
            (relief > 0.0).then(|| ((relief / budget.cost(item)) as f32, number))
        })
        .collect();
    scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.into_iter().map(|(_, number)| number).collect()
}

/// As many as it takes, as far as the budget goes.
fn prefix(board: &Board<'_>, order: &[u32], excess: &[f64; HOURS], mut budget: Budget) -> Choice {
    let mut left = *excess;
    let mut open = left.iter().filter(|load| **load > 0.0).count();
    let mut choice = Choice { chosen: Vec::new(), lost: [0.0; HOURS], cost: 0.0, covers: false };
    let whole = budget;
    for &number in order {
        if open == 0 {
            break;
        }
        let item = &board.items[number as usize];
        let (steps, unit) = (item.load.steps(), item.load.unit() as f64);
        // What relieves only hours that are at their level already is no use.
        if !budget.has(item) || !(0..HOURS).any(|hour| left[hour] > 0.0 && steps[hour] > 0) {
            continue;
        }
        budget.spend(item);
        choice.cost += whole.cost(item);
        choice.chosen.push(number);
        for (left, step) in left.iter_mut().zip(steps) {
            let before = *left;
            *left -= f64::from(*step) * unit;
            open -= usize::from(before > 0.0 && *left <= 0.0);
        }
    }
    for (hour, lost) in choice.lost.iter_mut().enumerate() {
        *lost = excess[hour] - left[hour];
    }
    choice.covers = open == 0;
    choice
}

/// Drops what is not needed, the most bytes first.
fn drop_idle(board: &Board<'_>, choice: &mut Choice, excess: &[f64; HOURS], budget: Budget) {
    let lost = &mut choice.lost;
    let mut kept: Vec<u32> = Vec::with_capacity(choice.chosen.len());
    let mut order = choice.chosen.clone();
    order.sort_by_key(|number| (Reverse(board.items[*number as usize].bytes), *number));
    for number in order {
        let load = &board.items[number as usize].load;
        let (steps, unit) = (load.steps(), load.unit() as f64);
        let idle =
            (0..HOURS).all(|hour| excess[hour] <= 0.0 || lost[hour] - f64::from(steps[hour]) * unit >= excess[hour]);
        if idle {
            choice.cost -= budget.cost(&board.items[number as usize]);
            for (lost, step) in lost.iter_mut().zip(steps) {
                *lost -= f64::from(*step) * unit;
            }
        } else {
            kept.push(number);
        }
    }
    choice.chosen = kept;
}
