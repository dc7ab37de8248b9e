//! What was found, in words: the report, a line for each node, what holds the bound up.

use super::board::Board;
use super::bound::{Binding, Bound};
use super::search::Found;
use super::sequence::Sequence;
use crate::draft::{Fill, LoadReport, Peak, PlacementReason, Report, StayReason, TargetReport};
use crate::load::{HOURS, HourOfWeek};
use crate::words::counted;
use shardlift_model::{BatchId, ByteCount};

pub(super) struct Telling<'b, 'p> {
    pub(super) board: &'b Board<'p>,
    pub(super) found: &'b Found,
    pub(super) sequence: &'b Sequence,
    pub(super) names: &'b [BatchId],
    /// Load by shard after the last batch.
    pub(super) after: &'b [[u64; HOURS]],
    pub(super) measured: bool,
}

fn busiest(row: &[u64; HOURS]) -> usize {
    (0..HOURS).fold(0, |best, hour| if row[hour] > row[best] { hour } else { best })
}

fn share(row: &[u64; HOURS], capacity: u64) -> Fill {
    Fill::of_load(row[busiest(row)], capacity)
}

impl Telling<'_, '_> {
    pub(super) fn report(&self) -> Report {
        let board = self.board;
        let mut got = vec![(0_u64, ByteCount(0)); board.bins.len()];
        let mut lost = (0_u64, ByteCount(0));
        for &number in &self.sequence.items {
            let item = &board.items[number as usize];
            let target = &mut got[self.found.at[number as usize] as usize];
            target.0 += u64::from(item.nodes);
            target.1 = target.1.saturating_add(ByteCount(item.bytes));
            if item.at as usize == board.source {
                lost.0 += u64::from(item.nodes);
                lost.1 = lost.1.saturating_add(ByteCount(item.bytes));
            }
        }
        let targets = (0..board.bins.len()).filter(|bin| board.bins[*bin].takes);
        let moves = got.iter().map(|got| got.0).sum();
        let bytes = got.iter().fold(ByteCount(0), |sum, got| sum.saturating_add(got.1));
        let staying = board.staying.iter();
        Report {
            load: self.measured.then(|| self.load(moves, bytes)),
            source: Some(self.shard(board.source, lost, |used, bytes| used.saturating_sub(bytes))),
            targets: targets.map(|bin| self.shard(bin, got[bin], u64::saturating_add)).collect(),
            placements: self.placements(),
            staying: staying
                .map(|(node, why)| StayReason { node: node.node.clone(), why: (*why).to_owned() })
                .collect(),
        }
    }

    fn shard(&self, bin: usize, (nodes, bytes): (u64, ByteCount), then: impl Fn(u64, u64) -> u64) -> TargetReport {
        let shard = &self.board.bins[bin];
        let peak = (share(&shard.load, shard.load_capacity), share(&self.after[bin], shard.load_capacity));
        let capacity = ByteCount(shard.capacity);
        TargetReport {
            shard: shard.shard.clone(),
            nodes,
            bytes,
            fill_before: Fill::of(ByteCount(shard.used), capacity),
            fill_after: Fill::of(ByteCount(then(shard.used, bytes.0)), capacity),
            peak: self.measured.then_some(peak),
        }
    }

    fn load(&self, moves: u64, bytes: ByteCount) -> LoadReport {
        let board = self.board;
        let reached = |bin: &usize| self.found.at.iter().any(|at| *at as usize == *bin);
        let touched: Vec<usize> = (0..board.bins.len())
            .filter(|bin| *bin == board.source || board.bins[*bin].gives || reached(bin))
            .collect();
        let before: Vec<[u64; HOURS]> = board.bins.iter().map(|bin| bin.load).collect();
        LoadReport {
            goal: board.goal.to_string(),
            before: self.peak(&touched, &before),
            after: self.peak(&touched, self.after),
            lower_bound: Fill((self.found.bound.level * 1e9) as u64),
            binding: binding(board, &self.found.bound),
            moves,
            bytes,
        }
    }

    fn peak(&self, touched: &[usize], rows: &[[u64; HOURS]]) -> Peak {
        let of = |bin: usize| share(&rows[bin], self.board.bins[bin].load_capacity);
        let bin = touched.iter().copied().max_by(|a, b| of(*a).cmp(&of(*b)).then(b.cmp(a))).unwrap_or(0);
        Peak { shard: self.board.bins[bin].shard.clone(), hour: HourOfWeek::of(busiest(&rows[bin])), share: of(bin) }
    }

    fn placements(&self) -> Vec<PlacementReason> {
        let board = self.board;
        let targets = board.bins.iter().filter(|bin| bin.takes).count();
        let peaks: Vec<usize> = board.bins.iter().map(|bin| busiest(&bin.load)).collect();
        let mut lines = Vec::with_capacity(self.sequence.items.len());
        let mut start = 0;
        for (batch, end) in self.names.iter().zip(&self.sequence.ends) {
            for &number in &self.sequence.items[start..*end] {
                let item = &board.items[number as usize];
                let target = self.found.at[number as usize] as usize;
                let bin = &board.bins[target];
                let together = if item.nodes > 1 {
                    format!("; with {} of its customer", counted(u64::from(item.nodes) - 1, "other node"))
                } else {
                    String::new()
                };
                for node in item.members(board) {
                    let hour = HourOfWeek::of(peaks[item.at as usize]);
                    let relief = Fill::of_load(node.load.at(hour), board.bins[item.at as usize].load[hour.number()]);
                    let size = node.bytes;
                    let why = if self.measured {
                        let peak = share(&self.after[target], bin.load_capacity);
                        format!(
                            "moves: {relief} of {hour} peak, {size}; {}: lowest resulting peak of {targets} targets, {peak} at the end{together}",
                            bin.shard
                        )
                    } else {
                        format!("moves: {size}; {}: most room of {targets} targets, rules kept{together}", bin.shard)
                    };
                    let (node, batch) = (node.node.clone(), batch.clone());
                    lines.push(PlacementReason { node, batch, target: bin.shard.clone(), why });
                }
            }
            start = *end;
        }
        lines
    }
}

fn binding(board: &Board<'_>, bound: &Bound) -> String {
    match &bound.binding {
        Binding::Average(hour) => format!("all load that may move, over all capacity, {hour}"),
        Binding::Fixed(bin, hour) => {
            format!("load of {} that may not move, {hour}", board.bins[*bin].shard)
        }
        Binding::Target(bin, hour) => {
            format!("other load of {}, {hour}; without it the targets are too few", board.bins[*bin].shard)
        }
        Binding::Item(number) => {
            let item = &board.items[*number as usize];
            let name = item.members(board).first().map(|node| node.node.as_str()).unwrap_or_default();
            match item.nodes {
                1 => format!("node `{name}` alone, on the shard where it does least"),
                nodes => format!("`{name}` and {} that stay with it", counted(u64::from(nodes) - 1, "node")),
            }
        }
        Binding::TooLarge(items, hour) => {
            format!("{} too large for the targets stay on the source, {hour}", counted(*items as u64, "node"))
        }
        Binding::Rivals(items, hour) => {
            let many = counted(*items as u64, "node");
            format!("{many} compete for targets that can take one of them each, the others stay on the source, {hour}")
        }
        Binding::Crowd(items, shards, hour) => {
            format!("some of the {items} largest nodes must share one of {}, {hour}", counted(*shards as u64, "shard"))
        }
        Binding::Limits(hour) => format!("what may leave the source within the limits and the room of targets, {hour}"),
    }
}
