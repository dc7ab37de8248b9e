//! What is to survive a power cut: files that are written, and names in folders. In production plain calls to the system; a
//! simulation keeps account of what was made durable and takes the rest away when a host loses its power.
//!
//! The rules are those of POSIX and no friendlier: a file's bytes are durable when [`WriteFile::sync`] has returned, a name (made,
//! changed or taken away) when [`sync_folder`] of its folder has, and neither implies the other. [`FileSystem::sync`] stands for
//! both, for everything at once. A sync that has failed is never tried again.

use crate::machine::installed;
use rustix::fs::{OFlags, fcntl_setfl, syncfs};
use rustix::io::Errno;
use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

/// How a file is opened for writing. All can be read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Only if there is none; made with this mode.
    New(u32),
    /// Emptied, or made with this mode.
    Emptied(u32),
    /// At its end, or made with this mode.
    Append(u32),
    /// As it is, at its beginning; it must be there.
    Present,
}

impl How {
    /// The same for the system.
    #[must_use]
    pub fn options(self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true);
        match self {
            Self::New(mode) => options.write(true).create_new(true).mode(mode),
            Self::Emptied(mode) => options.write(true).create(true).truncate(true).mode(mode),
            Self::Append(mode) => options.append(true).create(true).mode(mode),
            Self::Present => options.write(true),
        };
        options
    }
}

/// A disk of a simulated host. Its calls do what the system's do, and note what is not durable yet.
pub trait Disk: Debug + Send + Sync {
    /// Opens a file for writing.
    ///
    /// # Errors
    /// What the system says; all calls fail once the host has lost its power.
    fn open(&self, path: &Path, how: How) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file or folder another name; one that has it already loses it.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn rename(&self, source: &Path, target: &Path) -> io::Result<()>;

    /// Gives a file a second name.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn hard_link(&self, source: &Path, target: &Path) -> io::Result<()>;

    /// Takes a file's name away.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Makes one folder.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()>;

    /// Removes one empty folder.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes all of it durable, bytes and names.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn sync_file_system(&self) -> io::Result<()>;
}

/// A file of a simulated disk.
pub trait DiskFile: Debug + Send + Sync {
    /// The file below it, to read from and to ask about.
    fn file(&self) -> &File;

    /// Writes all of it there.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts or extends.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Makes its bytes durable.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn sync(&self) -> io::Result<()>;
}

fn disk(path: &Path) -> Option<Arc<dyn Disk>> {
    installed().and_then(|machine| machine.disk(path))
}

/// A file that is being written.
#[derive(Debug)]
pub struct WriteFile(Kind);

#[derive(Debug)]
enum Kind {
    System(File),
    /// With where the next piece goes.
    Simulated(Box<dyn DiskFile>, u64),
}

impl WriteFile {
    /// Opens a file.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path, how: How) -> io::Result<Self> {
        let Some(disk) = disk(path) else { return how.options().open(path).map(|file| Self(Kind::System(file))) };
        let file = disk.open(path, how)?;
        let at = if matches!(how, How::Append(_)) { file.file().metadata()?.len() } else { 0 };
        Ok(Self(Kind::Simulated(file, at)))
    }

    /// The file, to read from and to ask about. What is written by it does not count as written.
    #[must_use]
    pub fn file(&self) -> &File {
        match &self.0 {
            Kind::System(file) => file,
            Kind::Simulated(file, _) => file.file(),
        }
    }

    /// Writes all of it there, wherever the next piece goes.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        match &self.0 {
            Kind::System(file) => file.write_all_at(data, offset),
            Kind::Simulated(file, _) => file.write_at(data, offset),
        }
    }

    /// Cuts or extends it. The next piece goes where it would have gone, at the end of one that is appended to.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_len(&mut self, length: u64) -> io::Result<()> {
        match &mut self.0 {
            Kind::System(file) => file.set_len(length),
            Kind::Simulated(file, at) => {
                *at = (*at).min(length);
                file.set_len(length)
            }
        }
    }

    /// From here on past the page cache, or through it again: what is written past it begins at multiples of 4096 bytes, in the file
    /// and in memory, and is so long. False where that cannot be had. Not for files that are appended to.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_direct(&self, direct: bool) -> io::Result<bool> {
        let Kind::System(file) = &self.0 else { return Ok(false) };
        let flags = if direct { OFlags::DIRECT } else { OFlags::empty() };
        match fcntl_setfl(file, flags) {
            Err(Errno::INVAL) if direct => Ok(false),
            set => set.map(|()| direct).map_err(io::Error::from),
        }
    }

    /// Makes its bytes durable. A failure is final: the kernel may have dropped what it could not write.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> io::Result<()> {
        match &self.0 {
            Kind::System(file) => file.sync_all(),
            Kind::Simulated(file, _) => file.sync(),
        }
    }

    /// As [`Self::sync`], without times and other things that no content needs.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync_data(&self) -> io::Result<()> {
        match &self.0 {
            Kind::System(file) => file.sync_data(),
            Kind::Simulated(file, _) => file.sync(),
        }
    }
}

impl Write for WriteFile {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::System(file) => file.write(data),
            Kind::Simulated(file, at) => {
                file.write_at(data, *at)?;
                *at += data.len() as u64;
                Ok(data.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives a file or folder another name; one that has it already loses it.
///
/// # Errors
/// What the system says.
pub fn rename(source: &Path, target: &Path) -> io::Result<()> {
    disk(source).map_or_else(|| std::fs::rename(source, target), |disk| disk.rename(source, target))
}

/// Gives a file a second name.
///
/// # Errors
/// What the system says.
pub fn hard_link(source: &Path, target: &Path) -> io::Result<()> {
    disk(source).map_or_else(|| std::fs::hard_link(source, target), |disk| disk.hard_link(source, target))
}

/// Takes a file's name away.
///
/// # Errors
/// What the system says.
pub fn remove_file(path: &Path) -> io::Result<()> {
    disk(path).map_or_else(|| std::fs::remove_file(path), |disk| disk.remove_file(path))
}

/// Makes one folder.
///
/// # Errors
/// What the system says.
pub fn create_folder(path: &Path, mode: u32) -> io::Result<()> {
    disk(path).map_or_else(|| DirBuilder::new().mode(mode).create(path), |disk| disk.create_folder(path, mode))
}

/// Makes a folder and those above it that are absent, durable when it returns.
///
/// # Errors
/// What the system says.
pub fn create_folders(path: &Path, mode: u32) -> io::Result<()> {
    let is_absent = |path: &&Path| !path.as_os_str().is_empty() && !path.is_dir();
    let absent: Vec<&Path> = path.ancestors().take_while(is_absent).collect();
    for folder in absent.iter().rev() {
        match create_folder(folder, mode) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    // The folder's own name also where it was there: whoever made it may have died before that was durable.
    for folder in absent.into_iter().chain([path]) {
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_name(parent.unwrap_or(Path::new(".")), folder)?;
    }
    Ok(())
}

/// Makes the name of one folder durable. Where a service has its folder in one that only root may read, it takes a sync of the whole
/// file system.
fn sync_name(parent: &Path, folder: &Path) -> io::Result<()> {
    match sync_folder(parent) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => FileSystem::of(folder)?.sync(),
        synced => synced,
    }
}

/// Removes one empty folder.
///
/// # Errors
/// What the system says.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    disk(path).map_or_else(|| std::fs::remove_dir(path), |disk| disk.remove_folder(path))
}

/// Makes the names in a folder durable. A failure is final.
///
/// # Errors
/// What the system says.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    disk(path).map_or_else(|| File::open(path)?.sync_all(), |disk| disk.sync_folder(path))
}

/// A whole file system. Opened before what it is to make durable is written: the kernel tells of a write that has failed meanwhile
/// those who had it open then, and perhaps nobody who comes later.
#[derive(Debug)]
pub struct FileSystem(Whole);

#[derive(Debug)]
enum Whole {
    System(File),
    Simulated(Arc<dyn Disk>),
}

impl FileSystem {
    /// The one that a file or folder is on.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(path: &Path) -> io::Result<Self> {
        let whole = disk(path).map_or_else(|| File::open(path).map(Whole::System), |disk| Ok(Whole::Simulated(disk)));
        whole.map(Self)
    }

    /// Makes everything on it durable, bytes and names, by whomever. A failure is final for this handle.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> io::Result<()> {
        match &self.0 {
            Whole::System(file) => Ok(syncfs(file)?),
            Whole::Simulated(disk) => disk.sync_file_system(),
        }
    }
}
