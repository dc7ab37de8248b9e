//! Programs that run in front of the clock: each ends by itself, and how it ended is looked at. What they say goes to a log. One
//! that is given up is ended with all that it started.

use super::usage::{End, Meter};
use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// Longer than any run takes on a slow machine.
pub(super) const RUN_TIME_MAX: Duration = Duration::from_secs(3600);

/// How much of a log is told.
const TOLD_BYTES: usize = 3000;

/// A program under way.
pub(super) struct Running {
    child: Child,
    what: String,
    log: PathBuf,
}

/// Starts a program, its output in `{what}.log` in `folder`. Its standard input is what the caller set, or nothing.
pub(super) fn start(mut command: Command, what: &str, folder: &Path, meter: Option<(&Meter, End)>) -> Result<Running> {
    let log = folder.join(format!("{what}.log"));
    let output = OpenOptions::new().create(true).append(true).open(&log).context("opening a log")?;
    command.stdout(Stdio::from(output.try_clone()?)).stderr(Stdio::from(output)).process_group(0);
    let child = command.spawn().with_context(|| format!("starting {what}"))?;
    if let (Some((meter, end)), Some(pid)) = (meter, child.id()) {
        meter.watch(end, pid);
    }
    Ok(Running { child, what: what.to_owned(), log })
}

impl Running {
    /// Waits for its end and insists on exit code 0.
    pub(super) async fn end(mut self) -> Result<()> {
        let waited = tokio::time::timeout(RUN_TIME_MAX, self.child.wait()).await;
        let status = waited.with_context(|| format!("{} takes longer than {RUN_TIME_MAX:?}", self.what))??;
        if !status.success() {
            let log = std::fs::read(&self.log).with_context(|| format!("reading {}", self.log.display()))?;
            let said = String::from_utf8_lossy(&log[log.len().saturating_sub(TOLD_BYTES)..]).into_owned();
            ensure!(status.success(), "{}: {status}\n{said}", self.what);
        }
        Ok(())
    }

    /// `None` once its end was seen.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Not waited for yet, so the group is still its own.
        let group = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            eprintln!("{} could not be ended: {error}", self.what);
        }
    }
}

/// Runs a program to its end.
pub(super) async fn run(command: Command, what: &str, folder: &Path, meter: Option<(&Meter, End)>) -> Result<()> {
    start(command, what, folder, meter)?.end().await
}

/// A program with nothing of standard input.
pub(super) fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestRoot;

    #[tokio::test]
    async fn a_program_that_fails_is_an_error_with_what_it_said() {
        let root = TestRoot::new("command").unwrap();
        let shell = |script: &str| {
            let mut command = program(Path::new("/bin/sh"));
            command.args(["-c", script]);
            command
        };
        run(shell("exit 0"), "good", root.path(), None).await.unwrap();
        let error = run(shell("echo no room >&2; exit 4"), "bad", root.path(), None).await.unwrap_err().to_string();
        assert!(error.contains("no room") && error.contains("bad: exit status: 4"), "{error}");
    }
}
