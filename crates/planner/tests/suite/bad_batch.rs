//! Batches that cannot run, or that clash with those of an earlier plan: one small file per kind of finding.

use crate::fixture::{expect_batch_findings, expect_findings};
use expect_test::expect;

#[test]
fn after_must_name_batches_that_exist_and_not_the_batch_itself() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\nafter = [\"a\", \"old-1\", \"old-3\", \"mars\"]\n[batch.nodes]\n\
         \"acme/web-1\" = \"shard-b\"\n",
        expect![[r#"
            error: batch `a` waits for itself
             --> line 7, column 10
              |
            7 | after = ["a", "old-1", "old-3", "mars"]
              |          ^^^
              = help: remove it from `after`; without `after` a batch waits for the one above

            error: `after` names batch `old-3`, which does not exist
             --> line 7, column 24
              |
            7 | after = ["a", "old-1", "old-3", "mars"]
              |                        ^^^^^^^
              = help: did you mean `old-1`?

            error: `after` names batch `mars`, which does not exist
             --> line 7, column 33
              |
            7 | after = ["a", "old-1", "old-3", "mars"]
              |                                 ^^^^^^
              = help: name a batch of this plan or of an earlier one
        "#]],
    );
}

#[test]
fn batches_that_wait_for_each_other_are_refused() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\nafter = [\"c\"]\n[batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n[[batch]]\nname = \"b\"\n\
         [batch.nodes]\n\"acme/web-2\" = \"shard-b\"\n[[batch]]\nname = \"c\"\n[batch.nodes]\n\"acme/db-1\" = \"shard-b\"\n",
        expect![[r#"
            error: cyclic `after`: `a` waits for `c`, which waits for `b`, which waits for `a`
             --> line 7, column 10
              |
            7 | after = ["c"]
              |          ^^^
              = help: remove one of these from `after`, so that one batch can start
        "#]],
    );
}

#[test]
fn a_batch_name_used_twice_is_refused_with_both_places() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n[[batch]]\nname = \"a\"\n[batch.nodes]\n\
         \"acme/web-2\" = \"shard-b\"\n",
        expect![[r#"
            error: batch `a` exists twice: here and at line 6, column 8
              --> line 10, column 8
               |
            10 | name = "a"
               |        ^^^
               = help: give one of them another name
        "#]],
    );
}

#[test]
fn a_batch_without_nodes_is_refused() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\n[batch.nodes]\n",
        expect![[r#"
        error: batch `a` has no node
         --> line 5, column 1
          |
        5 | [[batch]]
          | ^^^^^^^^^
          = help: add a node to `[batch.nodes]`, or remove the batch
    "#]],
    );
}

#[test]
fn a_batch_name_of_an_earlier_plan_with_other_moves_is_refused() {
    expect_batch_findings(
        "[[batch]]\nname = \"old-2\"\n[batch.nodes]\n\"zeta/moving\" = \"shard-c\"\n[[batch]]\nname = \"old-1\"\n\
         [batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n",
        expect![[r#"
            error: batch `old-2` of an earlier plan has other moves: `zeta/moving` went to `shard-b` in it
             --> line 6, column 8
              |
            6 | name = "old-2"
              |        ^^^^^^^
              = help: a batch's name means one set of moves for ever: take a new name

            error: batch `old-1` of an earlier plan has other moves: `acme/web-1` was not in it
              --> line 10, column 8
               |
            10 | name = "old-1"
               |        ^^^^^^^
               = help: a batch's name means one set of moves for ever: take a new name
        "#]],
    );
}

#[test]
fn batches_of_an_earlier_plan_may_be_carried_over() {
    expect_batch_findings(
        "[[batch]]\nname = \"old-1\"\n[batch.nodes]\n\"zeta/moved\" = \"shard-b\"\n[[batch]]\nname = \"old-2\"\n\
         [batch.nodes]\n\"zeta/moving\" = \"shard-b\"\n[[batch]]\nname = \"new\"\n[batch.nodes]\n\
         \"acme/web-1\" = \"shard-b\"\n",
        expect![[r#"
            no findings
        "#]],
    );
}

#[test]
fn findings_come_in_the_order_of_the_file() {
    expect_findings(
        "version = 1\nrevision = 2\nbased_on = 0\nsource = \"source\"\n[[batch]]\nname = \"a\"\nafter = [\"z\"]\n\
         [batch.nodes]\n\"nobody\" = \"source\"\n\"acme/db-1\" = \"nowhere\"\n[[batch]]\nname = \"a\"\n[batch.nodes]\n\
         \"nobody\" = \"shard-d\"\n",
        expect![[r#"
            error: stale plan: it is based on revision 0, but revision 1 is in force
             --> line 3, column 12
              |
            3 | based_on = 0
              |            ^
              = help: compare with what changed since revision 0, then write `based_on = 1`

            error: `after` names batch `z`, which does not exist
             --> line 7, column 10
              |
            7 | after = ["z"]
              |          ^^^
              = help: name a batch of this plan or of an earlier one

            error: node `nobody` is not known
             --> line 9, column 1
              |
            9 | "nobody" = "source"
              | ^^^^^^^^
              = help: `shardlift node list` shows all nodes

            error: node `nobody` would move to `source`, its source
             --> line 9, column 12
              |
            9 | "nobody" = "source"
              |            ^^^^^^^^
              = help: name another shard, or remove this line if the node should stay

            error: target `nowhere` is not a shard of this cluster
              --> line 10, column 15
               |
            10 | "acme/db-1" = "nowhere"
               |               ^^^^^^^^^
               = help: known shards: shard-b, shard-c, shard-d, source

            error: batch `a` exists twice: here and at line 6, column 8
              --> line 12, column 8
               |
            12 | name = "a"
               |        ^^^
               = help: give one of them another name

            error: node `nobody` is listed twice: here and at line 9, column 1, in batch `a`
              --> line 14, column 1
               |
            14 | "nobody" = "shard-d"
               | ^^^^^^^^
               = help: a node moves once: remove one of the two lines

            error: node `nobody` is not known
              --> line 14, column 1
               |
            14 | "nobody" = "shard-d"
               | ^^^^^^^^
               = help: `shardlift node list` shows all nodes

            error: target `shard-d` is not reachable
              --> line 14, column 12
               |
            14 | "nobody" = "shard-d"
               |            ^^^^^^^^^
               = help: bring it back, wait, or name another target for its nodes
        "#]],
    );
}
