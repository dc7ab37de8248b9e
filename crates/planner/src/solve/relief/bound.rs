//! Below which share of its load capacity no plan brings the busiest shard.
//!
//! Each bound is a relaxation that forgets something, and so never too high:
//! - all load that may move is a liquid, hour by hour (it forgets that nodes are whole, and room). A target whose other
//!   load is above the level reached is left alone: its own busy hour counts only for plans that use it;
//! - one item alone on the shard where it does least (it forgets all others);
//! - items too large for every target stay on the source (it forgets all others);
//! - of large items that no two bear beside each other each target takes one (it forgets the small ones);
//! - more large items than shards: some must share one (it forgets all else);
//! - no more may leave the source than the limits and the room of the targets allow (it forgets where it goes).

mod large;
mod rivals;

use super::board::Board;
use crate::load::{HOURS, HourOfWeek};
use crate::problem::wishes::Goal;

/// What holds a bound up.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Binding {
    /// All load that may move over all capacity, in an hour.
    Average(HourOfWeek),
    /// Load that may not move, on a shard, in an hour.
    Fixed(usize, HourOfWeek),
    /// Other load of a target that is needed, in an hour.
    Target(usize, HourOfWeek),
    /// An item that is alone.
    Item(u32),
    /// Items that no target could take stay on the source: how many, in an hour.
    TooLarge(usize, HourOfWeek),
    /// Items of which each target takes one at most: how many, in an hour of the source.
    Rivals(usize, HourOfWeek),
    /// Items that must share a shard: how many on how many shards, in an hour.
    Crowd(usize, usize, HourOfWeek),
    /// What may leave the source, in an hour.
    Limits(HourOfWeek),
}

pub(super) struct Bound {
    /// Share of the load capacity.
    pub(super) level: f64,
    pub(super) binding: Binding,
    /// For each shard the busiest hour of what may not move.
    pub(super) floors: Vec<f64>,
}

/// Hours and items that the costly bounds look at.
const HOURS_TRIED: usize = 6;
const ITEMS_TRIED: usize = 64;

struct Fluid<'b, 'p> {
    board: &'b Board<'p>,
    movable: &'b [u32],
    /// Load that may not move, by shard and hour.
    fixed: Vec<[u64; HOURS]>,
    /// Load that may move.
    liquid: [u64; HOURS],
    hosts: Vec<usize>,
}

/// The bound for items that are where `loads` has them; `movable` may go elsewhere.
pub(super) fn bound(board: &Board<'_>, loads: Vec<[u64; HOURS]>, at: &[u32], movable: &[u32]) -> Bound {
    let fluid = Fluid::of(board, loads, at, movable);
    let floors: Vec<f64> = (0..board.bins.len()).map(|bin| fluid.fixed_share(bin).0).collect();
    let (mut best, hours) = fluid.lowest(&floors);
    let raise = |best: &mut (f64, Binding), level: f64, binding: Binding| {
        if level > best.0 {
            *best = (level, binding);
        }
    };
    if !board.options.from_any_shard && board.goal != Goal::Evacuate {
        let (share, hour) = fluid.fixed_share(board.source);
        raise(&mut best, share, Binding::Fixed(board.source, hour));
    }
    let mut largest = movable.to_vec();
    largest.sort_by_key(|number| (std::cmp::Reverse(board.items[*number as usize].load.highest()), *number));
    for &number in largest.iter().take(ITEMS_TRIED) {
        raise(&mut best, fluid.alone(number), Binding::Item(number));
    }
    if !board.options.from_any_shard && board.goal != Goal::Evacuate {
        let alone = fluid.alone_away(&largest);
        let (level, count, hour) = fluid.too_large(&alone);
        raise(&mut best, level, Binding::TooLarge(count, hour));
        if let Some((level, count, hour)) = rivals::rivals(&fluid, &alone, best.0) {
            raise(&mut best, level, Binding::Rivals(count, HourOfWeek::of(hour)));
        }
    }
    for &hour in hours.iter().take(HOURS_TRIED) {
        for (level, items) in fluid.crowd(hour) {
            raise(&mut best, level, Binding::Crowd(items, fluid.hosts.len(), HourOfWeek::of(hour)));
        }
    }
    if let Some((level, hour)) = fluid.limits() {
        raise(&mut best, level, Binding::Limits(HourOfWeek::of(hour)));
    }
    Bound { level: best.0, binding: best.1, floors }
}

impl<'b, 'p> Fluid<'b, 'p> {
    fn of(board: &'b Board<'p>, mut fixed: Vec<[u64; HOURS]>, at: &[u32], movable: &'b [u32]) -> Self {
        let mut liquid = [0; HOURS];
        let mut gives = vec![false; board.bins.len()];
        for &number in movable {
            let item = &board.items[number as usize];
            let here = at[number as usize] as usize;
            gives[here] = true;
            item.load.add_to(&mut liquid);
            for (sum, step) in fixed[here].iter_mut().zip(item.load.steps()) {
                *sum = sum.saturating_sub(u64::from(*step) * item.load.unit());
            }
        }
        let hosts = board.bins.iter().enumerate().filter(|(bin, shard)| {
            let stays = gives[*bin] && !(board.goal == Goal::Evacuate && *bin == board.source);
            shard.takes || stays
        });
        Self { board, movable, hosts: hosts.map(|(bin, _)| bin).collect(), fixed, liquid }
    }

    fn fixed_share(&self, bin: usize) -> (f64, HourOfWeek) {
        let row = &self.fixed[bin];
        let hour = (0..HOURS).fold(0, |best, hour| if row[hour] > row[best] { hour } else { best });
        (row[hour] as f64 / self.board.bins[bin].load_capacity as f64, HourOfWeek::of(hour))
    }

    /// The lowest level over all choices of targets, what holds it up, and the hours from the busiest on.
    ///
    /// Who uses targets with other load up to `ground` ends at `ground` or above, and at the liquid's level over these
    /// targets or above. The first rises with `ground` and the second falls, so the best is where they cross.
    fn lowest(&self, floors: &[f64]) -> ((f64, Binding), Vec<usize>) {
        let board = self.board;
        let stays = |bin: usize| board.bins[bin].gives && !(board.goal == Goal::Evacuate && bin == board.source);
        let mut targets: Vec<usize> = self.hosts.iter().copied().filter(|bin| !stays(*bin)).collect();
        targets.sort_by(|a, b| floors[*a].total_cmp(&floors[*b]).then(a.cmp(b)));
        let givers: Vec<usize> = self.hosts.iter().copied().filter(|bin| stays(*bin)).collect();
        let over = |count: usize| {
            let hosts: Vec<usize> = givers.iter().chain(&targets[..count]).copied().collect();
            let levels: Vec<f64> = (0..HOURS).map(|hour| self.level(hour, &hosts)).collect();
            let mut hours: Vec<usize> = (0..HOURS).collect();
            hours.sort_by(|a, b| levels[*b].total_cmp(&levels[*a]).then(a.cmp(b)));
            (levels[hours[0]], hours)
        };
        let ground = |count: usize| count.checked_sub(1).map_or(0.0, |last| floors[targets[last]]);
        let (mut low, mut high) = (0, targets.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if ground(middle) >= over(middle).0 { high = middle } else { low = middle + 1 }
        }
        let mut best: Option<((f64, Binding), Vec<usize>)> = None;
        for count in [low.saturating_sub(1), low].into_iter().filter(|count| *count <= targets.len()) {
            let (level, hours) = over(count);
            let here = match count.checked_sub(1).map(|last| targets[last]) {
                Some(last) if floors[last] > level => (floors[last], Binding::Target(last, self.fixed_share(last).1)),
                _ => (level, Binding::Average(HourOfWeek::of(hours[0]))),
            };
            if best.as_ref().is_none_or(|best| here.0 < best.0.0) {
                best = Some((here, hours));
            }
        }
        best.unwrap_or(((0.0, Binding::Average(HourOfWeek::of(0))), (0..HOURS).collect()))
    }

    /// The level to which the liquid rises in one hour: from the lowest fixed load upwards, shard by shard.
    fn level(&self, hour: usize, hosts: &[usize]) -> f64 {
        let liquid = self.liquid[hour] as f64;
        if liquid <= 0.0 {
            return 0.0;
        }
        let mut grounds: Vec<(f64, f64)> = hosts
            .iter()
            .map(|&bin| {
                let capacity = self.board.bins[bin].load_capacity as f64;
                (self.fixed[bin][hour] as f64 / capacity, capacity)
            })
            .collect();
        grounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut capacity, mut filled) = (0.0, 0.0);
        for (at, (ground, width)) in grounds.iter().enumerate() {
            capacity += width;
            filled += ground * width;
            let level = (liquid + filled) / capacity;
            if grounds.get(at + 1).is_none_or(|next| level <= next.0) {
                return level;
            }
        }
        f64::INFINITY
    }

    /// Of `k * m + 1` items on `m` shards, `k + 1` share one: at least the smallest of them.
    fn crowd(&self, hour: usize) -> Vec<(f64, usize)> {
        let hosts = self.hosts.len();
        let mut loads: Vec<u64> = self
            .movable
            .iter()
            .map(|number| &self.board.items[*number as usize].load)
            .map(|load| u64::from(load.steps()[hour]) * load.unit())
            .collect();
        let most = (hosts * 3 + 1).min(loads.len());
        if hosts == 0 || loads.len() <= hosts {
            return Vec::new();
        }
        if most < loads.len() {
            loads.select_nth_unstable_by(most, |a, b| b.cmp(a));
        }
        loads.truncate(most);
        loads.sort_unstable_by(|a, b| b.cmp(a));
        let capacity = self.hosts.iter().map(|bin| self.board.bins[*bin].load_capacity).max().unwrap_or(1) as f64;
        let crowded = (1..=3_usize).filter(|each| each * hosts < loads.len());
        let level = |each: usize| loads[each * hosts - each..=each * hosts].iter().sum::<u64>() as f64 / capacity;
        crowded.map(|each| (level(each), each * hosts + 1)).collect()
    }

    /// How far the source falls at best when bytes and moves are limited.
    fn limits(&self) -> Option<(f64, usize)> {
        let board = self.board;
        if board.options.from_any_shard {
            return None;
        }
        let room = board.bins.iter().filter(|bin| bin.takes).fold(0_u64, |sum, bin| sum.saturating_add(bin.room));
        let bytes = board.options.bytes_max.map_or(u64::MAX, |max| max.0);
        let moves = board.options.moves_max.unwrap_or(u64::MAX);
        let items = || self.movable.iter().map(|number| &board.items[*number as usize]);
        let limited = [
            (items().fold(0_u64, |sum, item| sum.saturating_add(item.bytes)) > bytes).then_some(0),
            (items().fold(0_u64, |sum, item| sum.saturating_add(item.bytes_then)) > room).then_some(1),
            (items().fold(0_u64, |sum, item| sum + u64::from(item.nodes)) > moves).then_some(2),
        ];
        let loads: Vec<u64> = (0..HOURS).map(|hour| self.fixed[board.source][hour] + self.liquid[hour]).collect();
        let mut hours: Vec<usize> = (0..HOURS).collect();
        hours.sort_by_key(|hour| (std::cmp::Reverse(loads[*hour]), *hour));
        let capacity = board.bins[board.source].load_capacity as f64;
        let mut best: Option<(f64, usize)> = None;
        for limit in limited.into_iter().flatten() {
            let most = [bytes, room, moves][limit] as f64;
            for &hour in hours.iter().take(HOURS_TRIED) {
                let level = (loads[hour] as f64 - self.removable(hour, limit, most)) / capacity;
                if best.is_none_or(|best| level > best.0) {
                    best = Some((level, hour));
                }
            }
        }
        best
    }

    /// The most load of one hour that can leave for `most` of a cost: a knapsack whose last item may be cut.
    fn removable(&self, hour: usize, limit: usize, most: f64) -> f64 {
        let mut items: Vec<(f64, f64)> = self
            .movable
            .iter()
            .map(|number| &self.board.items[*number as usize])
            .map(|item| {
                let load = u64::from(item.load.steps()[hour]) * item.load.unit();
                let cost = [item.bytes, item.bytes_then, u64::from(item.nodes)][limit];
                (load as f64, cost as f64)
            })
            .collect();
        // a/b > c/d without dividing by a cost of zero.
        items.sort_unstable_by(|a, b| (b.0 * a.1).total_cmp(&(a.0 * b.1)));
        let (mut load, mut left) = (0.0, most);
        for (relief, cost) in items {
            if cost <= left {
                load += relief;
                left -= cost;
            } else {
                load += relief * left / cost;
                break;
            }
        }
        load
    }
}
