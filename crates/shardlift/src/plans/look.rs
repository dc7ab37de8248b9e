//! A plan looked at: beside the world, beside another file, and as a picture of the load by hour.

use super::{read_good_plan, write_new};
use crate::cli::{Global, PlanPicture};
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::{bytes, clean, print, talk};
use serde::Serialize;
use shardlift_api::v1;
use shardlift_planner::{Fill, HOURS, PlanFile, diff, heat, parse};
use std::io::IsTerminal as _;
use std::path::Path;

/// Columns of a terminal that does not say how many it has.
const COLUMNS: usize = 120;

/// Two files side by side; JSON has a list of the differences.
pub(super) fn diff_files(global: &Global, first: &Path, second: &Path) -> Result<(), Failure> {
    let differences = diff::plans(&read(first)?, &read(second)?);
    print(global.output, &differences, |differences| match differences.as_slice() {
        [] => "no difference".to_owned(),
        all => all.iter().map(|one| clean(&one.to_string())).collect::<Vec<_>>().join("\n"),
    })
}

fn read(file: &Path) -> Result<PlanFile, Failure> {
    let text = read_good_plan(file)?;
    parse(&text).map_err(|_| Failure::new(Exit::Problems, format!("{} cannot be read", file.display())))
}

pub(super) async fn diff_world(global: &Global, file: &Path) -> Result<(), Failure> {
    let toml = read_good_plan(file)?;
    let connection = Connection::open(global)?;
    let answer = connection.answer(connection.client.clone().diff_plan(v1::DiffPlanRequest { toml })).await?;
    print(global.output, &answer, world_text)
}

pub(super) fn world_text(answer: &v1::DiffPlanResponse) -> String {
    let mut lines = Vec::new();
    let shares = [("at their target", &answer.done), ("moving", &answer.moving), ("to go", &answer.open)];
    for (word, share) in shares {
        let v1::PlanShare { nodes, bytes: size } = share.unwrap_or_default();
        lines.push(format!("{word}: {nodes} nodes, {}", bytes(size)));
    }
    lines.extend(answer.elsewhere.iter().map(|one| format!("elsewhere: {} on {}", one.node, one.shard)));
    lines.extend(answer.unknown.iter().map(|node| format!("unknown: {node}")));
    lines.extend(answer.drift.iter().map(|change| format!("changed since it was drawn: {change}")));
    let v1::DiffPlanResponse { revision, in_force, .. } = answer;
    match (in_force, answer.changes.as_slice()) {
        (0, _) => lines.push("no plan is in force".to_owned()),
        (in_force, []) => {
            lines.push(format!("revision {in_force}, in force, says the same as this revision {revision}"))
        }
        (in_force, changes) => {
            lines.push(format!("against revision {in_force}, in force, this revision {revision}:"));
            lines.extend(changes.iter().map(|change| format!("  {change}")));
        }
    }
    lines.iter().map(|line| clean(line)).collect::<Vec<_>>().join("\n")
}

#[derive(Debug, Serialize)]
struct Drawn<'p> {
    #[serde(flatten)]
    picture: &'p v1::GraphPlanResponse,
    file: Option<&'p Path>,
}

pub(super) async fn graph(global: &Global, asked: PlanPicture) -> Result<(), Failure> {
    let toml = read_good_plan(&asked.file)?;
    let connection = Connection::open(global)?;
    let picture = connection.answer(connection.client.clone().graph_plan(v1::GraphPlanRequest { toml })).await?;
    show(global, &asked, &picture)
}

/// Says what is missing; draws what there is.
pub(super) fn show(global: &Global, asked: &PlanPicture, picture: &v1::GraphPlanResponse) -> Result<(), Failure> {
    let weeks = weeks(picture)?;
    missing(picture).iter().for_each(|line| talk(line));
    let title = format!("Load by hour of the week before and after {}", asked.file.display());
    let (file, drawn) = match (&asked.html, &asked.svg) {
        (Some(file), _) => (Some(file.as_path()), heat::html(&title, &weeks)),
        (None, Some(file)) => (Some(file.as_path()), heat::svg(&weeks)),
        (None, None) => (None, heat::text(&weeks, columns())),
    };
    if weeks.is_empty() {
        let what = format!("{}: there is no load to draw", asked.file.display());
        return Err(
            Failure::new(Exit::Problems, what).advise("see above; sizes alone are shown by `shardlift plan diff`")
        );
    }
    if let Some(file) = file {
        write_new(file, &drawn, asked.force)?;
    }
    print(global.output, &Drawn { picture, file }, |_| match file {
        Some(file) => file.display().to_string(),
        None => drawn.clone(),
    })
}

/// What cannot be drawn, and what to do about it.
fn missing(picture: &v1::GraphPlanResponse) -> Vec<String> {
    let mut lines = Vec::new();
    if !picture.load_known {
        lines.push(
            "no load is known yet: shards record it by hour as clients come; look again after a day, better after a week"
                .to_owned(),
        );
    }
    if !picture.without_capacity.is_empty() {
        let shards = picture.without_capacity.iter().map(|shard| clean(shard)).collect::<Vec<_>>().join(", ");
        lines.push(format!(
            "the load capacity is not known of: {shards}; `load_bytes_per_second` in shard.toml says it"
        ));
    }
    lines
}

/// A controller that sends other than whole weeks is not of this version.
fn weeks(picture: &v1::GraphPlanResponse) -> Result<Vec<heat::Week>, Failure> {
    let shares = |row: &[u64]| (row.len() == HOURS).then(|| row.iter().map(|share| Fill(*share)).collect());
    let week = |week: &v1::ShardWeek| {
        let (shard, before, after) = (week.shard.parse().ok()?, shares(&week.before)?, shares(&week.after)?);
        Some(heat::Week { shard, before, after })
    };
    let weeks: Option<Vec<_>> = picture.weeks.iter().map(week).collect();
    weeks.ok_or_else(|| Failure::new(Exit::Failed, "the controller sent a week that is none"))
}

/// Of the terminal; what goes elsewhere has room enough.
fn columns() -> usize {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return COLUMNS;
    }
    let size = rustix::termios::tcgetwinsize(stdout).ok().map(|size| usize::from(size.ws_col));
    size.filter(|columns| *columns > 0).unwrap_or(COLUMNS)
}
