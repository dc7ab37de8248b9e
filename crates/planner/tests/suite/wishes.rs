//! Plans are held to what they were made for: by small files, by what the solver makes, and by wishes that no plan keeps.

use crate::bad_wishes::{CANARY, HEAD, expect_wish_findings};
use crate::fixture::{capacity, expect_findings, findings, load, problem, world, world_of};
use crate::relief::{any_relief, moves, solved};
use expect_test::expect;
use proptest::prelude::*;
use proptest::sample::Index;
use shardlift_model::{ByteCount, NodeId, ShardId};
use shardlift_planner::{
    CustomerRule, Drafted, Goal, LoadProfile, PlanOptions, Problem, Rules, WorldView, check, parse, parse_wishes,
    render, solve,
};

#[test]
fn a_plan_is_held_to_its_limits() {
    let both = format!("{CANARY}\"acme/web-2\" = \"shard-c\"\n");
    expect_findings(
        &format!("{HEAD}[wishes]\nbytes_max = \"2 GiB\"\nmoves_max = 1\nmust_move = [\"acme/db-1\"]\n{both}"),
        expect![[r#"
            error: node `acme/db-1` must move, but is in no batch of this plan
             --> line 8, column 14
              |
            8 | must_move = ["acme/db-1"]
              |              ^^^^^^^^^^^
              = help: add it to a batch, or remove it from `must_move`

            error: the plan moves 2 nodes; `moves_max`, at line 7, column 13, allows 1
              --> line 13, column 1
               |
            13 | "acme/web-2" = "shard-c"
               | ^^^^^^^^^^^^
               = help: move fewer nodes, or raise `moves_max`

            error: the plan moves 3.0 GiB; `bytes_max`, at line 6, column 13, allows 2.0 GiB
              --> line 13, column 1
               |
            13 | "acme/web-2" = "shard-c"
               | ^^^^^^^^^^^^
               = help: move fewer nodes, or raise `bytes_max`
        "#]],
    );
    expect_findings(
        &format!(
            "{HEAD}[wishes]\nholds = [\"acme/web-1\"]\npins = [\"acme/web-2\"]\ntargets_of = {{ \"acme/web-1\" = [\"shard-c\"] }}\n{both}"
        ),
        expect![[r#"
            error: node `acme/web-1` is on hold
              --> line 12, column 1
               |
            12 | "acme/web-1" = "shard-b"
               | ^^^^^^^^^^^^
               = help: remove this line, or end the hold

            error: node `acme/web-1` may not go to `shard-b`
              --> line 12, column 16
               |
            12 | "acme/web-1" = "shard-b"
               |                ^^^^^^^^^
               = help: allowed: shard-c

            error: node `acme/web-2` is pinned to `source`
              --> line 13, column 1
               |
            13 | "acme/web-2" = "shard-c"
               | ^^^^^^^^^^^^
               = help: remove this line, or unpin the node
        "#]],
    );
}

#[test]
fn a_plan_is_held_to_its_goal() {
    for (goal, batch) in [("\"evacuate\"", ""), ("{ leave = 0 }", "")] {
        let found = findings(&format!("{HEAD}[wishes]\ngoal = {goal}\n{CANARY}{batch}"), &world());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].line, found[0].column), (6, 8), "{found:?}");
    }
    expect_wish_findings(
        "goal = \"evacuate\"\nholds = [\"acme/db-1\"]",
        expect![[r#"
        error: every node is to leave the source, but these are in no batch: acme/web-2
         --> line 6, column 8
          |
        6 | goal = "evacuate"
          |        ^^^^^^^^^^
          = help: add them to a batch or to `holds`, or change the goal
    "#]],
    );
    expect_wish_findings(
        "goal = { leave = 1 }",
        expect![[r#"
            error: 1 node may stay on `source`, but 2 would
             --> line 6, column 8
              |
            6 | goal = { leave = 1 }
              |        ^
              = help: add nodes to a batch, or change the goal
        "#]],
    );
    expect_wish_findings(
        "goal = { leave = 2 }",
        expect![[r#"
        no findings
    "#]],
    );
    expect_wish_findings(
        "goal = { peak_at_most = 60 }",
        expect![[r#"
        error: a peak of at most 60 % cannot be judged: the load capacity of `shard-b` is not known
         --> line 6, column 8
          |
        6 | goal = { peak_at_most = 60 }
          |        ^
          = help: state it, with `load_bytes_per_second` in shard.toml, or remove the goal
    "#]],
    );
}

#[test]
fn a_peak_that_was_wished_for_is_counted_from_the_world() {
    let mut world = world();
    let week = |load: u64| LoadProfile::of_hours(&[load; 168]).unwrap();
    for shard in world.shards.values_mut() {
        shard.load_capacity = Some(100);
    }
    world.nodes.get_mut(&"acme/web-1".parse().unwrap()).unwrap().load = week(50);
    world.nodes.get_mut(&"acme/db-1".parse().unwrap()).unwrap().load = week(65);
    let text = |percent: u8| format!("{HEAD}[wishes]\ngoal = {{ peak_at_most = {percent} }}\n{CANARY}");
    assert_eq!(findings(&text(65), &world), Vec::new());
    let shown: Vec<String> = findings(&text(64), &world).iter().map(|found| found.message.clone()).collect();
    assert_eq!(shown, ["the peak is to be at most 64 %, but `source` would bear 65.0 %, Monday 00:00"]);
}

#[test]
fn a_goal_about_the_busiest_hour_needs_to_know_hours() {
    let nodes = (0..5).map(|number| load(&format!("a/n{number}"), 100)).collect();
    let mut plain = problem(nodes, vec![capacity("source", 1000, 10), capacity("shard-b", 10_000, 10_000)]);
    for goal in [Goal::LowestPeak, Goal::PeakAtMost { percent: 60 }] {
        plain.options.goal = Some(goal);
        let refused = solve(&plain).unwrap_err().to_string();
        assert_eq!(
            refused,
            format!(
                "goal: {goal}, but no load is known; load by hour of the week, or a goal that does without, is expected"
            )
        );
    }
    for goal in [None, Some(Goal::Evacuate), Some(Goal::Leave { nodes: 1 })] {
        plain.options.goal = goal;
        let (draft, _) = solve(&plain).unwrap();
        let moves = draft.batches.iter().map(|batch| batch.moves.len()).sum::<usize>();
        assert_eq!(moves, if goal == Some(Goal::Leave { nodes: 1 }) { 4 } else { 5 });
    }
}

#[test]
fn batches_flip_in_the_windows_that_were_wished_for() {
    let wish = "[wishes]\nwindows = [\"22:00-24:00\", \"00:00-05:00\"]\n";
    let text =
        |moment: &str| format!("{HEAD}{wish}{}", CANARY.replace("[batch.nodes]", &format!("{moment}[batch.nodes]")));
    let within = "when = \"window\"\nwindows = [\"23:30-02:00\"]\n";
    assert_eq!(findings(&text(within), &world()), Vec::new());
    for other in ["", "when = \"idle\"\n", "when = \"window\"\nwindows = [\"23:30-05:01\"]\n"] {
        assert_eq!(findings(&text(other), &world()).len(), 1, "{other}");
    }
    expect_findings(
        &text("when = \"idle\"\n"),
        expect![[r#"
        error: batch `a` may flip outside of 22:00-24:00, 00:00-05:00, the `windows` of `[wishes]`
         --> line 8, column 8
          |
        8 | name = "a"
          |        ^^^
          = help: write `when = "window"` and `windows` within them, or change the wish
    "#]],
    );
    let mut started = world();
    let moves = [("acme/web-1".parse().unwrap(), "shard-b".parse().unwrap())];
    started.batches.insert("a".parse().unwrap(), moves.into());
    assert_eq!(findings(&text(""), &started), Vec::new(), "a batch that an earlier plan has may have flipped");
}

#[test]
fn the_stricter_of_rules_and_wishes_holds() {
    let mut world = world();
    let node = world.nodes.get_mut(&"acme/web-1".parse().unwrap()).unwrap();
    node.growth_bytes_per_day = 1 << 30;
    let text = |days: u16| format!("{HEAD}[wishes]\nhorizon_days = {days}\n{CANARY}");
    // 60 GiB are free, 20 of them stay free, one node of 1 GiB gains 1 GiB a day.
    assert_eq!(findings(&text(39), &world), Vec::new());
    assert_eq!(findings(&text(40), &world).len(), 1);
    world.rules.horizon_days = Some(40);
    assert_eq!(findings(&text(1), &world).len(), 1);
    world.rules.horizon_days = Some(1);
    assert_eq!(findings(&text(39), &world), Vec::new());
    world.rules.targets_of = [("acme/web-1".parse().unwrap(), ["shard-b".parse().unwrap()].into())].into();
    let text = format!("{HEAD}[wishes.targets_of]\n\"acme/web-1\" = [\"shard-c\"]\n{CANARY}");
    assert_eq!(findings(&text, &world).len(), 1, "what both allow is nothing");
}

#[test]
fn a_node_of_another_shard_moves_only_where_that_was_wished_for() {
    let batch = "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"zeta/moved\" = \"shard-c\"\n";
    assert_eq!(findings(&format!("{HEAD}{batch}"), &world()).len(), 1);
    let text = format!("{HEAD}[wishes]\nfrom_any_shard = true\n{batch}");
    assert_eq!(findings(&text, &world()), Vec::new());
    let plan = shardlift_planner::approve(&parse(&text).unwrap(), &world()).unwrap();
    assert!(plan.is_from_any_shard());
    let stored = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<shardlift_planner::Plan>(&stored).unwrap(), plan);
    assert_eq!(findings(&text.replace("shard-c", "shard-b"), &world()).len(), 1, "it is there already");
}

/// Options with every wish that a file can have.
fn all_wishes() -> PlanOptions {
    PlanOptions {
        goal: Some(Goal::PeakAtMost { percent: 60 }),
        tolerance_permille: 5,
        horizon_days: 14,
        bytes_max: Some(ByteCount(3 << 39)),
        moves_max: Some(77),
        from_any_shard: true,
        windows: vec!["22:00-24:00".parse().unwrap(), "01:00-05:30".parse().unwrap()],
        holds: (0..9).map(|n| format!("acme/held-{n}").parse().unwrap()).collect(),
        pins: vec!["acme/pin".parse().unwrap()],
        must_move: vec!["acme/x".parse().unwrap(), "b".parse().unwrap()],
        targets_of: [("a.b/c".parse().unwrap(), vec!["shard-b".parse().unwrap(), "shard-c".parse().unwrap()])].into(),
        customers: [
            ("acme".parse().unwrap(), CustomerRule::Together),
            ("zeta".parse().unwrap(), CustomerRule::SpreadNodes { nodes_max: 2 }),
            ("eta.x".parse().unwrap(), CustomerRule::SpreadShare { percent_max: 50 }),
        ]
        .into(),
        ..PlanOptions::default()
    }
}

#[test]
fn wishes_are_read_back_as_they_were_written() {
    let problem = shardlift_planner::families::Family::ManySmall.problem(30, 3, 1).unwrap();
    let (draft, _) = solve(&problem).unwrap();
    let options = all_wishes();
    let drafted = Drafted { options: Some(&options), ..Drafted::from(&draft) };
    let text = render(drafted, 1, 0);
    let wishes = text.split("\n\n").find(|part| part.contains("[wishes]")).unwrap();
    expect![[r##"
        # What this plan was made for; `plan check` holds it to this.
        [wishes]
        goal = { peak_at_most = 60 }
        tolerance_permille = 5
        horizon_days = 14
        bytes_max = "1536 GiB"
        moves_max = 77
        from_any_shard = true
        windows = ["22:00-24:00", "01:00-05:30"]
        holds = [
            "acme/held-0", "acme/held-1", "acme/held-2", "acme/held-3",
            "acme/held-4", "acme/held-5", "acme/held-6", "acme/held-7",
            "acme/held-8",
        ]
        pins = ["acme/pin"]
        must_move = ["acme/x", "b"]
        [wishes.targets_of]
        "a.b/c" = ["shard-b", "shard-c"]
        [wishes.customers]
        "acme" = "together"
        "eta.x" = { spread_percent = 50 }
        "zeta" = { spread_nodes = 2 }"##]]
    .assert_eq(wishes);
    let mut read = PlanOptions::default();
    parse(&text).unwrap().wishes().apply_to(&mut read);
    assert_eq!(read, options);
    // The same table alone is a file of wishes.
    let mut read = PlanOptions::default();
    parse_wishes(wishes).unwrap().apply_to(&mut read);
    assert_eq!(read, options);
}

/// A plan, what it does to one of its nodes, and the busiest share that it leaves, in whole per cent below.
struct Made<'p> {
    problem: &'p Problem,
    node: NodeId,
    target: ShardId,
    moves: u64,
    bytes: u64,
    peak_percent: u8,
}

/// What is wished for besides, and what the finding must say.
type Wish = (fn(&Made<'_>, &mut PlanOptions), &'static str);

/// Each is a wish that this plan does not keep.
const BROKEN: [Wish; 10] = [
    (|made, options| options.moves_max = Some(made.moves - 1), "`moves_max`"),
    (|made, options| options.bytes_max = Some(ByteCount(made.bytes - 1)), "`bytes_max`"),
    (|made, options| options.holds = vec![made.node.clone()], "is on hold"),
    (|made, options| options.pins = vec![made.node.clone()], "is pinned to"),
    (
        |made, options| {
            let others = made.problem.shards.iter().map(|shard| shard.shard.clone());
            let others = others.filter(|shard| *shard != made.target).collect();
            options.targets_of.insert(made.node.clone(), others);
        },
        "may not go to",
    ),
    (
        |made, options| {
            let nodes = made.problem.nodes.len() as u64 - made.moves;
            options.goal = Some(Goal::Leave { nodes: nodes - 1 });
        },
        "may stay on `source`",
    ),
    (|made, options| options.goal = Some(Goal::PeakAtMost { percent: made.peak_percent }), "the peak is to be at most"),
    (|_, options| options.horizon_days = 3660, "is full"),
    (|_, options| options.windows = vec!["09:17-09:18".parse().unwrap()], "may flip outside of 09:17-09:18"),
    (|_, options| options.must_move = vec!["no/body".parse().unwrap()], "of `must_move` is not known"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_made_under_wishes_passes_with_its_own_wishes(problem in any_relief()) {
        let Some((draft, report)) = solved(&problem) else { return Ok(()) };
        let too_hot = report.load.as_ref().is_some_and(|load| load.after.share.0 > 1_000_000_000);
        if draft.batches.is_empty() || too_hot { return Ok(()) }
        let drafted = Drafted { report: Some(&report), options: Some(&problem.options), ..Drafted::from(&draft) };
        let text = render(drafted, 1, 0);
        let file = parse(&text).unwrap();
        // No rule of the cluster: all that holds is what the file says.
        let world = WorldView { rules: Rules::default(), ..world_of(&problem) };
        prop_assert_eq!(check(&file, &world), Vec::new(), "{}", text);
        // A move that was taken out of it is missed where the goal asks for it.
        let nodes = draft.batches.iter().map(|batch| batch.moves.len()).sum::<usize>();
        let all = matches!(problem.options.goal, Some(Goal::Evacuate)) && problem.options.customers.is_empty();
        if all && nodes > 1 && draft.batches[0].moves.len() > 1 {
            let gone = &draft.batches[0].moves[0].node;
            let text: Vec<&str> = text.lines().filter(|line| !line.starts_with(&format!("\"{gone}\" = \"shard"))).collect();
            prop_assert!(!check(&parse(&text.join("\n")).unwrap(), &world).is_empty());
        }
    }

    #[test]
    fn a_wish_that_a_plan_does_not_keep_is_always_found(problem in any_relief(), pick in any::<Index>()) {
        let Some((draft, report)) = solved(&problem) else { return Ok(()) };
        let moves = moves(&draft);
        let stays = (moves.len() as u64) < problem.nodes.len() as u64;
        let peak = report.load.as_ref().map_or(0, |load| load.after.share.0 / 10_000_001);
        if moves.len() < 2 || !stays || peak == 0 { return Ok(()) }
        let (node, target) = moves.iter().nth(pick.index(moves.len())).map(|(node, target)| ((*node).clone(), (*target).clone())).unwrap();
        let bytes = report.load.as_ref().map_or(0, |load| load.bytes.0);
        let peak_percent = u8::try_from(peak.min(100)).unwrap();
        let made = Made { problem: &problem, node, target, moves: moves.len() as u64, bytes, peak_percent };
        let mut world = WorldView { rules: Rules::default(), ..world_of(&problem) };
        for view in world.nodes.values_mut() {
            // So much that ten years of it fit nowhere.
            view.growth_bytes_per_day = 1 << 46;
        }
        for (number, (wish, words)) in BROKEN.iter().enumerate() {
            // Without growth, but for the wish that is about it.
            let mut options = PlanOptions { horizon_days: 0, ..PlanOptions::default() };
            wish(&made, &mut options);
            let file = parse(&render(Drafted { options: Some(&options), ..Drafted::from(&draft) }, 1, 0)).unwrap();
            let found = check(&file, &world);
            prop_assert!(found.iter().any(|found| found.message.contains(words)), "{}: {:?}", number, found);
        }
    }
}
