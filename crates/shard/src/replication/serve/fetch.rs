//! Sending the bytes of objects. Bounded: a few chunks in memory for each transfer, an end when the peer takes none for
//! long.

use super::ReplicationCounters;
use crate::control::fault::of_engine;
use crate::engine::{Engine, EngineError, ObjectFile, Rot};
use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::{CHUNK_BYTES_MAX, v1};
use shardlift_model::{NodeId, ObjectKey, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Chunks that wait for the network.
const CHUNKS_AHEAD: usize = 4;

/// How long a peer may leave a chunk waiting.
const SLOW_PEER_TIMEOUT: Duration = Duration::from_secs(60);

/// One transfer.
pub(super) struct Transfer {
    pub(super) engine: Arc<Engine>,
    pub(super) node: NodeId,
    pub(super) counters: Arc<ReplicationCounters>,
}

/// Why a transfer ends early.
enum Stop {
    /// Nobody takes the chunks any more.
    PeerGone,
    /// Told to the peer.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

type Chunks = mpsc::Sender<Result<v1::ObjectChunk, Status>>;

impl Transfer {
    /// Sends in a task of its own, which ends with the stream.
    pub(super) fn start(
        self,
        keys: Vec<ObjectKey>,
        permit: impl Send + 'static,
    ) -> ReceiverStream<Result<v1::ObjectChunk, Status>> {
        let (chunks, stream) = mpsc::channel(CHUNKS_AHEAD);
        tokio::spawn(async move {
            let _permit = permit;
            for (position, key) in (0_u32..).zip(keys) {
                match self.send(position, key, &chunks).await {
                    Ok(()) => {}
                    Err(Stop::PeerGone) => return,
                    Err(Stop::Fault(fault)) => {
                        // The peer may have gone meanwhile; then nobody waits for the reason.
                        let _ = chunks.send_timeout(Err(fault.into()), SLOW_PEER_TIMEOUT).await;
                        return;
                    }
                }
            }
        });
        ReceiverStream::new(stream)
    }

    async fn send(&self, position: u32, key: ObjectKey, chunks: &Chunks) -> Result<(), Stop> {
        let object = match self.open(key).await {
            Ok(Some(object)) => object,
            Ok(None) => return push(chunks, v1::ObjectChunk { position, absent: true, ..Default::default() }).await,
            Err(EngineError::Missing { .. }) => {
                return push(chunks, v1::ObjectChunk { position, missing: true, ..Default::default() }).await;
            }
            Err(error) => return Err(of_engine(error).into()),
        };
        let record = object.record;
        let (found, size) = self.send_bytes(position, object, chunks).await?;
        self.counters.sent(size);
        if found != record.sha256 {
            // The peer has the bytes and judges them itself; recorded, its journal tells it what to expect the next time.
            self.engine.record_rot(&self.node, key).await.map_err(of_engine)?;
        }
        Ok(())
    }

    /// An object whose file has another length than its record is looked at again: once that is recorded, it can be sent.
    async fn open(&self, key: ObjectKey) -> Result<Option<ObjectFile>, EngineError> {
        let opened = self.engine.open_object(&self.node, key).await;
        if !matches!(opened, Err(EngineError::SizeDiffers { .. })) {
            return opened;
        }
        match self.engine.record_rot(&self.node, key).await? {
            Rot::Recorded(_) | Rot::None => self.engine.open_object(&self.node, key).await,
            Rot::Missing | Rot::Alarm => opened,
        }
    }

    async fn send_bytes(&self, position: u32, object: ObjectFile, chunks: &Chunks) -> Result<(Sha256, u64), Stop> {
        let ObjectFile { record, mut file, .. } = object;
        let mut hash = Context::new(&SHA256);
        let mut size = 0_u64;
        let mut first = Some(record);
        loop {
            let data = read_chunk(&mut file, record.size.saturating_sub(size))
                .await
                .map_err(|error| Stop::Fault(unreadable(&record.key, error)))?;
            self.engine.may_send(&self.node, data.len() as u64).await;
            hash.update(&data);
            size += data.len() as u64;
            let last = data.len() < CHUNK_BYTES_MAX;
            let mut chunk = v1::ObjectChunk { position, data, last, ..Default::default() };
            chunk.record = first.take().map(Into::into);
            if !last {
                push(chunks, chunk).await?;
                continue;
            }
            let mut found = [0; 32];
            found.copy_from_slice(hash.finish().as_ref());
            chunk.sha256_read = Bytes::copy_from_slice(&found);
            push(chunks, chunk).await?;
            return Ok((Sha256(found), size));
        }
    }
}

/// A full chunk, or what is left; `expected` bytes if the record is right.
async fn read_chunk(file: &mut shardlift_net::File, expected: u64) -> std::io::Result<Bytes> {
    let room = usize::try_from(expected).map_or(CHUNK_BYTES_MAX, |left| CHUNK_BYTES_MAX.min(left + 1));
    let mut data = BytesMut::with_capacity(room);
    while data.len() < CHUNK_BYTES_MAX {
        let room = (CHUNK_BYTES_MAX - data.len()) as u64;
        if (&mut *file).take(room).read_buf(&mut data).await? == 0 {
            break;
        }
    }
    Ok(data.freeze())
}

fn unreadable(key: &ObjectKey, error: std::io::Error) -> Fault {
    Fault::caused(FaultKind::DataLoss, format!("{key} cannot be read"), error)
}

async fn push(chunks: &Chunks, chunk: v1::ObjectChunk) -> Result<(), Stop> {
    chunks.send_timeout(Ok(chunk), SLOW_PEER_TIMEOUT).await.map_err(|_| Stop::PeerGone)
}
