//! What the state machines react to: operators, observations, and answers to effects.

use crate::certificates::CertificateHolder;
use crate::command::FinalState;
use crate::settings::Settings;
use crate::soak::SoakFact;
use crate::world::{Limits, Router, Shard};
use serde::{Deserialize, Serialize};
use shardlift_model::{
    BatchId, CustomerId, Generation, NodeId, RevocationReason, ServerName, Sha256, ShardId, Term, Token, UnixMillis,
};
use shardlift_planner::Plan;
use std::collections::BTreeMap;

/// Something that wants a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// This controller won its term.
    Lead {
        /// The term.
        term: Term,
    },
    /// The configured limits.
    SetLimits {
        /// All of them.
        limits: Limits,
    },
    /// So many nodes seeding at the same time are worth it: what was measured says so.
    AdviseSeeding {
        /// How many.
        count: u32,
    },
    /// An operator added a shard, or a shard described itself anew.
    RecordShard {
        /// As it is now.
        shard: Shard,
    },
    /// An operator added a router.
    RecordRouter {
        /// As it is now.
        router: Router,
    },
    /// A shard listed a node that it serves.
    NodeListed {
        /// Which.
        node: NodeId,
        /// By whom.
        shard: ShardId,
        /// The shard's fence for it.
        generation: Generation,
        /// Owner recorded at the shard, if any.
        customer: Option<CustomerId>,
        /// Server name recorded at the shard, if any.
        server_name: Option<ServerName>,
    },
    /// An operator said whose a node is.
    DefineNode {
        /// Which.
        node: NodeId,
        /// Whose.
        customer: Option<CustomerId>,
        /// What its client connects to.
        server_name: Option<ServerName>,
    },
    /// A reviewed and checked plan.
    ApplyPlan {
        /// The plan.
        plan: Plan,
        /// Its file.
        text: String,
        /// The revision that the operator reviewed.
        reviewed_revision: u64,
    },
    /// Start a batch.
    StartBatch {
        /// Which.
        batch: BatchId,
    },
    /// Hold a batch.
    PauseBatch {
        /// Which.
        batch: BatchId,
    },
    /// Let a batch go on.
    ResumeBatch {
        /// Which.
        batch: BatchId,
    },
    /// End the soak.
    ReleaseBatch {
        /// Which.
        batch: BatchId,
        /// Whatever its verdict.
        force: bool,
    },
    /// Move all nodes of a batch back that can be.
    RollBackBatch {
        /// Which.
        batch: BatchId,
        /// Why.
        reason: String,
        /// Its nodes whose writer is gone for good: changes of the writer after this one are given up.
        losses: BTreeMap<NodeId, u64>,
    },
    /// Every router and every source was asked whether a batch may flip now: the answer to `Effect::AskCutover`.
    CutoverClear {
        /// Which.
        batch: BatchId,
        /// No node of it has a session. True when that was not asked.
        idle: bool,
        /// Every router answers. True when there is none.
        routers: bool,
    },
    /// Take a node out of its batch before the commit.
    AbortNode {
        /// Which.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// Move a node back to where it came from.
    RollBackNode {
        /// Which.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// Prove the way back of a node without going it.
    RehearseRollback {
        /// Which.
        node: NodeId,
    },
    /// Move a node back to where it came from without its writer, which is gone for good.
    TakeOver {
        /// Which.
        node: NodeId,
        /// Changes of the writer after this one are given up.
        after_seq: u64,
        /// Why.
        reason: String,
    },
    /// The former writer of a node that went back will never return: do not wait for it any more.
    WriteOffWriter {
        /// Which.
        node: NodeId,
    },
    /// Prove the way back of one node of a batch, the canary, without going it.
    RehearseBatch {
        /// Which.
        batch: BatchId,
    },
    /// Take the old copy of a released node out of quarantine, and let it follow again.
    RestoreNode {
        /// Which.
        node: NodeId,
    },
    /// A soaking node was looked at.
    SoakSeen {
        /// Which.
        node: NodeId,
        /// What was seen.
        fact: SoakFact,
    },
    /// The writer of a node has taken what an operator set for it.
    RecordSettings {
        /// Which.
        node: NodeId,
        /// Of the placement whose writer said so.
        generation: Generation,
        /// All of them.
        settings: Settings,
    },
    /// Let a held node go on.
    RetryNode {
        /// Which.
        node: NodeId,
        /// Damaged objects are accepted.
        accept_damaged: bool,
    },
    /// Make an enrolment token.
    GrantEnrolment {
        /// For whom.
        node: NodeId,
        /// Hash of the token.
        token: Sha256,
        /// Until when.
        expires_at: UnixMillis,
    },
    /// A client presents a token and a public key; the certificate is made but not yet handed out.
    Enrol {
        /// Hash of the token.
        token: Sha256,
        /// Hash of the public key.
        public_key: Sha256,
        /// Serial of the certificate that will be handed out.
        serial: String,
        /// When it ends.
        not_after: UnixMillis,
    },
    /// A certificate was made for a part or an operator; not yet handed out.
    RecordCertificate {
        /// Its serial.
        serial: String,
        /// Whom it names.
        holder: CertificateHolder,
        /// When it ends.
        not_after: UnixMillis,
    },
    /// A certificate was made for whoever showed an older one of the same name; not yet handed out.
    RenewCertificate {
        /// Serial of the one that was shown.
        shown: String,
        /// Serial of the new one.
        serial: String,
        /// Whom both name.
        holder: CertificateHolder,
        /// When the new one ends.
        not_after: UnixMillis,
    },
    /// Take certificates back.
    Revoke(Revocation),
    /// See whether a new revocation list is due.
    RenewRevocationList,
    /// Make a status API token.
    GrantStatus {
        /// For whom.
        customer: CustomerId,
        /// Hash of the token.
        token: Sha256,
        /// Until when.
        expires_at: UnixMillis,
    },
    /// A shard saw a node's certificate of this cluster in a handshake.
    CertificateSeen {
        /// Which node.
        node: NodeId,
        /// Serial of the certificate.
        serial: String,
    },
    /// An effect was answered.
    Answer {
        /// Which node.
        node: NodeId,
        /// The token it was sent with; an answer to anything but the present stage is ignored.
        token: Token,
        /// What came of it.
        outcome: Outcome,
    },
    /// Every router was read back and holds the routes of this version.
    RoutesConfirmed {
        /// The version.
        version: u64,
    },
    /// What an operator asks, with the name of who did.
    Ordered {
        /// Whose certificate it was.
        by: String,
        /// What is asked.
        input: Box<Self>,
    },
    /// The receipt of a completed move was made and signed.
    RecordReceipt {
        /// Of which node.
        node: NodeId,
        /// The fence of the move.
        generation: Generation,
        /// The signed envelope.
        receipt: String,
    },
    /// Time has passed.
    Tick,
}

/// What came of an effect for one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The command was carried out and needs no further word.
    Done,
    /// `Fence`: the final state.
    Fenced {
        /// As the giver has it.
        state: FinalState,
    },
    /// `CompleteReplica`: the taker's state.
    Completed {
        /// As the taker has it.
        state: FinalState,
    },
    /// `TakeStock`: what the taker has.
    StockTaken {
        /// Its seq is the giver's last change that is in it.
        state: FinalState,
    },
    /// `Promote`: the taker is the writer, durably.
    Promoted {
        /// Its own last change then.
        seq: u64,
        /// Snapshots that it had then.
        snapshots: u64,
    },
    /// The watched replica has all objects and tails the journal.
    Following {
        /// Changes not yet applied.
        lag: u64,
    },
    /// The watched replica was compared equal.
    Verified {
        /// At this state.
        state: FinalState,
    },
    /// The replica cannot go on without an operator.
    ReplicaFailed {
        /// What happened.
        reason: String,
        /// True when it is damage at the source that an operator may accept.
        damaged_at_source: bool,
    },
    /// The probe reached this shard.
    Probed {
        /// Who answered.
        shard: ShardId,
        /// The fence it has.
        generation: Generation,
        /// Whether it serves the node.
        serving: bool,
    },
    /// The fence is gone: lease over or giver restarted.
    FenceLost {
        /// Why.
        reason: String,
    },
    /// The command was refused for good.
    Refused {
        /// Why.
        reason: String,
    },
}

/// Certificates that are to be taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocation {
    /// These.
    pub serials: Vec<String>,
    /// All of these nodes.
    pub nodes: Vec<NodeId>,
    /// Why.
    pub reason: RevocationReason,
}
