//! When nothing is found: the smallest set of wishes that conflict.
//!
//! A deletion filter: each wish in turn is left out; when there is still no plan, it was not part of the conflict and stays
//! out. What is left conflicts, and does not without any one of it.

use super::board::Board;
use super::search::{Failure, demand, present, search};
use crate::conflict::Conflict;
use crate::draft::Fill;
use crate::problem::Problem;
use crate::problem::wishes::Goal;
use crate::words::{counted, listed};
use shardlift_model::{ByteCount, CustomerId, NodeId};
use std::collections::BTreeSet;

/// Wishes of one kind that are told apart; of more, the kind is left out as a whole.
const APART_MAX: usize = 12;

#[derive(Clone)]
enum Wish {
    Goal,
    MustMove(Vec<NodeId>),
    Customers(Vec<CustomerId>),
    Pins,
    Exclusions,
    Holds,
    Targets,
    TargetsOf,
    Headroom,
    Growth,
    BytesMax,
    MovesMax,
}

pub(super) fn refusal(problem: &Problem, board: &Board<'_>, failure: &Failure) -> Conflict {
    let proven = match failure {
        Failure::Stuck(_) => false,
        Failure::Limits | Failure::Crowded { .. } => true,
        Failure::Peak { bound, .. } => match board.goal {
            Goal::PeakAtMost { percent } => *bound > f64::from(percent) / 100.0,
            _ => false,
        },
    };
    let mut relaxed = problem.clone();
    let mut kept = Vec::new();
    for wish in wishes(problem) {
        let mut without = relaxed.clone();
        wish.leave_out(&mut without);
        if has_plan(&without) {
            kept.push(wish);
        } else {
            relaxed = without;
        }
    }
    let wishes = kept.iter().map(|wish| wish.words(problem, board, failure)).collect();
    Conflict::Wishes { wishes, proven }
}

fn has_plan(problem: &Problem) -> bool {
    match problem.eligible() {
        Ok(eligible) => Board::of(problem, eligible)
            .is_ok_and(|mut board| demand(&mut board).and_then(|()| search(&board, present(&board))).is_ok()),
        Err(Conflict::NothingToMove { .. }) => problem.options.must_move.is_empty(),
        Err(_) => false,
    }
}

/// All that were made; those that are easiest to give up come last, so that they are what is named.
fn wishes(problem: &Problem) -> Vec<Wish> {
    let options = &problem.options;
    let mut wishes = Vec::new();
    let mut add = |made: bool, wish: Wish| {
        if made {
            wishes.push(wish);
        }
    };
    add(problem.nodes.iter().any(|node| node.pinned) || !options.pins.is_empty(), Wish::Pins);
    add(!options.exclude.is_empty(), Wish::Exclusions);
    add(!options.holds.is_empty(), Wish::Holds);
    add(!options.targets.is_empty(), Wish::Targets);
    add(!options.targets_of.is_empty(), Wish::TargetsOf);
    let customers: Vec<CustomerId> = options.customers.keys().cloned().collect();
    let chunk = |count: usize| if count > APART_MAX { count } else { 1 };
    customers.chunks(chunk(customers.len())).for_each(|some| add(true, Wish::Customers(some.to_vec())));
    let growing = problem.nodes.iter().any(|node| node.growth_bytes_per_day > 0);
    let growing = growing || problem.shards.iter().any(|shard| shard.growth_bytes_per_day > 0);
    add(growing && options.horizon_days > 0, Wish::Growth);
    add(options.headroom_percent > 0, Wish::Headroom);
    add(options.bytes_max.is_some(), Wish::BytesMax);
    add(options.moves_max.is_some(), Wish::MovesMax);
    let must = &options.must_move;
    must.chunks(chunk(must.len())).for_each(|some| add(true, Wish::MustMove(some.to_vec())));
    add(problem.goal() != Goal::LowestPeak, Wish::Goal);
    wishes
}

impl Wish {
    fn leave_out(&self, problem: &mut Problem) {
        let options = &mut problem.options;
        match self {
            Self::Goal => options.goal = Some(Goal::LowestPeak),
            Self::MustMove(nodes) => options.must_move.retain(|node| !nodes.contains(node)),
            Self::Customers(customers) => options.customers.retain(|customer, _| !customers.contains(customer)),
            Self::Pins => {
                options.pins.clear();
                problem.nodes.iter_mut().for_each(|node| node.pinned = false);
            }
            Self::Exclusions => options.exclude.clear(),
            Self::Holds => options.holds.clear(),
            Self::Targets => options.targets.clear(),
            Self::TargetsOf => options.targets_of.clear(),
            Self::Headroom => options.headroom_percent = 0,
            Self::Growth => options.horizon_days = 0,
            Self::BytesMax => options.bytes_max = None,
            Self::MovesMax => options.moves_max = None,
        }
    }

    fn words(&self, problem: &Problem, board: &Board<'_>, failure: &Failure) -> String {
        let options = &problem.options;
        let names = |nodes: &[NodeId]| listed(nodes.iter().map(NodeId::as_str));
        match self {
            Self::Goal => format!("{}{}", problem.goal(), detail(board, failure)),
            Self::MustMove(nodes) => format!("must move: {}{}", names(nodes), detail(board, failure)),
            Self::Customers(customers) => match customers.as_slice() {
                [one] => {
                    let rule = options.customers.get(one).map(ToString::to_string).unwrap_or_default();
                    format!("customer `{one}`: {rule}")
                }
                many => format!("rules for {}", counted(many.len() as u64, "customer")),
            },
            Self::Pins => {
                let pinned = problem.nodes.iter().filter(|node| node.pinned).map(|node| &node.node);
                let pinned = pinned.chain(&options.pins).collect::<BTreeSet<_>>().len() as u64;
                format!("{} pinned to their shard", counted(pinned, "node"))
            }
            Self::Exclusions => format!("excluded: {}", names(&options.exclude)),
            Self::Holds => format!("on hold: {}", names(&options.holds)),
            Self::Targets => {
                format!("targets: only {}", listed(options.targets.iter().map(shardlift_model::ShardId::as_str)))
            }
            Self::TargetsOf => format!("allowed targets of {}", counted(options.targets_of.len() as u64, "node")),
            Self::Headroom => format!("{} % of each target stays free", options.headroom_percent),
            Self::Growth => format!("room for {} of growth", counted(u64::from(options.horizon_days), "day")),
            Self::BytesMax => format!("at most {} move", options.bytes_max.unwrap_or_default()),
            Self::MovesMax => format!("at most {} move", counted(options.moves_max.unwrap_or_default(), "node")),
        }
    }
}

fn detail(board: &Board<'_>, failure: &Failure) -> String {
    let share = |level: f64| Fill((level * 1e9) as u64);
    match failure {
        Failure::Peak { reached, bound } => {
            format!(" (reached: {}; not below {})", share(*reached), share(*bound))
        }
        Failure::Crowded { staying } => format!(" ({staying} may not move)"),
        Failure::Limits => " (more than the limits let go)".to_owned(),
        Failure::Stuck(items) => {
            let Some(item) = items.first().map(|number| &board.items[*number as usize]) else { return String::new() };
            let name = item.members(board).first().map(|node| node.node.as_str()).unwrap_or_default();
            let room = board.bins.iter().filter(|bin| bin.takes).map(|bin| bin.room).max().unwrap_or(0);
            let (bytes, room) = (ByteCount(item.bytes_then), ByteCount(room));
            let others = counted(items.len() as u64 - 1, "other");
            format!(
                " (node `{name}` with {bytes} at the end of the horizon and {others} find no place; the most room of a target is {room})"
            )
        }
    }
}
