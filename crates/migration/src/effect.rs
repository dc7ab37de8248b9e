//! What should be running now, derived from the state alone.

mod derive;

pub use derive::effects;

use crate::command::Command;
use shardlift_model::{BatchId, Generation, NodeId, ServerName, ShardId, Token};

/// Something to do or to watch. Equal effects are the same effect: it is started once and ends when it is no longer derived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send a command until it is answered.
    Send {
        /// Which node.
        node: NodeId,
        /// The command's place in the order.
        token: Token,
        /// To whom.
        shard: ShardId,
        /// What.
        command: Command,
    },
    /// Renew a fence well before its lease ends.
    RenewFence {
        /// Which node.
        node: NodeId,
        /// The token of the present stage.
        token: Token,
        /// The fenced giver.
        shard: ShardId,
    },
    /// Ask how the incoming copy is doing and report what matters to the stage.
    WatchReplica {
        /// Which node.
        node: NodeId,
        /// The token of the present stage.
        token: Token,
        /// The target.
        shard: ShardId,
    },
    /// Bring every router to the routes that follow from the placements, and read them back.
    SyncRouters {
        /// Their version.
        version: u64,
    },
    /// Ask through every router which shard a server name reaches.
    Probe {
        /// Which node.
        node: NodeId,
        /// The token of the present stage.
        token: Token,
        /// The name to ask for.
        server_name: ServerName,
        /// Who should answer.
        shard: ShardId,
        /// With which fence.
        generation: Generation,
    },
    /// Look for what the verdict needs: backups at the writer, lag and health of the follower. Reports `Input::SoakSeen`.
    WatchSoak {
        /// Which node.
        node: NodeId,
        /// The token of the present stage.
        token: Token,
        /// Who serves it.
        writer: ShardId,
        /// Who follows.
        follower: ShardId,
        /// Have both copies compared and read again.
        verify: bool,
    },
    /// Make the receipt of a completed move, sign it and have it recorded: `Input::RecordReceipt`.
    IssueReceipt {
        /// Of which node.
        node: NodeId,
        /// The fence of the move.
        generation: Generation,
    },
    /// Ask whether a batch may flip now, again and again: `Input::CutoverClear` is the answer.
    AskCutover {
        /// Which batch.
        batch: BatchId,
        /// Ask every router whether it answers, and these sources whether these nodes are idle: locks younger than 30
        /// minutes, requests in flight and open connections together. `None`: idle or not is all the same.
        idle: Option<Vec<(NodeId, ShardId)>>,
    },
}

impl Effect {
    /// The node that it is about, and the shard that it goes to. `None` for what is about all nodes or a whole batch.
    #[must_use]
    pub const fn goes_to(&self) -> Option<(&NodeId, &ShardId)> {
        match self {
            Self::Send { node, shard, .. }
            | Self::RenewFence { node, shard, .. }
            | Self::WatchReplica { node, shard, .. }
            | Self::WatchSoak { node, writer: shard, .. }
            | Self::Probe { node, shard, .. } => Some((node, shard)),
            Self::SyncRouters { .. } | Self::AskCutover { .. } | Self::IssueReceipt { .. } => None,
        }
    }

    /// The token that it bears.
    #[must_use]
    pub const fn token(&self) -> Option<Token> {
        match self {
            Self::Send { token, .. }
            | Self::RenewFence { token, .. }
            | Self::WatchReplica { token, .. }
            | Self::WatchSoak { token, .. }
            | Self::Probe { token, .. } => Some(*token),
            Self::SyncRouters { .. } | Self::AskCutover { .. } | Self::IssueReceipt { .. } => None,
        }
    }
}
