//! One accepted connection and who is at its other end.

use super::error::{HandshakeError, readable};
use crate::clock::now;
use crate::revocation::Revocations;
use crate::trust::{TrustDomains, TrustError};
use rustls::ServerConfig;
use shardlift_model::Peer;
use shardlift_net::Stream;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// How long a client may take for its handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepts TLS on a stream and says who the client is. Has no time limit of its own: see [`HANDSHAKE_TIMEOUT`].
///
/// # Errors
/// [`HandshakeError`]; for the log, never for the peer.
pub async fn handshake<S>(
    stream: S,
    address: Option<SocketAddr>,
    config: Arc<ServerConfig>,
    trust: &TrustDomains,
) -> Result<(TlsStream<S>, Peer), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stream =
        TlsAcceptor::from(config).accept(stream).await.map_err(|error| HandshakeError::Tls(readable(error)))?;
    let peer = peer_of(stream.get_ref().1, address, trust).map_err(HandshakeError::Trust)?;
    Ok((stream, peer))
}

/// Who the client of a finished handshake is, for servers that accept on their own.
///
/// # Errors
/// [`TrustError`] when a certificate was shown that is not believed (any more).
pub fn peer_of(
    connection: &rustls::ServerConnection,
    address: Option<SocketAddr>,
    trust: &TrustDomains,
) -> Result<Peer, TrustError> {
    let certificate = match connection.peer_certificates() {
        Some(chain) if !chain.is_empty() => Some(trust.classify(chain, now())?),
        _ => None,
    };
    Ok(Peer { certificate, address })
}

/// Breaks a connection off once the certificate that was shown on it is taken back.
struct Cut {
    /// `None`: it is.
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Cut {
    fn when_revoked(peer: &Peer, revocations: Arc<Revocations>) -> Self {
        let certificate = peer.certificate.clone();
        let waiting = async move {
            match certificate {
                Some(certificate) => revocations.revoked(&certificate).await,
                None => std::future::pending().await,
            }
        };
        Self { waiting: Some(Box::pin(waiting)) }
    }

    /// Wakes up whoever was the last to look.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let waiting = self.waiting.as_mut();
        if waiting.is_some_and(|waiting| waiting.as_mut().poll(cx).is_pending()) {
            return Ok(());
        }
        self.waiting = None;
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the certificate was revoked"))
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.waiting.is_some() { "not cut" } else { "cut" })
    }
}

/// An accepted connection for `serve_with_incoming`; requests find its [`Peer`] in their extensions.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<Stream>,
    peer: Peer,
    cut: Cut,
    /// Counts this connection until it is dropped.
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(
        stream: TlsStream<Stream>,
        peer: Peer,
        revocations: Arc<Revocations>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let cut = Cut::when_revoked(&peer, revocations);
        Self { stream, peer, cut, _permit: permit }
    }

    /// Who is at the other end.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Encrypts up to so many bytes before it writes to the socket, for those who send much.
    pub fn send_in_pieces_of(&mut self, bytes: usize) {
        self.stream.get_mut().1.set_buffer_limit(Some(bytes));
    }

    /// The protocol that was agreed on, if any.
    #[must_use]
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.stream.get_ref().1.alpn_protocol()
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.cut.look(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.cut.look(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.cut.look(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
