//! The htpasswd file: bcrypt, and `{SHA}` for files that are older than bcrypt.
//!
//! The file stays the old server's file: it is read as it is, noticed when it changes, and lines that are added leave all
//! others as they were. An account may have several lines; any of them opens it, so that credentials that travel with a
//! node never push out those that are here. Passwords are kept nowhere; a positive answer is remembered for a minute under
//! a keyed hash that covers the file's line, so that a changed line ends it at once.

use crate::auth::htpasswd::cache::PositiveCache;
use shardlift_net::disk::{self, How, WriteFile};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

mod cache;
mod hash;

use hash::PasswordHash;

/// How often the file is looked at for changes, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Lines of one account that are tried, newest last.
const LINES_PER_ACCOUNT_MAX: usize = 4;

/// Password checks that run at the same time; each takes tens of milliseconds of a core by design.
const CHECKS_MAX: usize = 4;

/// One account's line.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The account.
    pub account: String,
    /// The hash as it stands in the file; never a password.
    pub hash: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("account", &self.account).finish_non_exhaustive()
    }
}

/// What went wrong with the file.
#[derive(Debug, thiserror::Error)]
#[error("password file {path}: {what}")]
pub struct HtpasswdError {
    path: PathBuf,
    what: &'static str,
    #[source]
    source: Option<std::io::Error>,
}

/// The accounts of a shard.
#[derive(Debug)]
pub struct Passwords {
    path: PathBuf,
    loaded: Mutex<Loaded>,
    cache: PositiveCache,
    checks: Arc<Semaphore>,
}

#[derive(Debug)]
struct Loaded {
    accounts: Arc<Vec<Credential>>,
    stamp: Stamp,
    looked_at: Instant,
}

/// Tells a changed file from an unchanged one without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Passwords {
    /// Reads the file; an absent one has no accounts.
    ///
    /// # Errors
    /// [`HtpasswdError`] when it is there but cannot be read.
    pub fn open(path: PathBuf) -> Result<Self, HtpasswdError> {
        let (accounts, stamp) = read(&path)?;
        let loaded = Mutex::new(Loaded { accounts: Arc::new(accounts), stamp, looked_at: Instant::now() });
        let cache = PositiveCache::new();
        Ok(Self { path, loaded, cache, checks: Arc::new(Semaphore::new(CHECKS_MAX)) })
    }

    /// Whether the password opens the account. An unknown account takes as long as a wrong password.
    pub async fn verify(&self, account: &str, password: &str) -> bool {
        let mut lines = self.lines_of(account);
        if let Some(line) = lines.iter().find(|line| self.cache.remembers(line, password)) {
            tracing::trace!(account = line.account, "password remembered");
            return true;
        }
        if lines.is_empty() {
            lines.push(Credential { account: account.to_owned(), hash: hash::NOBODY.to_owned() });
        }
        // Only closed when the process ends.
        let Ok(permit) = self.checks.clone().acquire_owned().await else { return false };
        let secret = password.to_owned();
        let checked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            // All lines are tried, so that the time taken does not tell which one it was.
            let mut opened: Vec<_> =
                lines.into_iter().filter(|line| PasswordHash::of(&line.hash).verifies(&secret)).collect();
            opened.pop()
        });
        match checked.await {
            Ok(Some(line)) => {
                self.cache.remember(&line, password);
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::error!(%error, "a password check ended badly");
                false
            }
        }
    }

    /// The lines of an account, to travel with its nodes.
    #[must_use]
    pub fn lines_of(&self, account: &str) -> Vec<Credential> {
        let accounts = self.current();
        let lines: Vec<_> = accounts.iter().filter(|line| line.account == account).cloned().collect();
        lines[lines.len().saturating_sub(LINES_PER_ACCOUNT_MAX)..].to_vec()
    }

    /// Adds lines that are not there yet. Durable when it returns; all other lines stay as they are.
    ///
    /// # Errors
    /// [`HtpasswdError`]; the file is then as it was.
    pub fn merge(&self, lines: &[Credential]) -> Result<(), HtpasswdError> {
        let mut loaded = self.lock();
        let (present, _) = read(&self.path)?;
        let new: Vec<_> = lines.iter().filter(|line| !present.contains(line) && is_line(line)).collect();
        if !new.is_empty() {
            let mut text = read_text(&self.path)?;
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            new.iter().for_each(|line| text.push_str(&format!("{}:{}\n", line.account, line.hash)));
            replace(&self.path, text.as_bytes()).map_err(|source| self.error("cannot be written", source))?;
        }
        let (accounts, stamp) = read(&self.path)?;
        *loaded = Loaded { accounts: Arc::new(accounts), stamp, looked_at: Instant::now() };
        Ok(())
    }

    /// Reads the file again at the next request.
    pub fn reload(&self) {
        self.lock().stamp = Stamp { inode: u64::MAX, length: u64::MAX, modified: (0, 0) };
        if let Some(past) = Instant::now().checked_sub(LOOK_INTERVAL) {
            self.lock().looked_at = past;
        }
    }

    /// The accounts as of now. A file that has become unreadable leaves the last good ones in force and an error in the log.
    fn current(&self) -> Arc<Vec<Credential>> {
        let mut loaded = self.lock();
        if loaded.looked_at.elapsed() >= LOOK_INTERVAL {
            loaded.looked_at = Instant::now();
            match stamp(&self.path) {
                Ok(stamp) if stamp == loaded.stamp => {}
                _ => match read(&self.path) {
                    Ok((accounts, stamp)) => {
                        loaded.accounts = Arc::new(accounts);
                        loaded.stamp = stamp;
                    }
                    Err(error) => tracing::error!(%error, "the password file cannot be read; the last state stays"),
                },
            }
        }
        loaded.accounts.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Loaded> {
        // What it holds is replaced as a whole, so a panic elsewhere cannot have left it half done.
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, what: &'static str, source: std::io::Error) -> HtpasswdError {
        HtpasswdError { path: self.path.clone(), what, source: Some(source) }
    }
}

/// A line that cannot break the file's format.
fn is_line(line: &Credential) -> bool {
    let plain = |text: &str| !text.is_empty() && text.len() <= 256 && !text.contains([':', '\n', '\r', '\0']);
    plain(&line.account) && plain(&line.hash) && !line.account.starts_with('#')
}

fn stamp(path: &Path) -> Result<Stamp, std::io::Error> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Stamp {
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Stamp { inode: 0, length: 0, modified: (0, 0) })
        }
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> Result<(Vec<Credential>, Stamp), HtpasswdError> {
    let error = |what, source| HtpasswdError { path: path.to_owned(), what, source };
    // Before the text: a change in between is then noticed at the next look.
    let stamp = stamp(path).map_err(|source| error("cannot be looked at", Some(source)))?;
    if stamp.length > FILE_BYTES_MAX {
        return Err(error("is larger than 64 MiB", None));
    }
    Ok((parse(&read_text(path)?), stamp))
}

fn read_text(path: &Path) -> Result<String, HtpasswdError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(HtpasswdError { path: path.to_owned(), what: "cannot be read", source: Some(source) }),
    }
}

fn parse(text: &str) -> Vec<Credential> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(':'))
        .map(|(account, hash)| Credential { account: account.to_owned(), hash: hash.to_owned() })
        .collect()
}

/// Temp file, fsync, rename, fsync of the folder.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), std::io::Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mode = std::fs::metadata(path).map_or(0o600, |metadata| metadata.mode() & 0o777);
    let temp = folder.join(format!(".htpasswd.shardlift-{:016x}", rand::random::<u64>()));
    let written = (|| {
        let mut file = WriteFile::open(&temp, How::New(mode))?;
        file.write_all(bytes)?;
        file.sync()?;
        disk::rename(&temp, path)?;
        disk::sync_folder(folder)
    })();
    if written.is_err()
        && let Err(error) = disk::remove_file(&temp)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "a temporary password file stays behind");
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, Passwords) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".htpasswd");
        std::fs::write(&path, text).unwrap();
        let passwords = Passwords::open(path).unwrap();
        (folder, passwords)
    }

    fn bcrypt_line(account: &str, password: &str) -> String {
        format!("{account}:{}\n", bcrypt::hash(password, 4).unwrap())
    }

    #[tokio::test]
    async fn bcrypt_and_sha_lines_open_their_account() {
        let y = bcrypt_line("b", "two").replace("$2b$", "$2y$");
        let text = format!(
            "# comment\n\n{}{y}c:{{SHA}}fEqNCco3Yq9h5ZUglD3CZJT4lBs=\nbroken\nd:plain\n",
            bcrypt_line("a", "one")
        );
        let (_folder, passwords) = file(&text);
        assert!(passwords.verify("a", "one").await);
        assert!(passwords.verify("a", "one").await, "remembered");
        assert!(passwords.verify("b", "two").await);
        assert!(passwords.verify("c", "123456").await);
        for (account, password) in [("a", "two"), ("b", ""), ("c", "x"), ("d", "plain"), ("nobody", "one"), ("", "")] {
            assert!(!passwords.verify(account, password).await, "{account} {password}");
        }
    }

    #[tokio::test]
    async fn a_changed_line_ends_what_was_remembered() {
        let (folder, passwords) = file(&bcrypt_line("a", "one"));
        assert!(passwords.verify("a", "one").await);
        std::fs::write(folder.path().join(".htpasswd"), bcrypt_line("a", "changed")).unwrap();
        passwords.reload();
        assert!(!passwords.verify("a", "one").await);
        assert!(passwords.verify("a", "changed").await);
    }

    #[tokio::test]
    async fn merged_lines_leave_all_others_as_they_were() {
        let before = format!("# the old server's file\n{}odd line", bcrypt_line("a", "one"));
        let (folder, passwords) = file(&before);
        let line = |password: &str| Credential { account: "a".into(), hash: bcrypt::hash(password, 4).unwrap() };
        let travelling = [line("two"), Credential { account: "x\ny".into(), hash: "z".into() }];
        passwords.merge(&travelling).unwrap();
        passwords.merge(&travelling).unwrap();
        let after = std::fs::read_to_string(folder.path().join(".htpasswd")).unwrap();
        assert_eq!(after, format!("{before}\na:{}\n", travelling[0].hash));
        assert!(passwords.verify("a", "one").await && passwords.verify("a", "two").await);
        assert!(!format!("{travelling:?}").contains("$2"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[tokio::test]
    async fn an_absent_file_has_no_accounts_and_can_be_merged_into() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".htpasswd");
        let passwords = Passwords::open(path.clone()).unwrap();
        assert!(!passwords.verify("a", "one").await);
        passwords.merge(&parse(&bcrypt_line("a", "one"))).unwrap();
        assert!(passwords.verify("a", "one").await);
        assert_eq!(std::fs::metadata(path).unwrap().mode() & 0o777, 0o600);
    }
}
