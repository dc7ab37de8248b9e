//! Large items that compete for few targets: each target takes one of them, the others stay on the source.
//!
//! Holds for plans that end at a level or below it. An item may only go where it alone stays below the level. Two items are
//! rivals when no target that both may go to bears both. Of items that are all rivals of each other each target takes one
//! at most, so that what leaves is a matching of items and targets; the one of the greatest load in an hour is found by
//! trying the items from the largest on, with augmenting paths (the items that can be matched form a matroid). If the source
//! then still is above the level, no plan ends there.

use super::Fluid;
use crate::load::HOURS;

/// Items that are judged as rivals, and targets each may have; whoever has more finds a place.
const RIVALS_MAX: usize = 48;
const TARGETS_MAX: usize = 8;

/// Halvings of the range in which the bound lies.
const HALVINGS: usize = 10;

/// Hours in which the source is looked at.
const HOURS_TRIED: usize = 4;

/// The busiest hour that each large item makes alone, by target; infinite where it may not go.
pub(super) struct Alone<'l> {
    pub(super) items: &'l [u32],
    pub(super) targets: Vec<usize>,
    pub(super) shares: Vec<Vec<f64>>,
}

/// An item and the targets that it may go to.
struct Rival {
    item: u32,
    targets: Vec<usize>,
}

/// A level that no plan reaches, how many items compete, and in which hour of the week; `best` is known to be a bound.
pub(super) fn rivals(fluid: &Fluid<'_, '_>, alone: &Alone<'_>, best: f64) -> Option<(f64, usize, usize)> {
    let mut found: Option<(f64, usize, usize)> = None;
    for hour in busiest(fluid, alone, best) {
        let (mut low, mut count) = (found.map_or(best, |found| found.0), 0);
        let (mut high, _) = stays(fluid, alone, hour, low);
        for _ in 0..HALVINGS {
            if high <= low * 1.0001 {
                break;
            }
            let level = f64::midpoint(low, high);
            match stays(fluid, alone, hour, level) {
                (share, rivals) if share > level => (low, count) = (level, rivals),
                _ => high = level,
            }
        }
        if count > 0 {
            found = Some((low, count, hour));
        }
    }
    found
}

/// Hours in which the source is busiest with what cannot leave it.
fn busiest(fluid: &Fluid<'_, '_>, alone: &Alone<'_>, level: f64) -> Vec<usize> {
    let mut row = fluid.fixed[fluid.board.source];
    for (number, shares) in alone.items.iter().zip(&alone.shares) {
        if shares.iter().filter(|share| **share <= level).count() <= TARGETS_MAX {
            fluid.board.items[*number as usize].load.add_to(&mut row);
        }
    }
    let mut hours: Vec<usize> = (0..HOURS).collect();
    hours.sort_by_key(|hour| (std::cmp::Reverse(row[*hour]), *hour));
    hours.truncate(HOURS_TRIED);
    hours
}

/// The least share of its capacity that the source keeps in an hour when everything ends at the level, and the rivals.
fn stays(fluid: &Fluid<'_, '_>, alone: &Alone<'_>, hour: usize, level: f64) -> (f64, usize) {
    let board = fluid.board;
    let load = |number: u32| {
        let load = &board.items[number as usize].load;
        u64::from(load.steps()[hour]) * load.unit()
    };
    let mut order: Vec<usize> = (0..alone.items.len()).filter(|at| load(alone.items[*at]) > 0).collect();
    order.sort_by_key(|at| (std::cmp::Reverse(load(alone.items[*at])), *at));
    let mut kept = fluid.fixed[board.source][hour];
    let mut rivals: Vec<Rival> = Vec::new();
    for at in order {
        let shares = &alone.shares[at];
        let fits = || (0..shares.len()).filter(|target| shares[*target] <= level);
        let rival = Rival { item: alone.items[at], targets: fits().take(TARGETS_MAX + 1).collect() };
        if rival.targets.is_empty() {
            kept += load(rival.item);
        } else if rival.targets.len() <= TARGETS_MAX
            && rivals.len() < RIVALS_MAX
            && rivals.iter().all(|other| compete(fluid, alone, (&rival, other), level))
        {
            rivals.push(rival);
        }
    }
    kept += unmatched(&rivals, alone.targets.len()).map(load).sum::<u64>();
    (kept as f64 / board.bins[board.source].load_capacity as f64, rivals.len())
}

/// No target that both may go to bears both.
fn compete(fluid: &Fluid<'_, '_>, alone: &Alone<'_>, (a, b): (&Rival, &Rival), level: f64) -> bool {
    let board = fluid.board;
    let (one, other) = (&board.items[a.item as usize].load, &board.items[b.item as usize].load);
    let of = |load: &crate::load::LoadProfile, hour: usize| u64::from(load.steps()[hour]) * load.unit();
    a.targets.iter().filter(|target| b.targets.contains(target)).all(|target| {
        let bin = alone.targets[*target];
        let most = level * board.bins[bin].load_capacity as f64;
        (0..HOURS).any(|hour| (fluid.fixed[bin][hour] + of(one, hour) + of(other, hour)) as f64 > most)
    })
}

/// The items that no matching of the greatest load has.
fn unmatched(rivals: &[Rival], targets: usize) -> impl Iterator<Item = u32> + '_ {
    let mut taken: Vec<Option<usize>> = vec![None; targets];
    let left = move |at: &usize| !augment(rivals, *at, &mut taken, &mut vec![false; targets]);
    (0..rivals.len()).filter(left).map(|at| rivals[at].item)
}

/// Finds a target for an item; those who are there already may have to go elsewhere.
fn augment(rivals: &[Rival], at: usize, taken: &mut [Option<usize>], seen: &mut [bool]) -> bool {
    for &target in &rivals[at].targets {
        if std::mem::replace(&mut seen[target], true) {
            continue;
        }
        if taken[target].is_none_or(|other| augment(rivals, other, taken, seen)) {
            taken[target] = Some(at);
            return true;
        }
    }
    false
}
