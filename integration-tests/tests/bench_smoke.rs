//! The benchmark program in a small size: that it measures and reports, not how fast anything is.

use anyhow::{Result, ensure};
use integration_tests::bench::Comparison;
use integration_tests::{ProcessSpec, TestRoot, tool};
use std::path::Path;
use std::time::Duration;

#[tokio::test]
async fn the_benchmark_measures_both_and_adds_to_its_report() -> Result<()> {
    let test = "the_benchmark_measures_both_and_adds_to_its_report";
    if tool(test, "restic").is_none() || tool(test, "rclone").is_none() {
        return Ok(());
    }
    let root = TestRoot::new("bench-smoke")?;
    let report = root.path().join("report.json");
    let mut bench = ProcessSpec::new("bench", Path::new(env!("CARGO_BIN_EXE_bench")), root.path())
        .env("SHARDLIFT_BENCH_MIB", "64")
        .env("SHARDLIFT_BENCH_ROUNDS", "1")
        .env("SHARDLIFT_BENCH_REPORT", &report)
        .spawn()?;
    let status = bench.wait_end(Duration::from_secs(180)).await?;
    println!("{}", bench.log()?);
    ensure!(status.success(), "{status}");
    let rows: Vec<Comparison> = serde_json::from_slice(&std::fs::read(&report)?)?;
    ensure!(rows.len() == 1 && rows[0].bench == "backup" && rows[0].peer_name == "rclone serve restic", "{rows:?}");
    ensure!(rows[0].ours > 0.0 && rows[0].peer > 0.0 && rows[0].unit == "MiB/s", "{rows:?}");
    ensure!((rows[0].ratio - rows[0].ours / rows[0].peer).abs() < 1e-6, "{rows:?}");
    Ok(())
}
