//! Requests that another shard forwards: which of them are taken.
//!
//! Default deny. The shard at the other end must be the one that the node was taken over from, and what it says of the request
//! must fit the request and the node. Everything after that is as if the client had come itself.

use super::answer::Reply;
use super::connection::Connection;
use super::path::Target;
use super::{Asked, Rest, row};
use crate::engine::{Mode, NodeSnapshot};
use crate::forward::{HOPS_MAX, Hop};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use shardlift_model::{NodeId, Peer, Role};

impl Rest {
    /// A forwarded request, if it is taken.
    pub(super) fn arrival(&self, connection: &Connection, request: &Request<Incoming>) -> Result<Asked, Reply> {
        let target = Target::parse(request.uri().path());
        let checked = self.checked(connection.peer(), target.as_ref(), Hop::read(request.headers()));
        let (known, hop) = checked.map_err(|(status, reason)| {
            tracing::warn!(peer = ?connection.peer(), status = status.as_u16(), reason, "a forwarded request is refused");
            self.metrics.refuse("forwarded");
            Reply::NotForwarded(status)
        })?;
        let target = target.ok_or(Reply::Nothing)?;
        if hop.legacy && known.settings.legacy_credentials_ended {
            return Err(self.unauthenticated());
        }
        let row = row(&target, request)?;
        let hop = Hop { hops: hop.hops + 1, ..hop };
        Ok(Asked { node: known.node, target, action: row.action, access: row.access(), hop })
    }

    /// The node and what is said of the request, or why it is not taken.
    fn checked(
        &self,
        peer: &Peer,
        target: Option<&Target>,
        hop: Option<Hop>,
    ) -> Result<(NodeSnapshot, Hop), (StatusCode, &'static str)> {
        let shard = peer.identity().filter(|identity| identity.role() == Role::Shard);
        let shard = shard.ok_or((StatusCode::FORBIDDEN, "the peer is no shard"))?;
        let hop = hop.ok_or((StatusCode::BAD_REQUEST, "the header cannot be meant"))?;
        if target.map(Target::node) != Some(&hop.node) {
            return Err((StatusCode::BAD_REQUEST, "the path is of another node"));
        }
        // Whether a node exists is not told to those who have nothing to do with it.
        let known = self.taken_over(&hop.node, shard.name());
        let known = known.ok_or((StatusCode::FORBIDDEN, "the node was not taken over from this shard"))?;
        // A shard that slept through a later move knows an older generation. Where this shard does not serve, the gate knows what
        // to do: a former writer that takes the node back learns of the next generation before this one does.
        let serves = matches!(known.mode, Mode::Serving | Mode::Fenced);
        if serves && hop.token.generation != known.generation {
            return Err((StatusCode::SERVICE_UNAVAILABLE, "forwarded under another generation"));
        }
        if hop.hops == 0 || hop.hops > HOPS_MAX {
            return Err((StatusCode::LOOP_DETECTED, "forwarded too often"));
        }
        Ok((known, hop))
    }

    fn taken_over(&self, node: &NodeId, from: &str) -> Option<NodeSnapshot> {
        let former = |known: &NodeSnapshot| known.taken_over_from.as_ref().is_some_and(|shard| shard.as_str() == from);
        self.engine.node(node).filter(former)
    }
}
