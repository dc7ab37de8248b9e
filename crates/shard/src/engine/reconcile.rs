//! Settling at start what the index and the folder of a node say.
//!
//! | file | record | and | then |
//! |---|---|---|---|
//! | present | none | a delete is recorded | the unlink is finished |
//! | present | none | serving | recorded; named objects are trusted by name, config and empty ones are hashed |
//! | present | none | incoming | recorded if its hash is its name, else removed: it was never counted |
//! | present | none | incoming, once the writer | left alone: the writer's journal brings it again |
//! | present | none | any other mode | left alone: what was sealed does not change |
//! | other length | there | serving, incoming | recorded as it is, which shows it as damaged |
//! | other length | there | any other mode | alarm |
//! | absent | there | | alarm; never recorded as deleted |
//! | half-written | | ours | removed |
//! | half-written, or no object's name | | not ours | ignored |
//!
//! A quarantined copy is not compared: what is still in its place is moved aside. A node that is certain to be as it was when the store
//! was closed in good order is not compared either ([`super::closed`]).
//!
//! Runs before anybody is served, in batches, one node after the other.

use super::closed::Note;
use super::disk::hash_file;
use super::error::EngineError;
use super::layout::{self, FOLDERS, is_temp, sync_folder};
use super::nodes::{NodeCell, lock};
use super::reads::View;
use super::record::Mode;
use super::tables::Op;
use super::writer::Work;
use super::{Engine, now};
use shardlift_model::{NodeId, ObjectKey, ObjectKind, ObjectRecord, UnixMillis};
use shardlift_net::disk::FileSystem;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirEntry;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// How often a long start says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// Changes recorded in one transaction.
const BATCH: usize = 4096;

/// A file with the name of an object.
#[derive(Debug, Clone, Copy)]
struct Found {
    size: u64,
    at: UnixMillis,
}

impl Engine {
    /// Answers how many nodes were compared with their folders.
    pub(super) fn reconcile_all(&self, note: &Note) -> Result<u64, EngineError> {
        let (mut compared, mut said) = (0, Instant::now());
        for cell in self.nodes.all() {
            if said.elapsed() >= PROGRESS_INTERVAL {
                said = Instant::now();
                tracing::info!(compared, nodes = self.nodes.count(), "index and folders are being compared");
            }
            match cell.record().mode {
                Mode::Discarded => {
                    self.remove_files(&cell.id)?;
                    self.writer.submit_blocking(&cell.id, Work::Forget)?;
                }
                Mode::Quarantined { .. } => self.finish_quarantine(&cell.id)?,
                _ if self.is_untouched(note, &cell.id) => self.finish_unlinks(&cell.id, &mut BTreeMap::new())?,
                _ => {
                    self.reconcile(&cell)?;
                    compared += 1;
                }
            }
        }
        Ok(compared)
    }

    fn reconcile(&self, cell: &NodeCell) -> Result<(), EngineError> {
        let node = &cell.id;
        let mode = cell.record().mode.clone();
        if mode == Mode::Serving || matches!(mode, Mode::Incoming { .. }) {
            // A crash may have come between the node's record and its folders.
            self.layout.create(node)?;
        }
        let mut found = self.files(node)?;
        self.finish_unlinks(node, &mut found)?;
        let mut ops = Vec::new();
        for kind in ObjectKind::ALL {
            let rows = View::open(&*self.db()?, node)?.kind(kind)?;
            for row in rows {
                let known = found.remove(&row.record.key);
                self.compare(cell, &mode, &row.record, known, &mut ops)?;
            }
        }
        let recorded = found.len();
        let mut durable = false;
        for (key, file) in found {
            self.take_in(cell, &mode, key, file, &mut ops)?;
            if ops.len() >= BATCH {
                self.record_found(node, std::mem::take(&mut ops), &mut durable)?;
            }
        }
        self.record_found(node, ops, &mut durable)?;
        let missing = lock(&cell.missing).len();
        tracing::debug!(%node, recorded, missing, "index and folder are compared");
        Ok(())
    }

    /// Whoever wrote these files may have been cut off before they were durable, bytes or names; a record says that they are.
    fn record_found(&self, node: &NodeId, ops: Vec<(Op, UnixMillis)>, durable: &mut bool) -> Result<(), EngineError> {
        if ops.is_empty() {
            return Ok(());
        }
        if !*durable {
            let root = self.layout.root();
            let synced = FileSystem::of(root).and_then(|whole| whole.sync());
            synced.map_err(EngineError::io("make durable", root))?;
            *durable = true;
        }
        self.writer.submit_blocking(node, Work::Adopt(ops)).map(drop)
    }

    /// A recorded object against its file.
    fn compare(
        &self,
        cell: &NodeCell,
        mode: &Mode,
        record: &ObjectRecord,
        file: Option<Found>,
        ops: &mut Vec<(Op, UnixMillis)>,
    ) -> Result<(), EngineError> {
        let (node, key) = (&cell.id, record.key);
        let Some(file) = file else {
            tracing::error!(%node, %key, "an acknowledged object is missing on disk");
            lock(&cell.missing).insert(key);
            return Ok(());
        };
        if file.size == record.size {
            return Ok(());
        }
        tracing::error!(%node, %key, recorded = record.size, found = file.size, "an acknowledged object has another length");
        lock(&cell.rotten).insert(key);
        if is_open(mode) {
            let (size, sha256) = hash_file(&self.layout.file(node, &key))?;
            ops.push((Op::Put(ObjectRecord { key, size, sha256 }), now()));
        }
        Ok(())
    }

    /// A file without a record.
    fn take_in(
        &self,
        cell: &NodeCell,
        mode: &Mode,
        key: ObjectKey,
        file: Found,
        ops: &mut Vec<(Op, UnixMillis)>,
    ) -> Result<(), EngineError> {
        let node = &cell.id;
        let path = self.layout.file(node, &key);
        let incoming = matches!(mode, Mode::Incoming { .. });
        if !is_open(mode) || cell.record().follows().is_some() {
            tracing::warn!(%node, %key, mode = mode.word(), "a file without a record is left alone");
            return Ok(());
        }
        let trusted = key.expected_sha256().filter(|_| !incoming && file.size > 0);
        let (size, sha256) = match trusted {
            Some(sha256) => (file.size, sha256),
            None => hash_file(&path)?,
        };
        if incoming && key.expected_sha256() != Some(sha256) {
            layout::remove(&path)?;
            return sync_folder(&self.layout.folder(node, &key));
        }
        ops.push((Op::Put(ObjectRecord { key, size, sha256 }), file.at));
        Ok(())
    }

    /// Takes files off the disk whose delete is recorded.
    fn finish_unlinks(&self, node: &NodeId, found: &mut BTreeMap<ObjectKey, Found>) -> Result<(), EngineError> {
        let unlinks = View::open(&*self.db()?, node)?.unlinks()?;
        let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
        for (key, _) in &unlinks {
            found.remove(key);
            layout::remove(&self.layout.file(node, key))?;
            // Also where the file is gone already: its going may not be durable.
            folders.insert(self.layout.folder(node, key));
        }
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            sync_folder(folder)?;
        }
        for part in unlinks.chunks(BATCH) {
            self.writer.submit_blocking(node, Work::Unlinked(part.to_vec()))?;
        }
        Ok(())
    }

    /// All files with the name of an object. Half-written ones of this server are removed on the way.
    fn files(&self, node: &NodeId) -> Result<BTreeMap<ObjectKey, Found>, EngineError> {
        let mut found = BTreeMap::new();
        let folder = self.layout.node(node);
        for entry in entries(&folder)? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "config" {
                keep(&mut found, ObjectKey::Config, &entry)?;
            } else if is_temp(&name) {
                layout::remove(&entry.path())?;
            }
        }
        for kind in FOLDERS {
            let folder = folder.join(kind.as_str());
            if kind == ObjectKind::Data {
                for entry in entries(&folder)? {
                    let first = entry.file_name().to_string_lossy().into_owned();
                    if first.len() == 2 && entry.path().is_dir() {
                        scan(&mut found, kind, &entry.path(), &first)?;
                    }
                }
            } else {
                scan(&mut found, kind, &folder, "")?;
            }
        }
        Ok(found)
    }
}

/// True where the node still changes, so that a crash may have left something half done.
const fn is_open(mode: &Mode) -> bool {
    matches!(mode, Mode::Serving | Mode::Incoming { .. })
}

/// Only names that start with `first` belong into this folder; elsewhere no server would find them.
fn scan(
    found: &mut BTreeMap<ObjectKey, Found>,
    kind: ObjectKind,
    folder: &Path,
    first: &str,
) -> Result<(), EngineError> {
    for entry in entries(folder)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_temp(&name) {
            layout::remove(&entry.path())?;
        } else if let Ok(key) = ObjectKey::new(kind, &name)
            && name.starts_with(first)
        {
            keep(found, key, &entry)?;
        }
    }
    Ok(())
}

fn keep(found: &mut BTreeMap<ObjectKey, Found>, key: ObjectKey, entry: &DirEntry) -> Result<(), EngineError> {
    let metadata = entry.metadata().map_err(EngineError::io("look at", entry.path()))?;
    if metadata.is_file() {
        let changed =
            metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let at = UnixMillis(u64::try_from(changed.as_millis()).unwrap_or(u64::MAX));
        found.insert(key, Found { size: metadata.len(), at });
    }
    Ok(())
}

/// A folder that is absent is empty; one that cannot be read is an error.
fn entries(folder: &Path) -> Result<Vec<DirEntry>, EngineError> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(EngineError::io("list", folder))?,
    };
    entries.map(|entry| entry.map_err(EngineError::io("list", folder))).collect()
}
