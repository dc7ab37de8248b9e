//! Figures and wishes that cannot be: refused with the place, before anything is computed from them.

use super::{NodeLoad, PlanOptions, Problem, ShardCapacity};
use crate::conflict::Conflict;
use crate::load::LOAD_MAX;
use crate::policy::WINDOWS_MAX;
use crate::problem::wishes::{CustomerRule, Goal};
use shardlift_model::{ByteCount, NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};

/// More bytes than any machine has: 4 EiB.
pub(crate) const BYTES_MAX: u64 = 1 << 62;

/// Longest horizon: ten years.
pub(crate) const HORIZON_DAYS_MAX: u16 = 3660;

/// Growth of more than this each day, 1 PiB, is a mistake in the figures.
const GROWTH_MAX: i64 = 1 << 50;

fn figure(place: impl Into<String>, figure: impl Into<String>, expected: impl Into<String>) -> Conflict {
    Conflict::Figure { place: place.into(), figure: figure.into(), expected: expected.into() }
}

fn growth(place: impl Fn() -> String, bytes_per_day: i64) -> Result<(), Conflict> {
    if bytes_per_day.unsigned_abs() > GROWTH_MAX.unsigned_abs() {
        let text = format!("growth_bytes_per_day is {bytes_per_day}");
        return Err(figure(place(), text, "at most 1 PiB a day, up or down,"));
    }
    Ok(())
}

impl Problem {
    /// A goal about the busiest hour says nothing where no hour is known: "no move is needed" would be wrong.
    pub(crate) fn refuse_goal_without_load(&self) -> Result<(), Conflict> {
        match self.options.goal {
            Some(goal @ (Goal::LowestPeak | Goal::PeakAtMost { .. })) if !self.is_load_known() => {
                let expected = "load by hour of the week, or a goal that does without,";
                Err(figure("goal", format!("{goal}, but no load is known"), expected))
            }
            _ => Ok(()),
        }
    }

    /// Figures that no real cluster has.
    pub(super) fn refuse_figures(&self) -> Result<(), Conflict> {
        let measured = self.is_load_known();
        self.shards.iter().try_for_each(|shard| shard_figures(shard, measured))?;
        let known: BTreeSet<&ShardId> = self.shards.iter().map(|shard| &shard.shard).collect();
        for node in &self.nodes {
            let place = || format!("node `{}`", node.node);
            growth(place, node.growth_bytes_per_day)?;
            // Bytes of plain problems are refused where they do not fit, with the room that is missing.
            if measured && node.bytes.0 > BYTES_MAX {
                return Err(figure(place(), format!("bytes is {}", node.bytes.0), "at most 4 EiB"));
            }
            if let Some(shard) = node.shard.as_ref().filter(|shard| **shard != self.source && !known.contains(shard)) {
                return Err(figure(place(), format!("shard is `{shard}`"), "a shard of the inventory"));
            }
        }
        if measured && !known.contains(&self.source) {
            let text = "it is not among the shards, though nodes have measured load";
            return Err(figure(format!("source `{}`", self.source), text, "its capacity"));
        }
        Ok(())
    }

    /// Wishes that name what is not there, or that contradict each other by themselves.
    pub(super) fn refuse_wishes(&self) -> Result<(), Conflict> {
        let PlanOptions { must_move, holds, pins, targets_of, .. } = &self.options;
        let any = !must_move.is_empty() || !holds.is_empty() || !pins.is_empty() || !targets_of.is_empty();
        let nodes: BTreeMap<&NodeId, &NodeLoad> =
            self.nodes.iter().filter(|_| any).map(|node| (&node.node, node)).collect();
        let named = [("must_move", must_move), ("holds", holds), ("pins", pins)];
        for (wish, names) in named {
            if let Some(node) = names.iter().find(|node| !nodes.contains_key(node)) {
                return Err(unknown(wish, node));
            }
        }
        let excluded: BTreeSet<&NodeId> = self.options.exclude.iter().collect();
        let held: BTreeSet<&NodeId> = holds.iter().collect();
        let pinned: BTreeSet<&NodeId> = pins.iter().collect();
        for node in &self.options.must_move {
            let why = match nodes.get(node) {
                _ if excluded.contains(node) => "is excluded",
                _ if held.contains(node) => "is on hold",
                _ if pinned.contains(node) => "is pinned to its shard",
                Some(load) if load.pinned => "is pinned to its shard",
                _ => continue,
            };
            let wishes = vec![format!("node `{node}` must move"), format!("node `{node}` {why}")];
            return Err(Conflict::Wishes { wishes, proven: true });
        }
        self.refuse_targets_of(&nodes)?;
        self.options.customers.iter().try_for_each(|(customer, rule)| match rule {
            CustomerRule::SpreadNodes { nodes_max: 0 } | CustomerRule::SpreadShare { percent_max: 0 } => {
                Err(figure(format!("customer `{customer}`"), rule.to_string(), "at least 1"))
            }
            CustomerRule::SpreadShare { percent_max: 101.. } => {
                Err(figure(format!("customer `{customer}`"), rule.to_string(), "at most 100 %"))
            }
            _ => Ok(()),
        })
    }

    fn refuse_targets_of(&self, nodes: &BTreeMap<&NodeId, &NodeLoad>) -> Result<(), Conflict> {
        for (node, targets) in &self.options.targets_of {
            if !nodes.contains_key(node) {
                return Err(unknown("targets_of", node));
            }
            if targets.is_empty() {
                let expected = "at least one target, or a hold,";
                return Err(figure(format!("targets_of `{node}`"), "it allows no target", expected));
            }
            let missing = targets.iter().find(|target| !self.shards.iter().any(|shard| shard.shard == **target));
            if let Some(shard) = missing {
                return Err(Conflict::UnknownTarget { shard: shard.clone() });
            }
        }
        Ok(())
    }
}

fn unknown(wish: &'static str, node: &NodeId) -> Conflict {
    figure(format!("{wish} `{node}`"), "there is no such node in the inventory", "a node of the inventory")
}

fn shard_figures(shard: &ShardCapacity, measured: bool) -> Result<(), Conflict> {
    let place = || format!("shard `{}`", shard.shard);
    growth(place, shard.growth_bytes_per_day)?;
    match shard.load_capacity {
        None if measured => Err(figure(
            place(),
            "load_capacity is absent, though nodes have measured load",
            "the load it bears in one hour, in the same unit,",
        )),
        Some(0) => Err(figure(place(), "load_capacity is 0", "the load it bears in one hour")),
        Some(load) if load > LOAD_MAX => {
            Err(figure(place(), format!("load_capacity is {load}"), format!("at most {LOAD_MAX}")))
        }
        _ => Ok(()),
    }
}

impl PlanOptions {
    pub(super) fn refuse_absurd(&self) -> Result<(), Conflict> {
        if self.headroom_percent > 100 {
            return Err(Conflict::Headroom { percent: self.headroom_percent });
        }
        if self.canary_nodes == 0 {
            return Err(Conflict::EmptyCanary);
        }
        if self.batch_nodes == Some(0) {
            return Err(Conflict::EmptyBatches);
        }
        if self.horizon_days > HORIZON_DAYS_MAX {
            let text = format!("horizon_days is {}", self.horizon_days);
            return Err(figure("options", text, format!("at most {HORIZON_DAYS_MAX} days")));
        }
        if self.tolerance_permille > 1000 {
            return Err(figure("options", format!("tolerance_permille is {}", self.tolerance_permille), "0 to 1000"));
        }
        if self.moves_max == Some(0) || self.bytes_max == Some(ByteCount(0)) {
            return Err(figure("options", "no byte or no node may move", "a limit above 0, or none,"));
        }
        if let Some(window) = self.windows.iter().find(|window| !window.is_valid()) {
            return Err(figure("windows", format!("{window} is no part of a day"), "such as 02:00-06:00, in UTC,"));
        }
        if self.windows.len() > WINDOWS_MAX {
            return Err(figure(
                "windows",
                format!("there are {}", self.windows.len()),
                format!("at most {WINDOWS_MAX}"),
            ));
        }
        if let Some(Goal::PeakAtMost { percent: percent @ (0 | 101..) }) = self.goal {
            return Err(figure("goal", format!("a peak of at most {percent} %"), "1 to 100 %"));
        }
        Ok(())
    }
}
