//! The bare pipeline: read, rustls over loopback, SHA-256, write, and one sync at the end. No index, no journal, no resuming, no
//! protocol worth the name: what is left when all that Shardlift promises is taken away, as fast as these parts go together here.
//!
//! Two connections share the files. Each has a thread that reads and encrypts, one that decrypts and hashes, and one that writes, so
//! that a write never keeps the network waiting. A file whose name is a hash must have it.

mod room;
mod store;

pub(super) use store::can_write_directly;

use super::manifest::files_below;
use super::start::sync;
use super::tls::{CHUNK_BYTES, Incoming, Outgoing, Settings};
use anyhow::{Context as _, Result, anyhow, ensure};
use aws_lc_rs::digest::{Context as Hash, SHA256};
use room::{ROOM_BYTES, Room};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use store::Piece;

/// No fewer are as fast, and more are no faster on two cores.
const CONNECTIONS: usize = 2;

/// Rooms of one connection: one is filled, others are written.
const ROOMS: usize = 4;

/// How files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// Through the page cache.
    Cached,
    /// Past it, where a file is large enough to gain by it.
    Direct,
}

/// A file to be moved.
struct Job {
    path: PathBuf,
    bytes: u64,
}

/// Gives the files that nobody else has taken yet.
fn give(mut line: Outgoing, source: &Path, jobs: &[Job], next: &AtomicUsize) -> Result<()> {
    let mut chunk = Vec::with_capacity(2 * CHUNK_BYTES);
    while let Some(job) = jobs.get(next.fetch_add(1, Ordering::SeqCst)) {
        let name = job.path.as_os_str().as_bytes();
        chunk.extend_from_slice(&u16::try_from(name.len())?.to_be_bytes());
        chunk.extend_from_slice(&job.bytes.to_be_bytes());
        chunk.extend_from_slice(name);
        let path = source.join(&job.path);
        let mut file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        let mut left = job.bytes;
        while left > 0 {
            let wanted = left.min((CHUNK_BYTES - chunk.len().min(CHUNK_BYTES - 1)) as u64);
            let read = file.by_ref().take(wanted).read_to_end(&mut chunk)? as u64;
            ensure!(read == wanted, "{} is shorter than it was", path.display());
            left -= read;
            if chunk.len() >= CHUNK_BYTES {
                line.put(&chunk)?;
                chunk.clear();
            }
        }
    }
    line.put(&chunk)?;
    line.end()
}

struct Head {
    path: PathBuf,
    bytes: u64,
}

fn head(line: &mut Incoming) -> Result<Option<Head>> {
    let mut fixed = [0; 10];
    if !line.fill(&mut fixed)? {
        return Ok(None);
    }
    let (name, bytes) = fixed.split_at(2);
    let mut path = vec![0; usize::from(u16::from_be_bytes(name.try_into()?))];
    ensure!(line.fill(&mut path)?, "a file without a name");
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(&path));
    Ok(Some(Head { path, bytes: u64::from_be_bytes(bytes.try_into()?) }))
}

/// The hash that a name promises, if it does.
fn promised(path: &Path) -> Option<Vec<u8>> {
    hex::decode(path.file_name()?.to_str()?).ok().filter(|hash| hash.len() == 32)
}

/// Takes what one connection brings, until its end.
fn take(mut line: Incoming, free: &Receiver<Room>, full: &SyncSender<Piece>) -> Result<()> {
    while let Some(Head { path, bytes }) = head(&mut line)? {
        let (mut hash, mut offset) = (Hash::new(&SHA256), 0);
        loop {
            let mut room = free.recv().context("the writing thread has ended")?;
            let length = usize::try_from((bytes - offset).min(ROOM_BYTES as u64))?;
            let taken = room.part(length);
            if length > 0 {
                ensure!(line.fill(taken)?, "the connection ended in the middle");
            }
            hash.update(taken);
            let last = offset + length as u64 == bytes;
            let piece = Piece { path: path.clone(), bytes, offset, length, room };
            full.send(piece).map_err(|_ended| anyhow!("the writing thread has ended"))?;
            offset += length as u64;
            if last {
                break;
            }
        }
        let found = hash.finish();
        let right = promised(&path).is_none_or(|promised| promised == found.as_ref());
        ensure!(right, "{} arrived with other bytes", path.display());
    }
    Ok(())
}

/// Whether a thread failed only because another one did: whoever loses a partner says only that.
fn lost_its_partner(failure: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    let io = failure.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    matches!(io, Some(BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof))
        || ["thread has ended", "ended in the middle"].iter().any(|words| failure.to_string().contains(words))
}

/// Moves the tree and makes it durable.
pub(super) fn pipeline(settings: &Settings, source: &Path, target: &Path, writing: Writing) -> Result<()> {
    let files = files_below(source)?;
    store::folders(target, files.keys())?;
    let jobs: Vec<Job> = files.into_iter().map(|(path, bytes)| Job { path, bytes }).collect();
    let (jobs, next) = (jobs.as_slice(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let next = &next;
        let mut threads = Vec::new();
        for _connection in 0..CONNECTIONS {
            let (giving, taking) = settings.connect()?;
            let (give_back, free) = sync_channel(ROOMS);
            let (full, pieces) = sync_channel(ROOMS);
            for _room in 0..ROOMS {
                give_back.send(Room::new())?;
            }
            threads.push(scope.spawn(move || give(giving, source, jobs, next)));
            threads.push(scope.spawn(move || take(taking, &free, &full)));
            threads.push(scope.spawn(move || store::write_all(target, writing, &pieces, &give_back)));
        }
        // The cause before what it caused.
        let ends: Vec<Result<()>> =
            threads.into_iter().map(|thread| thread.join().map_err(|_panic| anyhow!("a thread panicked"))?).collect();
        let mut failures: Vec<anyhow::Error> = ends.into_iter().filter_map(Result::err).collect();
        failures.sort_by_key(lost_its_partner);
        failures.into_iter().next().map_or(Ok(()), Err)
    })?;
    sync(target)
}

#[cfg(test)]
mod tests {
    use super::super::manifest::Manifest;
    use super::super::rclone::Certificates;
    use super::super::trees::{Kind, Size, Tree};
    use super::*;
    use crate::TestRoot;

    #[test]
    fn a_lost_partner_is_told_from_a_cause() {
        let io = |kind| anyhow::Error::from(std::io::Error::from(kind)).context("sending");
        assert!(lost_its_partner(&io(std::io::ErrorKind::NotConnected)));
        assert!(lost_its_partner(&anyhow!("the writing thread has ended")));
        assert!(!lost_its_partner(&io(std::io::ErrorKind::StorageFull)));
        assert!(!lost_its_partner(&anyhow!("keys/x arrived with other bytes")));
    }

    #[tokio::test]
    async fn a_tree_arrives_as_it_was_and_wrong_bytes_do_not() {
        let root = TestRoot::new("pipeline").unwrap();
        let settings = Settings::new(&Certificates::make(&root.path().join("ca")).unwrap()).unwrap();
        let size = Size { mebibytes: 32, objects: 300, seed: 9 };
        for kind in [Kind::Small, Kind::Large] {
            let tree = Tree::make(kind, &root.path().join(kind.name()), size).await.unwrap();
            std::fs::write(tree.base.join("index/odd"), vec![3; (2 << 20) + 4097]).unwrap();
            std::fs::write(tree.base.join("index/empty"), "").unwrap();
            let manifest = Manifest::of(&tree.base).unwrap();
            for writing in [Writing::Cached, Writing::Direct] {
                if writing == Writing::Direct && !store::can_write_directly(root.path()).unwrap() {
                    crate::skip("a_tree_arrives_as_it_was_and_wrong_bytes_do_not", "no O_DIRECT on this file system");
                    continue;
                }
                let target = root.folder(&format!("{}-{writing:?}", kind.name())).unwrap();
                pipeline(&settings, &tree.base, &target, writing).unwrap();
                manifest.check(&target, true).unwrap();
            }
            std::fs::write(tree.base.join("keys").join("0".repeat(64)), "other bytes").unwrap();
            let target = root.folder(&format!("{}-wrong", kind.name())).unwrap();
            let error = pipeline(&settings, &tree.base, &target, Writing::Cached).unwrap_err();
            assert!(format!("{error:#}").contains("arrived with other bytes"), "{error:#}");
        }
    }
}
