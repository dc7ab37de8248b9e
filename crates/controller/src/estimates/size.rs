//! What the batches that are over say of the size of the next one. A new plan begins with that many nodes unless its operator says
//! otherwise; of a plan that is in force it is words only.

use crate::operator::in_order;
use shardlift_migration::{Batch, BatchPhase, Verdict, World};
use shardlift_model::BatchId;
use shardlift_planner::PlanOptions;
use shardlift_planner::pace::{BatchResult, Finished, NextBatch, PaceRules, next_batch};

/// The next planned batch, and a note when it is larger than advised.
pub(crate) fn advice(world: &World) -> Option<(&BatchId, String)> {
    let next = in_order(world).find(|batch| batch.phase == BatchPhase::Planned)?;
    let advised = advised(world)?;
    let nodes = world.remaining(next).count() as u64;
    let verb = if advised.nodes == 1 { "node is" } else { "nodes are" };
    let note = || format!("{}; {} {verb} advised, this one has {nodes}", advised.why, advised.nodes);
    (nodes > advised.nodes).then(|| (&next.batch, note()))
}

/// How many nodes the next batch should have; `None` before the first is over.
pub(crate) fn advised(world: &World) -> Option<NextBatch> {
    let finished: Vec<Finished> = in_order(world).filter_map(|batch| finished(world, batch)).collect();
    let rules = PaceRules { canary_nodes: PlanOptions::default().canary_nodes as u64, nodes_max: u64::MAX };
    (!finished.is_empty()).then(|| next_batch(&finished, rules))
}

/// How a batch ended. One that soaks has ended once there is a verdict.
fn finished(world: &World, batch: &Batch) -> Option<Finished> {
    let nodes = batch.nodes.len() as u64;
    let left = world.members(batch).filter(|(_, moving)| moving.has_left()).count() as u64;
    let result = match (batch.phase, &batch.verdict) {
        (BatchPhase::RolledBack, _) => BatchResult::BadVerdict,
        (BatchPhase::Soaking | BatchPhase::Released, Some(Verdict::Bad { .. })) => BatchResult::BadVerdict,
        (BatchPhase::Aborted, _) => BatchResult::Failed { nodes },
        (BatchPhase::Released, _) | (BatchPhase::Soaking, Some(Verdict::Good)) if left > 0 => {
            BatchResult::Failed { nodes: left }
        }
        (BatchPhase::Released, _) | (BatchPhase::Soaking, Some(Verdict::Good)) => BatchResult::Good,
        _ => return None,
    };
    Some(Finished { nodes, result })
}
