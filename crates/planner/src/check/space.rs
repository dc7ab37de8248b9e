//! Whether each target has room for all that the plan brings.

use super::Checker;
use crate::finding::Place;
use crate::problem::wishes::HORIZON_DAYS_DEFAULT;
use crate::words::counted;
use crate::world::ShardView;
use shardlift_model::{ByteCount, NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};

/// What the plan brings to one shard. Sums are wide: a sum that wraps would hide an overfull target.
#[derive(Default)]
struct Load {
    nodes: u64,
    bytes_now: u128,
    /// At the end of the horizon.
    bytes: u128,
    /// The line at which it is more than the room.
    full_at: Option<Place>,
}

impl<'c> Checker<'c> {
    /// One finding per target, at the line that is too much.
    pub(super) fn space(&mut self) {
        let loads = self.loads();
        for (target, load) in &loads {
            let (Some(at), Some(shard)) = (load.full_at, self.world.shards.get(*target)) else { continue };
            let percent = self.file.headroom_percent;
            let growth = self.growth_on(target, shard);
            let (reserve, room) = (reserve(shard, percent), room(shard, percent, growth));
            let days = counted(u64::from(self.horizon_days()), "day");
            let coming = match load.bytes - load.bytes_now {
                0 => shown(load.bytes).to_string(),
                _ => format!("{} (in {days} {})", shown(load.bytes_now), shown(load.bytes)),
            };
            let growing = match growth {
                0 => String::new(),
                growth => format!(" and {} for {days} of growth", shown(growth)),
            };
            let message = format!(
                "target `{target}` is full: {} with {coming} would come, {} are free, {} ({percent} % of {}){growing} \
                 must stay free; {} too much",
                counted(load.nodes, "node"),
                shard.free,
                shown(reserve),
                shard.capacity,
                shown(load.bytes - room),
            );
            let hint = self.roomiest(&loads);
            self.refuse(at, message, hint);
        }
    }

    fn loads(&self) -> BTreeMap<&'c ShardId, Load> {
        let file = self.file;
        let mut loads: BTreeMap<&'c ShardId, Load> = BTreeMap::new();
        let mut seen: BTreeSet<&NodeId> = BTreeSet::new();
        let mut growths: BTreeMap<&ShardId, u128> = BTreeMap::new();
        let fresh = file.batches.iter().zip(&self.carried_over).filter(|(_, carried_over)| !**carried_over);
        for entry in fresh.flat_map(|(batch, _)| &batch.moves) {
            let (node, target) = (&entry.node.value, &entry.target);
            let (Some(view), Some(shard)) = (self.world.nodes.get(node), self.world.shards.get(&target.value)) else {
                continue;
            };
            // A move to the source is refused elsewhere, and a node that is there already brings nothing.
            if target.value == self.file.source.value || view.shard == target.value || !seen.insert(node) {
                continue;
            }
            let growth = *growths.entry(&target.value).or_insert_with(|| self.growth_on(&target.value, shard));
            let load = loads.entry(&target.value).or_default();
            load.nodes += 1;
            load.bytes_now += u128::from(view.bytes.0);
            load.bytes += u128::from(view.bytes.0) + self.growth(view.growth_bytes_per_day);
            if load.full_at.is_none() && load.bytes > room(shard, self.file.headroom_percent, growth) {
                load.full_at = Some(target.at);
            }
        }
        loads
    }

    /// What the plan was made for, and no less than every plan has to keep.
    fn horizon_days(&self) -> u16 {
        let (wished, asked) = (self.file.wishes.horizon_days, self.world.rules.horizon_days);
        wished.max(asked).unwrap_or(HORIZON_DAYS_DEFAULT)
    }

    /// Over the horizon. Nobody can rely on shrinking.
    fn growth(&self, bytes_per_day: i64) -> u128 {
        u128::try_from(bytes_per_day).unwrap_or(0) * u128::from(self.horizon_days())
    }

    /// What a shard gains over the horizon if nothing moves.
    fn growth_on(&self, id: &ShardId, shard: &ShardView) -> u128 {
        let nodes = self.world.nodes.values().filter(|node| node.growth_bytes_per_day > 0 && node.shard == *id);
        let there: u128 = nodes.map(|node| self.growth(node.growth_bytes_per_day)).sum();
        there + self.growth(shard.growth_bytes_per_day)
    }

    /// Where there is room once the plan is done.
    fn roomiest(&self, loads: &BTreeMap<&ShardId, Load>) -> String {
        let left = |(id, shard): &(&ShardId, &ShardView)| {
            let load = loads.get(id).map_or(0, |load| load.bytes);
            room(shard, self.file.headroom_percent, self.growth_on(id, shard)).saturating_sub(load)
        };
        let targets = self.world.shards.iter().filter(|(id, shard)| **id != self.file.source.value && shard.reachable);
        let best = targets.map(|shard| (left(&shard), shard.0)).max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(a.1)));
        match best {
            Some((left, shard)) if left > 0 => format!("`{shard}` has the most room left, {}", shown(left)),
            _ => "no shard has room left: add one, or move fewer nodes".to_owned(),
        }
    }
}

/// What may not be used, rounded up.
fn reserve(shard: &ShardView, percent: u8) -> u128 {
    (u128::from(shard.capacity.0) * u128::from(percent)).div_ceil(100)
}

fn room(shard: &ShardView, percent: u8, growth: u128) -> u128 {
    u128::from(shard.free.0).saturating_sub(reserve(shard, percent)).saturating_sub(growth)
}

fn shown(bytes: u128) -> ByteCount {
    ByteCount(u64::try_from(bytes).unwrap_or(u64::MAX))
}
