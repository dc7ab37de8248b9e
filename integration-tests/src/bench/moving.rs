//! The same trees moved by Shardlift and by what an operator would use instead, and what this machine can do at most.
//!
//! Invariants: nobody's clock stops before what was moved is durable; nobody is believed, all that arrived is compared with what
//! was there; whoever fails ends the benchmark; a program that is missing is said out loud. `docs/benchmarks.md` says what is measured, how,
//! and what the figures cannot say.

mod chart;
mod command;
mod contestant;
mod course;
mod figures;
mod goals;
mod limits;
mod machine;
mod manifest;
mod ours;
mod peers;
mod pipeline;
mod rclone;
mod rsync;
mod spent;
mod ssh;
mod start;
mod table;
mod tar;
mod tls;
mod trees;
mod usage;

pub use figures::{MoveFigure, MoveLimit};
pub use goals::MoveGoal;
pub use machine::Machine;
pub use start::Cache;

use crate::{TestRoot, tool};
use anyhow::{Context as _, Result, bail, ensure};
use contestant::{Contestant, Run};
use course::Course;
use figures::Measured;
use limits::Limits;
use rclone::Certificates;
use serde::{Deserialize, Serialize};
use spent::Spent;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tls::Settings;
use trees::{Kind, Size, Tree};

/// What is written and moved to find a limit: no more than this.
const LIMIT_MEBIBYTES_MAX: u64 = 1024;

/// The name by which the limits are asked for.
const LIMITS: &str = "limits";

/// How much to measure.
#[derive(Debug, Clone)]
pub struct MoveBench {
    /// Size of the tree of large objects, and of what restic backs up into the real repository, in MiB.
    pub mebibytes: u64,
    /// Objects of the tree of small ones.
    pub objects: u64,
    /// Rounds; each measures everybody once.
    pub rounds: usize,
    /// Of `large`, `small`, `restic`; all when empty.
    pub trees: Vec<String>,
    /// Who takes part, by name; all when empty.
    pub contestants: Vec<String>,
    /// Whether sources are in the page cache.
    pub cache: Cache,
    /// Of all trees.
    pub seed: u64,
    /// Where the picture goes.
    pub picture: PathBuf,
}

/// What everybody was measured under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveConditions {
    /// The benchmark.
    pub bench: String,
    /// Rounds.
    pub rounds: usize,
    /// `warm` or `cold`.
    pub cache: String,
    /// Of all trees.
    pub seed: u64,
    /// Which trees.
    pub trees: Vec<String>,
    /// Who took part.
    pub contestants: Vec<String>,
    /// Who did not, and why.
    pub skipped: Vec<String>,
    /// On what.
    pub machine: Machine,
}

/// A row of the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MoveRow {
    /// Once, first.
    Conditions(MoveConditions),
    /// For each contestant and run of each tree.
    Figure(Box<MoveFigure>),
    /// For each limit of the machine.
    Limit(MoveLimit),
    /// For each goal that something can be said about.
    Goal(MoveGoal),
}

/// Who takes part.
struct Field {
    contestants: Vec<Contestant>,
    limits: bool,
    skipped: Vec<String>,
    programs: BTreeMap<&'static str, PathBuf>,
}

fn chosen<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, wanted: &[String], what: &str) -> Result<Vec<T>> {
    for text in wanted {
        let names: Vec<_> = all.iter().map(|one| name(*one)).collect();
        ensure!(names.contains(&text.as_str()), "there is no {what} {text}; there are {}", names.join(", "));
    }
    let is_wanted = |one: &T| wanted.is_empty() || wanted.iter().any(|text| text == name(*one));
    Ok(all.iter().copied().filter(is_wanted).collect())
}

impl Field {
    /// Those who are wanted and can; the others are said out loud.
    fn choose(bench: &MoveBench, root: &Path) -> Result<Self> {
        let limits = bench.contestants.is_empty() || bench.contestants.iter().any(|name| name == LIMITS);
        let wanted: Vec<String> = bench.contestants.iter().filter(|name| *name != LIMITS).cloned().collect();
        let wanted = if wanted.is_empty() && !bench.contestants.is_empty() {
            Vec::new()
        } else {
            chosen(&Contestant::ALL, Contestant::name, &wanted, "contestant")?
        };
        let mut field = Self { contestants: Vec::new(), limits, skipped: Vec::new(), programs: BTreeMap::new() };
        for contestant in wanted {
            let name = contestant.name();
            let found =
                contestant.tools().iter().map(|program| (*program, tool(&format!("bench move: {name}"), program)));
            let found: Vec<_> = found.collect();
            let missing: Vec<_> =
                found.iter().filter(|(_, path)| path.is_none()).map(|(program, _)| *program).collect();
            if !missing.is_empty() {
                field.skipped.push(format!("{name}: not installed: {}", missing.join(", ")));
            } else if contestant == Contestant::PipelineDirect && !pipeline::can_write_directly(root)? {
                crate::skip(&format!("bench move: {name}"), "no O_DIRECT on this file system");
                field.skipped.push(format!("{name}: no O_DIRECT on this file system"));
            } else {
                field.programs.extend(found.into_iter().filter_map(|(program, path)| Some((program, path?))));
                field.contestants.push(contestant);
            }
        }
        Ok(field)
    }

    fn conditions(&self, bench: &MoveBench, kinds: &[Kind], root: &Path) -> MoveConditions {
        MoveConditions {
            bench: "move_conditions".to_owned(),
            rounds: bench.rounds,
            cache: bench.cache.name().to_owned(),
            seed: bench.seed,
            trees: kinds.iter().map(|kind| kind.name().to_owned()).collect(),
            contestants: self.contestants.iter().map(|contestant| contestant.name().to_owned()).collect(),
            skipped: self.skipped.clone(),
            machine: Machine::here(root, &self.programs),
        }
    }
}

fn below_the_title(conditions: &MoveConditions) -> String {
    let Machine { cores, processor, memory_mib, kernel, file_system, .. } = &conditions.machine;
    let (rounds, cache) = (conditions.rounds, &conditions.cache);
    let memory = memory_mib / 1024;
    let both = "both ends on one machine";
    format!(
        "medians of {rounds} round(s), source {cache}; {both}: {cores} cores ({processor}), {memory} GiB, {file_system}, Linux {kernel}"
    )
}

/// Measures, and tells each row of the report as soon as it is known.
///
/// # Errors
/// When anybody fails, or moves anything but what was there; when a row cannot be told.
pub async fn moving(bench: &MoveBench, mut tell: impl FnMut(&MoveRow) -> Result<()>) -> Result<()> {
    ensure!(bench.rounds > 0 && bench.mebibytes > 0 && bench.objects > 0, "nothing to measure: {bench:?}");
    let kinds = chosen(&Kind::ALL, Kind::name, &bench.trees, "tree")?;
    let root = TestRoot::new("bench-move")?;
    course::can_link(root.path())?;
    let field = Field::choose(bench, root.path())?;
    let settings = Settings::new(&Certificates::make(&root.path().join("bare-ca"))?)?;
    let conditions = field.conditions(bench, &kinds, root.path());
    println!("move: {}", below_the_title(&conditions));
    for skipped in &conditions.skipped {
        println!("move: SKIPPED {skipped}");
    }
    tell(&MoveRow::Conditions(conditions.clone()))?;
    let spent = Spent::new(root.path())?;
    let mut all = Vec::new();
    for kind in kinds {
        let figures = one_tree(bench, kind, &field, &settings, &spent, root.path()).await?;
        print!("{}", table::table(&figures));
        for figure in &figures {
            tell(&MoveRow::Figure(Box::new(figure.clone())))?;
        }
        for goal in goals::goals(&figures) {
            println!("{goal}");
            tell(&MoveRow::Goal(goal))?;
        }
        all.extend(figures);
        chart::draw(&bench.picture, &all, &below_the_title(&conditions))?;
    }
    if field.limits {
        let limits = limits(bench, &settings, root.path()).await?;
        println!("{}", table::limits(&limits));
        limits.into_iter().try_for_each(|limit| tell(&MoveRow::Limit(limit)))?;
    }
    Ok(())
}

async fn limits(bench: &MoveBench, settings: &Settings, root: &Path) -> Result<Vec<MoveLimit>> {
    let mut limits = Limits::default();
    for _round in 0..bench.rounds {
        limits.round(root, settings, bench.mebibytes.min(LIMIT_MEBIBYTES_MAX)).await.context("limits")?;
    }
    Ok(limits.figures())
}

async fn one_tree(
    bench: &MoveBench,
    kind: Kind,
    field: &Field,
    settings: &Settings,
    spent: &Spent,
    root: &Path,
) -> Result<Vec<MoveFigure>> {
    // Nothing gains by going past the page cache where every file is smaller than what is worth it.
    let takes_part = |contestant: &Contestant| kind != Kind::Small || *contestant != Contestant::PipelineDirect;
    let contestants: Vec<Contestant> = field.contestants.iter().copied().filter(takes_part).collect();
    if contestants.is_empty() {
        return Ok(Vec::new());
    }
    let folder = root.join(format!("tree-{}", kind.name()));
    let size = Size { mebibytes: bench.mebibytes, objects: bench.objects, seed: bench.seed };
    let tree = Tree::make(kind, &folder, size).await.with_context(|| format!("making the tree {}", kind.name()))?;
    let mut course = Course { root, bench, tree: &tree, spent, contestants: &contestants, settings, ways: None };
    let mut ways = BTreeMap::new();
    if contestants.contains(&Contestant::Rclone) {
        course.find_ways().await.context("finding out how rclone is fastest")?;
        let name = |run| Some(((Contestant::Rclone, run), course.ways?.of(run).name()));
        ways.extend([Run::First, Run::Unchanged, Run::Changed].into_iter().filter_map(name));
    }
    let mut samples = Vec::new();
    for round in 0..bench.rounds {
        samples.extend(course.round(round).await?);
    }
    let seen: BTreeSet<Contestant> = samples.iter().map(|sample| sample.contestant).collect();
    if seen.len() != contestants.len() {
        bail!("not everybody was measured: {seen:?}");
    }
    let figures = Measured { tree: &tree, samples, ways }.figures();
    spent.keep(&folder)?;
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_nobody_has_is_refused_and_none_means_all() {
        let kinds = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            chosen(&Kind::ALL, Kind::name, &names, "tree")
        };
        assert_eq!(kinds(&[]).unwrap(), Kind::ALL);
        assert_eq!(kinds(&["restic", "large"]).unwrap(), [Kind::Large, Kind::Restic]);
        assert!(kinds(&["huge"]).unwrap_err().to_string().contains("there are large, small, restic"));
    }
}
