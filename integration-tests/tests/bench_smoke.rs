//! The benchmark program in a small size: that it measures and reports, not how fast anything is. What does not depend on
//! the machine is held all the same: no request fails at a flip, no client has to try again, nothing is lost.

use anyhow::{Result, ensure};
use integration_tests::bench::{
    ClientsFirst, Comparison, MoveConditions, MoveFigure, MoveGoal, MoveLimit, ParkedTimes, Retries,
};
use integration_tests::{ProcessSpec, TestRoot, tool};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One run of the program with these settings.
async fn run(root: &TestRoot, settings: &[(&str, &str)]) -> Result<PathBuf> {
    let report = root.path().join("report.json");
    let mut bench = ProcessSpec::new("bench", Path::new(env!("CARGO_BIN_EXE_bench")), root.path());
    for (name, value) in settings {
        bench = bench.env(*name, *value);
    }
    let mut bench = bench.env("SHARDLIFT_BENCH_REPORT", &report).spawn()?;
    let status = bench.wait_end(Duration::from_secs(600)).await?;
    println!("{}", bench.log()?);
    ensure!(status.success(), "{status}");
    Ok(report)
}

fn rows<T: DeserializeOwned>(report: &Path, bench: &str) -> Result<Vec<T>> {
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(report)?)?;
    rows.into_iter().filter(|row| row["bench"] == bench).map(|row| Ok(serde_json::from_value(row)?)).collect()
}

#[tokio::test]
async fn the_benchmark_measures_everybody_and_adds_to_its_report() -> Result<()> {
    let test = "the_benchmark_measures_everybody_and_adds_to_its_report";
    if tool(test, "restic").is_none() || tool(test, "rclone").is_none() {
        return Ok(());
    }
    let root = TestRoot::new("bench-smoke")?;
    let sizes = [("SHARDLIFT_BENCH_PARTS", "serve"), ("SHARDLIFT_BENCH_MIB", "64"), ("SHARDLIFT_BENCH_ROUNDS", "1")];
    let report = run(&root, &sizes).await?;
    for work in ["backup", "restore", "check"] {
        let rows: Vec<Comparison> = rows(&report, work)?;
        // rustic-server takes part where it was built.
        ensure!((1..=2).contains(&rows.len()) && rows[0].peer_name == "rclone serve restic", "{rows:?}");
        for row in &rows {
            ensure!(row.ours > 0.0 && row.peer > 0.0 && row.unit == "MiB/s", "{row:?}");
            ensure!((row.ratio - row.ours / row.peer).abs() < 1e-6, "{row:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_flip_is_measured_and_no_request_fails_and_no_client_tries_again() -> Result<()> {
    let test = "a_flip_is_measured_and_no_request_fails_and_no_client_tries_again";
    if tool(test, "restic").is_none() {
        return Ok(());
    }
    let root = TestRoot::new("bench-smoke-flip")?;
    let sizes = [
        ("SHARDLIFT_BENCH_PARTS", "flip"),
        ("SHARDLIFT_BENCH_BATCHES", "1,4"),
        ("SHARDLIFT_BENCH_RATE", "100"),
        ("SHARDLIFT_BENCH_CLIENTS", "3"),
        ("SHARDLIFT_BENCH_CLIENT_MIB", "8"),
    ];
    let report = run(&root, &sizes).await?;
    let parked: Vec<ParkedTimes> = rows(&report, "flip")?;
    ensure!(parked.iter().map(|row| row.nodes).eq([1, 4]), "{parked:?}");
    for row in &parked {
        ensure!(row.failed == 0 && row.lost == 0, "{row}");
        ensure!(row.requests > 0 && 0.0 < row.p50_ms && row.p50_ms <= row.p99_ms && row.p99_ms <= row.max_ms, "{row}");
        ensure!(row.flip_ms > 0.0 && row.met == (row.p99_ms < row.goal_ms), "{row:?}");
    }
    let retries: Vec<Retries> = rows(&report, "retries")?;
    ensure!(retries.len() == 1 && retries[0].clients == 3, "{retries:?}");
    ensure!(retries[0].lines == 0 && retries[0].lost == 0 && retries[0].through > 0, "{}", retries[0]);
    Ok(())
}

#[tokio::test]
async fn clients_are_timed_with_and_without_a_move_and_none_fails() -> Result<()> {
    let test = "clients_are_timed_with_and_without_a_move_and_none_fails";
    if tool(test, "restic").is_none() {
        return Ok(());
    }
    let root = TestRoot::new("bench-smoke-clients")?;
    let sizes = [
        ("SHARDLIFT_BENCH_PARTS", "clients"),
        ("SHARDLIFT_BENCH_FIRST_CLIENTS", "2"),
        ("SHARDLIFT_BENCH_FIRST_NODES", "2"),
        ("SHARDLIFT_BENCH_FIRST_MIB", "8"),
        ("SHARDLIFT_BENCH_FIRST_CLIENT_MIB", "1"),
        ("SHARDLIFT_BENCH_FIRST_BACKUP_SECONDS", "2"),
        ("SHARDLIFT_BENCH_FIRST_SECONDS", "3"),
        ("SHARDLIFT_BENCH_FIRST_ROUNDS", "1"),
    ];
    let report = run(&root, &sizes).await?;
    let rows: Vec<ClientsFirst> = rows(&report, "clients")?;
    ensure!(rows.len() == 1 && (rows[0].clients, rows[0].nodes) == (2, 2), "{rows:?}");
    let row = &rows[0];
    ensure!(row.requests > 20 && row.usual_p50_ms > 0.0 && row.usual_p50_ms <= row.usual_p99_ms, "{row:?}");
    ensure!((row.latency_on - row.on_p99_ms / row.usual_p99_ms).abs() < 1e-6, "{row:?}");
    let throughput = row.on_mebibytes_per_second / row.idle_mebibytes_per_second;
    ensure!(row.off_mebibytes_per_second > 0.0 && (row.throughput_on - throughput).abs() < 1e-6, "{row:?}");
    // Whether the goals are met depends on the machine.
    ensure!(row.latency_met == (row.latency_on <= ClientsFirst::LATENCY_GOAL), "{row:?}");
    Ok(())
}

/// Who has a second run.
const SYNCS: [&str; 4] = ["shardlift", "rsync-ssh", "rsync-daemon", "rclone"];

/// Who moves a tree once.
const STREAMS: [&str; 4] = ["tar-tls", "cp", "pipeline", "pipeline-direct"];

fn check_move(figures: &[MoveFigure], conditions: &MoveConditions) -> Result<()> {
    for tree in ["large", "small"] {
        let measured = |run: &str| -> BTreeSet<&str> {
            let of_run = figures.iter().filter(|figure| figure.tree == tree && figure.run == run);
            of_run.map(|figure| figure.contestant.as_str()).collect()
        };
        let took_part = |name: &&str| conditions.contestants.iter().any(|one| one == name);
        let syncs: BTreeSet<&str> = SYNCS.into_iter().filter(took_part).collect();
        let streams =
            STREAMS.into_iter().filter(|name| took_part(name) && (tree == "large" || *name != "pipeline-direct"));
        let everybody: BTreeSet<&str> = streams.chain(syncs.iter().copied()).collect();
        ensure!(measured("first") == everybody, "{tree}: {:?} instead of {everybody:?}", measured("first"));
        ensure!(measured("changed") == syncs, "{tree}, changed: {:?}", measured("changed"));
        let mut unchanged = measured("unchanged");
        ensure!(unchanged.remove("shardlift-restarted") && unchanged == syncs, "{tree}, unchanged: {unchanged:?}");
    }
    for figure in figures {
        ensure!(figure.seconds.len() == 1 && figure.median_s > 0.0 && !figure.how.is_empty(), "{figure:?}");
        let first = figure.run == "first";
        ensure!(figure.mebibytes_per_second.is_some() == (figure.run != "unchanged"), "{figure:?}");
        ensure!(figure.cpu_s_per_gib.is_some() == first, "{figure:?}");
        ensure!(figure.ratio.is_some() == (figure.standing != "ours"), "{figure:?}");
        if figure.contestant == "shardlift" {
            let both = figure.peak_source_mib.zip(figure.peak_target_mib);
            ensure!(both.is_some_and(|(source, target)| source > 1.0 && target > 1.0), "{figure:?}");
            let order = [figure.began_s, Some(figure.median_s), figure.verified_s];
            ensure!(!first || (order[0] < order[1] && order[1] < order[2]), "{figure:?}");
            ensure!(figure.question_s.is_some() == (figure.run == "unchanged"), "{figure:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn everybody_moves_every_tree_and_the_report_has_all_of_it() -> Result<()> {
    let root = TestRoot::new("bench-smoke-move")?;
    let sizes = [
        ("SHARDLIFT_BENCH_PARTS", "move"),
        ("SHARDLIFT_BENCH_MOVE_MIB", "64"),
        ("SHARDLIFT_BENCH_MOVE_OBJECTS", "500"),
        ("SHARDLIFT_BENCH_MOVE_ROUNDS", "1"),
        ("SHARDLIFT_BENCH_MOVE_TREES", "large,small"),
    ];
    let report = run(&root, &sizes).await?;
    let conditions: Vec<MoveConditions> = rows(&report, "move_conditions")?;
    ensure!(
        conditions.len() == 1 && conditions[0].trees == ["large", "small"] && conditions[0].cache == "warm",
        "{conditions:?}"
    );
    let everybody = conditions[0].contestants.len() + conditions[0].skipped.len();
    ensure!(everybody == SYNCS.len() + STREAMS.len(), "{conditions:?}");
    check_move(&rows::<MoveFigure>(&report, "move")?, &conditions[0])?;
    let goals: Vec<MoveGoal> = rows(&report, "move_goal")?;
    // Whether they are met depends on the machine.
    ensure!(goals.iter().any(|goal| goal.tree == "large" && goal.at_most && goal.unit == "s/GiB"), "{goals:?}");
    ensure!(
        goals
            .iter()
            .all(|goal| goal.met == (if goal.at_most { goal.value <= goal.goal } else { goal.value >= goal.goal }))
    );
    let limits: Vec<MoveLimit> = rows(&report, "move_limit")?;
    let names: BTreeSet<&str> = limits.iter().map(|limit| limit.limit.as_str()).collect();
    ensure!(names.is_superset(&BTreeSet::from(["sha256-1", "sha256-2", "tls-1", "tls-2", "dd-fsync"])), "{names:?}");
    ensure!(limits.iter().all(|limit| 0.0 < limit.min && limit.min <= limit.median && limit.median <= limit.max));
    let picture = std::fs::read_to_string(report.with_file_name("move.svg"))?;
    ensure!(picture.starts_with("<svg") && picture.contains(">shardlift</text>"), "{picture}");
    Ok(())
}
