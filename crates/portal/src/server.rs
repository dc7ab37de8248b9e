//! The status API as a server: one TLS listener, bounded connections, orderly end.
//!
//! A caller proves itself by its token, so no client certificate is asked for. A connection has an age limit: whoever
//! reads slowly holds a place for a while, never for ever.

use crate::routes::{App, router};
use axum::Router;
use futures::StreamExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use shardlift_api::view::World;
use shardlift_pki::tls::{
    ALPN_HTTP1, ALPN_HTTP2, Connection, Credentials, Incoming, IncomingLimits, ServerTls, TlsError, server_only_config,
};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long the head of a request may take, and how long a connection may be silent between two.
const HEAD_TIME_MAX: Duration = Duration::from_secs(15);

/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Most headers of a request.
const HEADERS_MAX: usize = 64;

/// After this a connection takes no further requests.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(300);

/// How long the last answers of a connection may take to be read.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Requests of one HTTP/2 connection at the same time.
const STREAMS_MAX: u32 = 32;

/// How often an HTTP/2 connection is asked whether it still lives, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

const LIMITS: IncomingLimits =
    IncomingLimits { handshake_timeout: Duration::from_secs(10), handshakes_max: 256, connections_max: 4096 };

/// Where to serve, and as whom.
#[derive(Debug, Clone)]
pub struct PortalConfig {
    /// Where customers' portals connect.
    pub listen: SocketAddr,
    /// The server's certificate; reloads take effect with the next connection.
    pub credentials: Arc<Credentials>,
}

/// Why the status API does not run.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// The TLS library.
    #[error("TLS for the status API cannot be set up")]
    Tls(#[from] TlsError),
    /// The listener.
    #[error("cannot listen on {address} for the status API")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

/// A status API that is ready to run.
#[derive(Debug)]
pub struct Portal {
    listen: SocketAddr,
    tls: ServerTls,
    router: Router,
}

impl Portal {
    /// Prepares the service. Opens no port. Until `world` holds a snapshot with a time, customers are told to try again.
    ///
    /// # Errors
    /// [`PortalError::Tls`] when TLS cannot be set up.
    pub fn build(config: PortalConfig, world: watch::Receiver<Arc<World>>) -> Result<Self, PortalError> {
        let tls = server_only_config(&config.credentials, &[ALPN_HTTP2, ALPN_HTTP1])?;
        Ok(Self { listen: config.listen, tls, router: router(App::new(world)) })
    }

    /// Serves until `shutdown`. `announce` is told the listener's name, `status`, and its address once it accepts.
    ///
    /// # Errors
    /// [`PortalError::Listen`] when the listener cannot be opened.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send,
        announce: impl Fn(&str, SocketAddr),
    ) -> Result<(), PortalError> {
        let address = self.listen;
        let failed = |source| PortalError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let mut incoming = Incoming::with_limits(listener, self.tls, LIMITS).map_err(failed)?;
        announce("status", incoming.local_address());
        let (stop, stopped) = watch::channel(());
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(ended) = connections.join_next() => note(ended),
                accepted = incoming.next() => match accepted {
                    Some(Ok(connection)) => {
                        connections.spawn(serve(connection, self.router.clone(), stopped.clone()));
                    }
                    Some(Err(error)) => tracing::warn!(%error, "a connection to the status API was lost"),
                    None => break,
                },
            }
        }
        drop(incoming);
        drop(stop);
        // Each connection has its own time limit from here on.
        while let Some(ended) = connections.join_next().await {
            note(ended);
        }
        Ok(())
    }
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection to the status API ended badly");
    }
}

async fn serve(connection: Connection, router: Router, mut stopped: watch::Receiver<()>) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(16 * 1024)
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE);
    // The protocol is known from TLS. To find it out from the first bytes would mean to wait for them without a limit.
    let http2 = connection.alpn_protocol() == Some(ALPN_HTTP2);
    let builder = if http2 { builder.http2_only() } else { builder.http1_only() };
    let mut serving = pin!(builder.serve_connection(TokioIo::new(connection), TowerToHyperService::new(router)));
    tokio::select! {
        served = serving.as_mut() => return done(served),
        () = tokio::time::sleep(CONNECTION_AGE_MAX) => {}
        // Ends when the sender is dropped; nothing is ever sent.
        _ended = stopped.changed() => {}
    }
    serving.as_mut().graceful_shutdown();
    match tokio::time::timeout(DRAIN_TIME_MAX, serving).await {
        Ok(served) => done(served),
        Err(_elapsed) => tracing::debug!("a connection to the status API was cut off"),
    }
}

/// How a connection ends is the client's business; worth a line only when somebody looks for it.
fn done(served: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the status API ended");
    }
}
