//! All that the controller has recorded: the fold of its journal.

use crate::batch::Batch;
use crate::certificates::{CertificateRecord, RevocationListState};
use crate::node::Node;
use serde::{Deserialize, Serialize};
use shardlift_model::{
    BatchId, ByteCount, ClusterId, CustomerId, NodeId, RouterId, ServerName, Sha256, ShardId, Term, UnixMillis,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Bounds of a cutover. Written into the journal at `init` and by configuration changes, so that replay is exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long a fence holds without renewal, in milliseconds.
    pub fence_lease_ms: u32,
    /// How long the source waits for requests in flight, in milliseconds.
    pub drain_ms_max: u32,
    /// How long a batch may park clients before the nodes that are not sealed leave it, in milliseconds. A way back that
    /// is not sealed after as long is undone.
    pub cutover_ms_max: u32,
    /// How often a lost fence is set again in one cutover.
    pub fence_attempts_max: u32,
    /// How many changes a target may lag behind and still be verified.
    pub ready_lag_max: u64,
    /// How many nodes seed at the same time.
    pub seeding_nodes_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fence_lease_ms: 15_000,
            drain_ms_max: 10_000,
            cutover_ms_max: 30_000,
            fence_attempts_max: 3,
            ready_lag_max: 50,
            seeding_nodes_max: 4,
        }
    }
}

impl Limits {
    /// [`Self::cutover_ms_max`] as a duration.
    #[must_use]
    pub const fn cutover_max(&self) -> Duration {
        Duration::from_millis(self.cutover_ms_max as u64)
    }
}

/// A shard that an operator added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Its name; its certificate carries it.
    pub shard: ShardId,
    /// host:port of its control listener.
    pub control_address: String,
    /// host:port that other shards pull from, as it said itself.
    pub peer_address: String,
    /// host:port that routers pass clients to, as it said itself.
    pub client_address: String,
    /// Its size, as it said itself.
    pub capacity: ByteCount,
}

/// A router that an operator added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Router {
    /// Its name; its certificate carries it.
    pub router: RouterId,
    /// host:port of its control listener.
    pub control_address: String,
}

/// A plan in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedPlan {
    /// Its revision.
    pub revision: u64,
    /// The file, comments included.
    pub text: String,
    /// When it was applied.
    pub applied_at: UnixMillis,
}

/// A one-time permission to get a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentGrant {
    /// For whom.
    pub node: NodeId,
    /// Until when.
    pub expires_at: UnixMillis,
    /// The hash of the public key it was used for. The same key again is a repetition after a lost answer.
    pub used_for: Option<Sha256>,
}

/// What a status API token opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusGrant {
    /// Whose nodes it shows.
    pub customer: CustomerId,
    /// Until when.
    pub expires_at: UnixMillis,
}

/// All that is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// The cluster.
    pub cluster: ClusterId,
    /// The zone below which nodes get their server names.
    pub zone: ServerName,
    /// The present leadership.
    pub term: Term,
    /// Bounds of a cutover.
    pub limits: Limits,
    /// How many nodes seeding at the same time are worth it, as measured; `None`: as many as the limits allow.
    #[serde(default)]
    pub seeding_advised: Option<u32>,
    /// All shards.
    pub shards: BTreeMap<ShardId, Shard>,
    /// All routers.
    pub routers: BTreeMap<RouterId, Router>,
    /// All nodes.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Which node has each server name: an index of `nodes`.
    #[serde(default)]
    pub server_names: BTreeMap<ServerName, NodeId>,
    /// The plan in force.
    pub plan: Option<AppliedPlan>,
    /// All batches of all plans.
    pub batches: BTreeMap<BatchId, Batch>,
    /// Version of the routes that follow from the placements (INV-06).
    pub route_version: u64,
    /// Enrolment tokens by the hash of the token.
    pub enrolments: BTreeMap<Sha256, EnrolmentGrant>,
    /// Status API tokens by the hash of the token.
    pub status_tokens: BTreeMap<Sha256, StatusGrant>,
    /// Certificates of the cluster by their serial, until some time after their end.
    #[serde(default)]
    pub certificates: BTreeMap<String, CertificateRecord>,
    /// The revocation list that holds.
    #[serde(default)]
    pub revocation_list: RevocationListState,
}

impl World {
    /// A cluster in which nothing has happened.
    #[must_use]
    pub fn new(cluster: ClusterId, zone: ServerName) -> Self {
        Self {
            cluster,
            zone,
            term: Term(0),
            limits: Limits::default(),
            seeding_advised: None,
            shards: BTreeMap::new(),
            routers: BTreeMap::new(),
            nodes: BTreeMap::new(),
            server_names: BTreeMap::new(),
            plan: None,
            batches: BTreeMap::new(),
            route_version: 0,
            enrolments: BTreeMap::new(),
            status_tokens: BTreeMap::new(),
            certificates: BTreeMap::new(),
            revocation_list: RevocationListState::default(),
        }
    }

    /// Revision of the plan in force; 0 without one.
    #[must_use]
    pub fn plan_revision(&self) -> u64 {
        self.plan.as_ref().map_or(0, |plan| plan.revision)
    }
}
