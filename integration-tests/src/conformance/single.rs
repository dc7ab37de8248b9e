//! One request outside of any case.

use super::peer::{Peer, Protocol};
use super::request::{Body, Request};
use super::wire::{Seen, exchange};
use anyhow::Result;
use bytes::Bytes;

/// Sends one request as the peer's owner over the first of its protocols, the target exactly as written; answers the
/// status, or `None` when the connection ended without one.
///
/// # Errors
/// When the peer cannot be reached or does not answer in time.
pub async fn ask(peer: &Peer, method: &'static str, target: &str, body: Option<Bytes>) -> Result<Option<u16>> {
    let body = body.map_or(Body::None, Body::Sized);
    let request = Request::new(method, target).with(body);
    let protocol = peer.protocols.first().copied().unwrap_or(Protocol::Http1);
    Ok(match exchange(peer, &request, protocol).await? {
        Seen::Answer(answer) => Some(answer.status),
        Seen::Closed(_) => None,
    })
}
