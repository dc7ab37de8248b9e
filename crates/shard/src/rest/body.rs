//! Bodies of answers: nothing, bytes in memory, a part of a file, or what another shard sends. The latter two keep their permit
//! until they are sent, so that a request counts as in flight for as long as it is. What another shard sends ends when forwarding does.

use crate::admission::{Onward, Permit};
use crate::throttle::Client;
use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use shardlift_net::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// How much of a file is read at once, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// A body.
#[derive(Debug)]
pub(crate) enum Body {
    /// Bytes in memory, sent once.
    Memory(Bytes),
    /// The next `remaining` bytes of a file.
    File(Box<FilePart>),
    /// What another shard answers, as it comes.
    Remote(Box<Remote>),
}

#[derive(Debug)]
pub(crate) struct FilePart {
    file: File,
    buffer: BytesMut,
    remaining: u64,
    _permit: Permit,
    _client: Client,
}

#[derive(Debug)]
pub(crate) struct Remote {
    incoming: Incoming,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    _onward: Arc<Onward>,
}

impl Body {
    /// No bytes.
    pub(crate) const fn empty() -> Self {
        Self::Memory(Bytes::new())
    }

    /// The next `length` bytes of a file, from where it stands.
    pub(crate) fn part(file: File, length: u64, permit: Permit, client: Client) -> Self {
        Self::File(Box::new(FilePart {
            file,
            buffer: BytesMut::new(),
            remaining: length,
            _permit: permit,
            _client: client,
        }))
    }

    /// What another shard sends.
    pub(crate) fn remote(incoming: Incoming, onward: Arc<Onward>) -> Self {
        let cancelled = Box::pin(onward.cancelled().clone().cancelled_owned());
        Self::Remote(Box::new(Remote { incoming, cancelled, _onward: onward }))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Memory(bytes.into())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Memory(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Memory(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::File(part) => part.poll_next(cx).map(|next| next.map(|bytes| bytes.map(Frame::data))),
            Self::Remote(remote) => remote.poll_next(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Memory(bytes) => bytes.is_empty(),
            Self::File(part) => part.remaining == 0,
            Self::Remote(remote) => remote.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Memory(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::File(part) => SizeHint::with_exact(part.remaining),
            Self::Remote(remote) => remote.incoming.size_hint(),
        }
    }
}

impl Remote {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.cancelled.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(io::Error::other("forwarding has ended"))));
        }
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        polled.map(|next| next.map(|frame| frame.map_err(io::Error::other)))
    }
}

impl FilePart {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let length = usize::try_from(self.remaining).map_or(READ_BYTES, |remaining| remaining.min(READ_BYTES));
        self.buffer.resize(length, 0);
        let mut space = ReadBuf::new(&mut self.buffer);
        match Pin::new(&mut self.file).poll_read(cx, &mut space) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(())) => {
                let filled = space.filled().len();
                if filled == 0 {
                    // Cutting the connection is the only way left to tell the client that the answer is not whole.
                    return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                }
                self.remaining -= filled as u64;
                Poll::Ready(Some(Ok(self.buffer.split_to(filled).freeze())))
            }
        }
    }
}
