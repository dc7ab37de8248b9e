//! From a store to a controller that can lead: the recovered world, the loop over it, and what its effects need.

use crate::audit::Audit;
use crate::channels::Channels;
use crate::effects::{Context, Pace, Runner};
use crate::inputs::Inputs;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::recovery::{RecoveryError, recover};
use crate::runtime::{Parts, Runtime};
use crate::state::Shared;
use shardlift_migration::World;
use shardlift_pki::tls::Credentials;
use shardlift_store::Store;
use std::sync::Arc;

/// Why nothing can be led.
#[derive(Debug, thiserror::Error)]
pub enum LeadError {
    /// No thread for the store.
    #[error("the store's thread cannot be started")]
    Thread(#[source] std::io::Error),
    /// The store gives no world.
    #[error("the recorded state cannot be recovered")]
    Recovery(#[from] RecoveryError),
}

/// A loop that was not started yet, and the way to it.
#[derive(Debug)]
pub(crate) struct Lead {
    pub(crate) context: Context,
    pub(crate) runtime: Runtime,
}

/// Takes leadership of a store and recovers its world.
pub(crate) async fn prepare(
    store: Arc<dyn Store>,
    empty: World,
    credentials: Arc<Credentials>,
    pace: Pace,
    metrics: Metrics,
    audit: Audit,
) -> Result<Lead, LeadError> {
    let ledger = Ledger::start(store).map_err(LeadError::Thread)?;
    let (term, recorded) = match recover(&ledger, empty).await {
        Ok(recovered) => recovered,
        Err(error) => {
            ledger.close().await;
            return Err(error.into());
        }
    };
    tracing::info!(%term, revision = recorded.revision.0, nodes = recorded.world.nodes.len(), "leading");
    let shared = Arc::new(Shared::new(recorded));
    let (inputs, requests) = Inputs::new();
    let channels = Arc::new(Channels::new(credentials));
    let archive = ledger.archive();
    let context = Context { shared: shared.clone(), inputs, channels, pace, metrics: metrics.clone(), archive, audit };
    let runner = Runner::new(context.clone());
    let runtime = Runtime::new(Parts { ledger, term, shared, requests, runner, metrics });
    Ok(Lead { context, runtime })
}
