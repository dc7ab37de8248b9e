//! `sim replay SEED` tells the story of a seed; `sim run [--from N] [--seeds N] [--twice]` runs many and says which went wrong,
//! or tell another story the second time. `--mutant NAME` breaks a part; `RUST_LOG` shows what the parts log.

use anyhow::{Context as _, Result, bail};
use shardlift_simulation::{Mutant, Report};
use std::process::ExitCode;
use std::time::Instant;

fn number(arguments: &[String], name: &str, usual: u64) -> Result<u64> {
    match arguments.iter().position(|argument| argument == name) {
        None => Ok(usual),
        Some(at) => arguments.get(at + 1).and_then(|text| text.parse().ok()).with_context(|| format!("{name} N")),
    }
}

fn mutant(arguments: &[String]) -> Result<Option<Mutant>> {
    let Some(at) = arguments.iter().position(|argument| argument == "--mutant") else { return Ok(None) };
    let named = arguments.get(at + 1).and_then(|name| Mutant::ALL.into_iter().find(|m| format!("{m:?}") == *name));
    named.with_context(|| format!("--mutant, one of {:?}", Mutant::ALL)).map(Some)
}

fn run(seed: u64, mutant: Option<Mutant>) -> Result<Report> {
    match mutant {
        Some(mutant) => shardlift_simulation::run_mutant(seed, mutant),
        None => shardlift_simulation::run(seed),
    }
}

fn replay(seed: u64, mutant: Option<Mutant>) -> Result<bool> {
    let log = std::env::var_os("RUST_LOG").map(|_| tracing_subscriber::EnvFilter::from_default_env());
    let report = shardlift_simulation::replay(seed, mutant, log)?;
    for line in &report.lines {
        println!("{line}");
    }
    println!("{:?}", report.counts);
    println!("seed {seed}: {} violations, trace {}", report.violations.len(), report.trace);
    Ok(report.violations.is_empty())
}

/// What is wrong with a seed.
fn complaints(seed: u64, mutant: Option<Mutant>, twice: bool) -> Result<Vec<String>> {
    let report = run(seed, mutant)?;
    let mut complaints = report.violations;
    if twice {
        let other = run(seed, mutant)?;
        if let Some((one, other)) = report.lines.iter().zip(&other.lines).find(|(one, other)| one != other) {
            complaints.push(format!("two stories:\n  {one}\n  {other}"));
        } else if report.lines.len() != other.lines.len() {
            complaints.push("one story is longer".to_owned());
        }
    }
    Ok(complaints)
}

fn many(arguments: &[String]) -> Result<bool> {
    let (from, seeds) = (number(arguments, "--from", 0)?, number(arguments, "--seeds", 100)?);
    let (mutant, twice) = (mutant(arguments)?, arguments.iter().any(|argument| argument == "--twice"));
    let began = Instant::now();
    let mut bad = 0;
    for seed in from..from + seeds {
        let complaints = complaints(seed, mutant, twice)?;
        if !complaints.is_empty() {
            bad += 1;
            println!("seed {seed}: {}", complaints.join("; "));
        }
    }
    println!("{seeds} seeds from {from} on: {bad} bad, {:.1} s", began.elapsed().as_secs_f64());
    Ok(bad == 0)
}

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let good = match arguments.first().map(String::as_str) {
        Some("replay") => {
            let seed: u64 = arguments.get(1).and_then(|text| text.parse().ok()).context("sim replay SEED")?;
            replay(seed, mutant(&arguments)?)?
        }
        Some("run") => many(&arguments)?,
        _ => bail!("sim replay SEED | sim run [--from N] [--seeds N] [--twice], both with [--mutant NAME]"),
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
