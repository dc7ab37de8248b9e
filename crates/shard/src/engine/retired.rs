//! A former writer that follows the new one: stopping, and going on.
//!
//! It was equal to the writer at a known seq and has applied the writer's journal ever since. That seq is kept for as long as
//! the copy is, so that it can follow again at any time without a listing.

use super::error::EngineError;
use super::record::{Accepted, Mode, ReplicaRecord};
use super::{Engine, NodeRecord};
use shardlift_model::{NodeId, ShardId, Token};
use std::sync::Arc;

impl Engine {
    /// Stops following the writer and keeps what is here: the node is retired. Its job has ended before this is called. A first copy is
    /// left as it is, too, and would begin anew.
    ///
    /// # Errors
    /// As [`Engine::command`]; [`EngineError::Refused`] unless the node follows a writer, is a first copy, or is retired.
    pub async fn detach(self: &Arc<Self>, node: &NodeId, token: Token) -> Result<Accepted, EngineError> {
        let edit = |record: &mut NodeRecord| match (&record.mode, record.follows()) {
            (_, Some(source)) => {
                record.mode = Mode::Retired { target: source.clone() };
                Ok(())
            }
            (Mode::Incoming { source, .. }, None) => {
                record.mode = Mode::Retired { target: source.clone() };
                (record.begins_anew, record.replica) = (true, None);
                Ok(())
            }
            (Mode::Retired { .. }, None) => Ok(()),
            (mode, None) => Err(EngineError::refused(format!(
                "the node is {} here; only a copy that follows the writer is detached",
                mode.word()
            ))),
        };
        let accepted = self.command(node, token, edit).await?;
        self.cell(node)?.follow_mode();
        Ok(accepted)
    }
}

/// INV-07: a copy that was the writer once takes nothing from a shard that it was never equal to.
pub(super) fn may_follow_again(
    replica: Option<&ReplicaRecord>,
    target: &ShardId,
    source: &ShardId,
) -> Result<(), EngineError> {
    if source != target {
        return Err(EngineError::refused(format!(
            "the node is retired here and has moved to {target}; it can follow {target} again, not {source}"
        )));
    }
    if !replica.is_some_and(|replica| replica.resumed) {
        return Err(EngineError::refused(
            "the node is retired here without a record of where it was equal to its target; put it into quarantine and \
             move the folder away to have it copied anew",
        ));
    }
    Ok(())
}
