//! A plan beside the world: its picture, what of it is done, and the same plan on the base of the one in force.

use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_model::ByteCount;
use shardlift_planner::{Base, Drawn, Fill, PlanFile, WorldView, diff, drift, heat, rebase};

pub(super) fn graph(view: &WorldView, file: &PlanFile) -> v1::GraphPlanResponse {
    let heat::Picture { weeks, without_capacity, is_load_known } = heat::picture(view, file);
    let row = |shares: &[Fill]| shares.iter().map(|share| share.0).collect();
    let week = |week: &heat::Week| v1::ShardWeek {
        shard: week.shard.to_string(),
        before: row(&week.before),
        after: row(&week.after),
    };
    v1::GraphPlanResponse {
        weeks: weeks.iter().map(week).collect(),
        load_known: is_load_known,
        without_capacity: without_capacity.iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn diff(view: &WorldView, file: &PlanFile, in_force: Option<&PlanFile>) -> v1::DiffPlanResponse {
    let diff::Standing { done, moving, open, elsewhere, unknown } = diff::world(file, view);
    let share = |(nodes, bytes): (u64, ByteCount)| Some(v1::PlanShare { nodes, bytes: bytes.0 });
    let changes = in_force.map(|in_force| diff::plans(in_force, file)).unwrap_or_default();
    let elsewhere = elsewhere.into_iter();
    v1::DiffPlanResponse {
        revision: file.revision(),
        done: share(done),
        moving: share(moving),
        open: share(open),
        elsewhere: elsewhere
            .map(|(node, shard)| v1::NodeElsewhere { node: node.to_string(), shard: shard.to_string() })
            .collect(),
        unknown: unknown.iter().map(ToString::to_string).collect(),
        drift: drift(file, view).iter().map(ToString::to_string).collect(),
        in_force: view.revision,
        changes: changes.iter().map(ToString::to_string).collect(),
    }
}

/// `redrawn_at`: the world of now is noted as the one that the plan was drawn in.
pub(super) fn rebased(
    view: &WorldView,
    file: &PlanFile,
    redrawn_at: Option<String>,
) -> Result<v1::RebasePlanResponse, Fault> {
    let (revision, based_on) = (view.revision + 1, view.revision);
    let moves = || file.batches().flat_map(|(_, moves)| moves);
    let drawn = redrawn_at.map(|at| Drawn::of(at, moves(), view));
    let toml = rebase(file.text(), &Base { revision, based_on, drawn });
    let toml = toml.map_err(|error| Fault::new(FaultKind::Invalid, error.to_string()))?;
    Ok(v1::RebasePlanResponse { toml, revision, based_on })
}
