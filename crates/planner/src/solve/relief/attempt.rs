//! One try at a level: choose who leaves, place them, settle.

use super::choose::{Budget, choose};
use super::place::{Limit, place};
use super::search::{Attempt, Failure, Pass};
use super::settle::settle;
use super::state::{AT_LEVEL, State};
use crate::load::HOURS;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Choosing and placing again when some could not be placed.
const ROUNDS: usize = 5;

/// Up to so many items, those that stay may be exchanged for those that go.
const EXCHANGED_MAX: usize = 20_000;

/// Items that are looked at for whether they fit anywhere.
const LARGE_TRIED: usize = 2_000;

impl Pass<'_, '_> {
    /// The level of each shard: one that has to keep more than the level aims at what it has to keep.
    fn levels(&self, level: f64) -> Vec<f64> {
        let floors = self.board.bins.iter().zip(&self.bound.floors);
        floors.map(|(bin, floor)| if bin.gives { level.max(*floor) } else { level }).collect()
    }

    pub(super) fn attempt(&self, level: f64) -> Result<Attempt, Failure> {
        let board = self.board;
        let levels = self.levels(level);
        let mut state = State::of(board, self.at);
        state.aim(&levels, &self.bound.floors);
        let mut budget = Budget::of(board);
        let earlier = board.items.iter().zip(self.at).filter(|(item, at)| item.at != **at);
        earlier.for_each(|(item, _)| budget.spend(item));
        let mut closed = vec![false; board.items.len()];
        let forced: Vec<u32> = self.movable.iter().copied().filter(|number| self.is_forced(*number)).collect();
        for &number in &forced {
            let item = &board.items[number as usize];
            if !budget.has(item) {
                return Err(Failure::Limits);
            }
            budget.spend(item);
            closed[number as usize] = true;
        }
        let homeless = self.homeless(&state);
        homeless.iter().for_each(|number| closed[*number as usize] = true);
        let mut moved = forced.clone();
        let mut leaving = forced;
        for round in 0..ROUNDS {
            leaving.extend(self.choose(&state, &levels, &mut closed, &leaving, &mut budget));
            // Who finds no place below the level stays, and others go; at last some are placed above it.
            let limit = if round + 1 < ROUNDS { Limit::Strict } else { Limit::Soft };
            let stuck = place(&mut state, &leaving, limit);
            moved.extend(leaving.iter().filter(|number| round > 0 || !self.is_forced(**number)));
            let helpless: Vec<u32> = stuck.iter().copied().filter(|number| self.is_forced(*number)).collect();
            if !helpless.is_empty() {
                return Err(Failure::Stuck(helpless));
            }
            stuck.iter().for_each(|number| budget.restore(&board.items[*number as usize]));
            leaving = Vec::new();
            if stuck.is_empty() {
                break;
            }
            if round + 2 == ROUNDS {
                // What was given up on may be needed after all.
                self.movable
                    .iter()
                    .filter(|number| state.at[**number as usize] == self.at[**number as usize])
                    .for_each(|number| closed[*number as usize] = self.is_forced(*number));
                homeless.iter().for_each(|number| closed[*number as usize] = true);
            }
        }
        let away = |state: &State<'_, '_>, number: &u32| state.at[*number as usize] != self.at[*number as usize];
        moved.retain(|number| away(&state, number));
        if budget.is_free() && self.movable.len() <= EXCHANGED_MAX {
            // Those at home may take the place of others.
            let at_home = self.movable.iter().copied().filter(|number| !away(&state, number));
            moved.extend(at_home.filter(|number| !homeless.contains(number)));
        }
        settle(&mut state, &moved);
        moved.retain(|number| away(&state, number));
        self.bring_home(&mut state, &moved);
        Ok(self.outcome(&state))
    }

    /// Of the largest items those that need not leave and fit nowhere below the level, even alone.
    fn homeless(&self, state: &State<'_, '_>) -> BTreeSet<u32> {
        let board = self.board;
        let mut largest = self.movable.to_vec();
        let size = |number: &u32| Reverse(board.items[*number as usize].load.highest());
        if largest.len() > LARGE_TRIED {
            largest.select_nth_unstable_by_key(LARGE_TRIED, |number| (size(number), *number));
            largest.truncate(LARGE_TRIED);
        }
        let fits = |number: &u32| {
            (0..board.bins.len()).any(|bin| {
                let (number, away) = (*number as usize, bin != self.at[*number as usize] as usize);
                away && !state.is_closed(bin)
                    && state.may_go(number, bin, None)
                    && state.with(number, bin).peak <= AT_LEVEL
            })
        };
        largest.into_iter().filter(|number| !self.is_forced(*number) && !fits(number)).collect()
    }

    /// Those who leave the shards above their level, beside `leaving`, who leave already.
    fn choose(
        &self,
        state: &State<'_, '_>,
        levels: &[f64],
        closed: &mut [bool],
        leaving: &[u32],
        budget: &mut Budget,
    ) -> Vec<u32> {
        let board = self.board;
        let mut by_bin: Vec<Vec<u32>> = vec![Vec::new(); board.bins.len()];
        for &number in self.movable.iter().filter(|number| !closed[**number as usize]) {
            by_bin[state.at[number as usize] as usize].push(number);
        }
        let mut gone = vec![[0_u64; HOURS]; board.bins.len()];
        leaving.iter().for_each(|number| {
            let item = &board.items[*number as usize];
            item.load.add_to(&mut gone[state.at[*number as usize] as usize]);
        });
        let mut chosen = Vec::new();
        for (bin, items) in by_bin.into_iter().enumerate().filter(|(_, items)| !items.is_empty()) {
            let most = levels[bin] * board.bins[bin].load_capacity as f64;
            let excess =
                std::array::from_fn(|hour| state.exact(bin)[hour].saturating_sub(gone[bin][hour]) as f64 - most);
            let here = choose(board, &items, &excess, *budget);
            here.iter().for_each(|number| budget.spend(&board.items[*number as usize]));
            chosen.extend(here);
        }
        chosen.iter().for_each(|number| closed[*number as usize] = true);
        chosen
    }

    /// The largest that could as well have stayed, stay.
    fn bring_home(&self, state: &mut State<'_, '_>, moved: &[u32]) {
        let mut order: Vec<u32> = moved.to_vec();
        order.sort_by_key(|number| (Reverse(self.board.items[*number as usize].bytes), *number));
        for number in order {
            let (number, home) = (number as usize, self.at[number as usize] as usize);
            let away = state.at[number] as usize != home;
            if away
                && !self.is_forced(number as u32)
                && state.may_go(number, home, None)
                && state.with(number, home).peak <= AT_LEVEL
            {
                state.put(number, home);
            }
        }
    }
}
