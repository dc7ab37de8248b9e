//! The read model of the status API: a snapshot in memory that the controller replaces and the portal answers from.
//!
//! INV-10: every entry names the customers it concerns; whoever answers filters by the customer of the token.

use serde::Serialize;
use shardlift_model::{BatchId, ByteCount, CustomerId, NodeId, ServerName, Sha256, ShardId, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All that the status API knows, at one moment.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Grows with every recorded event.
    pub revision: u64,
    /// When this snapshot was made.
    pub made_at: UnixMillis,
    /// All nodes.
    pub nodes: BTreeMap<NodeId, NodeView>,
    /// All batches, in the order of the plan.
    pub batches: Vec<BatchView>,
    /// What happened, oldest first; bounded by the publisher.
    pub worklog: Vec<WorklogEntry>,
    /// The revocation lists that hold, in DER, by the name of their CA; the one that signs certificates now is the first.
    pub revocation_lists: Vec<(String, Arc<[u8]>)>,
    /// Access by token: the hash of the token as stored, never the token.
    pub access: BTreeMap<Sha256, Access>,
}

/// What a token opens.
#[derive(Debug, Clone)]
pub struct Access {
    /// Whose nodes it shows.
    pub customer: CustomerId,
    /// When it ends.
    pub expires_at: UnixMillis,
}

/// A node in a customer's words.
#[derive(Debug, Clone, Serialize)]
pub struct NodeView {
    /// Its name.
    pub node: NodeId,
    /// Whose it is.
    pub customer: CustomerId,
    /// What its client connects to.
    pub server_name: ServerName,
    /// `not_affected`, `planned`, `copying`, `ready`, `moving`, `moved`, `done`, `needs_attention`.
    pub state: &'static str,
    /// One sentence that says what the state means for the customer.
    pub summary: String,
    /// The server that takes its backups now.
    pub shard: ShardId,
    /// Where it goes or went.
    pub target: Option<ShardId>,
    /// The batch it moves with.
    pub batch: Option<BatchId>,
    /// How far the copy is, 0 to 100.
    pub progress_percent: Option<u8>,
    /// Bytes stored.
    pub bytes: ByteCount,
    /// Backups stored.
    pub snapshots: u64,
    /// When the last backup was finished.
    pub last_backup_at: Option<UnixMillis>,
    /// `none`, `token`, `issued`, `in_use`.
    pub certificate: &'static str,
    /// What the customer must do; empty when nothing.
    pub to_do: Vec<String>,
    /// While it could go back to where it came from.
    pub way_back: Option<WayBack>,
}

/// What going back would mean right now. Nothing that was stored is lost by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WayBack {
    /// Changes that the old copy has not yet.
    pub lag: u64,
    /// How long clients would wait, in milliseconds.
    pub takes_ms: u64,
    /// Backups stored since the change-over, which are kept.
    pub snapshots_kept: u64,
}

/// A batch.
#[derive(Debug, Clone, Serialize)]
pub struct BatchView {
    /// Its name.
    pub batch: BatchId,
    /// `planned`, `preparing`, `cutting_over`, `committed`, `soaking`, `released`, `aborted`, `rolled_back`.
    pub phase: &'static str,
    /// True while an operator holds it.
    pub paused: bool,
    /// Its nodes.
    pub nodes: BTreeSet<NodeId>,
    /// How far the copy is, 0 to 100.
    pub progress_percent: u8,
    /// When it was started.
    pub started_at: Option<UnixMillis>,
    /// When it was committed.
    pub committed_at: Option<UnixMillis>,
}

/// One line of the worklog.
#[derive(Debug, Clone, Serialize)]
pub struct WorklogEntry {
    /// Number of the event it tells of.
    pub id: u64,
    /// When it happened.
    pub at: UnixMillis,
    /// The node it concerns, if one.
    pub node: Option<NodeId>,
    /// The customers it concerns; empty for the service as a whole.
    #[serde(skip)]
    pub customers: BTreeSet<CustomerId>,
    /// What happened, in a sentence without names of other customers or nodes.
    pub text: String,
}
