//! What should be running now, derived from the state alone.

mod derive;

pub use derive::effects;

use crate::command::Command;
use shardlift_model::{Generation, NodeId, ServerName, ShardId, Token};

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
        /// The fenced source.
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
}

impl Effect {
    /// The node that it is about, and the shard that it goes to. `None` for routes, which are about all nodes.
    #[must_use]
    pub const fn goes_to(&self) -> Option<(&NodeId, &ShardId)> {
        match self {
            Self::Send { node, shard, .. }
            | Self::RenewFence { node, shard, .. }
            | Self::WatchReplica { node, shard, .. }
            | Self::Probe { node, shard, .. } => Some((node, shard)),
            Self::SyncRouters { .. } => None,
        }
    }
}
