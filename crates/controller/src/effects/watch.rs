//! Asks how an incoming copy is doing, shows it, and reports what the present stage waits for.

use super::Context;
use crate::wire::final_state;
use shardlift_api::fault::FaultKind;
use shardlift_api::v1::{self, NodeMode, ReplicaPhase};
use shardlift_migration::{Outcome, Stage};
use shardlift_model::{NodeId, ShardId, Token};

/// Looks in a row that must find no copy before that is believed.
const GONE_LOOKS: u32 = 3;

struct Watch {
    context: Context,
    node: NodeId,
    token: Token,
    shard: ShardId,
    gone_looks: u32,
}

pub(super) async fn run(context: Context, node: NodeId, token: Token, shard: ShardId) {
    let pause = context.pace.watch;
    let mut watch = Watch { context, node, token, shard, gone_looks: 0 };
    loop {
        let outcome = watch.turn().await;
        if let Some(outcome) = outcome
            && !watch.context.answer(&watch.node, watch.token, outcome).await
        {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

impl Watch {
    async fn turn(&mut self) -> Option<Outcome> {
        match self.context.node_at(&self.shard, &self.node).await {
            Ok(status) => {
                let outcome = self.judge(&status);
                let waiting = status.replica.as_ref().map(|replica| replica.waiting_for.clone()).unwrap_or_default();
                let reason = (!waiting.is_empty()).then(|| format!("{}: {waiting}", self.shard));
                self.context.wait(&self.node, reason);
                self.context.shared.observe(|observed| observed.note_node(&self.shard, &self.node, status));
                outcome
            }
            Err(status) if FaultKind::from(&status) == FaultKind::NotFound => self.gone(),
            Err(status) => {
                self.context.wait(&self.node, format!("{} does not answer: {}", self.shard, status.message()));
                None
            }
        }
    }

    /// What the stage should hear of this status. Should the stage have moved on meanwhile, the token is an old one and
    /// the report is ignored.
    fn judge(&mut self, status: &v1::NodeStatus) -> Option<Outcome> {
        let (stage, lag_max) = self.context.shared.world(|world| {
            let stage = world.nodes.get(&self.node)?.migration.as_ref()?.stage;
            Some((stage, world.limits.ready_lag_max))
        })?;
        match (&status.replica, status.mode()) {
            (Some(replica), _) => {
                self.gone_looks = 0;
                outcome_for(stage, replica, lag_max)
            }
            (None, NodeMode::Incoming) => None,
            (None, _) => self.gone(),
        }
    }

    fn gone(&mut self) -> Option<Outcome> {
        self.gone_looks += 1;
        let reason = format!("{} has no incoming copy of this node", self.shard);
        (self.gone_looks >= GONE_LOOKS).then_some(Outcome::ReplicaFailed { reason, damaged_at_source: false })
    }
}

fn outcome_for(stage: Stage, replica: &v1::Replica, lag_max: u64) -> Option<Outcome> {
    if !replica.failure.is_empty() {
        let damaged_at_source = replica.damaged_at_source > 0;
        return Some(Outcome::ReplicaFailed { reason: replica.failure.clone(), damaged_at_source });
    }
    let follows = matches!(replica.phase(), ReplicaPhase::Following | ReplicaPhase::Complete);
    let lag = replica.source_seq.saturating_sub(replica.applied_seq);
    match stage {
        Stage::Copying if follows => Some(Outcome::Following { lag }),
        Stage::CatchingUp if follows && lag <= lag_max => Some(Outcome::Following { lag }),
        Stage::Verifying => {
            let digest = replica.verified.as_ref()?.digest.clone();
            match final_state(digest) {
                Ok(state) => Some(Outcome::Verified { state }),
                Err(fault) => {
                    tracing::warn!(%fault, "the target named a state that does not read");
                    None
                }
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(phase: ReplicaPhase, applied: u64, source: u64) -> v1::Replica {
        v1::Replica { phase: phase.into(), applied_seq: applied, source_seq: source, ..Default::default() }
    }

    #[test]
    fn a_stage_hears_only_what_it_waits_for() {
        let seeding = replica(ReplicaPhase::Seeding, 0, 90);
        let far = replica(ReplicaPhase::Following, 10, 90);
        let near = replica(ReplicaPhase::Following, 89, 90);
        assert_eq!(outcome_for(Stage::Copying, &seeding, 50), None);
        assert_eq!(outcome_for(Stage::Copying, &far, 50), Some(Outcome::Following { lag: 80 }));
        assert_eq!(outcome_for(Stage::CatchingUp, &far, 50), None);
        assert_eq!(outcome_for(Stage::CatchingUp, &near, 50), Some(Outcome::Following { lag: 1 }));
        assert_eq!(outcome_for(Stage::Ready, &near, 50), None);
        assert_eq!(outcome_for(Stage::Verifying, &near, 50), None);
    }

    #[test]
    fn a_failure_is_heard_in_every_stage() {
        let mut failed = replica(ReplicaPhase::Following, 1, 1);
        failed.failure = "no space".into();
        failed.damaged_at_source = 2;
        for stage in [Stage::Copying, Stage::CatchingUp, Stage::Verifying, Stage::AwaitingCertificate, Stage::Ready] {
            let expected = Outcome::ReplicaFailed { reason: "no space".into(), damaged_at_source: true };
            assert_eq!(outcome_for(stage, &failed, 50), Some(expected));
        }
    }
}
