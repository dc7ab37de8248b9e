//! Plans: drafted by the controller, kept in files, checked here for their form and there against the world.

use crate::cli::{Global, PlanCommand, PlanDraft};
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::{self, check_text, clean, print, talk};
use serde::Serialize;
use shardlift_api::v1;
use shardlift_planner::{FILE_BYTES_MAX, Finding, parse};
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

pub(crate) async fn run(global: &Global, command: PlanCommand) -> Result<(), Failure> {
    match command {
        PlanCommand::Make(draft) => make(global, draft).await,
        PlanCommand::Check { file, offline } => check(global, &file, offline).await,
        PlanCommand::Apply { file, revision, dry_run } => apply(global, &file, revision, dry_run).await,
        PlanCommand::Show => show(global).await,
    }
}

#[derive(Debug, Serialize)]
struct Drafted {
    toml: String,
    file: Option<PathBuf>,
}

async fn make(global: &Global, draft: PlanDraft) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let request = v1::MakePlanRequest {
        source: draft.source.to_string(),
        targets: draft.targets.iter().map(ToString::to_string).collect(),
        canary_nodes: draft.canary,
        batch_nodes: draft.batch,
        exclude: draft.exclude.iter().map(ToString::to_string).collect(),
        headroom_percent: draft.headroom.unwrap_or(0),
    };
    let made = connection.answer(connection.client.clone().make_plan(request)).await?;
    if let Some(file) = &draft.out {
        write_plan(file, &made.toml, draft.force)?;
    }
    let drafted = Drafted { toml: made.toml, file: draft.out };
    print(global.output, &drafted, |drafted| match &drafted.file {
        Some(file) => {
            let (file, revision) = (file.display(), parse(&drafted.toml).map_or(0, |plan| plan.revision()));
            talk("review it, then:");
            talk(&format!("  shardlift plan check {file}\n  shardlift plan apply {file} --revision {revision}"));
            format!("{file}: revision {revision}")
        }
        None => drafted.toml.clone(),
    })
}

fn write_plan(file: &Path, toml: &str, force: bool) -> Result<(), Failure> {
    let opened = OpenOptions::new().write(true).create(true).truncate(force).create_new(!force).open(file);
    let written = opened.and_then(|mut opened| opened.write_all(toml.as_bytes()).and_then(|()| opened.sync_all()));
    written.map_err(|error| {
        let failure = Failure::caused(format!("{} was not written", file.display()), &error);
        if error.kind() == std::io::ErrorKind::AlreadyExists { failure.advise("--force replaces it") } else { failure }
    })
}

fn read_plan(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let limit = FILE_BYTES_MAX as u64 + 1;
    let read = fs::File::open(file).and_then(|opened| opened.take(limit).read_to_string(&mut text));
    read.map_err(|error| Failure::caused(format!("{} cannot be read", file.display()), &error))?;
    Ok(text)
}

/// What the form alone shows.
fn check_form(text: &str) -> v1::CheckPlanResponse {
    let found = |finding: Finding| {
        let Finding { line, column, snippet, message, hint } = finding;
        v1::PlanProblem { line, column, message, hint, snippet }
    };
    match parse(text) {
        Err(findings) => {
            v1::CheckPlanResponse { problems: findings.into_iter().map(found).collect(), ..Default::default() }
        }
        Ok(plan) => v1::CheckPlanResponse {
            revision: plan.revision(),
            batches: u32::try_from(plan.batches().count()).unwrap_or(u32::MAX),
            nodes: u32::try_from(plan.batches().flat_map(|(_, moves)| moves).count()).unwrap_or(u32::MAX),
            ..Default::default()
        },
    }
}

/// Problems as a compiler shows them, on stderr; then the failure that stands for all of them.
fn refuse_problems(file: &Path, problems: &[v1::PlanProblem]) -> Result<(), Failure> {
    if problems.is_empty() {
        return Ok(());
    }
    talk(&problems_text(file, problems));
    let what = format!("{}: {} problems", file.display(), problems.len());
    Err(Failure::new(Exit::Problems, what).advise("nothing was changed"))
}

fn problems_text(file: &Path, problems: &[v1::PlanProblem]) -> String {
    let name = file.display().to_string();
    let shown = |problem: &v1::PlanProblem| {
        let v1::PlanProblem { line, column, message, hint, snippet } = problem;
        let (message, hint, snippet) = (clean(message), clean(hint), clean(snippet));
        format!("{}\n", Finding { line: *line, column: *column, snippet, message, hint }.in_file(&name))
    };
    problems.iter().map(shown).collect::<Vec<_>>().join("\n")
}

async fn check(global: &Global, file: &Path, offline: bool) -> Result<(), Failure> {
    let toml = read_plan(file)?;
    let mut answer = check_form(&toml);
    if answer.problems.is_empty() && !offline {
        let connection = Connection::open(global).map_err(|failure| {
            let advice = format!("{}; --offline looks at the form alone", failure.advice);
            failure.advise(advice)
        })?;
        answer = connection.answer(connection.client.clone().check_plan(v1::CheckPlanRequest { toml })).await?;
    } else if offline {
        talk("only the form was looked at: names, space and order need the controller");
    }
    if answer.problems.is_empty() || global.output == crate::cli::Format::Json {
        print(global.output, &answer, check_text)?;
    }
    refuse_problems(file, &answer.problems)
}

async fn apply(global: &Global, file: &Path, revision: u64, dry_run: bool) -> Result<(), Failure> {
    let toml = read_plan(file)?;
    let form = check_form(&toml);
    refuse_problems(file, &form.problems)?;
    if form.revision != revision {
        let what = format!("{} is revision {}, revision {revision} was reviewed", file.display(), form.revision);
        return Err(Failure::new(Exit::Refused, what).advise("review the file again and give its revision"));
    }
    let connection = Connection::open(global)?;
    let mut client = connection.client.clone();
    let checked = connection.answer(client.check_plan(v1::CheckPlanRequest { toml: toml.clone() })).await?;
    refuse_problems(file, &checked.problems)?;
    if dry_run {
        talk("dry run: the plan may be applied and was not");
        return print(global.output, &checked, check_text);
    }
    let applied = connection.answer(client.apply_plan(v1::ApplyPlanRequest { toml, revision })).await?;
    print(global.output, &applied, |applied| {
        if let Some(first) = applied.batches.first() {
            talk(&format!("next:\n  shardlift batch start {first} --wait"));
        }
        format!("revision {} is in force: {}", applied.revision, applied.batches.join(", "))
    })
}

async fn show(global: &Global) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let plan = connection.answer(connection.client.clone().show_plan(v1::ShowPlanRequest {})).await?;
    print(global.output, &plan, |plan| {
        talk(&format!("revision {}, applied {}", plan.revision, output::instant(plan.applied_at_unix_ms)));
        plan.toml.clone()
    })
}

#[cfg(test)]
mod tests;
