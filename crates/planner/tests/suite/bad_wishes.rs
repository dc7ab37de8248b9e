//! Wishes in plan files whose form is wrong, or that name what does not exist: one small bad file per kind of finding.

use crate::fixture::expect_findings;
use expect_test::{Expect, expect};
use shardlift_planner::{Finding, parse_wishes};

pub(crate) const HEAD: &str = "version = 1\nrevision = 2\nbased_on = 1\nsource = \"source\"\n";
pub(crate) const CANARY: &str = "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n";

/// Findings of wishes above a batch that is good.
pub(crate) fn expect_wish_findings(wishes: &str, expect: Expect) {
    expect_findings(&format!("{HEAD}[wishes]\n{wishes}\n{CANARY}"), expect);
}

#[test]
fn windows_that_are_none_are_refused_with_their_place() {
    expect_wish_findings(
        "windows = [\"2-6\", 7, \"24:00-01:00\"]",
        expect![[r#"
        error: "2-6" is no window: a window is two times of day in UTC, such as 02:00-06:00
         --> line 6, column 12
          |
        6 | windows = ["2-6", 7, "24:00-01:00"]
          |            ^^^^^
          = help: write `windows = ["02:00-06:00"]`, in UTC

        error: `windows` holds an integer; a window, a string, is expected
         --> line 6, column 19
          |
        6 | windows = ["2-6", 7, "24:00-01:00"]
          |                   ^
          = help: write `windows = ["02:00-06:00"]`, in UTC

        error: "24:00-01:00" is no window: a window begins before 24:00 and has a length
         --> line 6, column 22
          |
        6 | windows = ["2-6", 7, "24:00-01:00"]
          |                      ^^^^^^^^^^^^^
          = help: write `windows = ["02:00-06:00"]`, in UTC
    "#]],
    );
    expect_wish_findings(
        "windows = \"02:00-06:00\"",
        expect![[r#"
        error: "windows" is a string; a list of windows is expected
         --> line 6, column 11
          |
        6 | windows = "02:00-06:00"
          |           ^^^^^^^^^^^^^
          = help: write `windows = ["02:00-06:00"]`, in UTC
    "#]],
    );
}

#[test]
fn absurd_figures_are_refused_with_their_place() {
    expect_wish_findings(
        "tolerance_permille = 1001\nhorizon_days = -1\nbytes_max = \"2 TB\"\nmoves_max = 0\nfrom_any_shard = \"yes\"\n\
         goal = { peak_at_most = 101 }",
        expect![[r#"
            error: `tolerance_permille` is 1001; 0 to 1000 is expected
             --> line 6, column 22
              |
            6 | tolerance_permille = 1001
              |                      ^^^^
              = help: write `tolerance_permille = 30`, or leave it out

            error: `horizon_days` is -1; 0 to 3660 is expected
             --> line 7, column 16
              |
            7 | horizon_days = -1
              |                ^^
              = help: write `horizon_days = 30`, or leave it out

            error: `bytes_max` is "2 TB": a size is a whole number and a unit, B, KiB, MiB, GiB or TiB, such as 500 GiB
             --> line 8, column 13
              |
            8 | bytes_max = "2 TB"
              |             ^^^^^^
              = help: write `bytes_max = "2 TiB"`

            error: `moves_max` is 0; 1 to 1099511627776 is expected
             --> line 9, column 13
              |
            9 | moves_max = 0
              |             ^
              = help: write `moves_max = 30`, or leave it out

            error: "from_any_shard" is a string; true or false is expected
              --> line 10, column 18
               |
            10 | from_any_shard = "yes"
               |                  ^^^^^
               = help: write `from_any_shard = true`, without quotes

            error: `peak_at_most` is 101; 1 to 100 is expected
              --> line 11, column 25
               |
            11 | goal = { peak_at_most = 101 }
               |                         ^^^
               = help: write `peak_at_most = 30`, or leave it out
        "#]],
    );
    expect_wish_findings(
        "bytes_max = \"0 B\"\nmoves_max = 1.5\nhorizon_days = 99999\ngoal = { leave = -2 }",
        expect![[r#"
            error: `bytes_max` is 0 B; more than 0 and at most 4 EiB is expected
             --> line 6, column 13
              |
            6 | bytes_max = "0 B"
              |             ^^^^^
              = help: write `bytes_max = "2 TiB"`, or leave it out

            error: "moves_max" is a float; a whole number is expected
             --> line 7, column 13
              |
            7 | moves_max = 1.5
              |             ^^^
              = help: write `moves_max = 30`, without quotes

            error: `horizon_days` is 99999; 0 to 3660 is expected
             --> line 8, column 16
              |
            8 | horizon_days = 99999
              |                ^^^^^
              = help: write `horizon_days = 30`, or leave it out

            error: `leave` is -2; 0 to 1099511627776 is expected
             --> line 9, column 18
              |
            9 | goal = { leave = -2 }
              |                  ^^
              = help: write `leave = 30`, or leave it out
        "#]],
    );
}

#[test]
fn a_goal_is_one_of_four() {
    expect_wish_findings(
        "goal = \"lowest-peak\"",
        expect![[r#"
        error: "lowest-peak" is no goal
         --> line 6, column 8
          |
        6 | goal = "lowest-peak"
          |        ^^^^^^^^^^^^^
          = help: did you mean "lowest_peak"?
    "#]],
    );
    expect_wish_findings(
        "goal = { peak_at_most = 60, leave = 3 }",
        expect![[r#"
        error: a goal has one key, `peak_at_most` or `leave`
         --> line 6, column 8
          |
        6 | goal = { peak_at_most = 60, leave = 3 }
          |        ^
          = help: write `goal = "lowest_peak"`, "evacuate", { peak_at_most = 60 } or { leave = 200 }
    "#]],
    );
    expect_wish_findings(
        "goal = { peek_at_most = 60 }",
        expect![[r#"
        error: a goal has one key, `peak_at_most` or `leave`
         --> line 6, column 8
          |
        6 | goal = { peek_at_most = 60 }
          |        ^
          = help: write `goal = "lowest_peak"`, "evacuate", { peak_at_most = 60 } or { leave = 200 }

        error: unknown key "peek_at_most" in a goal
         --> line 6, column 10
          |
        6 | goal = { peek_at_most = 60 }
          |          ^^^^^^^^^^^^
          = help: did you mean `peak_at_most`?
    "#]],
    );
    expect_wish_findings(
        "goal = 60",
        expect![[r#"
        error: "goal" is an integer; a goal is expected
         --> line 6, column 8
          |
        6 | goal = 60
          |        ^^
          = help: write `goal = "lowest_peak"`, "evacuate", { peak_at_most = 60 } or { leave = 200 }
    "#]],
    );
}

#[test]
fn names_and_rules_that_cannot_be_meant_are_refused() {
    expect_wish_findings(
        "hold = [\"acme/db-1\"]\npins = \"acme/db-1\"\nmust_move = [3, \"../x\"]\n[wishes.targets_of]\n\"acme/web-1\" = []\n\
         \"acme/web-2\" = \"shard-b\"\n[wishes.customers]\nacme = \"apart\"\nzeta = { spread_nodes = 0 }\n\"a/b\" = \"together\"",
        expect![[r#"
            error: unknown key "hold" in the wishes
             --> line 6, column 1
              |
            6 | hold = ["acme/db-1"]
              | ^^^^
              = help: did you mean `holds`?

            error: "pins" is a string; a list of names, each of a node, is expected
             --> line 7, column 8
              |
            7 | pins = "acme/db-1"
              |        ^^^^^^^^^^^
              = help: write `pins = ["..."]`, or leave it out

            error: `must_move` holds an integer; a node's name, a string, is expected
             --> line 8, column 14
              |
            8 | must_move = [3, "../x"]
              |              ^
              = help: write a node's name in quotes

            error: "../x" cannot name a node: a name may not start with a dot
             --> line 8, column 17
              |
            8 | must_move = [3, "../x"]
              |                 ^^^^^^
              = help: a node is named by one or two parts, such as acme/web-1

            error: node "acme/web-1" may go to no target
              --> line 10, column 16
               |
            10 | "acme/web-1" = []
               |                ^^
               = help: name a target, or put the node under `holds`

            error: "acme/web-2" is a string; a list of names, each of a shard, is expected
              --> line 11, column 16
               |
            11 | "acme/web-2" = "shard-b"
               |                ^^^^^^^^^
               = help: write `acme/web-2 = ["..."]`, or leave it out

            error: "apart" is no rule for a customer
              --> line 13, column 8
               |
            13 | acme = "apart"
               |        ^^^^^^^
               = help: write "together", { spread_nodes = 2 } or { spread_percent = 50 }

            error: `spread_nodes` is 0; 1 to 4294967295 is expected
              --> line 14, column 25
               |
            14 | zeta = { spread_nodes = 0 }
               |                         ^
               = help: write `spread_nodes = 30`, or leave it out

            error: "a/b" cannot name a customer: the name contains '/'; letters, digits and @ . _ - are allowed
              --> line 15, column 1
               |
            15 | "a/b" = "together"
               | ^^^^^
               = help: a customer is named by one part, such as acme
        "#]],
    );
    expect_findings(
        &format!("{HEAD}wishes = 3\n{CANARY}"),
        expect![[r#"
        error: "wishes" is an integer; a table is expected
         --> line 5, column 10
          |
        5 | wishes = 3
          |          ^
          = help: write `[wishes]` and one line per wish
    "#]],
    );
}

#[test]
fn names_that_the_world_does_not_know_are_refused() {
    expect_wish_findings(
        "holds = [\"acme/db-2\"]\nmust_move = [\"no/body\"]\n[wishes.targets_of]\n\"acme/web-1\" = [\"shard-x\", \"shard-b\"]\n\
         [wishes.customers]\nacme = \"together\"",
        expect![[r#"
            error: node `acme/db-2` of `holds` is not known
             --> line 6, column 10
              |
            6 | holds = ["acme/db-2"]
              |          ^^^^^^^^^^^
              = help: did you mean `acme/db-1`?

            error: node `no/body` of `must_move` is not known
             --> line 7, column 14
              |
            7 | must_move = ["no/body"]
              |              ^^^^^^^^^
              = help: `shardlift node list` shows all nodes

            error: target `shard-x` is not a shard of this cluster
             --> line 9, column 17
              |
            9 | "acme/web-1" = ["shard-x", "shard-b"]
              |                 ^^^^^^^^^
              = help: did you mean `shard-b`?

            error: customer `acme` owns no node
              --> line 11, column 1
               |
            11 | acme = "together"
               | ^^^^
               = help: remove this line, or name a customer who owns a node
        "#]],
    );
}

#[test]
fn a_file_of_wishes_has_nothing_else() {
    let shown = |text: &str| {
        let found = parse_wishes(text).unwrap_err();
        found.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n\n")
    };
    expect![[r#"
        error: `[wishes]` is missing
         --> line 1, column 1
          |
        1 | goal = "evacuate"
          | ^^^^
          = help: begin with `[wishes]`

        error: unknown key "goal", a string, in a file of wishes
         --> line 1, column 1
          |
        1 | goal = "evacuate"
          | ^^^^
          = help: put `[wishes]` on a line above it

        error: unknown key "version", an integer, in a file of wishes
         --> line 2, column 1
          |
        2 | version = 1
          | ^^^^^^^
          = help: a file of wishes has the table `[wishes]` and nothing else"#]]
    .assert_eq(&shown("goal = \"evacuate\"\nversion = 1\n"));
}
