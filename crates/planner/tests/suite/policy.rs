//! When a batch may flip and what its soak must show: what is read, and what is refused.

use crate::fixture::{expect_batch_findings, world};
use expect_test::expect;
use shardlift_planner::{OnAlert, Plan, PlanBatch, PlanError, SoakPolicy, When, approve, parse};

const HEAD: &str = "version = 1\nrevision = 2\nbased_on = 1\nsource = \"source\"\n";

fn approved(batch: &str) -> PlanBatch {
    let text = format!("{HEAD}[[batch]]\nname = \"a\"\n{batch}[batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n");
    approve(&parse(&text).unwrap(), &world()).unwrap().batches()[0].clone()
}

#[test]
fn a_batch_that_says_nothing_flips_as_soon_as_it_is_ready() {
    let batch = approved("");
    assert_eq!((batch.when, batch.windows, batch.force_after_ms), (When::Now, vec![], None));
    assert_eq!(batch.soak, SoakPolicy::default());
}

#[test]
fn all_that_is_written_is_in_the_plan() {
    let batch = approved(
        "when = \"idle\"\nwindows = [\"02:00-06:00\", \"22:30-24:00\"]\nforce_after = \"6h\"\n\
         soak = { min = \"1h\", backup = true, verify = true, on_alert = \"roll_back\" }\n",
    );
    assert_eq!((batch.when, batch.force_after_ms), (When::Idle, Some(21_600_000)));
    let windows: Vec<String> = batch.windows.iter().map(ToString::to_string).collect();
    assert_eq!(windows, ["02:00-06:00", "22:30-24:00"]);
    let soak = SoakPolicy { min_ms: 3_600_000, backup: true, verify: true, on_alert: OnAlert::RollBack };
    assert_eq!(batch.soak, soak);
    let text = format!(
        "{HEAD}[[batch]]\nname = \"a\"\n[batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n[batch.soak]\nmin = \"30s\"\n"
    );
    let plan = approve(&parse(&text).unwrap(), &world()).unwrap();
    assert_eq!(plan.batches()[0].soak, SoakPolicy { min_ms: 30_000, ..SoakPolicy::default() });
}

#[test]
fn what_is_no_policy_is_refused_where_it_is_written() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\nwhen = \"later\"\nwindows = [\"2-6\", 7, \"05:00-05:00\"]\nforce_after = \"6 hours\"\n\
         [batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n[batch.soak]\nmin = 60\nbackup = \"yes\"\non_alert = \"panic\"\n\
         verfy = true\n[[batch]]\nname = \"b\"\nwindows = \"02:00-06:00\"\nsoak = \"1h\"\n[batch.nodes]\n\
         \"acme/web-2\" = \"shard-b\"\n",
        expect![[r#"
            error: `when` is "later": "now", "idle" or "window" is expected
             --> line 7, column 8
              |
            7 | when = "later"
              |        ^^^^^^^
              = help: write `when = "idle"`

            error: "2-6" is no window: a window is two times of day in UTC, such as 02:00-06:00
             --> line 8, column 12
              |
            8 | windows = ["2-6", 7, "05:00-05:00"]
              |            ^^^^^
              = help: write `windows = ["02:00-06:00"]`, in UTC

            error: `windows` holds an integer; a window, a string, is expected
             --> line 8, column 19
              |
            8 | windows = ["2-6", 7, "05:00-05:00"]
              |                   ^
              = help: write `windows = ["02:00-06:00"]`, in UTC

            error: "05:00-05:00" is no window: a window begins before 24:00 and has a length
             --> line 8, column 22
              |
            8 | windows = ["2-6", 7, "05:00-05:00"]
              |                      ^^^^^^^^^^^^^
              = help: write `windows = ["02:00-06:00"]`, in UTC

            error: `force_after` is "6 hours": a time is a whole number and a unit, such as 30s, 15m, 6h or 2d
             --> line 9, column 15
              |
            9 | force_after = "6 hours"
              |               ^^^^^^^^^
              = help: write `force_after = "6h"`

            error: "min" is an integer; a string is expected
              --> line 13, column 7
               |
            13 | min = 60
               |       ^^
               = help: write `min = "1h"`

            error: "backup" is a string; true or false is expected
              --> line 14, column 10
               |
            14 | backup = "yes"
               |          ^^^^^
               = help: write `backup = true`, without quotes

            error: `on_alert` is "panic": "hold" or "roll_back" is expected
              --> line 15, column 12
               |
            15 | on_alert = "panic"
               |            ^^^^^^^
               = help: write `on_alert = "hold"`

            error: unknown key "verfy" in a soak
              --> line 16, column 1
               |
            16 | verfy = true
               | ^^^^^
               = help: did you mean `verify`?

            error: "windows" is a string; a list of windows is expected
              --> line 19, column 11
               |
            19 | windows = "02:00-06:00"
               |           ^^^^^^^^^^^^^
               = help: write `windows = ["02:00-06:00"]`, in UTC

            error: "soak" is a string; a table is expected
              --> line 20, column 8
               |
            20 | soak = "1h"
               |        ^^^^
               = help: write `[batch.soak]` and one line per wish
        "#]],
    );
}

#[test]
fn a_policy_that_cannot_be_kept_is_refused() {
    expect_batch_findings(
        "[[batch]]\nname = \"a\"\nwhen = \"window\"\n[batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n[[batch]]\n\
         name = \"b\"\nforce_after = \"2d\"\n[batch.nodes]\n\"acme/web-2\" = \"shard-b\"\n",
        expect![[r#"
            error: the batch waits for a window, but has none
             --> line 7, column 1
              |
            7 | when = "window"
              | ^^^^
              = help: add `windows = ["02:00-06:00"]`, in UTC

            error: `force_after` has no meaning with `when = "now"`
              --> line 12, column 1
               |
            12 | force_after = "2d"
               | ^^^^^^^^^^^
               = help: it ends the wait for idle nodes: write `when = "idle"`, or remove it
        "#]],
    );
}

#[test]
fn a_stored_plan_is_held_to_the_same() {
    let good = approved("when = \"window\"\nwindows = [\"02:00-06:00\"]\n");
    let plan = |change: &dyn Fn(&mut PlanBatch)| {
        let mut batch = good.clone();
        change(&mut batch);
        Plan::new(2, 1, "source".parse().unwrap(), [].into(), vec![batch])
    };
    let stored = serde_json::to_string(&plan(&|_| ()).unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&stored).unwrap(), plan(&|_| ()).unwrap());
    let wrong = |change: &dyn Fn(&mut PlanBatch)| matches!(plan(change), Err(PlanError::Windows { .. }));
    assert!(wrong(&|batch| batch.windows.clear()));
    assert!(wrong(&|batch| batch.windows[0].to_minute = 1441));
    assert!(wrong(&|batch| batch.windows = vec![batch.windows[0]; 33]));
    assert!(wrong(&|batch| batch.force_after_ms = Some(1)));
}

#[test]
fn a_plan_from_before_there_was_a_policy_is_read() {
    let plan = Plan::new(2, 1, "source".parse().unwrap(), [].into(), vec![approved("")]).unwrap();
    let mut stored = serde_json::to_value(&plan).unwrap();
    for key in ["when", "windows", "force_after_ms", "soak"] {
        assert!(stored["batches"][0].as_object_mut().unwrap().remove(key).is_some(), "{key}");
    }
    assert_eq!(serde_json::from_value::<Plan>(stored).unwrap(), plan);
}
