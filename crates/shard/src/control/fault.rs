//! The one mapping from what goes wrong in the engine to what the controller and other shards see.

use crate::engine::EngineError;
use shardlift_api::fault::{Fault, FaultKind};

/// What a caller sees of an engine's error.
pub(crate) fn of_engine(error: EngineError) -> Fault {
    match error {
        EngineError::NodeUnknown(_) => Fault::new(FaultKind::NotFound, error.to_string()),
        EngineError::StaleToken { .. } => Fault::new(FaultKind::StaleToken, error.to_string()),
        EngineError::Refused(_)
        | EngineError::NotWritable { .. }
        | EngineError::FenceLost(_)
        | EngineError::DrainTimedOut(_)
        | EngineError::DigestDiffers(_) => Fault::new(FaultKind::Refused, error.to_string()),
        EngineError::Missing { .. } | EngineError::SizeDiffers { .. } => {
            Fault::new(FaultKind::DataLoss, error.to_string())
        }
        EngineError::Io { .. }
        | EngineError::Index(_)
        | EngineError::Stopped
        | EngineError::Record(_)
        | EngineError::State(_) => Fault::internal(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_model::Token;
    use std::path::PathBuf;
    use std::sync::Arc;

    #[test]
    fn a_stale_token_is_answered_with_the_highest_one() {
        let fault = of_engine(EngineError::StaleToken { highest: Token::new(7, 3, 2) });
        assert_eq!(fault.kind(), FaultKind::StaleToken);
        assert!(fault.public().contains("7.3.2"), "{fault}");
    }

    #[test]
    fn paths_and_causes_stay_inside() {
        let source = Arc::new(std::io::Error::other("secret cause"));
        let error = EngineError::Io { what: "cannot open", path: PathBuf::from("/srv/secret"), source };
        let fault = of_engine(error);
        assert_eq!(fault.kind(), FaultKind::Internal);
        assert!(!fault.public().contains("secret"));
    }
}
