//! The database below the store: opening it safely, writing durably, reading what was written.
//!
//! A write is done when the log is flushed and the file is synced through a handle of our own: the database's own flush
//! only starts the writing.

use super::layout::{self, HEAD_KEY, parse_piece_key, piece_key};
use crate::contract::Seq;
use crate::error::StoreError;
use crate::head::Head;
use crate::record::{Assembly, ChainHash};
use shardlift_model::ClusterId;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Large enough that no page outgrows a quarter of it (see [`crate::record::PIECE_BYTES_MAX`]).
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// How long a handle of this process that was just dropped may take to let go of the database's own lock.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(5);

/// Whether acknowledgements are synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// Always, but for one test.
    Full,
    /// Only what the database does by itself.
    Off,
}

pub(super) struct Engine {
    db: sled::Db,
    file: File,
    path: PathBuf,
    sync: Sync,
}

/// A record that was read and found right: its number, its bytes, its hash.
pub(super) type Checked = (Seq, Vec<u8>, ChainHash);

impl Engine {
    /// Creates an empty database.
    pub(super) fn create(path: &Path, sync: Sync) -> Result<Self, StoreError> {
        let db = open_database(path)?;
        if db.was_recovered() {
            return Err(StoreError::NotEmpty { dir: path.to_owned() });
        }
        let file = open_log(path)?;
        Ok(Self { db, file, path: path.to_owned(), sync })
    }

    /// Opens a database that is there.
    pub(super) fn open(path: &Path, sync: Sync) -> Result<Self, StoreError> {
        let file = open_log(path)?;
        if sync == Sync::Full {
            // Opening writes a synced summary of the log; the log it speaks of must not be less durable than that.
            file.sync_all().map_err(StoreError::io("sync", path))?;
        }
        let db = open_database(path)?;
        if !db.was_recovered() {
            return Err(StoreError::DamagedStore { what: "the database opened as a new one" });
        }
        Ok(Self { db, file, path: path.to_owned(), sync })
    }

    /// The database itself, for tests that damage it.
    #[cfg(test)]
    pub(super) const fn db(&self) -> &sled::Db {
        &self.db
    }

    /// Applies a batch and makes it durable.
    pub(super) fn write(&self, batch: sled::Batch) -> Result<(), StoreError> {
        // The database panics on some failures of the disk. The outcome is then as unknown as after an error.
        catch_unwind(AssertUnwindSafe(|| {
            self.db.apply_batch(batch).map_err(StoreError::engine)?;
            self.flush()
        }))
        .unwrap_or(Err(StoreError::DamagedStore { what: "the database gave up while writing" }))
    }

    /// Makes everything written so far durable.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(StoreError::engine)?;
        if self.sync == Sync::Off {
            return Ok(());
        }
        self.file.sync_all().map_err(StoreError::io("sync", &self.path))?;
        self.sync_side_files()
    }

    /// The database never syncs the files it keeps oversized pages in. Piece and segment size see to it that there are
    /// none; should one appear all the same, it is synced like the rest.
    fn sync_side_files(&self) -> Result<(), StoreError> {
        let folder = self.path.join("blobs");
        let mut found = false;
        for entry in fs::read_dir(&folder).map_err(StoreError::io("list", &folder))? {
            let path = entry.map_err(StoreError::io("list", &folder))?.path();
            match File::open(&path) {
                Ok(file) => file.sync_all().map_err(StoreError::io("sync", &path))?,
                // The database removes them when their page has moved on.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::io("open", &path)(error)),
            }
            found = true;
        }
        if found { sync_folder(&folder) } else { Ok(()) }
    }

    /// Makes the names of the database's files durable.
    pub(super) fn sync_folders(&self) -> Result<(), StoreError> {
        if self.sync == Sync::Off {
            return Ok(());
        }
        let conf = self.path.join("conf");
        let file = File::open(&conf).map_err(StoreError::io("open", &conf))?;
        file.sync_all().map_err(StoreError::io("sync", &conf))?;
        sync_folder(&self.path.join("blobs"))?;
        sync_folder(&self.path)
    }

    /// The head of the journal.
    pub(super) fn head(&self, cluster: &ClusterId) -> Result<Head, StoreError> {
        let value = self.db.get(HEAD_KEY).map_err(StoreError::engine)?;
        let value = value.ok_or(StoreError::DamagedStore { what: "its head is missing" })?;
        layout::parse_head(cluster, &value)
    }

    /// The hash a record claims; whoever reads the next record finds out whether it is right.
    pub(super) fn hash_of(&self, cluster: &ClusterId, seq: Seq) -> Result<ChainHash, StoreError> {
        if seq == Seq::ZERO {
            return Ok(ChainHash::genesis(cluster));
        }
        let piece = self.db.get(piece_key(seq, 0)).map_err(|error| unreadable(seq, error))?;
        let piece = piece.ok_or(StoreError::Damaged { seq, what: "it is missing" })?;
        Ok(Assembly::start(seq, &piece)?.claimed_hash())
    }

    /// The records after `after` up to and with `last`, each checked; ends after the first error.
    pub(super) fn records(&self, after: Seq, last: Seq, before: ChainHash) -> Records {
        let range = piece_key(after.next(), 0)..=piece_key(last, u32::MAX);
        Records { pieces: self.db.range(range), ahead: None, previous: after, last, hash: before, failed: false }
    }

    /// Refuses records beyond the end.
    pub(super) fn check_nothing_after(&self, last: Seq) -> Result<(), StoreError> {
        match self.db.range(piece_key(last.next(), 0)..).next() {
            None => Ok(()),
            Some(Ok(_)) => Err(StoreError::Damaged { seq: last.next(), what: "it lies beyond the end of the journal" }),
            Some(Err(error)) => Err(unreadable(last.next(), error)),
        }
    }
}

/// Reads records in order.
pub(super) struct Records {
    pieces: sled::Iter,
    /// The first piece of the next record, read while looking for the end of the one before.
    ahead: Option<(Seq, u32, sled::IVec)>,
    previous: Seq,
    last: Seq,
    hash: ChainHash,
    failed: bool,
}

impl Records {
    fn piece(&mut self, seq: Seq) -> Result<Option<(Seq, u32, sled::IVec)>, StoreError> {
        if let Some(piece) = self.ahead.take() {
            return Ok(Some(piece));
        }
        let Some(piece) = self.pieces.next() else { return Ok(None) };
        let (key, value) = piece.map_err(|error| unreadable(seq, error))?;
        let (found, number) = parse_piece_key(&key).ok_or(StoreError::Damaged { seq, what: "its key is none" })?;
        Ok(Some((found, number, value)))
    }

    fn record(&mut self, seq: Seq) -> Result<Checked, StoreError> {
        let mut assembly = match self.piece(seq)? {
            Some((found, 0, piece)) if found == seq => Assembly::start(seq, &piece)?,
            Some((found, ..)) if found == seq => {
                return Err(StoreError::Damaged { seq, what: "its first piece is missing" });
            }
            _ => return Err(StoreError::Damaged { seq, what: "it is missing" }),
        };
        while let Some((found, number, piece)) = self.piece(seq)? {
            if found != seq {
                self.ahead = Some((found, number, piece));
                break;
            }
            assembly.add(number, &piece)?;
        }
        let (record, hash) = assembly.finish(self.hash)?;
        self.hash = hash;
        self.previous = seq;
        Ok((seq, record, hash))
    }
}

impl Iterator for Records {
    type Item = Result<Checked, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.previous >= self.last {
            return None;
        }
        let record = self.record(self.previous.next());
        self.failed = record.is_err();
        Some(record)
    }
}

fn unreadable(seq: Seq, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Corruption { .. } => StoreError::Damaged { seq, what: "the database cannot read its page" },
        error => StoreError::engine(error),
    }
}

/// Our own handle on the log; never creates it.
fn open_log(path: &Path) -> Result<File, StoreError> {
    let path = path.join("db");
    File::options().read(true).write(true).open(&path).map_err(StoreError::io("open", &path))
}

/// Opens the database. Threads of a handle that this process has just dropped may hold its lock for a moment longer.
fn open_database(path: &Path) -> Result<sled::Db, StoreError> {
    let deadline = Instant::now() + CLOSE_WAIT_MAX;
    loop {
        let config = sled::Config::new()
            .path(path)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(CACHE_BYTES)
            // Every write is flushed before it is acknowledged; a timer would only hide who saw the error.
            .flush_every_ms(None);
        // Some kinds of damage make the database panic instead of returning an error. That is a refusal too.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()))
            .map_err(|_| StoreError::DamagedStore { what: "the database gave up while opening" })?;
        match opened {
            Ok(db) => return Ok(db),
            Err(error) if is_lock(&error) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) if is_lock(&error) => return Err(StoreError::InUse { dir: path.to_owned() }),
            Err(error) => return Err(StoreError::engine(error)),
        }
    }
}

/// The database reports its lock in words only.
fn is_lock(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = File::open(path).map_err(StoreError::io("open", path))?;
    folder.sync_all().map_err(StoreError::io("sync", path))
}
