//! The trees that are moved: restic's layout, named by content, so that a shard adopts them and everybody moves the same files;
//! and the same trees with 1 % changed: 0.5 % of the objects gone, as many new ones. Objects named by content never change
//! in place.
//!
//! A changed tree shares its unchanged files with the first one by hard links: the same blocks and the same page cache.

use super::manifest::{Manifest, sha256};
use crate::{Restic, tool};
use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a large object.
const LARGE_BYTES: usize = 16 << 20;

/// Bytes of a small object: as many of 200 to 400 as of 10 to 20 KiB.
const SMALL_BYTES: (f64, f64) = (200.0, 20_480.0);

/// Files that restic backs up into the real repository.
const BACKED_UP_BYTES: usize = 8 << 20;

/// One backup into the real repository.
const BACKUP_TIME_MAX: Duration = Duration::from_secs(1800);

/// A kind of tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Objects of 16 MiB.
    Large,
    /// Objects of 200 B to 20 KiB.
    Small,
    /// What restic makes.
    Restic,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Large, Self::Small, Self::Restic];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Large => "large",
            Self::Small => "small",
            Self::Restic => "restic",
        }
    }
}

/// How big.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) mebibytes: u64,
    pub(super) objects: u64,
    pub(super) seed: u64,
}

/// A tree in two states, on disk.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) kind: Kind,
    /// As it is at first, and what that is.
    pub(super) base: PathBuf,
    pub(super) base_manifest: Manifest,
    /// After the change.
    pub(super) changed: PathBuf,
    pub(super) changed_manifest: Manifest,
    /// Files of `base` that `changed` has no more.
    pub(super) gone: Vec<PathBuf>,
    /// Files of `changed` that `base` does not have yet.
    pub(super) added: Vec<PathBuf>,
    /// Bytes of these.
    pub(super) added_bytes: u64,
}

fn object(root: &Path, bytes: &[u8]) -> Result<PathBuf> {
    let name = hex::encode(sha256(bytes));
    let relative = PathBuf::from("data").join(&name[..2]).join(&name);
    let path = root.join(&relative);
    std::fs::create_dir_all(path.parent().unwrap_or(root))?;
    std::fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    Ok(relative)
}

fn size_of(kind: Kind, rng: &mut StdRng) -> usize {
    let (least, most) = SMALL_BYTES;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 200 and 20,480")]
    match kind {
        Kind::Large => LARGE_BYTES,
        Kind::Small => (least * (most / least).powf(rng.random::<f64>())) as usize,
        // About what a pack is like.
        Kind::Restic => rng.random_range(1 << 20..8 << 20),
    }
}

fn objects(kind: Kind, root: &Path, count: u64, rng: &mut StdRng) -> Result<Vec<PathBuf>> {
    let mut buffer = vec![0; LARGE_BYTES];
    let one = |_number| {
        let bytes = &mut buffer[..size_of(kind, rng)];
        rng.fill_bytes(bytes);
        object(root, bytes)
    };
    (0..count).map(one).collect()
}

/// What every repository has besides its data; encrypted, so that any bytes will do.
fn frame(root: &Path, rng: &mut StdRng) -> Result<()> {
    for folder in ["data", "index", "keys", "locks", "snapshots"] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    let mut bytes = vec![0; 155];
    rng.fill_bytes(&mut bytes);
    std::fs::write(root.join("config"), &bytes)?;
    rng.fill_bytes(&mut bytes);
    std::fs::write(root.join("keys").join(hex::encode(sha256(&bytes))), &bytes)?;
    Ok(())
}

async fn backed_up(folder: &Path, base: &Path, size: Size) -> Result<()> {
    let restic = tool("bench move: tree restic", "restic").context("restic is needed: apt-get install restic")?;
    let files = folder.join("files");
    std::fs::create_dir_all(&files)?;
    let mut rng = StdRng::seed_from_u64(size.seed);
    let mut buffer = vec![0; BACKED_UP_BYTES];
    for number in 0..(size.mebibytes << 20).div_ceil(BACKED_UP_BYTES as u64) {
        rng.fill_bytes(&mut buffer);
        std::fs::write(files.join(format!("{number}.bin")), &buffer)?;
    }
    let parent = base.parent().context("a tree without a folder")?.to_string_lossy();
    let name = base.file_name().context("a tree without a name")?.to_string_lossy();
    let client = Restic::new(&restic, &folder.join("home"), &parent, &name)?.limit(BACKUP_TIME_MAX);
    client.init().await?;
    client.backup(&files).await?;
    std::fs::remove_dir_all(&files)?;
    // restic leaves many of its 256 folders empty, and files that only their owner may read; both travel.
    Ok(())
}

/// Makes `target` the same as `source` by hard links.
pub(super) fn link_tree(source: &Path, target: &Path) -> Result<()> {
    std::fs::create_dir_all(target).with_context(|| format!("creating {}", target.display()))?;
    for entry in std::fs::read_dir(source).with_context(|| format!("listing {}", source.display()))? {
        let entry = entry?;
        let path = target.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link_tree(&entry.path(), &path)?;
        } else {
            std::fs::hard_link(entry.path(), &path).with_context(|| format!("linking {}", path.display()))?;
        }
    }
    Ok(())
}

impl Tree {
    /// Makes the tree in `folder`, which is created.
    pub(super) async fn make(kind: Kind, folder: &Path, size: Size) -> Result<Self> {
        ensure!(size.mebibytes > 0 && size.objects > 0, "nothing to move: {size:?}");
        let (base, changed) = (folder.join("base"), folder.join("changed"));
        std::fs::create_dir_all(folder)?;
        let mut rng = StdRng::seed_from_u64(size.seed);
        match kind {
            Kind::Large => {
                frame(&base, &mut rng)?;
                objects(kind, &base, (size.mebibytes << 20).div_ceil(LARGE_BYTES as u64), &mut rng)?;
            }
            Kind::Small => {
                frame(&base, &mut rng)?;
                objects(kind, &base, size.objects, &mut rng)?;
            }
            Kind::Restic => backed_up(folder, &base, size).await?,
        }
        let base_manifest = Manifest::of(&base)?;
        link_tree(&base, &changed)?;
        let mut data: Vec<PathBuf> = base_manifest.paths().filter(|path| path.starts_with("data")).cloned().collect();
        data.shuffle(&mut rng);
        let changes = (data.len() / 200).max(1);
        data.truncate(changes);
        let mut changed_manifest = base_manifest.clone();
        for path in &data {
            std::fs::remove_file(changed.join(path))?;
            changed_manifest.remove(path);
        }
        let added = objects(kind, &changed, changes as u64, &mut rng)?;
        let mut added_bytes = 0;
        for path in &added {
            let bytes = std::fs::read(changed.join(path))?;
            added_bytes += bytes.len() as u64;
            changed_manifest.add(path.clone(), bytes.len() as u64, &sha256(&bytes));
        }
        Ok(Self { kind, base, base_manifest, changed, changed_manifest, gone: data, added, added_bytes })
    }

    /// How many objects the change is about.
    pub(super) fn changes(&self) -> u64 {
        (self.gone.len() + self.added.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestRoot;

    #[tokio::test]
    async fn the_same_seed_makes_the_same_tree_and_the_same_change() {
        let root = TestRoot::new("trees").unwrap();
        let size = Size { mebibytes: 32, objects: 400, seed: 5 };
        let a = Tree::make(Kind::Small, &root.path().join("a"), size).await.unwrap();
        let b = Tree::make(Kind::Small, &root.path().join("b"), size).await.unwrap();
        assert_eq!((&a.base_manifest, &a.changed_manifest), (&b.base_manifest, &b.changed_manifest));
        assert_eq!((a.base_manifest.objects(), a.changes()), (402, 4));
        a.base_manifest.check(&b.base, true).unwrap();
        a.changed_manifest.check(&a.changed, true).unwrap();
        assert!(a.base_manifest.check(&a.changed, false).is_err());
        let sizes = super::super::manifest::files_below(&a.base.join("data")).unwrap();
        assert!(sizes.values().all(|bytes| (200..20_480).contains(bytes)), "{sizes:?}");
        assert!(sizes.values().any(|bytes| *bytes < 1000) && sizes.values().any(|bytes| *bytes > 10_000));
        let large = Tree::make(Kind::Large, &root.path().join("large"), size).await.unwrap();
        assert_eq!((large.base_manifest.objects(), large.changes(), large.added_bytes), (4, 2, 16 << 20));
    }
}
