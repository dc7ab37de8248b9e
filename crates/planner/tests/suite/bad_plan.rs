//! Well-formed files that do not fit the world: one small file per kind of finding.

use crate::fixture::{expect_batch_findings, expect_findings, world};
use expect_test::expect;
use shardlift_planner::{approve, parse};

/// A file with the given head and one good batch.
fn head(head: &str) -> String {
    format!("version = 1\n{head}\n[[batch]]\nname = \"a\"\n[batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n")
}

#[test]
fn a_good_file_has_no_findings() {
    let text = head("revision = 2\nbased_on = 1\nsource = \"source\"\naccept_damaged = [\"acme/web-1\"]");
    expect_findings(
        &text,
        expect![[r#"
            no findings
        "#]],
    );
    let plan = approve(&parse(&text).unwrap(), &world()).unwrap();
    assert_eq!((plan.revision(), plan.based_on(), plan.batches().len()), (2, 1, 1));
    assert_eq!(plan.moves().count(), 1);
    assert_eq!(plan.accept_damaged().len(), 1);
}

#[test]
fn a_plan_on_an_earlier_revision_is_stale() {
    expect_findings(
        &head("revision = 2\nbased_on = 0\nsource = \"source\""),
        expect![[r#"
        error: stale plan: it is based on revision 0, but revision 1 is in force
         --> line 3, column 12
          |
        3 | based_on = 0
          |            ^
          = help: compare with what changed since revision 0, then write `based_on = 1`
    "#]],
    );
}

#[test]
fn a_plan_that_is_in_force_is_stale() {
    expect_findings(
        &head("revision = 1\nbased_on = 0\nsource = \"source\""),
        expect![[r#"
        error: stale revision: revision 1 is in force already
         --> line 2, column 12
          |
        2 | revision = 1
          |            ^
          = help: revision 1 is in force: write `revision = 2` and `based_on = 1`

        error: stale plan: it is based on revision 0, but revision 1 is in force
         --> line 3, column 12
          |
        3 | based_on = 0
          |            ^
          = help: compare with what changed since revision 0, then write `based_on = 1`
    "#]],
    );
}

#[test]
fn a_plan_on_a_revision_that_does_not_exist_is_refused() {
    expect_findings(
        &head("revision = 9\nbased_on = 8\nsource = \"source\""),
        expect![[r#"
        error: the plan is based on revision 8, which does not exist; revision 1 is in force
         --> line 3, column 12
          |
        3 | based_on = 8
          |            ^
          = help: write `based_on = 1`, or check against the right cluster
    "#]],
    );
}

#[test]
fn a_revision_based_on_itself_is_cyclic() {
    expect_findings(
        &head("revision = 1\nbased_on = 1\nsource = \"source\""),
        expect![[r#"
        error: cyclic revision: revision 1 is based on itself
         --> line 2, column 12
          |
        2 | revision = 1
          |            ^
          = help: revision 1 is in force: write `revision = 2` and `based_on = 1`
    "#]],
    );
}

#[test]
fn a_revision_based_on_a_later_one_is_cyclic() {
    expect_findings(
        &head("revision = 2\nbased_on = 3\nsource = \"source\""),
        expect![[r#"
        error: cyclic revision: revision 2 is based on the later revision 3
         --> line 2, column 12
          |
        2 | revision = 2
          |            ^
          = help: revision 1 is in force: write `revision = 2` and `based_on = 1`

        error: the plan is based on revision 3, which does not exist; revision 1 is in force
         --> line 3, column 12
          |
        3 | based_on = 3
          |            ^
          = help: write `based_on = 1`, or check against the right cluster
    "#]],
    );
}

#[test]
fn an_unknown_source_is_refused_once() {
    expect_findings(
        &head("revision = 2\nbased_on = 1\nsource = \"sorce\""),
        expect![[r#"
        error: source `sorce` is not a shard of this cluster
         --> line 4, column 10
          |
        4 | source = "sorce"
          |          ^^^^^^^
          = help: did you mean `source`?
    "#]],
    );
}

#[test]
fn an_unreachable_source_is_refused() {
    expect_findings(
        &head("revision = 2\nbased_on = 1\nsource = \"shard-d\""),
        expect![[r#"
        error: source `shard-d` is not reachable
         --> line 4, column 10
          |
        4 | source = "shard-d"
          |          ^^^^^^^^^
          = help: bring it back, or wait; nothing can be copied from it now

        error: node `acme/web-1` is on `source`, not on the source `shard-d`
         --> line 8, column 1
          |
        8 | "acme/web-1" = "shard-b"
          | ^^^^^^^^^^^^
          = help: remove this line, or plan this node in a plan of its own source
    "#]],
    );
}

#[test]
fn damage_is_accepted_only_for_nodes_that_move() {
    expect_findings(
        &head(
            "revision = 2\nbased_on = 1\nsource = \"source\"\naccept_damaged = [\"acme/web-2\", \"zeta/x\", \
             \"acme/web-1\", \"acme/web-1\"]",
        ),
        expect![[r#"
            error: node `acme/web-2` may be damaged but is in no batch of this plan
             --> line 5, column 19
              |
            5 | accept_damaged = ["acme/web-2", "zeta/x", "acme/web-1", "acme/web-1"]
              |                   ^^^^^^^^^^^^
              = help: remove it: damage is accepted only where a node moves

            error: node `zeta/x` may be damaged but is in no batch of this plan
             --> line 5, column 33
              |
            5 | accept_damaged = ["acme/web-2", "zeta/x", "acme/web-1", "acme/web-1"]
              |                                 ^^^^^^^^
              = help: remove it: damage is accepted only where a node moves

            error: node `acme/web-1` is listed twice: here and at line 5, column 43
             --> line 5, column 57
              |
            5 | accept_damaged = ["acme/web-2", "zeta/x", "acme/web-1", "acme/web-1"]
              |                                                         ^^^^^^^^^^^^
              = help: remove one of the two
        "#]],
    );
}

#[test]
fn unknown_nodes_are_refused_with_the_nearest_known_one() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"acme/wbe-1\" = \"shard-b\"\n\"nobody\" = \"shard-b\"\n",
        expect![[r#"
            error: node `acme/wbe-1` is not known
             --> line 8, column 1
              |
            8 | "acme/wbe-1" = "shard-b"
              | ^^^^^^^^^^^^
              = help: did you mean `acme/web-1`?

            error: node `nobody` is not known
             --> line 9, column 1
              |
            9 | "nobody" = "shard-b"
              | ^^^^^^^^
              = help: `shardlift node list` shows all nodes
        "#]],
    );
}

#[test]
fn a_node_that_is_not_on_the_source_is_refused() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"zeta/moved\" = \"shard-c\"\n[[batch]]\nname = \"b\"\n[batch.nodes]\n\
         \"zeta/moved\" = \"shard-b\"\n",
        expect![[r#"
            error: node `zeta/moved` is on `shard-b`, not on the source `source`
             --> line 8, column 1
              |
            8 | "zeta/moved" = "shard-c"
              | ^^^^^^^^^^^^
              = help: remove this line, or plan this node in a plan of its own source

            error: node `zeta/moved` is listed twice: here and at line 8, column 1, in batch `a`
              --> line 12, column 1
               |
            12 | "zeta/moved" = "shard-b"
               | ^^^^^^^^^^^^
               = help: a node moves once: remove one of the two lines

            error: node `zeta/moved` is on `shard-b`, not on the source `source`
              --> line 12, column 1
               |
            12 | "zeta/moved" = "shard-b"
               | ^^^^^^^^^^^^
               = help: it is where it should go: remove this line
        "#]],
    );
}

#[test]
fn a_node_that_moves_already_is_refused() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"zeta/moving\" = \"shard-c\"\n",
        expect![[r#"
        error: node `zeta/moving` is already moving in batch `old-2`, which is not finished
         --> line 8, column 1
          |
        8 | "zeta/moving" = "shard-c"
          | ^^^^^^^^^^^^^
          = help: wait for batch `old-2`, or abort this node in it first
    "#]],
    );
}

#[test]
fn a_node_in_two_batches_is_refused_with_both_places() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n[[batch]]\nname = \"b\"\n[batch.nodes]\n\
         \"acme/web-1\" = \"shard-c\"\n",
        expect![[r#"
            error: node `acme/web-1` is listed twice: here and at line 8, column 1, in batch `a`
              --> line 12, column 1
               |
            12 | "acme/web-1" = "shard-c"
               | ^^^^^^^^^^^^
               = help: a node moves once: remove one of the two lines
        "#]],
    );
}

#[test]
fn unknown_targets_are_refused() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"acme/web-1\" = \"shard-bb\"\n\"acme/web-2\" = \"elsewhere\"\n",
        expect![[r#"
            error: target `shard-bb` is not a shard of this cluster
             --> line 8, column 16
              |
            8 | "acme/web-1" = "shard-bb"
              |                ^^^^^^^^^^
              = help: did you mean `shard-b`?

            error: target `elsewhere` is not a shard of this cluster
             --> line 9, column 16
              |
            9 | "acme/web-2" = "elsewhere"
              |                ^^^^^^^^^^^
              = help: known shards: shard-b, shard-c, shard-d, source
        "#]],
    );
}

#[test]
fn a_target_that_is_the_source_is_refused() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"acme/web-1\" = \"source\"\n",
        expect![[r#"
        error: node `acme/web-1` would move to `source`, its source
         --> line 8, column 16
          |
        8 | "acme/web-1" = "source"
          |                ^^^^^^^^
          = help: name another shard, or remove this line if the node should stay
    "#]],
    );
}

#[test]
fn a_target_that_cannot_be_reached_is_refused_once() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"acme/web-1\" = \"shard-d\"\n\"acme/web-2\" = \"shard-d\"\n",
        expect![[r#"
            error: target `shard-d` is not reachable
             --> line 8, column 16
              |
            8 | "acme/web-1" = "shard-d"
              |                ^^^^^^^^^
              = help: bring it back, wait, or name another target for its nodes
        "#]],
    );
}

#[test]
fn a_full_target_is_refused_with_the_figures() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"acme/web-1\" = \"shard-c\"\n[[batch]]\nname = \"b\"\n[batch.nodes]\n\
         \"acme/db-1\" = \"shard-c\"\n\"acme/web-2\" = \"shard-c\"\n",
        expect![[r#"
            error: target `shard-c` is full: 3 nodes with 33.0 GiB would come, 45.0 GiB are free, 20.0 GiB (20 % of 100.0 GiB) must stay free; 8.0 GiB too much
              --> line 12, column 15
               |
            12 | "acme/db-1" = "shard-c"
               |               ^^^^^^^^^
               = help: `shard-b` has the most room left, 40.0 GiB
        "#]],
    );
}

#[test]
fn a_smaller_reserve_in_the_file_leaves_more_room() {
    expect_findings(
        "version = 1\nrevision = 2\nbased_on = 1\nsource = \"source\"\nheadroom_percent = 10\n[[batch]]\nname = \"a\"\n\
         [batch.nodes]\n\"acme/web-1\" = \"shard-c\"\n\"acme/db-1\" = \"shard-c\"\n\"acme/web-2\" = \"shard-c\"\n",
        expect![[r#"
            no findings
        "#]],
    );
}

/// Without the node that is there already, 36 of the 39 GiB of room are used; with it, they would not suffice.
#[test]
fn a_node_that_is_at_its_target_already_needs_no_room_there() {
    expect_findings(
        "version = 1\nrevision = 2\nbased_on = 1\nsource = \"source\"\nheadroom_percent = 21\n[[batch]]\nname = \"a\"\n\
         [batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n\"acme/web-2\" = \"shard-b\"\n\"acme/db-1\" = \"shard-b\"\n\
         \"zeta/moving\" = \"shard-b\"\n\"zeta/moved\" = \"shard-b\"\n",
        expect![[r#"
            error: node `zeta/moving` is already moving in batch `old-2`, which is not finished
              --> line 12, column 1
               |
            12 | "zeta/moving" = "shard-b"
               | ^^^^^^^^^^^^^
               = help: wait for batch `old-2`, or abort this node in it first

            error: node `zeta/moved` is on `shard-b`, not on the source `source`
              --> line 13, column 1
               |
            13 | "zeta/moved" = "shard-b"
               | ^^^^^^^^^^^^
               = help: it is where it should go: remove this line
        "#]],
    );
}
