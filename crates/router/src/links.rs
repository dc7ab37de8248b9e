//! The connections that are passed through, by node, so that a change of the routes can end those that lead elsewhere.
//!
//! A connection is entered here before it is made, and looks its route up once more after that. A change is in force for new
//! connections before it looks here for what it has to end. So of the two one always sees the other: no connection to the former shard
//! is left when a change is done, not even one that was just being made, and none comes after.

use crate::table::Route;
use shardlift_model::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// All connections of one router.
#[derive(Debug, Default)]
pub struct Links {
    entered: Mutex<Entered>,
    /// Changes whenever one that was to end has ended.
    ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Entered {
    last: u64,
    by_node: BTreeMap<NodeId, BTreeMap<u64, Entry>>,
}

#[derive(Debug)]
struct Entry {
    route: Arc<Route>,
    cut: CancellationToken,
}

/// A connection. It has ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    links: Arc<Links>,
    number: u64,
    route: Arc<Route>,
    cut: CancellationToken,
}

impl Links {
    /// Where a connection is to lead, entered. `look` says where that is as of now.
    pub(crate) fn find(self: &Arc<Self>, look: impl Fn() -> Option<Route>) -> Option<Link> {
        loop {
            let link = self.enter(look()?);
            // A change that did not see this connection is seen here. Each round takes another change.
            if look()?.leads_where(link.route()) {
                return Some(link);
            }
        }
    }

    fn enter(self: &Arc<Self>, route: Route) -> Link {
        let (route, cut) = (Arc::new(route), CancellationToken::new());
        let mut entered = self.lock();
        entered.last += 1;
        let number = entered.last;
        let entry = Entry { route: Arc::clone(&route), cut: cut.clone() };
        entered.by_node.entry(route.node.clone()).or_default().insert(number, entry);
        drop(entered);
        Link { links: Arc::clone(self), number, route, cut }
    }

    /// Ends the connections of these routes' nodes that lead elsewhere, and comes back when the last one has ended. Returns how many
    /// there were.
    pub(crate) async fn sever(&self, routes: &[Route]) -> u64 {
        let mut ended = self.ended.subscribe();
        let cut = self.cut(routes);
        // The sender lives in here.
        drop(ended.wait_for(|_| !self.has_any(&cut)).await);
        cut.len() as u64
    }

    fn cut(&self, routes: &[Route]) -> BTreeSet<(NodeId, u64)> {
        let entered = self.lock();
        let mut cut = BTreeSet::new();
        for route in routes {
            for (number, entry) in entered.by_node.get(&route.node).into_iter().flatten() {
                if !entry.route.leads_where(route) {
                    entry.cut.cancel();
                    cut.insert((route.node.clone(), *number));
                }
            }
        }
        cut
    }

    fn has_any(&self, numbers: &BTreeSet<(NodeId, u64)>) -> bool {
        let entered = self.lock();
        numbers.iter().any(|(node, number)| entered.by_node.get(node).is_some_and(|links| links.contains_key(number)))
    }

    fn lock(&self) -> MutexGuard<'_, Entered> {
        // Entries are put in and taken out whole.
        self.entered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// Where it leads.
    pub(crate) fn route(&self) -> &Route {
        &self.route
    }

    /// The outcome, or `None` when the connection has to end first.
    pub(crate) async fn unless_cut<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.cut.run_until_cancelled(work).await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut entered = self.links.lock();
        if let Some(links) = entered.by_node.get_mut(&self.route.node) {
            links.remove(&self.number);
            if links.is_empty() {
                entered.by_node.remove(&self.route.node);
            }
        }
        drop(entered);
        if self.cut.is_cancelled() {
            self.links.ended.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

#[cfg(test)]
mod tests;
