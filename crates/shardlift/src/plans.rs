//! Plans: drafted by the controller, kept in files, checked here for their form and there against the world.

mod look;
mod rewrite;
mod what_if;
mod wishes;

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

/// Changes of the world named before a plan is refused; `plan diff` shows all.
const DRIFT_SHOWN: usize = 20;

pub(crate) async fn run(global: &Global, command: PlanCommand) -> Result<(), Failure> {
    match command {
        PlanCommand::Make(draft) => make(global, *draft).await,
        PlanCommand::Check { file, offline } => check(global, &file, offline).await,
        PlanCommand::Apply { file, revision, dry_run, accept_drift } => {
            apply(global, &file, Reviewed { revision, accept_drift }, dry_run).await
        }
        PlanCommand::Diff { file, other: Some(other) } => look::diff_files(global, &file, &other),
        PlanCommand::Diff { file, other: None } => look::diff_world(global, &file).await,
        PlanCommand::Graph(picture) => look::graph(global, picture).await,
        PlanCommand::Rebase { file, redraw } => rewrite::rebase(global, &file, redraw).await,
        PlanCommand::Show => show(global).await,
        PlanCommand::WhatIf(arguments) => what_if::run(global, &arguments).await,
    }
}

#[derive(Debug, Serialize)]
struct Drafted {
    toml: String,
    file: Option<PathBuf>,
    report: Vec<String>,
}

async fn make(global: &Global, draft: PlanDraft) -> Result<(), Failure> {
    let wishes = wishes::wishes(draft.wishes)?;
    let connection = Connection::open(global)?;
    let request = v1::MakePlanRequest {
        source: draft.source.to_string(),
        targets: draft.targets.iter().map(ToString::to_string).collect(),
        canary_nodes: draft.canary.unwrap_or(0),
        batch_nodes: draft.batch,
        exclude: draft.exclude.iter().map(ToString::to_string).collect(),
        headroom_percent: draft.headroom.unwrap_or(0),
        wishes: Some(wishes),
    };
    let made = connection.answer(connection.client.clone().make_plan(request)).await?;
    if let Some(file) = &draft.out {
        write_new(file, &made.toml, draft.force)?;
    }
    made.report.iter().for_each(|line| talk(&clean(line)));
    let drafted = Drafted { toml: made.toml, file: draft.out, report: made.report };
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

fn write_new(file: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let opened = OpenOptions::new().write(true).create(true).truncate(force).create_new(!force).open(file);
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all()));
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

fn problem(finding: Finding) -> v1::PlanProblem {
    let Finding { line, column, snippet, message, hint } = finding;
    v1::PlanProblem { line, column, message, hint, snippet }
}

/// What the form alone shows.
fn check_form(text: &str) -> v1::CheckPlanResponse {
    match parse(text) {
        Err(findings) => {
            v1::CheckPlanResponse { problems: findings.into_iter().map(problem).collect(), ..Default::default() }
        }
        Ok(plan) => v1::CheckPlanResponse {
            revision: plan.revision(),
            batches: u32::try_from(plan.batches().count()).unwrap_or(u32::MAX),
            nodes: u32::try_from(plan.batches().flat_map(|(_, moves)| moves).count()).unwrap_or(u32::MAX),
            ..Default::default()
        },
    }
}

/// The text of a file whose form is good.
fn read_good_plan(file: &Path) -> Result<String, Failure> {
    let text = read_plan(file)?;
    refuse_problems(file, &check_form(&text).problems)?;
    Ok(text)
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

/// What has changed since the plan was drawn.
fn drift_text(drift: &[String]) -> String {
    let mut text = "changed since the plan was drawn:".to_owned();
    drift.iter().take(DRIFT_SHOWN).for_each(|line| text.push_str(&format!("\n  {}", clean(line))));
    if drift.len() > DRIFT_SHOWN {
        text.push_str(&format!("\n  and {} more; `shardlift plan diff` shows all", drift.len() - DRIFT_SHOWN));
    }
    text
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
    if !answer.drift.is_empty() {
        talk(&format!("note: {}", drift_text(&answer.drift)));
    }
    if answer.problems.is_empty() || global.output == crate::cli::Format::Json {
        print(global.output, &answer, check_text)?;
    }
    refuse_problems(file, &answer.problems)
}

/// What an operator says of the plan that is to come into force.
#[derive(Debug, Clone, Copy)]
struct Reviewed {
    revision: u64,
    accept_drift: bool,
}

async fn apply(global: &Global, file: &Path, reviewed: Reviewed, dry_run: bool) -> Result<(), Failure> {
    let Reviewed { revision, accept_drift } = reviewed;
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
    refuse_drift(file, &checked.drift, accept_drift)?;
    if dry_run {
        talk("dry run: the plan may be applied and was not");
        return print(global.output, &checked, check_text);
    }
    let applied = connection.answer(client.apply_plan(v1::ApplyPlanRequest { toml, revision, accept_drift })).await?;
    print(global.output, &applied, |applied| {
        if let Some(first) = applied.batches.first() {
            talk(&format!("next:\n  shardlift batch start {first} --wait"));
        }
        format!("revision {} is in force: {}", applied.revision, applied.batches.join(", "))
    })
}

/// The controller refuses it as well; here all of it is shown, and a dry run says the same.
fn refuse_drift(file: &Path, drift: &[String], accept: bool) -> Result<(), Failure> {
    if drift.is_empty() {
        return Ok(());
    }
    talk(&format!("{}{}", if accept { "accepted: " } else { "" }, drift_text(drift)));
    if accept {
        return Ok(());
    }
    let what = format!("{}: the world has changed since the plan was drawn", file.display());
    let advice =
        "look at the plan again, then --accept-drift; `shardlift plan rebase FILE --redraw` notes the world of now";
    Err(Failure::new(Exit::Refused, what).advise(advice))
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
