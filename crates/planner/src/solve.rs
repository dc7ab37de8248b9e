//! From a problem to a draft: refuse the absurd, place, cut into batches, explain.
//!
//! Two ways: where load is known or the wishes ask for it, [`relief`]; where nothing but sizes is known and everything
//! leaves, [`packing`].
//!
//! Never overfills a target: the bytes a target gets are at most its free bytes less the headroom of its capacity.

mod batching;
mod moment;
mod packing;
mod relief;

use crate::conflict::Conflict;
use crate::draft::{Draft, DraftBatch, Fill, Move, PlacementReason, Report, StayReason, TargetReport};
use crate::policy::Window;
use crate::problem::{Eligible, NodeLoad, Problem};
use crate::words::counted;
use batching::Group;
use packing::{Packing, Spot};
use shardlift_model::{BatchId, ByteCount};

/// Answers a problem.
///
/// # Errors
/// [`Conflict`] when figures or wishes contradict each other, or when the nodes do not fit.
pub fn solve(problem: &Problem) -> Result<(Draft, Report), Conflict> {
    let eligible = problem.eligible()?;
    problem.refuse_goal_without_load()?;
    if problem.needs_relief() {
        return relief::solve(problem, eligible);
    }
    let packing = packing::pack(&eligible.movable, &eligible.targets, problem.options.headroom_percent)?;
    let groups = batching::cut(&eligible.movable, &problem.options)?;
    let headroom_percent = problem.options.headroom_percent;
    let batches =
        groups.iter().map(|group| draft_batch(group, &eligible, &packing, &problem.options.windows)).collect();
    let draft = Draft { source: problem.source.clone(), headroom_percent, batches };
    let report = report(problem, &eligible, &packing, &groups);
    Ok((draft, report))
}

fn draft_batch(group: &Group, eligible: &Eligible<'_>, packing: &Packing<'_>, windows: &[Window]) -> DraftBatch {
    let moves = group.members.iter().map(|&member| {
        let node = eligible.movable[member];
        let target = packing.bins[packing.spots[member].bin].shard.clone();
        Move { node: node.node.clone(), target, bytes: node.bytes, objects: node.objects }
    });
    let loads = group.members.iter().map(|&member| &eligible.movable[member].load);
    let moment = moment::of(loads, windows);
    DraftBatch { name: group.name.clone(), moves: moves.collect(), moment }
}

fn report(problem: &Problem, eligible: &Eligible<'_>, packing: &Packing<'_>, groups: &[Group]) -> Report {
    let targets = packing.bins.iter().map(|bin| TargetReport {
        shard: bin.shard.clone(),
        nodes: bin.nodes,
        bytes: bin.bytes,
        fill_before: Fill::of(bin.used.saturating_sub(bin.bytes), bin.capacity),
        fill_after: Fill::of(bin.used, bin.capacity),
        peak: None,
    });
    let placements = groups.iter().flat_map(|group| {
        group.members.iter().enumerate().map(|(at, &member)| {
            let (node, spot) = (eligible.movable[member], &packing.spots[member]);
            let target = packing.bins[spot.bin].shard.clone();
            let why = why(node, spot, packing, group.reasons.get(at));
            PlacementReason { node: node.node.clone(), batch: group.name.clone(), target, why }
        })
    });
    let staying = eligible.staying.iter();
    Report {
        load: None,
        source: source_report(problem, eligible),
        targets: targets.collect(),
        placements: placements.collect(),
        staying: staying.map(|(node, why)| StayReason { node: node.node.clone(), why: (*why).to_owned() }).collect(),
    }
}

fn source_report(problem: &Problem, eligible: &Eligible<'_>) -> Option<TargetReport> {
    let source = problem.shards.iter().find(|shard| shard.shard == problem.source)?;
    let bytes = eligible.movable.iter().fold(ByteCount(0), |sum, node| sum.saturating_add(node.bytes));
    let used = source.capacity.saturating_sub(source.free);
    Some(TargetReport {
        shard: source.shard.clone(),
        nodes: eligible.movable.len() as u64,
        bytes,
        fill_before: Fill::of(used, source.capacity),
        fill_after: Fill::of(used.saturating_sub(bytes), source.capacity),
        peak: None,
    })
}

fn why(node: &NodeLoad, spot: &Spot, packing: &Packing<'_>, canary: Option<&&'static str>) -> String {
    let NodeLoad { bytes, objects, .. } = node;
    let Spot { fill_before, fill_after, candidates, .. } = spot;
    let all = packing.bins.len();
    let choice = match (packing.tight, candidates) {
        (_, 1) => format!("the only one of {all} targets with room"),
        (false, _) => format!("the lowest fill among {candidates} of {all} targets with room"),
        (true, _) => {
            format!("the tightest fit among {candidates} of {all} targets with room, as an even packing fails")
        }
    };
    let canary = canary.map(|reason| format!("; canary: {reason}")).unwrap_or_default();
    format!("{bytes}, {}; fill {fill_before} -> {fill_after}, {choice}{canary}", counted(*objects, "object"))
}

/// The first name of a series that earlier plans have not used.
fn free_name(mut series: impl Iterator<Item = String>, taken: impl Fn(&BatchId) -> bool) -> Result<BatchId, Conflict> {
    // A text of the series that is no batch name is skipped like one that is taken.
    series.find_map(|text| text.parse().ok().filter(|name| !taken(name))).ok_or(Conflict::NoNameLeft)
}
