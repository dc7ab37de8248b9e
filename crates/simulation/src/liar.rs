//! A mutant of the protocol: a shard's control service that names a final state, and lets its clients in again at once. What a
//! fence is for is then not done, while all others do their part; the oracles must notice.
//!
//! Stands in front of the real service on a port of its own and passes everything else on, message by message.

use crate::ground::Ground;
use anyhow::{Context as _, Result};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming as Received};
use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use shardlift_api::v1;
use shardlift_model::Role;
use shardlift_net::Listener;
use shardlift_pki::tls::{ALPN_HTTP2, Expected, Incoming, channel, mutual_server_config};
use std::convert::Infallible;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::Service as _;

/// Where the liar listens.
pub const PORT: u16 = 9001;

/// Bytes before each message: a flag and its length.
const HEAD_BYTES: usize = 5;

/// Serves until its host dies.
///
/// # Errors
/// When it cannot listen.
pub async fn serve(ground: &Ground, shard: &'static str) -> Result<()> {
    let own = ground.credentials(Role::Shard, shard)?;
    let listener = Listener::bind(([0, 0, 0, 0], PORT).into()).await?;
    let mut incoming = Incoming::new(listener, mutual_server_config(&own, &[ALPN_HTTP2])?)?;
    let controller = ground.credentials(Role::Controller, crate::ground::CONTROLLERS[0])?;
    let truth = channel(&controller, &format!("{shard}:8001"), Expected::one(Role::Shard, shard));
    while let Some(connection) = incoming.next().await {
        let (connection, truth) = (connection?, truth.clone());
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| answer(truth.clone(), request));
            // A connection that breaks is made again by whoever needs it.
            drop(Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), service).await);
        });
    }
    Ok(())
}

async fn answer(truth: Channel, request: Request<Received>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let answered = match path.rsplit('/').next() {
        Some("Fence") => fence(truth, request).await,
        Some("RenewFence" | "Seal") => Ok(done(Bytes::new())),
        _ => pass_on(truth, request.map(Body::new)).await,
    };
    Ok(answered.unwrap_or_else(|error| {
        let mut refused = done(Bytes::new()).map(|_| Body::empty());
        let status = tonic::Status::unavailable(format!("{error:#}"));
        if status.add_header(refused.headers_mut()).is_err() {
            refused.headers_mut().insert("grpc-status", HeaderValue::from_static("14"));
        }
        refused
    }))
}

async fn pass_on(mut truth: Channel, request: Request<Body>) -> Result<Response<Body>> {
    std::future::poll_fn(|cx| truth.poll_ready(cx)).await?;
    Ok(truth.call(request).await?)
}

/// Fences truly, and takes the fence back before the answer is out.
async fn fence(truth: Channel, request: Request<Received>) -> Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let message = body.collect().await?.to_bytes();
    let asked = v1::FenceRequest::decode(message.get(HEAD_BYTES..).context("no message")?)?;
    let answer = pass_on(truth.clone(), Request::from_parts(head, Body::new(Full::new(message)))).await?;
    let back = v1::UnfenceRequest { node: asked.node, token: asked.token };
    v1::shard_control_client::ShardControlClient::new(truth).unfence(back).await?;
    Ok(answer)
}

/// A gRPC answer of one message.
fn done(message: Bytes) -> Response<Body> {
    let mut framed = BytesMut::with_capacity(HEAD_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(&message);
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let frames = [Frame::data(framed.freeze()), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::new(StreamBody::new(futures::stream::iter(frames))));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
