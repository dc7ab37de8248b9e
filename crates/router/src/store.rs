//! The table on disk: a file of changes, each a line of JSON behind its length and hash, synced before it is in force.
//!
//! Opening replays the file. A last record that was cut off by a crash was never acknowledged and is dropped; any other damage
//! refuses to start, because a router with a wrong table sends clients to the wrong place. When the file has grown well past
//! the table, it is written anew in one piece (temp file, sync, rename, sync of the folder).

use crate::table::{Change, Refused, Table, Verdict};
use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};
use shardlift_net::disk::{self, How, WriteFile};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const FILE_NAME: &str = "routes.journal";
const HEAD_BYTES: usize = 36;

/// Rewritten when it has this many times the bytes that the table needs.
const GROWTH_MAX: u64 = 4;

/// Never rewritten below this size.
const REWRITE_BYTES_MIN: u64 = 1 << 20;

/// What went wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or its folder.
    #[error("{what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A record that is not what was written. Nothing is repaired.
    #[error(
        "{path} is damaged at byte {offset}; restore it from a backup, or remove it and let the controller send all routes again"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
    /// The rules of the table.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// An earlier write failed; only a restart helps.
    #[error("the router takes no changes after a failed write; restart it")]
    Poisoned,
}

/// The table in force, and its file.
#[derive(Debug)]
pub struct RouteStore {
    table: ArcSwap<Table>,
    file: Mutex<Option<Journal>>,
}

#[derive(Debug)]
struct Journal {
    folder: PathBuf,
    file: WriteFile,
    bytes: u64,
    rewritten_bytes: u64,
}

impl RouteStore {
    /// Opens or creates the file in a folder that exists or can be made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        disk::create_folders(folder, 0o755).map_err(failed("cannot create", folder))?;
        let path = folder.join(FILE_NAME);
        let mut file = WriteFile::open(&path, How::Append(0o600)).map_err(failed("cannot open", &path))?;
        let mut bytes = Vec::new();
        file.file().read_to_end(&mut bytes).map_err(failed("cannot read", &path))?;
        let (table, whole) = replay(&bytes, &path)?;
        if whole < bytes.len() {
            tracing::warn!(
                dropped = bytes.len() - whole,
                "the last change of the routes was cut off before it was acknowledged"
            );
            file.set_len(whole as u64).map_err(failed("cannot shorten", &path))?;
        }
        file.sync().map_err(failed("cannot sync", &path))?;
        sync_folder(folder)?;
        let bytes = whole as u64;
        let journal = Journal { folder: folder.to_owned(), file, bytes, rewritten_bytes: bytes.max(REWRITE_BYTES_MIN) };
        Ok(Self { table: ArcSwap::from_pointee(table), file: Mutex::new(Some(journal)) })
    }

    /// The table in force.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Takes a change: durable first, then in force. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError`]; after a failed write no change is taken any more, the table in force stays.
    pub fn apply(&self, change: &Change) -> Result<u64, StoreError> {
        let mut guard = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.table();
        if held.judge(change)? == Verdict::Repeated {
            return Ok(held.version());
        }
        // Taken out while it is written: a failed sync must never be tried again on the same handle.
        let mut journal = guard.take().ok_or(StoreError::Poisoned)?;
        let table = Arc::new(held.with(change));
        journal.append(change)?;
        if journal.bytes > journal.rewritten_bytes * GROWTH_MAX {
            journal = journal.rewrite(&table)?;
        }
        *guard = Some(journal);
        let version = table.version();
        self.table.store(table);
        Ok(version)
    }
}

impl Journal {
    fn append(&mut self, change: &Change) -> Result<(), StoreError> {
        let record = encode(change)?;
        let path = self.folder.join(FILE_NAME);
        self.file.write_all(&record).map_err(failed("cannot write", &path))?;
        self.file.sync().map_err(failed("cannot sync", &path))?;
        self.bytes += record.len() as u64;
        Ok(())
    }

    /// The same table as one change. The last change's own version is kept, so that versions go on growing; a repetition of
    /// that change after a restart is then refused as a contradiction, which the controller resolves by reading back.
    fn rewrite(self, table: &Table) -> Result<Self, StoreError> {
        let whole = Change { version: table.version(), upserts: table.after(None).cloned().collect() };
        let record = encode(&whole)?;
        let path = self.folder.join(FILE_NAME);
        let temp = self.folder.join("routes.journal.new");
        let mut file = WriteFile::open(&temp, How::Emptied(0o600)).map_err(failed("cannot create", &temp))?;
        file.write_all(&record).map_err(failed("cannot write", &temp))?;
        file.sync().map_err(failed("cannot sync", &temp))?;
        disk::rename(&temp, &path).map_err(failed("cannot replace", &path))?;
        sync_folder(&self.folder)?;
        let file = WriteFile::open(&path, How::Append(0o600)).map_err(failed("cannot open", &path))?;
        let bytes = record.len() as u64;
        Ok(Self { folder: self.folder, file, bytes, rewritten_bytes: bytes.max(REWRITE_BYTES_MIN) })
    }
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io { what, path: path.to_owned(), source }
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    disk::sync_folder(folder).map_err(failed("cannot sync", folder))
}

/// Length (4 bytes), SHA-256 of the body (32 bytes), body.
fn encode(change: &Change) -> Result<Vec<u8>, StoreError> {
    let unwritable = |error: serde_json::Error| StoreError::Io {
        what: "cannot encode a change for",
        path: PathBuf::from(FILE_NAME),
        source: io::Error::other(error),
    };
    let body = serde_json::to_vec(change).map_err(unwritable)?;
    let length = u32::try_from(body.len()).map_err(|_| StoreError::Refused(Refused::TooMany))?;
    Ok([&length.to_be_bytes(), Sha256::digest(&body).as_slice(), &body].concat())
}

/// The table of all whole records, and where they end.
fn replay(bytes: &[u8], path: &Path) -> Result<(Table, usize), StoreError> {
    let mut table = Table::default();
    let mut offset = 0;
    while let Some((head, rest)) = bytes[offset..].split_at_checked(HEAD_BYTES) {
        let damaged = || StoreError::Damaged { path: path.to_owned(), offset: offset as u64 };
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(body) = rest.get(..length) else { break };
        if Sha256::digest(body).as_slice() != &head[4..] {
            return Err(damaged());
        }
        let change: Change = serde_json::from_slice(body).map_err(|_| damaged())?;
        if table.judge(&change) != Ok(Verdict::New) {
            return Err(damaged());
        }
        table.take(&change);
        offset += HEAD_BYTES + length;
    }
    Ok((table, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Route;
    use shardlift_model::Token;

    fn flip(version: u64, shard: &str) -> Change {
        let route = Route {
            server_name: "web.example".parse().unwrap(),
            node: "web".parse().unwrap(),
            shard: shard.parse().unwrap(),
            client_address: "127.0.0.1:1".into(),
            token: Token::new(1, version, 0),
            sever: false,
        };
        Change { version, upserts: vec![route] }
    }

    fn shard(store: &RouteStore) -> Option<String> {
        store.table().find(&"web.example".parse().unwrap()).map(|route| route.shard.to_string())
    }

    #[test]
    fn what_was_acknowledged_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let store = RouteStore::open(folder.path()).unwrap();
        store.apply(&flip(1, "a")).unwrap();
        store.apply(&flip(2, "b")).unwrap();
        assert!(store.apply(&flip(1, "a")).is_err());
        drop(store);
        let store = RouteStore::open(folder.path()).unwrap();
        assert_eq!((store.table().version(), shard(&store).as_deref()), (2, Some("b")));
        assert_eq!(store.apply(&flip(2, "b")).unwrap(), 2);
    }

    #[test]
    fn a_file_cut_at_any_byte_opens_with_the_whole_changes_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = RouteStore::open(folder.path()).unwrap();
        store.apply(&flip(1, "a")).unwrap();
        let path = folder.path().join(FILE_NAME);
        let first = std::fs::metadata(&path).unwrap().len();
        store.apply(&flip(2, "b")).unwrap();
        drop(store);
        let whole = std::fs::read(&path).unwrap();
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let store = RouteStore::open(folder.path()).unwrap();
            let expected = u64::from(end as u64 >= first);
            assert_eq!(store.table().version(), expected, "cut at {end}");
            assert_eq!(store.apply(&flip(3, "c")).unwrap(), 3, "cut at {end}");
        }
    }

    #[test]
    fn a_flipped_bit_in_an_acknowledged_change_refuses_to_start() {
        let folder = tempfile::tempdir().unwrap();
        let store = RouteStore::open(folder.path()).unwrap();
        store.apply(&flip(1, "a")).unwrap();
        drop(store);
        let path = folder.path().join(FILE_NAME);
        let whole = std::fs::read(&path).unwrap();
        for at in 4..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert!(matches!(RouteStore::open(folder.path()), Err(StoreError::Damaged { .. })), "byte {at}");
        }
    }

    #[test]
    fn a_file_from_before_routes_severed_is_read_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let body = br#"{"version":3,"upserts":[{"server_name":"web.example","node":"web","shard":"a",
            "client_address":"127.0.0.1:1","token":{"term":1,"generation":3,"step":0}}]}"#;
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let record = [&length, Sha256::digest(body).as_slice(), body].concat();
        std::fs::write(folder.path().join(FILE_NAME), record).unwrap();
        let store = RouteStore::open(folder.path()).unwrap();
        assert_eq!((store.table().version(), shard(&store).as_deref()), (3, Some("a")));
        assert_eq!(store.apply(&flip(3, "a")).unwrap(), 3, "the same change is a repetition still");
        let mut severing = flip(4, "b");
        severing.upserts[0].sever = true;
        store.apply(&severing).unwrap();
        assert!(matches!(store.apply(&flip(4, "b")), Err(StoreError::Refused(Refused::Contradiction(4)))));
        drop(store);
        let store = RouteStore::open(folder.path()).unwrap();
        assert!(store.table().route_of(&"web".parse().unwrap()).unwrap().sever);
        assert_eq!(store.apply(&severing).unwrap(), 4);
    }

    #[test]
    fn a_rewritten_file_holds_the_same_table() {
        let folder = tempfile::tempdir().unwrap();
        let store = RouteStore::open(folder.path()).unwrap();
        for version in 1..50 {
            store.apply(&flip(version, "a")).unwrap();
        }
        let journal = store.file.lock().unwrap().take().unwrap();
        let rewritten = journal.rewrite(&store.table()).unwrap();
        *store.file.lock().unwrap() = Some(rewritten);
        store.apply(&flip(50, "b")).unwrap();
        drop(store);
        let store = RouteStore::open(folder.path()).unwrap();
        assert_eq!((store.table().version(), shard(&store).as_deref()), (50, Some("b")));
    }
}
