//! What is said of the loss of a batch, and what is accepted.

use super::*;
use crate::observed::Look;
use expect_test::{Expect, expect};
use shardlift_model::UnixMillis;

/// Three changes and a snapshot behind a writer that is gone.
fn gone(node: &str) -> Stand {
    Stand {
        node: node.parse().unwrap(),
        writer: "shard-b".parse().unwrap(),
        follower: "shard-a".parse().unwrap(),
        silence: Some("does not answer".to_owned()),
        followed: Ok(20),
        heard_seq: 23,
        heard: Some(Look { seq: 23, snapshots: 13, at: UnixMillis(1_764_000_065_000) }),
        since: Some(UnixMillis(1_764_000_062_000)),
        snapshots_kept: 12,
    }
}

fn answers(node: &str) -> Stand {
    Stand { writer: "shard-c".parse().unwrap(), silence: None, ..gone(node) }
}

fn losses(accepted: &[(&str, u64)]) -> Losses {
    let losses = accepted.iter().map(|(node, after_seq)| v1::NodeLoss { node: (*node).into(), after_seq: *after_seq });
    Losses::try_from(losses.collect::<Vec<_>>()).unwrap()
}

fn batch() -> BatchId {
    "one".parse().unwrap()
}

fn refused(stands: &[Stand], accepted: &[(&str, u64)], expected: &Expect) {
    let fault = refusal(&batch(), stands, &losses(accepted)).unwrap();
    assert_eq!(fault.kind(), FaultKind::Refused);
    expected.assert_eq(fault.public());
}

#[test]
fn a_refusal_names_who_is_silent_what_goes_with_it_and_the_command_that_gives_it_up() {
    let none_heard = Stand { heard_seq: 20, snapshots_kept: 13, ..gone("b") };
    refused(
        &[gone("a"), none_heard, answers("c")],
        &[],
        &expect![[r#"
        without shard-b, 2 nodes of batch one cannot go back without loss; nothing was begun
        a: shard-b, which serves it, does not answer; shard-a has all of its changes up to 20, 3 that were heard of come after it, stored since 2025-11-24T16:01:02Z, 1 snapshot among them
        b: shard-b, which serves it, does not answer; shard-a has all of its changes up to 20, and no later one was heard of, last at 2025-11-24T16:01:05Z
        without loss go back: c
        `shardlift batch rollback one --accept-loss` shows all that is given up and asks; when shard-b can be brought back, nothing has to be lost"#]],
    );
    refused(
        &[gone("a"), gone("b")],
        &[("a", 20), ("b", 21)],
        &expect![[r#"
        without shard-b, 1 node of batch one cannot go back without loss; nothing was begun
        b: shard-b, which serves it, does not answer; shard-a has all of its changes up to 20, 3 that were heard of come after it, stored since 2025-11-24T16:01:02Z, 1 snapshot among them; given up were only those after 21
        no node of it goes back without loss
        `shardlift batch rollback one --accept-loss` shows all that is given up and asks; when shard-b can be brought back, nothing has to be lost"#]],
    );
    let helpless = Stand { followed: Err("does not answer".to_owned()), ..gone("b") };
    refused(
        &[gone("a"), helpless],
        &[("a", 20), ("b", 0)],
        &expect![[r#"
        without shard-b, 1 node of batch one cannot go back without loss; nothing was begun
        b: shard-b, which serves it, does not answer; shard-a, which should take it over, does not answer
        no node of it goes back without loss
        bring back one of the two shards of each node that nobody can take over; the others go back one by one: `shardlift node rollback NODE`"#]],
    );
}

#[test]
fn ten_nodes_are_told_of_and_the_rest_is_counted() {
    let many: Vec<Stand> = (0..14).map(|n| gone(&format!("n{n:02}"))).collect();
    let told = refusal(&batch(), &many, &losses(&[("n00", 20)])).unwrap().public().to_owned();
    assert!(!told.contains("n00:") && told.contains("\nn10: ") && !told.contains("n11:"), "{told}");
    assert!(told.contains("13 nodes of batch one") && told.contains("\nand 3 more\n"), "{told}");
    let answering: Vec<Stand> = (0..14).map(|n| answers(&format!("n{n:02}"))).chain([gone("x")]).collect();
    let told = refusal(&batch(), &answering, &losses(&[])).unwrap().public().to_owned();
    assert!(told.contains("without loss go back: n00, ") && told.contains("n09, and 4 more\n"), "{told}");
}

#[test]
fn what_is_covered_or_answers_is_not_in_the_way() {
    let all = [gone("a"), answers("b")];
    for enough in [0, 19, 20] {
        assert!(refusal(&batch(), &all, &losses(&[("a", enough)])).is_none(), "{enough}");
    }
    assert!(refusal(&batch(), &[answers("b")], &losses(&[])).is_none());
    assert!(refusal(&batch(), &all, &losses(&[("b", 0)])).is_some(), "the one that is gone is not named");
}

#[test]
fn a_batch_can_go_back_so_when_a_writer_is_gone_and_somebody_can_take_over() {
    assert_eq!(problem(&batch(), &[gone("a"), answers("b")]), "");
    assert!(problem(&batch(), &[answers("b")]).contains("answers: nothing has to be lost"));
    let helpless = Stand { followed: Err("does not answer".to_owned()), ..gone("b") };
    assert!(problem(&batch(), &[gone("a"), helpless]).starts_with("of these nodes neither shard can be had: b\n"));
}

#[test]
fn losses_are_limited_and_each_node_has_one() {
    let loss = |node: &str, after_seq| v1::NodeLoss { node: node.into(), after_seq };
    assert_eq!(Losses::try_from(vec![loss("a", 1), loss("a", 1), loss("b", 2)]).unwrap().len(), 2);
    let many = (0..=LOSSES_MAX).map(|n| loss(&format!("n{n}"), 1)).collect();
    for bad in [vec![loss("a", 1), loss("a", 2)], vec![loss("../a", 1)], many] {
        assert_eq!(Losses::try_from(bad).unwrap_err().kind(), FaultKind::Invalid);
    }
}
