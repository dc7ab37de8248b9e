//! Shards that are above the level after placing: their items are passed on or exchanged, or take the place of many, until
//! nothing helps.

use super::eject::{Entrant, eject};
use super::state::{AT_LEVEL, State};

/// Weeks that may be judged, all shards together.
const JUDGED_MAX: usize = 6_000_000;

/// Items of the busy shard that are tried, shards that are tried for each, and items there for an exchange.
const ITEMS: usize = 40;
const SHARDS: usize = 12;
const PARTNERS: usize = 24;

/// Items for which others are sent home.
const ENTRANTS: usize = 16;

/// A step must lower the busier of the two shards by this share of the level, if that is the smallest of all shards.
const GAIN_MIN: f32 = 0.000_2;

struct Settling<'s, 'b, 'p> {
    state: &'s mut State<'b, 'p>,
    /// Items that moved, by the shard they are on.
    there: Vec<Vec<u32>>,
    /// Shards for which nothing helped since they changed.
    stuck: Vec<bool>,
    judged: usize,
    /// The least load capacity of all shards.
    smallest: u64,
}

/// Passes on and exchanges `items`, which have moved or may move.
pub(super) fn settle(state: &mut State<'_, '_>, items: &[u32]) {
    let bins = state.board.bins.len();
    let mut there = vec![Vec::new(); bins];
    for &number in items {
        there[state.at[number as usize] as usize].push(number);
    }
    let smallest = state.board.bins.iter().map(|bin| bin.load_capacity).min().unwrap_or(1);
    let mut settling = Settling { state, there, stuck: vec![false; bins], judged: 0, smallest };
    while settling.judged < JUDGED_MAX {
        let Some(busy) = settling.busiest() else { break };
        settling.stuck[busy] = !settling.relieve(busy);
    }
}

impl Settling<'_, '_, '_> {
    fn busiest(&self) -> Option<usize> {
        let peak = |bin: usize| self.state.judged(bin).peak;
        let open = (0..self.there.len()).filter(|bin| !self.stuck[*bin] && !self.there[*bin].is_empty());
        open.filter(|bin| peak(*bin) > AT_LEVEL).max_by(|a, b| peak(*a).total_cmp(&peak(*b)).then(b.cmp(a)))
    }

    /// On a large shard what is much for the smallest is a hair; without it a source a hundred times as large as its targets
    /// would be left above the level as soon as single nodes no longer count.
    fn gain_min(&self, busy: usize) -> f32 {
        GAIN_MIN * (self.smallest as f64 / self.state.board.bins[busy].load_capacity as f64) as f32
    }

    fn relieve(&mut self, busy: usize) -> bool {
        let hour = self.state.busiest(busy);
        let items = self.helpful(busy, hour);
        let shards = self.quiet(busy, hour);
        let limit = self.state.judged(busy).peak - self.gain_min(busy);
        for &number in &items {
            if let Some(target) = self.pass_on(number, busy, &shards, limit) {
                self.go(number, busy, target);
                return true;
            }
        }
        for &number in &items {
            if let Some((target, partner)) = self.exchange(number, busy, hour, &shards, limit) {
                self.go(partner, target, busy);
                self.go(number, busy, target);
                return true;
            }
        }
        for &number in items.iter().take(ENTRANTS) {
            if let Some((target, ejected)) = self.make_room(number, busy, hour, limit) {
                ejected.iter().for_each(|other| self.go(*other, target, busy));
                self.go(number, busy, target);
                return true;
            }
        }
        false
    }

    /// A shard where others make room for the item.
    fn make_room(&mut self, number: u32, busy: usize, hour: usize, limit: f32) -> Option<(usize, Vec<u32>)> {
        let item = number as usize;
        let board = self.state.board;
        let mut shards: Vec<usize> = (0..self.there.len())
            .filter(|bin| *bin != busy && !self.state.is_closed(*bin) && self.state.may_go(item, *bin, None))
            .collect();
        let size = |bin: usize| board.bins[bin].load_capacity as f64 * f64::from(1.0 - self.state.row(bin)[hour]);
        shards.sort_by(|a, b| size(*b).total_cmp(&size(*a)).then(a.cmp(b)));
        shards.into_iter().take(SHARDS).find_map(|target| {
            let entrant = Entrant { item, busy, target, hour };
            let ejected = eject(self.state, &self.there[target], entrant, limit, &mut self.judged)?;
            Some((target, ejected))
        })
    }

    /// Items that cause the busiest hour: those that are just enough first, then the larger, then the smaller.
    fn helpful(&self, busy: usize, hour: usize) -> Vec<u32> {
        let board = self.state.board;
        let load = |number: u32| {
            let load = &board.items[number as usize].load;
            u64::from(load.steps()[hour]) * load.unit()
        };
        let row = self.state.row(busy);
        let all = self.state.exact(busy)[hour] as f64;
        let excess = (all * f64::from((row[hour] - 1.0) / row[hour])).max(0.0) as u64;
        let mut items: Vec<u32> = self.there[busy].iter().copied().filter(|number| load(*number) > 0).collect();
        items.sort_by_key(|number| {
            let load = load(*number);
            (load < excess, load.abs_diff(excess), *number)
        });
        items.truncate(ITEMS);
        items
    }

    /// Shards that are quiet in that hour.
    fn quiet(&self, busy: usize, hour: usize) -> Vec<usize> {
        let mut shards: Vec<usize> = (0..self.there.len())
            .filter(|bin| *bin != busy && !self.state.is_closed(*bin))
            .filter(|bin| self.state.board.bins[*bin].takes || self.state.board.bins[*bin].gives)
            .collect();
        shards.sort_by(|a, b| {
            let at = |bin: usize| self.state.row(bin)[hour];
            at(*a).total_cmp(&at(*b)).then(a.cmp(b))
        });
        shards.truncate(SHARDS);
        shards
    }

    fn pass_on(&mut self, number: u32, busy: usize, shards: &[usize], limit: f32) -> Option<usize> {
        let item = number as usize;
        let mut best: Option<(f32, usize)> = None;
        for &target in shards.iter().filter(|target| self.state.may_go(item, **target, None)) {
            self.judged += 1;
            let peak = self.state.with(item, target).peak;
            // The busy shard falls by itself; the other must stay below where the busy one was.
            if peak < limit && best.is_none_or(|best| peak < best.0) {
                best = Some((peak, target));
            }
        }
        let (_, target) = best?;
        (self.state.without(item, busy).peak < limit).then_some(target)
    }

    fn exchange(
        &mut self,
        number: u32,
        busy: usize,
        hour: usize,
        shards: &[usize],
        limit: f32,
    ) -> Option<(usize, u32)> {
        let board = self.state.board;
        let item = number as usize;
        let at_hour = |number: u32| {
            let load = &board.items[number as usize].load;
            u64::from(load.steps()[hour]) * load.unit()
        };
        for &target in shards {
            let all = &self.there[target];
            let lighter = all.iter().copied().step_by((all.len() / (PARTNERS * 4)).max(1));
            let lighter: Vec<u32> = lighter.filter(|other| at_hour(*other) < at_hour(number)).take(PARTNERS).collect();
            for partner in lighter {
                let other = partner as usize;
                let fits = self.state.may_go(item, target, Some(other)) && self.state.may_go(other, busy, Some(item));
                if !fits {
                    continue;
                }
                self.judged += 2;
                if self.state.exchanged(item, other, target).peak < limit
                    && self.state.exchanged(other, item, busy).peak < limit
                {
                    return Some((target, partner));
                }
            }
        }
        None
    }

    fn go(&mut self, number: u32, source: usize, target: usize) {
        self.state.put(number as usize, target);
        self.there[source].retain(|other| *other != number);
        self.there[target].push(number);
        self.stuck[source] = false;
        self.stuck[target] = false;
    }
}
