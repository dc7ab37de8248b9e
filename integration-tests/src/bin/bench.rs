//! `make bench`: see `integration_tests::bench`. Exit code 0 when everything was measured, whether or not a goal is met:
//! the report says which; 1 when something could not be measured.
//!
//! `SHARDLIFT_BENCH_MIB` (2048), `SHARDLIFT_BENCH_ROUNDS` (3) and `SHARDLIFT_BENCH_REPORT` (target/bench/report.json)
//! change what is measured and where it is written.

use anyhow::{Context as _, Result};
use integration_tests::bench::{BackupBench, append, backup};
use std::path::PathBuf;
use std::process::ExitCode;

fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is no number: {text}")),
        Err(_unset) => Ok(default),
    }
}

async fn measure() -> Result<()> {
    let default = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench/report.json"));
    let report = std::env::var_os("SHARDLIFT_BENCH_REPORT").map_or(default, PathBuf::from);
    let rounds = u32::try_from(number("SHARDLIFT_BENCH_ROUNDS", 3)?).context("SHARDLIFT_BENCH_ROUNDS")?;
    let bench = BackupBench { mebibytes: number("SHARDLIFT_BENCH_MIB", 2048)?, rounds };
    let comparison = backup(bench).await?;
    println!("{comparison}");
    append(&report, &comparison)?;
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
