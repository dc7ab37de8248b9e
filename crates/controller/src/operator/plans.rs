//! Plans: made from the live inventory, checked against the world, applied by the revision that was reviewed.

use super::OperatorService;
use crate::observed::{Observed, ShardSeen};
use shardlift_api::convert;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_migration::{BatchPhase, Input, Migration, Node, World};
use shardlift_model::{BatchId, ByteCount, ShardId, UnixMillis};
use shardlift_planner::{
    FILE_BYTES_MAX, Finding, NodeLoad, NodeView, PlanFile, PlanOptions, Problem, ShardCapacity, ShardView, WorldView,
    approve, check, parse, render, solve,
};
use std::collections::BTreeMap;

/// Names that one request may carry.
const NAMES_MAX: usize = 100_000;

/// Findings repeated in a refusal; `plan check` shows all.
const FINDINGS_SHOWN: usize = 5;

impl OperatorService {
    pub(super) fn make_plan_text(&self, request: &v1::MakePlanRequest) -> Result<v1::MakePlanResponse, Fault> {
        let source: ShardId = convert::name("source", &request.source)?;
        let mut options = options(request)?;
        let (problem, revision) = self.context.shared.both(|recorded, observed| {
            let world = &recorded.world;
            options.taken_names = world.batches.keys().cloned().collect();
            Ok::<_, Fault>((problem(world, observed, source, options)?, world.plan_revision()))
        })?;
        let (draft, _report) =
            solve(&problem).map_err(|conflict| Fault::new(FaultKind::Refused, conflict.to_string()))?;
        Ok(v1::MakePlanResponse { toml: render(&draft, revision + 1, revision) })
    }

    pub(super) fn check_plan_text(&self, toml: &str) -> v1::CheckPlanResponse {
        let (view, file) = match self.read_plan(toml) {
            Ok(read) => read,
            Err(findings) => return v1::CheckPlanResponse { problems: problems(findings), ..Default::default() },
        };
        let moves = || file.batches().flat_map(|(_, moves)| moves);
        let bytes = moves().filter_map(|(node, _)| view.nodes.get(node)).map(|node| node.bytes.0).sum();
        v1::CheckPlanResponse {
            problems: problems(check(&file, &view)),
            revision: file.revision(),
            batches: u32::try_from(file.batches().count()).unwrap_or(u32::MAX),
            nodes: u32::try_from(moves().count()).unwrap_or(u32::MAX),
            bytes,
        }
    }

    pub(super) async fn apply_plan_text(
        &self,
        request: v1::ApplyPlanRequest,
        asker: &str,
    ) -> Result<v1::ApplyPlanResponse, Fault> {
        let v1::ApplyPlanRequest { toml: text, revision } = request;
        let (view, file) = self.read_plan(&text).map_err(|findings| refused(&findings))?;
        if file.revision() != revision {
            let found = file.revision();
            let text = format!(
                "the file is revision {found}, revision {revision} was reviewed\nreview the file again and give its revision"
            );
            return Err(Fault::new(FaultKind::Refused, text));
        }
        let plan = approve(&file, &view).map_err(|findings| refused(&findings))?;
        let batches = plan.batches().iter().map(|batch| batch.name.to_string()).collect();
        let input = Input::ApplyPlan { plan, text, reviewed_revision: revision };
        self.submit(super::ordered(asker, input)).await?;
        Ok(v1::ApplyPlanResponse { revision, batches })
    }

    pub(super) fn present_plan(&self) -> Result<v1::ShowPlanResponse, Fault> {
        let plan = self.context.shared.world(|world| world.plan.clone());
        let none = || Fault::new(FaultKind::NotFound, "no plan is in force\n`shardlift plan make` drafts one");
        let plan = plan.ok_or_else(none)?;
        Ok(v1::ShowPlanResponse { toml: plan.text, revision: plan.revision, applied_at_unix_ms: plan.applied_at.0 })
    }

    fn read_plan(&self, toml: &str) -> Result<(WorldView, PlanFile), Vec<Finding>> {
        let file = parse(toml)?;
        let view = self.context.shared.both(|recorded, observed| world_view(&recorded.world, observed));
        Ok((view, file))
    }
}

fn options(request: &v1::MakePlanRequest) -> Result<PlanOptions, Fault> {
    if request.targets.len() + request.exclude.len() > NAMES_MAX {
        return Err(Fault::new(FaultKind::Exhausted, format!("more than {NAMES_MAX} names in one request")));
    }
    let default = PlanOptions::default();
    let count = |wish: u32| (wish > 0).then_some(wish as usize);
    let headroom_percent = match request.headroom_percent {
        0 => default.headroom_percent,
        percent => u8::try_from(percent).unwrap_or(u8::MAX),
    };
    Ok(PlanOptions {
        targets: request.targets.iter().map(|name| convert::name("target", name)).collect::<Result<_, _>>()?,
        canary_nodes: count(request.canary_nodes).unwrap_or(default.canary_nodes),
        batch_nodes: count(request.batch_nodes),
        exclude: request.exclude.iter().map(|name| convert::name("exclude", name)).collect::<Result<_, _>>()?,
        headroom_percent,
        taken_names: default.taken_names,
    })
}

fn problem(world: &World, observed: &Observed, source: ShardId, options: PlanOptions) -> Result<Problem, Fault> {
    if !world.shards.contains_key(&source) {
        let text = format!("shard {source} is not known\n`shardlift shard list` shows all shards");
        return Err(Fault::new(FaultKind::NotFound, text));
    }
    let seen = observed.shards.get(&source);
    if !seen.is_some_and(|seen| seen.is_reachable() && seen.listed) {
        let text =
            format!("shard {source} has not listed its nodes\nwait until `shardlift shard list` shows it reachable");
        return Err(Fault::new(FaultKind::Unavailable, text));
    }
    let load = |node: &Node| {
        let status = observed.at_writer(node)?;
        Some(NodeLoad {
            node: node.node.clone(),
            customer: node.customer.clone(),
            bytes: ByteCount(status.bytes),
            objects: status.objects,
            snapshots: status.snapshots,
            last_snapshot: UnixMillis(status.last_snapshot_unix_ms),
            pinned: false,
        })
    };
    let there = world.nodes.values().filter(|node| node.shard == source && busy(world, node).is_none());
    let nodes = there.filter_map(load).collect();
    let shards = shard_rooms(world, observed)
        .filter(|(_, view)| view.reachable)
        .map(|(shard, view)| ShardCapacity { shard: shard.clone(), capacity: view.capacity, free: view.free })
        .collect();
    Ok(Problem { source, nodes, shards, options })
}

fn world_view(world: &World, observed: &Observed) -> WorldView {
    let node_view = |node: &Node| {
        let status = observed.at_writer(node);
        NodeView {
            shard: node.shard.clone(),
            bytes: ByteCount(status.map_or(0, |status| status.bytes)),
            objects: status.map_or(0, |status| status.objects),
            busy: busy(world, node).map(|migration| migration.batch.clone()),
        }
    };
    WorldView {
        revision: world.plan_revision(),
        shards: shard_rooms(world, observed).map(|(shard, view)| (shard.clone(), view)).collect(),
        nodes: world.nodes.iter().map(|(name, node)| (name.clone(), node_view(node))).collect(),
        batches: earlier_batches(world),
    }
}

fn earlier_batches(world: &World) -> BTreeMap<BatchId, BTreeMap<shardlift_model::NodeId, ShardId>> {
    world.batches.values().map(|batch| (batch.batch.clone(), batch.nodes.clone())).collect()
}

/// The move that a node is in the middle of; a batch that was never started holds nobody.
fn busy<'w>(world: &World, node: &'w Node) -> Option<&'w Migration> {
    let migration = node.migration.as_ref().filter(|migration| !migration.stage.is_over())?;
    let phase = world.batches.get(&migration.batch).map(|batch| batch.phase);
    (phase != Some(BatchPhase::Planned)).then_some(migration)
}

/// Room on each shard, less what moves under way will still bring.
fn shard_rooms<'w>(world: &'w World, observed: &Observed) -> impl Iterator<Item = (&'w ShardId, ShardView)> + use<'w> {
    let mut coming: BTreeMap<&ShardId, u64> = BTreeMap::new();
    for node in world.nodes.values() {
        let Some(migration) = busy(world, node).filter(|migration| !migration.is_committed()) else { continue };
        let bytes = observed.at_writer(node).map_or(0, |status| status.bytes);
        let arrived = observed.replica(node).map_or(0, |replica| replica.bytes_done);
        *coming.entry(&migration.target).or_default() += bytes.saturating_sub(arrived);
    }
    let rooms: Vec<_> = world
        .shards
        .values()
        .map(|shard| {
            let seen = observed.shards.get(&shard.shard);
            let about = seen.and_then(|seen| seen.about.as_ref());
            let capacity = ByteCount(about.map_or(shard.capacity.0, |about| about.capacity_bytes));
            let free = about.map_or(0, |about| about.free_bytes).min(capacity.0);
            let free = ByteCount(free.saturating_sub(coming.get(&shard.shard).copied().unwrap_or(0)));
            let reachable = seen.is_some_and(ShardSeen::is_reachable);
            (&shard.shard, ShardView { capacity, free, reachable })
        })
        .collect();
    rooms.into_iter()
}

fn problems(findings: Vec<Finding>) -> Vec<v1::PlanProblem> {
    let problem =
        |Finding { line, column, message, hint, snippet }| v1::PlanProblem { line, column, message, hint, snippet };
    findings.into_iter().map(problem).collect()
}

fn refused(findings: &[Finding]) -> Fault {
    let shown = findings.iter().take(FINDINGS_SHOWN);
    let mut text: Vec<String> =
        shown.map(|finding| format!("line {}, column {}: {}", finding.line, finding.column, finding.message)).collect();
    if findings.len() > FINDINGS_SHOWN {
        text.push(format!("and {} more", findings.len() - FINDINGS_SHOWN));
    }
    text.push("`shardlift plan check` shows all of it".to_owned());
    Fault::new(FaultKind::Invalid, text.join("\n"))
}

/// Largest request: a plan file and some room.
pub(crate) const REQUEST_BYTES_MAX: usize = FILE_BYTES_MAX + (1 << 20);
