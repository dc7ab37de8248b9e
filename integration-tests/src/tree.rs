//! Trees of files to back up: made from a seed, changed from a seed, compared byte by byte.
//!
//! The same seed gives the same tree, so a failing test is repeated with the seed it printed.

use anyhow::{Context as _, Result};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// How much to make.
#[derive(Debug, Clone, Copy)]
pub struct TreeShape {
    /// Files of mixed, mostly small sizes.
    pub files: usize,
    /// Additional large files.
    pub large_files: usize,
    /// Size of each large file in bytes.
    pub large_bytes: u64,
}

impl TreeShape {
    /// A tree for a quick test: about 3 MiB.
    pub const SMALL: Self = Self { files: 40, large_files: 1, large_bytes: 2 << 20 };
    /// A tree with several packs: about 50 MiB.
    pub const MEDIUM: Self = Self { files: 200, large_files: 5, large_bytes: 8 << 20 };
}

const FOLDERS: [&str; 6] =
    ["", "etc", "var/lib/app", "home/user/Documents", "sub/sub/sub/sub", "with space/und Ümläute"];

fn write_random(path: &Path, bytes: u64, rng: &mut StdRng) -> Result<()> {
    let mut file = fs::File::create(path).with_context(|| format!("creating {}", path.display()))?;
    let mut buffer = vec![0; 256 * 1024];
    let mut left = bytes;
    while left > 0 {
        let chunk = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        rng.fill_bytes(&mut buffer[..chunk]);
        file.write_all(&buffer[..chunk])?;
        left -= chunk as u64;
    }
    Ok(())
}

fn mixed_size(rng: &mut StdRng) -> u64 {
    match rng.random_range(0..10) {
        0 => 0,
        1 => 1,
        2..=6 => rng.random_range(2..4096),
        7 | 8 => rng.random_range(4096..64 * 1024),
        _ => rng.random_range(64 * 1024..512 * 1024),
    }
}

/// Fills `root`, which is created, and returns the bytes written. Prints the seed.
///
/// # Errors
/// When a file cannot be written.
pub fn generate_tree(root: &Path, seed: u64, shape: TreeShape) -> Result<u64> {
    println!("tree {}: seed {seed}, {shape:?}", root.display());
    fill_tree(root, seed, shape)
}

/// As [`generate_tree`], without a word.
///
/// # Errors
/// When a file cannot be written.
pub fn fill_tree(root: &Path, seed: u64, shape: TreeShape) -> Result<u64> {
    let mut rng = StdRng::seed_from_u64(seed);
    for folder in FOLDERS {
        fs::create_dir_all(root.join(folder))?;
    }
    let mut total = 0;
    for number in 0..shape.files {
        let folder = FOLDERS.choose(&mut rng).copied().unwrap_or_default();
        let path = root.join(folder).join(format!("file-{number}.bin"));
        let size = mixed_size(&mut rng);
        write_random(&path, size, &mut rng)?;
        total += size;
        if number % 10 == 3 {
            // A second copy elsewhere: something to deduplicate.
            total += fs::copy(&path, root.join("etc").join(format!("copy-{number}.bin")))?;
        }
    }
    for number in 0..shape.large_files {
        write_random(&root.join(format!("var/lib/app/large-{number}.img")), shape.large_bytes, &mut rng)?;
        total += shape.large_bytes;
    }
    std::os::unix::fs::symlink("file-0.bin", root.join("link")).context("creating a link")?;
    Ok(total)
}

fn files_below(root: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(root)?.into_iter().filter(|(_, kind)| *kind == Kind::File).map(|(path, _)| path).collect())
}

/// Changes a tree as a day does: some files grow, some are cut, replaced, deleted, added. Prints the seed.
///
/// # Errors
/// When a file cannot be changed.
pub fn modify_tree(root: &Path, seed: u64) -> Result<()> {
    println!("tree {}: modified with seed {seed}", root.display());
    change_tree(root, seed)
}

/// As [`modify_tree`], without a word.
///
/// # Errors
/// When a file cannot be changed.
pub fn change_tree(root: &Path, seed: u64) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    for relative in files_below(root)? {
        let path = root.join(relative);
        match rng.random_range(0..20) {
            0 => fs::remove_file(&path)?,
            1 => fs::OpenOptions::new().append(true).open(&path)?.write_all(&rng.random::<[u8; 32]>())?,
            2 => {
                let half = fs::metadata(&path)?.len() / 2;
                fs::OpenOptions::new().write(true).open(&path)?.set_len(half)?;
            }
            3 => {
                let size = mixed_size(&mut rng);
                write_random(&path, size, &mut rng)?;
            }
            _ => {}
        }
    }
    let added = root.join(format!("added-{seed}"));
    fs::create_dir_all(&added)?;
    for number in 0..3 {
        let size = mixed_size(&mut rng) + 1;
        write_random(&added.join(format!("new-{number}.bin")), size, &mut rng)?;
    }
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    Link(PathBuf),
    Other,
}

fn entries(root: &Path) -> Result<BTreeMap<PathBuf, Kind>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(folder) = waiting.pop() {
        let path = root.join(&folder);
        for entry in fs::read_dir(&path).with_context(|| format!("listing {}", path.display()))? {
            let entry = entry?;
            let relative = folder.join(entry.file_name());
            let kind = entry.file_type()?;
            let kind = if kind.is_dir() {
                waiting.push(relative.clone());
                Kind::Folder
            } else if kind.is_symlink() {
                Kind::Link(fs::read_link(entry.path())?)
            } else if kind.is_file() {
                Kind::File
            } else {
                Kind::Other
            };
            found.insert(relative, kind);
        }
    }
    Ok(found)
}

/// Whether two files have the same bytes.
///
/// # Errors
/// When one cannot be read.
pub fn same_bytes(left: &Path, right: &Path) -> Result<bool> {
    let open = |path: &Path| fs::File::open(path).with_context(|| format!("opening {}", path.display()));
    let (left, right) = (open(left)?, open(right)?);
    if left.metadata()?.len() != right.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (BufReader::new(left), BufReader::new(right));
    let (mut a, mut b) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let read = left.read(&mut a)?;
        if read == 0 {
            return Ok(right.read(&mut b)? == 0);
        }
        if right.read_exact(&mut b[..read]).is_err() || a[..read] != b[..read] {
            return Ok(false);
        }
    }
}

/// Where two trees differ, one line each, in order; empty when names, kinds, link targets and all bytes are equal.
///
/// # Errors
/// When something cannot be read: an unreadable tree is not a different one.
pub fn differences(left: &Path, right: &Path) -> Result<Vec<String>> {
    let (ours, theirs) = (entries(left)?, entries(right)?);
    let mut lines = Vec::new();
    for (path, kind) in &ours {
        match theirs.get(path) {
            None => lines.push(format!("{}: only on the left", path.display())),
            Some(other) if other != kind => lines.push(format!("{}: {kind:?} and {other:?}", path.display())),
            Some(Kind::File) if !same_bytes(&left.join(path), &right.join(path))? => {
                lines.push(format!("{}: other bytes", path.display()));
            }
            Some(_) => {}
        }
    }
    lines.extend(
        theirs.keys().filter(|path| !ours.contains_key(*path)).map(|p| format!("{}: only on the right", p.display())),
    );
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestRoot;

    #[test]
    fn the_same_seed_makes_and_modifies_the_same_tree() {
        let root = TestRoot::new("tree").unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| root.path().join(name));
        for (path, seed) in [(&a, 7), (&b, 7), (&c, 8)] {
            assert!(generate_tree(path, seed, TreeShape::SMALL).unwrap() > 2 << 20);
        }
        assert_eq!(differences(&a, &b).unwrap(), Vec::<String>::new());
        assert_ne!(differences(&a, &c).unwrap(), Vec::<String>::new());
        modify_tree(&a, 9).unwrap();
        assert_ne!(differences(&a, &b).unwrap(), Vec::<String>::new());
        modify_tree(&b, 9).unwrap();
        assert_eq!(differences(&a, &b).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_difference_is_seen() {
        let root = TestRoot::new("tree").unwrap();
        let (a, b) = (root.folder("a").unwrap(), root.folder("b").unwrap());
        for folder in [&a, &b] {
            fs::write(folder.join("bytes"), b"12345").unwrap();
            fs::write(folder.join("size"), b"12345").unwrap();
        }
        fs::write(b.join("bytes"), b"12346").unwrap();
        fs::write(b.join("size"), b"123456").unwrap();
        fs::write(a.join("gone"), b"").unwrap();
        fs::write(b.join("new"), b"").unwrap();
        fs::write(a.join("kind"), b"").unwrap();
        fs::create_dir(b.join("kind")).unwrap();
        std::os::unix::fs::symlink("x", a.join("link")).unwrap();
        std::os::unix::fs::symlink("y", b.join("link")).unwrap();
        let lines = differences(&a, &b).unwrap();
        let names: Vec<&str> = lines.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(names, ["bytes", "gone", "kind", "link", "size", "new"]);
        assert!(differences(&a, &root.path().join("missing")).is_err());
    }
}
