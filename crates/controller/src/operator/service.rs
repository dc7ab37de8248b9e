//! What every call of the operator's service stands on: the way into the loop, and the audit log.

use super::{Answer, batches, loss};
use crate::audit::DONE;
use crate::clock;
use crate::effects::Context;
use crate::issuer::Issuer;
use shardlift_api::convert;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_audit::{Entry, field};
use shardlift_migration::{Event, Input, decide};
use shardlift_model::BatchId;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response};

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct OperatorService {
    pub(super) context: Context,
    pub(super) issuer: Arc<Issuer>,
    /// Ends the streams, which would hold up the server's end.
    pub(super) stop: CancellationToken,
    /// Settings are read, changed and written: one at a time.
    pub(super) changing_settings: Arc<tokio::sync::Mutex<()>>,
}

impl OperatorService {
    pub(crate) fn new(context: Context, issuer: Arc<Issuer>, stop: CancellationToken) -> Self {
        Self { context, issuer, stop, changing_settings: Arc::default() }
    }

    /// Does what an operator wishes, once it is certain that it can be written down; answered when it is. A caller who goes away ends
    /// the call, not what was begun.
    pub(super) async fn audited<T, W>(&self, wish: Entry, work: impl FnOnce(Self) -> W) -> Answer<T>
    where
        T: Send + Sync + 'static,
        W: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        self.audited_with(wish, work, |wish, _| vec![wish]).await
    }

    /// The same, with what came of it in the record, or in several.
    pub(super) async fn audited_with<T, W>(
        &self,
        wish: Entry,
        work: impl FnOnce(Self) -> W,
        details: impl FnOnce(Entry, &T) -> Vec<Entry> + Send + 'static,
    ) -> Answer<T>
    where
        T: Send + Sync + 'static,
        W: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let audit = self.context.audit.clone();
        audit.admit()?;
        let working = work(self.clone());
        let done = tokio::spawn(async move { audit.outcome(wish, working.await, details).await });
        Ok(Response::new(done.await.map_err(Fault::internal)??))
    }

    pub(super) async fn submit(&self, input: Input) -> Result<(), Fault> {
        self.context.inputs.submit(input).await.map_err(Fault::from)
    }

    /// Of one node, the canary, which is asked about first as for a rehearsal of its own.
    pub(super) async fn rehearse_batch_checked(
        &self,
        name: &str,
        losses: &loss::Losses,
    ) -> Result<v1::BatchView, Fault> {
        if losses.len() > 0 {
            return Err(Fault::new(FaultKind::Invalid, loss::REHEARSAL_LOSES_NOTHING));
        }
        let batch: BatchId = convert::name("batch", name)?;
        let input = Input::RehearseBatch { batch: batch.clone() };
        let canary = self.context.shared.world(|world| {
            // A refusal has no canary; the loop says it again below.
            let events = decide(world, &input, clock::now()).unwrap_or_default();
            events.into_iter().find_map(|event| match event {
                Event::RollbackStarted { node, .. } => Some(node),
                _ => None,
            })
        });
        if let Some(canary) = canary {
            self.writer_answers(&canary).await?;
            self.not_too_far_behind(|world| world.nodes.get(&canary).into_iter().collect())?;
        }
        self.batch(name, |batch| Input::RehearseBatch { batch }).await
    }

    pub(super) async fn batch(&self, name: &str, input: impl FnOnce(BatchId) -> Input) -> Result<v1::BatchView, Fault> {
        let batch: BatchId = convert::name("batch", name)?;
        self.submit(input(batch.clone())).await?;
        let found = self.context.shared.both(|recorded, observed| {
            let batch = recorded.world.batches.get(&batch)?;
            Some(batches::whole_view(&recorded.world, observed, batch))
        });
        found.ok_or_else(|| Fault::new(FaultKind::NotFound, format!("batch {batch} is not known")))
    }
}

/// Who asks, for the audit log.
pub(super) fn asker<T>(request: &Request<T>) -> String {
    let peer = request.extensions().get::<shardlift_model::Peer>();
    peer.and_then(|peer| peer.identity()).map_or_else(|| "nobody".to_owned(), ToString::to_string)
}

/// A wish of which will be said who had it.
pub(super) fn ordered(asker: &str, input: Input) -> Input {
    Input::Ordered { by: asker.to_owned(), input: Box::new(input) }
}

/// What is wished, for the audit log.
pub(super) fn wish(asker: &str, what: &'static str, subject: &str) -> Entry {
    Entry::new(asker, what, subject, DONE)
}

/// The same about a node.
pub(super) fn node_wish(asker: &str, what: &'static str, node: &str) -> Entry {
    wish(asker, what, node).text(field::NODE, node)
}

/// The same about a batch.
pub(super) fn batch_wish(asker: &str, what: &'static str, batch: &str) -> Entry {
    wish(asker, what, batch).text(field::BATCH, batch)
}
