//! One client's connection to its repository: HTTP/1.1 over TLS with its certificate, through the router by its server name, kept
//! over requests and opened anew when it has ended.

use anyhow::{Context as _, Result, anyhow};
use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body_util::{BodyExt as _, Limited, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError};
use shardlift_net::Stream;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_rustls::TlsConnector;

/// Longer than any fence lasts; whoever hears nothing for so long does not know.
const TIME_MAX: Duration = Duration::from_secs(40);

const ANSWER_BYTES_MAX: usize = 8 << 20;

type Body = BoxBody<Bytes, Infallible>;

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A status and a body.
    Status(u16, Bytes),
    /// The request never left.
    Unsent,
    /// Nor did this: a certificate was not valid at that time.
    Refused(Clock),
    /// It left, and nobody knows.
    Unknown,
}

/// Whose certificate was refused for the time that a clock has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The server's, by this client.
    OfServer,
    /// This client's, by the server.
    OfClient,
}

/// Whether a connection failed because of somebody's clock.
fn refused_by_clock(error: &(dyn std::error::Error + 'static)) -> Option<Clock> {
    let mut causes = std::iter::successors(Some(error), |cause| cause.source());
    let io: &std::io::Error = causes.find_map(|cause| cause.downcast_ref())?;
    match io.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => Some(Clock::OfServer),
        rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => Some(Clock::OfClient),
        _ => None,
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The method.
    pub method: &'static str,
    /// The path below the repository.
    pub path: String,
    /// The body.
    pub body: Bytes,
    /// In how many pieces the body is sent, and how long the client takes between two.
    pub pieces: (usize, Duration),
}

impl Question {
    /// A request without a body.
    #[must_use]
    pub fn plain(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: Bytes::new(), pieces: (1, Duration::ZERO) }
    }

    /// The body, piece by piece.
    fn stream(&self) -> Body {
        let (count, pause) = self.pieces;
        let size = self.body.len().div_ceil(count.max(1)).max(1);
        let pieces: Vec<Bytes> = self.body.chunks(size).map(Bytes::copy_from_slice).collect();
        let paced = stream::unfold((pieces.into_iter(), true), move |(mut pieces, first)| async move {
            let piece = pieces.next()?;
            if !first {
                tokio::time::sleep(pause).await;
            }
            Some((Ok::<_, Infallible>(Frame::data(piece)), (pieces, false)))
        });
        BoxBody::new(StreamBody::new(Box::pin(paced)))
    }
}

/// Where to and as whom.
pub struct Line {
    tls: TlsConnector,
    address: String,
    server_name: String,
    node: String,
    sender: Option<SendRequest<Body>>,
    /// A server has refused the own certificate for the time that its clock has shown.
    refused: Arc<AtomicBool>,
}

impl Line {
    /// A connection that is made when it is first needed.
    ///
    /// # Errors
    /// When the certificate or the CA's is not usable.
    pub fn new(address: &str, server_name: &str, node: &str, ca_pem: &str, chain: &str, key: &str) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            roots.add(certificate.map_err(|error| anyhow!("the CA's PEM: {error}"))?)?;
        }
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
        let chain = chain.map_err(|error| anyhow!("the client's PEM: {error}"))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| anyhow!("the key: {error}"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_details(provider, shardlift_pki::time_provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let [address, server_name, node] = [address, server_name, node].map(str::to_owned);
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            address,
            server_name,
            node,
            sender: None,
            refused: Arc::default(),
        })
    }

    /// Whether a server has refused the own certificate since this was asked last, for the time that its clock has shown.
    pub fn was_refused(&self) -> bool {
        self.refused.swap(false, Ordering::SeqCst)
    }

    /// Ends the connection: the next request goes where the router leads by then.
    pub fn hang_up(&mut self) {
        self.sender = None;
    }

    async fn open(&self) -> Result<SendRequest<Body>> {
        let stream = Stream::connect(&self.address).await.context("connecting")?;
        let name = ServerName::try_from(self.server_name.clone()).context("the server's name")?;
        let stream = self.tls.connect(name, stream).await.context("the handshake")?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let refused = self.refused.clone();
        // How it ends is seen by the request that is on its way then; without one it is no news. In TLS 1.3 a server judges its
        // client after the client's own handshake is over.
        tokio::spawn(async move {
            if connection.await.is_err_and(|error| refused_by_clock(&error) == Some(Clock::OfClient)) {
                refused.store(true, Ordering::SeqCst);
            }
        });
        Ok(sender)
    }

    /// Sends one request and reads the answer to its end.
    pub async fn ask(&mut self, question: &Question) -> Answer {
        let mut sender = match self.sender.take() {
            Some(kept) if !kept.is_closed() => kept,
            _ => match tokio::time::timeout(TIME_MAX, self.open()).await {
                Ok(Ok(sender)) => sender,
                Ok(Err(error)) => return refused_by_clock(error.as_ref()).map_or(Answer::Unsent, Answer::Refused),
                Err(_elapsed) => return Answer::Unsent,
            },
        };
        let request = http::Request::builder()
            .method(question.method)
            .uri(format!("/{}/{}", self.node, question.path))
            .header("host", &self.server_name)
            .header("accept", "application/vnd.x.restic.rest.v2")
            .header("content-length", question.body.len())
            .body(question.stream());
        let Ok(request) = request else { return Answer::Unsent };
        let sending = async {
            if sender.ready().await.is_err() {
                return Answer::Unsent;
            }
            let (head, body) = match sender.try_send_request(request).await {
                Ok(answer) => answer.into_parts(),
                Err(mut error) => {
                    return if error.take_message().is_some() { Answer::Unsent } else { Answer::Unknown };
                }
            };
            match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
                Ok(body) => Answer::Status(head.status.as_u16(), body.to_bytes()),
                Err(_) => Answer::Unknown,
            }
        };
        let answer = tokio::time::timeout(TIME_MAX, sending).await.unwrap_or(Answer::Unknown);
        if matches!(answer, Answer::Status(..)) {
            self.sender = Some(sender);
        }
        answer
    }
}

/// Bytes that nobody else has, from dice.
pub fn bytes(dice: &mut impl rand::RngCore, length: usize) -> Bytes {
    let mut bytes = BytesMut::zeroed(length);
    dice.fill_bytes(&mut bytes);
    bytes.freeze()
}
