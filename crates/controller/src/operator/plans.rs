//! Plans: made from the live inventory, checked against the world, applied by the revision that was reviewed.

mod look;
mod view;
mod wishes;

use super::{OperatorService, rfc3339};
use crate::clock;
use crate::estimates::advised;
use crate::journal::Entry;
use shardlift_api::convert;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_migration::{Input, World, decide};
use shardlift_model::{ByteCount, ShardId};
use shardlift_planner::{
    Drafted, Drawn, FILE_BYTES_MAX, Finding, PlanFile, Problem, WorldView, approve, check, drift, parse, render, solve,
};
use shardlift_store::RECORD_BYTES_MAX;
use view::{caveat, problem, world_view};

/// Findings repeated in a refusal; `plan check` shows all.
const FINDINGS_SHOWN: usize = 5;

/// Nodes that stay, told one by one when a plan was made; of more, how many.
const STAYING_SHOWN: usize = 10;

impl OperatorService {
    pub(super) async fn make_plan_text(&self, request: &v1::MakePlanRequest) -> Result<v1::MakePlanResponse, Fault> {
        let source: ShardId = convert::name("source", &request.source)?;
        let mut options = wishes::options(request)?;
        let (problem, view, words) = self.context.shared.both(|recorded, observed| {
            let world = &recorded.world;
            options.taken_names = world.batches.keys().cloned().collect();
            let begins_with = advised(world).filter(|_| request.canary_nodes == 0);
            if let Some(first) = &begins_with {
                options.canary_nodes = usize::try_from(first.nodes).unwrap_or(usize::MAX);
            }
            let first = begins_with.map(|first| format!("the first batch has up to {}: {}", first.nodes, first.why));
            let words: Vec<String> = caveat(world, observed).into_iter().chain(first).collect();
            Ok::<_, Fault>((problem(world, observed, source, options)?, world_view(world, observed), words))
        })?;
        // Seconds for a hundred thousand nodes, which nobody else has to wait for.
        let making = shardlift_net::spawn_blocking(move || made(&problem, &view, rfc3339(clock::now())));
        let mut made = making.await.map_err(Fault::internal)??;
        made.report.splice(0..0, words);
        Ok(made)
    }

    pub(super) fn check_plan_text(&self, toml: &str) -> v1::CheckPlanResponse {
        match self.read_plan(toml) {
            Ok((view, file)) => checked(&view, &file),
            Err(findings) => v1::CheckPlanResponse { problems: problems(findings), ..Default::default() },
        }
    }

    pub(super) fn graph_plan_text(&self, toml: &str) -> Result<v1::GraphPlanResponse, Fault> {
        let (view, file) = self.read_plan(toml).map_err(|findings| refused(&findings))?;
        Ok(look::graph(&view, &file))
    }

    pub(super) fn diff_plan_text(&self, toml: &str) -> Result<v1::DiffPlanResponse, Fault> {
        let (view, file) = self.read_plan(toml).map_err(|findings| refused(&findings))?;
        let in_force = self.context.shared.world(|world| world.plan.as_ref().map(|plan| plan.text.clone()));
        // What was applied could be read then; a text that cannot be read now is only not compared.
        let in_force = in_force.and_then(|text| parse(&text).ok());
        Ok(look::diff(&view, &file, in_force.as_ref()))
    }

    pub(super) fn rebase_plan_text(&self, request: &v1::RebasePlanRequest) -> Result<v1::RebasePlanResponse, Fault> {
        let (view, file) = self.read_plan(&request.toml).map_err(|findings| refused(&findings))?;
        look::rebased(&view, &file, request.redraw.then(|| rfc3339(clock::now())))
    }

    pub(super) async fn apply_plan_text(
        &self,
        request: v1::ApplyPlanRequest,
        asker: &str,
    ) -> Result<v1::ApplyPlanResponse, Fault> {
        let v1::ApplyPlanRequest { toml: text, revision, accept_drift } = request;
        let (view, file) = self.read_plan(&text).map_err(|findings| refused(&findings))?;
        if file.revision() != revision {
            let found = file.revision();
            let text = format!(
                "the file is revision {found}, revision {revision} was reviewed\nreview the file again and give its revision"
            );
            return Err(Fault::new(FaultKind::Refused, text));
        }
        let plan = approve(&file, &view).map_err(|findings| refused(&findings))?;
        if !accept_drift {
            refuse_drift(&view, &file)?;
        }
        let batches = plan.batches().iter().map(|batch| batch.name.to_string()).collect();
        let input = Input::ApplyPlan { plan, text, reviewed_revision: revision };
        self.context.shared.world(|world| fits_into_a_record(world, &input))?;
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

/// A draft of a plan as a file, with what explains it.
fn made(problem: &Problem, view: &WorldView, at: String) -> Result<v1::MakePlanResponse, Fault> {
    let (draft, report) = solve(problem).map_err(|conflict| Fault::new(FaultKind::Refused, conflict.to_string()))?;
    if draft.batches.is_empty() {
        return Err(Fault::new(FaultKind::Refused, format!("no move is needed\n{report}")));
    }
    let moves = draft.batches.iter().flat_map(|batch| &batch.moves).map(|one| (&one.node, &one.target));
    let drawn = Drawn::of(at, moves, view);
    let drafted =
        Drafted { draft: &draft, report: Some(&report), options: Some(&problem.options), drawn: Some(&drawn) };
    let toml = render(drafted, view.revision + 1, view.revision);
    if toml.len() > FILE_BYTES_MAX {
        let (bytes, most) = (ByteCount(toml.len() as u64), ByteCount(FILE_BYTES_MAX as u64));
        let text = format!(
            "the plan would be a file of {bytes}; at most {most} are read\nlet fewer nodes move at a time: --max-moves"
        );
        return Err(Fault::new(FaultKind::Exhausted, text));
    }
    Ok(v1::MakePlanResponse { toml, report: report.summary(STAYING_SHOWN) })
}

fn checked(view: &WorldView, file: &PlanFile) -> v1::CheckPlanResponse {
    let moves = || file.batches().flat_map(|(_, moves)| moves);
    let bytes = moves().filter_map(|(node, _)| view.nodes.get(node)).map(|node| node.bytes.0).sum();
    v1::CheckPlanResponse {
        problems: problems(check(file, view)),
        revision: file.revision(),
        batches: u32::try_from(file.batches().count()).unwrap_or(u32::MAX),
        nodes: u32::try_from(moves().count()).unwrap_or(u32::MAX),
        bytes,
        drift: drift(file, view).iter().map(ToString::to_string).collect(),
    }
}

/// A plan was reviewed as a change of the world that it was drawn in.
fn refuse_drift(view: &WorldView, file: &PlanFile) -> Result<(), Fault> {
    let changed = drift(file, view);
    if changed.is_empty() {
        return Ok(());
    }
    let at = file.drawn().map(|drawn| drawn.at.as_str()).unwrap_or_default();
    let mut text = vec![format!("the world has changed since the plan was drawn, {at}")];
    text.extend(changed.iter().take(FINDINGS_SHOWN).map(ToString::to_string));
    if changed.len() > FINDINGS_SHOWN {
        text.push(format!("and {} more", changed.len() - FINDINGS_SHOWN));
    }
    text.push("look at the plan again, then --accept-drift, or `shardlift plan rebase FILE --redraw`".to_owned());
    Err(Fault::new(FaultKind::Refused, text.join("\n")))
}

/// A record that the store does not take would end the controller.
fn fits_into_a_record(world: &World, input: &Input) -> Result<(), Fault> {
    let at = clock::now();
    // A refusal has no record; the loop says it again.
    for event in decide(world, input, at).unwrap_or_default() {
        let record = Entry { at, event }.to_record().map_err(Fault::internal)?;
        if record.len() > RECORD_BYTES_MAX {
            let (bytes, most) = (ByteCount(record.len() as u64), ByteCount(RECORD_BYTES_MAX as u64));
            let text = format!(
                "the plan would be a record of {bytes}; at most {most} are kept\nsplit the plan, or shorten its comments"
            );
            return Err(Fault::new(FaultKind::Exhausted, text));
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests;
