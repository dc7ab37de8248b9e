//! A listener's accepted connections as a stream.
//!
//! Each handshake runs in its own task under a time limit, so that a silent client holds up nobody. Handshakes and
//! connections are bounded; over the bound the kernel's queue waits. Dropping the stream ends all of it.

use super::connection::{Connection, HANDSHAKE_TIMEOUT, handshake};
use super::error::HandshakeError;
use super::server::ServerTls;
use futures::Stream;
use shardlift_net::{Listener, Stream as Socket};
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};

/// How long to wait after the system refused to accept, typically for lack of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Bounds of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncomingLimits {
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// Handshakes under way at the same time.
    pub handshakes_max: usize,
    /// Connections at the same time, handshakes included.
    pub connections_max: usize,
}

impl Default for IncomingLimits {
    fn default() -> Self {
        Self { handshake_timeout: HANDSHAKE_TIMEOUT, handshakes_max: 1024, connections_max: 16_384 }
    }
}

/// What a listener has seen. Only grows.
#[derive(Debug, Default)]
pub struct IncomingCounters {
    accepted: AtomicU64,
    established: AtomicU64,
    timed_out: AtomicU64,
    refused: AtomicU64,
}

impl IncomingCounters {
    /// TCP connections.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Handshakes that succeeded.
    #[must_use]
    pub fn established(&self) -> u64 {
        self.established.load(Ordering::Relaxed)
    }

    /// Handshakes that took too long.
    #[must_use]
    pub fn timed_out(&self) -> u64 {
        self.timed_out.load(Ordering::Relaxed)
    }

    /// Handshakes that failed: no TLS, or a certificate that is not believed.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// The accepted connections of one listener.
#[derive(Debug)]
pub struct Incoming {
    connections: mpsc::Receiver<Connection>,
    counters: Arc<IncomingCounters>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Incoming {
    /// Starts to accept, with the default limits.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn new(listener: impl Into<Listener>, tls: ServerTls) -> io::Result<Self> {
        Self::with_limits(listener, tls, IncomingLimits::default())
    }

    /// Starts to accept.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn with_limits(listener: impl Into<Listener>, tls: ServerTls, limits: IncomingLimits) -> io::Result<Self> {
        let listener = listener.into();
        let address = listener.local_addr()?;
        let counters = Arc::new(IncomingCounters::default());
        let (sender, connections) = mpsc::channel(64);
        let acceptor = Acceptor { tls, limits, counters: counters.clone(), sender };
        let accepting = tokio::spawn(acceptor.run(listener));
        Ok(Self { connections, counters, address, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen; stays readable when the stream is handed to a server.
    #[must_use]
    pub fn counters(&self) -> Arc<IncomingCounters> {
        self.counters.clone()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.connections.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}

#[derive(Clone)]
struct Acceptor {
    tls: ServerTls,
    limits: IncomingLimits,
    counters: Arc<IncomingCounters>,
    sender: mpsc::Sender<Connection>,
}

impl Acceptor {
    async fn run(self, listener: Listener) {
        let connections = Arc::new(Semaphore::new(self.limits.connections_max));
        let handshakes = Arc::new(Semaphore::new(self.limits.handshakes_max));
        // Ends its tasks when this task is aborted.
        let mut tasks = JoinSet::new();
        loop {
            let permits = (connections.clone().acquire_owned().await, handshakes.clone().acquire_owned().await);
            // Neither semaphore is ever closed.
            let (Ok(connection), Ok(handshake)) = permits else { return };
            match listener.accept().await {
                Ok((stream, address)) => {
                    self.counters.accepted.fetch_add(1, Ordering::Relaxed);
                    tasks.spawn(self.clone().establish(stream, address, connection, handshake));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            while let Some(ended) = tasks.try_join_next() {
                if let Err(error) = ended {
                    tracing::error!(%error, "a handshake task ended badly");
                }
            }
        }
    }

    async fn establish(
        self,
        stream: Socket,
        address: SocketAddr,
        permit: OwnedSemaphorePermit,
        handshaking: OwnedSemaphorePermit,
    ) {
        match self.shake_hands(stream, address).await {
            Ok((stream, peer)) => {
                self.counters.established.fetch_add(1, Ordering::Relaxed);
                drop(handshaking);
                // An error means that the server is gone; the connection goes with it.
                let _server_gone =
                    self.sender.send(Connection::new(stream, peer, self.tls.revocations(), permit)).await;
            }
            Err(error) => self.note(&error, address),
        }
    }

    async fn shake_hands(
        &self,
        stream: Socket,
        address: SocketAddr,
    ) -> Result<(tokio_rustls::server::TlsStream<Socket>, shardlift_model::Peer), HandshakeError> {
        stream.set_nodelay(true).map_err(HandshakeError::Tls)?;
        let trust = self.tls.trust();
        let handshake = handshake(stream, Some(address), self.tls.config(), &trust);
        match tokio::time::timeout(self.limits.handshake_timeout, handshake).await {
            Ok(result) => result,
            Err(_elapsed) => Err(HandshakeError::Timeout(self.limits.handshake_timeout)),
        }
    }

    fn note(&self, error: &HandshakeError, address: SocketAddr) {
        let reason = error.source().map(ToString::to_string).unwrap_or_default();
        match error {
            HandshakeError::Timeout(_) => {
                self.counters.timed_out.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%address, %error, "connection dropped");
            }
            HandshakeError::Tls(_) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%address, %error, reason, "connection refused");
            }
            HandshakeError::Trust(_) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%address, %error, reason, "connection refused");
            }
        }
    }
}
