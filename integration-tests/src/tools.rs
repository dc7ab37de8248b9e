//! Programs a test needs from the machine, and the loud way to say that one is missing.
//!
//! The lines go straight to standard error, past the capture of the test harness. With `SHARDLIFT_NO_SKIP=1` in the
//! environment a skip is a failure: that is how a gate makes sure that everything ran.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// Where folders of programs for root are missing from `PATH`, they are looked at all the same.
const MORE_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(MORE_FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The program `name`, or `None` after saying loudly that `test` is skipped for want of it.
///
/// # Panics
/// When it is missing and `SHARDLIFT_NO_SKIP=1`.
#[must_use]
pub fn tool(test: &str, name: &str) -> Option<PathBuf> {
    let found = find(name);
    if found.is_none() {
        skip(test, &format!("the program `{name}` is not installed"));
    }
    found
}

/// Says loudly that `test` did not run, and counts it.
///
/// # Panics
/// When `SHARDLIFT_NO_SKIP=1`.
pub fn skip(test: &str, reason: &str) {
    let count = SKIPPED.fetch_add(1, Ordering::SeqCst) + 1;
    let line = format!("SKIPPED: {test}: {reason} ({count} skipped so far in this binary)\n");
    // Losing the line on a closed standard error is no reason to fail a test; the count stays.
    let _ = std::io::stderr().write_all(line.as_bytes());
    assert!(std::env::var("SHARDLIFT_NO_SKIP").as_deref() != Ok("1"), "{line}");
}

/// How many tests of this binary were skipped so far.
#[must_use]
pub fn skipped_count() -> usize {
    SKIPPED.load(Ordering::SeqCst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_exists_is_found() {
        assert!(tool("a_program_that_exists_is_found", "sh").is_some());
    }

    #[test]
    fn a_missing_program_is_looked_for_in_vain() {
        assert_eq!(find("no-such-program-anywhere"), None);
    }
}
