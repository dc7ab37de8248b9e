//! Plan files, as far as they can be looked at without a controller.

use super::*;
use crate::cli::Format;
use expect_test::expect;

const GOOD: &str = "version = 1\nrevision = 1\nbased_on = 0\nsource = \"source\"\n\n\
                    [[batch]]\nname = \"canary\"\n[batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n";

fn global() -> Global {
    Global { context: Some("/nowhere/operator.toml".into()), controller: None, output: Format::Table }
}

fn plan_file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("plan.toml");
    fs::write(&file, text).unwrap();
    (root, file)
}

#[tokio::test]
async fn a_good_form_passes_offline_and_a_bad_one_is_a_problem_and_not_a_failure() {
    let (_root, file) = plan_file(GOOD);
    check(&global(), &file, true).await.unwrap();
    let (_root, file) = plan_file(&GOOD.replace("revision = 1", "revision = \"one\""));
    assert_eq!(check(&global(), &file, true).await.unwrap_err().exit, Exit::Problems);
    // The form is looked at first: no controller is needed to see that it is wrong.
    assert_eq!(check(&global(), &file, false).await.unwrap_err().exit, Exit::Problems);
}

#[tokio::test]
async fn a_check_without_a_controller_does_not_pass_unless_it_was_asked_for() {
    let (_root, file) = plan_file(GOOD);
    let failure = check(&global(), &file, false).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.advice.contains("--offline"), "{failure}");
}

#[tokio::test]
async fn a_plan_that_was_not_reviewed_is_refused_before_anything_is_asked() {
    let (_root, file) = plan_file(GOOD);
    assert_eq!(apply(&global(), &file, 2, false).await.unwrap_err().exit, Exit::Refused);
    assert_eq!(apply(&global(), &file, 2, true).await.unwrap_err().exit, Exit::Refused);
    assert_eq!(apply(&global(), Path::new("/nowhere.toml"), 1, false).await.unwrap_err().exit, Exit::Failed);
}

#[test]
fn problems_point_at_line_and_column() {
    let bad = GOOD.replace("\"shard-b\"", "7").replace("source = \"source\"", "sauce = \"source\"");
    let problems = check_form(&bad).problems;
    expect![[r#"
        error: `source` is missing
         --> plan.toml:1:1
          |
        1 | version = 1
          | ^^^^^^^
          = help: add `source = "source"`

        error: unknown key "sauce" in a plan file
         --> plan.toml:4:1
          |
        4 | sauce = "source"
          | ^^^^^
          = help: known keys: version, revision, based_on, source, headroom_percent, accept_damaged, batch

        error: "acme/web-1" is an integer; a shard's name, a string, is expected
         --> plan.toml:9:16
          |
        9 | "acme/web-1" = 7
          |                ^
          = help: write a shard's name in quotes
    "#]]
    .assert_eq(&problems_text(Path::new("plan.toml"), &problems));
}

#[test]
fn a_draft_never_replaces_a_file_unless_told_to() {
    let (_root, file) = plan_file("precious and long");
    let refused = write_plan(&file, "new", false).unwrap_err();
    assert!(refused.advice.contains("--force"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious and long");
    write_plan(&file, "new", true).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "new");
}
