//! Items that are large beside the targets.

use super::Fluid;
use super::rivals::Alone;
use crate::load::{HOURS, HourOfWeek};
use crate::solve::relief::board::NONE;

/// Items that are looked at.
const LARGE_TRIED: usize = 2_000;

impl Fluid<'_, '_> {
    pub(super) fn alone(&self, number: u32) -> f64 {
        let item = &self.board.items[number as usize];
        let home = if item.must { f64::INFINITY } else { self.share_on(number, item.at as usize) };
        let away = self.hosts.iter().map(|bin| self.alone_on(number, *bin)).fold(f64::INFINITY, f64::min);
        let least = away.min(home);
        if least.is_finite() { least } else { 0.0 }
    }

    /// The busiest hours of the largest items alone on each target.
    pub(super) fn alone_away<'l>(&self, largest: &'l [u32]) -> Alone<'l> {
        let items = &largest[..largest.len().min(LARGE_TRIED)];
        let targets: Vec<usize> = self.hosts.iter().copied().filter(|bin| self.board.bins[*bin].takes).collect();
        let on_each = |number: &u32| targets.iter().map(|bin| self.alone_on(*number, *bin)).collect();
        let shares = items.iter().map(on_each).collect();
        Alone { items, targets, shares }
    }

    /// The busiest hour of an item alone on a target; infinite where it may not go.
    fn alone_on(&self, number: u32, bin: usize) -> f64 {
        let (item, shard) = (&self.board.items[number as usize], &self.board.bins[bin]);
        let allowed = item.allowed == NONE || self.board.sets[item.allowed as usize][bin];
        let may_go = shard.takes && allowed && shard.room >= item.bytes_then;
        if may_go { self.share_on(number, bin) } else { f64::INFINITY }
    }

    fn share_on(&self, number: u32, bin: usize) -> f64 {
        let load = &self.board.items[number as usize].load;
        let sums = self.fixed[bin].iter().zip(load.steps()).map(|(fixed, step)| fixed + u64::from(*step) * load.unit());
        sums.max().unwrap_or(0) as f64 / self.board.bins[bin].load_capacity as f64
    }

    /// Who ends below a level keeps on the source all items that no target takes below it.
    pub(super) fn too_large(&self, alone: &Alone<'_>) -> (f64, usize, HourOfWeek) {
        let source = self.board.source;
        let capacity = self.board.bins[source].load_capacity as f64;
        let least = |shares: &Vec<f64>| shares.iter().copied().fold(f64::INFINITY, f64::min);
        let mut large: Vec<(f64, u32)> = alone.shares.iter().map(least).zip(alone.items.iter().copied()).collect();
        large.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut row = self.fixed[source];
        let (mut best, mut hour) = (0.0, 0);
        for (count, (away, number)) in large.iter().enumerate() {
            self.board.items[*number as usize].load.add_to(&mut row);
            let busiest = (0..HOURS).fold(0, |best, hour| if row[hour] > row[best] { hour } else { best });
            let stays = row[busiest] as f64 / capacity;
            // Either all so far stay, or one of them goes and is seen where it went.
            let level = stays.min(*away);
            if level <= best {
                if stays > *away {
                    return (best, count, HourOfWeek::of(hour));
                }
                continue;
            }
            (best, hour) = (level, busiest);
        }
        (best, large.len(), HourOfWeek::of(hour))
    }
}
