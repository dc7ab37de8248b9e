//! The arithmetic that is done hundreds of millions of times: what one more node makes of a shard's week.
//!
//! Rows are shares of the level that is aimed at, so that 1 is "just at it". Additions and multiplications only, in a fixed
//! order: the same bits on every machine. Rows are derived from exact sums after every change, so errors do not add up.

use crate::load::HOURS;

const LANES: usize = 8;

/// A shard's week as shares of the level.
pub(super) type Row = [f32; HOURS];

/// A node's week in steps.
pub(super) type Steps = [u16; HOURS];

/// What a week looks like.
#[derive(Clone, Copy)]
pub(super) struct Judged {
    /// Share of the busiest hour.
    pub(super) peak: f32,
    /// Grows with every hour, with the busiest by far the most.
    pub(super) strain: f32,
}

#[derive(Clone, Copy)]
struct Lanes {
    peak: [f32; LANES],
    strain: [f32; LANES],
}

impl Lanes {
    const EMPTY: Self = Self { peak: [0.0; LANES], strain: [0.0; LANES] };

    #[inline(always)]
    fn take(&mut self, lane: usize, x: f32) {
        self.peak[lane] = if x > self.peak[lane] { x } else { self.peak[lane] };
        let square = x * x;
        let fourth = square * square;
        self.strain[lane] += fourth * fourth;
    }

    fn judged(&self) -> Judged {
        let peak = self.peak.iter().fold(0.0, |a: f32, b| if *b > a { *b } else { a });
        Judged { peak, strain: sum(&self.strain) }
    }
}

fn sum(lanes: &[f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h] = *lanes;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

/// The week as it is.
pub(super) fn judge(row: &Row) -> Judged {
    let mut lanes = Lanes::EMPTY;
    for chunk in row.as_chunks::<LANES>().0 {
        for (lane, x) in chunk.iter().enumerate() {
            lanes.take(lane, *x);
        }
    }
    lanes.judged()
}

/// The week with one node more; `step` is the share of one of its steps.
pub(super) fn judge_with(row: &Row, steps: &Steps, step: f32) -> Judged {
    let mut lanes = Lanes::EMPTY;
    for (row, steps) in row.as_chunks::<LANES>().0.iter().zip(steps.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            lanes.take(lane, row[lane] + f32::from(steps[lane]) * step);
        }
    }
    lanes.judged()
}

/// The week with one node more and another less.
pub(super) fn judge_exchange(row: &Row, gained: (&Steps, f32), lost: (&Steps, f32)) -> Judged {
    let mut lanes = Lanes::EMPTY;
    let chunks = row.as_chunks::<LANES>().0.iter();
    for ((row, gain), loss) in chunks.zip(gained.0.as_chunks::<LANES>().0).zip(lost.0.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            lanes.take(lane, row[lane] + f32::from(gain[lane]) * gained.1 - f32::from(loss[lane]) * lost.1);
        }
    }
    lanes.judged()
}

/// Weighted sum of a node's week.
pub(super) fn dot(weights: &Row, steps: &Steps) -> f32 {
    let mut lanes = [0.0; LANES];
    for (weights, steps) in weights.as_chunks::<LANES>().0.iter().zip(steps.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            lanes[lane] += weights[lane] * f32::from(steps[lane]);
        }
    }
    sum(&lanes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_agree_with_plain_sums() {
        let row: Row = std::array::from_fn(|hour| (hour % 7) as f32 / 8.0);
        let gained: Steps = std::array::from_fn(|hour| (hour * 31 % 100) as u16);
        let lost: Steps = std::array::from_fn(|hour| (hour * 17 % 5) as u16);
        let after: Row = std::array::from_fn(|hour| row[hour] + f32::from(gained[hour]) / 64.0);
        let both: Row = std::array::from_fn(|hour| after[hour] - f32::from(lost[hour]) / 128.0);
        let highest = |row: &Row| row.iter().copied().fold(0.0, f32::max);
        let with = judge_with(&row, &gained, 1.0 / 64.0);
        assert_eq!(with.peak, highest(&after));
        assert_eq!(with.strain, judge(&after).strain);
        assert_eq!(judge_exchange(&row, (&gained, 1.0 / 64.0), (&lost, 1.0 / 128.0)).peak, highest(&both));
        let plain: f32 = row.iter().zip(&gained).map(|(weight, steps)| weight * f32::from(*steps)).sum();
        assert!((dot(&row, &gained) - plain).abs() < 0.01);
    }
}
