//! A router as a process: configuration, listeners, orderly end.

mod config;

pub use config::RouterConfig;
pub use shardlift_api::configuration::ConfigError;

use crate::changes::Changes;
use crate::control::Control;
use crate::links::Links;
use crate::metrics::Metrics;
use crate::proxy::{HELLO_TIME_MAX, Pipes, Proxy};
use crate::store::{RouteStore, StoreError};
use axum::extract::State;
use axum::routing::get;
use shardlift_api::policy::GuardLayer;
use shardlift_custody::{KeepError, RevokedFiles};
use shardlift_model::Role;
use shardlift_net::Listener;
use shardlift_pki::tls::{ALPN_HTTP2, CredentialError, Credentials, Incoming, TlsError, mutual_server_config};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long open connections may go on after the end was asked for.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(30);

/// Why a router does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Certificates or keys.
    #[error("the certificates cannot be used")]
    Credentials(#[from] CredentialError),
    /// The TLS library.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// The routes on disk.
    #[error("the routes cannot be used")]
    Store(#[from] StoreError),
    /// The certificate is somebody else's.
    #[error("the certificate is that of {found}, but this is router {expected} of cluster {cluster}")]
    OtherIdentity {
        /// What the certificate says.
        found: String,
        /// What the configuration says.
        expected: String,
        /// What the configuration says.
        cluster: String,
    },
    /// A listener.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The revocation lists.
    #[error("the revocation lists cannot be used")]
    Revoked(#[from] KeepError),
    /// A server ended by itself.
    #[error("the control listener failed")]
    Control(#[from] tonic::transport::Error),
    /// A server ended by itself.
    #[error("the metrics listener failed")]
    Metrics(#[source] std::io::Error),
}

/// A router that is ready to run.
#[derive(Debug)]
pub struct Router {
    config: RouterConfig,
    credentials: Arc<Credentials>,
    routes: Arc<RouteStore>,
    revoked: Arc<RevokedFiles>,
    links: Arc<Links>,
    metrics: Arc<Metrics>,
}

impl Router {
    /// Loads certificates and routes. Opens no port.
    ///
    /// # Errors
    /// [`ServerError`] says what to look at.
    pub fn build(config: RouterConfig) -> Result<Self, ServerError> {
        let renewed = shardlift_custody::renewed_in(&config.state);
        let credentials = Credentials::load_renewable(config.credentials.clone(), renewed)?;
        let identity = credentials.identity();
        if identity.role() != Role::Router
            || identity.name() != config.name.as_str()
            || identity.cluster != config.cluster
        {
            return Err(ServerError::OtherIdentity {
                found: identity.to_uri(),
                expected: config.name.to_string(),
                cluster: config.cluster.to_string(),
            });
        }
        let revoked = RevokedFiles::open(&credentials, &config.state)?;
        let routes = Arc::new(RouteStore::open(&config.state)?);
        Ok(Self { config, credentials, routes, revoked, links: Arc::default(), metrics: Arc::default() })
    }

    /// The certificates, to be reloaded on a signal.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.clone()
    }

    /// Serves until `shutdown`. `announce` is told each listener's name and address once it accepts.
    ///
    /// # Errors
    /// [`ServerError`] when a listener cannot be opened or fails.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send,
        announce: impl Fn(&str, SocketAddr),
    ) -> Result<(), ServerError> {
        let clients = listen(self.config.client_listen).await?;
        let control = listen(self.config.control_listen).await?;
        let metrics = match self.config.metrics_listen {
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                Some(bound.map_err(|source| ServerError::Listen { address, source })?)
            }
            None => None,
        };
        let client_address = address_of(clients.local_addr(), self.config.client_listen)?;
        announce("client", client_address);
        announce("control", address_of(control.local_addr(), self.config.control_listen)?);
        if let Some(listener) = &metrics {
            announce("metrics", address_of(listener.local_addr(), client_address)?);
        }
        let stop = CancellationToken::new();
        let proxying = tokio::spawn(self.proxy().serve(clients, stop.clone()));
        let advertised = self.config.client_address.clone().unwrap_or_else(|| client_address.to_string());
        let serving = async {
            tokio::try_join!(self.serve_control(control, advertised, &stop), self.serve_metrics(metrics, &stop))
        };
        let stopping = async {
            shutdown.await;
            stop.cancel();
        };
        let (served, ()) = tokio::join!(
            async {
                let served = serving.await;
                stop.cancel();
                served
            },
            async {
                tokio::select! { () = stopping => {}, () = stop.cancelled() => {} }
            }
        );
        if tokio::time::timeout(DRAIN_TIME_MAX, proxying).await.is_err() {
            tracing::warn!("connections were cut off at the end");
        }
        served.map(|_| ())
    }

    fn proxy(&self) -> Proxy {
        Proxy {
            routes: self.routes.clone(),
            links: self.links.clone(),
            metrics: self.metrics.clone(),
            connections_max: self.config.connections_max,
            hello_time_max: HELLO_TIME_MAX,
            pipes: Pipes::default(),
        }
    }

    async fn serve_control(
        &self,
        listener: Listener,
        client_address: String,
        stop: &CancellationToken,
    ) -> Result<(), ServerError> {
        let address = self.config.control_listen;
        let tls = mutual_server_config(&self.credentials, &[ALPN_HTTP2])?;
        let incoming = Incoming::new(listener, tls).map_err(|source| ServerError::Listen { address, source })?;
        let control = Control {
            router: self.config.name.clone(),
            client_address,
            changes: Changes::new(self.routes.clone(), self.links.clone(), self.metrics.clone()),
            metrics: self.metrics.clone(),
            revoked: self.revoked.clone(),
        };
        tonic::transport::Server::builder()
            .layer(GuardLayer)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .concurrency_limit_per_connection(64)
            .add_service(control.into_service())
            .add_service(shardlift_custody::service(&self.credentials))
            .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned())
            .await?;
        Ok(())
    }

    async fn serve_metrics(&self, listener: Option<TcpListener>, stop: &CancellationToken) -> Result<(), ServerError> {
        let Some(listener) = listener else {
            stop.cancelled().await;
            return Ok(());
        };
        let shared = (self.metrics.clone(), self.routes.clone());
        let routes = axum::Router::new()
            .route("/metrics", get(metrics_text))
            .route("/healthz", get(|| async { "ok\n" }))
            .with_state(shared);
        axum::serve(listener, routes)
            .with_graceful_shutdown(stop.clone().cancelled_owned())
            .await
            .map_err(ServerError::Metrics)
    }
}

async fn metrics_text(
    State((metrics, routes)): State<(Arc<Metrics>, Arc<RouteStore>)>,
) -> Result<String, axum::http::StatusCode> {
    let table = routes.table();
    metrics.render(table.version(), table.len()).map_err(|_| axum::http::StatusCode::INTERNAL_SERVER_ERROR)
}

async fn listen(address: SocketAddr) -> Result<Listener, ServerError> {
    Listener::bind(address).await.map_err(|source| ServerError::Listen { address, source })
}

fn address_of(address: std::io::Result<SocketAddr>, asked: SocketAddr) -> Result<SocketAddr, ServerError> {
    address.map_err(|source| ServerError::Listen { address: asked, source })
}
