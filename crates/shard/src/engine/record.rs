//! What is kept about a node, and what others get to see of it.

mod deep_verify;
mod replica;
mod side;

pub(crate) use deep_verify::NAMES_MAX;
pub use deep_verify::{DeepVerifyId, DeepVerifyRecord, DeepVerifyState};
pub use replica::{Forward, ReplicaPhase, ReplicaRecord, VerifiedRecord};
pub use side::{SeenCertificate, SessionEnd, SessionRecord, SideData};

use super::error::EngineError;
use serde::{Deserialize, Serialize};
use shardlift_model::digest::Digest;
use shardlift_model::{
    ByteCount, CustomerId, Generation, NodeId, ObjectKind, ServerName, Sha256, ShardId, Token, UnixMillis,
};

/// Version of [`NodeRecord`]'s encoding; its first byte.
const RECORD_VERSION: u8 = 1;

/// Most holds on one node.
pub const HOLDS_MAX: usize = 64;

/// Longest id or reason of a hold in bytes.
pub const HOLD_TEXT_BYTES_MAX: usize = 1024;

/// A node's role on this shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The writer.
    Serving,
    /// The writer with mutations parked under a lease. Only ever in memory: after a restart the node is serving.
    Fenced,
    /// Everything is parked; no way back by itself.
    Sealed {
        /// What the node held when it was sealed.
        last: FinalState,
    },
    /// A copy in the making.
    Incoming {
        /// The shard it comes from.
        source: ShardId,
        /// Where that shard is reached.
        source_peer_address: String,
        /// Whether objects that are damaged at the source are taken as they are.
        accept_damaged: bool,
    },
    /// A copy whose writer is gone for good. It follows nobody any more and is changed by nothing but its promotion.
    Stocked {
        /// The writer that is gone.
        source: ShardId,
        /// What is here; its seq is the last change of that writer that is part of it.
        state: FinalState,
    },
    /// Moved away.
    Retired {
        /// To which shard.
        target: ShardId,
    },
    /// Moved away, and its files renamed aside.
    Quarantined {
        /// To which shard it had moved.
        target: ShardId,
    },
    /// An incoming copy that was given up; only its token is kept.
    Discarded,
}

impl Mode {
    /// The mode in a word, for logs and refusals.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Fenced => "fenced",
            Self::Sealed { .. } => "sealed",
            Self::Incoming { .. } => "incoming",
            Self::Stocked { .. } => "stocked",
            Self::Retired { .. } => "retired",
            Self::Quarantined { .. } => "quarantined",
            Self::Discarded => "discarded",
        }
    }
}

/// All that two shards must agree on before a node changes hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalState {
    /// Last change in the source's journal.
    pub seq: u64,
    /// Root of the digest, locks included.
    pub root: Sha256,
    /// Objects, locks included.
    pub objects: u64,
    /// Sum of their sizes.
    pub bytes: u64,
    /// How many do not match their name.
    pub damaged: u64,
}

impl FinalState {
    /// What a digest says at a seq.
    #[must_use]
    pub const fn new(digest: &Digest, seq: u64) -> Self {
        Self { seq, root: digest.root, objects: digest.objects, bytes: digest.bytes, damaged: digest.damaged }
    }

    /// True when both hold the same objects; the seq is each side's own and not compared.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        Self { seq: 0, ..*self } == Self { seq: 0, ..*other }
    }
}

/// What an operator decided about a node. Travels with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Who owns it.
    pub customer: Option<CustomerId>,
    /// What its client connects to.
    pub server_name: Option<ServerName>,
    /// Most bytes it may hold; `None`: the shard's default.
    pub quota: Option<ByteCount>,
    /// Whether its client may only add.
    pub append_only: bool,
    /// Reasons not to delete it (INV-08).
    pub holds: Vec<Hold>,
    /// True when old credentials no longer work (INV-09).
    pub legacy_credentials_ended: bool,
}

/// A reason not to delete a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub placed_at: UnixMillis,
}

/// Objects of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KindCount {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

/// What is persisted about a node in one row. Changed only by the writer thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its role here. Never [`Mode::Fenced`].
    pub mode: Mode,
    /// Under which generation it was last promoted here.
    pub generation: Generation,
    /// Highest token accepted (INV-03).
    pub token: Token,
    /// Decisions of operators.
    pub settings: Settings,
    /// The one shard that may read it.
    pub offered_to: Option<ShardId>,
    /// Set while incoming, and kept by a copy that has stopped to follow the writer.
    pub replica: Option<ReplicaRecord>,
    /// Retired, and never equal to the present writer at any seq that is known: the node was taken over without this shard, or a first
    /// copy was left as it is. To follow, it lists first, as if it were new.
    #[serde(default)]
    pub begins_anew: bool,
    /// Where requests are forwarded to. Only ever set while incoming or retired.
    #[serde(default)]
    pub forward: Option<Forward>,
    /// Writer: own last change when it was promoted. A copy that was equal then follows from here.
    #[serde(default)]
    pub promoted_seq: u64,
    /// Writer: the shard that it took the node over from, which may forward its late requests. An offer to read, which any
    /// shard may get, is not enough for that.
    #[serde(default)]
    pub taken_over_from: Option<ShardId>,
    /// Writer: when it was last promoted.
    #[serde(default)]
    pub(crate) promoted_at: Option<UnixMillis>,
    /// The last reading of all its objects, or the one under way.
    #[serde(default)]
    pub(crate) deep_verify: Option<DeepVerifyRecord>,
    /// Last change in the journal.
    pub(crate) seq: u64,
    /// By kind number.
    pub(crate) kinds: [KindCount; 7],
    pub(crate) damaged: u64,
    pub(crate) last_snapshot: Option<UnixMillis>,
    pub(crate) newest_lock: Option<UnixMillis>,
}

impl NodeRecord {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            generation: Generation::default(),
            token: Token::default(),
            settings: Settings::default(),
            offered_to: None,
            replica: None,
            begins_anew: false,
            forward: None,
            promoted_seq: 0,
            taken_over_from: None,
            promoted_at: None,
            deep_verify: None,
            seq: 0,
            kinds: Default::default(),
            damaged: 0,
            last_snapshot: None,
            newest_lock: None,
        }
    }

    /// Last change in the node's own journal.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The source of a copy that follows the writer it was equal to.
    #[must_use]
    pub fn follows(&self) -> Option<&ShardId> {
        match &self.mode {
            Mode::Incoming { source, .. } if self.replica.as_ref().is_some_and(|replica| replica.resumed) => {
                Some(source)
            }
            _ => None,
        }
    }

    pub(crate) fn kind(&self, kind: ObjectKind) -> KindCount {
        self.kinds[kind as usize]
    }

    pub(crate) fn kind_mut(&mut self, kind: ObjectKind) -> &mut KindCount {
        &mut self.kinds[kind as usize]
    }

    pub(crate) fn total(&self, with_locks: bool) -> KindCount {
        let counted = |kind: &ObjectKind| with_locks || *kind != ObjectKind::Locks;
        ObjectKind::ALL.into_iter().filter(counted).fold(KindCount::default(), |sum, kind| {
            let count = self.kind(kind);
            KindCount { objects: sum.objects + count.objects, bytes: sum.bytes + count.bytes }
        })
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, EngineError> {
        let mut bytes = vec![RECORD_VERSION];
        serde_json::to_writer(&mut bytes, self).map_err(|error| EngineError::Record(error.to_string()))?;
        Ok(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, EngineError> {
        match bytes.split_first() {
            Some((&RECORD_VERSION, json)) => {
                serde_json::from_slice(json).map_err(|error| EngineError::Record(error.to_string()))
            }
            _ => Err(EngineError::Record("a node record of an unknown version".to_owned())),
        }
    }
}

/// A node as it is at one instant.
#[derive(Debug, Clone)]
pub struct NodeSnapshot {
    /// Which node.
    pub node: NodeId,
    /// Its role here, a fence included.
    pub mode: Mode,
    /// Under which generation it was last promoted here.
    pub generation: Generation,
    /// Highest token accepted.
    pub token: Token,
    /// Decisions of operators.
    pub settings: Settings,
    /// Last change in the journal.
    pub seq: u64,
    /// Objects, locks included.
    pub objects: u64,
    /// Bytes, locks included.
    pub bytes: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Locks.
    pub locks: u64,
    /// When the newest lock was stored.
    pub newest_lock: Option<UnixMillis>,
    /// When the newest snapshot was stored.
    pub last_snapshot: Option<UnixMillis>,
    /// Client requests in progress, parked ones included; those that are forwarded are counted apart.
    pub requests_in_flight: u64,
    /// Forwarded requests in progress.
    pub forwarding: u64,
    /// Certificates seen in use.
    pub seen_certificates: Vec<SeenCertificate>,
    /// Objects whose bytes do not match their name, as recorded.
    pub damaged: u64,
    /// Objects that are recorded but not on disk: an alarm, never "deleted".
    pub missing: u64,
    /// Set while incoming, and kept by a copy that has stopped to follow the writer.
    pub replica: Option<ReplicaRecord>,
    /// Where requests are forwarded to.
    pub forward: Option<Forward>,
    /// Writer: own last change when it was promoted.
    pub promoted_seq: u64,
    /// Writer: the shard that it took the node over from.
    pub taken_over_from: Option<ShardId>,
    /// The one shard that may read it.
    pub offered_to: Option<ShardId>,
    /// The last reading of all its objects, or the one under way.
    pub deep_verify: Option<DeepVerifyState>,
}

/// The shard as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes it may hold.
    pub capacity: ByteCount,
    /// Bytes it can still take.
    pub free: ByteCount,
    /// Nodes, whatever their mode.
    pub nodes: u64,
    /// Objects that are missing or rotten without a record that says why.
    pub alarms: u64,
}

/// Whether a command was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Its token is above all before; it is persisted now.
    New,
    /// Its token is the last accepted one: a repetition.
    Repeated,
}
