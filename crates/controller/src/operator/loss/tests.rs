//! What is said of a loss, and what is refused.

use super::*;
use expect_test::{Expect, expect};
use shardlift_migration::FinalState;
use shardlift_model::Sha256;

/// Three changes behind a writer that is gone.
fn stand() -> Stand {
    Stand {
        node: "acme/web-1".parse().unwrap(),
        writer: "shard-b".parse().unwrap(),
        follower: "shard-a".parse().unwrap(),
        silence: Some("does not answer".to_owned()),
        followed: Ok(4711),
        heard_seq: 4714,
        heard: Some(Look { seq: 4714, snapshots: 13, at: UnixMillis(1_764_000_065_000) }),
        since: Some(UnixMillis(1_764_000_062_000)),
        snapshots_kept: 12,
    }
}

fn gone(stand: &Stand, expected: &Expect) {
    expected.assert_eq(&stand.gone());
}

#[test]
fn a_writer_that_is_gone_is_named_with_what_goes_with_it_and_with_the_command_that_gives_it_up() {
    gone(
        &stand(),
        &expect![[r#"
            shard-b, which serves acme/web-1, does not answer; shard-a has all of its changes up to 4711, 3 that were heard of come after it, stored since 2025-11-24T16:01:02Z; going back without shard-b gives up all that came after 4711
            `shardlift node rollback acme/web-1 --accept-loss 4711` does so; when shard-b can be brought back, nothing has to be lost"#]],
    );
    gone(
        &Stand { heard_seq: 4711, ..stand() },
        &expect![[r#"
            shard-b, which serves acme/web-1, does not answer; shard-a has all of its changes up to 4711, and no later one was heard of, last at 2025-11-24T16:01:05Z; going back without shard-b gives up all that came after 4711
            `shardlift node rollback acme/web-1 --accept-loss 4711` does so; when shard-b can be brought back, nothing has to be lost"#]],
    );
    gone(
        &Stand { heard_seq: 4711, heard: None, since: None, ..stand() },
        &expect![[r#"
            shard-b, which serves acme/web-1, does not answer; shard-a has all of its changes up to 4711, and no later one was heard of since the controller started; going back without shard-b gives up all that came after 4711
            `shardlift node rollback acme/web-1 --accept-loss 4711` does so; when shard-b can be brought back, nothing has to be lost"#]],
    );
    gone(
        &Stand { followed: Err("does not answer: connection refused".to_owned()), ..stand() },
        &expect![[r#"
            shard-b, which serves acme/web-1, does not answer; shard-a, which should take it over, does not answer: connection refused
            bring back one of them, then try again"#]],
    );
}

#[test]
fn a_writer_that_answers_is_never_given_up() {
    let refused = Stand { silence: None, ..stand() }.covered_by(0).unwrap_err();
    assert_eq!(refused.kind(), FaultKind::Refused);
    assert!(refused.public().contains("`shardlift node rollback acme/web-1`"), "{refused}");
    assert!(!refused.public().contains("--accept-loss"), "{refused}");
    let preview = Stand { silence: None, ..stand() }.preview();
    assert!(preview.writer_answers && preview.problem.contains("nothing has to be lost"), "{preview:?}");
}

#[test]
fn what_is_given_up_must_cover_what_the_follower_lacks() {
    for enough in [0, 4710, 4711] {
        assert!(stand().covered_by(enough).is_ok(), "{enough}");
    }
    let refused = stand().covered_by(4712).unwrap_err();
    assert_eq!(refused.kind(), FaultKind::Refused);
    assert!(refused.public().contains("up to 4711 only"), "{refused}");
    assert!(refused.public().contains("--accept-loss 4711`"), "{refused}");
    let silent = Stand { followed: Err("is retired and does not follow".to_owned()), ..stand() };
    assert!(silent.covered_by(0).unwrap_err().public().contains("retired"));
}

#[test]
fn a_preview_counts_what_was_heard_of() {
    let preview = stand().preview();
    assert_eq!((preview.followed_seq, preview.heard_seq, preview.snapshots_kept), (4711, 4714, 12));
    assert_eq!((preview.snapshots_lost, preview.heard_at_unix_ms), (1, 1_764_000_065_000));
    assert_eq!((preview.writer_answers, preview.problem.as_str()), (false, ""));
}

fn moving() -> Migration {
    let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
    let mut moving = Migration::planned("one".parse().unwrap(), a, b, UnixMillis(1));
    moving.final_state = Some(FinalState { seq: 90, root: Sha256([1; 32]), objects: 3, bytes: 30, damaged: 0 });
    moving.promoted = Some(shardlift_migration::Promoted { seq: 7, snapshots: 2 });
    moving
}

fn copy(mode: NodeMode, phase: ReplicaPhase) -> v1::NodeStatus {
    let replica = v1::Replica { phase: phase.into(), applied_seq: 30, source_seq: 33, ..Default::default() };
    v1::NodeStatus { mode: mode.into(), replica: Some(replica), ..Default::default() }
}

#[test]
fn a_follower_counts_as_the_writer_does_and_a_sealed_one_as_it_did_itself() {
    let following = copy(NodeMode::Incoming, ReplicaPhase::Following);
    assert_eq!(followed(&moving(), &following), Ok(30));
    let look = |seq| Some(Look { seq, snapshots: 0, at: UnixMillis(1) });
    let heard = [None, look(31), look(40)].map(|heard| heard_seq(&moving(), &following, 30, heard));
    assert_eq!(heard, [33, 33, 40], "by the follower itself, or by the controller");
    let sealed = v1::NodeStatus { replica: None, ..copy(NodeMode::Sealed, ReplicaPhase::Unspecified) };
    assert_eq!(followed(&moving(), &sealed), Ok(90));
    let heard = [None, look(7), look(9)].map(|heard| heard_seq(&moving(), &sealed, 90, heard));
    assert_eq!(heard, [90, 90, 92], "two changes since the promotion");
}

#[test]
fn a_copy_that_was_never_whole_takes_nothing_over() {
    assert!(followed(&moving(), &copy(NodeMode::Incoming, ReplicaPhase::Seeding)).is_err());
    for mode in [NodeMode::Retired, NodeMode::Quarantined, NodeMode::Serving] {
        let why = followed(&moving(), &copy(mode, ReplicaPhase::Following)).unwrap_err();
        assert!(why.ends_with("does not follow"), "{why}");
    }
}
