//! Where the items go that leave: the largest first, each to the shard that it strains least.
//!
//! The strain of a shard is the sum over its hours of the eighth power of their share of the level: it avoids hours that are
//! busy already and joins weeks that complement each other, long before an hour is at the level.

use super::board::NONE;
use super::kernel::Judged;
use super::state::{AT_LEVEL, State};
use std::cmp::Reverse;

/// Weeks that one placement pass may judge, all items together.
const JUDGED_MAX: usize = 12_000_000;

/// Shards that each item may choose from at least.
const CANDIDATES_MIN: usize = 24;

/// The policy: the smallest wins.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Score {
    /// How far above the level; 0 when it is not.
    over: f32,
    strain: f32,
}

/// Whether items that need not leave may put a shard above the level.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Strict,
    Soft,
}

/// Places items, in the state, away from where they are. Gives back those for which no shard has room or is allowed.
pub(super) fn place(state: &mut State<'_, '_>, items: &[u32], limit: Limit) -> Vec<u32> {
    let board = state.board;
    let mut order = items.to_vec();
    let reference = board.bins.iter().map(|bin| bin.load_capacity).max().unwrap_or(1) as f64;
    let room = board.bins.iter().map(|bin| bin.room).max().unwrap_or(1).max(1) as f64;
    let size = |number: u32| {
        let item = &board.items[number as usize];
        let (load, bytes) = (item.load.highest() as f64 / reference, item.bytes_then as f64 / room);
        if load > bytes { load } else { bytes }
    };
    order.sort_by(|a, b| size(*b).total_cmp(&size(*a)).then(a.cmp(b)));
    // Those with the fewest places to go choose first.
    order.sort_by_key(|number| Reverse(board.items[*number as usize].allowed != NONE));
    let targets = (0..board.bins.len()).filter(|bin| board.bins[*bin].takes);
    let (closed, targets): (Vec<usize>, Vec<usize>) = targets.partition(|bin| state.is_closed(*bin));
    let candidates = (JUDGED_MAX / order.len().max(1)).max(CANDIDATES_MIN);
    let mut ranked = targets.clone();
    let mut stuck = Vec::new();
    for (count, &number) in order.iter().enumerate() {
        if candidates < targets.len() && count % (targets.len() / 4).max(1) == 0 {
            rank(state, &mut ranked);
        }
        let number = number as usize;
        let few = best(state, number, ranked.iter().copied().take(candidates));
        let all = || best(state, number, ranked.iter().copied().skip(candidates));
        let found = match few {
            Some(found) if found.0.over <= 0.0 => Some(found),
            few => better(few, all()),
        };
        let yields = limit == Limit::Strict && !board.items[number].must;
        let last_resort = || best(state, number, closed.iter().copied());
        let found = if yields { found.filter(|found| found.0.over <= 0.0) } else { found.or_else(last_resort) };
        match found {
            Some((_, target)) => state.put(number, target),
            None => stuck.push(u32::try_from(number).unwrap_or(NONE)),
        }
    }
    stuck
}

/// The least strained shards first.
fn rank(state: &State<'_, '_>, ranked: &mut [usize]) {
    let strain = |bin: usize| state.judged(bin).strain + state.fullness(bin, 0);
    ranked.sort_by(|a, b| strain(*a).total_cmp(&strain(*b)).then(a.cmp(b)));
}

fn better(a: Option<(Score, usize)>, b: Option<(Score, usize)>) -> Option<(Score, usize)> {
    match (a, b) {
        (Some(a), Some(b)) if (b.0, b.1) < (a.0, a.1) => Some(b),
        (None, b) => b,
        (a, _) => a,
    }
}

fn best(state: &State<'_, '_>, number: usize, targets: impl Iterator<Item = usize>) -> Option<(Score, usize)> {
    let mut found: Option<(Score, usize)> = None;
    let here = state.at[number] as usize;
    for target in targets.filter(|target| *target != here && state.may_go(number, *target, None)) {
        let found_here = Some((score(state, number, target), target));
        found = better(found, found_here);
    }
    found
}

fn score(state: &State<'_, '_>, number: usize, target: usize) -> Score {
    let (before, after) = (state.judged(target), state.with(number, target));
    let bytes = state.board.items[number].bytes_then;
    let fuller = state.fullness(target, bytes) - state.fullness(target, 0);
    Score { over: over(after), strain: after.strain - before.strain + fuller }
}

/// How far above the level.
pub(super) fn over(week: Judged) -> f32 {
    if week.peak > AT_LEVEL { week.peak - 1.0 } else { 0.0 }
}
