//! The probe: which shard does a server name really reach, and what does it say of the node?
//!
//! Spoken on the client listener under its own ALPN, so that it takes the very way that clients take. The controller proves
//! its role by certificate; all others are cut off without a word.

use crate::engine::{Engine, Mode};
use prost::Message as _;
use shardlift_api::v1::{ProbeAnswer, ProbeRequest};
use shardlift_api::{PROBE_BYTES_MAX, convert};
use shardlift_model::{Peer, Role, ShardId};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How long a probe may take.
const PROBE_TIME_MAX: Duration = Duration::from_secs(10);

/// Answers one probe and ends the connection.
///
/// # Errors
/// When the peer is not the controller, its request is none, or the connection fails.
pub(crate) async fn answer<S>(mut stream: S, peer: &Peer, engine: &Engine, shard: &ShardId) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if peer.identity().is_none_or(|identity| identity.role() != Role::Controller) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let exchange = async {
        let request: ProbeRequest = read(&mut stream).await?;
        let node = convert::node(&request.node).map_err(io::Error::other)?;
        let known = engine.node(&node);
        let answer = ProbeAnswer {
            shard: shard.to_string(),
            node: node.to_string(),
            generation: known.as_ref().map_or(0, |known| known.generation.0),
            serving: known.is_some_and(|known| known.mode == Mode::Serving),
        };
        write(&mut stream, &answer).await?;
        stream.shutdown().await
    };
    tokio::time::timeout(PROBE_TIME_MAX, exchange).await?
}

async fn read<M: prost::Message + Default>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<M> {
    let length = stream.read_u32().await?;
    if length > PROBE_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes).await?;
    M::decode(bytes.as_slice()).map_err(io::Error::other)
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &ProbeAnswer) -> io::Result<()> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_u32(length).await?;
    stream.write_all(&bytes).await?;
    stream.flush().await
}
