//! Requests over TLS, with the bytes exactly as a case wants them.
//!
//! Each request has its own connection, so that what one leaves behind cannot colour the next. Times and sizes are
//! bounded. Whatever ends a connection without an answer is [`Seen::Closed`]; a peer that cannot be reached is an error.

use super::peer::{Access, Login, Peer, Protocol};
use super::request::{Body, Request};
use anyhow::{Context as _, Result, anyhow, ensure};
use base64::Engine as _;
use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full, Limited, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const TIME_MAX: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(super) struct Response {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Response {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What came of a request.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    /// An answer.
    Answer(Response),
    /// The peer ended the connection or the stream without one.
    Closed(String),
}

impl Seen {
    /// For the report.
    pub(super) fn short(&self) -> String {
        match self {
            Self::Answer(answer) => answer.status.to_string(),
            Self::Closed(_) => "closed".to_owned(),
        }
    }
}

/// The two kinds of trouble: the peer's answer, which a case judges, and ours, which ends the run.
enum Trouble {
    Closed(String),
    Ours(anyhow::Error),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Ours(error)
    }
}

fn closed(error: impl std::fmt::Display) -> Trouble {
    Trouble::Closed(error.to_string())
}

fn login_of(peer: &Peer, access: Access) -> Result<Login> {
    let wrong = |user: &str| Login::basic(user, "not the password");
    Ok(match access {
        Access::Owner => peer.owner.clone(),
        Access::Other => {
            peer.other.as_ref().map(|(_, login)| login.clone()).context("the peer has no other account")?
        }
        Access::Nobody => Login::default(),
        Access::Garbled => Login { basic: None, ..peer.owner.clone() },
        Access::WrongPassword => wrong(peer.owner.basic.as_ref().map_or("", |(user, _)| user)),
        Access::UnknownUser => wrong("nobody-knows-me"),
    })
}

fn authorization(access: Access, login: &Login) -> Option<String> {
    if access == Access::Garbled {
        return Some("Basic ?".to_owned());
    }
    let (user, password) = login.basic.as_ref()?;
    Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))))
}

fn tls_config(peer: &Peer, login: &Login, protocol: Protocol) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(peer.ca_pem.as_bytes()) {
        roots.add(certificate.map_err(|error| anyhow!("the CA's PEM: {error}"))?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match &login.certificate_pem {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
            let chain = chain.map_err(|error| anyhow!("the client's PEM: {error}"))?;
            let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| anyhow!("the key: {error}"))?;
            builder.with_client_auth_cert(chain, key)?
        }
    };
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![match protocol {
        Protocol::Http1 => b"http/1.1".to_vec(),
        Protocol::Http2 => b"h2".to_vec(),
    }];
    Ok(config)
}

async fn connect(peer: &Peer, login: &Login, protocol: Protocol) -> Result<TlsStream<TcpStream>, Trouble> {
    let config = tls_config(peer, login, protocol)?;
    let tcp = TcpStream::connect(peer.address).await.with_context(|| format!("connecting to {}", peer.address))?;
    tcp.set_nodelay(true).context("setting TCP_NODELAY")?;
    let name = ServerName::try_from(peer.server_name.clone()).context("the server's name")?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(closed)?;
    let negotiated = tls.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    if protocol == Protocol::Http2 && negotiated.as_deref() != Some(b"h2") {
        return Err(Trouble::Ours(anyhow!("{} does not speak HTTP/2: ALPN {negotiated:?}", peer.name)));
    }
    Ok(tls)
}

fn stream_of(chunks: Vec<Bytes>, broken: bool) -> BoxBody<Bytes, io::Error> {
    let end = broken.then(|| Err(io::Error::other("broken off on purpose")));
    let frames = chunks.into_iter().map(|chunk| Ok(Frame::data(chunk))).chain(end);
    StreamBody::new(stream::iter(frames.collect::<Vec<_>>())).boxed()
}

fn whole(bytes: Bytes) -> BoxBody<Bytes, io::Error> {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

fn http_request(
    peer: &Peer,
    request: &Request,
    authorization: Option<String>,
    protocol: Protocol,
) -> Result<http::Request<BoxBody<Bytes, io::Error>>> {
    let path: http::uri::PathAndQuery = request.target.parse().context("the target cannot be sent by a library")?;
    ensure!(path.as_str() == request.target, "the target would be changed on the way");
    let authority = format!("{}:{}", peer.server_name, peer.address.port());
    let mut builder = http::Request::builder().method(request.method);
    builder = match protocol {
        Protocol::Http1 => builder.uri(http::Uri::from(path)).header("host", authority),
        Protocol::Http2 => {
            builder.uri(http::Uri::builder().scheme("https").authority(authority).path_and_query(path).build()?)
        }
    };
    for (name, value) in &request.headers {
        builder = builder.header(*name, value);
    }
    if let Some(value) = authorization {
        builder = builder.header("authorization", value);
    }
    let body = match request.body.clone() {
        Body::None => Empty::new().map_err(|never| match never {}).boxed(),
        Body::Sized(bytes) => whole(bytes),
        Body::Unsized(chunks) => stream_of(chunks, false),
        Body::Broken(sent) => stream_of(vec![sent], true),
        Body::Short { announced, sent } => {
            builder = builder.header("content-length", announced);
            stream_of(vec![sent], false)
        }
    };
    Ok(builder.body(body)?)
}

async fn by_library(peer: &Peer, request: &Request, protocol: Protocol) -> Result<Response, Trouble> {
    let login = login_of(peer, request.access)?;
    let outgoing = http_request(peer, request, authorization(request.access, &login), protocol)?;
    let io = TokioIo::new(connect(peer, &login, protocol).await?);
    let (answer, driver) = match protocol {
        Protocol::Http1 => {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(closed)?;
            let driver = tokio::spawn(async move { connection.await.err() });
            (sender.send_request(outgoing).await, driver)
        }
        Protocol::Http2 => {
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
            let (mut sender, connection) = handshake.await.map_err(closed)?;
            let driver = tokio::spawn(async move { connection.await.err() });
            (sender.send_request(outgoing).await, driver)
        }
    };
    let read = async {
        let (parts, body) = answer.map_err(closed)?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(closed)?.to_bytes();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        Ok(Response { status: parts.status.as_u16(), headers, body })
    };
    let read = read.await;
    driver.abort();
    read
}

fn written_by_hand(peer: &Peer, request: &Request, authorization: Option<String>) -> Result<(Vec<u8>, bool)> {
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    text += &format!("host: {}:{}\r\nconnection: close\r\n", peer.server_name, peer.address.port());
    for (name, value) in &request.headers {
        text += &format!("{name}: {value}\r\n");
    }
    if let Some(value) = authorization {
        text += &format!("authorization: {value}\r\n");
    }
    let mut bytes = text.into_bytes();
    let ends_early = match &request.body {
        Body::None => {
            bytes.extend_from_slice(b"\r\n");
            false
        }
        Body::Short { announced, sent } => {
            bytes.extend_from_slice(format!("content-length: {announced}\r\n\r\n").as_bytes());
            bytes.extend_from_slice(sent);
            true
        }
        Body::Broken(sent) => {
            bytes.extend_from_slice(format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", sent.len()).as_bytes());
            bytes.extend_from_slice(sent);
            bytes.extend_from_slice(b"\r\n");
            true
        }
        Body::Sized(_) | Body::Unsized(_) => anyhow::bail!("a whole body needs no hand"),
    };
    Ok((bytes, ends_early))
}

/// An open connection on which the first part of an upload has been sent and no more.
pub(super) struct HalfUpload {
    stream: TlsStream<TcpStream>,
}

impl HalfUpload {
    pub(super) async fn begin(peer: &Peer, request: &Request) -> Result<Self> {
        let login = login_of(peer, request.access)?;
        let (bytes, _) = written_by_hand(peer, request, authorization(request.access, &login))?;
        let connected = tokio::time::timeout(TIME_MAX, connect(peer, &login, Protocol::Http1)).await?;
        let mut stream = match connected {
            Ok(stream) => stream,
            Err(Trouble::Ours(error)) => return Err(error),
            Err(Trouble::Closed(reason)) => return Err(anyhow!("closed: {reason}")),
        };
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        Ok(Self { stream })
    }

    /// Goes away without a word, as a client does that crashes.
    pub(super) fn vanish(self) {
        drop(self.stream);
    }
}

async fn by_hand(peer: &Peer, request: &Request) -> Result<Response, Trouble> {
    let login = login_of(peer, request.access)?;
    let (bytes, ends_early) = written_by_hand(peer, request, authorization(request.access, &login))?;
    let mut stream = connect(peer, &login, Protocol::Http1).await?;
    stream.write_all(&bytes).await.map_err(closed)?;
    stream.flush().await.map_err(closed)?;
    if ends_early {
        stream.shutdown().await.map_err(closed)?;
    }
    let mut answer = Vec::new();
    let read = (&mut stream).take(ANSWER_BYTES_MAX as u64).read_to_end(&mut answer).await;
    parse(&answer).ok_or_else(|| closed(read.err().map_or_else(|| "end of stream".to_owned(), |e| e.to_string())))
}

/// The answer as it stands: what follows the head is the body, whatever the head says about it.
fn parse(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&answer[..end]);
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers = lines.filter_map(header).collect();
    Some(Response { status, headers, body: Bytes::copy_from_slice(&answer[end + 4..]) })
}

/// Sends a request and reads the answer to its end.
pub(super) async fn exchange(peer: &Peer, request: &Request, protocol: Protocol) -> Result<Seen> {
    let by_hand_wanted = protocol == Protocol::Http1
        && (request.by_hand || matches!(request.body, Body::Short { .. } | Body::Broken(_)));
    let sent =
        async { if by_hand_wanted { by_hand(peer, request).await } else { by_library(peer, request, protocol).await } };
    match tokio::time::timeout(TIME_MAX, sent).await {
        Ok(Ok(answer)) => Ok(Seen::Answer(answer)),
        Ok(Err(Trouble::Closed(reason))) => Ok(Seen::Closed(reason)),
        Ok(Err(Trouble::Ours(error))) => Err(error),
        // Silence is no way to end: it never counts as a closed connection.
        Err(_) => Err(anyhow!("no answer to {} {} within {TIME_MAX:?}", request.method, request.target)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_as_it_stands() {
        let answer = parse(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\nextra").unwrap();
        assert_eq!((answer.status, answer.header("content-length")), (404, Some("0")));
        assert_eq!(answer.body.as_ref(), b"extra", "bytes after the head of an answer to HEAD must not go unseen");
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_none());
        assert!(parse(b"").is_none());
    }
}
