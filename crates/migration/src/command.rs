//! Commands to shards. Each is idempotent: the same command with the same token has the same outcome.

use serde::{Deserialize, Serialize};
use shardlift_model::{Sha256, ShardId};

/// The state both sides must have at the final seq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalState {
    /// Last change that is part of it.
    pub seq: u64,
    /// Root of the digest, locks included.
    pub root: Sha256,
    /// Number of objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many do not match their name.
    pub damaged: u64,
}

/// What a shard is told to do with one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Source: let the target read.
    Offer {
        /// Who may read.
        target: ShardId,
    },
    /// Target: create the incoming copy and pull.
    StartReplica {
        /// Where from.
        source: ShardId,
        /// Copy objects that do not match their name as they are.
        accept_damaged: bool,
    },
    /// Target: compare and read again.
    VerifyReplica,
    /// Source: stop admitting mutations.
    Fence,
    /// Target: pull up to the final state.
    CompleteReplica {
        /// As named by the source.
        expected: FinalState,
    },
    /// Source: give up the right to resume.
    Seal {
        /// As both sides have it.
        expected: FinalState,
    },
    /// Target: become the writer.
    Promote {
        /// As committed.
        expected: FinalState,
    },
    /// Source: let parked clients go to the target.
    Retire {
        /// The writer.
        target: ShardId,
    },
    /// Writer: end old credentials.
    EndLegacyCredentials,
    /// Source: admit mutations again.
    Unfence,
    /// Target: give up the incoming copy.
    DiscardReplica,
}
