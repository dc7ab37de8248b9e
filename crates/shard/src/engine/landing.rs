//! A large object on its way from another shard to the disk: hashed while it is written, off the async threads, one block ahead of
//! the network and no more.
//!
//! Written past the page cache (`O_DIRECT`) where the file system takes it: the cache stays as clients have made it, and no copy is
//! made on the way. Elsewhere through it, with the disk told to begin early. The last bytes of a file, less than what direct writes
//! take, go through the cache in any case.

use super::Engine;
use super::body::{Written, hash_of};
use super::disk::ALIGNMENT;
use super::error::{EngineError, PutError};
use super::layout::Temp;
use super::nodes::{NodeCell, lock};
use super::space::Promise;
use aws_lc_rs::digest::{Context, SHA256};
use rustix::fs::{Advice, fadvise};
use rustix::io::Errno;
use shardlift_model::ObjectKey;
use shardlift_net::disk::WriteFile;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;

/// What is handed to the disk at a time. An object on its way takes twice as much memory.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;

/// Blocks kept at rest: those of some objects on their way.
const SPARE_MAX: usize = 8;

/// Blocks that were used and may be used again: fresh memory costs the kernel time.
#[derive(Debug, Default)]
pub(crate) struct Blocks(Mutex<Vec<Vec<u8>>>);

impl Blocks {
    fn take(self: &Arc<Self>) -> Block {
        let spare = lock(&self.0).pop();
        let memory = spare.unwrap_or_else(|| vec![0; BLOCK_BYTES + ALIGNMENT]);
        let begin = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Block { memory, begin, filled: 0, home: Arc::clone(self) }
    }
}

/// Memory as direct writes want it.
struct Block {
    /// Never resized.
    memory: Vec<u8>,
    begin: usize,
    filled: usize,
    home: Arc<Blocks>,
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut spare = lock(&self.home.0);
        if spare.len() < SPARE_MAX {
            spare.push(std::mem::take(&mut self.memory));
        }
    }
}

impl Block {
    fn room(&mut self) -> &mut [u8] {
        &mut self.memory[self.begin + self.filled..self.begin + BLOCK_BYTES]
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.begin..self.begin + self.filled]
    }
}

/// A half-written file and the hash of what is in it.
struct Half {
    // Dropped first to last: the file is closed before its name goes.
    file: WriteFile,
    temp: Temp,
    hash: Context,
    /// Bytes written.
    length: u64,
    direct: bool,
}

/// Half a file that waits for the next block, and a block to fill meanwhile.
type Idle = (Half, Option<Block>);

/// An object being written.
pub(crate) struct Landing {
    idle: Option<Idle>,
    busy: Option<JoinHandle<Result<Idle, PutError>>>,
    filling: Block,
    received: u64,
    promise: Promise,
}

impl std::fmt::Debug for Landing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Landing").field("received", &self.received).finish_non_exhaustive()
    }
}

impl Landing {
    /// Space for all that was announced is promised before anything is written.
    pub(crate) async fn begin(
        engine: &Arc<Engine>,
        cell: &Arc<NodeCell>,
        key: ObjectKey,
        announced: u64,
        mut promise: Promise,
    ) -> Result<Self, PutError> {
        promise.cover(announced)?;
        let (layout, node) = (engine.layout.clone(), cell.id.clone());
        let opening = shardlift_net::spawn_blocking(move || {
            let folder = layout.folder(&node, &key);
            let (path, file) = layout.temp(&node, &key).map_err(PutError::from_io("create a file in", folder))?;
            let temp = Temp::new(path);
            let direct = file.set_direct(true).map_err(PutError::from_io("open", temp.path()))?;
            Ok::<_, PutError>(Half { file, temp, hash: Context::new(&SHA256), length: 0, direct })
        });
        let half = opening.await.map_err(|_| EngineError::Stopped)??;
        Ok(Self { idle: Some((half, None)), busy: None, filling: engine.blocks.take(), received: 0, promise })
    }

    /// Where the next bytes go; never empty. [`Self::filled`] says how many came.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.filling.room()
    }

    /// So many bytes are in the room.
    pub(crate) async fn filled(&mut self, bytes: usize) -> Result<(), PutError> {
        self.received += bytes as u64;
        self.promise.cover(self.received)?;
        self.filling.filled += bytes;
        if self.filling.room().is_empty() { self.hand_over().await } else { Ok(()) }
    }

    /// The half-written file, once the block before is in it.
    async fn idle(&mut self) -> Result<Idle, PutError> {
        if let Some(idle) = self.idle.take() {
            return Ok(idle);
        }
        // Awaited in place: a caller that is dropped meanwhile leaves the handle here.
        let Some(busy) = self.busy.as_mut() else { return Err(EngineError::Stopped.into()) };
        let idle = busy.await.map_err(|_| EngineError::Stopped)?;
        self.busy = None;
        idle
    }

    async fn hand_over(&mut self) -> Result<(), PutError> {
        let (mut half, spare) = self.idle().await?;
        let next = spare.unwrap_or_else(|| self.filling.home.take());
        let mut full = std::mem::replace(&mut self.filling, next);
        self.promise.wrote(full.filled as u64);
        self.busy = Some(shardlift_net::spawn_blocking(move || {
            half.append(full.bytes())?;
            full.filled = 0;
            Ok((half, Some(full)))
        }));
        Ok(())
    }

    /// Writes the rest and makes the file durable.
    pub(crate) async fn finish(mut self) -> Result<Written, PutError> {
        let (mut half, _) = self.idle().await?;
        let (last, size, promise) = (self.filling, self.received, self.promise);
        let writing = shardlift_net::spawn_blocking(move || {
            half.append(last.bytes())?;
            half.file.sync().map_err(PutError::from_io("make durable", half.temp.path()))?;
            Ok(Written { temp: half.temp, size, sha256: hash_of(half.hash)?, promise })
        });
        writing.await.map_err(|_| EngineError::Stopped)?
    }
}

impl Half {
    fn append(&mut self, block: &[u8]) -> Result<(), PutError> {
        self.hash.update(block);
        let direct = if self.direct { self.write_directly(block)? } else { 0 };
        let rest = &block[direct..];
        if !rest.is_empty() {
            let begin = self.length + direct as u64;
            self.file.write_all_at(rest, begin).map_err(PutError::from_io("write", self.temp.path()))?;
            self.start_writeback(begin, rest.len());
        }
        self.length += block.len() as u64;
        Ok(())
    }

    /// How much of the block is written; what is left goes through the page cache, and so does all that comes later.
    fn write_directly(&mut self, block: &[u8]) -> Result<usize, PutError> {
        let whole = block.len() - block.len() % ALIGNMENT;
        let written = match self.file.write_all_at(&block[..whole], self.length) {
            Ok(()) => whole,
            // A file system that opens so and does not write so.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => 0,
            Err(error) => return Err(PutError::from_io("write", self.temp.path())(error)),
        };
        if written < block.len() {
            let set = self.file.set_direct(false);
            self.direct = set.map_err(PutError::from_io("write", self.temp.path()))?;
        }
        Ok(written)
    }

    /// Lets the disk begin while the network brings the next block, so that little is left for the fsync at the end. Linux starts
    /// to write dirty pages that are said not to be needed; it waits for nothing and drops only clean ones.
    fn start_writeback(&self, begin: u64, length: usize) {
        let Some(length) = NonZeroU64::new(length as u64).filter(|length| length.get() >= ALIGNMENT as u64) else {
            return;
        };
        if let Err(error) = fadvise(self.file.file(), begin, Some(length), Advice::DontNeed) {
            tracing::debug!(%error, "a file system takes no advice");
        }
    }
}

#[cfg(test)]
mod tests;
