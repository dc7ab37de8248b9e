//! The object stream, the end that gives: one request after the other on a connection, each answered with the bytes of objects.
//! Bounded: two buffers in memory for each transfer, so many transfers, and an end when the peer takes nothing for long.

use super::outgoing::Outgoing;
use super::reader::{Halt, Reader};
use super::{FETCH_OBJECTS_MAX, Serving};
use crate::control::fault::of_engine;
use crate::engine::{EngineError, Rot};
use crate::replication::frame::{self, Kind};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::{OBJECTS_ALPN, policy, v1};
use shardlift_model::{NodeId, ObjectKey, Peer};
use std::future::Future;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// How long a peer may leave bytes waiting, or a request half sent.
const SLOW_PEER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection may wait for its next request.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// What is taken of the rate at once: so little that all who share it go on all the time, and nobody is taken for silent.
const PIECE_BYTES: usize = 128 * 1024;

/// Longest text of a refusal.
const TEXT_CHARS_MAX: usize = 512;

/// Why an answer, or the connection, ends early.
enum Stop {
    /// The peer takes nothing any more, or sends what cannot be meant.
    PeerGone,
    /// Told to the peer, which may ask for something else.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A connection, both ways.
pub(crate) trait Line: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Line for S {}

/// What a fill has come to: the reader and the buffer come back with it.
type Filled = (Reader, Outgoing, Result<Halt, Fault>);

impl Serving {
    /// Answers on a connection until it ends, or the shard does.
    pub(crate) async fn serve_objects(self, mut line: impl Line, peer: Peer) {
        let stop = self.stop.clone();
        let serving = async {
            if let Err(fault) = policy::authorise_protocol(OBJECTS_ALPN, Some(&peer)) {
                // The connection ends either way.
                let _ = refuse(&mut line, fault).await;
                return;
            }
            let mut spare = Vec::new();
            while let Ok(Some(request)) = next_request(&mut line).await {
                let answered = match self.answer(&mut line, &peer, request, &mut spare).await {
                    Err(Stop::Fault(fault)) => refuse(&mut line, fault).await,
                    answered => answered,
                };
                if answered.is_err() {
                    return;
                }
            }
        };
        // A peer that is cut off asks again.
        let _ended = stop.run_until_cancelled(serving).await;
    }

    async fn answer(
        &self,
        line: &mut impl Line,
        peer: &Peer,
        request: v1::FetchObjectsRequest,
        spare: &mut Vec<Outgoing>,
    ) -> Result<(), Stop> {
        let node = self.offered_to(Some(peer), &request.node)?;
        if request.objects.len() > FETCH_OBJECTS_MAX {
            return Err(Fault::new(FaultKind::Invalid, "more than 5000 objects in one transfer").into());
        }
        let keys = request.objects.into_iter().map(ObjectKey::try_from).collect::<Result<Vec<_>, _>>()?;
        let permit = self.transfers.clone().try_acquire_owned();
        let _permit = permit.map_err(|_| Fault::new(FaultKind::Unavailable, "too many transfers; try again"))?;
        let _seat = self.seat(&node).await?;
        self.send(line, Reader::new(self.engine.clone(), node, keys, request.hashed), spare).await
    }

    /// The disk is a buffer ahead of the network. `spare` are buffers of earlier answers on this connection.
    async fn send(&self, line: &mut impl Line, reader: Reader, spare: &mut Vec<Outgoing>) -> Result<(), Stop> {
        let node = reader.node.clone();
        let mut filling = fill(reader, spare.pop().unwrap_or_default());
        loop {
            let (mut reader, mut buffer, halt) = filling.await?;
            reader.sent.drain(..).for_each(|bytes| self.counters.sent(bytes));
            for key in std::mem::take(&mut reader.rotten) {
                // The peer has the bytes and judges them itself; recorded, its journal tells it what to expect the next time.
                self.engine.record_rot(&reader.node, key).await.map_err(of_engine)?;
            }
            match halt {
                Ok(Halt::Full) => {
                    filling = fill(reader, spare.pop().unwrap_or_default());
                    self.pass(line, &node, buffer.bytes()).await?;
                    buffer.clear();
                    spare.push(buffer);
                }
                Ok(Halt::Odd(key, error)) => {
                    self.settle(&mut reader, key, error, &mut buffer).await?;
                    filling = fill(reader, buffer);
                }
                Ok(Halt::Done) => {
                    self.pass(line, &node, buffer.bytes()).await?;
                    buffer.clear();
                    spare.push(buffer);
                    return on_time(line.flush()).await;
                }
                Err(fault) => {
                    self.pass(line, &node, buffer.bytes()).await?;
                    return Err(fault.into());
                }
            }
        }
    }

    /// Writes at the rate that this shard's clients leave.
    async fn pass(&self, line: &mut impl Line, node: &NodeId, data: &[u8]) -> Result<(), Stop> {
        for piece in data.chunks(PIECE_BYTES) {
            self.engine.may_send(node, piece.len() as u64).await;
            write(line, piece).await?;
        }
        Ok(())
    }

    /// Looks again at an object that could not be opened as it is recorded, with nobody changing it meanwhile. Once what is there is
    /// recorded, it can be sent.
    async fn settle(
        &self,
        reader: &mut Reader,
        key: ObjectKey,
        error: EngineError,
        buffer: &mut Outgoing,
    ) -> Result<(), Stop> {
        if !reader.is_new_to(key) {
            return Err(of_engine(error).into());
        }
        match self.engine.open_object(&reader.node, key).await {
            Ok(_) => {}
            Err(EngineError::Missing { .. }) => {
                reader.skip(v1::ObjectHead { missing: true, ..Default::default() }, buffer);
            }
            Err(error @ EngineError::SizeDiffers { .. }) => {
                match self.engine.record_rot(&reader.node, key).await.map_err(of_engine)? {
                    Rot::Recorded(_) | Rot::None => {}
                    Rot::Missing | Rot::Alarm => return Err(of_engine(error).into()),
                }
            }
            Err(error) => return Err(of_engine(error).into()),
        }
        Ok(())
    }
}

fn fill(mut reader: Reader, mut buffer: Outgoing) -> impl Future<Output = Result<Filled, Stop>> {
    let filling = shardlift_net::spawn_blocking(move || {
        let halt = reader.fill(&mut buffer);
        (reader, buffer, halt)
    });
    async { filling.await.map_err(|error| Fault::internal(error).into()) }
}

async fn next_request(line: &mut impl Line) -> Result<Option<v1::FetchObjectsRequest>, Stop> {
    let head = timeout(IDLE_MAX, frame::next(line)).await.map_err(|_| Stop::PeerGone)?;
    match head.map_err(|_| Stop::PeerGone)? {
        None => Ok(None),
        Some((Kind::Request, length)) => on_time(frame::message(line, length)).await.map(Some),
        Some(_) => Err(Stop::PeerGone),
    }
}

async fn refuse(line: &mut impl Line, fault: Fault) -> Result<(), Stop> {
    let code = fault.kind().code().to_owned();
    // Logs the cause and keeps it here.
    let status = tonic::Status::from(fault);
    let text = status.message().chars().take(TEXT_CHARS_MAX).collect();
    let mut buffer = Vec::new();
    frame::put(&mut buffer, Kind::Refused, &v1::Refusal { code, text });
    write(line, &buffer).await?;
    on_time(line.flush()).await
}

/// However slowly, the peer must take something all the time.
async fn write(line: &mut impl Line, mut data: &[u8]) -> Result<(), Stop> {
    while !data.is_empty() {
        let written = on_time(line.write(data)).await?;
        if written == 0 {
            return Err(Stop::PeerGone);
        }
        data = &data[written..];
    }
    Ok(())
}

async fn on_time<T>(work: impl Future<Output = std::io::Result<T>>) -> Result<T, Stop> {
    timeout(SLOW_PEER_TIMEOUT, work).await.map_err(|_| Stop::PeerGone)?.map_err(|_| Stop::PeerGone)
}
