//! One node: where it is, who owns it, and its present move.

use crate::command::FinalState;
use crate::stage::Stage;
use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, CustomerId, Generation, NodeId, ServerName, Sha256, ShardId, Step, UnixMillis};

/// What the controller knows for sure about a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub node: NodeId,
    /// Whose it is.
    pub customer: CustomerId,
    /// What its client connects to.
    pub server_name: ServerName,
    /// The committed placement: the one writer.
    pub shard: ShardId,
    /// Fence of the placement.
    pub generation: Generation,
    /// Number of the last command that was decided under this generation.
    pub step: Step,
    /// How far the new certificate is.
    pub certificate: CertificateState,
    /// Hash of the last enrolment token that was used.
    #[serde(default)]
    pub enrolled_with: Option<Sha256>,
    /// Serials handed out under the last enrolment token, oldest first: more than one when an answer was lost.
    #[serde(default)]
    pub serials: Vec<String>,
    /// The present or last move.
    pub migration: Option<Migration>,
}

/// How far a node's new certificate is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum CertificateState {
    /// Nothing yet.
    #[default]
    None,
    /// A one-time token exists.
    TokenCreated,
    /// The client has fetched a certificate.
    Issued {
        /// Its serial.
        serial: String,
    },
    /// A shard has seen a handshake with it.
    InUse {
        /// Its serial.
        serial: String,
    },
}

/// One node's move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// The batch it flips with.
    pub batch: BatchId,
    /// Where it leaves.
    pub source: ShardId,
    /// Where it goes.
    pub target: ShardId,
    /// Where it stands.
    pub stage: Stage,
    /// When it came there.
    pub stage_since: UnixMillis,
    /// An operator accepted objects that were damaged before the move.
    pub accept_damaged: bool,
    /// What both sides had at the last comparison.
    pub verified: Option<FinalState>,
    /// The final state, from the fence on.
    pub final_state: Option<FinalState>,
    /// Needs an operator: why.
    pub held: Option<Held>,
    /// Why it is being undone or was.
    pub undo_reason: Option<String>,
    /// How often the fence was lost and set again in this cutover.
    pub fence_attempts: u32,
    /// Why the fence was lost the last time.
    #[serde(default)]
    pub fence_lost: Option<String>,
    /// Work has to be begun anew under a new token: a fence was lost, or an operator let a held move go on.
    #[serde(default)]
    pub reenter: bool,
}

/// A move that needs an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What happened.
    pub reason: String,
    /// What to do about it.
    pub advice: String,
    /// Since when.
    pub since: UnixMillis,
}

impl Migration {
    /// A move that nobody has begun.
    #[must_use]
    pub const fn planned(batch: BatchId, source: ShardId, target: ShardId, at: UnixMillis) -> Self {
        Self {
            batch,
            source,
            target,
            stage: Stage::Planned,
            stage_since: at,
            accept_damaged: false,
            verified: None,
            final_state: None,
            held: None,
            undo_reason: None,
            fence_attempts: 0,
            fence_lost: None,
            reenter: false,
        }
    }

    /// True when the node no longer flips with its batch: its undo is decided, under way or over.
    #[must_use]
    pub const fn has_left(&self) -> bool {
        self.undo_reason.is_some() || matches!(self.stage, Stage::Unfencing | Stage::Discarding | Stage::Aborted)
    }

    /// True when this many damaged objects do not stand in the way of the move (INV-05).
    #[must_use]
    pub const fn tolerates(&self, state: &FinalState) -> bool {
        state.damaged == 0 || self.accept_damaged
    }

    /// True when the move waits for an operator or for its turn to begin anew: nothing runs for it meanwhile.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.held.is_some() || self.reenter || (self.undo_reason.is_some() && !self.stage.is_undo())
    }
}

impl CertificateState {
    /// The word for people and files.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::TokenCreated => "token",
            Self::Issued { .. } => "issued",
            Self::InUse { .. } => "in_use",
        }
    }
}
