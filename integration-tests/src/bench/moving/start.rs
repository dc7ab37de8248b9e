//! The same start for everybody: memory that was touched before and is free, a disk with nothing left to do, and a source tree
//! that is in the page cache, or is not, for all alike.

use super::manifest::files_below;
use crate::bench::even_out;
use anyhow::{Context as _, Result, bail};
use rustix::fs::Advice;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

/// Whether the source tree is in the page cache when a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// All of it was read a moment ago: what is measured is the way, not the source's disk.
    Warm,
    /// None of its bytes are: the source's disk is a part of what is measured.
    Cold,
}

impl Cache {
    /// As it is written in settings and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
        }
    }
}

impl std::str::FromStr for Cache {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "warm" => Ok(Self::Warm),
            "cold" => Ok(Self::Cold),
            _ => bail!("a cache is warm or cold, not {text}"),
        }
    }
}

/// Reads files, or drops them from the page cache. Their names are in memory afterwards in both cases.
pub(super) fn set_cache(files: impl Iterator<Item = PathBuf>, cache: Cache) -> Result<()> {
    let mut buffer = vec![0; 1 << 20];
    for path in files {
        let mut file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        match cache {
            Cache::Warm => while file.read(&mut buffer)? > 0 {},
            Cache::Cold => rustix::fs::fadvise(file.as_fd(), 0, None, Advice::DontNeed)
                .with_context(|| format!("dropping {} from the cache", path.display()))?,
        }
    }
    Ok(())
}

/// Brings about the same start. `mebibytes` is what the run will write.
pub(super) fn make_even(root: &Path, source: &Path, mebibytes: u64, cache: Cache) -> Result<()> {
    // The ballast first: it may push the source out of the cache.
    even_out(root, mebibytes)?;
    set_cache(files_below(source)?.into_keys().map(|path| source.join(path)), cache)
}

/// Makes all that was written below `folder` durable, with everything else on the same file system.
pub(super) fn sync(folder: &Path) -> Result<()> {
    let handle = File::open(folder).with_context(|| format!("opening {}", folder.display()))?;
    rustix::fs::syncfs(handle.as_fd()).with_context(|| format!("syncing {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestRoot;

    #[test]
    fn a_cache_is_made_warm_and_cold_and_the_bytes_stay() {
        let root = TestRoot::new("cache").unwrap();
        let tree = root.folder("tree/data").unwrap();
        std::fs::write(tree.join("a"), vec![7; 100_000]).unwrap();
        for text in ["warm", "cold"] {
            let cache: Cache = text.parse().unwrap();
            assert_eq!(cache.name(), text);
            make_even(root.path(), &tree, 1, cache).unwrap();
            sync(&tree).unwrap();
        }
        assert_eq!(std::fs::read(tree.join("a")).unwrap(), vec![7; 100_000]);
        assert!("hot".parse::<Cache>().is_err());
        assert!(make_even(root.path(), &root.path().join("missing"), 1, Cache::Warm).is_err());
    }
}
