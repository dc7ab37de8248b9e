//! A connection: the kernel's, or a simulation's.

use crate::machine::{Socket, installed};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes both ways.
#[derive(Debug)]
pub struct Stream(Kind);

#[derive(Debug)]
enum Kind {
    Kernel(TcpStream),
    Simulated(Box<dyn Socket>),
}

impl Stream {
    /// Connects to `host:port`. Has no time limit of its own.
    ///
    /// # Errors
    /// What the system says.
    pub async fn connect(address: &str) -> io::Result<Self> {
        match installed() {
            None => TcpStream::connect(address).await.map(Self::from),
            Some(machine) => machine.connect(address).await.map(Self::simulated),
        }
    }

    pub(crate) const fn simulated(socket: Box<dyn Socket>) -> Self {
        Self(Kind::Simulated(socket))
    }

    /// Sends small pieces at once.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        match &self.0 {
            Kind::Kernel(stream) => stream.set_nodelay(nodelay),
            // Nothing waits for more there.
            Kind::Simulated(_) => Ok(()),
        }
    }

    /// The kernel's socket, for those who let the kernel itself move the bytes; `None` in a simulation.
    #[must_use]
    pub const fn kernel(&self) -> Option<&TcpStream> {
        match &self.0 {
            Kind::Kernel(stream) => Some(stream),
            Kind::Simulated(_) => None,
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self(Kind::Kernel(stream))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Kernel(stream) => Pin::new(stream).poll_read(cx, buf),
            Kind::Simulated(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Kernel(stream) => Pin::new(stream).poll_write(cx, buf),
            Kind::Simulated(socket) => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Kernel(stream) => Pin::new(stream).poll_flush(cx),
            Kind::Simulated(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Kernel(stream) => Pin::new(stream).poll_shutdown(cx),
            Kind::Simulated(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Kernel(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Kind::Simulated(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Kind::Kernel(stream) => stream.is_write_vectored(),
            Kind::Simulated(socket) => socket.is_write_vectored(),
        }
    }
}
