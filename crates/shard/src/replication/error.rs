//! Why a copy does not go on, in the kinds that must never be mixed up: waiting, failed, the own storage, told to end.

use crate::engine::{EngineError, PutError};

/// Why a step of a replica job did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    /// Nothing is wrong that time cannot heal: tried again, for ever.
    #[error("{0}")]
    Waiting(String),
    /// Trying again changes nothing: an operator must look.
    #[error("{0}")]
    Failed(String),
    /// The own storage.
    #[error("the own storage failed")]
    Storage(#[from] EngineError),
    /// The job was told to end, or to do something else.
    #[error("interrupted")]
    Interrupted,
}

/// A full disk may empty again; any other refusal of the own storage is for an operator.
impl From<PutError> for PullError {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Engine(error) => Self::Storage(error),
            PutError::DiskFull | PutError::QuotaExceeded => Self::Waiting(error.to_string()),
            PutError::HashMismatch { .. }
            | PutError::TooShort { .. }
            | PutError::TooLarge { .. }
            | PutError::Exists
            | PutError::NodeUnknown(_) => Self::Failed(format!("the own storage refuses an object: {error}")),
        }
    }
}
