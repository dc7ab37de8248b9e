//! The bytes of an object on their way to disk: hashed while they are written, off the async threads, one block ahead of the
//! network and no more.

use super::Engine;
use super::error::{EngineError, PutError};
use super::layout::Temp;
use super::nodes::NodeCell;
use super::space::Promise;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use shardlift_model::{ObjectKey, Sha256};
use shardlift_net::disk::WriteFile;
use std::io::Write as _;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Bytes gathered before they are handed to a thread. An upload holds at most about twice as much in memory.
const BLOCK_BYTES: usize = 1024 * 1024;

/// A half-written file and the hash of what is in it.
struct Half {
    // Dropped first to last: the file is closed before its name goes.
    file: WriteFile,
    temp: Temp,
    hash: Context,
    /// Bytes written.
    length: u64,
}

/// A complete file that has no name yet. Durable.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) temp: Temp,
    pub(crate) size: u64,
    pub(crate) sha256: Sha256,
    pub(crate) promise: Promise,
}

/// A body being written.
pub(crate) struct Body {
    half: Option<Half>,
    busy: Option<JoinHandle<Result<Half, PutError>>>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    received: u64,
    declared: Option<u64>,
    promise: Promise,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body")
            .field("received", &self.received)
            .field("declared", &self.declared)
            .finish_non_exhaustive()
    }
}

impl Body {
    pub(crate) async fn begin(
        engine: &Arc<Engine>,
        cell: &Arc<NodeCell>,
        key: ObjectKey,
        declared: Option<u64>,
        mut promise: Promise,
    ) -> Result<Self, PutError> {
        promise.cover(declared.unwrap_or(0))?;
        let (layout, node) = (engine.layout.clone(), cell.id.clone());
        let opening = shardlift_net::spawn_blocking(move || {
            let folder = layout.folder(&node, &key);
            let (path, file) = layout.temp(&node, &key).map_err(PutError::from_io("create a file in", folder))?;
            Ok::<_, PutError>(Half { file, temp: Temp::new(path), hash: Context::new(&SHA256), length: 0 })
        });
        let half = opening.await.map_err(|_| EngineError::Stopped)??;
        let (gathered, gathered_bytes) = (Vec::new(), 0);
        Ok(Self { half: Some(half), busy: None, gathered, gathered_bytes, received: 0, declared, promise })
    }

    pub(crate) async fn write(&mut self, data: Bytes) -> Result<(), PutError> {
        let received = self.received.saturating_add(data.len() as u64);
        if let Some(declared) = self.declared.filter(|declared| received > *declared) {
            return Err(PutError::TooLarge { declared });
        }
        self.promise.cover(received)?;
        self.received = received;
        self.gathered_bytes += data.len();
        self.gathered.push(data);
        if self.gathered_bytes >= BLOCK_BYTES { self.hand_over().await } else { Ok(()) }
    }

    /// The half-written file, once the block before is in it.
    async fn half(&mut self) -> Result<Half, PutError> {
        if let Some(half) = self.half.take() {
            return Ok(half);
        }
        // Awaited in place: a caller that is dropped meanwhile leaves the handle here.
        let Some(busy) = self.busy.as_mut() else { return Err(EngineError::Stopped.into()) };
        let half = busy.await.map_err(|_| EngineError::Stopped)?;
        self.busy = None;
        half
    }

    async fn hand_over(&mut self) -> Result<(), PutError> {
        let mut half = self.half().await?;
        let blocks = std::mem::take(&mut self.gathered);
        let bytes = std::mem::take(&mut self.gathered_bytes);
        self.busy = Some(shardlift_net::spawn_blocking(move || {
            half.append(&blocks)?;
            Ok(half)
        }));
        self.promise.wrote(bytes as u64);
        Ok(())
    }

    /// Writes the rest and makes the file durable.
    pub(crate) async fn finish(mut self) -> Result<Written, PutError> {
        if let Some(declared) = self.declared.filter(|declared| self.received < *declared) {
            return Err(PutError::TooShort { received: self.received, declared });
        }
        let mut half = self.half().await?;
        let (blocks, size, promise) = (self.gathered, self.received, self.promise);
        let writing = shardlift_net::spawn_blocking(move || {
            half.append(&blocks)?;
            half.seal(size, promise)
        });
        writing.await.map_err(|_| EngineError::Stopped)?
    }
}

impl Half {
    fn append(&mut self, blocks: &[Bytes]) -> Result<(), PutError> {
        for block in blocks {
            self.hash.update(block);
            self.file.write_all(block).map_err(PutError::from_io("write", self.temp.path()))?;
        }
        let begin = self.length;
        self.length += blocks.iter().map(|block| block.len() as u64).sum::<u64>();
        self.start_writeback(begin);
        Ok(())
    }

    /// Lets the disk begin with a block while the network brings the next one, so that little is left for the fsync at the end.
    /// Linux starts to write dirty pages that are said not to be needed; it waits for nothing and drops only clean ones.
    fn start_writeback(&self, begin: u64) {
        let Some(length) = std::num::NonZeroU64::new(self.length - begin) else { return };
        if length.get() < BLOCK_BYTES as u64 {
            return;
        }
        if let Err(error) = rustix::fs::fadvise(self.file.file(), begin, Some(length), rustix::fs::Advice::DontNeed) {
            tracing::debug!(%error, "a file system takes no advice");
        }
    }

    fn seal(self, size: u64, promise: Promise) -> Result<Written, PutError> {
        self.file.sync().map_err(PutError::from_io("make durable", self.temp.path()))?;
        Ok(Written { temp: self.temp, size, sha256: hash_of(self.hash)?, promise })
    }
}

pub(crate) fn hash_of(hash: Context) -> Result<Sha256, EngineError> {
    let bytes = hash.finish().as_ref().try_into();
    Ok(Sha256(bytes.map_err(|_| EngineError::Record("a hash of another length".to_owned()))?))
}
