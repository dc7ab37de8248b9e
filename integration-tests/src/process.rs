//! One program, started by a test and ended with it.
//!
//! The program gets its own process group, no standard input, and a log file in the folder of the test. Its group is
//! ended by id when the guard is dropped, whatever happened before; nothing else on the machine is touched.

use crate::eventually;
use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// What to start.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: PathBuf,
}

impl ProcessSpec {
    /// `program`, known as `name` in messages, with its log in `folder`.
    #[must_use]
    pub fn new(name: &str, program: &Path, folder: &Path) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: folder.to_owned(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the environment, which is otherwise inherited.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The log file: standard output and standard error, appended over restarts.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the log cannot be opened or the program not be started.
    pub fn spawn(self) -> Result<Process> {
        let child = self.start()?;
        Ok(Process { spec: self, child, ended: None })
    }

    fn start(&self) -> Result<Child> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).context("opening the log")?;
        let both: File = log.try_clone()?;
        Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(both)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {} ({})", self.name, self.program.display()))
    }
}

/// A program that runs, or has run, for one test.
#[derive(Debug)]
pub struct Process {
    spec: ProcessSpec,
    child: Child,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The name given to it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// All it has printed so far, over restarts.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        let bytes = std::fs::read(self.spec.log_path()).context("reading the log")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The log file.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.spec.log_path()
    }

    /// How much it has printed so far, over restarts.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log_bytes(&self) -> Result<usize> {
        let length = std::fs::metadata(self.spec.log_path()).context("looking at the log")?.len();
        Ok(usize::try_from(length)?)
    }

    /// True while it runs.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn is_running(&mut self) -> Result<bool> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended.is_none())
    }

    /// Waits until it accepts connections at `address`; fails at once, with the end of the log, when it exits.
    ///
    /// # Errors
    /// When it exits or the time is up.
    pub async fn wait_listening(&mut self, address: SocketAddr, limit: Duration) -> Result<()> {
        self.wait_ready(limit, || async move {
            tokio::net::TcpStream::connect(address).await.map(drop).with_context(|| format!("connecting to {address}"))
        })
        .await
    }

    /// Waits until `text` is in its log; fails at once when it exits.
    ///
    /// # Errors
    /// When it exits or the time is up.
    pub async fn wait_log(&mut self, text: &str, limit: Duration) -> Result<()> {
        let path = self.spec.log_path();
        self.wait_ready(limit, || {
            let found = std::fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).contains(text));
            async move {
                match found {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(anyhow!("`{text}` is not in the log")),
                    Err(error) => Err(error.into()),
                }
            }
        })
        .await
    }

    /// Waits until `probe` answers `Ok`; fails at once, with the end of the log, when the program exits.
    ///
    /// # Errors
    /// When it exits or the time is up.
    pub async fn wait_ready<F, Fut>(&mut self, limit: Duration, mut probe: F) -> Result<()>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<()>>,
    {
        let what = format!("{} is ready", self.spec.name);
        let outcome = eventually(&what, limit, || {
            let running = self.is_running();
            let probed = probe();
            async move {
                // The exit is reported as a success of waiting, so that nobody waits for the dead.
                if !running? {
                    return Ok(false);
                }
                probed.await.map(|()| true)
            }
        })
        .await
        .with_context(|| self.log_end())?;
        if !outcome {
            bail!("{} exited with {:?} before it was ready\n{}", self.spec.name, self.ended, self.log_end());
        }
        Ok(())
    }

    fn log_end(&self) -> String {
        let log = self.log().unwrap_or_else(|error| format!("(no log: {error:#})"));
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(25)..].join("\n");
        format!("end of {}:\n{end}", self.spec.log_path().display())
    }

    fn pid(&self) -> Result<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id out of range")
    }

    /// Sends a signal to the program itself. Nothing is sent once it has been waited for: the id may be another's.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.is_running()? {
            kill_process(self.pid()?, signal).with_context(|| format!("signalling {}", self.spec.name))?;
        }
        Ok(())
    }

    /// `kill -9`, at once, for the whole group; returns when it is gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        // Not yet waited for, so the id is still ours even when the program has just exited.
        kill_process_group(self.pid()?, Signal::KILL).with_context(|| format!("killing {}", self.spec.name))?;
        let status = self.child.wait()?;
        self.ended = Some(status);
        Ok(status)
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Errors
    /// When it has not ended within `limit`; it goes on running then.
    pub async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait_end(limit).await
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub async fn wait_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends", self.spec.name);
        let ended = eventually(&what, limit, || {
            let running = self.is_running();
            async move { if running? { Err(anyhow!("it still runs")) } else { Ok(()) } }
        })
        .await;
        ended.with_context(|| self.log_end())?;
        self.ended.context("ended without a status")
    }

    /// Starts it again after it has ended, with the same arguments and the same log.
    ///
    /// # Errors
    /// When it still runs or cannot be started.
    pub fn restart(&mut self) -> Result<()> {
        if self.is_running()? {
            bail!("{} still runs", self.spec.name);
        }
        self.child = self.spec.start()?;
        self.ended = None;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("{} could not be ended: {error:#}", self.spec.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TestRoot, free_address};

    fn shell(root: &TestRoot, script: &str) -> ProcessSpec {
        ProcessSpec::new("shell", Path::new("/bin/sh"), root.path()).args(["-c", script])
    }

    fn alive(pid: u32) -> bool {
        // A zombie that nobody waits for still has a folder; it is dead all the same.
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test]
    async fn a_dropped_guard_ends_the_program_and_its_children() {
        let root = TestRoot::new("process").unwrap();
        let mut process = shell(&root, "sleep 600 & echo child $! ; wait").spawn().unwrap();
        process.wait_log("child", Duration::from_secs(10)).await.unwrap();
        let log = process.log().unwrap();
        let child: u32 = log.split_whitespace().nth(1).unwrap().parse().unwrap();
        let parent = process.id();
        assert!(alive(parent) && alive(child));
        drop(process);
        let gone = || async move { if alive(parent) || alive(child) { Err(anyhow!("alive")) } else { Ok(()) } };
        eventually("both are gone", Duration::from_secs(10), gone).await.unwrap();
    }

    #[tokio::test]
    async fn a_program_that_exits_is_not_waited_for() {
        let root = TestRoot::new("process").unwrap();
        let mut process = shell(&root, "echo cannot bind; exit 3").spawn().unwrap();
        let address = free_address().unwrap();
        let error = process.wait_listening(address, Duration::from_secs(60)).await.unwrap_err();
        assert!(format!("{error:#}").contains("cannot bind"), "{error:#}");
    }

    #[tokio::test]
    async fn a_terminated_program_can_be_started_again() {
        let root = TestRoot::new("process").unwrap();
        let mut process = shell(&root, "trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done").spawn().unwrap();
        process.wait_log("ready", Duration::from_secs(10)).await.unwrap();
        assert!(process.restart().is_err(), "it still runs");
        assert_eq!(process.terminate(Duration::from_secs(10)).await.unwrap().code(), Some(7));
        process.restart().unwrap();
        assert!(process.is_running().unwrap());
        assert_eq!(process.kill().unwrap().code(), None);
    }
}
