//! A client that backs up without a pause, whatever happens around it.

use crate::Restic;
use anyhow::{Context as _, Result};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(100);

/// While nobody has said how many more runs there should be.
const ENDLESS: u32 = u32::MAX;

pub(super) struct Busy {
    client: Restic,
    tree: PathBuf,
    runs_left: AtomicU32,
}

/// What it lived through.
#[derive(Default)]
pub(super) struct Written {
    /// Snapshots that it was told are saved.
    pub(super) acknowledged: Vec<String>,
    /// What it said when a run failed.
    pub(super) failures: Vec<String>,
    /// Lines on standard error of runs that came to a good end: restic says there that it had to try again.
    pub(super) complaints: Vec<String>,
}

impl Busy {
    pub(super) fn new(client: Restic, tree: PathBuf) -> Self {
        Self { client, tree, runs_left: AtomicU32::new(ENDLESS) }
    }

    /// So many more whole runs, then the end.
    pub(super) fn finish(&self, more_runs: u32) {
        // The run under way counts as well.
        self.runs_left.store(more_runs + 1, Ordering::SeqCst);
    }

    pub(super) async fn run(&self) -> Result<Written> {
        let mut written = Written::default();
        for round in 0_u64.. {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.tree.join("journal.log"))?;
            writeln!(file, "entry {round} {:x}", rand::random::<u128>())?;
            drop(file);
            let outcome = self.client.run(&["backup".as_ref(), self.tree.as_os_str()]).await?;
            if outcome.is_ok() {
                written.acknowledged.push(outcome.saved_snapshot().context("restic names no snapshot")?);
                written.complaints.extend(outcome.complaints().into_iter().map(str::to_owned));
            } else {
                written.failures.push(format!("exit code {:?}: {}", outcome.code, outcome.stderr.trim()));
            }
            let left = self.runs_left.load(Ordering::SeqCst);
            if left != ENDLESS {
                self.runs_left.store(left.saturating_sub(1), Ordering::SeqCst);
                if left <= 1 {
                    break;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(written)
    }
}
