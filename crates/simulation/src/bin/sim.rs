//! `sim replay SEED` tells the story of a seed; `sim run [--from N] [--seeds N]` runs many and says which went wrong.

use anyhow::{Context as _, Result, bail};
use std::time::Instant;

fn number(arguments: &[String], name: &str, usual: u64) -> Result<u64> {
    match arguments.iter().position(|argument| argument == name) {
        None => Ok(usual),
        Some(at) => arguments.get(at + 1).and_then(|text| text.parse().ok()).with_context(|| format!("{name} N")),
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("replay") => {
            let seed: u64 = arguments.get(1).and_then(|text| text.parse().ok()).context("sim replay SEED")?;
            let _log = std::env::var("RUST_LOG").is_ok().then(|| {
                let filter = tracing_subscriber::EnvFilter::from_default_env();
                let log = tracing_subscriber::fmt().with_env_filter(filter).without_time().finish();
                tracing::subscriber::set_default(log)
            });
            let report = shardlift_simulation::run(seed)?;
            for line in &report.lines {
                println!("{line}");
            }
            println!("seed {seed}: {} violations, trace {}", report.violations.len(), report.trace);
            if !report.violations.is_empty() {
                std::process::exit(1);
            }
        }
        Some("run") => {
            let (from, seeds) = (number(&arguments, "--from", 0)?, number(&arguments, "--seeds", 100)?);
            let began = Instant::now();
            let mut bad = 0;
            for seed in from..from + seeds {
                let report = shardlift_simulation::run(seed)?;
                if !report.violations.is_empty() {
                    bad += 1;
                    println!("seed {seed}: {}", report.violations.join("; "));
                }
            }
            let seconds = began.elapsed().as_secs_f64();
            println!("{seeds} seeds from {from} on: {bad} bad, {seconds:.1} s");
            if bad > 0 {
                std::process::exit(1);
            }
        }
        _ => bail!("sim replay SEED | sim run [--from N] [--seeds N]"),
    }
    Ok(())
}
