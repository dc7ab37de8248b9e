//! The crash matrix: every step of the driver, on every path, with a controller that dies before and after its effect, a lost
//! answer, a step that comes twice and one that comes late. Each cell has a cluster of its own and asserts that its mishap
//! happened at its step, that nothing was broken on the way, and all that is there in the end.

mod cell;
mod commit_store;
mod inventory;
mod path;
mod steps;

use super::bench::{CLUSTER, Ca, SHARDS, ZONE};
use super::yard::{Mishap, Mutant, Spot};
use cell::{Cell, TakenSteps, Walked};
use path::Path;
use shardlift_model::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The node that moves.
const NODE: &str = "acme/web-1";

/// A node that nobody moves: nothing may happen to it.
const BYSTANDER: &str = "globex";

const TARGET: &str = SHARDS[1];

/// By plan.
const BATCHES: [&str; 2] = ["one", "two"];

const CLUSTER_ZONE: (&str, &str) = (CLUSTER, ZONE);

/// Clusters at the same time. They wait more than they work.
const CELLS_AT_ONCE: usize = 16;

/// Cells that the matrix has at least.
const CELLS_MIN: usize = 200;

fn node() -> NodeId {
    NODE.parse().unwrap()
}

/// What a cell came to, and which one it was.
type Outcome = ((Path, usize, Mishap), Result<(), String>);

async fn calm(ca: &Arc<Ca>, path: Path) -> Walked {
    Cell::calm(path).run(ca.clone()).await.unwrap_or_else(|error| panic!("{path:?} without any mishap: {error}"))
}

/// What can go wrong at a step: a question has no effect that could be doubled or come late.
fn mishaps(spot: &Spot) -> &'static [Mishap] {
    match spot {
        Spot::Probe(_) => &[Mishap::CrashBefore, Mishap::AnswerLost],
        Spot::Command(..) | Spot::Commit(_) | Spot::Routes(_) => &Mishap::ALL,
    }
}

/// The cells of a path. What comes late is looked at on every path, as it is what comes later that it could break.
fn cells(path: Path, walked: &BTreeMap<Path, Walked>) -> Vec<(usize, Mishap, Cell)> {
    let Walked { steps, taken } = &walked[&path];
    let seen = |spot: &Spot| path.goes_on_from().is_some_and(|before| walked[&before].steps.contains(spot));
    let mut cells = Vec::new();
    for (row, spot) in steps.iter().enumerate() {
        for mishap in mishaps(spot).iter().filter(|mishap| **mishap == Mishap::Late || !seen(spot)) {
            let planned = Some((spot.clone(), *mishap));
            let cell = Cell { path, mishap: planned, mutant: None, taken: taken.clone() };
            cells.push((row, *mishap, cell));
        }
    }
    cells
}

/// Runs cells, a few at a time. One that panics has failed like any other.
async fn run_all(ca: &Arc<Ca>, cells: Vec<(usize, Mishap, Cell)>) -> Vec<Outcome> {
    let places = Arc::new(Semaphore::new(CELLS_AT_ONCE));
    let mut running = JoinSet::new();
    let mut names = BTreeMap::new();
    for (row, mishap, cell) in cells {
        let (ca, places, name) = (ca.clone(), places.clone(), (cell.path, row, mishap));
        let task = running.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            cell.run(ca).await.map(drop)
        });
        names.insert(task.id(), name);
    }
    let mut outcomes = Vec::new();
    while let Some(ended) = running.join_next_with_id().await {
        outcomes.push(match ended {
            Ok((id, result)) => (names[&id], result),
            Err(error) => (names[&error.id()], Err(format!("it panicked: {error}"))),
        });
    }
    outcomes.sort_by_key(|(name, _)| *name);
    outcomes
}

fn words(spot: &Spot) -> String {
    match spot {
        Spot::Command(word, shard, 1) => format!("{word} at {shard}"),
        Spot::Command(word, shard, nth) => format!("{word} at {shard}, {nth}."),
        Spot::Commit(generation) => format!("commit of generation {generation}"),
        Spot::Routes(generation) => format!("routes of generation {generation}"),
        Spot::Probe(generation) => format!("probe of generation {generation}"),
    }
}

fn print_table(walked: &BTreeMap<Path, Walked>, outcomes: &[Outcome]) {
    let results: BTreeMap<_, _> = outcomes.iter().map(|(name, result)| (*name, result)).collect();
    println!("{:<11}{:<36}before  after  lost    twice  late", "path", "step");
    for (path, Walked { steps, .. }) in walked {
        for (row, spot) in steps.iter().enumerate() {
            let found = Mishap::ALL.map(|mishap| match results.get(&(*path, row, mishap)) {
                None => "-",
                Some(Ok(())) => "ok",
                Some(Err(_)) => "FAILED",
            });
            let path = format!("{path:?}");
            let [before, after, lost, twice, late] = found;
            println!("{path:<11}{:<36}{before:<8}{after:<7}{lost:<8}{twice:<7}{late}", words(spot));
        }
    }
}

async fn walk_all(ca: &Arc<Ca>) -> BTreeMap<Path, Walked> {
    let walks = Path::ALL.map(|path| async move { (path, calm(ca, path).await) });
    futures::future::join_all(walks).await.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_at_whichever_step_the_node_comes_to_the_same_end() {
    let began = Instant::now();
    let ca = Ca::new();
    let walked = walk_all(&ca).await;
    let commanded: BTreeSet<&str> = walked
        .values()
        .flat_map(|walked| &walked.steps)
        .filter_map(|spot| if let Spot::Command(word, ..) = spot { Some(*word) } else { None })
        .collect();
    let others = [steps::RENEWAL, steps::DEEP_VERIFY, steps::SETTING];
    let wanted: BTreeSet<&str> = steps::COMMANDS.iter().copied().chain(others).collect();
    assert_eq!(commanded, wanted, "a command that no path sends is not shown to survive anything");
    let cells: Vec<_> = Path::ALL.iter().flat_map(|path| cells(*path, &walked)).collect();
    let outcomes = run_all(&ca, cells).await;
    print_table(&walked, &outcomes);
    let failed: Vec<_> = outcomes.iter().filter_map(|(name, result)| Some((name, result.as_ref().err()?))).collect();
    for ((path, row, mishap), why) in &failed {
        println!("{path:?}, {}, {mishap:?}: {why}", words(&walked[path].steps[*row]));
    }
    println!("{} cells in {:.1} s, {} failed", outcomes.len(), began.elapsed().as_secs_f64(), failed.len());
    assert!(failed.is_empty(), "{} of {} cells failed", failed.len(), outcomes.len());
    assert!(outcomes.len() >= CELLS_MIN, "{} cells", outcomes.len());
}

/// The cells of one kind on a path, with shards that leave something out: which ones fail, and why.
async fn failing(walked: &BTreeMap<Path, Walked>, path: Path, wanted: Mishap, mutant: Mutant) -> Vec<(String, String)> {
    let cells = cells(path, walked).into_iter().filter(|(_, mishap, _)| *mishap == wanted);
    let mutants = cells.map(|(row, mishap, cell)| (row, mishap, Cell { mutant: Some(mutant), ..cell }));
    let outcomes = run_all(&Ca::new(), mutants.collect()).await;
    let failed = outcomes.into_iter().filter_map(|((_, row, _), result)| Some((row, result.err()?)));
    failed.map(|(row, why)| (words(&walked[&path].steps[row]), why)).collect()
}

async fn walk_back() -> BTreeMap<Path, Walked> {
    let ca = Ca::new();
    [(Path::Forward, calm(&ca, Path::Forward).await), (Path::Back, calm(&ca, Path::Back).await)].into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_that_carry_out_late_commands_make_two_writers() {
    let walked = walk_back().await;
    let failed = failing(&walked, Path::Back, Mishap::Late, Mutant::IgnoresTokens).await;
    for invariant in ["INV-01", "INV-03"] {
        let caught: Vec<&String> =
            failed.iter().filter(|(_, why)| why.contains(invariant)).map(|(step, _)| step).collect();
        println!("{invariant} is broken without tokens by: {caught:?}");
        assert!(!caught.is_empty(), "{invariant}: no late command shows what tokens are for");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_that_refuse_repetitions_are_found_out() {
    let walked = walk_back().await;
    for mishap in [Mishap::AnswerLost, Mishap::CrashAfter] {
        let failed = failing(&walked, Path::Forward, mishap, Mutant::RefusesRepetitions).await;
        println!("{mishap:?}: {:?}", failed.iter().map(|(step, _)| step).collect::<Vec<_>>());
        for word in ["offer", "start_replica", "fence", "complete_replica", "seal", "promote", "retire"] {
            let found = failed.iter().any(|(step, _)| step.starts_with(word));
            // A new term makes a new token: it is no repetition then.
            assert_eq!(found, mishap == Mishap::AnswerLost, "{mishap:?} at {word}: {failed:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routers_that_sever_nothing_leave_a_writer_beside_the_one_that_takes_over() {
    let cell = Cell { mutant: Some(Mutant::SeversNothing), ..Cell::calm(Path::Takeover) };
    let why = cell.run(Ca::new()).await.map(drop).unwrap_err();
    assert!(why.contains("INV-01"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mishap_that_does_not_happen_fails_its_cell() {
    let taken = TakenSteps::new();
    let mishap = Some((Spot::Commit(9), Mishap::CrashBefore));
    let cell = Cell { path: Path::Forward, mishap, mutant: None, taken };
    let why = cell.run(Ca::new()).await.map(drop).unwrap_err();
    assert!(why.contains("did not happen"), "{why}");
}
