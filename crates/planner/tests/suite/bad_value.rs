//! Files whose values have the wrong type, range or name: one small file per kind of finding.

use crate::fixture::expect_findings;
use expect_test::expect;

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    expect_findings(
        "version = 1\nrevison = 2\nbased_on = 1\nsource = \"source\"\ncolour = \"red\"\n[[batch]]\nname = \"a\"\n\
         afte = []\n[batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n",
        expect![[r#"
            error: `revision` is missing
             --> line 1, column 1
              |
            1 | version = 1
              | ^^^^^^^
              = help: add it as a whole number, such as 1

            error: unknown key "revison" in a plan file
             --> line 2, column 1
              |
            2 | revison = 2
              | ^^^^^^^
              = help: did you mean `revision`?

            error: unknown key "colour" in a plan file
             --> line 5, column 1
              |
            5 | colour = "red"
              | ^^^^^^
              = help: known keys: version, revision, based_on, source, headroom_percent, accept_damaged, wishes, batch, drawn

            error: unknown key "afte" in a batch
             --> line 8, column 1
              |
            8 | afte = []
              | ^^^^
              = help: did you mean `after`?
        "#]],
    );
}

#[test]
fn wrong_types_are_refused_with_the_right_one() {
    expect_findings(
        "version = 1.0\nrevision = \"2\"\nbased_on = true\nsource = 7\naccept_damaged = \"acme/web-1\"\n\
         headroom_percent = 101\n[[batch]]\nname = [\"a\"]\nafter = \"b\"\nnodes = [\"acme/web-1\"]\n",
        expect![[r#"
            error: "version" is a float; a whole number is expected
             --> line 1, column 11
              |
            1 | version = 1.0
              |           ^^^
              = help: write `version = 1`, without quotes

            error: "revision" is a string; a whole number is expected
             --> line 2, column 12
              |
            2 | revision = "2"
              |            ^^^
              = help: write `revision = 1`, without quotes

            error: "based_on" is a boolean; a whole number is expected
             --> line 3, column 12
              |
            3 | based_on = true
              |            ^^^^
              = help: write `based_on = 1`, without quotes

            error: "source" is an integer; a shard's name, a string, is expected
             --> line 4, column 10
              |
            4 | source = 7
              |          ^
              = help: write a shard's name in quotes

            error: "accept_damaged" is a string; a list of names, each of a node, is expected
             --> line 5, column 18
              |
            5 | accept_damaged = "acme/web-1"
              |                  ^^^^^^^^^^^^
              = help: write `accept_damaged = ["..."]`, or leave it out

            error: `headroom_percent` is 101; 0 to 100 is expected
             --> line 6, column 20
              |
            6 | headroom_percent = 101
              |                    ^^^
              = help: it is the share of each target that stays free

            error: "name" is an array; a batch's name, a string, is expected
             --> line 8, column 8
              |
            8 | name = ["a"]
              |        ^^^^^
              = help: write a batch's name in quotes

            error: "after" is a string; a list of names, each of a batch, is expected
             --> line 9, column 9
              |
            9 | after = "b"
              |         ^^^
              = help: write `after = ["..."]`, or leave it out

            error: "nodes" is an array; a table of nodes and their targets is expected
              --> line 10, column 9
               |
            10 | nodes = ["acme/web-1"]
               |         ^^^^^^^^^^^^^^
               = help: write `[batch.nodes]` and one line per node
        "#]],
    );
}

#[test]
fn wrong_types_inside_lists_and_tables_are_refused() {
    expect_findings(
        "version = 1\nrevision = 2\nbased_on = 1\nsource = \"source\"\naccept_damaged = [\"acme/web-1\", 3]\n\
         [[batch]]\nname = \"a\"\nafter = [[]]\n[batch.nodes]\n\"acme/web-1\" = 4\n\"acme/web-2\" = [\"shard-b\"]\n",
        expect![[r#"
            error: `accept_damaged` holds an integer; a node's name, a string, is expected
             --> line 5, column 33
              |
            5 | accept_damaged = ["acme/web-1", 3]
              |                                 ^
              = help: write a node's name in quotes

            error: `after` holds an array; a batch's name, a string, is expected
             --> line 8, column 10
              |
            8 | after = [[]]
              |          ^^^
              = help: write a batch's name in quotes

            error: "acme/web-1" is an integer; a shard's name, a string, is expected
              --> line 10, column 16
               |
            10 | "acme/web-1" = 4
               |                ^
               = help: write a shard's name in quotes

            error: "acme/web-2" is an array; a shard's name, a string, is expected
              --> line 11, column 16
               |
            11 | "acme/web-2" = ["shard-b"]
               |                ^^^^^^^^^^^
               = help: write a shard's name in quotes
        "#]],
    );
}

#[test]
fn numbers_out_of_range_are_refused() {
    expect_findings(
        "version = 2\nrevision = 0\nbased_on = -1\nsource = \"source\"\n[[batch]]\nname = \"a\"\n[batch.nodes]\n\
         \"acme/web-1\" = \"shard-b\"\n",
        expect![[r#"
            error: version 2 of the format is unknown; 1 is expected
             --> line 1, column 11
              |
            1 | version = 2
              |           ^
              = help: write `version = 1`, or use the `shardlift` that wrote this file

            error: `revision` is 0; 1 or more is expected
             --> line 2, column 12
              |
            2 | revision = 0
              |            ^
              = help: revisions count up from 1; 0 stands for no plan

            error: `based_on` is -1; 0 or more is expected
             --> line 3, column 12
              |
            3 | based_on = -1
              |            ^^
              = help: revisions count up from 1; 0 stands for no plan
        "#]],
    );
}

#[test]
fn names_that_cannot_be_names_are_refused() {
    expect_findings(
        "version = 1\nrevision = 2\nbased_on = 1\nsource = \"Source\"\naccept_damaged = [\"..\"]\n[[batch]]\n\
         name = \"a b\"\nafter = [\"\"]\n[batch.nodes]\n\"../web-1\" = \"shard-b\"\n\"a/b/c\" = \"shard/b\"\n\
         \"a\\u001b[2J\" = \"shard-b\"\n",
        expect![[r#"
            error: "Source" cannot name a shard: the name contains 'S'; letters, digits and @ . _ - are allowed
             --> line 4, column 10
              |
            4 | source = "Source"
              |          ^^^^^^^^
              = help: lower-case letters, digits and . _ - are allowed, at most 63

            error: ".." cannot name a node: a name may not start with a dot
             --> line 5, column 19
              |
            5 | accept_damaged = [".."]
              |                   ^^^^
              = help: a node is named by one or two parts, such as acme/web-1

            error: "a b" cannot name a batch: the name contains ' '; letters, digits and @ . _ - are allowed
             --> line 7, column 8
              |
            7 | name = "a b"
              |        ^^^^^
              = help: lower-case letters, digits and . _ - are allowed, at most 63

            error: "" cannot name a batch: the name is empty
             --> line 8, column 10
              |
            8 | after = [""]
              |          ^^
              = help: lower-case letters, digits and . _ - are allowed, at most 63

            error: "../web-1" cannot name a node: a name may not start with a dot
              --> line 10, column 1
               |
            10 | "../web-1" = "shard-b"
               | ^^^^^^^^^^
               = help: a node is named by one or two parts, such as acme/web-1

            error: "a/b/c" cannot name a node: a node name has one or two components, separated by one slash
              --> line 11, column 1
               |
            11 | "a/b/c" = "shard/b"
               | ^^^^^^^
               = help: a node is named by one or two parts, such as acme/web-1

            error: "shard/b" cannot name a shard: the name contains '/'; letters, digits and @ . _ - are allowed
              --> line 11, column 11
               |
            11 | "a/b/c" = "shard/b"
               |           ^^^^^^^^^
               = help: lower-case letters, digits and . _ - are allowed, at most 63

            error: "a\u{1b}[2J" cannot name a node: the name contains '\u{1b}'; letters, digits and @ . _ - are allowed
              --> line 12, column 1
               |
            12 | "a\u001b[2J" = "shard-b"
               | ^^^^^^^^^^^^
               = help: a node is named by one or two parts, such as acme/web-1
        "#]],
    );
}
