//! The frames of the object stream; `docs/object-stream.md` is their specification.

use prost::Message;
use shardlift_api::CHUNK_BYTES_MAX;
use std::io;
use std::pin::Pin;
use tokio::io::{AsyncBufRead as _, AsyncRead, AsyncReadExt as _, BufReader};

/// Bytes before each frame: what it is, and its length.
pub(crate) const HEAD_BYTES: usize = 4;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `FetchObjectsRequest`.
    Request = 1,
    /// `ObjectHead`.
    Object = 2,
    /// Bytes of the object.
    Data = 3,
    /// `ObjectEnd`.
    End = 4,
    /// `Refusal`; ends the answer.
    Refused = 5,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Request, Self::Object, Self::Data, Self::End, Self::Refused];

    /// Longest frame of this kind.
    pub(crate) const fn bytes_max(self) -> usize {
        match self {
            Self::Request => 512 * 1024,
            Self::Data => CHUNK_BYTES_MAX,
            Self::Object | Self::End | Self::Refused => 4096,
        }
    }

    /// The head of a frame.
    pub(crate) fn head(self, length: usize) -> [u8; HEAD_BYTES] {
        let length = u32::try_from(length).unwrap_or(u32::MAX) & 0x00ff_ffff;
        (((self as u32) << 24) | length).to_be_bytes()
    }
}

/// What a head says; `None` where there is no such kind, or a frame of that kind is never so long.
pub(crate) fn parse(head: [u8; HEAD_BYTES]) -> Option<(Kind, usize)> {
    let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == head[0])?;
    let length = usize::try_from(u32::from_be_bytes(head) & 0x00ff_ffff).ok()?;
    // Empty data would be an answer without an end.
    let fits = length <= kind.bytes_max() && (kind != Kind::Data || length > 0);
    fits.then_some((kind, length))
}

/// Appends a frame that is a message.
pub(crate) fn put(buffer: &mut Vec<u8>, kind: Kind, message: &impl Message) {
    buffer.extend_from_slice(&kind.head(message.encoded_len()));
    buffer.extend_from_slice(&message.encode_to_vec());
}

/// The head of the next frame; `None` at the end of the connection, between two frames.
pub(crate) async fn next(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(Kind, usize)>> {
    let mut head = [0; HEAD_BYTES];
    if stream.read(&mut head[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut head[1..]).await?;
    parse(head).map(Some).ok_or_else(|| malformed("no such frame"))
}

/// The message that a frame consists of.
pub(crate) async fn message<M: Message + Default>(
    stream: &mut (impl AsyncRead + Unpin),
    length: usize,
) -> io::Result<M> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    M::decode(bytes.as_slice()).map_err(|_| malformed("a frame is not the message that it should be"))
}

/// The head of the next frame, if it is here already.
pub(crate) fn next_here<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<io::Result<(Kind, usize)>> {
    let head = *stream.buffer().first_chunk()?;
    Pin::new(stream).consume(HEAD_BYTES);
    Some(parse(head).ok_or_else(|| malformed("no such frame")))
}

/// The message that a frame consists of, if all of it is here already.
pub(crate) fn message_here<S: AsyncRead + Unpin, M: Message + Default>(
    stream: &mut BufReader<S>,
    length: usize,
) -> Option<io::Result<M>> {
    let decoded = M::decode(stream.buffer().get(..length)?);
    Pin::new(stream).consume(length);
    Some(decoded.map_err(|_| malformed("a frame is not the message that it should be")))
}

/// Bytes that are here already, as many as there is room for; 0 when there are none.
pub(crate) fn read_here<S: AsyncRead + Unpin>(stream: &mut BufReader<S>, room: &mut [u8]) -> usize {
    let here = stream.buffer();
    let read = here.len().min(room.len());
    room[..read].copy_from_slice(&here[..read]);
    Pin::new(stream).consume(read);
    read
}

pub(crate) fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_what_it_was_made_of_and_nothing_else_is_one() {
        for kind in Kind::ALL {
            for length in [1, 255, 4096, kind.bytes_max()] {
                assert_eq!(parse(kind.head(length)), Some((kind, length)));
            }
            assert_eq!(parse(kind.head(kind.bytes_max() + 1)), None, "{kind:?}");
        }
        assert_eq!(parse(Kind::Data.head(0)), None, "data that never ends");
        for kind in [0, 6, 0x48, 0xff] {
            assert_eq!(parse([kind, 0, 0, 1]), None);
        }
    }
}
