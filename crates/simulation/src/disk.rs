//! The disk of one simulated host. Files and folders are real, so that whoever reads sees what a page cache would show; what
//! is not durable is kept account of and taken away, in whole or in part, when the host loses its power.
//!
//! Bytes: each write since the last sync of its file may be there, be missing or be torn. Names: what was made, renamed or taken
//! away in a folder since its last sync is undone from some point on, folder by folder. A rename becomes durable with the folder of
//! its new name. A host without power writes nothing, not even what its parts would tidy up on their way out.

mod names;

use crate::torn::{Change, tear};
use names::{Named, undo};
use rand::Rng as _;
use rand::rngs::StdRng;
use shardlift_net::disk::{Disk, DiskFile, How};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

/// What half-written objects of a shard have in their names.
const HALF_WRITTEN: &str = ".shardlift-";

/// A sync that says it is done and does nothing: what a part that forgot it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Of the bytes of objects.
    Bytes,
    /// Of names in the folders of objects.
    Names,
}

/// What a power cut took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loss {
    /// Files whose bytes are not what they were.
    pub files: u64,
    /// Names that were undone.
    pub names: u64,
}

/// A file that was written, or made, since its last sync.
#[derive(Debug)]
struct Dirty {
    file: Arc<File>,
    is_object: bool,
    changes: Vec<Change>,
}

#[derive(Debug, Default)]
struct State {
    /// Grows when power is lost; files of before are dead.
    boot: u64,
    dark: bool,
    /// So many changes more, and the power is gone: a cut in the middle of what a part does in one go.
    fuse: Option<u64>,
    last: u64,
    /// Not durable, by the handle that wrote it.
    bytes: BTreeMap<u64, Dirty>,
    /// Not durable, by folder, in order over all folders.
    names: BTreeMap<PathBuf, Vec<(u64, Named)>>,
}

/// A disk.
#[derive(Debug)]
pub struct SimDisk {
    /// Where what was covered or taken away is kept until it is durable that it is gone.
    attic: PathBuf,
    lie: Option<Lie>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct SimFile {
    file: Arc<File>,
    handle: u64,
    boot: u64,
    is_object: bool,
    lie: Option<Lie>,
    state: Arc<Mutex<State>>,
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn dark() -> io::Error {
    io::Error::other("the host has no power")
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).to_owned()
}

impl State {
    fn powered(&mut self) -> io::Result<()> {
        match self.fuse {
            Some(0) if !self.dark => (self.dark, self.boot) = (true, self.boot + 1),
            Some(left) => self.fuse = Some(left.saturating_sub(1)),
            None => {}
        }
        if self.dark { Err(dark()) } else { Ok(()) }
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn note(&mut self, folder: PathBuf, named: Named) {
        let number = self.next();
        self.names.entry(folder).or_default().push((number, named));
    }

    fn settle(&mut self, folder: &Path) -> io::Result<()> {
        for (_, named) in self.names.remove(folder).unwrap_or_default() {
            match named {
                Named::Renamed { covered: Some(kept), .. } | Named::Removed { kept, .. } => std::fs::remove_file(kept)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl SimDisk {
    /// A disk whose attic is made here. It must be on the same file system as what is written.
    ///
    /// # Errors
    /// When the attic cannot be made.
    pub fn new(attic: PathBuf, lie: Option<Lie>) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(&attic)?;
        Ok(Arc::new(Self { attic, lie, state: Arc::default() }))
    }

    /// The host is off: nothing is written any more, and what was open is dead.
    pub fn power_off(&self) {
        let mut state = locked(&self.state);
        state.dark = true;
        state.boot += 1;
    }

    /// The power goes after so many changes more, before the next one; `None`: it does not.
    pub fn set_fuse(&self, changes: Option<u64>) {
        locked(&self.state).fuse = changes;
    }

    /// Whether the power is off.
    #[must_use]
    pub fn is_dark(&self) -> bool {
        locked(&self.state).dark
    }

    /// The host may start again.
    pub fn power_on(&self) {
        let mut state = locked(&self.state);
        (state.dark, state.fuse) = (false, None);
    }

    /// Takes away what the dice say of all that is not durable. The power is off.
    ///
    /// # Errors
    /// When a file cannot be changed: the account is wrong.
    pub fn lose(&self, dice: &mut StdRng) -> io::Result<Loss> {
        let mut state = locked(&self.state);
        let mut loss = Loss::default();
        for Dirty { file, changes, .. } in std::mem::take(&mut state.bytes).into_values() {
            let changed = file.metadata()?.modified()?;
            loss.files += u64::from(tear(&file, changes, dice)?);
            file.set_modified(changed)?;
        }
        let mut undone = Vec::new();
        for (_, mut names) in std::mem::take(&mut state.names) {
            // As often as not all of it, or none.
            let kept = match dice.random_range(0..4) {
                0 => 0,
                1 => names.len(),
                _ => dice.random_range(0..=names.len()),
            };
            undone.extend(names.split_off(kept));
        }
        undone.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        for (_, named) in undone {
            loss.names += 1;
            undo(named)?;
        }
        for entry in std::fs::read_dir(&self.attic)? {
            std::fs::remove_file(entry?.path())?;
        }
        Ok(loss)
    }

    fn attic(&self, state: &mut State) -> PathBuf {
        self.attic.join(state.next().to_string())
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: How) -> io::Result<Box<dyn DiskFile>> {
        let mut state = locked(&self.state);
        state.powered()?;
        let is_new = !path.try_exists()?;
        // Emptied by a change that can be undone.
        let opened = if matches!(how, How::Emptied(_)) && !is_new { How::Present } else { how };
        let options = if let How::Append(mode) = opened {
            // Where the next piece goes is said with each; a file in append mode would not listen.
            if is_new { How::New(mode) } else { How::Present }
        } else {
            opened
        };
        let file = Arc::new(options.options().open(path)?);
        if is_new {
            state.note(parent(path), Named::Made(path.to_owned()));
        }
        let is_object = path.to_string_lossy().contains(HALF_WRITTEN);
        let (handle, boot, lie) = (state.next(), state.boot, self.lie);
        if is_object {
            // Also an empty one gets its time when it becomes durable.
            state.bytes.insert(handle, Dirty { file: file.clone(), is_object, changes: Vec::new() });
        }
        let opened = SimFile { file, handle, boot, is_object, lie, state: self.state.clone() };
        drop(state);
        if matches!(how, How::Emptied(_)) && !is_new {
            opened.set_len(0)?;
        }
        Ok(Box::new(opened))
    }

    fn rename(&self, source: &Path, target: &Path) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.powered()?;
        if source.is_dir() {
            // What is below changes its path with it; the account goes by paths.
            let below: Vec<_> = state.names.keys().filter(|folder| folder.starts_with(source)).cloned().collect();
            below.iter().try_for_each(|folder| state.settle(folder))?;
        }
        let covered = if target.is_file() {
            let kept = self.attic(&mut state);
            std::fs::hard_link(target, &kept)?;
            Some(kept)
        } else {
            None
        };
        std::fs::rename(source, target)?;
        state.note(parent(target), Named::Renamed { source: source.to_owned(), target: target.to_owned(), covered });
        Ok(())
    }

    fn hard_link(&self, source: &Path, target: &Path) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.powered()?;
        std::fs::hard_link(source, target)?;
        state.note(parent(target), Named::Made(target.to_owned()));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.powered()?;
        let kept = self.attic(&mut state);
        std::fs::rename(path, &kept)?;
        state.note(parent(path), Named::Removed { path: path.to_owned(), kept });
        Ok(())
    }

    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.powered()?;
        DirBuilder::new().mode(mode).create(path)?;
        state.note(parent(path), Named::Made(path.to_owned()));
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.powered()?;
        std::fs::remove_dir(path)?;
        // A folder that is gone for good was empty before: what happened in it comes with its going, or before it.
        let within = state.names.remove(path).unwrap_or_default();
        let above = state.names.entry(parent(path)).or_default();
        above.extend(within);
        above.sort_by_key(|(number, _)| *number);
        state.note(parent(path), Named::FolderRemoved(path.to_owned()));
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.powered()?;
        if !path.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        if self.lie == Some(Lie::Names) && holds_objects(path) {
            return Ok(());
        }
        state.settle(path)
    }

    fn sync_file_system(&self) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.powered()?;
        let objects = state.bytes.values().filter(|dirty| dirty.is_object);
        objects.map(|dirty| &dirty.file).try_for_each(|file| stamp(file))?;
        state.bytes.retain(|_, dirty| dirty.is_object && self.lie == Some(Lie::Bytes));
        let is_lied_about = |folder: &&PathBuf| self.lie == Some(Lie::Names) && holds_objects(folder);
        let folders: Vec<_> = state.names.keys().filter(|folder| !is_lied_about(folder)).cloned().collect();
        folders.iter().try_for_each(|folder| state.settle(folder))
    }
}

fn holds_objects(folder: &Path) -> bool {
    folder.ancestors().any(|above| above.ends_with("data") || above.ends_with("index"))
}

/// By the host's own clock: a shard takes the times of objects that it finds.
fn stamp(file: &File) -> io::Result<()> {
    file.set_modified(UNIX_EPOCH + shardlift_net::since_epoch())
}

impl SimFile {
    fn change(&self, make: impl FnOnce(&File) -> io::Result<Change>) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.powered()?;
        if self.boot != state.boot {
            return Err(dark());
        }
        let change = make(&self.file)?;
        let clean = || Dirty { file: self.file.clone(), is_object: self.is_object, changes: Vec::new() };
        state.bytes.entry(self.handle).or_insert_with(clean).changes.push(change);
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn file(&self) -> &File {
        &self.file
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.change(|file| {
            let length = file.metadata()?.len();
            let covered = length.saturating_sub(offset).min(data.len() as u64);
            let mut before = vec![0; usize::try_from(covered).map_err(io::Error::other)?];
            file.read_exact_at(&mut before, offset)?;
            file.write_all_at(data, offset)?;
            Ok(Change::Bytes { offset, before, data: data.to_vec(), length })
        })
    }

    fn set_len(&self, target: u64) -> io::Result<()> {
        self.change(|file| {
            let length = file.metadata()?.len();
            let cut = length.saturating_sub(target);
            let mut tail = vec![0; usize::try_from(cut).map_err(io::Error::other)?];
            file.read_exact_at(&mut tail, target.min(length))?;
            file.set_len(target)?;
            Ok(Change::Length { target, tail, length })
        })
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.powered()?;
        if self.boot != state.boot {
            return Err(dark());
        }
        if self.is_object {
            stamp(&self.file)?;
        }
        if !(self.is_object && self.lie == Some(Lie::Bytes)) {
            state.bytes.remove(&self.handle);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
