//! Connections to other parts of the cluster: by what they are, not by where they are.
//!
//! A server is believed when the cluster's roots verify its chain and its identity is the expected one. The host name is
//! sent along but proves nothing: parts may move between hosts.

use super::credentials::Credentials;
use super::error::{TlsError, readable};
use super::verifier::{Checked, ServerCheck, refused, refused_by_trust};
use crate::clock::{time_provider, unix_millis};
use crate::provider::provider;
use hyper_util::rt::TokioIo;
use rustls::client::{ResolvesClientCert, Resumption, WantsClientCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use shardlift_model::{Identity, Role};
use shardlift_net::Stream;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

/// How long a connection may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longer than any run of a simulation takes.
const RESET_REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// How often an HTTP/2 connection is asked whether it still lives, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Who should be at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// What it must be.
    pub role: Role,
    /// Which one it must be; any of the role when `None`.
    pub name: Option<String>,
}

impl Expected {
    /// Any part of a role.
    #[must_use]
    pub const fn any(role: Role) -> Self {
        Self { role, name: None }
    }

    /// One part.
    #[must_use]
    pub fn one(role: Role, name: impl Into<String>) -> Self {
        Self { role, name: Some(name.into()) }
    }

    pub(super) fn require(&self, identity: &Identity) -> Result<(), rustls::Error> {
        if identity.role() == self.role && self.name.as_deref().is_none_or(|name| name == identity.name()) {
            return Ok(());
        }
        Err(refused(SomebodyElse { found: identity.to_string(), expected: self.clone() }))
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} {name}", self.role),
            None => write!(f, "a {}", self.role),
        }
    }
}

/// The server is somebody else.
#[derive(Debug, thiserror::Error)]
#[error("the server is {found}, expected was {expected}")]
struct SomebodyElse {
    found: String,
    expected: Expected,
}

/// A gRPC channel to a part. Connects when it is first used and again when the connection breaks; each time with the
/// credentials as of then. `address` is `host:port`; one that is not fails at the first use.
#[must_use]
pub fn channel(credentials: &Arc<Credentials>, address: &str, expected: Expected) -> Channel {
    lazy_channel(address.to_owned(), configure(credentials, expected, &[super::ALPN_HTTP2]))
}

/// TLS on a stream that is connected already. `server_name` is what the hello says, for routers to read.
///
/// # Errors
/// [`TlsError`] says how far it got.
pub async fn connect(
    credentials: &Arc<Credentials>,
    stream: impl Into<Stream>,
    server_name: &str,
    expected: Expected,
    alpn: &[&[u8]],
) -> Result<TlsStream<Stream>, TlsError> {
    let config = Arc::new(client_config(credentials, expected, alpn)?);
    start_tls(stream.into(), server_name, config).await
}

/// A connection to a part that reads up to `read_bytes` at once from its socket (the TLS library itself reads 4 KiB at a time), for
/// those who take much. `address` is `host:port`.
///
/// # Errors
/// [`TlsError`] says how far it got.
pub async fn dial(
    credentials: &Arc<Credentials>,
    address: &str,
    expected: Expected,
    alpn: &[u8],
    read_bytes: usize,
) -> Result<TlsStream<BufReader<Stream>>, TlsError> {
    let config = Arc::new(client_config(credentials, expected, &[alpn])?);
    open(address, config, |stream| BufReader::with_capacity(read_bytes, stream)).await
}

/// The configuration behind [`channel`] and [`connect`], for clients that make their own connections.
///
/// # Errors
/// [`TlsError::Configuration`] when the TLS library refuses.
pub fn client_config(
    credentials: &Arc<Credentials>,
    expected: Expected,
    alpn: &[&[u8]],
) -> Result<ClientConfig, TlsError> {
    configure(credentials, expected, alpn).map_err(TlsError::Configuration)
}

fn configure(
    credentials: &Arc<Credentials>,
    expected: Expected,
    alpn: &[&[u8]],
) -> Result<ClientConfig, rustls::Error> {
    let builder = checked_by(MemberVerifier { credentials: credentials.clone(), expected })?;
    let mut config = builder.with_client_cert_resolver(Arc::new(OwnCertificate(credentials.clone())));
    finish(&mut config, alpn);
    Ok(config)
}

pub(super) type Builder = rustls::ConfigBuilder<ClientConfig, WantsClientCert>;

pub(super) fn checked_by(check: impl ServerCheck + 'static) -> Result<Builder, rustls::Error> {
    let builder = ClientConfig::builder_with_details(provider(), time_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(Checked(check))))
}

pub(super) fn finish(config: &mut ClientConfig, alpn: &[&[u8]]) {
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    // A resumed session would skip the verifier.
    config.resumption = Resumption::disabled();
}

pub(super) fn lazy_channel(address: String, config: Result<ClientConfig, rustls::Error>) -> Channel {
    let target = Arc::new((address, config.map(Arc::new)));
    let connector = tower::service_fn(move |_: http::Uri| {
        let target = target.clone();
        async move {
            let (address, config) = &*target;
            let config = config.clone().map_err(TlsError::Configuration)?;
            open(address, config, std::convert::identity).await.map(TokioIo::new)
        }
    });
    // The URI is only what HTTP/2 needs to have; where the connection goes is the connector's business.
    let mut endpoint = Endpoint::from_static("http://shardlift.invalid");
    if shardlift_net::is_simulated() {
        // How long a request that was given up is remembered goes by the system's clock, which no simulation has: always, then.
        endpoint = endpoint.http2_reset_stream_duration(RESET_REMEMBERED);
    }
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(connector)
}

async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    address: &str,
    config: Arc<ClientConfig>,
    wrap: impl FnOnce(Stream) -> S,
) -> Result<TlsStream<S>, TlsError> {
    let host = host_of(address)?;
    let connecting = async {
        let connected = Stream::connect(address).await;
        let nodelay = connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = nodelay.map_err(|source| TlsError::Connect { address: address.to_owned(), source })?;
        start_tls(wrap(stream), host, config).await
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(result) => result,
        Err(_elapsed) => Err(TlsError::Timeout { address: address.to_owned(), limit: CONNECT_TIMEOUT }),
    }
}

fn host_of(address: &str) -> Result<&str, TlsError> {
    let bad = || TlsError::Address(address.to_owned());
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    port.parse::<u16>().map_err(|_| bad())?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() { Err(bad()) } else { Ok(host) }
}

async fn start_tls<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    server_name: &str,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<S>, TlsError> {
    let name = ServerName::try_from(server_name.to_owned()).map_err(|_| TlsError::Address(server_name.to_owned()))?;
    let address = server_name.to_owned();
    let connected = TlsConnector::from(config).connect(name, stream).await;
    connected.map_err(|source| TlsError::Handshake { address, source: readable(source) })
}

/// The own certificate as of now, whatever the server hints at.
#[derive(Debug)]
struct OwnCertificate(Arc<Credentials>);

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _root_hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.loaded().key.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct MemberVerifier {
    credentials: Arc<Credentials>,
    expected: Expected,
}

impl ServerCheck for MemberVerifier {
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let trust = self.credentials.cluster_trust();
        let identity = trust.cluster.server_identity(leaf, rest, unix_millis(now)).map_err(refused_by_trust)?;
        self.expected.require(&identity)
    }
}
