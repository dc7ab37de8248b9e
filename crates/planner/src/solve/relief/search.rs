//! The search: aim at a level, choose who leaves, place them, settle; then see whether the answer would be left alone.
//!
//! The answer is fed back as the present state until nothing moves any more, so that whoever carries a plan out and asks
//! again gets no moves.

use super::board::Board;
use super::bound::{Bound, bound};
use super::state::{AT_LEVEL, State};
use crate::problem::wishes::Goal;

/// Times that the answer is fed back.
const PASSES_MAX: usize = 8;

/// Levels that are aimed at in one pass.
const AIMS_MAX: usize = 7;

/// Between a level that was reached and one that was missed there is no other worth trying.
const NEAR_ENOUGH: f64 = 1.004;

/// A pass must lower the busiest hour by this share of it, or nothing moves: less is not worth a move.
const GAIN_MIN: f64 = 0.05;

/// The same while another shard, which the pass cannot relieve, is busier than those that it can.
const GAIN_BESIDE_MIN: f64 = 0.2;

/// Nothing moves while the busiest hour is no further above the aim than this.
const WORTH_IT: f64 = 1.01;

/// What rounding to steps adds at most, as a share.
const ROUNDED: f64 = 1.0 / 32_768.0;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Failure {
    /// Items that have to move and find no place.
    Stuck(Vec<u32>),
    /// What has to move is more than may move.
    Limits,
    /// More nodes stay than may.
    Crowded { staying: u64 },
    /// The busiest hour stays above what was asked for.
    Peak { reached: f64, bound: f64 },
}

pub(super) struct Found {
    /// The shard of each item.
    pub(super) at: Vec<u32>,
    /// The bound before anything moved.
    pub(super) bound: Bound,
}

/// A try at one level.
pub(super) struct Attempt {
    at: Vec<u32>,
    peak: f64,
    bytes: u64,
}

/// Where everything is before it moves.
pub(super) fn present(board: &Board<'_>) -> Vec<u32> {
    board.items.iter().map(|item| item.at).collect()
}

/// Goes on from where items are `at`.
pub(super) fn search(board: &Board<'_>, mut at: Vec<u32>) -> Result<Found, Failure> {
    let mut first: Option<Bound> = None;
    for _ in 0..PASSES_MAX {
        let movable: Vec<u32> = (0..at.len() as u32)
            .filter(|number| board.options.from_any_shard || at[*number as usize] as usize == board.source)
            .collect();
        let state = State::of(board, &at);
        let loads = (0..board.bins.len()).map(|bin| *state.exact(bin)).collect();
        let bound = bound(board, loads, &at, &movable);
        let next = Pass { board, at: &at, movable: &movable, bound: &bound }.run()?;
        first.get_or_insert(bound);
        match next {
            Some(next) if next != at => at = next,
            _ => break,
        }
    }
    let mut bound = first.ok_or(Failure::Limits)?;
    if board.items.iter().any(|item| item.nodes > 1) {
        // The sum of several profiles was rounded up.
        bound.level *= 1.0 - ROUNDED;
    }
    let reached = peak(&State::of(board, &at));
    if let Goal::PeakAtMost { percent } = board.goal
        && reached > f64::from(percent) / 100.0
    {
        return Err(Failure::Peak { reached, bound: bound.level });
    }
    Ok(Found { at, bound })
}

/// Marks what the goal wants away from the source.
pub(super) fn demand(board: &mut Board<'_>) -> Result<(), Failure> {
    let source = board.source;
    match board.goal {
        Goal::LowestPeak | Goal::PeakAtMost { .. } => {}
        Goal::Evacuate => {
            board.items.iter_mut().filter(|item| item.at as usize == source).for_each(|item| item.must = true);
        }
        Goal::Leave { nodes } => {
            let staying = board.staying.len() as u64;
            let mut leave = nodes.checked_sub(staying).ok_or(Failure::Crowded { staying })?;
            let mut order: Vec<u32> = (0..board.items.len() as u32).collect();
            let row = &board.bins[source].load;
            let highest = row.iter().copied().max().unwrap_or(1).max(1) as f64;
            let weights = row.map(|load| (load as f64 / highest).powi(4) as f32);
            let worth = |number: u32| {
                let item = &board.items[number as usize];
                let relief = f64::from(super::kernel::dot(&weights, item.load.steps())) * item.load.unit() as f64;
                (relief + 1e-3) / (item.bytes as f64 + 1.0)
            };
            let mut scored: Vec<(f64, u32)> = order.drain(..).map(|number| (worth(number), number)).collect();
            // The most bytes for the least relief stay.
            scored.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            for (_, number) in scored {
                let item = &mut board.items[number as usize];
                if item.at as usize != source || item.must {
                    continue;
                }
                match leave.checked_sub(u64::from(item.nodes)) {
                    Some(rest) => leave = rest,
                    None => item.must = true,
                }
            }
        }
    }
    Ok(())
}

/// The busiest hour of all shards that items leave or reach.
pub(super) fn peak(state: &State<'_, '_>) -> f64 {
    let board = state.board;
    let mut touched: Vec<bool> = board.bins.iter().map(|bin| bin.gives).collect();
    touched[board.source] = true;
    state.at.iter().for_each(|bin| touched[*bin as usize] = true);
    (0..touched.len()).filter(|bin| touched[*bin]).map(|bin| state.share(bin)).fold(0.0, f64::max)
}

/// One search from where items are now.
pub(super) struct Pass<'b, 'p> {
    pub(super) board: &'b Board<'p>,
    pub(super) at: &'b [u32],
    pub(super) movable: &'b [u32],
    pub(super) bound: &'b Bound,
}

impl Pass<'_, '_> {
    fn run(&self) -> Result<Option<Vec<u32>>, Failure> {
        let before = self.peak(&State::of(self.board, self.at));
        let tolerance = 1.0 + f64::from(self.board.options.tolerance_permille) / 1000.0;
        let aim = match self.board.goal {
            // A little lower, so that rounding never lands above.
            Goal::PeakAtMost { percent } => f64::from(percent) / 100.0 * (1.0 - 1e-4),
            _ => self.bound.level * tolerance,
        };
        let forced = self.movable.iter().any(|number| self.is_forced(*number));
        let enough = match self.board.goal {
            Goal::PeakAtMost { .. } => aim * f64::from(AT_LEVEL),
            _ => aim * WORTH_IT,
        };
        if !forced && before <= enough {
            return Ok(None);
        }
        let (mut level, mut missed) = (aim, aim);
        let mut best: Option<Attempt> = None;
        for _ in 0..AIMS_MAX {
            let attempt = self.attempt(level)?;
            if attempt.peak > level * f64::from(AT_LEVEL) {
                missed = missed.max(level);
            }
            if best.as_ref().is_none_or(|best| attempt.beats(best, aim)) {
                best = Some(attempt);
            }
            // Between what was missed and what was reached; what is reached anyway needs no bytes to get below it.
            let reached = best.as_ref().map_or(aim, |best| best.peak);
            if reached <= missed * NEAR_ENOUGH {
                break;
            }
            level = f64::midpoint(missed, reached);
        }
        let gain = match self.board.goal {
            Goal::PeakAtMost { .. } => 0.0,
            _ if self.bound.floors.iter().zip(&self.board.bins).any(|(floor, bin)| bin.takes && *floor > before) => {
                GAIN_BESIDE_MIN
            }
            _ => GAIN_MIN,
        };
        Ok(best.filter(|best| forced || best.peak < before * (1.0 - gain)).map(|best| best.at))
    }

    pub(super) fn outcome(&self, state: &State<'_, '_>) -> Attempt {
        let items = state.board.items.iter().zip(&state.at).filter(|(item, at)| item.at != **at);
        let bytes = items.fold(0_u64, |sum, (item, _)| sum.saturating_add(item.bytes));
        Attempt { at: state.at.clone(), peak: self.peak(state), bytes }
    }

    /// The busiest hour of the shards that this pass can change or has changed, as one who starts here sees it.
    fn peak(&self, state: &State<'_, '_>) -> f64 {
        let board = self.board;
        let mut touched = vec![false; board.bins.len()];
        touched[board.source] = true;
        for &number in self.movable {
            touched[self.at[number as usize] as usize] = true;
            touched[state.at[number as usize] as usize] = true;
        }
        (0..touched.len()).filter(|bin| touched[*bin]).map(|bin| state.share(bin)).fold(0.0, f64::max)
    }

    pub(super) fn is_forced(&self, number: u32) -> bool {
        let item = &self.board.items[number as usize];
        item.must && item.at == self.at[number as usize]
    }
}

impl Attempt {
    /// Lower by more than a hair wins; else fewer bytes. What is below the aim is all the same.
    fn beats(&self, other: &Self, aim: f64) -> bool {
        let (mine, theirs) = (self.peak.max(aim), other.peak.max(aim));
        if mine < theirs * 0.997 || theirs < mine * 0.997 { mine < theirs } else { self.bytes < other.bytes }
    }
}
