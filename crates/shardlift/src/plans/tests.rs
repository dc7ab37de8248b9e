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

fn reviewed(revision: u64) -> Reviewed {
    Reviewed { revision, accept_drift: false }
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
    assert_eq!(apply(&global(), &file, reviewed(2), false).await.unwrap_err().exit, Exit::Refused);
    assert_eq!(apply(&global(), &file, reviewed(2), true).await.unwrap_err().exit, Exit::Refused);
    assert_eq!(apply(&global(), Path::new("/nowhere.toml"), reviewed(1), false).await.unwrap_err().exit, Exit::Failed);
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
          = help: known keys: version, revision, based_on, source, headroom_percent, accept_damaged, wishes, batch, drawn

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
    let refused = write_new(&file, "new", false).unwrap_err();
    assert!(refused.advice.contains("--force"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious and long");
    write_new(&file, "new", true).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "new");
}

#[test]
fn a_world_that_has_drifted_is_refused_until_that_is_accepted() {
    let drift: Vec<String> = (0..25).map(|n| format!("node `n{n}` is gone\u{1b}[2J")).collect();
    let file = Path::new("plan.toml");
    assert_eq!(refuse_drift(file, &drift, false).unwrap_err().exit, Exit::Refused);
    assert!(refuse_drift(file, &drift, true).is_ok() && refuse_drift(file, &[], false).is_ok());
    let text = drift_text(&drift);
    assert!(text.ends_with("\n  and 5 more; `shardlift plan diff` shows all") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn two_files_differ_without_a_controller() {
    let (_first_root, first) = plan_file(GOOD);
    let (_second_root, second) = plan_file(&GOOD.replace("shard-b", "shard-c"));
    look::diff_files(&global(), &first, &second).unwrap();
    let (_bad_root, bad) = plan_file("version = 1");
    assert_eq!(look::diff_files(&global(), &first, &bad).unwrap_err().exit, Exit::Problems);
}

#[test]
fn a_plan_beside_the_world_is_told_line_by_line() {
    let answer = v1::DiffPlanResponse {
        revision: 2,
        done: Some(v1::PlanShare { nodes: 1, bytes: 1 << 30 }),
        open: Some(v1::PlanShare { nodes: 2, bytes: 3 << 30 }),
        elsewhere: vec![v1::NodeElsewhere { node: "a/x".into(), shard: "shard-d".into() }],
        unknown: vec!["a/y".into()],
        drift: vec!["node `a/z` is gone".into()],
        in_force: 1,
        changes: vec!["+ a/z -> shard-b with a".into()],
        ..Default::default()
    };
    expect![[r#"
        at their target: 1 nodes, 1.0 GiB
        moving: 0 nodes, 0 B
        to go: 2 nodes, 3.0 GiB
        elsewhere: a/x on shard-d
        unknown: a/y
        changed since it was drawn: node `a/z` is gone
        against revision 1, in force, this revision 2:
          + a/z -> shard-b with a
    "#]]
    .assert_eq(&format!("{}\n", look::world_text(&answer)));
}

fn picture_of(file: &str) -> crate::cli::PlanPicture {
    crate::cli::PlanPicture { file: file.into(), html: None, svg: None, force: false }
}

#[test]
fn a_picture_without_load_says_what_is_missing() {
    let week = v1::ShardWeek { shard: "source".into(), before: vec![7; 168], after: vec![0; 168] };
    let whole = v1::GraphPlanResponse { weeks: vec![week.clone()], load_known: true, without_capacity: vec![] };
    look::show(&global(), &picture_of("plan.toml"), &whole).unwrap();
    let none = v1::GraphPlanResponse { without_capacity: vec!["source".into()], ..Default::default() };
    let failure = look::show(&global(), &picture_of("plan.toml"), &none).unwrap_err();
    assert_eq!(failure.exit, Exit::Problems);
    let short = v1::ShardWeek { before: vec![7; 24], ..week };
    let torn = v1::GraphPlanResponse { weeks: vec![short], ..whole.clone() };
    assert_eq!(look::show(&global(), &picture_of("plan.toml"), &torn).unwrap_err().exit, Exit::Failed);
    let root = tempfile::tempdir().unwrap();
    let page = root.path().join("plan.html");
    let asked = crate::cli::PlanPicture { html: Some(page.clone()), ..picture_of("plan.toml") };
    look::show(&global(), &asked, &whole).unwrap();
    assert!(fs::read_to_string(&page).unwrap().contains("</svg>"));
    assert!(look::show(&global(), &asked, &whole).unwrap_err().advice.contains("--force"));
}
