//! An open file: read on threads that tokio keeps for that, or, in a simulation, in place.

use crate::machine::is_simulated;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};

/// A file to read from.
#[derive(Debug)]
pub struct File(Kind);

#[derive(Debug)]
enum Kind {
    Threads(tokio::fs::File),
    /// With where the last seek has led.
    InPlace(std::fs::File, u64),
}

impl File {
    /// An open file.
    #[must_use]
    pub fn from_std(file: std::fs::File) -> Self {
        Self(if is_simulated() { Kind::InPlace(file, 0) } else { Kind::Threads(tokio::fs::File::from_std(file)) })
    }
}

impl AsyncRead for File {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Threads(file) => Pin::new(file).poll_read(cx, buf),
            Kind::InPlace(file, _) => {
                let read = file.read(buf.initialize_unfilled());
                Poll::Ready(read.map(|bytes| buf.advance(bytes)))
            }
        }
    }
}

impl AsyncSeek for File {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        match &mut self.0 {
            Kind::Threads(file) => Pin::new(file).start_seek(position),
            Kind::InPlace(file, at) => file.seek(position).map(|led| *at = led),
        }
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        match &mut self.0 {
            Kind::Threads(file) => Pin::new(file).poll_complete(cx),
            Kind::InPlace(_, at) => Poll::Ready(Ok(*at)),
        }
    }
}
