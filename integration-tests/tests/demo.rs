//! The demo program, from outside: what it reports, and that nothing of it is left when it is interrupted.

use anyhow::{Context as _, Result, bail, ensure};
use integration_tests::demo::Report;
use integration_tests::{Process, ProcessSpec, TestRoot, tool};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// About a minute on two idle cores.
const DEMO_TIME_MAX: Duration = Duration::from_secs(300);

fn demo(root: &TestRoot) -> Result<Process> {
    let program = Path::new(env!("CARGO_BIN_EXE_demo"));
    ProcessSpec::new("demo", program, root.path()).args(["--out".as_ref(), root.path().as_os_str()]).spawn()
}

/// Processes that have the folder of the test in their command line.
fn leftovers(root: &TestRoot) -> Result<Vec<String>> {
    let folder = root.path().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        // A process may end while it is looked at.
        let Ok(line) = std::fs::read(entry?.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&folder) {
            found.push(line);
        }
    }
    Ok(found)
}

fn run_folders(root: &TestRoot) -> Result<usize> {
    let names = std::fs::read_dir(root.path())?.collect::<Result<Vec<_>, _>>()?;
    Ok(names.iter().filter(|entry| entry.file_name().to_string_lossy().starts_with("run-")).count())
}

#[tokio::test]
async fn six_real_repositories_move_and_every_check_of_every_one_holds() -> Result<()> {
    if tool("six_real_repositories_move_and_every_check_of_every_one_holds", "restic").is_none() {
        return Ok(());
    }
    let root = TestRoot::new("demo")?;
    let mut demo = demo(&root)?;
    let status = demo.wait_end(DEMO_TIME_MAX).await?;
    let log = demo.log()?;
    println!("{log}");
    ensure!(status.success(), "the demo ended with {status}");
    let report: Report = serde_json::from_slice(&std::fs::read(root.path().join("report.json"))?)?;
    ensure!(report.ok && report.nodes.iter().all(integration_tests::demo::NodeReport::is_ok), "{report}");
    ensure!(report.nodes.len() >= 6 && report.batches.len() >= 2, "{report}");
    let customers: BTreeSet<_> = report.nodes.iter().map(|node| &node.customer).collect();
    let targets: BTreeSet<_> = report.nodes.iter().map(|node| &node.target).collect();
    ensure!(customers.len() == 2 && targets.len() == 2, "{customers:?} {targets:?}");
    ensure!(report.nodes.iter().all(|node| node.generation >= 1 && node.objects > 0 && node.bytes > 0), "{report}");
    let busiest = report.nodes.iter().map(|node| node.snapshots).max().context("no nodes")?;
    ensure!(busiest > 6, "one node is written to while it moves: {report}");
    ensure!(report.nodes.iter().all(|node| report.batches.contains(&node.batch)), "{report}");
    ensure!(leftovers(&root)?.is_empty(), "{:?}", leftovers(&root)?);
    ensure!(run_folders(&root)? == 0, "the folder of a good run goes away");
    Ok(())
}

#[tokio::test]
async fn an_interrupted_demo_leaves_nothing() -> Result<()> {
    if tool("an_interrupted_demo_leaves_nothing", "restic").is_none() {
        return Ok(());
    }
    for (signal, at) in [(Signal::INT, "router prepare"), (Signal::TERM, "with the certificates they have always had")]
    {
        let root = TestRoot::new("demo-interrupted")?;
        let mut demo = demo(&root)?;
        demo.wait_log(at, DEMO_TIME_MAX).await?;
        if leftovers(&root)?.len() < 4 {
            bail!("controller, shards and the demo itself should run: {:?}", leftovers(&root)?);
        }
        demo.signal(signal)?;
        let status = demo.wait_end(Duration::from_secs(30)).await?;
        ensure!(status.code() == Some(130), "{status}\n{}", demo.log()?);
        ensure!(leftovers(&root)?.is_empty(), "{:?}", leftovers(&root)?);
        ensure!(run_folders(&root)? == 0, "the folder of an interrupted run goes away");
    }
    Ok(())
}
