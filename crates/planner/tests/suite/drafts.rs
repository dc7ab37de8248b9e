//! What a draft and its report look like.

use crate::fixture::{GIB, capacity, load, problem, world_of};
use expect_test::expect;
use shardlift_model::UnixMillis;
use shardlift_planner::{NodeLoad, PlanFile, PlanOptions, Problem, approve, parse, render, solve};

fn week() -> Problem {
    let gib = |name: &str, gib: u64| load(name, gib * GIB);
    let nodes = vec![
        gib("acme/web-1", 2),
        gib("acme/db-1", 40),
        NodeLoad { snapshots: 0, last_snapshot: UnixMillis(0), ..gib("acme/new", 0) },
        NodeLoad { last_snapshot: UnixMillis(1_600_000_000_000), ..gib("zeta/asleep", 1) },
        NodeLoad { pinned: true, ..gib("zeta/pinned", 9) },
        gib("zeta/web-1", 3),
        gib("zeta/web-2", 3),
    ];
    let shards =
        [("source", 0), ("shard-b", 80), ("shard-c", 70)].map(|(name, free)| capacity(name, 100 * GIB, free * GIB));
    problem(nodes, shards.into())
}

#[test]
fn a_report_says_why() {
    let (_, report) = solve(&week()).unwrap();
    expect![[r#"
        shard-b: gets 1 node, 40.0 GiB; fill 20.0 % -> 60.0 %
        shard-c: gets 5 nodes, 9.0 GiB; fill 30.0 % -> 39.0 %
        source: loses 6 nodes, 49.0 GiB; fill 100.0 % -> 51.0 % once released
        The largest node was placed first; a line shows its target's fill at that moment.
        canary: acme/web-1 -> shard-c: 2.0 GiB, 21474837 objects; fill 36.0 % -> 38.0 %, the lowest fill among 2 of 2 targets with room; canary: among the smallest nodes that are in use
        batch-1: acme/new -> shard-c: 0 B, 1 object; fill 39.0 % -> 39.0 %, the lowest fill among 2 of 2 targets with room
        batch-1: zeta/asleep -> shard-c: 1.0 GiB, 10737419 objects; fill 38.0 % -> 39.0 %, the lowest fill among 2 of 2 targets with room
        batch-2: acme/db-1 -> shard-b: 40.0 GiB, 429496730 objects; fill 20.0 % -> 60.0 %, the lowest fill among 2 of 2 targets with room
        batch-2: zeta/web-1 -> shard-c: 3.0 GiB, 32212255 objects; fill 30.0 % -> 33.0 %, the lowest fill among 2 of 2 targets with room
        batch-2: zeta/web-2 -> shard-c: 3.0 GiB, 32212255 objects; fill 33.0 % -> 36.0 %, the lowest fill among 2 of 2 targets with room
        stays: zeta/pinned: pinned to its shard
    "#]].assert_eq(&report.to_string());
}

#[test]
fn a_plan_file_explains_itself() {
    let (draft, _) = solve(&week()).unwrap();
    expect![[r##"
        # Plan 1: relieves shard `source`.
        #
        # Review: move lines between batches, change targets or remove nodes as you see fit; sizes are as of the draft.
        # Then, where FILE is this file:
        #   shardlift plan check FILE                  says with line and column what is wrong; changes nothing
        #   shardlift plan apply FILE --revision 1     makes exactly this revision the plan; starts nothing
        #   shardlift batch start NAME                 starts one batch; begin with the first
        version = 1
        revision = 1           # this plan
        based_on = 0           # the plan it replaces; 0 when there is none
        source = "source"
        headroom_percent = 20  # share of each target that stays free
        accept_damaged = []    # nodes that may move although some of their objects are damaged at the source

        # 1 node, 2.0 GiB, 21474837 objects
        [[batch]]
        name = "canary"
        [batch.nodes]
        "acme/web-1" = "shard-c"  # 2.0 GiB, 21474837 objects

        # 2 nodes, 1.0 GiB, 10737420 objects
        [[batch]]
        name = "batch-1"
        [batch.nodes]
        "acme/new" = "shard-c"  # 0 B, 1 object
        "zeta/asleep" = "shard-c"  # 1.0 GiB, 10737419 objects

        # 3 nodes, 46.0 GiB, 493921240 objects
        [[batch]]
        name = "batch-2"
        [batch.nodes]
        "acme/db-1" = "shard-b"  # 40.0 GiB, 429496730 objects
        "zeta/web-1" = "shard-c"  # 3.0 GiB, 32212255 objects
        "zeta/web-2" = "shard-c"  # 3.0 GiB, 32212255 objects
    "##]]
    .assert_eq(&render(&draft, 1, 0));
}

#[test]
fn batches_double_from_the_canary_unless_a_size_is_given() {
    let sizes = |canary_nodes, batch_nodes| {
        let nodes = (0..20).map(|n| load(&format!("n{n:02}"), n)).collect();
        let options = PlanOptions { canary_nodes, batch_nodes, ..PlanOptions::default() };
        let problem = Problem { options, ..problem(nodes, vec![capacity("shard-b", 10_000, 9_000)]) };
        let (draft, _) = solve(&problem).unwrap();
        draft.batches.iter().map(|batch| batch.moves.len()).collect::<Vec<_>>()
    };
    assert_eq!(sizes(1, None), [1, 2, 4, 8, 5]);
    assert_eq!(sizes(3, None), [3, 6, 11]);
    assert_eq!(sizes(2, Some(7)), [2, 7, 7, 4]);
    assert_eq!(sizes(50, Some(7)), [20]);
}

#[test]
fn names_of_earlier_batches_are_not_used_again() {
    let mut problem = week();
    problem.options.taken_names = ["canary", "batch-1", "batch-3"].map(|name| name.parse().unwrap()).into();
    let (draft, _) = solve(&problem).unwrap();
    let names: Vec<&str> = draft.batches.iter().map(|batch| batch.name.as_str()).collect();
    assert_eq!(names, ["canary-2", "batch-2", "batch-4"]);
}

#[test]
fn a_tight_packing_is_found_where_an_even_one_fails() {
    let nodes = vec![load("a", 40), load("b", 30), load("c", 60)];
    let shards = vec![capacity("shard-b", 100, 70), capacity("shard-c", 100, 60)];
    let options = PlanOptions { headroom_percent: 0, ..PlanOptions::default() };
    let problem = Problem { options, ..problem(nodes, shards) };
    let (draft, report) = solve(&problem).unwrap();
    assert_eq!(draft.batches.iter().map(|batch| batch.moves.len()).sum::<usize>(), 3);
    assert!(report.placements.iter().any(|line| line.why.contains("an even packing fails")), "{report}");
}

#[test]
fn a_plan_and_its_file_survive_being_stored() {
    let problem = week();
    let (draft, report) = solve(&problem).unwrap();
    let file = parse(&render(&draft, 1, 0)).unwrap();
    let plan = approve(&file, &world_of(&problem)).unwrap();
    let stored = serde_json::to_string(&(&problem, &draft, &report, &file, &plan)).unwrap();
    let read: (Problem, _, _, PlanFile, _) = serde_json::from_str(&stored).unwrap();
    assert_eq!(read, (problem, draft, report, file, plan));
}

#[test]
fn a_stored_plan_that_contradicts_itself_is_not_read() {
    let batch =
        |name: &str, after: &str| format!(r#"{{"name":"{name}","after":[{after}],"nodes":{{"{name}/n":"shard-b"}}}}"#);
    let plan = |revision: u64, batches: &[String]| {
        let batches = batches.join(",");
        let text = format!(
            r#"{{"revision":{revision},"based_on":1,"source":"source","accept_damaged":[],"batches":[{batches}]}}"#
        );
        serde_json::from_str::<shardlift_planner::Plan>(&text).map(|plan| plan.batches()[0].name.to_string())
    };
    assert_eq!(plan(2, &[batch("b", "\"a\""), batch("a", "")]).unwrap(), "a");
    assert!(plan(1, &[batch("a", "")]).is_err());
    assert!(plan(2, &[]).is_err());
    assert!(plan(2, &[batch("a", ""), batch("a", "")]).is_err());
    assert!(plan(2, &[batch("a", "\"b\""), batch("b", "\"a\"")]).is_err());
}
