//! Files that cannot be read as a plan: one small file per kind of finding.

use crate::fixture::{expect_batch_findings, expect_findings};
use expect_test::expect;
use shardlift_planner::{FILE_BYTES_MAX, parse};

#[test]
fn an_empty_file_lacks_everything() {
    expect_findings(
        "",
        expect![[r#"
        error: `based_on` is missing
         --> line 1, column 1
          |
        1 | 
          | ^
          = help: add `based_on = 0` when there is no plan yet, else the revision in force

        error: `revision` is missing
         --> line 1, column 1
          |
        1 | 
          | ^
          = help: add it as a whole number, such as 1

        error: `source` is missing
         --> line 1, column 1
          |
        1 | 
          | ^
          = help: add `source = "source"`

        error: `version` is missing
         --> line 1, column 1
          |
        1 | 
          | ^
          = help: add it as a whole number, such as 1

        error: the plan has no batch
         --> line 1, column 1
          |
        1 | 
          | ^
          = help: add one: `[[batch]]`, `name = "canary"`, `[batch.nodes]`
    "#]],
    );
}

#[test]
fn text_that_is_not_toml_is_refused_at_its_place() {
    expect_findings(
        "version = 1\nrevision == 2\n",
        expect![[r#"
        error: not valid TOML: extra `=`, expected nothing
         --> line 2, column 11
          |
        2 | revision == 2
          |           ^
          = help: the file must be TOML; look at the marked place and at the line above it
    "#]],
    );
}

#[test]
fn a_string_without_end_is_refused_at_its_place() {
    expect_findings(
        "version = 1\nsource = \"source\nrevision = 2\n",
        expect![[r#"
        error: not valid TOML: invalid basic string, expected `"`
         --> line 2, column 17
          |
        2 | source = "source
          |                 ^
          = help: the file must be TOML; look at the marked place and at the line above it
    "#]],
    );
}

#[test]
fn a_node_without_quotes_is_refused_with_the_way_to_write_it() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\n[batch.nodes]\nacme/web-1 = \"shard-b\"\n",
        expect![[r#"
        error: not valid TOML: invalid unquoted key, expected letters, numbers, `-`, `_`
         --> line 8, column 5
          |
        8 | acme/web-1 = "shard-b"
          |     ^^^^^^
          = help: put the node's name in quotes: "acme/web-1" = "shard-b"
    "#]],
    );
}

#[test]
fn a_node_with_dots_and_without_quotes_is_refused_with_the_way_to_write_it() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\n[batch.nodes]\nweb.example = \"shard-b\"\n",
        expect![[r#"
        error: node "web" has a table where its target, a string, is expected
         --> line 8, column 1
          |
        8 | web.example = "shard-b"
          | ^^^^^^^^^^^
          = help: put a name with dots in quotes: "web.example" = "shard-b"
    "#]],
    );
}

#[test]
fn a_single_table_is_no_batch() {
    expect_batch_findings(
        "[batch]\nname = \"a\"\n[batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n",
        expect![[r#"
        error: `batch` is a table; `[[batch]]` is expected
         --> line 5, column 1
          |
        5 | [batch]
          | ^^^^^^^
          = help: write `[[batch]]`, with two brackets on each side, for every batch
    "#]],
    );
}

#[test]
fn a_batch_lacks_its_name_and_its_nodes() {
    expect_batch_findings(
        "[[batch]]\n  [[batch]]\nname = \"b\"\n",
        expect![[r#"
        error: `name` is missing
         --> line 5, column 1
          |
        5 | [[batch]]
          | ^^^^^^^^^
          = help: add `name = "canary"`

        error: `nodes` is missing
         --> line 5, column 1
          |
        5 | [[batch]]
          | ^^^^^^^^^
          = help: add `[batch.nodes]` and one line per node

        error: `nodes` is missing
         --> line 6, column 3
          |
        6 |   [[batch]]
          |   ^^^^^^^^^
          = help: add `[batch.nodes]` and one line per node
    "#]],
    );
}

#[test]
fn a_node_listed_twice_in_a_batch_is_refused_with_both_places() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n\"acme/web-2\" = \"shard-b\"\n\
         \"acme/web-1\" = \"shard-c\"\n'acme/web-2' = 'shard-b' # again\n",
        expect![[r#"
            error: node "acme/web-1" is listed twice in this batch: here and at line 8, column 1
              --> line 10, column 1
               |
            10 | "acme/web-1" = "shard-c"
               | ^^^^^^^^^^^^
               = help: a node moves once: remove one of the two lines

            error: node "acme/web-2" is listed twice in this batch: here and at line 9, column 1
              --> line 11, column 1
               |
            11 | 'acme/web-2' = 'shard-b' # again
               | ^^^^^^^^^^^^
               = help: a node moves once: remove one of the two lines
        "#]],
    );
}

#[test]
fn a_key_set_twice_is_refused_with_both_places_and_the_rest_is_still_read() {
    expect_findings(
        "version = 1\nrevision = 2\nbased_on = 1\nrevision = 3\nsource = 5\n[[batch]]\nname = \"a\"\nname = \"b\"\n\
         [batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n",
        expect![[r#"
            error: `revision` is set twice: here and at line 2, column 1
             --> line 4, column 1
              |
            4 | revision = 3
              | ^^^^^^^^
              = help: remove one of the two lines

            error: "source" is an integer; a shard's name, a string, is expected
             --> line 5, column 10
              |
            5 | source = 5
              |          ^
              = help: write a shard's name in quotes

            error: `name` is set twice: here and at line 7, column 1
             --> line 8, column 1
              |
            8 | name = "b"
              | ^^^^
              = help: remove one of the two lines
        "#]],
    );
}

#[test]
fn columns_count_characters() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"büro/grün\" = \"Schärd\" # größer\n",
        expect![[r#"
            error: "Schärd" cannot name a shard: the name contains 'S'; letters, digits and @ . _ - are allowed
             --> line 8, column 15
              |
            8 | "büro/grün" = "Schärd" # größer
              |               ^^^^^^^^
              = help: lower-case letters, digits and . _ - are allowed, at most 63
        "#]],
    );
}

#[test]
fn windows_line_ends_and_tabs_are_read() {
    expect_findings(
        "version = 1\r\nrevision = 2\r\nbased_on = 1\r\n\tsource = \"surce\"\r\n[[batch]]\r\nname = \"a\"\r\n\
         [batch.nodes]\r\n\"acme/web-1\" = \"shard-b\"\r\n",
        expect![[r#"
            error: source `surce` is not a shard of this cluster
             --> line 4, column 11
              |
            4 |  source = "surce"
              |           ^^^^^^^
              = help: did you mean `source`?
        "#]],
    );
}

#[test]
fn a_line_without_end_is_refused() {
    let text = format!("version = 1\naccept_damaged = [{}]\n", "\"a\",".repeat(300));
    let findings = parse(&text).unwrap_err();
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].line, findings[0].column), (2, 1));
    assert_eq!(findings[0].message, "the line has 1219 characters; at most 1000 are read");
    assert!(findings[0].snippet.chars().count() <= 1000);
}

#[test]
fn a_file_over_the_limit_is_refused_and_one_at_the_limit_is_read() {
    let good = "version = 1\nrevision = 2\nbased_on = 1\nsource = \"source\"\n[[batch]]\nname = \"a\"\n[batch.nodes]\n\
                \"acme/web-1\" = \"shard-b\"\n";
    let filler = |bytes: usize| "#\n".repeat(bytes.div_ceil(2));
    let full = format!("{good}{}", filler(FILE_BYTES_MAX - good.len() - 1));
    assert!(full.len() <= FILE_BYTES_MAX && parse(&full).is_ok());
    let findings = parse(&format!("{good}{}", filler(FILE_BYTES_MAX))).unwrap_err();
    assert_eq!(findings.len(), 1);
    assert!(findings[0].message.ends_with("at most 12582912 are read"), "{}", findings[0]);
}

#[test]
fn deep_nesting_is_an_error_and_no_crash() {
    let text = format!("version = {}\n", "[".repeat(900));
    assert!(!parse(&text).unwrap_err().is_empty());
}

#[test]
fn a_node_that_is_called_like_a_key_is_not_mistaken_for_it() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\n[batch.nodes]\nname = \"shard-b\"\nname = \"shard-c\"\n",
        expect![[r#"
            error: node "name" is listed twice in this batch: here and at line 8, column 1
             --> line 9, column 1
              |
            9 | name = "shard-c"
              | ^^^^
              = help: a node moves once: remove one of the two lines
        "#]],
    );
}
