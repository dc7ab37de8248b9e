//! Changes of the routes, one after the other: durable, in force for new connections, the former ones ended, and only then shown.
//!
//! What is read back is what was done: a route that severs is not among the routes that a router says it has before the last
//! connection to the former shard has ended. After a restart nothing is open, so nothing is left to end.

use crate::links::Links;
use crate::metrics::Metrics;
use crate::store::{RouteStore, StoreError};
use crate::table::{Change, Route, Table};
use arc_swap::ArcSwap;
use shardlift_model::NodeId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long connections that are cut may take to end. They are waited for only, nothing keeps them.
const SEVER_TIME_MAX: Duration = Duration::from_secs(10);

/// Why a change is not done.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It was refused, or the disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is in force for new connections, and old ones go on.
    #[error("connections to the former shard have not ended yet; ask again")]
    StillOpen,
    /// The router ends.
    #[error("the router is being stopped")]
    Stopped,
}

/// The one way in which routes change.
#[derive(Debug)]
pub struct Changes {
    routes: Arc<RouteStore>,
    links: Arc<Links>,
    metrics: Arc<Metrics>,
    done: ArcSwap<Table>,
    /// Nodes whose former connections may be open still.
    severing: Mutex<BTreeSet<NodeId>>,
}

impl Changes {
    /// Begins with what is in force.
    #[must_use]
    pub fn new(routes: Arc<RouteStore>, links: Arc<Links>, metrics: Arc<Metrics>) -> Arc<Self> {
        let done = ArcSwap::new(routes.table());
        Arc::new(Self { routes, links, metrics, done, severing: Mutex::default() })
    }

    /// The routes as far as all that goes with them is done.
    #[must_use]
    pub fn done(&self) -> Arc<Table> {
        self.done.load_full()
    }

    /// Takes a change; returns the version. A repetition does again what was not done to its end. Goes on when the caller goes away.
    ///
    /// # Errors
    /// [`ChangeError`]; after [`ChangeError::StillOpen`] the change stands, and is to be repeated.
    pub async fn apply(self: &Arc<Self>, change: Change) -> Result<u64, ChangeError> {
        let this = Arc::clone(self);
        tokio::spawn(async move { this.carry_out(change).await }).await.map_err(|_| ChangeError::Stopped)?
    }

    async fn carry_out(&self, change: Change) -> Result<u64, ChangeError> {
        let mut severing = self.severing.lock().await;
        let routes = Arc::clone(&self.routes);
        let to_sever: Vec<NodeId> =
            change.upserts.iter().filter(|route| route.sever).map(|route| route.node.clone()).collect();
        let applied = shardlift_net::spawn_blocking(move || routes.apply(&change)).await;
        let version = applied.map_err(|_| ChangeError::Stopped)??;
        severing.extend(to_sever);
        let table = self.routes.table();
        if !severing.is_empty() {
            let routes: Vec<Route> = severing.iter().filter_map(|node| table.route_of(node)).cloned().collect();
            let ended = tokio::time::timeout(SEVER_TIME_MAX, self.links.sever(&routes)).await;
            let severed = ended.map_err(|_elapsed| ChangeError::StillOpen)?;
            self.metrics.sever(severed);
            tracing::info!(version, severed, "connections to former shards were ended");
            severing.clear();
        }
        self.done.store(table);
        Ok(version)
    }
}
