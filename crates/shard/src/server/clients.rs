//! The client listener: TLS, then HTTP/1.1, HTTP/2, the probe or what another shard forwards, by what the hello asks for.
//!
//! The latter two have names of their own, under which nobody is let in who has no certificate of the cluster.

use super::config::ClientTimes;
use crate::engine::Engine;
use crate::forward::{CONNECTION_WINDOW_BYTES, FORWARD_ALPN, STREAM_WINDOW_BYTES as FORWARD_WINDOW_BYTES};
use crate::probe;
use crate::rest::{Connection, Rest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use shardlift_api::PROBE_ALPN;
use shardlift_model::{Peer, ShardId};
use shardlift_net::{Listener, Stream};
use shardlift_pki::tls::{ALPN_HTTP2, ServerTls, peer_of, readable};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::BufReader;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Requests in progress on one HTTP/2 connection.
const STREAMS_MAX: u32 = 250;

/// Requests in progress on the connection of one other shard: those of all its clients, parked ones included.
const FORWARD_STREAMS_MAX: u32 = 16_384;

/// Largest request head, in bytes.
const HEAD_BYTES_MAX: u32 = 32 * 1024;

/// What one read from a client's socket takes at most, in bytes. The TLS library itself reads 4 KiB at a time.
const READ_BYTES: usize = 128 * 1024;

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Http1,
    Http2,
    Probe,
    /// HTTP/2 with the requests of another shard's clients.
    Forwarded,
}

/// A client's connection, after the handshake.
type ClientStream = TlsStream<BufReader<Stream>>;

/// How long to wait after the system refused to accept, typically for lack of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// HTTP/2 window of one upload; large enough to keep a gigabit link with some latency busy.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;

/// All that a client connection needs.
pub(crate) struct Clients {
    pub(crate) rest: Arc<Rest>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) shard: ShardId,
    /// For HTTP.
    pub(crate) http: ServerTls,
    /// For the probe and for forwarding shards: members of the cluster only.
    pub(crate) mutual: ServerTls,
    pub(crate) connections_max: usize,
    pub(crate) times: ClientTimes,
}

impl Clients {
    /// Accepts until `stop`; then waits for the requests in progress, for as long as the caller does.
    pub(crate) async fn serve(self, listener: Listener, stop: CancellationToken) {
        let clients = Arc::new(self);
        let slots = Arc::new(Semaphore::new(clients.connections_max));
        let tasks = TaskTracker::new();
        loop {
            // The semaphore is never closed.
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    tasks.spawn(clients.clone().serve_one(stream, address, slot, stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        tasks.close();
        tasks.wait().await;
    }

    async fn serve_one(
        self: Arc<Self>,
        stream: Stream,
        address: SocketAddr,
        _slot: OwnedSemaphorePermit,
        stop: CancellationToken,
    ) {
        let shaken = tokio::time::timeout(self.times.handshake, self.shake_hands(stream, address)).await;
        let (stream, peer, spoken) = match shaken {
            Ok(Ok(shaken)) => shaken,
            Ok(Err(error)) => {
                tracing::info!(%address, %error, "client refused in the handshake");
                self.rest.metrics.refuse("handshake");
                return;
            }
            Err(_elapsed) => {
                tracing::debug!(%address, "client was silent in the handshake");
                self.rest.metrics.refuse("handshake_timeout");
                return;
            }
        };
        let _counted = self.rest.metrics.connection();
        if spoken == Spoken::Probe {
            if let Err(error) = probe::answer(stream, &peer, &self.engine, &self.shard).await {
                tracing::warn!(%address, %error, "a probe failed");
            }
            return;
        }
        self.record_certificate(&peer).await;
        // Whatever is in progress ends unanswered: half an upload leaves nothing behind.
        tokio::select! {
            biased;
            () = self.revoked(&peer) => {
                tracing::warn!(target: "audit", %address, "a client is cut off: its certificate was revoked");
                self.rest.metrics.refuse("revoked");
            }
            () = self.serve_http(stream, peer.clone(), spoken, stop) => {}
        }
    }

    /// Comes back once the certificate of this client is taken back; never for one without.
    async fn revoked(&self, peer: &Peer) {
        match &peer.certificate {
            Some(certificate) => self.http.revocations().revoked(certificate).await,
            None => std::future::pending().await,
        }
    }

    async fn shake_hands(&self, stream: Stream, address: SocketAddr) -> std::io::Result<(ClientStream, Peer, Spoken)> {
        stream.set_nodelay(true)?;
        let stream = BufReader::with_capacity(READ_BYTES, stream);
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let own = |name: &[u8]| name == PROBE_ALPN || name == FORWARD_ALPN;
        let member = start.client_hello().alpn().is_some_and(|mut names| names.any(own));
        let tls = if member { &self.mutual } else { &self.http };
        let stream = start.into_stream(tls.config()).await.map_err(readable)?;
        let peer = peer_of(stream.get_ref().1, Some(address), &tls.trust()).map_err(std::io::Error::other)?;
        // What was agreed on and nothing else: nothing is guessed from the bytes, which may never come.
        let spoken = match stream.get_ref().1.alpn_protocol() {
            Some(PROBE_ALPN) => Spoken::Probe,
            Some(FORWARD_ALPN) => Spoken::Forwarded,
            Some(ALPN_HTTP2) => Spoken::Http2,
            _ => Spoken::Http1,
        };
        Ok((stream, peer, spoken))
    }

    /// A certificate counts as seen when its handshake is complete, whatever is asked afterwards.
    async fn record_certificate(&self, peer: &Peer) {
        let Some(certificate) = &peer.certificate else { return };
        let Some(node) = crate::auth::node_of(certificate) else { return };
        let now = crate::engine::now();
        let recorded = self.engine.record_certificate(&node, &certificate.issuer, &certificate.serial, now).await;
        if let Err(error) = recorded {
            tracing::warn!(%node, %error, "a certificate in use could not be recorded");
        }
    }

    async fn serve_http(&self, stream: ClientStream, peer: Peer, spoken: Spoken, stop: CancellationToken) {
        let forwarded = spoken == Spoken::Forwarded;
        let connection = Arc::new(if forwarded { Connection::of_shard(peer) } else { Connection::new(peer) });
        let service = hyper::service::service_fn(|request| {
            let (rest, connection) = (self.rest.clone(), connection.clone());
            async move { Ok::<_, Infallible>(rest.handle(&connection, request).await) }
        });
        let builder = self.protocol(spoken);
        let serving = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        let admission = self.engine.admission();
        let ended = tokio::select! {
            biased;
            ended = serving.as_mut() => ended,
            () = async {
                let goaway = spoken != Spoken::Http1;
                tokio::select! {
                    biased;
                    () = connection.closing(&admission, goaway) => {},
                    () = stop.cancelled() => {}
                }
            } => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
            () = connection.unused_for(self.times.head) => {
                tracing::debug!(address = ?connection.peer().address, "a client connected and asked for nothing");
                self.rest.metrics.refuse("silent");
                return;
            }
        };
        if let Err(error) = ended {
            tracing::debug!(address = ?connection.peer().address, %error, "a client connection ended early");
        }
    }

    fn protocol(&self, spoken: Spoken) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.times.head).max_buf_size(1 << 20);
        let (streams, stream_window, window) = match spoken {
            Spoken::Forwarded => (FORWARD_STREAMS_MAX, FORWARD_WINDOW_BYTES, CONNECTION_WINDOW_BYTES),
            _ => (STREAMS_MAX, STREAM_WINDOW_BYTES, 4 * STREAM_WINDOW_BYTES),
        };
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(streams)
            .max_header_list_size(HEAD_BYTES_MAX)
            .initial_stream_window_size(stream_window)
            .initial_connection_window_size(window)
            .max_frame_size(256 * 1024)
            .keep_alive_interval(Duration::from_secs(60))
            .keep_alive_timeout(Duration::from_secs(20));
        if spoken == Spoken::Http1 { builder.http1_only() } else { builder.http2_only() }
    }
}
