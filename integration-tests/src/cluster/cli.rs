//! The `shardlift` program as an operator uses it.

use crate::Outcome;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// How long one command may take, the waiting ones included.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(240);

/// The program under test: `SHARDLIFT_BIN`, else `shardlift` beside the present program or one folder above it.
///
/// # Errors
/// When it has not been built.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("SHARDLIFT_BIN") {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "SHARDLIFT_BIN names {}, which is no file", path.display());
        return Ok(path);
    }
    let here = std::env::current_exe().context("finding the present program")?;
    let found = here.ancestors().skip(1).take(2).map(|folder| folder.join("shardlift")).find(|path| path.is_file());
    found.with_context(|| format!("no program `shardlift` beside {}: run `cargo build -p shardlift`", here.display()))
}

/// The command line with its context.
#[derive(Debug, Clone)]
pub struct Cli {
    binary: PathBuf,
    folder: PathBuf,
    context: Option<PathBuf>,
    shown: bool,
}

fn one_line<A: AsRef<OsStr>>(arguments: &[A]) -> String {
    let quoted = |text: String| if text.contains([' ', '*']) { format!("'{text}'") } else { text };
    let words = arguments.iter().map(|argument| quoted(argument.as_ref().to_string_lossy().into_owned()));
    words.collect::<Vec<_>>().join(" ")
}

impl Cli {
    /// The command line run in `folder`. When `shown`, [`Self::must`] prints each command and lets it speak for itself.
    #[must_use]
    pub fn new(binary: PathBuf, folder: &Path, shown: bool) -> Self {
        Self { binary, folder: folder.to_owned(), context: None, shown }
    }

    /// The same with the operator's context file.
    #[must_use]
    pub fn context(self, context: &Path) -> Self {
        Self { context: Some(context.to_owned()), ..self }
    }

    /// The same, shown or not.
    #[must_use]
    pub fn shown(&self, shown: bool) -> Self {
        Self { shown, ..self.clone() }
    }

    /// The program.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new(&self.binary);
        if let Some(context) = &self.context {
            command.arg("--context").arg(context);
        }
        command.args(arguments).current_dir(&self.folder).env_remove("SHARDLIFT_CONTEXT");
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a command; its failure is an [`Outcome`], not an error.
    ///
    /// # Errors
    /// When it cannot be started or takes too long.
    pub async fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Outcome> {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let child = command.spawn().with_context(|| format!("starting {}", self.binary.display()))?;
        let Ok(output) = tokio::time::timeout(COMMAND_TIME_MAX, child.wait_with_output()).await else {
            bail!("shardlift {} took longer than {COMMAND_TIME_MAX:?}", one_line(arguments));
        };
        let output = output?;
        Ok(Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: began.elapsed(),
        })
    }

    /// Runs a command and insists on exit code 0.
    ///
    /// # Errors
    /// As [`Self::run`], and when it fails.
    pub async fn must<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<()> {
        if self.shown {
            return self.show(arguments).await;
        }
        let outcome = self.run(arguments).await?;
        ensure!(outcome.is_ok(), "{}", failure(arguments, &outcome));
        Ok(())
    }

    /// Runs a command on the terminal, for people to see.
    async fn show<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<()> {
        println!("  $ shardlift {}", one_line(arguments).replace(&format!("{}/", self.folder.display()), ""));
        let mut child =
            self.command(arguments).spawn().with_context(|| format!("starting {}", self.binary.display()))?;
        let Ok(status) = tokio::time::timeout(COMMAND_TIME_MAX, child.wait()).await else {
            bail!("shardlift {} took longer than {COMMAND_TIME_MAX:?}", one_line(arguments));
        };
        let status = status?;
        ensure!(status.success(), "shardlift {}: {status}", one_line(arguments));
        Ok(())
    }

    /// Runs a command with `-o json` and reads its answer.
    ///
    /// # Errors
    /// As [`Self::must`], and when the answer is no JSON.
    pub async fn json<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Value> {
        let mut all: Vec<OsString> = arguments.iter().map(|argument| argument.as_ref().to_owned()).collect();
        all.extend(["-o".into(), "json".into()]);
        let outcome = self.run(&all).await?;
        ensure!(outcome.is_ok(), "{}", failure(arguments, &outcome));
        serde_json::from_str(&outcome.stdout).with_context(|| format!("{} answered no JSON", one_line(arguments)))
    }
}

fn failure<A: AsRef<OsStr>>(arguments: &[A], outcome: &Outcome) -> String {
    let Outcome { code, stdout, stderr, .. } = outcome;
    format!("shardlift {}: exit code {code:?}\n{stdout}\n{stderr}", one_line(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_fails_is_an_outcome_or_an_error_as_asked() {
        let cli = Cli::new(PathBuf::from("/bin/sh"), Path::new("/"), false);
        let failing = ["-c", "echo out; echo err >&2; exit 3"];
        let outcome = cli.run(&failing).await.unwrap();
        assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (Some(3), "out\n", "err\n"));
        let error = cli.must(&failing).await.unwrap_err().to_string();
        assert!(error.contains("exit code Some(3)") && error.contains("err"), "{error}");
    }
}
