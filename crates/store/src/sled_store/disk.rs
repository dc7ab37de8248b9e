//! The folder around the database: its files, the lock, the ballast, and leftovers of a killed process.

use super::engine::sync_folder;
use crate::error::StoreError;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Size of the ballast.
const BALLAST_BYTES: u64 = 4 * 1024 * 1024;

/// The folder of a store.
pub(super) struct Folder {
    dir: PathBuf,
}

impl Folder {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.dir.join("journal")
    }

    pub(super) fn marker(&self) -> PathBuf {
        self.dir.join("marker")
    }

    /// Makes the folder, durably, or takes an empty one. A fresh file system's `lost+found` does not count.
    pub(super) fn create_empty(&self) -> Result<(), StoreError> {
        create_folders(&self.dir)?;
        for entry in fs::read_dir(&self.dir).map_err(StoreError::io("list", &self.dir))? {
            let entry = entry.map_err(StoreError::io("list", &self.dir))?;
            if entry.file_name() != "lost+found" {
                return Err(StoreError::NotEmpty { dir: self.dir.clone() });
            }
        }
        Ok(())
    }

    pub(super) fn check_initialised(&self) -> Result<(), StoreError> {
        if exists(&self.marker())? { Ok(()) } else { Err(StoreError::NotInitialised { dir: self.dir.clone() }) }
    }

    /// The database would create what it misses, and an empty database opens without complaint. So it is not asked.
    pub(super) fn check_journal(&self) -> Result<(), StoreError> {
        for name in ["db", "conf", "blobs"] {
            if !exists(&self.journal().join(name))? {
                return Err(StoreError::DamagedStore { what: "a file of the database is missing" });
            }
        }
        Ok(())
    }

    /// A process killed while it opened the database leaves a half-written summary, which would stop every later open.
    pub(super) fn remove_unfinished_snapshots(&self) -> Result<(), StoreError> {
        let journal = self.journal();
        let mut removed = 0;
        for entry in fs::read_dir(&journal).map_err(StoreError::io("list", &journal))? {
            let path = entry.map_err(StoreError::io("list", &journal))?.path();
            if path.extension().is_some_and(|extension| extension == "generating") {
                fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
                removed += 1;
            }
        }
        if removed == 0 {
            return Ok(());
        }
        tracing::warn!(dir = %self.dir.display(), removed, "unfinished snapshots of a killed process removed");
        sync_folder(&journal)
    }
}

/// Makes a folder and those above it that are missing; each is durable in the one above before the next is made.
fn create_folders(dir: &Path) -> Result<(), StoreError> {
    if exists(dir)? {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    create_folders(parent)?;
    fs::create_dir(dir).map_err(StoreError::io("create", dir))?;
    sync_folder(parent)
}

fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(StoreError::io("look at", path))
}

/// Held for as long as the store is open; the system lets go of it when the process ends, however it ends.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn create(folder: &Folder) -> Result<Self, StoreError> {
        let path = folder.path().join("lock");
        let file = File::create_new(&path).map_err(StoreError::io("create", &path))?;
        Self::hold(file, &path, folder)
    }

    pub(super) fn take(folder: &Folder) -> Result<Self, StoreError> {
        let path = folder.path().join("lock");
        let file = File::options().write(true).open(&path).map_err(StoreError::io("open", &path))?;
        Self::hold(file, &path, folder)
    }

    fn hold(file: File, path: &Path, folder: &Folder) -> Result<Self, StoreError> {
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: folder.path().to_owned() }),
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
        }
    }
}

/// Room that is kept free for the day the disk is full.
pub(super) struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// Makes the ballast if it is missing and there is room for four of it. Without room the store opens all the same:
    /// it was given up for that.
    pub(super) fn ensure(folder: &Folder) -> Result<Self, StoreError> {
        let path = folder.path().join("ballast");
        let ballast = Self { path };
        if exists(&ballast.path)? {
            return Ok(ballast);
        }
        let room = rustix::fs::statvfs(folder.path())
            .map_err(|errno| StoreError::io("measure", folder.path())(errno.into()))?;
        if room.f_bavail.saturating_mul(room.f_frsize) < 4 * BALLAST_BYTES {
            tracing::warn!(path = %ballast.path.display(), "too little room on the disk to set any aside");
            return Ok(ballast);
        }
        ballast.fill()?;
        sync_folder(folder.path())?;
        Ok(ballast)
    }

    fn fill(&self) -> Result<(), StoreError> {
        let fresh = self.path.with_extension("new");
        let mut file = File::create(&fresh).map_err(StoreError::io("create", &fresh))?;
        let block = [0x5a; 64 * 1024];
        for _ in 0..BALLAST_BYTES / block.len() as u64 {
            file.write_all(&block).map_err(StoreError::io("write", &fresh))?;
        }
        file.sync_all().map_err(StoreError::io("sync", &fresh))?;
        fs::rename(&fresh, &self.path).map_err(StoreError::io("rename", &fresh))
    }

    /// Gives the room up. Called on the way out of a failed write, so it reports and does not fail.
    pub(super) fn release(&self) {
        match fs::remove_file(&self.path) {
            Ok(()) => tracing::error!(path = %self.path.display(), "the disk is full: ballast given up"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::error!(path = %self.path.display(), %error, "ballast could not be given up"),
        }
    }
}

/// True when a file system without room is behind the error.
pub(super) fn is_full(error: &StoreError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>().or_else(|| match error.downcast_ref::<sled::Error>() {
            Some(sled::Error::Io(error)) => Some(error),
            _ => None,
        });
        if io.is_some_and(|io| matches!(io.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
            return true;
        }
        cause = error.source();
    }
    false
}
