//! A shard as a process: configuration, listeners, orderly end.
//!
//! Start: certificates, store (which settles what a crash has left), replica jobs, then ports. End: no new connections, the
//! requests in progress may finish, then jobs and store are closed. A store that has stopped after a failed write ends the
//! process: only a restart reads back what is true.

mod clients;
mod config;
mod metrics_http;

pub use config::{ClientTimes, ShardConfig};
pub use shardlift_api::configuration::ConfigError;

use crate::auth::htpasswd::{HtpasswdError, Passwords};
use crate::control::{self, About};
use crate::engine::{Engine, EngineError};
use crate::forward::{FORWARD_ALPN, Forwarder};
use crate::metrics::Metrics;
use crate::replication::{self, ReplicaJobs, ReplicationCounters};
use crate::rest::{Connections, Rest};
use crate::session::Sessions;
use clients::Clients;
use shardlift_api::OBJECTS_ALPN;
use shardlift_api::fault::Fault;
use shardlift_api::policy::GuardLayer;
use shardlift_api::v1::replication_server::ReplicationServer;
use shardlift_custody::{KeepError, RevokedFiles};
use shardlift_model::Role;
use shardlift_net::Listener;
use shardlift_pki::tls::{
    ALPN_HTTP1, ALPN_HTTP2, ClientAuth as TlsClientAuth, CredentialError, Credentials, Incoming, ServerChain,
    ServerTls, TlsError, client_facing_config, mutual_server_config,
};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What clients may speak, best first. An upload costs a restic client less CPU time over HTTP/1.1 (ADR 15).
const CLIENT_PROTOCOLS: [&[u8]; 2] = [ALPN_HTTP1, ALPN_HTTP2];

/// How long requests in progress may go on after the end was asked for.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(30);

/// How often silent sessions are looked for, and hours are closed.
const SWEEP: Duration = Duration::from_secs(60);

/// What nodes do is written down with each of so many sweeps: what a crash may cost.
const SWEEPS_PER_SAVE: u32 = 5;

/// Largest gRPC message taken, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Why a shard does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Certificates or keys.
    #[error("the certificates cannot be used")]
    Credentials(#[from] CredentialError),
    /// The TLS library.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// The certificate is somebody else's.
    #[error("the certificate is that of {found}, but this is shard {expected} of cluster {cluster}")]
    OtherIdentity {
        /// What the certificate says.
        found: String,
        /// What the configuration says.
        expected: String,
        /// What the configuration says.
        cluster: String,
    },
    /// The password file.
    #[error(transparent)]
    Passwords(#[from] HtpasswdError),
    /// The store.
    #[error("the store cannot be used")]
    Engine(#[from] EngineError),
    /// The revocation lists.
    #[error("the revocation lists cannot be used")]
    Revoked(#[from] KeepError),
    /// Copies that were under way.
    #[error("copies that were under way cannot be resumed")]
    Replication(#[source] Fault),
    /// A listener.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A server ended by itself.
    #[error("the control listener failed")]
    Control(#[from] tonic::transport::Error),
    /// A server ended by itself.
    #[error("the metrics listener failed")]
    Metrics(#[source] std::io::Error),
    /// A write failed; nothing was acknowledged after it.
    #[error("the store stopped after a failed write; look at the disk, then start again")]
    StoreStopped,
}

/// A shard that is ready to run.
#[derive(Debug)]
pub struct Shard {
    config: ShardConfig,
    reloadable: Reloadable,
    revoked: Arc<RevokedFiles>,
    engine: Arc<Engine>,
    jobs: Arc<ReplicaJobs>,
    sessions: Arc<Sessions>,
    metrics: Arc<Metrics>,
    connections: Arc<Connections>,
}

/// What a signal makes a shard read again.
#[derive(Debug, Clone)]
pub struct Reloadable {
    credentials: Arc<Credentials>,
    client_chain: Option<Arc<ServerChain>>,
    passwords: Arc<Passwords>,
}

impl Reloadable {
    /// Reads certificates, keys, trust and passwords again. What cannot be used leaves the former in force.
    ///
    /// # Errors
    /// The first [`CredentialError`]; the passwords are read again in any case.
    pub fn reload(&self) -> Result<(), CredentialError> {
        self.passwords.reload();
        self.credentials.reload()?;
        self.client_chain.as_ref().map_or(Ok(()), |chain| chain.reload())
    }
}

/// The listeners of a running shard.
struct Listeners {
    clients: Listener,
    control: Listener,
    metrics: Option<TcpListener>,
}

impl Shard {
    /// Loads certificates and opens the store, which takes as long as listing all folders. Opens no port.
    ///
    /// # Errors
    /// [`ServerError`] says what to look at.
    pub async fn build(config: ShardConfig) -> Result<Self, ServerError> {
        let renewed = shardlift_custody::renewed_in(&config.engine.state);
        let credentials = Credentials::load_renewable(config.credentials.clone(), renewed)?;
        let identity = credentials.identity();
        let is_own = identity.role() == Role::Shard && identity.name() == config.name.as_str();
        if !is_own || identity.cluster != config.cluster {
            return Err(ServerError::OtherIdentity {
                found: identity.to_uri(),
                expected: config.name.to_string(),
                cluster: config.cluster.to_string(),
            });
        }
        let chain = config.client_chain.clone();
        let client_chain = chain.map(|(certificate, key)| ServerChain::load(certificate, key)).transpose()?;
        let passwords = Arc::new(Passwords::open(config.htpasswd.clone())?);
        // First what is quick: a store that was opened and not closed in good order is compared file by file next time.
        let revoked = RevokedFiles::open(&credentials, &config.engine.state)?;
        let engine = Engine::open(config.engine.clone()).await?;
        let jobs = ReplicaJobs::new(&engine, &passwords, &credentials);
        Ok(Self {
            config,
            reloadable: Reloadable { credentials, client_chain, passwords },
            revoked,
            engine,
            jobs,
            sessions: Arc::default(),
            metrics: Arc::default(),
            connections: Arc::default(),
        })
    }

    /// What is to be read again on a signal.
    #[must_use]
    pub fn reloadable(&self) -> Reloadable {
        self.reloadable.clone()
    }

    /// Serves until `shutdown`. `announce` is told each listener's name and address once it accepts.
    ///
    /// # Errors
    /// [`ServerError`] when a listener cannot be opened or fails, or when the store stops.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send,
        announce: impl Fn(&str, SocketAddr),
    ) -> Result<(), ServerError> {
        let listeners = self.listen().await?;
        let about = self.announce(&listeners, announce)?;
        self.jobs.resume().await.map_err(ServerError::Replication)?;
        let stop = CancellationToken::new();
        let store_stopped = self.engine.stopped();
        let clients = tokio::spawn(self.clients()?.serve(listeners.clients, stop.clone()));
        let serving = async {
            let served = tokio::try_join!(
                self.serve_control(listeners.control, about, &stop),
                self.serve_metrics(listeners.metrics, &stop),
                self.sweep(&stop),
            );
            stop.cancel();
            served
        };
        let stopping = async {
            let ended = tokio::select! {
                () = shutdown => Ok(()),
                () = store_stopped.cancelled() => Err(ServerError::StoreStopped),
                () = stop.cancelled() => Ok(()),
            };
            stop.cancel();
            ended
        };
        let (served, stopped) = tokio::join!(serving, stopping);
        if tokio::time::timeout(DRAIN_TIME_MAX, clients).await.is_err() {
            tracing::warn!("client requests were cut off at the end");
        }
        self.jobs.close().await;
        let closed = self.engine.close().await;
        stopped?;
        served?;
        Ok(closed?)
    }

    async fn listen(&self) -> Result<Listeners, ServerError> {
        let metrics = match self.config.metrics_listen {
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                Some(bound.map_err(|source| ServerError::Listen { address, source })?)
            }
            None => None,
        };
        let clients = bind(self.config.client_listen).await?;
        Ok(Listeners { clients, control: bind(self.config.control_listen).await?, metrics })
    }

    fn announce(&self, listeners: &Listeners, announce: impl Fn(&str, SocketAddr)) -> Result<About, ServerError> {
        let clients = address_of(listeners.clients.local_addr())?;
        let control = address_of(listeners.control.local_addr())?;
        announce("client", clients);
        announce("control", control);
        if let Some(listener) = &listeners.metrics {
            announce("metrics", address_of(listener.local_addr())?);
        }
        Ok(About {
            shard: self.config.name.clone(),
            client_address: self.config.client_address.clone().unwrap_or_else(|| clients.to_string()),
            peer_address: self.config.peer_address.clone().unwrap_or_else(|| control.to_string()),
            load_capacity: self.config.load_capacity,
        })
    }

    fn mutual(&self, alpn: &[&[u8]]) -> Result<ServerTls, TlsError> {
        mutual_server_config(&self.reloadable.credentials, alpn)
    }

    fn clients(&self) -> Result<Clients, ServerError> {
        use crate::auth::ClientAuth;
        let required = match self.config.client_auth {
            ClientAuth::Certificate | ClientAuth::Both => TlsClientAuth::Required,
            ClientAuth::Password | ClientAuth::Either => TlsClientAuth::Optional,
        };
        let Reloadable { credentials, client_chain, passwords } = self.reloadable.clone();
        let rest = Rest {
            engine: self.engine.clone(),
            mode: self.config.client_auth,
            passwords,
            sessions: self.sessions.clone(),
            metrics: self.metrics.clone(),
            connections: self.connections.clone(),
            forwarder: Forwarder::new(&credentials),
            create_nodes: self.config.create_nodes,
            body_idle_max: self.config.client_times.body_idle,
        };
        Ok(Clients {
            rest: Arc::new(rest),
            engine: self.engine.clone(),
            shard: self.config.name.clone(),
            http: client_facing_config(&credentials, required, client_chain, &CLIENT_PROTOCOLS)?,
            mutual: self.mutual(&[shardlift_api::PROBE_ALPN, FORWARD_ALPN])?,
            connections_max: self.config.client_connections_max,
            times: self.config.client_times,
        })
    }

    async fn serve_control(
        &self,
        listener: Listener,
        about: About,
        stop: &CancellationToken,
    ) -> Result<(), ServerError> {
        let address = self.config.control_listen;
        let incoming = Incoming::new(listener, self.mutual(&[ALPN_HTTP2, OBJECTS_ALPN])?)
            .map_err(|source| ServerError::Listen { address, source })?;
        let connections = self.connections.clone();
        let count = Arc::new(move |node: &shardlift_model::NodeId| connections.of(node));
        let counters = Arc::new(ReplicationCounters::default());
        let control = control::service(about, &self.engine, &self.jobs, count, &self.revoked);
        let serving = replication::serving(&self.engine, &self.reloadable.passwords, &counters, stop);
        let incoming = serving.take_streams(incoming);
        let replication = ReplicationServer::new(serving);
        tonic::transport::Server::builder()
            .layer(GuardLayer)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .concurrency_limit_per_connection(256)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            .add_service(control.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(shardlift_custody::service(&self.reloadable.credentials))
            .add_service(replication.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned())
            .await?;
        Ok(())
    }

    async fn serve_metrics(&self, listener: Option<TcpListener>, stop: &CancellationToken) -> Result<(), ServerError> {
        let Some(listener) = listener else {
            stop.cancelled().await;
            return Ok(());
        };
        metrics_http::serve(listener, self.engine.clone(), self.metrics.clone(), stop.clone())
            .await
            .map_err(ServerError::Metrics)
    }

    /// Ends sessions that nothing is heard of, and closes the hours that are over.
    async fn sweep(&self, stop: &CancellationToken) -> Result<(), ServerError> {
        let mut sweeps = 0_u32;
        while stop.run_until_cancelled(tokio::time::sleep(SWEEP)).await.is_some() {
            sweeps = sweeps.wrapping_add(1);
            self.engine.advance_activities(crate::engine::now());
            if sweeps.is_multiple_of(SWEEPS_PER_SAVE)
                && let Err(error) = self.engine.save_activities().await
            {
                tracing::warn!(%error, "what nodes do could not be written down");
            }
            for (node, record) in self.sessions.end_idle(crate::engine::now()) {
                if let Err(error) = self.engine.record_session(&node, record).await {
                    tracing::warn!(%node, %error, "a session could not be recorded");
                }
            }
        }
        Ok(())
    }
}

async fn bind(address: SocketAddr) -> Result<Listener, ServerError> {
    Listener::bind(address).await.map_err(|source| ServerError::Listen { address, source })
}

fn address_of(address: std::io::Result<SocketAddr>) -> Result<SocketAddr, ServerError> {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    address.map_err(|source| ServerError::Listen { address: unknown, source })
}
