//! The folder of one test.
//!
//! It goes away with the test, unless the test panics or `SHARDLIFT_KEEP=1` is set: then it stays and its path is
//! printed, so that the logs in it can be read.

use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder that belongs to one test.
#[derive(Debug)]
pub struct TestRoot {
    folder: Option<TempDir>,
    path: PathBuf,
}

impl TestRoot {
    /// Creates the folder; `test` becomes part of its name.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn new(test: &str) -> Result<Self> {
        let prefix = format!("shardlift-{test}-");
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir().context("creating the folder of the test")?;
        let path = folder.path().to_owned();
        Ok(Self { folder: Some(folder), path })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a folder below it.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(path)
    }

    /// Writes a file below it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for TestRoot {
    fn drop(&mut self) {
        let keep = std::thread::panicking() || std::env::var("SHARDLIFT_KEEP").as_deref() == Ok("1");
        if let Some(folder) = self.folder.take()
            && keep
        {
            eprintln!("kept: {}", folder.keep().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_goes_away_with_its_owner() {
        let root = TestRoot::new("root").unwrap();
        let file = root.file("a", b"x").unwrap();
        assert!(file.exists());
        drop(root);
        assert!(!file.exists());
    }
}
