//! Watches a node after its flip: the writer, the follower, and what the verdict of its batch needs.
//!
//! Reports facts, each once; both statuses are shown with the node, so that the way back can be judged at any time.
//!
//! Where the policy asks for it, both copies are read again from their disks: the follower compares itself with the writer, too. That
//! counts as seen when both have come to a good end.

mod history;

use super::Context;
use crate::channels::{Deadline as _, Within as _};
use shardlift_api::v1::{self, NodeMode};
use shardlift_migration::{CopyRead, Input, Migration, SoakFact};
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
    let (mut follower_asked, mut writer_asked) = (!pair.verify, !pair.verify);
    let mut without_history = vec![pair.writer.clone(), pair.follower.clone()];
    loop {
        if !follower_asked {
            follower_asked = is_taken(&pair.node, &pair.follower, compare(&context, &pair).await);
        }
        if !writer_asked {
            writer_asked = is_taken(&pair.node, &pair.writer, read_again(&context, &pair).await);
        }
        let Seen { mut facts, writer_forgot } = look(&context, &pair).await;
        writer_asked &= !(pair.verify && writer_forgot);
        history::gather(&context, &pair.node, &mut without_history, &mut facts).await;
        for fact in facts {
            if !context.inputs.report(Input::SoakSeen { node: pair.node.clone(), fact }).await {
                return;
            }
        }
        tokio::time::sleep(context.pace.inventory_active).await;
    }
}

fn is_taken(node: &NodeId, shard: &ShardId, asked: Result<(), Status>) -> bool {
    if let Err(status) = &asked {
        tracing::warn!(%node, %shard, reason = status.message(), "the copy is not verified yet");
    }
    asked.is_ok()
}

/// The follower compares itself with the writer and reads its own bytes again. The same command again changes nothing.
async fn compare(context: &Context, pair: &Pair) -> Result<(), Status> {
    let address = context.shard_address(&pair.follower);
    let address = address.ok_or_else(|| Status::unavailable("the shard is not recorded"))?;
    let mut client = context.channels.shard(&pair.follower, &address);
    let request = v1::VerifyReplicaRequest { node: pair.node.as_str().to_owned(), token: Some(pair.token.into()) };
    client.verify_replica(DEADLINE.on(request)).within(DEADLINE).await.map(drop)
}

/// The writer reads its own bytes again. The same command again changes nothing, after a change of leaders too.
async fn read_again(context: &Context, pair: &Pair) -> Result<(), Status> {
    let address = context.shard_address(&pair.writer);
    let address = address.ok_or_else(|| Status::unavailable("the shard is not recorded"))?;
    let mut client = context.channels.shard(&pair.writer, &address);
    let (node, token) = (pair.node.as_str().to_owned(), Some(pair.token.into()));
    let request = v1::DeepVerifyRequest { node, token, bytes_per_second: 0, run: 0 };
    client.deep_verify(DEADLINE.on(request)).within(DEADLINE).await.map(drop)
}

/// What a look has shown.
struct Seen {
    facts: Vec<SoakFact>,
    /// The writer answered, and knows nothing of having been asked to read its bytes again.
    writer_forgot: bool,
}

/// What is new. A part that does not answer says nothing about the node: it shows as a reason to wait.
async fn look(context: &Context, pair: &Pair) -> Seen {
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
        facts.extend(follower.as_ref().and_then(alert_at_follower));
        // What was read goes first: with the proof the soak may be over.
        facts.extend(writer.as_ref().and_then(|writer| read_at_writer(pair, writer)));
        facts.extend(follower.as_ref().and_then(|follower| read_at_follower(pair, follower)));
        let both = writer.as_ref().zip(follower.as_ref());
        facts.extend(both.and_then(|(writer, follower)| verified(pair.token, writer, follower)));
        facts.retain(|fact| !moving.soak.has(fact));
        Some(facts)
    });
    let writer_forgot = writer.as_ref().is_some_and(|writer| run_since(pair.token, writer).is_none());
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
    Seen { facts: facts.unwrap_or_default(), writer_forgot }
}

/// The writer's deep verify that was begun for this stage or later, whoever led and whoever asked: after the promotion, that is.
fn run_since(token: Token, writer: &v1::NodeStatus) -> Option<&v1::DeepVerify> {
    let run = writer.deep_verify.as_ref()?;
    let begun = run.token.as_ref()?;
    ((begun.generation, begun.step) >= (token.generation.0, token.step.0)).then_some(run)
}

/// A snapshot is stored last: that it is there means that the backup was complete. Counted by the writer itself, so that no
/// two clocks are compared.
fn backup(moving: &Migration, writer: &v1::NodeStatus) -> Option<SoakFact> {
    let before = moving.promoted.map(|promoted| promoted.snapshots)?;
    (writer.snapshots > before).then_some(SoakFact::BackupSeen { at: UnixMillis(writer.last_snapshot_unix_ms) })
}

fn alert_at_writer(generation: u64, moving: &Migration, writer: &v1::NodeStatus) -> Option<SoakFact> {
    let accepted = moving.final_state.map_or(0, |state| state.damaged);
    let reason = if let Some(found) = read_badly(generation, moving, writer) {
        found
    } else if writer.missing > 0 {
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

/// What a deep verify of the target has found that did not come with the move, as soon as it has.
fn read_badly(generation: u64, moving: &Migration, writer: &v1::NodeStatus) -> Option<String> {
    let run = writer.deep_verify.as_ref()?;
    let is_present = run.token.as_ref().is_some_and(|token| token.generation >= generation);
    (is_present && run.damaged + run.missing > 0).then(|| {
        let v1::DeepVerify { damaged, missing, known_damaged, .. } = run;
        let known = match known_damaged {
            0 => String::new(),
            known => format!(" ({known} more came damaged with the move)"),
        };
        let (target, names) = (&moving.target, run.names.join(", "));
        format!("a deep verify of the target, {target}, found objects {damaged} damaged and {missing} missing: {names}{known}")
    })
}

fn alert_at_follower(follower: &v1::NodeStatus) -> Option<SoakFact> {
    let failure = &follower.replica.as_ref()?.failure;
    (!failure.is_empty()).then(|| SoakFact::Alert { reason: format!("the way back is broken: {failure}") })
}

/// The follower was compared with the writer and read again, and the writer's own bytes were read again: both are good.
fn verified(token: Token, writer: &v1::NodeStatus, follower: &v1::NodeStatus) -> Option<SoakFact> {
    follower.replica.as_ref()?.verified.as_ref()?;
    let run = run_since(token, writer)?;
    is_good(run).then_some(SoakFact::Verified)
}

/// How much the writer has read, when that has come to a good end.
fn read_at_writer(pair: &Pair, writer: &v1::NodeStatus) -> Option<SoakFact> {
    let run = run_since(pair.token, writer).filter(|run| is_good(run))?;
    let at = |unix_ms: u64| (unix_ms > 0).then_some(UnixMillis(unix_ms));
    let read = CopyRead {
        begun_at: at(run.begun_unix_ms),
        ended_at: at(run.ended_unix_ms),
        objects: run.objects_read,
        bytes: run.bytes_read,
        known_damaged: run.known_damaged,
    };
    Some(SoakFact::CopyRead { shard: pair.writer.clone(), read })
}

/// The same of the follower, which has compared itself as well. It does not say when.
fn read_at_follower(pair: &Pair, follower: &v1::NodeStatus) -> Option<SoakFact> {
    let verified = follower.replica.as_ref()?.verified.as_ref()?;
    let read = CopyRead {
        begun_at: None,
        ended_at: None,
        objects: verified.objects_read,
        bytes: verified.bytes_read,
        known_damaged: verified.digest.as_ref().map_or(0, |digest| digest.damaged),
    };
    Some(SoakFact::CopyRead { shard: pair.follower.clone(), read })
}

fn is_good(run: &v1::DeepVerify) -> bool {
    run.ended_unix_ms > 0 && run.failure.is_empty() && run.damaged + run.missing == 0
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
    fn a_follower_that_failed_is_an_alert() {
        let replica = v1::Replica { failure: "no space".into(), ..Default::default() };
        let failed = v1::NodeStatus { replica: Some(replica), ..Default::default() };
        assert!(matches!(alert_at_follower(&failed), Some(SoakFact::Alert { .. })));
        assert_eq!(alert_at_follower(&v1::NodeStatus::default()), None);
    }

    fn read(token: Token, ended_unix_ms: u64) -> v1::DeepVerify {
        v1::DeepVerify { token: Some(token.into()), ended_unix_ms, ..Default::default() }
    }

    #[test]
    fn a_proof_needs_both_copies_and_a_reading_begun_for_this_stage() {
        let (soak, later_leader) = (Token::new(1, 2, 5), Token::new(7, 2, 5));
        let replica = v1::Replica { verified: Some(v1::Verified::default()), ..Default::default() };
        let compared = v1::NodeStatus { replica: Some(replica), ..Default::default() };
        let of = |run: Option<v1::DeepVerify>| v1::NodeStatus { deep_verify: run, ..writer() };
        let good = of(Some(read(soak, 9)));
        for token in [soak, later_leader] {
            assert_eq!(verified(token, &good, &compared), Some(SoakFact::Verified), "{token}");
        }
        assert_eq!(verified(soak, &of(Some(read(Token::new(1, 2, 6), 9))), &compared), Some(SoakFact::Verified));
        assert_eq!(verified(soak, &good, &v1::NodeStatus::default()), None, "the follower was not compared");
        for run in [
            None,
            Some(read(soak, 0)),
            Some(read(Token::new(9, 2, 4), 9)),
            Some(read(Token::new(9, 1, 50), 9)),
            Some(v1::DeepVerify { damaged: 1, ..read(soak, 9) }),
            Some(v1::DeepVerify { missing: 1, ..read(soak, 9) }),
            Some(v1::DeepVerify { failure: "quarantined".into(), ..read(soak, 9) }),
        ] {
            assert_eq!(verified(soak, &of(run.clone()), &compared), None, "{run:?}");
        }
        let known = v1::DeepVerify { known_damaged: 3, ..read(soak, 9) };
        assert_eq!(verified(soak, &of(Some(known)), &compared), Some(SoakFact::Verified), "an operator's leave");
    }

    #[test]
    fn what_a_deep_verify_finds_is_an_alert_that_says_where_and_what() {
        let names = vec!["data/ab".to_owned(), "index/cd".to_owned()];
        let run = v1::DeepVerify { damaged: 1, missing: 1, known_damaged: 2, names, ..read(Token::new(1, 2, 5), 0) };
        let bad = v1::NodeStatus { deep_verify: Some(run.clone()), damaged: 1, ..writer() };
        let Some(SoakFact::Alert { reason }) = alert_at_writer(2, &moving(), &bad) else { panic!("no alert") };
        for part in ["the target, b,", "1 damaged", "1 missing", "data/ab, index/cd", "2 more came damaged"] {
            assert!(reason.contains(part), "{part} in {reason}");
        }
        let before = v1::NodeStatus { deep_verify: Some(run), ..writer() };
        assert_eq!(read_badly(3, &moving(), &before), None, "of an earlier generation");
    }

    #[test]
    fn what_was_read_is_told_of_each_copy_only_after_a_good_end() {
        let soak = Token::new(1, 2, 5);
        let pair = Pair {
            node: "n1".parse().unwrap(),
            token: soak,
            writer: "b".parse().unwrap(),
            follower: "a".parse().unwrap(),
            verify: true,
        };
        let of = |run: v1::DeepVerify| v1::NodeStatus { deep_verify: Some(run), ..writer() };
        let good = v1::DeepVerify { objects_read: 3, bytes_read: 30, begun_unix_ms: 7, ..read(soak, 9) };
        let expected = CopyRead {
            begun_at: Some(UnixMillis(7)),
            ended_at: Some(UnixMillis(9)),
            objects: 3,
            bytes: 30,
            known_damaged: 0,
        };
        let told = read_at_writer(&pair, &of(good.clone()));
        assert_eq!(told, Some(SoakFact::CopyRead { shard: pair.writer.clone(), read: expected }));
        for bad in [
            v1::DeepVerify { ended_unix_ms: 0, ..good.clone() },
            v1::DeepVerify { damaged: 1, ..good.clone() },
            v1::DeepVerify { missing: 1, ..good.clone() },
            v1::DeepVerify { failure: "no disk".into(), ..good.clone() },
            v1::DeepVerify { token: Some(Token::new(1, 2, 4).into()), ..good },
        ] {
            assert_eq!(read_at_writer(&pair, &of(bad.clone())), None, "{bad:?}");
        }
        assert_eq!(read_at_follower(&pair, &v1::NodeStatus::default()), None);
        let verified = v1::Verified { objects_read: 3, bytes_read: 30, ..Default::default() };
        let replica = v1::Replica { verified: Some(verified), ..Default::default() };
        let compared = v1::NodeStatus { replica: Some(replica), ..Default::default() };
        let Some(SoakFact::CopyRead { shard, read }) = read_at_follower(&pair, &compared) else { panic!("nothing") };
        assert_eq!((shard, read.objects, read.bytes, read.ended_at), (pair.follower, 3, 30, None));
    }
}
