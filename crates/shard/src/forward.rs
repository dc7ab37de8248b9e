//! Forwarding: a shard that has handed a node to another one passes the node's late requests on to it.
//!
//! The way is the client listener of the new writer, under a name of its own ([`FORWARD_ALPN`]): TLS of the cluster on both
//! sides, HTTP/2 inside. A request keeps its method, path, query and end-to-end headers; its body is streamed. One more header
//! (`header`) says for which node it comes, under which token, after how many hops, and whether the client had shown old
//! credentials. The client was authenticated by the forwarding shard; what else a client's request has to pass, it passes at the
//! writer. A client's own header of that name is dropped.
//!
//! Life of a request: the gate gives an [`Onward`]; the request is sent over the one connection to that shard (`pool`), its
//! body lent (`lent`). As long as nothing of the body was taken, a failure costs nothing: the body comes back and the gate is
//! asked again, since the node may have come home meanwhile. After that, the client gets 503 and repeats.

mod header;
mod lent;
mod pool;

pub(crate) use header::{FORWARD, HOPS_MAX, Hop, strip};
pub(crate) use lent::Passage;

use crate::admission::Onward;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Uri, uri};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use lent::Lent;
use pool::Pool;
pub(crate) use pool::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};
use shardlift_pki::tls::{Credentials, TlsError};
use std::sync::Arc;
use std::time::Duration;

/// What a forwarding shard asks for in its TLS hello on another shard's client listener.
pub const FORWARD_ALPN: &[u8] = b"shardlift-forward/1";

/// Largest text of an error that is passed on, in bytes. Real ones have a line.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// Why a request could not be passed on. For the log: clients get 503.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// No connection.
    #[error("no connection to the writer")]
    Connect(#[from] TlsError),
    /// No connection.
    #[error("no connection to the writer")]
    Unreachable(#[source] std::io::Error),
    /// No connection in time.
    #[error("the writer was not connected to within {0:?}")]
    Timeout(Duration),
    /// Another request has just failed to connect.
    #[error("the writer could not be connected to a moment ago")]
    JustFailed,
    /// The other end speaks something else.
    #[error("the writer does not take forwarded requests")]
    OtherProtocol,
    /// The other end does not take this request from this shard.
    #[error("the writer refuses the forwarded request with status {0}")]
    Refused(StatusCode),
    /// The connection ended.
    #[error("the connection to the writer was lost")]
    Lost(#[from] hyper::Error),
    /// The connection ended and the client library said nothing of the request.
    #[error("the connection to the writer ended without an answer")]
    Unanswered,
    /// The text of an error did not arrive, or was too long.
    #[error("the writer's answer cannot be read")]
    Answer,
    /// Nothing is forwarded for this node any more.
    #[error("forwarding has ended")]
    Ended,
    /// The request cannot be written down for the writer.
    #[error("the request cannot be passed on")]
    Request(#[from] http::Error),
}

/// An answer of the writer.
pub(crate) enum Received {
    /// Of any length, on its way.
    Stream(Incoming),
    /// An error's text.
    Whole(Bytes),
}

/// Passes requests on.
#[derive(Debug)]
pub(crate) struct Forwarder {
    pool: Pool,
}

impl Forwarder {
    pub(crate) fn new(credentials: &Arc<Credentials>) -> Self {
        Self { pool: Pool::new(credentials) }
    }

    /// Passes a request on, once. Unless its answer is a success, the body is back in `body` when this returns: what has begun to read
    /// it gets an error, so that the request ends there, too.
    pub(crate) async fn send(
        &self,
        onward: &Onward,
        hop: &Hop,
        head: &Parts,
        body: &mut Passage,
    ) -> Result<Response<Received>, ForwardError> {
        let forward = onward.forward();
        let connected = async {
            let mut link = self.pool.link(&forward.shard, &forward.client_address).await?;
            // A connection that has ended is found here, before anything is taken from the client.
            link.sender.ready().await?;
            Ok::<_, ForwardError>(link)
        };
        let cancelled = onward.cancelled();
        let mut link = cancelled.run_until_cancelled(connected).await.unwrap_or(Err(ForwardError::Ended))?;
        let lent = body.lend();
        let request = request(head, hop, lent.clone())?;
        let answer = receive(link.sender.send_request(request));
        let answer = link.wait(answer);
        let answered = cancelled.run_until_cancelled(answer).await.unwrap_or(Err(ForwardError::Ended));
        if !answered.as_ref().is_ok_and(|answer| answer.status().is_success()) {
            body.recall(&lent);
        }
        answered
    }
}

/// The same request, for the writer.
fn request(head: &Parts, hop: &Hop, body: Lent) -> Result<Request<Lent>, ForwardError> {
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
    // HTTP/2 wants an authority; who is asked is decided by the connection.
    let uri = Uri::builder().scheme("https").authority("shardlift.invalid").path_and_query(path).build()?;
    let mut request = Request::builder().method(head.method.clone()).uri(uri).body(body)?;
    let mut headers = head.headers.clone();
    strip(&mut headers);
    for private in [http::header::AUTHORIZATION, http::header::HOST, http::header::EXPECT, FORWARD] {
        headers.remove(private);
    }
    headers.insert(FORWARD, HeaderValue::from_str(&hop.to_string()).map_err(http::Error::from)?);
    *request.headers_mut() = headers;
    Ok(request)
}

/// Waits for the answer; one that is an error is read to its end, so that the request's body can be taken back.
async fn receive(
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
) -> Result<Response<Received>, ForwardError> {
    let (mut head, body) = answer.await?.into_parts();
    if head.headers.contains_key(FORWARD) {
        return Err(ForwardError::Refused(head.status));
    }
    strip(&mut head.headers);
    if head.status.is_success() {
        return Ok(Response::from_parts(head, Received::Stream(body)));
    }
    let whole = Limited::new(body, ERROR_BYTES_MAX).collect().await.map_err(|_too_long_or_cut| ForwardError::Answer)?;
    Ok(Response::from_parts(head, Received::Whole(whole.to_bytes())))
}
