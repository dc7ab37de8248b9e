//! What a tree has to be like wherever it was moved to: every name, size and hash. Folders without files do not count; who
//! makes them and who does not is no difference in what was moved.

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::digest::{Context, Digest, SHA256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Threads that hash: one each core of a small machine.
const THREADS: usize = 2;

/// Differences that are told one by one.
const TOLD_MAX: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    bytes: u64,
    sha256: Vec<u8>,
}

/// All files of a tree, by their path below its root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Manifest(BTreeMap<PathBuf, Entry>);

/// Files below `root` and their sizes.
pub(super) fn files_below(root: &Path) -> Result<BTreeMap<PathBuf, u64>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(folder) = waiting.pop() {
        let path = root.join(&folder);
        for entry in std::fs::read_dir(&path).with_context(|| format!("listing {}", path.display()))? {
            let entry = entry?;
            let relative = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                waiting.push(relative);
            } else {
                found.insert(relative, entry.metadata()?.len());
            }
        }
    }
    Ok(found)
}

/// SHA-256 of some bytes.
pub(super) fn sha256(bytes: &[u8]) -> Digest {
    aws_lc_rs::digest::digest(&SHA256, bytes)
}

fn hash_file(path: &Path) -> Result<Vec<u8>> {
    let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let (mut hash, mut buffer) = (Context::new(&SHA256), vec![0; 256 * 1024]);
    loop {
        let read = file.read(&mut buffer).with_context(|| format!("reading {}", path.display()))?;
        if read == 0 {
            return Ok(hash.finish().as_ref().to_vec());
        }
        hash.update(&buffer[..read]);
    }
}

/// The hashes of these files, in their order, worked out by a few threads.
fn hash_files(root: &Path, files: &[&PathBuf]) -> Result<Vec<Vec<u8>>> {
    let share = files.len().div_ceil(THREADS).max(1);
    std::thread::scope(|scope| {
        let of_share =
            |share: &[&PathBuf]| -> Result<Vec<_>> { share.iter().map(|f| hash_file(&root.join(f))).collect() };
        let threads: Vec<_> = files.chunks(share).map(|share| scope.spawn(move || of_share(share))).collect();
        let mut all = Vec::with_capacity(files.len());
        for thread in threads {
            all.extend(thread.join().map_err(|_panic| anyhow::anyhow!("a hashing thread panicked"))??);
        }
        Ok(all)
    })
}

impl Manifest {
    /// Of the tree at `root`, all of it read.
    pub(super) fn of(root: &Path) -> Result<Self> {
        let files = files_below(root)?;
        let hashes = hash_files(root, &files.keys().collect::<Vec<_>>())?;
        let entries = files.into_iter().zip(hashes);
        Ok(Self(entries.map(|((path, bytes), sha256)| (path, Entry { bytes, sha256 })).collect()))
    }

    /// The same without one file.
    pub(super) fn remove(&mut self, path: &Path) {
        self.0.remove(path);
    }

    /// The same with one more file.
    pub(super) fn add(&mut self, path: PathBuf, bytes: u64, sha256: &Digest) {
        self.0.insert(path, Entry { bytes, sha256: sha256.as_ref().to_vec() });
    }

    /// How many files.
    pub(super) fn objects(&self) -> u64 {
        self.0.len() as u64
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.0.values().map(|entry| entry.bytes).sum()
    }

    /// The files, in order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.keys()
    }

    /// Insists that `root` has exactly these files; with exactly these bytes when `deep`, else of these sizes.
    pub(super) fn check(&self, root: &Path, deep: bool) -> Result<()> {
        let found = files_below(root)?;
        let mut wrong: Vec<String> = Vec::new();
        for (path, entry) in &self.0 {
            match found.get(path) {
                None => wrong.push(format!("{}: missing", path.display())),
                Some(bytes) if *bytes != entry.bytes => {
                    wrong.push(format!("{}: {bytes} bytes instead of {}", path.display(), entry.bytes));
                }
                Some(_) => {}
            }
        }
        let surplus = found.keys().filter(|path| !self.0.contains_key(*path));
        wrong.extend(surplus.map(|path| format!("{}: surplus", path.display())));
        if deep && wrong.is_empty() {
            let hashes = hash_files(root, &self.0.keys().collect::<Vec<_>>())?;
            let differing = self.0.iter().zip(hashes).filter(|((_, entry), hash)| entry.sha256 != *hash);
            wrong.extend(differing.map(|((path, _), _)| format!("{}: other bytes", path.display())));
        }
        let told = wrong[..wrong.len().min(TOLD_MAX)].join("; ");
        ensure!(wrong.is_empty(), "{} of the files in {} are not as they were: {told}", wrong.len(), root.display());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestRoot;

    #[test]
    fn every_difference_is_noticed() {
        let root = TestRoot::new("manifest").unwrap();
        let tree = root.folder("tree").unwrap();
        let write = |name: &str, content: &str| {
            std::fs::create_dir_all(tree.join(name).parent().unwrap()).unwrap();
            std::fs::write(tree.join(name), content).unwrap();
        };
        write("config", "12345");
        write("data/ab/abc", "67890");
        let manifest = Manifest::of(&tree).unwrap();
        assert_eq!((manifest.objects(), manifest.bytes()), (2, 10));
        manifest.check(&tree, true).unwrap();
        std::fs::create_dir(tree.join("locks")).unwrap();
        manifest.check(&tree, true).unwrap();
        let says = |what: &str| {
            let error = manifest.check(&tree, true).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        write("data/ab/abc", "67891");
        manifest.check(&tree, false).unwrap();
        says("abc: other bytes");
        write("data/ab/abc", "678");
        says("abc: 3 bytes instead of 5");
        std::fs::remove_file(tree.join("data/ab/abc")).unwrap();
        says("abc: missing");
        write("data/ab/abc", "67890");
        write("index/more", "");
        says("more: surplus");
    }
}
