//! What can go wrong in the engine, told apart by what the caller can do about it: a refusal, a failure, damage.

use shardlift_model::{NodeId, ObjectKey, Sha256, Token};
use std::path::PathBuf;
use std::sync::Arc;

/// Why the engine did not do something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// Refusal: no such node here.
    #[error("node {0} is not on this shard")]
    NodeUnknown(NodeId),
    /// Refusal: the command is older than one already accepted (INV-03).
    #[error("the command's token is stale: {highest} was already accepted")]
    StaleToken {
        /// The highest token persisted for the node.
        highest: Token,
    },
    /// Refusal: the node's mode forbids it.
    #[error("refused: {0}")]
    Refused(String),
    /// Refusal: the node does not take this kind of mutation in its present mode (INV-01, INV-04).
    #[error("node {node} does not take mutations: it is {mode}")]
    NotWritable {
        /// Which node.
        node: NodeId,
        /// Its mode, in a word.
        mode: &'static str,
    },
    /// Refusal: there is no live fence (any more) that the command could rest on.
    #[error("the fence is lost: {0}")]
    FenceLost(&'static str),
    /// Failure: requests in flight did not end in time; the node goes on as before.
    #[error("{0} requests in flight did not end in time")]
    DrainTimedOut(u64),
    /// Refusal: the two sides do not hold the same.
    #[error("digests differ: {0}")]
    DigestDiffers(String),
    /// Damage: the journal says the object is there, the disk says it is not. Never to be taken for "deleted".
    #[error("object {key} of node {node} is recorded but missing on disk")]
    Missing {
        /// Whose.
        node: NodeId,
        /// Which.
        key: ObjectKey,
    },
    /// Damage: the file is not as long as it was when it was acknowledged.
    #[error("object {key} of node {node} has {found} bytes on disk, {recorded} are recorded")]
    SizeDiffers {
        /// Whose.
        node: NodeId,
        /// Which.
        key: ObjectKey,
        /// Length of the file.
        found: u64,
        /// Length in the index.
        recorded: u64,
    },
    /// Failure: a file or folder.
    #[error("{what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Failure: the index. The engine has stopped taking mutations; only a restart helps.
    #[error("the index failed")]
    Index(#[source] Arc<redb::Error>),
    /// Failure: an earlier write failed, so that nothing is acknowledged any more. Only a restart helps.
    #[error("the shard has stopped taking changes after a failed write")]
    Stopped,
    /// Failure: a record of the index cannot be read.
    #[error("a record of the index cannot be read: {0}")]
    Record(String),
    /// Refusal at start: state and data do not belong together, or one of them is gone.
    #[error("the shard's state cannot be used: {0}")]
    State(String),
}

/// Why an upload was not taken. Nothing of it is left behind.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PutError {
    /// The bytes are not what the name (or the record) promises.
    #[error("the bytes hash to {found}")]
    HashMismatch {
        /// Their hash.
        found: Sha256,
    },
    /// The body ended before the declared length.
    #[error("the body ended after {received} of {declared} bytes")]
    TooShort {
        /// Bytes that came.
        received: u64,
        /// Bytes announced.
        declared: u64,
    },
    /// The body is longer than declared.
    #[error("the body is longer than the {declared} bytes announced")]
    TooLarge {
        /// Bytes announced.
        declared: u64,
    },
    /// There is one already, and it differs. Only for config: other names say what the bytes are.
    #[error("the object exists and differs")]
    Exists,
    /// The node's quota is used up.
    #[error("the quota of the node is used up")]
    QuotaExceeded,
    /// The disk, or the capacity given to this shard, is full.
    #[error("no space is left on this shard")]
    DiskFull,
    /// No such node here.
    #[error("node {0} is not on this shard")]
    NodeUnknown(NodeId),
    /// Anything else.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl EngineError {
    /// For `map_err`: names what was tried on which path.
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source: Arc::new(source) }
    }

    /// An error of the index.
    pub(crate) fn index(error: impl Into<redb::Error>) -> Self {
        Self::Index(Arc::new(error.into()))
    }

    /// A refusal with its reason.
    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }

    /// True when the caller asked for what cannot be, as opposed to a broken machine.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::NodeUnknown(_)
                | Self::StaleToken { .. }
                | Self::Refused(_)
                | Self::NotWritable { .. }
                | Self::FenceLost(_)
                | Self::DrainTimedOut(_)
                | Self::DigestDiffers(_)
        )
    }
}

impl PutError {
    /// Tells a full disk from other failures.
    pub(crate) fn from_io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Engine(EngineError::io(what, path)(source)),
        }
    }
}
