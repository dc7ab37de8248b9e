//! Commands to shards. Each is idempotent: the same command with the same token has the same outcome.

use crate::settings::Settings;
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

/// What a shard is told to do with one node. Giver and taker: see [`crate::Direction`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Source: let the target read.
    Offer {
        /// Who may read.
        target: ShardId,
    },
    /// Target: create the incoming copy and pull. A copy that was served before goes on where it stopped following.
    StartReplica {
        /// Where from.
        source: ShardId,
        /// Copy objects that do not match their name as they are.
        accept_damaged: bool,
    },
    /// Target: compare and read again.
    VerifyReplica,
    /// Giver: stop admitting mutations.
    Fence,
    /// Taker: pull up to the final state.
    CompleteReplica {
        /// As named by the giver.
        expected: FinalState,
    },
    /// Giver: give up the right to resume.
    Seal {
        /// As both sides have it.
        expected: FinalState,
    },
    /// Taker: become the writer.
    Promote {
        /// As committed.
        expected: FinalState,
        /// The giver: the one shard that may read the node from then on.
        follower: ShardId,
        /// What an operator set since the taker was the writer last. `None` where it came with the last changes.
        settings: Option<Settings>,
    },
    /// Giver: forward clients to the new writer, and follow it.
    Retire {
        /// The writer.
        target: ShardId,
        /// The writer's own last change when it was promoted: both were equal there.
        from_seq: u64,
    },
    /// A copy that follows the writer: stop following and keep what is there.
    Detach,
    /// Taker of a takeover: stop following and forwarding for ever, and name what is there.
    TakeStock,
    /// Giver of a takeover, when it returns: give up the node, keep what is there, follow nobody.
    Depose,
    /// Old copy: rename it aside.
    Quarantine,
    /// Old copy: take it out of quarantine.
    Restore,
    /// Writer: end old credentials.
    EndLegacyCredentials,
    /// Giver: admit mutations again.
    Unfence,
    /// Target: give up the incoming copy.
    DiscardReplica,
}
