//! One client's connection: HTTP/2 over TLS with its certificate, kept over requests, opened anew when the server ended it
//! in good order.
//!
//! A request that never left is sent again, as every client's library does. One that left and was not answered is a failure.

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longer than any fence may last: what takes longer than this is a failure.
const TIME_MAX: Duration = Duration::from_secs(60);

const ANSWER_BYTES_MAX: usize = 8 << 20;

/// How often a request may find its connection ended before it has left.
const OPENINGS_MAX: usize = 10;

type Body = Full<Bytes>;

/// GOAWAY in good order, received between the look at the connection and the first frame of the request: by the protocol the
/// server has not seen the request and never will. The library tells it apart in words only.
fn is_turned_away(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    cause.is_some_and(|cause| cause == "connection error received: not a result of an error")
}

/// Where to and as whom.
pub(super) struct Line {
    tls: TlsConnector,
    address: SocketAddr,
    server_name: String,
    bearer: Option<String>,
    sender: Option<SendRequest<Body>>,
}

impl Line {
    /// `certificate_pem` holds certificate and key of the client.
    pub(super) fn new(
        address: SocketAddr,
        server_name: &str,
        ca_pem: &str,
        certificate_pem: Option<&str>,
    ) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            roots.add(certificate.map_err(|error| anyhow!("the CA's PEM: {error}"))?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match certificate_pem {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
                let chain = chain.map_err(|error| anyhow!("the client's PEM: {error}"))?;
                let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| anyhow!("the key: {error}"))?;
                builder.with_client_auth_cert(chain, key)?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (tls, server_name) = (TlsConnector::from(Arc::new(config)), server_name.to_owned());
        Ok(Self { tls, address, server_name, bearer: None, sender: None })
    }

    /// With a token in each request.
    pub(super) fn bearer(self, token: &str) -> Self {
        Self { bearer: Some(format!("Bearer {token}")), ..self }
    }

    async fn open(&self) -> Result<SendRequest<Body>> {
        let tcp = TcpStream::connect(self.address).await.with_context(|| format!("connecting to {}", self.address))?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(self.server_name.clone()).context("the server's name")?;
        let stream = self.tls.connect(name, tcp).await.context("the TLS handshake")?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        // How it ends is seen by the request that is on its way then; without one it is no news.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    fn request(&self, method: &str, target: &str, body: Bytes) -> Result<http::Request<Body>> {
        let mut builder = http::Request::builder().method(method).uri(format!("https://{}{target}", self.server_name));
        if let Some(bearer) = &self.bearer {
            builder = builder.header("authorization", bearer);
        }
        Ok(builder.body(Full::new(body))?)
    }

    /// Sends one request and reads the answer to its end.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) async fn ask(&mut self, method: &str, target: &str, body: Bytes) -> Result<(u16, Bytes)> {
        let asked = tokio::time::timeout(TIME_MAX, self.send(method, target, body)).await;
        asked.with_context(|| format!("{method} {target}: no answer within {TIME_MAX:?}"))?
    }

    async fn send(&mut self, method: &str, target: &str, body: Bytes) -> Result<(u16, Bytes)> {
        let mut request = self.request(method, target, body.clone())?;
        for _opening in 0..OPENINGS_MAX {
            let mut sender = match self.sender.take() {
                Some(kept) if !kept.is_closed() => kept,
                _ => self.open().await?,
            };
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(answer) => {
                    let (head, said) = answer.into_parts();
                    let said = Limited::new(said, ANSWER_BYTES_MAX).collect().await;
                    let said = said.map_err(|error| anyhow!("{method} {target}: {error}"))?.to_bytes();
                    self.sender = Some(sender);
                    return Ok((head.status.as_u16(), said));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => {
                        let error = error.into_error();
                        if !is_turned_away(&error) {
                            return Err(error).with_context(|| format!("{method} {target}"));
                        }
                        request = self.request(method, target, body.clone())?;
                    }
                },
            }
        }
        bail!("{method} {target}: {OPENINGS_MAX} connections in a row were ended before it left")
    }
}
