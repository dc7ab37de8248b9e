//! Client connections: who is at the other end, which node each one works for, and when it should end.

use crate::admission::Admission;
use crate::admission::readmission::Newcomer;
use shardlift_model::{NodeId, Peer};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// One client connection.
#[derive(Debug)]
pub(crate) struct Connection {
    peer: Peer,
    /// At the other end is a shard that forwards what its clients ask.
    forwarded: bool,
    closing: CancellationToken,
    bound: watch::Sender<Option<Arc<Bound>>>,
    used: CancellationToken,
    newcomer: Newcomer,
}

impl Connection {
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            peer,
            forwarded: false,
            closing: CancellationToken::new(),
            bound: watch::Sender::new(None),
            used: CancellationToken::new(),
            newcomer: Newcomer::default(),
        }
    }

    /// A connection on which a shard forwards the requests of many clients.
    pub(crate) fn of_shard(peer: Peer) -> Self {
        Self { forwarded: true, newcomer: Newcomer::known(), ..Self::new(peer) }
    }

    /// Whether a shard forwards here what its clients ask.
    pub(crate) const fn is_forwarded(&self) -> bool {
        self.forwarded
    }

    /// Who is at the other end.
    pub(crate) const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether it has been let in. What a shard forwards comes from clients that were.
    pub(crate) const fn newcomer(&self) -> &Newcomer {
        &self.newcomer
    }

    /// Lets requests in progress end and takes no more: `Connection: close`, or GOAWAY in HTTP/2. The client connects
    /// anew and is routed anew. What a shard forwards belongs to many clients, so its connection stays.
    pub(crate) fn close_soon(&self) {
        if !self.forwarded {
            self.closing.cancel();
        }
    }

    /// Comes back when the connection should end: after an answer that said so, or once its node's clients are sent away. One
    /// that can be told so without a request (`goaway`) also ends when requests have been forwarded for long enough; any other
    /// is told with its next answer, since a client that is just sending would take the end for an error.
    pub(crate) async fn closing(&self, admission: &Admission, goaway: bool) {
        let away = async {
            let bound = self.bound.subscribe().wait_for(Option::is_some).await.ok().and_then(|bound| bound.clone());
            match bound {
                Some(bound) => admission.sent_away(&bound.node, goaway).await,
                // The sender lives as long as this connection.
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.closing.cancelled() => {}
            () = away => {}
        }
    }

    /// Notes that a request has come.
    pub(crate) fn used(&self) {
        self.used.cancel();
    }

    /// Comes back when no request has come for so long; never once one has.
    pub(crate) async fn unused_for(&self, time: Duration) {
        if tokio::time::timeout(time, self.used.cancelled()).await.is_ok() {
            std::future::pending().await
        }
    }

    /// Counts the connection for the first node that it proves to own. A shard owns none.
    pub(crate) fn bind(&self, connections: &Arc<Connections>, node: &NodeId) {
        if self.forwarded {
            return;
        }
        self.bound.send_if_modified(|bound| {
            let new = bound.is_none();
            if new {
                *bound = Some(Arc::new(connections.bind(node)));
            }
            new
        });
    }
}

/// The open connections of each node.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Mutex<BTreeMap<NodeId, u64>>,
}

/// Counts a connection until it is dropped.
#[derive(Debug)]
struct Bound {
    connections: Arc<Connections>,
    node: NodeId,
}

impl Connections {
    /// How many connections work for a node.
    pub(crate) fn of(&self, node: &NodeId) -> u64 {
        self.lock().get(node).copied().unwrap_or(0)
    }

    fn bind(self: &Arc<Self>, node: &NodeId) -> Bound {
        *self.lock().entry(node.clone()).or_default() += 1;
        Bound { connections: self.clone(), node: node.clone() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, u64>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        if let Some(count) = open.get_mut(&self.node) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_for_their_first_node_until_they_end() {
        let connections = Arc::new(Connections::default());
        let (web, db): (NodeId, NodeId) = ("web".parse().unwrap(), "db".parse().unwrap());
        let new = || Connection::new(Peer { certificate: None, address: None });
        let (first, second) = (new(), new());
        first.bind(&connections, &web);
        first.bind(&connections, &db);
        second.bind(&connections, &web);
        assert_eq!((connections.of(&web), connections.of(&db)), (2, 0));
        drop(first);
        assert_eq!(connections.of(&web), 1);
        drop(second);
        assert_eq!(connections.of(&web), 0);
    }
}
