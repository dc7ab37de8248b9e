//! The last step of an incoming copy: exactly the state that the fenced source named.
//!
//! The source stands still meanwhile, so its list, its locks and its journal agree. If it does not (the lease ran out),
//! the digests differ and the controller, who compares, does not seal. May be repeated at any point.

use super::error::PullError;
use super::replica::Replica;
use crate::engine::{FinalState, ReplicaPhase};
use shardlift_api::fault::Fault;
use shardlift_api::v1;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// How long to wait for a source that has not reached the state that it named.
const BEHIND_WAIT: Duration = Duration::from_millis(500);

impl Replica {
    /// Goes to the state and says what is here then; the caller compares. What belongs to the node besides its objects is read
    /// meanwhile: the source stands still.
    pub(super) async fn complete(&mut self, expected: FinalState) -> Result<FinalState, PullError> {
        self.copy.hurry();
        let source = self.source.clone();
        let reading = AbortOnDropHandle::new(tokio::spawn(async move { source.side_data().await }));
        let state = self.go_to(expected).await?;
        let ended_badly = |error| PullError::Waiting(format!("reading the source's side data ended badly: {error}"));
        let side = self.net(async { reading.await.map_err(ended_badly)? }).await?;
        // Last, because it sets the times of what is here by then.
        self.merge_side_data(side).await?;
        self.enter(ReplicaPhase::Complete).await?;
        self.shared.progress.moving();
        Ok(state)
    }

    async fn go_to(&mut self, expected: FinalState) -> Result<FinalState, PullError> {
        while self.copy.applied_seq() < expected.seq {
            let before = self.copy.applied_seq();
            self.follow(Some(expected.seq), Duration::ZERO).await?;
            if self.copy.applied_seq() == before {
                tokio::time::sleep(BEHIND_WAIT).await;
                return Err(PullError::Waiting(format!(
                    "the source's journal ends at {before}, before the final seq {}",
                    expected.seq
                )));
            }
        }
        self.reconcile_locks().await?;
        let mut state = self.state().await?;
        if !state.same_content(&expected) && self.copy.applied_seq() == expected.seq {
            let differing = self.settle_differences().await?;
            tracing::warn!(node = %self.copy.node(), differing, "the final digest differed; both were walked down to where they differ");
            state = self.state().await?;
        }
        Ok(state)
    }

    async fn state(&self) -> Result<FinalState, PullError> {
        Ok(FinalState::new(&self.copy.digest(true).await?, self.copy.applied_seq()))
    }

    async fn merge_side_data(&self, data: v1::SideData) -> Result<(), PullError> {
        let refused = |fault: Fault| PullError::Failed(format!("the source's side data: {}", fault.public()));
        let data = super::side::Side::read(self.copy.node(), data).map_err(refused)?;
        self.copy.merge(data).await
    }
}
