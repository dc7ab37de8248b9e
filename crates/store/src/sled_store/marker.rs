//! The marker: a small file that remembers what the database acknowledged, so that a loss in it is noticed.
//!
//! Two slots, written in turn and synced, each with a counter and a hash. A write torn by a power cut destroys at most
//! the slot it was meant for, and that one was not acknowledged yet; the other still holds. The valid slot with the
//! higher counter counts.

use super::disk::Folder;
use super::engine::{Sync, sync_folder};
use crate::contract::Seq;
use crate::error::StoreError;
use crate::head::Head;
use crate::record::ChainHash;
use sha2::{Digest as _, Sha256};
use shardlift_model::{ClusterId, Term};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// Slots lie in blocks of their own, so that no write touches both.
const SLOT_BYTES: usize = 4096;
const MAGIC: [u8; 8] = *b"SLmarker";
const VERSION: u8 = 1;
/// Longest name of a cluster.
const NAME_BYTES_MAX: usize = 63;
/// Magic, version, counter, last, term, hash, length of the name, name.
const BODY_BYTES: usize = 8 + 1 + 8 + 8 + 8 + 32 + 1 + NAME_BYTES_MAX;

/// What was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) last: Seq,
    pub(super) term: Term,
    pub(super) hash: ChainHash,
}

impl Mark {
    pub(super) const fn of(head: &Head) -> Self {
        Self { last: head.last, term: head.term, hash: head.hash }
    }
}

/// The open marker file.
pub(super) struct Marker {
    file: File,
    path: PathBuf,
    cluster: ClusterId,
    counter: u64,
    sync: Sync,
}

impl Marker {
    /// Creates the marker, durably. It is what makes a folder a store.
    pub(super) fn create(folder: &Folder, cluster: &ClusterId, mark: Mark) -> Result<Self, StoreError> {
        let path = folder.marker();
        let fresh = folder.path().join("marker.new");
        let mut bytes = encode(cluster, 0, mark).to_vec();
        bytes.resize(2 * SLOT_BYTES, 0);
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&fresh)
            .map_err(StoreError::io("create", &fresh))?;
        file.write_all_at(&bytes, 0).map_err(StoreError::io("write", &fresh))?;
        file.sync_all().map_err(StoreError::io("sync", &fresh))?;
        fs::rename(&fresh, &path).map_err(StoreError::io("rename", &fresh))?;
        sync_folder(folder.path())?;
        Ok(Self { file, path, cluster: cluster.clone(), counter: 0, sync: Sync::Full })
    }

    /// Opens the marker and reads it.
    pub(super) fn open(folder: &Folder, sync: Sync) -> Result<(Self, ClusterId, Mark), StoreError> {
        let path = folder.marker();
        let file = File::options().read(true).write(true).open(&path).map_err(StoreError::io("open", &path))?;
        let mut newest: Option<(u64, ClusterId, Mark)> = None;
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            match file.read_exact_at(&mut bytes, slot * SLOT_BYTES as u64) {
                Ok(()) => {}
                // A file that is cut lacks a slot; with no valid slot at all it is refused below.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                Err(error) => return Err(StoreError::io("read", &path)(error)),
            }
            if let Some(read) = decode(&bytes)?
                && newest.as_ref().is_none_or(|(counter, ..)| read.0 > *counter)
            {
                newest = Some(read);
            }
        }
        let (counter, cluster, mark) = newest.ok_or(StoreError::DamagedStore { what: "its marker cannot be read" })?;
        Ok((Self { file, path, cluster: cluster.clone(), counter, sync }, cluster, mark))
    }

    /// Writes the other slot and syncs it.
    pub(super) fn write(&mut self, mark: Mark) -> Result<(), StoreError> {
        let counter = self.counter + 1;
        let offset = (counter % 2) * SLOT_BYTES as u64;
        let bytes = encode(&self.cluster, counter, mark);
        self.file.write_all_at(&bytes, offset).map_err(StoreError::io("write", &self.path))?;
        if self.sync == Sync::Full {
            self.file.sync_all().map_err(StoreError::io("sync", &self.path))?;
        }
        self.counter = counter;
        Ok(())
    }
}

fn encode(cluster: &ClusterId, counter: u64, mark: Mark) -> [u8; SLOT_BYTES] {
    let mut body = Vec::with_capacity(BODY_BYTES);
    body.extend_from_slice(&MAGIC);
    body.push(VERSION);
    body.extend_from_slice(&counter.to_be_bytes());
    body.extend_from_slice(&mark.last.0.to_be_bytes());
    body.extend_from_slice(&mark.term.0.to_be_bytes());
    body.extend_from_slice(&mark.hash.0);
    let name = cluster.as_str().as_bytes();
    body.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    body.extend_from_slice(name);
    body.resize(BODY_BYTES, 0);
    let mut slot = [0; SLOT_BYTES];
    slot[..BODY_BYTES].copy_from_slice(&body);
    slot[BODY_BYTES..BODY_BYTES + 32].copy_from_slice(&Sha256::digest(&body));
    slot
}

/// What a slot says; nothing when it was never or only partly written.
fn decode(slot: &[u8; SLOT_BYTES]) -> Result<Option<(u64, ClusterId, Mark)>, StoreError> {
    let (body, rest) = slot.split_at(BODY_BYTES);
    if Sha256::digest(body).as_slice() != &rest[..32] || body[..8] != MAGIC {
        return Ok(None);
    }
    if body[8] != VERSION {
        return Err(StoreError::Version { what: "the marker", found: body[8] });
    }
    let number = |at: usize| body[at..at + 8].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte));
    let mut hash = [0; 32];
    hash.copy_from_slice(&body[33..65]);
    let name = body.get(66..66 + usize::from(body[65])).and_then(|name| std::str::from_utf8(name).ok());
    let Some(cluster) = name.and_then(|name| name.parse().ok()) else { return Ok(None) };
    let mark = Mark { last: Seq(number(17)), term: Term(number(25)), hash: ChainHash(hash) };
    Ok(Some((number(9), cluster, mark)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(cluster: &ClusterId, last: u64) -> Mark {
        Mark { last: Seq(last), term: Term(last + 1), hash: ChainHash::genesis(cluster).link(Seq(last), b"x") }
    }

    #[test]
    fn a_torn_write_leaves_the_mark_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        let cluster: ClusterId = "x".repeat(NAME_BYTES_MAX).parse().unwrap();
        let mut marker = Marker::create(&folder, &cluster, mark(&cluster, 0)).unwrap();
        for last in 1..=6 {
            marker.write(mark(&cluster, last)).unwrap();
            let (_, name, read) = Marker::open(&folder, Sync::Full).unwrap();
            assert_eq!((name, read), (cluster.clone(), mark(&cluster, last)));
            // Tear the slot that the next write goes to: this mark must still be the one that is read.
            let offset = ((last + 1) % 2) * SLOT_BYTES as u64;
            marker.file.write_all_at(&[0xff; 100], offset + 20).unwrap();
            assert_eq!(Marker::open(&folder, Sync::Full).unwrap().2, mark(&cluster, last));
        }
        let mut bytes = fs::read(folder.marker()).unwrap();
        bytes.fill(0);
        fs::write(folder.marker(), bytes).unwrap();
        assert!(matches!(Marker::open(&folder, Sync::Full), Err(StoreError::DamagedStore { .. })));
    }

    #[test]
    fn a_marker_of_a_later_version_is_refused_not_ignored() {
        let cluster: ClusterId = "c1".parse().unwrap();
        let mut slot = encode(&cluster, 1, mark(&cluster, 1));
        slot[8] = 2;
        let hash = Sha256::digest(&slot[..BODY_BYTES]);
        slot[BODY_BYTES..BODY_BYTES + 32].copy_from_slice(&hash);
        assert!(matches!(decode(&slot), Err(StoreError::Version { found: 2, .. })));
    }
}
