//! The world that a plan was drawn in: what counts as drift, what stays when a file is put on another base, and how a plan by load
//! looks in its file.

use crate::fixture::{GIB, expect_findings, world, world_of};
use expect_test::expect;
use proptest::prelude::*;
use shardlift_model::{ByteCount, Generation, NodeId};
use shardlift_planner::families::Family;
use shardlift_planner::{
    Base, Drafted, Drawn, PlanFile, When, WorldView, approve, check, drift, parse, rebase, render, solve,
};

const PLAN: &str = r#"# A plan by hand.
version = 1
revision   =   2   # ours
based_on = 1

# why this shard
source = "source"
[[batch]]
name = "a"   # the brave
[batch.nodes]
"acme/web-1" = "shard-b"   # first
'acme/db-1' = "shard-b"
"#;

const AT: &str = "2026-02-28T12:00:00Z";

fn drawn(world: &WorldView) -> Drawn {
    let file = parse(PLAN).unwrap();
    Drawn::of(AT.to_owned(), file.batches().flat_map(|(_, moves)| moves), world)
}

fn on(text: &str, base: &Base) -> String {
    rebase(text, base).unwrap()
}

/// The plan with the small world noted in it.
fn noted() -> PlanFile {
    parse(&on(PLAN, &Base { revision: 2, based_on: 1, drawn: Some(drawn(&world())) })).unwrap()
}

#[test]
fn comments_and_layout_stay_when_a_file_is_put_on_another_base() {
    let text = on(PLAN, &Base { revision: 12, based_on: 11, drawn: None });
    assert_eq!(
        text,
        PLAN.replace("revision   =   2   # ours\nbased_on = 1", "revision   =   12   # ours\nbased_on = 11")
    );
    let text = on(PLAN, &Base { revision: 2, based_on: 1, drawn: Some(drawn(&world())) });
    expect![[r##"
        # A plan by hand.
        version = 1
        revision   =   2   # ours
        based_on = 1

        # why this shard
        source = "source"
        [[batch]]
        name = "a"   # the brave
        [batch.nodes]
        "acme/web-1" = "shard-b"   # first
        'acme/db-1' = "shard-b"

        # What was true when this plan was drawn; `plan apply` says what has changed since. No need to edit it.
        [drawn]
        at = 2026-02-28T12:00:00Z
        [drawn.nodes]  # shard, generation, bytes
        "acme/db-1" = "source 0 32212254720"
        "acme/web-1" = "source 0 1073741824"
        [drawn.targets]  # bytes free
        "shard-b" = 64424509440
    "##]]
    .assert_eq(&text);
    assert_eq!(parse(&text).unwrap().drawn(), Some(&drawn(&world())));
}

#[test]
fn a_world_that_was_noted_is_noted_anew_in_its_place() {
    let text = noted()
        .text()
        .replace("[drawn.nodes]  #", "# mine\n[drawn.nodes]  # see")
        .replace("\"shard-b\" = ", "# the new one\n\"shard-b\" = ");
    let text = text.replace(
        "\"acme/web-1\" = \"source 0 1073741824\"",
        "\"acme/web-1\" = \"source 0 1073741824\" # small\n\"zeta/gone\" = \"source 0 7\"",
    );
    let mut later = world();
    later.nodes.get_mut(&id("acme/web-1")).unwrap().generation = Generation(4);
    later.shards.get_mut(&"shard-b".parse().unwrap()).unwrap().free = ByteCount(7);
    let drawn = Drawn { at: "2026-03-01T00:00:00Z".to_owned(), ..drawn(&later) };
    let again = on(&text, &Base { revision: 2, based_on: 1, drawn: Some(drawn.clone()) });
    expect![[r#"

        at = 2026-03-01T00:00:00Z
        # mine
        [drawn.nodes]  # see shard, generation, bytes
        "acme/db-1" = "source 0 32212254720"
        "acme/web-1" = "source 4 1073741824" # small
        [drawn.targets]  # bytes free
        # the new one
        "shard-b" = 7
    "#]]
    .assert_eq(again.split_once("[drawn]").unwrap().1);
    assert!(again.starts_with("# A plan by hand.") && !again.contains("zeta/gone"));
    assert_eq!(parse(&again).unwrap().drawn(), Some(&drawn));
}

fn id(node: &str) -> NodeId {
    node.parse().unwrap()
}

fn drifted(change: impl FnOnce(&mut WorldView)) -> Vec<String> {
    let mut world = world();
    change(&mut world);
    drift(&noted(), &world).iter().map(ToString::to_string).collect()
}

#[test]
fn what_changed_is_told_and_what_changes_anyway_is_not() {
    assert_eq!(drifted(|_| {}), Vec::<String>::new());
    let node = |world: &mut WorldView, change: &dyn Fn(&mut shardlift_planner::NodeView)| {
        change(world.nodes.get_mut(&id("acme/db-1")).unwrap());
    };
    assert_eq!(
        drifted(|world| node(world, &|view| view.shard = "shard-c".parse().unwrap())),
        ["node `acme/db-1` is on `shard-c`, no more on `source`"]
    );
    assert_eq!(
        drifted(|world| node(world, &|view| view.generation = Generation(2))),
        ["node `acme/db-1` has changed hands: generation 0 -> 2"]
    );
    assert_eq!(
        drifted(|world| node(world, &|view| view.bytes = ByteCount(38 * GIB))),
        ["node `acme/db-1` has grown: 30.0 GiB -> 38.0 GiB"]
    );
    assert_eq!(drifted(|world| node(world, &|view| view.bytes = ByteCount(37 * GIB))), Vec::<String>::new());
    assert_eq!(drifted(|world| node(world, &|view| view.bytes = ByteCount(0))), Vec::<String>::new());
    // A small node may double.
    let grow = |gib: u64| drifted(|world| world.nodes.get_mut(&id("acme/web-1")).unwrap().bytes = ByteCount(gib * GIB));
    assert_eq!((grow(2).len(), grow(3).len()), (0, 1));
    assert_eq!(drifted(|world| drop(world.nodes.remove(&id("acme/db-1")))), ["node `acme/db-1` is gone"]);
    let room = |gib: u64| {
        drifted(|world| world.shards.get_mut(&"shard-b".parse().unwrap()).unwrap().free = ByteCount(gib * GIB))
    };
    assert_eq!(room(54), Vec::<String>::new());
    assert_eq!(room(53), ["target `shard-b` has less room: 60.0 GiB -> 53.0 GiB free"]);
    // What is of no interest to this plan.
    assert_eq!(drifted(|world| drop(world.nodes.remove(&id("acme/web-2")))), Vec::<String>::new());
}

#[test]
fn a_file_without_a_note_and_a_batch_of_an_earlier_plan_have_no_drift() {
    let mut world = world();
    world.nodes.clear();
    assert_eq!(drift(&parse(PLAN).unwrap(), &world), Vec::new());
    assert_eq!(drift(&noted(), &world).len(), 2);
    world.batches.insert("a".parse().unwrap(), std::collections::BTreeMap::new());
    assert_eq!(drift(&noted(), &world), Vec::new());
}

#[test]
fn a_note_that_cannot_be_meant_is_refused_with_its_place() {
    expect_findings(
        &format!(
            "{PLAN}[drawn]\nat = \"yesterday\"\nwhere = 1\n[drawn.nodes]\n\"acme/web-1\" = \"source 3\"\nx = 7\n\"../y\" = \"a 1 2\"\n[drawn.targets]\n\"shard-b\" = -1\n"
        ),
        expect![[r#"
            error: "at" is a string; an instant such as 2026-02-28T12:00:00Z, without quotes, is expected
              --> line 14, column 6
               |
            14 | at = "yesterday"
               |      ^^^^^^^^^^^
               = help: remove the table `[drawn]`; `shardlift plan rebase FILE --redraw` writes it anew

            error: unknown key "where" in `[drawn]`
              --> line 15, column 1
               |
            15 | where = 1
               | ^^^^^
               = help: known keys: at, nodes, targets

            error: "source 3" says nothing of a node: shard, generation and bytes are expected, such as "source 3 12884901888"
              --> line 17, column 16
               |
            17 | "acme/web-1" = "source 3"
               |                ^^^^^^^^^^
               = help: remove the table `[drawn]`; `shardlift plan rebase FILE --redraw` writes it anew

            error: "x" is an integer; shard, generation and bytes, a string, is expected
              --> line 18, column 5
               |
            18 | x = 7
               |     ^
               = help: remove the table `[drawn]`; `shardlift plan rebase FILE --redraw` writes it anew

            error: "../y" cannot name a node: a name may not start with a dot
              --> line 19, column 1
               |
            19 | "../y" = "a 1 2"
               | ^^^^^^
               = help: a node is named by one or two parts, such as acme/web-1

            error: "shard-b" is an integer; a number of bytes, 0 or more, is expected
              --> line 21, column 13
               |
            21 | "shard-b" = -1
               |             ^^
               = help: remove the table `[drawn]`; `shardlift plan rebase FILE --redraw` writes it anew
        "#]],
    );
    expect_findings(
        &format!("{PLAN}[drawn]\nat = 2026-02-28\n"),
        expect![[r#"
            error: "at" is a datetime; an instant such as 2026-02-28T12:00:00Z, without quotes, is expected
              --> line 14, column 6
               |
            14 | at = 2026-02-28
               |      ^^^^^^^^^^
               = help: remove the table `[drawn]`; `shardlift plan rebase FILE --redraw` writes it anew
        "#]],
    );
}

#[test]
fn a_plan_by_load_says_why_and_when() {
    let mut problem = Family::DailyPeaks.problem(40, 3, 5).unwrap();
    problem.options.moves_max = Some(6);
    let (draft, report) = solve(&problem).unwrap();
    let world = world_of(&problem);
    let moves = draft.batches.iter().flat_map(|batch| &batch.moves).map(|one| (&one.node, &one.target));
    let drawn = Drawn::of(AT.to_owned(), moves, &world);
    let drafted =
        Drafted { draft: &draft, report: Some(&report), options: Some(&problem.options), drawn: Some(&drawn) };
    let text = render(drafted, 1, 0);
    expect![[r##"
        # Plan 1: relieves shard `source`.
        # Goal: the lowest peak.
        # Peak before: 140.0 % of source Tuesday 06:00.
        # Peak after:  93.8 % of source Monday 02:00.
        # No plan for the same goal ends below 73.8 %: node `c0/n26` alone, on the shard where it does least.
        # Moves: 6 nodes, 330.0 GiB.
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

        # What this plan was made for; `plan check` holds it to this.
        [wishes]
        moves_max = 6

        # 1 node, 3.0 GiB, 778 objects
        [[batch]]
        name = "canary"
        when = "window"
        windows = ["04:00-02:00"]  # UTC; its nodes do next to nothing then
        [batch.nodes]
        "c1/n24" = "shard-002"  # moves: 0.0 % of Tuesday 06:00 peak, 3.0 GiB; shard-002: lowest resulting peak of 2 targets, 82.9 % at the end; 778 objects

        # 2 nodes, 11.0 GiB, 2836 objects
        [[batch]]
        name = "batch-1"
        when = "window"
        windows = ["04:00-24:00"]  # UTC; its nodes do next to nothing then
        [batch.nodes]
        "c0/n37" = "shard-002"  # moves: 0.1 % of Tuesday 06:00 peak, 5.0 GiB; shard-002: lowest resulting peak of 2 targets, 82.9 % at the end; 1290 objects
        "c1/n33" = "shard-002"  # moves: 0.1 % of Tuesday 06:00 peak, 6.0 GiB; shard-002: lowest resulting peak of 2 targets, 82.9 % at the end; 1546 objects

        # 3 nodes, 316.0 GiB, 80926 objects
        [[batch]]
        name = "batch-2"
        when = "window"
        windows = ["09:00-01:00"]  # UTC; its nodes do next to nothing then
        [batch.nodes]
        "c0/n15" = "shard-002"  # moves: 0.2 % of Tuesday 06:00 peak, 25.0 GiB; shard-002: lowest resulting peak of 2 targets, 82.9 % at the end; 6410 objects
        "c0/n26" = "shard-001"  # moves: 39.9 % of Tuesday 06:00 peak, 285.0 GiB; shard-001: lowest resulting peak of 2 targets, 93.8 % at the end; 72970 objects
        "c1/n13" = "shard-002"  # moves: 0.0 % of Tuesday 06:00 peak, 6.0 GiB; shard-002: lowest resulting peak of 2 targets, 82.9 % at the end; 1546 objects

        # What was true when this plan was drawn; `plan apply` says what has changed since. No need to edit it.
        [drawn]
        at = 2026-02-28T12:00:00Z
        [drawn.nodes]  # shard, generation, bytes
        "c0/n15" = "source 0 26843545600"
        "c0/n26" = "source 0 306016419840"
        "c0/n37" = "source 0 5368709120"
        "c1/n13" = "source 0 6442450944"
        "c1/n24" = "source 0 3221225472"
        "c1/n33" = "source 0 6442450944"
        [drawn.targets]  # bytes free
        "shard-001" = 1631035305492
        "shard-002" = 1443559983022
    "##]]
    .assert_eq(&text);
    let file = parse(&text).unwrap();
    assert_eq!(check(&file, &world), Vec::new());
    assert_eq!(drift(&file, &world), Vec::new());
    let plan = approve(&file, &world).unwrap();
    for (batch, drafted) in plan.batches().iter().zip(&draft.batches) {
        assert_eq!((batch.when, &batch.windows), (drafted.moment.when, &drafted.moment.windows));
        assert_eq!(batch.force_after_ms, drafted.moment.force_after_ms);
        assert_eq!(batch.force_after_ms.is_some(), batch.when == When::Idle);
    }
    assert!(plan.batches().iter().any(|batch| batch.when == When::Window));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn another_base_changes_nothing_but_what_it_is_for(problem in crate::relief::any_relief(), revision in 1_u64..1 << 60) {
        let Ok((draft, report)) = solve(&problem) else { return Ok(()) };
        if draft.batches.is_empty() { return Ok(()) }
        let drafted = Drafted { report: Some(&report), options: Some(&problem.options), ..Drafted::from(&draft) };
        let text = render(drafted, 1, 0);
        let there = on(&text, &Base { revision, based_on: revision - 1, drawn: None });
        prop_assert_eq!(parse(&there).unwrap().revision(), revision);
        prop_assert_eq!(on(&there, &Base { revision: 1, based_on: 0, drawn: None }), text.clone());
        // Noted when it is drawn, or later: the same.
        let moves = draft.batches.iter().flat_map(|batch| &batch.moves).map(|one| (&one.node, &one.target));
        let drawn = Drawn::of(AT.to_owned(), moves, &world_of(&problem));
        let noted = render(Drafted { drawn: Some(&drawn), ..drafted }, 1, 0);
        prop_assert_eq!(on(&text, &Base { revision: 1, based_on: 0, drawn: Some(drawn.clone()) }), noted.clone());
        prop_assert_eq!(on(&noted, &Base { revision: 1, based_on: 0, drawn: Some(drawn) }), noted);
    }
}
