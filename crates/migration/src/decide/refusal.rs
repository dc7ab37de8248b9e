//! A request that cannot be carried out, in the words of the one who made it.

use crate::legal::Illegal;

/// Which kind of no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// There is no such thing.
    NotFound,
    /// The request makes no sense in any state.
    Invalid,
    /// Something else has the place or the name.
    Conflict,
    /// Not in the present state.
    Precondition,
}

/// Why nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Which kind of no.
    pub kind: RefusalKind,
    /// What is the matter.
    pub message: String,
    /// What to do about it; may be empty.
    pub advice: String,
}

impl Refusal {
    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { kind: RefusalKind::NotFound, message: message.into(), advice: advice.into() }
    }

    /// The request makes no sense in any state.
    pub(crate) fn invalid(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Invalid, message: message.into(), advice: advice.into() }
    }

    /// Something else has the place or the name.
    pub(crate) fn conflict(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Conflict, message: message.into(), advice: advice.into() }
    }

    /// Not in the present state.
    pub(crate) fn precondition(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Precondition, message: message.into(), advice: advice.into() }
    }
}

impl From<Illegal> for Refusal {
    /// For requests whose only conditions are those of the event itself.
    fn from(illegal: Illegal) -> Self {
        let message = illegal.to_string();
        match illegal {
            Illegal::UnknownNode(_) => Self::not_found(message, "`shardlift node list` shows all nodes"),
            Illegal::UnknownShard(_) => Self::not_found(message, "`shardlift shard list` shows all shards"),
            Illegal::UnknownBatch(_) => Self::not_found(message, "`shardlift batch list` shows all batches"),
            Illegal::Limits(_) => Self::invalid(message, "change `limits` in the controller's configuration"),
            Illegal::Address(_) => Self::invalid(message, "an address is a host name or IP, a colon and a port"),
            Illegal::AddressTaken { .. } => Self::conflict(message, "give each server its own control address"),
            Illegal::ServerNameTaken { .. } => Self::conflict(message, "choose another server name"),
            Illegal::Term { .. } => Self::conflict(message, "another controller leads; this one must stop"),
            Illegal::KnownNode(_) | Illegal::StatusToken => Self::conflict(message, ""),
            _ => Self::precondition(message, ""),
        }
    }
}
