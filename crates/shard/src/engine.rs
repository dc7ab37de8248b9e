//! The store of a shard: objects in rest-server's folders, an index and a change journal beside them.
//!
//! The life of an object: [`Engine::begin_put`] promises space and opens a half-written file; bytes are hashed as they come;
//! `finish` makes the file durable, gives it its name, makes the name durable, records index and journal, and only then says
//! so (INV-02, INV-11). A delete is recorded before the file goes. Whatever a crash leaves in between is settled by the
//! reconciliation at the next [`Engine::open`]. A recorded object whose file is gone is an alarm, never "deleted".
//!
//! The engine does not ask who may do what when: that is [`crate::admission`]. It does refuse, inside the transaction, a
//! client's mutation on a node it is not the writer of (INV-01, INV-04), and any command with a lower token (INV-03).
//!
//! Known limits: the journal is not trimmed; what was half done when the process died is settled at the next start only.

mod activity;
mod adopt;
mod apply;
mod body;
mod closed;
mod commands;
mod deep_verify;
mod digests;
mod disk;
mod error;
mod group;
mod index;
mod landing;
mod layout;
pub(crate) mod nodes;
mod objects;
mod pace;
mod pages;
mod quarantine;
mod reads;
mod reconcile;
mod record;
mod replica;
mod reread;
mod retired;
mod rot;
mod side;
mod space;
mod tables;
mod upload;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

pub use error::{EngineError, PutError};
pub use objects::{Deleted, DigestPart, ObjectFile};
pub use pace::ReadCounts;
pub use reads::Page;
pub use record::{
    Accepted, DeepVerifyId, DeepVerifyRecord, DeepVerifyState, FinalState, Forward, HOLD_TEXT_BYTES_MAX, HOLDS_MAX,
    Hold, Mode, NodeRecord, NodeSnapshot, ReplicaPhase, ReplicaRecord, SeenCertificate, SessionEnd, SessionRecord,
    Settings, SideData, Usage, VerifiedRecord,
};
pub use replica::{Arrived, ReplicaUpload};
pub use rot::Rot;
pub use space::DISK_RESERVE_BYTES;
pub use tables::{Change, Op};
pub use upload::{Put, Upload};

use crate::admission::readmission::Readmission;
use crate::admission::{Admission, ParkLimits, ReadmissionLimits};
use crate::throttle::{Limits, Throttle, Work};
use digests::Digests;
use landing::Blocks;
use layout::Layout;
use nodes::{Critical, NodeCell, Nodes, lock};
use pace::Readers;
use redb::Database;
use shardlift_model::{ByteCount, NodeId, UnixMillis};
use shardlift_net::Background;
use space::Space;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use writer::Writer;

/// What an engine needs to know.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The folder of repositories, as rest-server's `--path`.
    pub data: PathBuf,
    /// The folder of the index. Never inside a node.
    pub state: PathBuf,
    /// Bytes this shard may hold; `None`: what the disk has.
    pub capacity: Option<ByteCount>,
    /// Quota of nodes that have none of their own.
    pub default_quota: Option<ByteCount>,
    /// Every node only grows, whatever its settings say. Enforced by the REST side; kept here to be asked for.
    pub append_only: bool,
    /// How long the index waits for company before it commits. Zero is right for most disks: while one commit is under
    /// way, the next group gathers by itself.
    pub group_commit_window: Duration,
    /// Limits on parked requests.
    pub park: ParkLimits,
    /// How new sessions are let in after a promotion.
    pub readmission: ReadmissionLimits,
    /// How long after a node has moved away its requests are forwarded.
    pub forward_max: Duration,
    /// Bytes that are read again in a second by all deep verifies together; 0: without a limit.
    pub deep_verify_bytes_per_second: u64,
    /// What replication and deep verify are allowed until an operator says otherwise.
    pub limits: Limits,
}

/// Time enough for every router to have the new routes, and for every client to have connected anew.
const FORWARD_MAX: Duration = Duration::from_secs(60 * 60);

/// What disks of all sorts give beside their clients.
const DEEP_VERIFY_BYTES_PER_SECOND: u64 = 256 << 20;

/// Trees of folders that are made or taken away at the same time.
const TREES_MAX: usize = 2;

impl EngineConfig {
    /// The usual settings for a data folder.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        let data = data.into();
        Self {
            state: data.join(".shardlift"),
            data,
            capacity: None,
            default_quota: None,
            append_only: false,
            group_commit_window: Duration::ZERO,
            park: ParkLimits::default(),
            readmission: ReadmissionLimits::default(),
            forward_max: FORWARD_MAX,
            deep_verify_bytes_per_second: DEEP_VERIFY_BYTES_PER_SECOND,
            limits: Limits::default(),
        }
    }
}

/// The store of one shard. One process at a time holds it.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    layout: Layout,
    nodes: Arc<Nodes>,
    space: Arc<Space>,
    readmission: Arc<Readmission>,
    readers: Readers,
    throttle: Arc<Throttle>,
    writer: Writer,
    digests: Digests,
    blocks: Arc<Blocks>,
    background: Background,
    trees: Semaphore,
    compared_at_start: u64,
    db: Mutex<Option<Arc<Database>>>,
    stopped: CancellationToken,
}

impl Engine {
    /// Opens data and state, adopts what it finds on disk and settles what a crash has left: that takes as long as looking at every
    /// file. After a close in good order it takes a look at some folders of each node.
    /// Deep verifies that were under way go on.
    ///
    /// # Errors
    /// [`EngineError::State`] when data and state do not fit together; any failure of disk or index.
    pub async fn open(config: EngineConfig) -> Result<Arc<Self>, EngineError> {
        let opening = shardlift_net::spawn_blocking(move || Self::open_blocking(config));
        let engine = opening.await.map_err(|_| EngineError::Stopped)??;
        engine.resume_reading();
        Ok(engine)
    }

    fn open_blocking(config: EngineConfig) -> Result<Arc<Self>, EngineError> {
        let started = Instant::now();
        index::check_folder(&config.data, &config.state)?;
        let note = closed::Note::take(&config.state)?;
        let db = Arc::new(index::open(&config.state)?);
        let nodes = Arc::new(Nodes::default());
        index::load(&db, &nodes)?;
        let stopped = CancellationToken::new();
        let writer = Writer::start(Arc::clone(&db), Arc::clone(&nodes), config.group_commit_window, stopped.clone())?;
        let throttle = Arc::new(Throttle::open(&config.state, config.limits.clone())?);
        let quota = config.default_quota.map(|quota| quota.0);
        let capacity = config.capacity.map(|capacity| capacity.0);
        let mut engine = Self {
            layout: Layout::new(config.data.clone()),
            space: Arc::new(Space::new(config.data.clone(), Arc::clone(&nodes), capacity, quota)),
            readmission: Readmission::new(config.readmission),
            readers: Readers::new(config.deep_verify_bytes_per_second, &throttle),
            throttle,
            config,
            nodes,
            writer,
            digests: Digests::default(),
            blocks: Arc::default(),
            background: Background::start("shard-copies").map_err(EngineError::io("start threads of", "copies"))?,
            trees: Semaphore::new(TREES_MAX),
            compared_at_start: 0,
            db: Mutex::new(Some(db)),
            stopped,
        };
        let adopted = engine.adopt()?;
        engine.compared_at_start = engine.reconcile_all(&note)?;
        let alarms = engine.usage().alarms;
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(
            nodes = engine.nodes.count(),
            adopted,
            compared = engine.compared_at_start,
            alarms,
            seconds,
            "the store is open"
        );
        Ok(Arc::new(engine))
    }

    /// Cancelled when the store takes no more changes: it was closed, or a write failed. The process should end then.
    #[must_use]
    pub fn stopped(&self) -> CancellationToken {
        self.stopped.clone()
    }

    /// What this engine was opened with.
    #[must_use]
    pub const fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The shard as a whole. A disk that cannot be measured counts as full.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let (capacity, free) = self.space.usage().unwrap_or_else(|error| {
            tracing::error!(error = %shardlift_api::fault::chain(&error), "the disk cannot be measured");
            (self.config.capacity.unwrap_or_default().0, 0)
        });
        let alarms = self.nodes.all().iter().map(|cell| cell.alarms()).sum();
        Usage { capacity: ByteCount(capacity), free: ByteCount(free), nodes: self.nodes.count() as u64, alarms }
    }

    /// Nodes whose folders were compared with the index when the store was opened: all after a crash, none after a close in good order.
    #[must_use]
    pub const fn compared_at_start(&self) -> u64 {
        self.compared_at_start
    }

    /// Nodes after `after` in the order of their names.
    #[must_use]
    pub fn nodes_after(&self, after: Option<&NodeId>, limit: usize) -> Vec<NodeSnapshot> {
        self.nodes.after(after, limit).iter().map(|cell| snapshot(cell)).collect()
    }

    /// One node, `None` when it is unknown here.
    #[must_use]
    pub fn node(&self, node: &NodeId) -> Option<NodeSnapshot> {
        self.nodes.get(node).map(|cell| snapshot(&cell))
    }

    /// Whether a node's client may only add: the node's own setting or the whole shard's.
    #[must_use]
    pub fn is_append_only(&self, node: &NodeId) -> bool {
        self.config.append_only || self.nodes.get(node).is_some_and(|cell| cell.record().settings.append_only)
    }

    /// The quota that holds for a node, its own or the shard's.
    #[must_use]
    pub fn quota(&self, node: &NodeId) -> Option<ByteCount> {
        self.nodes.get(node).and_then(|cell| self.space.quota(&cell)).map(ByteCount)
    }

    /// Follows the last seq of a node's journal.
    #[must_use]
    pub fn watch_seq(&self, node: &NodeId) -> Option<tokio::sync::watch::Receiver<u64>> {
        self.nodes.get(node).map(|cell| cell.seq.subscribe())
    }

    /// How new sessions are let in after promotions.
    pub(crate) const fn readmission(&self) -> &Arc<Readmission> {
        &self.readmission
    }

    /// What gives way to clients.
    pub(crate) const fn throttle(&self) -> &Arc<Throttle> {
        &self.throttle
    }

    /// Where copies and deep verifies run: clients come first.
    pub(crate) const fn background(&self) -> &Background {
        &self.background
    }

    /// Sends bytes of a node to another shard when it is their turn. What a fenced node's clients wait for never waits.
    pub(crate) async fn may_send(&self, node: &NodeId, bytes: u64) {
        self.hurry_if_fenced(node);
        self.throttle.take(Work::Send, node, bytes).await;
    }

    /// Lets nothing stand in the way of a node whose clients wait for the end of its fence.
    pub(crate) fn hurry_if_fenced(&self, node: &NodeId) {
        if self.is_fenced(node) {
            self.throttle.hurry();
        }
    }

    /// Whether the node's clients wait for the end of its fence.
    pub(crate) fn is_fenced(&self, node: &NodeId) -> bool {
        self.nodes.get(node).is_some_and(|cell| cell.gate.is_fenced())
    }

    /// What all deep verifies have read and found since the store was opened.
    #[must_use]
    pub fn read_counts(&self) -> ReadCounts {
        self.readers.counts()
    }

    /// Who may go in when.
    #[must_use]
    pub fn admission(self: &Arc<Self>) -> Admission {
        Admission::new(Arc::clone(self))
    }

    pub(crate) fn cell(&self, node: &NodeId) -> Result<Arc<NodeCell>, EngineError> {
        self.nodes.get(node).ok_or_else(|| EngineError::NodeUnknown(node.clone()))
    }

    /// Enters a section that a fence has to wait for, and a close that notes what is certain.
    fn enter_critical(&self, cell: &Arc<NodeCell>) -> Result<Critical, EngineError> {
        let critical = cell.enter_critical();
        if self.stopped.is_cancelled() {
            return critical.end(Err(EngineError::Stopped));
        }
        Ok(critical)
    }

    pub(crate) fn db(&self) -> Result<Arc<Database>, EngineError> {
        lock(&self.db).clone().ok_or(EngineError::Stopped)
    }

    /// Runs work that blocks off the async threads.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let engine = Arc::clone(self);
        shardlift_net::spawn_blocking(move || work(&engine)).await.map_err(|_| EngineError::Stopped)?
    }

    /// Runs work on a whole tree of folders, few at a time and where it gives way to clients: a batch makes thousands of folders.
    async fn on_tree<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let _turn = self.trees.acquire().await.map_err(|_| EngineError::Stopped)?;
        let engine = Arc::clone(self);
        let working = self.background.spawn(async move { engine.blocking(work).await });
        working.await.map_err(|_| EngineError::Stopped)?
    }
}

fn snapshot(cell: &NodeCell) -> NodeSnapshot {
    let record = cell.record();
    let total = record.total(true);
    NodeSnapshot {
        node: cell.id.clone(),
        mode: if cell.gate.is_fenced() { Mode::Fenced } else { record.mode.clone() },
        generation: record.generation,
        token: record.token,
        settings: record.settings.clone(),
        seq: record.seq,
        objects: total.objects,
        bytes: total.bytes,
        snapshots: record.kind(shardlift_model::ObjectKind::Snapshots).objects,
        locks: record.kind(shardlift_model::ObjectKind::Locks).objects,
        newest_lock: record.newest_lock,
        last_snapshot: record.last_snapshot,
        requests_in_flight: cell.gate.in_flight(),
        forwarding: cell.gate.forwarding(),
        seen_certificates: lock(&cell.certificates).values().cloned().collect(),
        damaged: record.damaged,
        missing: lock(&cell.missing).len() as u64,
        replica: record.replica.clone(),
        forward: record.forward.clone(),
        promoted_seq: record.promoted_seq,
        taken_over_from: record.taken_over_from.clone(),
        offered_to: record.offered_to.clone(),
        deep_verify: cell.deep_verify(),
    }
}

/// The wall clock, for records only.
pub(crate) fn now() -> UnixMillis {
    UnixMillis(u64::try_from(shardlift_net::since_epoch().as_millis()).unwrap_or(u64::MAX))
}
