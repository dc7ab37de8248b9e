//! The benchmark program in a small size: that it measures and reports, not how fast anything is. What does not depend on
//! the machine is held all the same: no request fails at a flip, no client has to try again, nothing is lost.

use anyhow::{Result, ensure};
use integration_tests::bench::{Comparison, ParkedTimes, Retries};
use integration_tests::{ProcessSpec, TestRoot, tool};
use serde::de::DeserializeOwned;
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
    let status = bench.wait_end(Duration::from_secs(300)).await?;
    println!("{}", bench.log()?);
    ensure!(status.success(), "{status}");
    Ok(report)
}

fn rows<T: DeserializeOwned>(report: &Path, bench: &str) -> Result<Vec<T>> {
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(report)?)?;
    rows.into_iter().filter(|row| row["bench"] == bench).map(|row| Ok(serde_json::from_value(row)?)).collect()
}

#[tokio::test]
async fn the_benchmark_measures_both_and_adds_to_its_report() -> Result<()> {
    let test = "the_benchmark_measures_both_and_adds_to_its_report";
    if tool(test, "restic").is_none() || tool(test, "rclone").is_none() {
        return Ok(());
    }
    let root = TestRoot::new("bench-smoke")?;
    let sizes = [("SHARDLIFT_BENCH_PARTS", "backup"), ("SHARDLIFT_BENCH_MIB", "64"), ("SHARDLIFT_BENCH_ROUNDS", "1")];
    let report = run(&root, &sizes).await?;
    let rows: Vec<Comparison> = rows(&report, "backup")?;
    ensure!(rows.len() == 1 && rows[0].peer_name == "rclone serve restic", "{rows:?}");
    ensure!(rows[0].ours > 0.0 && rows[0].peer > 0.0 && rows[0].unit == "MiB/s", "{rows:?}");
    ensure!((rows[0].ratio - rows[0].ours / rows[0].peer).abs() < 1e-6, "{rows:?}");
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
