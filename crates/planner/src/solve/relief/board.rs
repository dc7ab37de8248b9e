//! The problem in the form in which it is searched: numbers instead of names, nodes that stay together as one item.

use crate::conflict::Conflict;
use crate::load::{HOURS, LoadProfile};
use crate::problem::wishes::{CustomerRule, Goal};
use crate::problem::{Eligible, NodeLoad, PlanOptions, Problem};
use shardlift_model::{CustomerId, NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};

/// No rule, or no set.
pub(super) const NONE: u32 = u32::MAX;

/// What moves as one: a node, or the nodes of a customer that is kept together.
pub(super) struct Item {
    pub(super) load: LoadProfile,
    pub(super) bytes: u64,
    /// At the end of the horizon.
    pub(super) bytes_then: u64,
    /// The shard it is on.
    pub(super) at: u32,
    pub(super) nodes: u32,
    /// Its first node in `Board::members`.
    pub(super) first: u32,
    /// Which of `Board::sets` says where it may go; `NONE`: everywhere.
    pub(super) allowed: u32,
    /// Which of `Board::spreads` it counts for.
    pub(super) spread: u32,
    /// It leaves whatever it brings.
    pub(super) must: bool,
}

/// A shard.
pub(super) struct Bin<'p> {
    pub(super) shard: &'p ShardId,
    pub(super) load_capacity: u64,
    pub(super) capacity: u64,
    pub(super) used: u64,
    /// Bytes that it may still get, sizes at the end of the horizon.
    pub(super) room: u64,
    pub(super) takes: bool,
    /// It has items.
    pub(super) gives: bool,
    /// Load by hour before anything moves, items included.
    pub(super) load: [u64; HOURS],
}

/// A customer that is spread.
pub(super) struct Spread {
    pub(super) nodes_max: u32,
    /// Its nodes on each shard.
    pub(super) nodes: Vec<u32>,
}

pub(super) struct Board<'p> {
    pub(super) goal: Goal,
    pub(super) options: &'p PlanOptions,
    pub(super) source: usize,
    pub(super) items: Vec<Item>,
    /// The nodes of the items, one after the other.
    pub(super) members: Vec<&'p NodeLoad>,
    pub(super) bins: Vec<Bin<'p>>,
    pub(super) sets: Vec<Vec<bool>>,
    pub(super) spreads: Vec<Spread>,
    /// Nodes that stay, and why.
    pub(super) staying: Vec<(&'p NodeLoad, &'static str)>,
}

impl Item {
    pub(super) fn members<'b, 'p>(&self, board: &'b Board<'p>) -> &'b [&'p NodeLoad] {
        let first = self.first as usize;
        board.members.get(first..first + self.nodes as usize).unwrap_or_default()
    }
}

impl<'p> Board<'p> {
    pub(super) fn of(problem: &'p Problem, eligible: Eligible<'p>) -> Result<Self, Conflict> {
        let numbers: BTreeMap<&ShardId, usize> = {
            let mut names: Vec<&ShardId> = problem.shards.iter().map(|shard| &shard.shard).collect();
            names.sort();
            names.into_iter().enumerate().map(|(number, name)| (name, number)).collect()
        };
        let Some(&source) = numbers.get(&problem.source) else {
            let (place, figure) = (format!("source `{}`", problem.source), "it is not among the shards".to_owned());
            return Err(Conflict::Figure { place, figure, expected: "a shard of the inventory".to_owned() });
        };
        let takes: BTreeSet<&ShardId> = eligible.targets.iter().map(|target| &target.shard).collect();
        let mut board = Self {
            goal: problem.goal(),
            options: &problem.options,
            source,
            items: Vec::with_capacity(eligible.movable.len()),
            members: Vec::with_capacity(eligible.movable.len()),
            bins: bins(problem, &takes, &numbers),
            sets: Vec::new(),
            spreads: Vec::new(),
            staying: eligible.staying,
        };
        let spreads = board.spreads_of(problem, &numbers);
        let mut wishes = Wishes::of(&problem.options, &numbers);
        board.add_items(problem, eligible.movable, &numbers, &spreads, &mut wishes)?;
        Ok(board)
    }

    /// How customers that are spread stand now.
    fn spreads_of(
        &mut self,
        problem: &'p Problem,
        numbers: &BTreeMap<&ShardId, usize>,
    ) -> BTreeMap<&'p CustomerId, u32> {
        let mut found = BTreeMap::new();
        let mut totals: Vec<(CustomerRule, u64)> = Vec::new();
        let rules = problem.options.customers.iter().filter(|(_, rule)| **rule != CustomerRule::Together);
        for (customer, rule) in rules {
            found.insert(customer, u32::try_from(totals.len()).unwrap_or(NONE));
            totals.push((*rule, 0));
            self.spreads.push(Spread { nodes_max: 0, nodes: vec![0; self.bins.len()] });
        }
        for node in problem.nodes.iter().filter(|_| !found.is_empty()) {
            let at = numbers.get(problem.shard_of(node));
            if let (Some(&spread), Some(&at)) = (found.get(&node.customer), at) {
                self.spreads[spread as usize].nodes[at] += 1;
                totals[spread as usize].1 += 1;
            }
        }
        for (spread, (rule, nodes)) in self.spreads.iter_mut().zip(totals) {
            spread.nodes_max = rule.nodes_max(nodes).and_then(|max| u32::try_from(max).ok()).unwrap_or(NONE);
        }
        found
    }

    fn add_items(
        &mut self,
        problem: &'p Problem,
        movable: Vec<&'p NodeLoad>,
        numbers: &BTreeMap<&ShardId, usize>,
        spreads: &BTreeMap<&CustomerId, u32>,
        wishes: &mut Wishes<'p>,
    ) -> Result<(), Conflict> {
        let together = |node: &NodeLoad| problem.options.customers.get(&node.customer) == Some(&CustomerRule::Together);
        let stays: BTreeMap<(&CustomerId, &ShardId), &NodeLoad> = self
            .staying
            .iter()
            .filter(|(node, _)| together(node))
            .map(|(node, _)| ((&node.customer, problem.shard_of(node)), *node))
            .collect();
        let mut groups: BTreeMap<(&CustomerId, &ShardId), Vec<&'p NodeLoad>> = BTreeMap::new();
        for node in movable {
            let at = numbers.get(problem.shard_of(node)).copied().unwrap_or(self.source);
            if together(node) {
                groups.entry((&node.customer, problem.shard_of(node))).or_default().push(node);
            } else {
                let allowed = wishes.set_of(node, &mut self.sets);
                let spread = spreads.get(&node.customer).copied().unwrap_or(NONE);
                self.add(&[node], at, allowed, spread, wishes.must(node));
            }
        }
        for ((customer, shard), nodes) in groups {
            let at = numbers.get(shard).copied().unwrap_or(self.source);
            let must = nodes.iter().copied().find(|node| wishes.must(node));
            let why = match (stays.get(&(customer, shard)), wishes.common_set(&nodes, &mut self.sets)) {
                (Some(stays), _) => {
                    Err(("kept together with a node that stays", format!("node `{}` stays", stays.node)))
                }
                (None, None) => Err((
                    "kept together with nodes that may not go to the same target",
                    "its nodes may not go to the same target".to_owned(),
                )),
                (None, Some(allowed)) => Ok(allowed),
            };
            match (why, must) {
                (Ok(allowed), must) => self.add(&nodes, at, allowed, NONE, must.is_some()),
                (Err((why, _)), None) => self.staying.extend(nodes.iter().map(|node| (*node, why))),
                (Err((_, why)), Some(must)) => {
                    let together = format!("customer `{customer}` is kept together");
                    let wishes = vec![format!("node `{}` must move", must.node), together, why];
                    return Err(Conflict::Wishes { wishes, proven: true });
                }
            }
        }
        self.staying.sort_by(|a, b| a.0.node.cmp(&b.0.node));
        Ok(())
    }

    fn add(&mut self, nodes: &[&'p NodeLoad], at: usize, allowed: u32, spread: u32, must: bool) {
        let days = self.options.horizon_days;
        let load = match nodes {
            [one] => one.load.clone(),
            many => sum(many),
        };
        self.bins[at].gives = true;
        self.items.push(Item {
            load,
            bytes: nodes.iter().fold(0, |sum, node| sum.saturating_add(node.bytes.0)),
            bytes_then: nodes.iter().fold(0, |sum, node| sum.saturating_add(node.bytes_in(days).0)),
            at: u32::try_from(at).unwrap_or(NONE),
            nodes: u32::try_from(nodes.len()).unwrap_or(NONE),
            first: u32::try_from(self.members.len()).unwrap_or(NONE),
            allowed,
            spread,
            must,
        });
        self.members.extend_from_slice(nodes);
    }
}

/// A sum beyond the largest load is capped there: no shard could bear it either way.
fn sum(nodes: &[&NodeLoad]) -> LoadProfile {
    let mut row = [0; HOURS];
    nodes.iter().for_each(|node| node.load.add_to(&mut row));
    let capped = row.map(|load| load.min(crate::load::LOAD_MAX));
    LoadProfile::of_hours(&capped).unwrap_or_default()
}

fn bins<'p>(problem: &'p Problem, takes: &BTreeSet<&ShardId>, numbers: &BTreeMap<&ShardId, usize>) -> Vec<Bin<'p>> {
    let options = &problem.options;
    let mut shards: Vec<_> = problem.shards.iter().collect();
    shards.sort_by(|a, b| a.shard.cmp(&b.shard));
    let mut growth: Vec<u64> = vec![0; shards.len()];
    let mut loads = vec![[0; HOURS]; shards.len()];
    for node in &problem.nodes {
        let Some(&at) = numbers.get(problem.shard_of(node)) else { continue };
        growth[at] = growth[at].saturating_add(u64::try_from(node.growth_bytes_per_day).unwrap_or(0));
        node.load.add_to(&mut loads[at]);
    }
    let each = shards.into_iter().zip(growth).zip(loads);
    each.map(|((shard, growth), mut load)| {
        shard.load.add_to(&mut load);
        let reserve = (u128::from(shard.capacity.0) * u128::from(options.headroom_percent)).div_ceil(100);
        let growth = growth.saturating_add(u64::try_from(shard.growth_bytes_per_day).unwrap_or(0));
        let growing = growth.saturating_mul(u64::from(options.horizon_days));
        let reserve = u64::try_from(reserve).unwrap_or(u64::MAX).saturating_add(growing);
        Bin {
            shard: &shard.shard,
            load_capacity: shard.load_capacity.unwrap_or(1),
            capacity: shard.capacity.0,
            used: shard.capacity.saturating_sub(shard.free).0,
            room: shard.free.0.saturating_sub(reserve),
            takes: takes.contains(&shard.shard),
            gives: false,
            load,
        }
    })
    .collect()
}

/// Wishes by node, looked up while items are made.
struct Wishes<'p> {
    must: BTreeSet<&'p NodeId>,
    targets_of: BTreeMap<&'p NodeId, Vec<bool>>,
    /// Sets that exist already, so that a million nodes with the same wish share one.
    known: BTreeMap<Vec<bool>, u32>,
}

impl<'p> Wishes<'p> {
    fn of(options: &'p PlanOptions, numbers: &BTreeMap<&ShardId, usize>) -> Self {
        let set = |targets: &Vec<ShardId>| {
            let mut set = vec![false; numbers.len()];
            targets.iter().filter_map(|target| numbers.get(target)).for_each(|&number| set[number] = true);
            set
        };
        Self {
            must: options.must_move.iter().collect(),
            targets_of: options.targets_of.iter().map(|(node, targets)| (node, set(targets))).collect(),
            known: BTreeMap::new(),
        }
    }

    fn must(&self, node: &NodeLoad) -> bool {
        self.must.contains(&node.node)
    }

    fn set_of(&mut self, node: &NodeLoad, sets: &mut Vec<Vec<bool>>) -> u32 {
        let Some(set) = self.targets_of.get(&node.node).cloned() else { return NONE };
        self.numbered(set, sets)
    }

    /// Where all of these may go; `None` when that is nowhere.
    fn common_set(&mut self, nodes: &[&NodeLoad], sets: &mut Vec<Vec<bool>>) -> Option<u32> {
        let mut limited = nodes.iter().filter_map(|node| self.targets_of.get(&node.node));
        let Some(first) = limited.next().cloned() else { return Some(NONE) };
        let common = limited.fold(first, |common, set| common.iter().zip(set).map(|(a, b)| *a && *b).collect());
        common.contains(&true).then(|| self.numbered(common, sets))
    }

    fn numbered(&mut self, set: Vec<bool>, sets: &mut Vec<Vec<bool>>) -> u32 {
        let next = u32::try_from(sets.len()).unwrap_or(NONE);
        let number = *self.known.entry(set.clone()).or_insert(next);
        if number == next {
            sets.push(set);
        }
        number
    }
}
