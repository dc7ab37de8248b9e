//! `make demo`: see `integration_tests::demo`. Exit code 0 only if all of it holds; 130 when interrupted.

use anyhow::{Context as _, Result, bail};
use integration_tests::demo::{DemoOptions, run};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: demo [--keep] [--out DIR]
  --keep     keep the folder of the run, with data and logs
  --out DIR  where the report goes [default: target/demo]";

fn options() -> Result<Option<DemoOptions>> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    // restic restores below the path that was backed up, so it must hold no `..`.
    let root = package.parent().context("the package has no folder above it")?;
    let mut options = DemoOptions { out: root.join("target/demo"), keep: false };
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--keep") => options.keep = true,
            Some("--out") => options.out = PathBuf::from(arguments.next().context("--out needs a folder")?),
            Some("--help" | "-h") => return Ok(None),
            _ => bail!("unknown argument {}\n{USAGE}", argument.display()),
        }
    }
    Ok(Some(options))
}

async fn interruption() -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match options() {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::from(2);
        }
    };
    // Whichever ends first drops the other: a dropped demo ends its processes and removes its folder.
    let outcome = tokio::select! {
        outcome = run(&options) => outcome,
        interrupted = interruption() => {
            if let Err(error) = interrupted {
                eprintln!("demo: signals cannot be received: {error:#}");
                return ExitCode::FAILURE;
            }
            eprintln!("\ndemo: interrupted; everything that was started is ended");
            return ExitCode::from(130);
        }
    };
    match outcome {
        Ok(report) if report.ok => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
