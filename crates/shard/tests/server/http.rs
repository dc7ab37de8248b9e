//! A backup client's side of the wire: one TLS connection with HTTP/1.1 or HTTP/2 on it.

use crate::world::{Pair, Running, World, path_of};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) type Body = BoxBody<Bytes, Infallible>;

/// No answer takes longer in a test that goes well.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a request may still take to notice that its connection has ended.
const END_NOTICE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

pub(crate) const BOTH: [Version; 2] = [Version::Http1, Version::Http2];

impl Version {
    pub(crate) const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// One connection.
pub(crate) struct Http {
    sender: Sender,
    connection: JoinHandle<hyper::Result<()>>,
    /// Cancelled when the connection has ended.
    over: CancellationToken,
    /// What the server showed.
    pub(crate) server_leaf: CertificateDer<'static>,
}

/// Why nothing came back.
#[derive(Debug)]
pub(crate) enum Failed {
    Hyper(hyper::Error),
    /// The connection ended, and hyper's client said nothing of the request: so it does now and then when a request crosses a GOAWAY.
    Forgotten,
}

impl From<hyper::Error> for Failed {
    fn from(error: hyper::Error) -> Self {
        Self::Hyper(error)
    }
}

impl Failed {
    /// Not sent at all, or said by a GOAWAY not to have been looked at, or lost with a connection that ended in good order: every HTTP/2
    /// client sends such a request again.
    pub(crate) fn was_left_out(&self) -> bool {
        let Self::Hyper(error) = self else { return true };
        let h2 = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
        let led_away = |h2: &h2::Error| h2.is_go_away() && h2.is_remote() && h2.reason() == Some(h2::Reason::NO_ERROR);
        error.is_canceled() || error.is_closed() || h2.is_some_and(led_away)
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

/// TLS as a client does it that shows a certificate or none.
pub(crate) async fn tls(
    world: &World,
    address: SocketAddr,
    shows: Option<&Pair>,
    alpn: &[u8],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    for root in shardlift_pki::certificates_in(&world.ca_pem()).unwrap() {
        roots.add(root).unwrap();
    }
    let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
    let mut config = match shows {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let key = PrivateKeyDer::from_pem_slice(pair.key.expose().as_bytes()).unwrap();
            builder.with_client_auth_cert(shardlift_pki::certificates_in(&pair.chain).unwrap(), key).unwrap()
        }
    };
    config.alpn_protocols = if alpn.is_empty() { Vec::new() } else { vec![alpn.to_vec()] };
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// A connection to its end, which is told by dropping `end`.
async fn until(connection: impl Future<Output = hyper::Result<()>>, end: DropGuard) -> hyper::Result<()> {
    let ended = connection.await;
    drop(end);
    ended
}

impl Http {
    pub(crate) async fn open(
        world: &World,
        shard: &Running,
        shows: Option<&Pair>,
        version: Version,
    ) -> io::Result<Self> {
        Self::open_as(world, shard.clients, shows, version, version.alpn()).await
    }

    /// Under any name that a hello may ask for.
    pub(crate) async fn open_as(
        world: &World,
        address: SocketAddr,
        shows: Option<&Pair>,
        version: Version,
        alpn: &[u8],
    ) -> io::Result<Self> {
        let stream = tls(world, address, shows, alpn).await?;
        let server_leaf = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
        let io = TokioIo::new(stream);
        let over = CancellationToken::new();
        let end = over.clone().drop_guard();
        let (sender, connection) = match version {
            Version::Http1 => {
                let (sender, connection) = http1::handshake(io).await.map_err(io::Error::other)?;
                (Sender::Http1(sender), tokio::spawn(until(connection, end)))
            }
            Version::Http2 => {
                let shaken = http2::handshake(TokioExecutor::new(), io).await;
                let (sender, connection) = shaken.map_err(io::Error::other)?;
                (Sender::Http2(sender), tokio::spawn(until(connection, end)))
            }
        };
        Ok(Self { sender, connection, over, server_leaf })
    }

    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<Reply, Failed> {
        let said = format!(
            "{method} {path} over {}",
            if matches!(self.sender, Sender::Http1(_)) { "HTTP/1.1" } else { "HTTP/2" }
        );
        let uri = match self.sender {
            Sender::Http1(_) => path.to_owned(),
            Sender::Http2(_) => format!("https://localhost{path}"),
        };
        let mut request = hyper::Request::builder().method(method).uri(uri);
        if matches!(self.sender, Sender::Http1(_)) {
            request = request.header("host", "localhost");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let exchange = async {
            let answer = match &mut self.sender {
                Sender::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
                Sender::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
            };
            let (head, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
        };
        let exchange = tokio::time::timeout(ANSWER_TIME_MAX, exchange);
        tokio::pin!(exchange);
        let answered = tokio::select! {
            biased;
            answered = &mut exchange => answered,
            () = self.over.cancelled() => match tokio::time::timeout(END_NOTICE, exchange).await {
                Ok(answered) => answered,
                Err(_elapsed) => return Err(Failed::Forgotten),
            },
        };
        answered.unwrap_or_else(|_elapsed| panic!("{said}: no answer within {ANSWER_TIME_MAX:?}"))
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Reply, Failed> {
        self.send("GET", path, &[], whole(b"")).await
    }

    pub(crate) async fn post(&mut self, path: &str, bytes: &[u8]) -> Result<Reply, Failed> {
        self.send("POST", path, &[], whole(bytes)).await
    }

    /// Waits until the server has ended the connection.
    pub(crate) async fn ended(self) {
        // HTTP/2 connections end with the last sender, HTTP/1 ones would not: so the sender is kept until then.
        let Self { sender, connection, .. } = self;
        // How it ended is the protocol's affair: a close, a GOAWAY, or a reset.
        let _ended = tokio::time::timeout(ANSWER_TIME_MAX, connection).await.expect("the connection ends").unwrap();
        drop(sender);
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.connection.is_finished()
    }
}

/// The status of one request on a connection of its own; `None` when the connection was refused.
pub(crate) async fn status(
    world: &World,
    shard: &Running,
    shows: Option<&Pair>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Option<u16> {
    let mut http = Http::open(world, shard, shows, Version::Http1).await.ok()?;
    // With TLS 1.3 a client learns only here that its certificate was refused.
    http.send(method, path, headers, whole(b"")).await.ok().map(|reply| reply.status)
}

pub(crate) fn whole(bytes: &[u8]) -> Body {
    Full::new(Bytes::copy_from_slice(bytes)).boxed()
}

/// A body that comes piece by piece and ends with its sender.
pub(crate) fn pieces() -> (mpsc::Sender<Bytes>, Body) {
    use tokio_stream::StreamExt as _;
    let (sender, receiver) = mpsc::channel(4);
    let frames = tokio_stream::wrappers::ReceiverStream::new(receiver).map(|piece| Ok(Frame::data(piece)));
    (sender, BodyExt::boxed(StreamBody::new(frames)))
}

/// Its body, and what becomes of it.
pub(crate) type Upload = (mpsc::Sender<Bytes>, JoinHandle<Result<Reply, Failed>>);

/// An upload that has begun and goes on for as long as the test likes.
pub(crate) async fn begun(
    world: &World,
    shard: &Running,
    client: &Pair,
    version: Version,
    bytes: &'static [u8],
) -> Upload {
    let mut http = Http::open(world, shard, Some(client), version).await.unwrap();
    let (sender, body) = pieces();
    sender.send(Bytes::copy_from_slice(&bytes[..3])).await.unwrap();
    (sender, tokio::spawn(async move { http.send("POST", &path_of("data", bytes), &[], body).await }))
}
