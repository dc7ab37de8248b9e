//! The sentences an operator decides by.

use super::*;
use expect_test::{Expect, expect};

fn way_back() -> v1::WayBack {
    v1::WayBack { follower: "a".into(), lag: 3, takes_ms: 500, snapshots_kept: 2, ..Default::default() }
}

fn soaking(name: &str, way_back: v1::WayBack) -> v1::FleetNode {
    v1::FleetNode { node: name.into(), phase: "soaking".into(), way_back: Some(way_back), ..Default::default() }
}

fn check(way_back: v1::WayBack, expected: &Expect) {
    expected.assert_eq(&node_way_back(&soaking("n", way_back)));
}

#[test]
fn the_way_back_of_a_node_is_one_sentence() {
    check(
        way_back(),
        &expect!["rollback now takes about 0.5 s and keeps 2 snapshots; shard a follows 3 changes behind"],
    );
    check(
        v1::WayBack { lag: 0, takes_ms: 61_000, snapshots_kept: 1, ..way_back() },
        &expect!["rollback now takes about 1m 1s and keeps 1 snapshot; shard a has all changes"],
    );
    check(
        v1::WayBack { lag: 1, takes_ms: 9_950, snapshots_kept: 0, ..way_back() },
        &expect!["rollback now takes about 10.0 s and has no newer snapshot to keep; shard a follows 1 change behind"],
    );
    check(
        v1::WayBack { problem: "shard a does not answer".into(), ..way_back() },
        &expect!["rollback would have to wait now: shard a does not answer; it keeps 2 snapshots"],
    );
}

#[test]
fn a_way_back_that_is_under_way_or_not_there_is_told_as_such() {
    let mut node = soaking("n", way_back());
    node.phase = "rolling_back".into();
    assert_eq!(node_way_back(&node), "a way back to a is under way");
    let settled = v1::FleetNode { phase: "settled".into(), ..Default::default() };
    assert_eq!(node_way_back(&settled), "nothing is known of a way back: it is settled");
}

#[test]
fn the_way_back_of_a_batch_is_a_sum_and_what_is_in_the_way() {
    let stuck = v1::WayBack { problem: "shard a does not answer\n\u{1b}[2J".into(), lag: 0, ..way_back() };
    let left = v1::FleetNode { node: "left".into(), phase: "aborted".into(), ..Default::default() };
    let slow = v1::WayBack { takes_ms: 2_500, lag: 400, ..way_back() };
    let text =
        batch_way_back(&[soaking("one", way_back()), soaking("two", slow), soaking("three", stuck.clone()), left]);
    expect![[r#"
        rollback of 3 nodes now takes at most about 2.5 s for each and keeps 6 snapshots; the old copies are 403 changes behind in all
        three would have to wait: shard a does not answer �[2J"#]]
    .assert_eq(&text);
    let many: Vec<_> = (0..12).map(|n| soaking(&format!("n{n}"), stuck.clone())).collect();
    assert!(batch_way_back(&many).ends_with("\nand 2 more would have to wait"));
    assert_eq!(batch_way_back(&[]), "nothing is known of a way back of its nodes");
}

#[test]
fn a_batch_says_when_it_flips_until_it_has_flipped() {
    let of = |phase: &str, when: &str, next: u64| {
        let batch =
            v1::BatchView { phase: phase.into(), when: when.into(), next_window_unix_ms: next, ..Default::default() };
        flip_words(&batch, UnixMillis(1_700_000_000_000))
    };
    assert_eq!(of("preparing", "idle", 0), "idle");
    assert_eq!(of("planned", "window", 1_700_003_600_000), "window, from 2023-11-14T23:13:20Z");
    assert_eq!(of("cutting_over", "now", 1_700_000_000_200), "now, window open now");
    for phase in ["committed", "soaking", "released", "aborted", "rolled_back"] {
        assert_eq!(of(phase, "window", 1_700_003_600_000), "", "{phase}");
    }
}

#[test]
fn findings_are_told_with_what_helps() {
    let held = v1::Finding {
        subject: "acme/web-1".into(),
        what: "its move is held: the disk is full".into(),
        repair: "make room".into(),
        command: "node retry acme/web-1".into(),
    };
    let writers = v1::Finding { subject: "db\u{1b}[1m".into(), what: "two\nwriters".into(), ..Default::default() };
    let found = v1::DiagnoseResponse {
        findings: vec![held, writers],
        nodes_checked: 40,
        unchecked: vec!["shard shard-b: refused".into()],
    };
    expect![[r#"
        acme/web-1: its move is held: the disk is full
          repair: make room
          --apply runs: shardlift node retry acme/web-1
        db�[1m: two writers
        not checked: shard shard-b: refused

        40 nodes checked, 2 findings, 1 parts did not answer
    "#]]
    .assert_eq(&doctor_text(&found));
    expect![[r#"
        0 nodes checked, 0 findings, 0 parts did not answer
    "#]]
    .assert_eq(&doctor_text(&v1::DiagnoseResponse::default()));
}

#[test]
fn what_a_way_back_without_the_writer_costs_is_told_or_why_there_is_none() {
    let preview = v1::LossPreview {
        writer: "b".into(),
        follower: "a".into(),
        followed_seq: 4711,
        heard_seq: 4714,
        heard_at_unix_ms: 1_764_000_000_000,
        snapshots_kept: 12,
        snapshots_lost: 1,
        ..Default::default()
    };
    expect![[r#"
        served by:    b, which does not answer, last heard at 2025-11-24T16:00:00Z
        goes back to: a
        kept:         its changes up to 4711; 12 snapshots
        lost:         3 changes and 1 snapshot that were heard of, and all that it stored later
    "#]]
    .assert_eq(&loss_text(&preview));
    let problem = "b answers\nroll back with it".to_owned();
    expect![[r#"
        served by:    b, which answers
        goes back to: a
        problem:      b answers
                      roll back with it
    "#]]
    .assert_eq(&loss_text(&v1::LossPreview { writer_answers: true, problem, ..preview }));
}

#[test]
fn what_a_batch_loses_is_told_node_by_node_and_in_sum() {
    let gone = v1::LossPreview {
        node: "acme/web-1".into(),
        writer: "shard-b".into(),
        followed_seq: 4711,
        heard_seq: 4714,
        heard_at_unix_ms: 1_764_000_005_000,
        snapshots_lost: 1,
        lost_since_unix_ms: 1_764_000_000_000,
        ..Default::default()
    };
    let level = v1::LossPreview {
        node: "acme/web-2".into(),
        heard_seq: 4711,
        snapshots_lost: 0,
        lost_since_unix_ms: 0,
        ..gone.clone()
    };
    let answers = v1::LossPreview {
        node: "globex".into(),
        writer: "shard-c".into(),
        writer_answers: true,
        problem: "node `globex` is being handed over".into(),
        ..Default::default()
    };
    let nodes = vec![gone, level, answers];
    let preview = v1::BatchLossPreview { batch: "one".into(), nodes, problem: String::new() };
    expect![[r#"
        NODE        SERVED BY      KEPT UP TO  CHANGES LOST  SNAPSHOTS LOST  STORED SINCE          PROBLEM
        acme/web-1  shard-b, gone  4711        3             1               2025-11-24T16:00:00Z  -
        acme/web-2  shard-b, gone  4711        0             0               -                     -
        globex      shard-c        all         -             -               -                     node `globex` is being handed over

        2 nodes without the shard that served it: 3 changes and 1 snapshot that were heard of are lost, and all that it stored later; 1 node with all changes
    "#]].assert_eq(&batch_loss_text(&preview));
    let problem = "every shard answers\nmove it back\u{1b}[2J with all".to_owned();
    expect![[r#"
        problem: every shard answers
                 move it back�[2J with all
    "#]]
    .assert_eq(&batch_loss_text(&v1::BatchLossPreview { nodes: vec![], problem, ..preview.clone() }));
    let json = super::super::pretty(&preview).unwrap();
    assert!(json.contains("\"batch\": \"one\"") && json.contains("\"followed_seq\": 4711"), "{json}");
}
