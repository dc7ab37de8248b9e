//! Where every item is while the search goes on: exact sums, and the rows that are judged.

use super::board::{Board, NONE};
use super::kernel::{Judged, Row, judge, judge_exchange, judge_with};
use crate::load::HOURS;

/// Rounding in the rows; a share that is this little over the level counts as at it.
pub(super) const AT_LEVEL: f32 = 1.000_01;

pub(super) struct State<'b, 'p> {
    pub(super) board: &'b Board<'p>,
    /// The shard of each item.
    pub(super) at: Vec<u32>,
    exact: Vec<[u64; HOURS]>,
    rows: Vec<Row>,
    judged: Vec<Judged>,
    /// Share of its level that one unit of load is, for each shard.
    unit: Vec<f64>,
    /// Bytes; below zero only between the two halves of an exchange.
    room: Vec<i128>,
    /// Shards whose other load is above the level: whatever they got, their busiest hour would count.
    closed: Vec<bool>,
    /// By spread and shard.
    nodes: Vec<Vec<u32>>,
}

impl<'b, 'p> State<'b, 'p> {
    /// The state in which items are at these shards.
    pub(super) fn of(board: &'b Board<'p>, at: &[u32]) -> Self {
        let mut state = Self {
            board,
            at: board.items.iter().map(|item| item.at).collect(),
            exact: board.bins.iter().map(|bin| bin.load).collect(),
            rows: vec![[0.0; HOURS]; board.bins.len()],
            judged: vec![Judged { peak: 0.0, strain: 0.0 }; board.bins.len()],
            unit: vec![0.0; board.bins.len()],
            room: board.bins.iter().map(|bin| i128::from(bin.room)).collect(),
            closed: vec![false; board.bins.len()],
            nodes: board.spreads.iter().map(|spread| spread.nodes.clone()).collect(),
        };
        for (number, item) in board.items.iter().enumerate() {
            if at[number] != item.at {
                state.shift(number, at[number] as usize);
            }
        }
        state
    }

    /// From now on shares are of this level, one for each shard; `floors` is what they bear in any case.
    pub(super) fn aim(&mut self, levels: &[f64], floors: &[f64]) {
        for (bin, level) in levels.iter().enumerate() {
            self.closed[bin] = floors[bin] > level * f64::from(AT_LEVEL);
            let capacity = self.board.bins[bin].load_capacity as f64;
            self.unit[bin] = 1.0 / (capacity * level.max(1e-9));
            self.refresh(bin);
        }
    }

    fn refresh(&mut self, bin: usize) {
        let unit = self.unit[bin];
        for (share, load) in self.rows[bin].iter_mut().zip(&self.exact[bin]) {
            *share = (*load as f64 * unit) as f32;
        }
        self.judged[bin] = judge(&self.rows[bin]);
    }

    /// Sums, room and counts, without the rows.
    fn shift(&mut self, number: usize, target: usize) {
        let item = &self.board.items[number];
        let source = self.at[number] as usize;
        let unit = item.load.unit();
        if !item.load.is_zero() {
            for (sum, step) in self.exact[source].iter_mut().zip(item.load.steps()) {
                *sum = sum.saturating_sub(u64::from(*step) * unit);
            }
            item.load.add_to(&mut self.exact[target]);
        }
        // At home it needs no room: its bytes are there already.
        if source != item.at as usize {
            self.room[source] += i128::from(item.bytes_then);
        }
        if target != item.at as usize {
            self.room[target] -= i128::from(item.bytes_then);
        }
        if item.spread != NONE {
            let nodes = &mut self.nodes[item.spread as usize];
            nodes[source] = nodes[source].saturating_sub(item.nodes);
            nodes[target] += item.nodes;
        }
        self.at[number] = u32::try_from(target).unwrap_or(NONE);
    }

    pub(super) fn put(&mut self, number: usize, target: usize) {
        let source = self.at[number] as usize;
        if source == target {
            return;
        }
        self.shift(number, target);
        if !self.board.items[number].load.is_zero() {
            self.refresh(source);
            self.refresh(target);
        }
    }

    /// Whether rules and room let it go there, load aside; `without` leaves that shard in exchange.
    pub(super) fn may_go(&self, number: usize, target: usize, without: Option<usize>) -> bool {
        let item = &self.board.items[number];
        let bin = &self.board.bins[target];
        if item.at as usize == target {
            return !item.must;
        }
        let freed = without.map(|other| &self.board.items[other]);
        let freed_bytes = freed.filter(|other| other.at as usize != target).map_or(0, |other| other.bytes_then);
        let allowed = item.allowed == NONE || self.board.sets[item.allowed as usize][target];
        let spread = item.spread == NONE || {
            let spread = &self.board.spreads[item.spread as usize];
            let freed = freed.filter(|other| other.spread == item.spread).map_or(0, |other| other.nodes);
            self.nodes[item.spread as usize][target].saturating_sub(freed) + item.nodes <= spread.nodes_max
        };
        bin.takes && allowed && spread && self.room[target] + i128::from(freed_bytes) >= i128::from(item.bytes_then)
    }

    fn step(&self, number: usize, bin: usize) -> f32 {
        (self.board.items[number].load.unit() as f64 * self.unit[bin]) as f32
    }

    /// Adds `times` an item to a row of that shard.
    pub(super) fn add(&self, row: &mut Row, number: usize, bin: usize, times: f32) {
        let step = self.step(number, bin) * times;
        for (share, steps) in row.iter_mut().zip(self.board.items[number].load.steps()) {
            *share += f32::from(*steps) * step;
        }
    }

    /// The shard's week with this item more.
    pub(super) fn with(&self, number: usize, bin: usize) -> Judged {
        let load = &self.board.items[number].load;
        if load.is_zero() {
            self.judged[bin]
        } else {
            judge_with(&self.rows[bin], load.steps(), self.step(number, bin))
        }
    }

    /// The shard's week with this item less.
    pub(super) fn without(&self, number: usize, bin: usize) -> Judged {
        let load = &self.board.items[number].load;
        judge_with(&self.rows[bin], load.steps(), -self.step(number, bin))
    }

    /// The shard's week with one item more and one less.
    pub(super) fn exchanged(&self, gained: usize, lost: usize, bin: usize) -> Judged {
        let gained = (self.board.items[gained].load.steps(), self.step(gained, bin));
        let lost = (self.board.items[lost].load.steps(), self.step(lost, bin));
        judge_exchange(&self.rows[bin], gained, lost)
    }

    pub(super) fn is_closed(&self, bin: usize) -> bool {
        self.closed[bin]
    }

    pub(super) fn judged(&self, bin: usize) -> Judged {
        self.judged[bin]
    }

    pub(super) fn row(&self, bin: usize) -> &Row {
        &self.rows[bin]
    }

    pub(super) fn exact(&self, bin: usize) -> &[u64; HOURS] {
        &self.exact[bin]
    }

    /// The busiest hour of a shard's week; the first of equals.
    pub(super) fn busiest(&self, bin: usize) -> usize {
        let row = &self.rows[bin];
        (0..HOURS).fold(0, |best, hour| if row[hour] > row[best] { hour } else { best })
    }

    /// How much of the room is used, 0 to 1; grows steeply, like the strain of hours.
    pub(super) fn fullness(&self, bin: usize, more: u64) -> f32 {
        let room = self.board.bins[bin].room;
        if room == 0 {
            return 1.0;
        }
        let used = i128::from(room) - self.room[bin] + i128::from(more);
        let share = (used as f64 / room as f64) as f32;
        let fourth = share * share * share * share;
        fourth * fourth
    }

    /// Load of the busiest hour of a shard over its capacity.
    pub(super) fn share(&self, bin: usize) -> f64 {
        let highest = self.exact[bin].iter().copied().max().unwrap_or(0);
        highest as f64 / self.board.bins[bin].load_capacity as f64
    }
}
