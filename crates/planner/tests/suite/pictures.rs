//! Heat maps and differences.

use crate::fixture::{world as small_world, world_of};
use expect_test::expect;
use shardlift_planner::families::Family;
use shardlift_planner::{Problem, diff, heat, parse, render, solve};
use std::collections::BTreeMap;

const HEAD: &str = "version = 1\nrevision = 2\nbased_on = 1\nsource = \"source\"\n";

fn problem() -> Problem {
    Family::DailyPeaks.problem(40, 3, 5).unwrap()
}

/// The picture of a plan file beside the world that it was made for.
fn picture() -> heat::Picture {
    let problem = problem();
    let (draft, _) = solve(&problem).unwrap();
    heat::picture(&world_of(&problem), &parse(&render(&draft, 1, 0)).unwrap())
}

#[test]
fn what_cannot_be_shown_is_named() {
    let shown = picture();
    assert!(shown.is_load_known && shown.without_capacity.is_empty());
    assert_eq!(shown.weeks.len(), 3);
    let problem = problem();
    let (draft, _) = solve(&problem).unwrap();
    let file = parse(&render(&draft, 1, 0)).unwrap();
    let mut world = world_of(&problem);
    world.shards.get_mut(&"shard-001".parse().unwrap()).unwrap().load_capacity = None;
    let partly = heat::picture(&world, &file);
    assert_eq!(partly.without_capacity.iter().map(ToString::to_string).collect::<Vec<_>>(), ["shard-001"]);
    assert_eq!(partly.weeks.len(), 2);
    // A world in which only sizes are known.
    let text = format!("{HEAD}[[batch]]\nname = \"a\"\n[batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n");
    let plain = heat::picture(&small_world(), &parse(&text).unwrap());
    assert!(!plain.is_load_known && plain.weeks.is_empty());
    assert_eq!(plain.without_capacity.len(), 2);
}

#[test]
fn a_plan_that_was_carried_out_looks_the_same_before_and_after() {
    let problem = problem();
    let (draft, _) = solve(&problem).unwrap();
    let file = parse(&render(&draft, 1, 0)).unwrap();
    let mut world = world_of(&problem);
    for one in draft.batches.iter().flat_map(|batch| &batch.moves) {
        world.nodes.get_mut(&one.node).unwrap().shard = one.target.clone();
    }
    let done = heat::picture(&world, &file);
    assert!(done.weeks.iter().all(|week| week.before == week.after));
    let after = |picture: &heat::Picture| {
        picture.weeks.iter().map(|week| (week.shard.clone(), week.after.clone())).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(after(&done), after(&picture()));
}

#[test]
fn a_terminal_shows_each_shard_before_and_after() {
    let weeks = picture().weeks;
    expect![[r#"
        UTC; .:-=# are up to 20, 40, 60, 80, 100 % of the load capacity, ! is above
                          Mon          Tue          Wed          Thu          Fri          Sat          Sun
        source    before  !!!!-.....:=|!!!!-.....:=|!!!!-.....:=|!!!!-.....:=|#!!!-.....:=|!!!!-.....:=|#!!!-.....:=  140.0 %
                  after   --==:.......|--==:.......|--=-:.......|--==:.......|--==:.......|--=-:.......|--=-:.......   75.3 %
        shard-002 before  ::::........|::::........|::::........|::::........|::::........|::::........|::::........   33.9 %
                  after   ====:.....:-|-===:.....:-|-===:.....:-|====:.....:-|====:.....:-|====:.....:-|====:.....:-   75.2 %
        shard-001 before  .......::...|.......::...|.......::...|.......::...|.......::...|.......::...|.......::...   26.9 %
                  after   -=-=:::::::=|-=-=:::::::=|-=--:::::::=|-=-=:::::::=|-=-=:::::::=|-=-=:::::::=|-=-=:::::::=   75.0 %
    "#]].assert_eq(&heat::text(&weeks, 120));
    expect![[r#"
        UTC; .:-=# are up to 20, 40, 60, 80, 100 % of the load capacity, ! is above
                          Mon    Tue    Wed    Thu    Fri    Sat    Sun
        source    before  !!-..=|!!-..=|!!-..=|!!-..=|!!-..=|!!-..=|!!-..=  140.0 %
                  after   -=:...|-=:...|-=:...|-=:...|-=:...|-=:...|-=:...   75.3 %
        shard-002 before  ::....|::....|::....|::....|::....|::....|::....   33.9 %
                  after   ==:..-|==:..-|==:..-|==:..-|==:..-|==:..-|==:..-   75.2 %
        shard-001 before  ...::.|...::.|...::.|...::.|...::.|...::.|...::.   26.9 %
                  after   ==:::=|==:::=|=-:::=|==:::=|==:::=|==:::=|==:::=   75.0 %
    "#]]
    .assert_eq(&heat::text(&weeks, 80));
    for columns in 0..200 {
        let widest = heat::text(&weeks, columns).lines().map(|line| line.len()).max().unwrap();
        assert!(widest <= columns.max(80), "{widest} of {columns}");
    }
}

#[test]
fn a_picture_names_what_it_shows_and_runs_nothing() {
    let (_, report) = solve(&problem()).unwrap();
    let weeks = picture().weeks;
    let page = heat::html("<script>alert('&')</script>", &weeks);
    assert!(page.contains("<h1>&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;</h1>") && !page.contains("<script"));
    assert_eq!(page.matches("<rect").count(), weeks.len() * 2 * 168);
    assert_eq!(page.matches("<rect").count(), page.matches("</rect>").count());
    // The picture and the report count the same.
    let highest = weeks.iter().flat_map(|week| &week.after).max().unwrap();
    assert_eq!(*highest, report.load.unwrap().after.share);
}

#[test]
fn plans_differ_node_by_node() {
    let first =
        "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"x\" = \"shard-b\"\n\"y\" = \"shard-b\"\n\"z\" = \"shard-b\"\n";
    let second = "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"y\" = \"shard-c\"\n\"z\" = \"shard-b\"\n[[batch]]\nname = \"b\"\n\
                  [batch.nodes]\n\"w\" = \"shard-b\"\n";
    let third = "[[batch]]\nname = \"c\"\n[batch.nodes]\n\"y\" = \"shard-c\"\n";
    let file = |batches: &str| parse(&format!("{HEAD}{batches}")).unwrap();
    let shown =
        |a: &str, b: &str| diff::plans(&file(a), &file(b)).iter().map(|one| format!("{one}\n")).collect::<String>();
    expect![[r#"
        - x with a
        ~ y: target shard-b -> shard-c
        + w -> shard-b with b
    "#]]
    .assert_eq(&shown(first, second));
    expect![[r#"
        - w with b
        ~ y: batch a -> c
        - z with a
    "#]]
    .assert_eq(&shown(second, third));
    assert_eq!(shown(first, first), "");
}

#[test]
fn plans_differ_in_what_they_were_made_for_and_in_what_batches_wait_for() {
    let nodes = "[batch.nodes]\n\"x\" = \"shard-b\"\n";
    let first = format!(
        "headroom_percent = 20\n[wishes]\ngoal = \"evacuate\"\nholds = [\"h\"]\n[[batch]]\nname = \"a\"\n{nodes}[batch.soak]\nmin = \"1h\"\n\
         [[batch]]\nname = \"b\"\nwhen = \"idle\"\nforce_after = \"6h\"\n[batch.nodes]\n\"y\" = \"shard-b\"\n"
    );
    let second = format!(
        "headroom_percent = 30\naccept_damaged = [\"x\"]\n[wishes]\ngoal = {{ leave = 2 }}\nbytes_max = \"2 TiB\"\nholds = [\"h\"]\n\
         [[batch]]\nname = \"a\"\n{nodes}[batch.soak]\nmin = \"2h\"\nbackup = true\n\
         [[batch]]\nname = \"b\"\nafter = []\nwhen = \"window\"\nwindows = [\"02:00-06:00\"]\n[batch.nodes]\n\"y\" = \"shard-b\"\n"
    );
    let file = |rest: &str| parse(&format!("{HEAD}{rest}")).unwrap();
    let shown =
        |a: &str, b: &str| diff::plans(&file(a), &file(b)).iter().map(|one| format!("{one}\n")).collect::<String>();
    expect![[r#"
        ~ accept_damaged: nothing -> x
        ~ bytes_max: nothing -> "2 TiB"
        ~ goal: "evacuate" -> { leave = 2 }
        ~ headroom_percent: 20 -> 30
        ~ batch a: soak 3600 s, on alert hold -> 7200 s, backup, on alert hold
        ~ batch b: after a -> none
        ~ batch b: when idle -> window
        ~ batch b: windows none -> 02:00-06:00
        ~ batch b: force_after 21600 s -> none
    "#]]
    .assert_eq(&shown(&first, &second));
    // What is said and is so anyway, comments and the order of names are no difference.
    let same = format!("# why\nheadroom_percent = 20\n[[batch]]\nname = \"a\"\nafter = []\nwhen = \"now\"\n{nodes}");
    assert_eq!(shown(&same, &format!("[wishes]\nhorizon_days = 30\n[[batch]]\nname = \"a\"\n{nodes}")), "");
}

#[test]
fn a_plan_stands_in_its_world() {
    let batch = "[[batch]]\nname = \"a\"\n[batch.nodes]\n\"acme/web-1\" = \"shard-b\"\n\"zeta/moved\" = \"shard-b\"\n\
                 \"zeta/moving\" = \"shard-b\"\n\"no/body\" = \"shard-b\"\n";
    let file = parse(&format!("{HEAD}{batch}")).unwrap();
    expect![[r#"
        at their target: 1 node, 4.0 GiB
        moving: 1 node, 3.0 GiB
        to go: 1 node, 1.0 GiB
        unknown: no/body
    "#]]
    .assert_eq(&diff::world(&file, &small_world()).to_string());
    let elsewhere = batch.replace("\"zeta/moved\" = \"shard-b\"", "\"zeta/moved\" = \"shard-c\"");
    let file = parse(&format!("{HEAD}{elsewhere}")).unwrap();
    assert!(diff::world(&file, &small_world()).to_string().contains("elsewhere: zeta/moved on shard-b\n"));
}
