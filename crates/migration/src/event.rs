//! What happened. Past tense, one file, the only thing that is stored; [`crate::apply`] gives it its meaning.

use crate::batch::{Batch, Verdict};
use crate::certificates::CertificateHolder;
use crate::command::FinalState;
use crate::node::Held;
use crate::record::Order;
use crate::settings::Settings;
use crate::soak::SoakFact;
use crate::stage::Stage;
use crate::world::{AppliedPlan, EnrolmentGrant, Limits, Router, Shard, StatusGrant};
use serde::{Deserialize, Serialize};
use shardlift_model::{
    BatchId, CustomerId, Generation, NodeId, RevocationReason, ServerName, Sha256, ShardId, Step, Term, UnixMillis,
};

/// A recorded fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A controller took over.
    LeadershipTaken {
        /// Its term.
        term: Term,
    },
    /// The bounds of cutovers changed.
    LimitsSet {
        /// The new ones.
        limits: Limits,
    },
    /// Another number of nodes seeding at the same time is worth it. The limits stay above it.
    SeedingAdvised {
        /// How many.
        count: u32,
    },
    /// A shard was added, or said something new about itself.
    ShardRecorded {
        /// As it is now.
        shard: Shard,
    },
    /// A router was added or moved.
    RouterRecorded {
        /// As it is now.
        router: Router,
    },
    /// A node was found on a shard that serves it. Its route exists from now on.
    NodeFound {
        /// Its name.
        node: NodeId,
        /// Whose it is, by default.
        customer: CustomerId,
        /// What its client connects to, by default.
        server_name: ServerName,
        /// Where it was found.
        shard: ShardId,
        /// The fence that the shard has for it.
        generation: Generation,
        /// Version of the routes with it.
        route_version: u64,
    },
    /// An operator said whose a node is and what its client connects to.
    NodeDefined {
        /// Which.
        node: NodeId,
        /// Whose it is.
        customer: CustomerId,
        /// What its client connects to.
        server_name: ServerName,
        /// Version of the routes with it.
        route_version: u64,
    },
    /// A reviewed plan came into force.
    PlanApplied {
        /// The plan.
        plan: AppliedPlan,
        /// Its new batches.
        batches: Vec<Batch>,
        /// Nodes whose damaged objects are accepted.
        accept_damaged: Vec<NodeId>,
    },
    /// An operator started a batch; its nodes begin to move.
    BatchStarted {
        /// Which.
        batch: BatchId,
        /// When.
        at: UnixMillis,
    },
    /// An operator holds a batch.
    BatchPaused {
        /// Which.
        batch: BatchId,
    },
    /// An operator lets a batch go on.
    BatchResumed {
        /// Which.
        batch: BatchId,
    },
    /// All nodes still in the batch are ready.
    BatchReady {
        /// Which.
        batch: BatchId,
        /// When.
        at: UnixMillis,
    },
    /// Nothing stands before its flip any more: the batch cuts over.
    CutoverStarted {
        /// Which.
        batch: BatchId,
        /// When.
        at: UnixMillis,
    },
    /// The point of no return, for the whole batch in one record (INV-05).
    BatchCommitted {
        /// Which.
        batch: BatchId,
        /// When.
        at: UnixMillis,
        /// Every node that was sealed, with its new placement.
        placements: Vec<Placement>,
    },
    /// All committed nodes of a batch are served by their targets, or were moved back.
    BatchSettled {
        /// Which.
        batch: BatchId,
    },
    /// The soak of a batch came to a verdict.
    VerdictReached {
        /// Which.
        batch: BatchId,
        /// Which verdict.
        verdict: Verdict,
    },
    /// The soak ended: by an operator, or because the last node that soaked was released or moved back.
    BatchReleased {
        /// Which.
        batch: BatchId,
        /// When.
        at: UnixMillis,
    },
    /// Every node left the batch.
    BatchAborted {
        /// Which.
        batch: BatchId,
    },
    /// No node of a batch is served by its target any more, and at least one was moved back.
    BatchRolledBack {
        /// Which.
        batch: BatchId,
    },
    /// A node's move came to a stage. The step is the number of the command that belongs to it.
    StageEntered {
        /// Which node.
        node: NodeId,
        /// Where it stands now.
        stage: Stage,
        /// Number of the stage's command.
        step: Step,
        /// When.
        at: UnixMillis,
    },
    /// Both sides were equal.
    ReplicaVerified {
        /// Which node.
        node: NodeId,
        /// What they had.
        state: FinalState,
    },
    /// The fenced source named its final state.
    FinalStateNamed {
        /// Which node.
        node: NodeId,
        /// Both sides must have this.
        state: FinalState,
    },
    /// A fence was lost and is set again.
    FenceLost {
        /// Which node.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// A move needs an operator.
    MoveHeld {
        /// Which node.
        node: NodeId,
        /// Why.
        held: Held,
    },
    /// An operator lets a held move go on.
    MoveRetried {
        /// Which node.
        node: NodeId,
        /// Damaged objects are accepted from now on.
        accept_damaged: bool,
    },
    /// A move is undone: it leaves its batch.
    UndoStarted {
        /// Which node.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// The taker became the writer, durably.
    WriterPromoted {
        /// Which node.
        node: NodeId,
        /// The taker's own last change then.
        seq: u64,
        /// Snapshots that it had then.
        snapshots: u64,
    },
    /// A way back began: the node goes from target to source, beginning with the fence.
    RollbackStarted {
        /// Which node.
        node: NodeId,
        /// Why.
        reason: String,
        /// Only as far as can be proved without seal and commit.
        rehearsal: bool,
        /// When.
        at: UnixMillis,
    },
    /// The point of no return of ways back (INV-05).
    RollbackCommitted {
        /// When.
        at: UnixMillis,
        /// Every node that goes back by this, with its new placement.
        placements: Vec<Placement>,
    },
    /// A way back ended before its commit: the target goes on serving, the source follows again.
    RollbackUndone {
        /// Which node.
        node: NodeId,
        /// When.
        at: UnixMillis,
    },
    /// An operator gave the writer up: its follower takes the node over without it.
    TakeoverStarted {
        /// Which node.
        node: NodeId,
        /// Changes of the writer after this one are given up.
        after_seq: u64,
        /// Why.
        reason: String,
        /// When.
        at: UnixMillis,
    },
    /// The follower of a writer that is gone said what it has, and it is enough.
    StockTaken {
        /// Which node.
        node: NodeId,
        /// What will be committed.
        state: FinalState,
    },
    /// The point of no return of a takeover. There is one side only: instead of INV-05, an operator accepted by seq what is
    /// lost.
    TakeoverCommitted {
        /// When.
        at: UnixMillis,
        /// The node with its new placement.
        placement: Placement,
    },
    /// An operator said that a former writer, which clients no longer need, will never return.
    WriterWrittenOff {
        /// Which node.
        node: NodeId,
        /// When.
        at: UnixMillis,
    },
    /// An operator wants the old copy of a released node to follow again.
    RestoreStarted {
        /// Which node.
        node: NodeId,
        /// When.
        at: UnixMillis,
    },
    /// Something was seen during the soak.
    SoakFactSeen {
        /// Which node.
        node: NodeId,
        /// What.
        fact: SoakFact,
        /// When.
        at: UnixMillis,
    },
    /// The writer of a node has taken what an operator set for it.
    SettingsChanged {
        /// Which node.
        node: NodeId,
        /// Of the placement whose writer said so.
        generation: Generation,
        /// All of them.
        settings: Settings,
    },
    /// Who ordered what was just recorded.
    OrderGiven {
        /// What.
        order: Order,
        /// Whose certificate it was.
        by: String,
        /// When.
        at: UnixMillis,
    },
    /// The receipt of a completed move was made. These bytes are the receipt from now on.
    ReceiptIssued {
        /// Of which node.
        node: NodeId,
        /// The fence of the move.
        generation: Generation,
        /// The signed envelope, as it is given out.
        receipt: String,
        /// When.
        at: UnixMillis,
    },
    /// A one-time token was made.
    EnrolmentGranted {
        /// Hash of the token.
        token: Sha256,
        /// What it permits.
        grant: EnrolmentGrant,
    },
    /// A node got its certificate.
    NodeEnrolled {
        /// Hash of the token.
        token: Sha256,
        /// Which node.
        node: NodeId,
        /// Hash of the public key.
        public_key: Sha256,
        /// Serial of the certificate.
        serial: String,
    },
    /// A shard saw a handshake with a node's new certificate.
    CertificateSeen {
        /// Which node.
        node: NodeId,
        /// Serial of the certificate.
        serial: String,
    },
    /// A certificate of the cluster was handed out.
    CertificateIssued {
        /// Its serial: lower-case hex without leading zeros.
        serial: String,
        /// Whom it names.
        holder: CertificateHolder,
        /// When it ends.
        not_after: UnixMillis,
        /// Serial of the certificate that was shown for it; `None`: an operator or a token asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        renews: Option<String>,
    },
    /// Certificates are no longer believed. A new list names them.
    CertificatesRevoked {
        /// Their serials.
        serials: Vec<String>,
        /// Nodes whose enrolment tokens end, too.
        nodes: Vec<NodeId>,
        /// Why.
        reason: RevocationReason,
        /// Since when.
        at: UnixMillis,
    },
    /// A new revocation list took the place of one of the same content.
    RevocationListRenewed {
        /// When.
        at: UnixMillis,
    },
    /// A status API token was made.
    StatusTokenGranted {
        /// Hash of the token.
        token: Sha256,
        /// What it opens.
        grant: StatusGrant,
    },
}

/// A node's new place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Which node.
    pub node: NodeId,
    /// The new writer.
    pub shard: ShardId,
    /// The new fence.
    pub generation: Generation,
    /// What both sides had; after a takeover what the taker has.
    pub final_state: FinalState,
}
