//! Whether each target bears, in every hour of the week, what the plan brings.

use super::Checker;
use crate::draft::Fill;
use crate::finding::Place;
use crate::load::{HourOfWeek, LoadProfile};
use crate::world::ShardView;
use shardlift_model::{NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};

/// A target's week while the plan's nodes come.
struct Week {
    hours: Vec<u128>,
    too_much: Option<(Place, HourOfWeek)>,
}

fn add(hours: &mut [u128], load: &LoadProfile) {
    for (sum, hour) in hours.iter_mut().zip(HourOfWeek::all()) {
        *sum += u128::from(load.at(hour));
    }
}

impl<'c> Checker<'c> {
    /// One finding per target, at the line that is too much for one of its hours. Load that is above the capacity already
    /// is not the plan's fault; more of it in the same hour is.
    pub(super) fn load(&mut self) {
        let weeks = self.weeks();
        for (target, week) in &weeks {
            let Some((at, hour)) = week.too_much else { continue };
            let capacity = self.world.shards.get(*target).and_then(|shard| shard.load_capacity).unwrap_or(0);
            let load = week.hours.get(hour.number()).copied().unwrap_or(0);
            let share = Fill::of_load(u64::try_from(load).unwrap_or(u64::MAX), capacity);
            let message = format!("target `{target}` would bear {share} of its load capacity, {hour}");
            self.refuse(at, message, "name another target for nodes that are busy in that hour, or move fewer");
        }
    }

    /// The busiest hour, once the plan is done, of the shards that it changes: which shard, its share, which hour. A shard whose load
    /// capacity nobody knows is the error.
    pub(super) fn peak_after(&self) -> Result<Option<(&'c ShardId, Fill, HourOfWeek)>, &'c ShardId> {
        let moves: BTreeMap<&NodeId, &'c ShardId> =
            self.file.batches.iter().flat_map(|b| &b.moves).map(|one| (&one.node.value, &one.target.value)).collect();
        let givers = moves.keys().filter_map(|node| self.world.nodes.get(*node)).map(|view| &view.shard);
        let mut rows: BTreeMap<&'c ShardId, Vec<u128>> = BTreeMap::new();
        for shard in moves.values().copied().chain(givers).chain([&self.file.source.value]) {
            let Some(view) = self.world.shards.get(shard) else { continue };
            rows.entry(shard).or_insert_with(|| {
                let mut hours = vec![0; HourOfWeek::all().len()];
                add(&mut hours, &view.load);
                hours
            });
        }
        for (node, view) in self.world.nodes.iter().filter(|(_, view)| !view.load.is_zero()) {
            if let Some(hours) = rows.get_mut(moves.get(node).copied().unwrap_or(&view.shard)) {
                add(hours, &view.load);
            }
        }
        let mut worst: Option<(&ShardId, Fill, HourOfWeek)> = None;
        for (shard, hours) in rows {
            let capacity = self.world.shards.get(shard).and_then(|view| view.load_capacity).ok_or(shard)?;
            let busiest = HourOfWeek::all().zip(hours).max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)));
            let Some((hour, load)) = busiest else { continue };
            let share = Fill::of_load(u64::try_from(load).unwrap_or(u64::MAX), capacity);
            if worst.is_none_or(|(_, most, _)| share > most) {
                worst = Some((shard, share, hour));
            }
        }
        Ok(worst)
    }

    fn weeks(&self) -> BTreeMap<&'c ShardId, Week> {
        let file = self.file;
        let mut weeks: BTreeMap<&'c ShardId, Week> = BTreeMap::new();
        let mut seen: BTreeSet<&NodeId> = BTreeSet::new();
        let fresh = file.batches.iter().zip(&self.carried_over).filter(|(_, carried_over)| !**carried_over);
        for entry in fresh.flat_map(|(batch, _)| &batch.moves) {
            let target = &entry.target.value;
            let (Some(node), Some(shard)) = (self.world.nodes.get(&entry.node.value), self.world.shards.get(target))
            else {
                continue;
            };
            let Some(capacity) = shard.load_capacity.map(u128::from) else { continue };
            if node.load.is_zero() || node.shard == *target || !seen.insert(&entry.node.value) {
                continue;
            }
            let week = weeks.entry(target).or_insert_with(|| self.present(target, shard));
            add(&mut week.hours, &node.load);
            if week.too_much.is_none() {
                let over = |hour: &HourOfWeek| {
                    node.load.at(*hour) > 0 && week.hours.get(hour.number()).is_some_and(|load| *load > capacity)
                };
                let busiest = HourOfWeek::all().filter(over).max_by_key(|hour| week.hours.get(hour.number()).copied());
                week.too_much = busiest.map(|hour| (entry.target.at, hour));
            }
        }
        weeks
    }

    fn present(&self, id: &ShardId, shard: &ShardView) -> Week {
        let mut hours = vec![0; HourOfWeek::all().len()];
        add(&mut hours, &shard.load);
        let there = self.world.nodes.values().filter(|node| !node.load.is_zero() && node.shard == *id);
        there.for_each(|node| add(&mut hours, &node.load));
        Week { hours, too_much: None }
    }
}
