//! Who goes when: a canary, then batches that grow, the most relief for its bytes first; no batch leaves the busiest hour
//! busier than it was.
//!
//! Moves that come after the lowest busiest hour was reached would only cost bytes: where the goal does not ask for them they
//! are dropped.

use super::board::Board;
use super::kernel::dot;
use crate::load::HOURS;
use crate::problem::wishes::Goal;
use crate::solve::batching::Activity;

/// What rounding may make of two equal shares.
const SAME: f64 = 1e-9;

/// The moves in order, and where batches end in it.
pub(super) struct Sequence {
    pub(super) items: Vec<u32>,
    /// The end of each batch; the first is the canary's.
    pub(super) ends: Vec<usize>,
    /// Moves at the end were idle and were dropped.
    pub(super) shortened: bool,
}

pub(super) fn sequence(board: &Board<'_>, at: &mut [u32]) -> Sequence {
    let mut moving: Vec<u32> =
        (0..at.len() as u32).filter(|number| at[*number as usize] != board.items[*number as usize].at).collect();
    let canary = put_canary_first(board, &mut moving);
    by_relief(board, &mut moving[canary..]);
    let mut peaks = peaks(board, at, &moving);
    let kept = useful(board, &moving, &peaks);
    if let Some(kept) = kept {
        for number in moving.drain(kept..) {
            at[number as usize] = board.items[number as usize].at;
        }
        peaks = self::peaks(board, at, &moving);
    }
    let ends = ends(board, &moving, canary.min(moving.len()), &peaks);
    Sequence { items: moving, ends, shortened: kept.is_some() }
}

/// How many items the canary has.
fn put_canary_first(board: &Board<'_>, moving: &mut [u32]) -> usize {
    let newest = board.members.iter().filter(|node| node.snapshots > 0).map(|node| node.last_snapshot).max();
    let newest = newest.unwrap_or_default();
    moving.sort_by_cached_key(|number| {
        let item = &board.items[*number as usize];
        // One that stays together with others is as active as its most active node.
        let ranks = item.members(board).iter().map(|node| (Activity::of(node, newest), &node.node));
        let (activity, node) = ranks.min().unzip();
        (activity, item.bytes, node)
    });
    let mut nodes = 0;
    let reached = moving.iter().position(|number| {
        nodes += board.items[*number as usize].nodes as usize;
        nodes >= board.options.canary_nodes
    });
    reached.map_or(moving.len(), |last| last + 1)
}

fn by_relief(board: &Board<'_>, moving: &mut [u32]) {
    let weights: Vec<[f32; HOURS]> = board
        .bins
        .iter()
        .map(|bin| {
            let highest = bin.load.iter().copied().max().unwrap_or(0).max(1) as f64;
            bin.load.map(|load| (load as f64 / highest).powi(8) as f32)
        })
        .collect();
    moving.sort_by_cached_key(|number| {
        let item = &board.items[*number as usize];
        let relief = f64::from(dot(&weights[item.at as usize], item.load.steps())) * item.load.unit() as f64;
        let worth = relief / (item.bytes as f64 + 1.0);
        // Shares of whole numbers that are not negative sort like their bits.
        (std::cmp::Reverse(worth.to_bits()), item.bytes, *number)
    });
}

/// The busiest hour of the shards that the plan changes, before the first move and after each.
fn peaks(board: &Board<'_>, at: &[u32], moving: &[u32]) -> Vec<f64> {
    let mut rows: Vec<[u64; HOURS]> = board.bins.iter().map(|bin| bin.load).collect();
    let share = |row: &[u64; HOURS], bin: usize| {
        row.iter().copied().max().unwrap_or(0) as f64 / board.bins[bin].load_capacity as f64
    };
    let mut shares = vec![0.0; rows.len()];
    for &number in moving {
        for bin in [board.items[number as usize].at as usize, at[number as usize] as usize] {
            shares[bin] = share(&rows[bin], bin);
        }
    }
    let worst = |shares: &[f64]| shares.iter().copied().fold(0.0, f64::max);
    let mut peaks = vec![worst(&shares)];
    for &number in moving {
        let item = &board.items[number as usize];
        let (source, target) = (item.at as usize, at[number as usize] as usize);
        for (sum, step) in rows[source].iter_mut().zip(item.load.steps()) {
            *sum = sum.saturating_sub(u64::from(*step) * item.load.unit());
        }
        item.load.add_to(&mut rows[target]);
        shares[source] = share(&rows[source], source);
        shares[target] = share(&rows[target], target);
        peaks.push(worst(&shares));
    }
    peaks
}

/// How many moves are worth their bytes, when some are not.
fn useful(board: &Board<'_>, moving: &[u32], peaks: &[f64]) -> Option<usize> {
    if !matches!(board.goal, Goal::LowestPeak | Goal::PeakAtMost { .. }) || peaks.first() == Some(&0.0) {
        return None;
    }
    // Where one that has to move heats its target, the worst hour says nothing of the others.
    if moving.iter().any(|number| board.items[*number as usize].must) {
        return None;
    }
    let lowest = peaks.iter().copied().fold(f64::INFINITY, f64::min);
    let first = peaks.iter().position(|peak| *peak <= lowest * (1.0 + SAME))?;
    Some(first).filter(|kept| *kept < moving.len())
}

/// Batches double, or have the size that was asked for; one that would leave things worse grows until it does not.
fn ends(board: &Board<'_>, moving: &[u32], canary: usize, peaks: &[f64]) -> Vec<usize> {
    let last = peaks.last().copied().unwrap_or(0.0);
    let mut ends: Vec<usize> = Vec::new();
    let mut size = board.options.canary_nodes;
    let mut start = 0;
    while start < moving.len() {
        let mut end = if ends.is_empty() { canary } else { batch_end(board, moving, start, size) };
        let allowed = peaks[start].max(last) * (1.0 + SAME);
        while end < moving.len() && peaks[end] > allowed {
            end += 1;
        }
        ends.push(end);
        start = end;
        size = board.options.batch_nodes.unwrap_or_else(|| size.saturating_mul(2));
        if ends.len() == 1 {
            size = board.options.batch_nodes.unwrap_or_else(|| board.options.canary_nodes.saturating_mul(2));
        }
    }
    ends
}

fn batch_end(board: &Board<'_>, moving: &[u32], start: usize, size: usize) -> usize {
    let mut nodes = 0;
    let mut end = start;
    while end < moving.len() && nodes < size {
        nodes += board.items[moving[end] as usize].nodes as usize;
        end += 1;
    }
    end
}
