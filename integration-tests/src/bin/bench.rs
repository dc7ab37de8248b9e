//! `make bench`: see `integration_tests::bench`. Exit code 0 when everything was measured, whether or not a goal is met:
//! the report says which; 1 when something could not be measured.
//!
//! What is measured and where it is written:
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `SHARDLIFT_BENCH_PARTS` | `serve,flip,move,clients` | the parts to run |
//! | `SHARDLIFT_BENCH_REPORT` | `target/bench/report.json` | the file that figures are appended to |
//! | `SHARDLIFT_BENCH_MIB` | 2048 | serve: size of one backup |
//! | `SHARDLIFT_BENCH_ROUNDS` | 3 | serve: rounds |
//! | `SHARDLIFT_BENCH_BATCHES` | `1,40,500` | flip: nodes of each batch whose parked times are measured |
//! | `SHARDLIFT_BENCH_RATE` | 200 | flip: objects that all clients of a batch store per second, at most 50 each. From about |
//! | | | 1000 on two cores are full before the flip begins, and the longest delta a flip allows is what is measured |
//! | `SHARDLIFT_BENCH_CLIENTS` | 32 | flip: real backups through a flip of their own |
//! | `SHARDLIFT_BENCH_CLIENT_MIB` | 16 | flip: new bytes in each of these |
//! | `SHARDLIFT_BENCH_FIRST_CLIENTS` | 16 | clients: clients that back up |
//! | `SHARDLIFT_BENCH_FIRST_NODES` | 20 | clients: nodes that leave, in each move |
//! | `SHARDLIFT_BENCH_FIRST_MIB` | 256 | clients: size of each of these nodes |
//! | `SHARDLIFT_BENCH_FIRST_CLIENT_MIB` | 8 | clients: new bytes in each backup |
//! | `SHARDLIFT_BENCH_FIRST_BACKUP_SECONDS` | 20 | clients: from one backup of a client to its next |
//! | `SHARDLIFT_BENCH_FIRST_SECONDS` | 15 | clients: how long clients are watched without a move before each move |
//! | `SHARDLIFT_BENCH_FIRST_ROUNDS` | 3 | clients: rounds |
//! | `SHARDLIFT_BENCH_MOVE_MIB` | 4096 | move: size of the tree of large objects, and of what is in the real repository |
//! | `SHARDLIFT_BENCH_MOVE_OBJECTS` | 200000 | move: objects of the tree of small ones |
//! | `SHARDLIFT_BENCH_MOVE_ROUNDS` | 5 | move: rounds |
//! | `SHARDLIFT_BENCH_MOVE_TREES` | all | move: of `large`, `small`, `restic` |
//! | `SHARDLIFT_BENCH_MOVE_CONTESTANTS` | all | move: of `shardlift`, `rsync-ssh`, `rsync-daemon`, `rclone`, `tar-tls`, `cp`, |
//! | | | `pipeline`, `pipeline-direct`, `limits` |
//! | `SHARDLIFT_BENCH_MOVE_CACHE` | `warm` | move: whether sources are in the page cache; `warm` or `cold` |
//! | `SHARDLIFT_BENCH_MOVE_SEED` | 1 | move: seed of the trees |
//! | `SHARDLIFT_BENCH_MOVE_SVG` | `move.svg` beside the report | move: the picture |

use anyhow::{Context as _, Result, ensure};
use integration_tests::bench::{
    ClientsBench, FlipBench, MoveBench, ServingBench, append, clients, flip, moving, serving,
};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

fn text(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_unset| default.to_owned())
}

fn number<T: FromStr>(name: &str, default: &str) -> Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text = text(name, default);
    text.parse().with_context(|| format!("{name} is no such number: {text}"))
}

async fn measure_serving(report: &Path) -> Result<()> {
    let bench = ServingBench {
        mebibytes: number("SHARDLIFT_BENCH_MIB", "2048")?,
        rounds: number("SHARDLIFT_BENCH_ROUNDS", "3")?,
    };
    for comparison in serving(bench).await? {
        println!("{comparison}");
        append(report, &comparison)?;
    }
    Ok(())
}

async fn measure_flip(report: &Path) -> Result<()> {
    let batches = text("SHARDLIFT_BENCH_BATCHES", "1,40,500");
    let batches = batches.split(',').map(|nodes| nodes.trim().parse()).collect::<Result<_, _>>();
    let bench = FlipBench {
        batches: batches.context("SHARDLIFT_BENCH_BATCHES is no list of numbers")?,
        rate: number("SHARDLIFT_BENCH_RATE", "200")?,
        clients: number("SHARDLIFT_BENCH_CLIENTS", "32")?,
        client_mebibytes: number("SHARDLIFT_BENCH_CLIENT_MIB", "16")?,
    };
    let figures = flip(&bench).await?;
    for parked in &figures.parked {
        append(report, parked)?;
    }
    figures.retries.iter().try_for_each(|retries| append(report, retries))
}

/// The names in a list with commas; none for `all`.
fn names(name: &str) -> Vec<String> {
    match text(name, "all").as_str() {
        "all" => Vec::new(),
        list => list.split(',').map(|one| one.trim().to_owned()).collect(),
    }
}

async fn measure_move(report: &Path) -> Result<()> {
    let picture = report.with_file_name("move.svg");
    let bench = MoveBench {
        mebibytes: number("SHARDLIFT_BENCH_MOVE_MIB", "4096")?,
        objects: number("SHARDLIFT_BENCH_MOVE_OBJECTS", "200000")?,
        rounds: number("SHARDLIFT_BENCH_MOVE_ROUNDS", "5")?,
        trees: names("SHARDLIFT_BENCH_MOVE_TREES"),
        contestants: names("SHARDLIFT_BENCH_MOVE_CONTESTANTS"),
        cache: text("SHARDLIFT_BENCH_MOVE_CACHE", "warm").parse()?,
        seed: number("SHARDLIFT_BENCH_MOVE_SEED", "1")?,
        picture: PathBuf::from(text("SHARDLIFT_BENCH_MOVE_SVG", &picture.to_string_lossy())),
    };
    moving(&bench, |row| append(report, row)).await
}

async fn measure_clients(report: &Path) -> Result<()> {
    let bench = ClientsBench {
        clients: number("SHARDLIFT_BENCH_FIRST_CLIENTS", "16")?,
        nodes: number("SHARDLIFT_BENCH_FIRST_NODES", "20")?,
        mebibytes: number("SHARDLIFT_BENCH_FIRST_MIB", "256")?,
        client_mebibytes: number("SHARDLIFT_BENCH_FIRST_CLIENT_MIB", "8")?,
        backup_seconds: number("SHARDLIFT_BENCH_FIRST_BACKUP_SECONDS", "20")?,
        seconds: number("SHARDLIFT_BENCH_FIRST_SECONDS", "15")?,
        rounds: number("SHARDLIFT_BENCH_FIRST_ROUNDS", "3")?,
    };
    let figures = clients(&bench).await?;
    println!("{figures}");
    append(report, &figures)
}

async fn measure() -> Result<()> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench/report.json");
    let report = PathBuf::from(text("SHARDLIFT_BENCH_REPORT", default));
    let parts = text("SHARDLIFT_BENCH_PARTS", "serve,flip,move,clients");
    let parts: Vec<&str> = parts.split(',').map(str::trim).collect();
    let unknown: Vec<_> = parts.iter().filter(|part| !["serve", "flip", "move", "clients"].contains(part)).collect();
    ensure!(unknown.is_empty(), "SHARDLIFT_BENCH_PARTS names {unknown:?}; there are serve, flip, move and clients");
    if parts.contains(&"serve") {
        measure_serving(&report).await?;
    }
    if parts.contains(&"flip") {
        measure_flip(&report).await?;
    }
    if parts.contains(&"move") {
        measure_move(&report).await?;
    }
    if parts.contains(&"clients") {
        measure_clients(&report).await?;
    }
    println!("appended to {}", report.display());
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:?}");
            ExitCode::FAILURE
        }
    }
}
