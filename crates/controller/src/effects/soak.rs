//! Watches a node after its flip: the writer, the follower, and what the verdict of its batch needs.
//!
//! Reports facts, each once; both statuses are shown with the node, so that the way back can be judged at any time.

use super::Context;
use crate::channels::{Deadline as _, Within as _};
use shardlift_api::v1::{self, NodeMode};
use shardlift_migration::{Input, Migration, SoakFact};
use shardlift_model::{NodeId, ShardId, Token, UnixMillis};
use std::time::Duration;
use tonic::Status;

/// How long the command to compare may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// A node and the two who have it.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) node: NodeId,
    pub(super) token: Token,
    pub(super) writer: ShardId,
    pub(super) follower: ShardId,
    pub(super) verify: bool,
}

pub(super) async fn run(context: Context, pair: Pair) {
    let mut asked_to_verify = false;
    loop {
        if pair.verify && !asked_to_verify {
            let asked = verify(&context, &pair).await;
            if let Err(status) = &asked {
                tracing::warn!(node = %pair.node, shard = %pair.follower, reason = status.message(), "the old copy is not compared yet");
            }
            asked_to_verify = asked.is_ok();
        }
        for fact in look(&context, &pair).await {
            if !context.inputs.report(Input::SoakSeen { node: pair.node.clone(), fact }).await {
                return;
            }
        }
        tokio::time::sleep(context.pace.inventory_active).await;
    }
}

/// The follower compares itself with the writer and reads its own bytes again. The same command again changes nothing.
async fn verify(context: &Context, pair: &Pair) -> Result<(), Status> {
    let address = context.shard_address(&pair.follower);
    let address = address.ok_or_else(|| Status::unavailable("the shard is not recorded"))?;
    let mut client = context.channels.shard(&pair.follower, &address);
    let request = v1::VerifyReplicaRequest { node: pair.node.as_str().to_owned(), token: Some(pair.token.into()) };
    client.verify_replica(DEADLINE.on(request)).within(DEADLINE).await.map(drop)
}

/// What is new. A part that does not answer says nothing about the node: it shows as a reason to wait.
async fn look(context: &Context, pair: &Pair) -> Vec<SoakFact> {
    let (writer, follower) =
        tokio::join!(context.node_at(&pair.writer, &pair.node), context.node_at(&pair.follower, &pair.node));
    let silent = [(&pair.writer, &writer), (&pair.follower, &follower)].into_iter().find_map(|(shard, answer)| {
        answer.as_ref().err().map(|status| format!("{shard} does not answer: {}", status.message()))
    });
    context.wait(&pair.node, silent);
    let (writer, follower) = (writer.ok(), follower.ok());
    let facts = context.shared.world(|world| {
        let (node, moving) = world.migration(&pair.node)?;
        let mut facts = Vec::new();
        if let Some(writer) = &writer {
            facts.extend(backup(moving, writer));
            facts.extend(alert_at_writer(node.generation.0, moving, writer));
        }
        facts.extend(follower.as_ref().into_iter().flat_map(at_follower));
        facts.retain(|fact| !moving.soak.has(fact));
        Some(facts)
    });
    context.shared.observe_in(|world, observed| {
        if let (Some(known), Some(status)) = (world.nodes.get(&pair.node), &writer) {
            observed.hear(known, &pair.writer, status);
        }
        for (shard, status) in [(&pair.writer, writer), (&pair.follower, follower)] {
            if let Some(status) = status {
                observed.note_node(shard, &pair.node, status);
            }
        }
    });
    facts.unwrap_or_default()
}

/// A snapshot is stored last: that it is there means that the backup was complete. Counted by the writer itself, so that no
/// two clocks are compared.
fn backup(moving: &Migration, writer: &v1::NodeStatus) -> Option<SoakFact> {
    let before = moving.promoted.map(|promoted| promoted.snapshots)?;
    (writer.snapshots > before).then_some(SoakFact::BackupSeen { at: UnixMillis(writer.last_snapshot_unix_ms) })
}

fn alert_at_writer(generation: u64, moving: &Migration, writer: &v1::NodeStatus) -> Option<SoakFact> {
    let accepted = moving.final_state.map_or(0, |state| state.damaged);
    let reason = if writer.missing > 0 {
        format!("{} objects are missing at the target", writer.missing)
    } else if writer.damaged > accepted {
        format!("{} objects at the target do not match their name, {accepted} did before", writer.damaged)
    } else if writer.mode() != NodeMode::Serving || writer.generation != generation {
        let mode = writer.mode().as_str_name().trim_start_matches("NODE_MODE_").to_lowercase();
        format!("the target is {mode} at generation {}, recorded is serving at {generation}", writer.generation)
    } else {
        return None;
    };
    Some(SoakFact::Alert { reason })
}

fn at_follower(follower: &v1::NodeStatus) -> Vec<SoakFact> {
    let Some(replica) = &follower.replica else { return vec![] };
    let failed = !replica.failure.is_empty();
    let alert = failed.then(|| SoakFact::Alert { reason: format!("the way back is broken: {}", replica.failure) });
    let verified = replica.verified.as_ref().map(|_| SoakFact::Verified);
    alert.into_iter().chain(verified).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_migration::Promoted;

    fn moving() -> Migration {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut moving = Migration::planned("one".parse().unwrap(), a, b, UnixMillis(1));
        moving.promoted = Some(Promoted { seq: 9, snapshots: 2 });
        moving
    }

    fn writer() -> v1::NodeStatus {
        v1::NodeStatus { mode: NodeMode::Serving.into(), generation: 2, snapshots: 2, ..Default::default() }
    }

    #[test]
    fn a_backup_is_one_more_snapshot_than_at_the_flip() {
        assert_eq!(backup(&moving(), &writer()), None);
        let stored = v1::NodeStatus { snapshots: 3, last_snapshot_unix_ms: 7, ..writer() };
        assert_eq!(backup(&moving(), &stored), Some(SoakFact::BackupSeen { at: UnixMillis(7) }));
    }

    #[test]
    fn what_is_wrong_at_the_writer_is_an_alert() {
        assert_eq!(alert_at_writer(2, &moving(), &writer()), None);
        for wrong in [
            v1::NodeStatus { missing: 1, ..writer() },
            v1::NodeStatus { damaged: 1, ..writer() },
            v1::NodeStatus { generation: 1, ..writer() },
            v1::NodeStatus { mode: NodeMode::Incoming.into(), ..writer() },
        ] {
            assert!(matches!(alert_at_writer(2, &moving(), &wrong), Some(SoakFact::Alert { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn a_follower_that_failed_is_an_alert_and_one_that_compared_is_a_proof() {
        let replica = v1::Replica { failure: "no space".into(), ..Default::default() };
        let failed = v1::NodeStatus { replica: Some(replica), ..Default::default() };
        assert!(matches!(at_follower(&failed)[..], [SoakFact::Alert { .. }]));
        let replica = v1::Replica { verified: Some(v1::Verified::default()), ..Default::default() };
        let proved = v1::NodeStatus { replica: Some(replica), ..Default::default() };
        assert_eq!(at_follower(&proved), [SoakFact::Verified]);
        assert_eq!(at_follower(&v1::NodeStatus::default()), []);
    }
}
