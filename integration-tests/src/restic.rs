//! The real client: restic as Debian ships it, unmodified.
//!
//! Each driver is one machine with one repository: its own cache, its own home, nothing of the user's environment.
//! Passwords and credentials go by environment or URL and never into messages of this module.

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// How one run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// True for exit code 0.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.code == Some(0)
    }

    /// Lines on standard error: a client that had to retry says so there.
    #[must_use]
    pub fn complaints(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| !line.trim().is_empty()).collect()
    }

    /// The snapshot that a backup says it saved, abbreviated as restic prints it.
    #[must_use]
    pub fn saved_snapshot(&self) -> Option<String> {
        let line = self.stdout.lines().find(|line| line.starts_with("snapshot ") && line.ends_with(" saved"))?;
        line.split(' ').nth(1).map(str::to_owned)
    }

    fn checked(self, what: &str) -> Result<Self> {
        ensure!(self.is_ok(), "restic {what}: exit code {:?}\n{}\n{}", self.code, self.stdout, self.stderr);
        Ok(self)
    }
}

/// One snapshot, as `restic snapshots --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    /// Full id.
    pub id: String,
    /// When it was made.
    pub time: String,
    /// Its tree.
    pub tree: String,
    /// What was backed up.
    pub paths: Vec<PathBuf>,
    /// The host it was made on.
    pub hostname: String,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// A restic with its settings.
#[derive(Clone)]
pub struct Restic {
    binary: PathBuf,
    home: PathBuf,
    repository: String,
    environment: Vec<(OsString, OsString)>,
    options: Vec<OsString>,
    limit: Duration,
}

/// Leaves what may stand in the user part of a URL, escapes the rest.
fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

impl Restic {
    /// A client whose repository is at `base` (`https://host:port`, or a folder) below `path`, a node's name.
    ///
    /// # Errors
    /// When its home cannot be created.
    pub fn new(binary: &Path, home: &Path, base: &str, path: &str) -> Result<Self> {
        std::fs::create_dir_all(home)?;
        let base = base.trim_end_matches('/');
        let repository =
            if base.starts_with("http") { format!("rest:{base}/{path}/") } else { format!("{base}/{path}") };
        let password = (OsString::from("RESTIC_PASSWORD"), OsString::from("correct horse"));
        let options = Vec::new();
        let (binary, home) = (binary.to_owned(), home.to_owned());
        Ok(Self { binary, home, repository, environment: vec![password], options, limit: Duration::from_secs(120) })
    }

    /// Basic authentication.
    ///
    /// # Errors
    /// When the repository is not on a server.
    pub fn login(mut self, user: &str, password: &str) -> Result<Self> {
        let rest = self.repository.split_once("://").context("a login needs a repository on a server")?;
        self.repository = format!("{}://{}:{}@{}", rest.0, escape(user), escape(password), rest.1);
        Ok(self)
    }

    /// The CA of the server.
    #[must_use]
    pub fn cacert(self, path: &Path) -> Self {
        self.option("--cacert").option(path)
    }

    /// The client certificate: one PEM with certificate and key.
    #[must_use]
    pub fn client_certificate(self, path: &Path) -> Self {
        self.option("--tls-client-cert").option(path)
    }

    /// The proxy that knows the names, see [`crate::ConnectProxy`].
    #[must_use]
    pub fn proxy(self, url: &str) -> Self {
        self.env("HTTPS_PROXY", url)
    }

    /// A global option, for every run.
    #[must_use]
    pub fn option(mut self, option: impl Into<OsString>) -> Self {
        self.options.push(option.into());
        self
    }

    /// A variable of the environment, for every run.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// How long one run may take; 120 s unless set.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs restic; a failure of restic itself is an [`Outcome`], not an error.
    ///
    /// # Errors
    /// When it cannot be started or takes too long; it is killed then.
    pub async fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Outcome> {
        let mut command = Command::new(&self.binary);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.home);
        command.env("RESTIC_CACHE_DIR", self.home.join("cache")).env("RESTIC_REPOSITORY", &self.repository);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(&self.options).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let verb = arguments.first().map_or_else(String::new, |verb| verb.as_ref().to_string_lossy().into_owned());
        let began = Instant::now();
        let child = command.spawn().with_context(|| format!("starting {}", self.binary.display()))?;
        let Ok(output) = tokio::time::timeout(self.limit, child.wait_with_output()).await else {
            bail!("restic {verb} took longer than {:?}", self.limit);
        };
        let output = output?;
        Ok(Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: began.elapsed(),
        })
    }

    /// Runs restic and insists on exit code 0.
    ///
    /// # Errors
    /// When it cannot be started, takes too long or fails.
    pub async fn must<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Outcome> {
        let what: Vec<_> = arguments.iter().map(|argument| argument.as_ref().to_string_lossy()).collect();
        self.run(arguments).await?.checked(&what.join(" "))
    }

    /// `restic init`.
    ///
    /// # Errors
    /// As [`Self::must`].
    pub async fn init(&self) -> Result<Outcome> {
        self.must(&["init"]).await
    }

    /// `restic backup` of a folder.
    ///
    /// # Errors
    /// As [`Self::must`].
    pub async fn backup(&self, folder: &Path) -> Result<Outcome> {
        self.must(&["backup".as_ref(), folder.as_os_str()]).await
    }

    /// All snapshots.
    ///
    /// # Errors
    /// As [`Self::must`], and when the answer is not the JSON that is expected.
    pub async fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let outcome = self.must(&["snapshots", "--json"]).await?;
        serde_json::from_str(&outcome.stdout).with_context(|| format!("not a list of snapshots: {}", outcome.stdout))
    }

    /// Restores a snapshot (an id, or `latest`) into a folder.
    ///
    /// # Errors
    /// As [`Self::must`].
    pub async fn restore(&self, snapshot: &str, folder: &Path) -> Result<Outcome> {
        self.must(&["restore".as_ref(), snapshot.as_ref(), "--target".as_ref(), folder.as_os_str()]).await
    }

    /// Restores a snapshot of `original` into `scratch` and tells where the two differ.
    ///
    /// # Errors
    /// As [`Self::must`], and when a tree cannot be read.
    pub async fn restore_differences(&self, snapshot: &str, original: &Path, scratch: &Path) -> Result<Vec<String>> {
        self.restore(snapshot, scratch).await?;
        let restored = scratch.join(original.strip_prefix("/").context("an absolute path is expected")?);
        crate::differences(original, &restored)
    }

    /// `restic check --read-data`.
    ///
    /// # Errors
    /// As [`Self::must`].
    pub async fn check(&self) -> Result<Outcome> {
        self.must(&["check", "--read-data"]).await
    }

    /// `restic forget --keep-last N --prune`.
    ///
    /// # Errors
    /// As [`Self::must`].
    pub async fn forget_and_prune(&self, keep: u32) -> Result<Outcome> {
        self.must(&["forget", "--keep-last", &keep.to_string(), "--prune"]).await
    }

    /// `restic unlock`.
    ///
    /// # Errors
    /// As [`Self::must`].
    pub async fn unlock(&self) -> Result<Outcome> {
        self.must(&["unlock"]).await
    }

    /// The paths in a snapshot.
    ///
    /// # Errors
    /// As [`Self::must`].
    pub async fn ls(&self, snapshot: &str) -> Result<Vec<String>> {
        let outcome = self.must(&["ls", snapshot]).await?;
        Ok(outcome.stdout.lines().filter(|line| line.starts_with('/')).map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TestRoot, TreeShape, generate_tree, modify_tree, tool};

    #[test]
    fn a_login_is_escaped_into_the_url() {
        let root = TestRoot::new("restic").unwrap();
        let restic = Restic::new(Path::new("restic"), root.path(), "https://h.example:1/", "acme/web-1").unwrap();
        let restic = restic.login("a@b", "p:/ü").unwrap();
        assert_eq!(restic.repository, "rest:https://a%40b:p%3A%2F%C3%BC@h.example:1/acme/web-1/");
    }

    #[test]
    fn the_snapshot_is_read_from_what_restic_says() {
        let said = |stdout: &str| {
            let (stdout, stderr) = (stdout.to_owned(), String::new());
            Outcome { code: Some(0), stdout, stderr, took: Duration::ZERO }.saved_snapshot()
        };
        assert_eq!(said("Files: 1 new\n\nsnapshot 5ac3f1d2 saved\n").as_deref(), Some("5ac3f1d2"));
        assert_eq!(said("Fatal: no snapshot was saved\n"), None);
    }

    #[tokio::test]
    async fn the_driver_does_what_a_client_does_with_a_plain_folder() {
        let name = "the_driver_does_what_a_client_does_with_a_plain_folder";
        let Some(binary) = tool(name, "restic") else { return };
        let root = TestRoot::new("restic").unwrap();
        let (tree, repository) = (root.folder("tree").unwrap(), root.folder("repository").unwrap());
        let restic = Restic::new(&binary, &root.path().join("home"), &repository.to_string_lossy(), "web-1").unwrap();
        assert!(!restic.run(&["snapshots"]).await.unwrap().is_ok(), "no repository yet");
        restic.init().await.unwrap();
        generate_tree(&tree, 1, TreeShape { files: 15, large_files: 0, large_bytes: 0 }).unwrap();
        for seed in 0..2 {
            modify_tree(&tree, seed).unwrap();
            restic.backup(&tree).await.unwrap();
        }
        let snapshots = restic.snapshots().await.unwrap();
        assert_eq!(snapshots.len(), 2);
        assert!(restic.ls("latest").await.unwrap().iter().any(|path| path.ends_with("added-1/new-0.bin")));
        let scratch = root.path().join("restored");
        assert_eq!(restic.restore_differences("latest", &tree, &scratch).await.unwrap(), Vec::<String>::new());
        let first = root.path().join("first");
        assert_ne!(restic.restore_differences(&snapshots[0].id, &tree, &first).await.unwrap(), Vec::<String>::new());
        restic.forget_and_prune(1).await.unwrap();
        restic.unlock().await.unwrap();
        restic.check().await.unwrap();
        assert_eq!(restic.snapshots().await.unwrap().len(), 1);
    }
}
