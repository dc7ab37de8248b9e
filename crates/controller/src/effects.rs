//! What runs now: one task for each effect that the world derives, keyed by the effect itself.
//!
//! A set of effects that changed starts what is new and ends what is gone; equal effects keep their task. A task never ends
//! by itself: it reports, and as long as its effect is still derived it asks again, since every command is idempotent.
//! Tasks decide nothing; they report to the loop, which ignores what is late.

mod ask;
mod probe;
mod receipt;
mod renew;
mod routes;
mod send;
mod soak;
mod watch;

pub(crate) use routes::read_back as read_back_routes;

use crate::audit::Audit;
use crate::backoff::Bounds;
use crate::channels::{Channels, Deadline as _, Within as _};
use crate::inputs::Inputs;
use crate::ledger::Archive;
use crate::metrics::Metrics;
use crate::state::Shared;
use shardlift_api::v1;
use shardlift_migration::{Effect, Input, Outcome};
use shardlift_model::{NodeId, RouterId, ShardId, Token};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::Status;

/// How long one look at a node may take.
const LOOK: Duration = Duration::from_secs(5);

/// How often things are asked and tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Between tries of a command.
    pub(crate) retry: Bounds,
    /// Between looks at an incoming copy.
    pub(crate) watch: Duration,
    /// Between checks of routers that hold what they should.
    pub(crate) routes: Duration,
    /// A writer that says nothing for so long does not answer. Longer than a restart of its process takes.
    pub(crate) silence: Duration,
    /// Between looks at all nodes of a shard while something moves.
    pub(crate) inventory_active: Duration,
    /// The same while nothing moves.
    pub(crate) inventory_idle: Duration,
    /// Between looks at the progress of copies.
    pub(crate) measure: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            retry: Bounds { min: Duration::from_millis(100), max: Duration::from_secs(2) },
            watch: Duration::from_millis(300),
            routes: Duration::from_secs(5),
            silence: Duration::from_secs(3),
            inventory_active: Duration::from_secs(1),
            inventory_idle: Duration::from_secs(5),
            measure: Duration::from_secs(1),
        }
    }
}

/// What every effect needs.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inputs: Inputs,
    pub(crate) channels: Arc<Channels>,
    pub(crate) pace: Pace,
    pub(crate) metrics: Metrics,
    /// What was recorded and is too large to be kept in memory.
    pub(crate) archive: Archive,
    /// Who did what.
    pub(crate) audit: Audit,
}

impl Context {
    /// Reports what came of a node's effect; false when the loop has ended.
    async fn answer(&self, node: &NodeId, token: Token, outcome: Outcome) -> bool {
        self.inputs.report(Input::Answer { node: node.clone(), token, outcome }).await
    }

    /// Says in views why a node waits.
    fn wait(&self, node: &NodeId, reason: impl Into<Option<String>>) {
        let reason = reason.into();
        let unchanged = self.shared.observed(|observed| observed.waits.get(node) == reason.as_ref());
        if !unchanged {
            self.shared.observe(|observed| observed.note_wait(node, reason));
        }
    }

    /// What a shard says of a node.
    pub(crate) async fn node_at(&self, shard: &ShardId, node: &NodeId) -> Result<v1::NodeStatus, Status> {
        let address = self.shard_address(shard).ok_or_else(|| Status::unavailable("the shard is not recorded"))?;
        let request = v1::GetNodeRequest { node: node.as_str().to_owned() };
        let mut client = self.channels.shard(shard, &address);
        Ok(client.get_node(LOOK.on(request)).within(LOOK).await?.into_inner())
    }

    /// Where a shard is to be asked.
    pub(crate) fn shard_address(&self, shard: &ShardId) -> Option<String> {
        self.shared.world(|world| world.shards.get(shard).map(|shard| shard.control_address.clone()))
    }

    /// All routers and where they are to be asked.
    pub(crate) fn routers(&self) -> Vec<(RouterId, String)> {
        let pair =
            |router: &shardlift_migration::world::Router| (router.router.clone(), router.control_address.clone());
        self.shared.world(|world| world.routers.values().map(pair).collect())
    }
}

/// Effects of one sort about one node; hardly ever more than one.
type Slot = (Sort, Option<NodeId>);

/// The sorts of effects, in the order in which those that are not derived any more are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Send,
    RenewFence,
    WatchReplica,
    SyncRouters,
    WatchSoak,
    AskCutover,
    Probe,
    IssueReceipt,
}

/// The running tasks.
#[derive(Debug)]
pub(crate) struct Runner {
    context: Context,
    running: BTreeMap<Slot, Vec<(Effect, JoinHandle<()>)>>,
}

impl Runner {
    pub(crate) fn new(context: Context) -> Self {
        Self { context, running: BTreeMap::new() }
    }

    /// Ends what is not derived any more, starts what is new.
    pub(crate) fn reconcile(&mut self, derived: Vec<Effect>) {
        let mut kept: BTreeMap<Slot, Vec<(Effect, JoinHandle<()>)>> = BTreeMap::new();
        for effect in derived {
            let slot = slot_of(&effect);
            let present = self.running.get_mut(&slot).and_then(|tasks| {
                let at = tasks.iter().position(|(running, task)| *running == effect && !task.is_finished())?;
                Some(tasks.swap_remove(at))
            });
            let task = present.unwrap_or_else(|| (effect.clone(), self.start(effect)));
            kept.entry(slot).or_default().push(task);
        }
        let ended = std::mem::replace(&mut self.running, kept);
        ended.into_values().flatten().for_each(|(_, task)| task.abort());
    }

    fn start(&self, effect: Effect) -> JoinHandle<()> {
        tracing::debug!(?effect, "effect started");
        let context = self.context.clone();
        match effect {
            Effect::Send { node, token, shard, command } => {
                tokio::spawn(send::run(context, send::Order { node, token, shard, command }))
            }
            Effect::RenewFence { node, token, shard } => tokio::spawn(renew::run(context, node, token, shard)),
            Effect::WatchReplica { node, token, shard } => tokio::spawn(watch::run(context, node, token, shard)),
            Effect::SyncRouters { version } => tokio::spawn(routes::run(context, version)),
            Effect::WatchSoak { node, token, writer, follower, verify } => {
                tokio::spawn(soak::run(context, soak::Pair { node, token, writer, follower, verify }))
            }
            Effect::IssueReceipt { node, generation } => tokio::spawn(receipt::run(context, node, generation)),
            Effect::AskCutover { batch, idle } => tokio::spawn(ask::run(context, batch, idle)),
            Effect::Probe { node, token, server_name, shard, generation } => {
                tokio::spawn(probe::run(context, probe::Question { node, token, server_name, shard, generation }))
            }
        }
    }

    /// Ends all and waits until they are gone.
    pub(crate) async fn end(&mut self) {
        for (effect, task) in std::mem::take(&mut self.running).into_values().flatten() {
            task.abort();
            if let Err(error) = task.await
                && error.is_panic()
            {
                tracing::error!(?effect, "an effect ended badly");
            }
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.running.values().flatten().for_each(|(_, task)| task.abort());
    }
}

fn slot_of(effect: &Effect) -> Slot {
    match effect {
        Effect::Send { node, .. } => (Sort::Send, Some(node.clone())),
        Effect::RenewFence { node, .. } => (Sort::RenewFence, Some(node.clone())),
        Effect::WatchReplica { node, .. } => (Sort::WatchReplica, Some(node.clone())),
        Effect::SyncRouters { .. } => (Sort::SyncRouters, None),
        Effect::WatchSoak { node, .. } => (Sort::WatchSoak, Some(node.clone())),
        Effect::AskCutover { .. } => (Sort::AskCutover, None),
        Effect::IssueReceipt { node, .. } => (Sort::IssueReceipt, Some(node.clone())),
        Effect::Probe { node, .. } => (Sort::Probe, Some(node.clone())),
    }
}
