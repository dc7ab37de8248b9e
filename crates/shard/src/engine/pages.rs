//! The file of the index: redb's own way to it, and in a simulation one through the simulated disk, so that what redb has not synced
//! is lost at a power cut.

use super::error::EngineError;
use redb::{Builder, Database, StorageBackend};
use shardlift_net::disk::{How, WriteFile};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;

/// Opens the index that is there.
pub(crate) fn open(builder: &Builder, path: &Path) -> Result<Database, EngineError> {
    if !shardlift_net::is_simulated() {
        return builder.open(path).map_err(EngineError::index);
    }
    let pages = Pages::open(path, How::Present)?;
    builder.create_with_backend(pages).map_err(EngineError::index)
}

/// Makes a new one.
pub(crate) fn create(path: &Path) -> Result<Database, EngineError> {
    if !shardlift_net::is_simulated() {
        return Database::create(path).map_err(EngineError::index);
    }
    let pages = Pages::open(path, How::New(0o600))?;
    Builder::new().create_with_backend(pages).map_err(EngineError::index)
}

/// A file of a simulated disk as redb wants it. Nobody else opens it: locks are always granted.
#[derive(Debug)]
struct Pages(Mutex<WriteFile>);

impl Pages {
    fn open(path: &Path, how: How) -> Result<Self, EngineError> {
        let file = WriteFile::open(path, how).map_err(EngineError::io("open", path))?;
        Ok(Self(Mutex::new(file)))
    }

    fn with<T>(&self, act: impl FnOnce(&mut WriteFile) -> io::Result<T>) -> io::Result<T> {
        act(&mut super::nodes::lock(&self.0))
    }
}

impl StorageBackend for Pages {
    fn len(&self) -> io::Result<u64> {
        self.with(|file| Ok(file.file().metadata()?.len()))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|file| file.file().read_exact_at(out, offset))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.with(|file| file.set_len(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|file| file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|file| file.write_all_at(data, offset))
    }
}
