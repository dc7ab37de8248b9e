//! Plans by load, from the question to the file and back, without parts.

use super::*;
use shardlift_model::Generation;
use shardlift_planner::families::Family;
use shardlift_planner::{Fill, Goal, NodeView, ShardView};

const AT: &str = "2026-02-28T12:00:00Z";

/// An overloaded source with load by hour, and the world in which it is.
fn measured() -> (Problem, WorldView) {
    let problem = Family::DailyPeaks.problem(60, 4, 7).unwrap();
    let node = |load: &shardlift_planner::NodeLoad| {
        let view = NodeView {
            customer: Some(load.customer.clone()),
            growth_bytes_per_day: load.growth_bytes_per_day,
            load: load.load.clone(),
            generation: Generation(3),
            ..NodeView::new(problem.source.clone(), load.bytes, load.objects)
        };
        (load.node.clone(), view)
    };
    let shard = |one: &shardlift_planner::ShardCapacity| {
        let view = ShardView {
            load_capacity: one.load_capacity,
            load: one.load.clone(),
            ..ShardView::new(one.capacity, one.free)
        };
        (one.shard.clone(), view)
    };
    let view = WorldView {
        revision: 4,
        nodes: problem.nodes.iter().map(node).collect(),
        shards: problem.shards.iter().map(shard).collect(),
        ..WorldView::default()
    };
    (problem, view)
}

fn plan(change: impl FnOnce(&mut Problem)) -> (WorldView, PlanFile, v1::MakePlanResponse) {
    let (mut problem, view) = measured();
    change(&mut problem);
    let made = made(&problem, &view, AT.to_owned()).unwrap();
    (view, parse(&made.toml).unwrap(), made)
}

#[test]
fn a_plan_by_load_passes_its_own_check_and_is_explained() {
    let (view, file, made) = plan(|problem| {
        problem.options.goal = Some(Goal::PeakAtMost { percent: 95 });
        problem.options.moves_max = Some(40);
    });
    assert!(made.toml.contains("[wishes]\ngoal = { peak_at_most = 95 }\nmoves_max = 40\n"), "{}", made.toml);
    assert!(made.report[0].starts_with("goal: no hour above 95 %") && made.report[1].starts_with("peak: 140."));
    let answer = checked(&view, &file);
    assert_eq!((answer.problems, answer.drift, answer.revision), (vec![], vec![], 5));
    // The same plan in a world in which a node is busier than it was.
    let mut busier = view.clone();
    for shard in busier.shards.values_mut() {
        shard.load_capacity = shard.load_capacity.map(|capacity| capacity / 2);
    }
    let problems = checked(&busier, &file).problems;
    assert!(
        problems.iter().any(|problem| problem.message.starts_with("the peak is to be at most 95 %")),
        "{problems:?}"
    );
}

#[test]
fn a_world_that_has_drifted_is_a_note_for_the_check_and_a_refusal_for_apply() {
    let (mut view, file, _) = plan(|_| {});
    assert!(refuse_drift(&view, &file).is_ok());
    let node = file.batches().flat_map(|(_, moves)| moves).next().unwrap().0;
    view.nodes.get_mut(node).unwrap().generation = Generation(5);
    let told = format!("node `{node}` has changed hands: generation 3 -> 5");
    let answer = checked(&view, &file);
    assert_eq!((answer.problems, answer.drift), (vec![], vec![told.clone()]));
    let fault = refuse_drift(&view, &file).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Refused);
    assert!(fault.public().contains(&told) && fault.public().contains(AT), "{}", fault.public());
    // Noted anew, it has not drifted any more.
    let again = look::rebased(&view, &file, Some(AT.to_owned())).unwrap();
    assert!(refuse_drift(&view, &parse(&again.toml).unwrap()).is_ok());
    assert_eq!((again.revision, again.based_on), (5, 4));
    let plain = look::rebased(&view, &file, None).unwrap();
    assert_eq!(plain.toml, file.text());
}

#[test]
fn a_picture_shows_what_the_report_says() {
    let (view, file, made) = plan(|_| {});
    let picture = look::graph(&view, &file);
    assert!(picture.load_known && picture.without_capacity.is_empty());
    let peak = |row: fn(&v1::ShardWeek) -> &Vec<u64>| {
        Fill(picture.weeks.iter().flat_map(|week| row(week).iter().copied()).max().unwrap())
    };
    let line = format!("peak: {} of ", peak(|week| &week.before));
    assert!(made.report[1].starts_with(&line), "{line}: {:?}", made.report);
    let line = format!(" -> {} of ", peak(|week| &week.after));
    assert!(made.report[1].contains(&line), "{line}: {:?}", made.report);
    assert!(picture.weeks.iter().all(|week| week.before.len() == 168 && week.after.len() == 168));
}

#[test]
fn a_plan_stands_beside_the_world_and_beside_the_plan_in_force() {
    let (mut view, file, made) = plan(|_| {});
    let (node, target) = file.batches().flat_map(|(_, moves)| moves).next().unwrap();
    view.nodes.get_mut(node).unwrap().shard = target.clone();
    let earlier = parse(&made.toml.replacen("headroom_percent = 20", "headroom_percent = 19", 1)).unwrap();
    let answer = look::diff(&view, &file, Some(&earlier));
    assert_eq!(answer.done.unwrap().nodes, 1);
    assert_eq!(answer.open.unwrap().nodes + 1, file.batches().flat_map(|(_, moves)| moves).count() as u64);
    assert_eq!(answer.changes, ["~ headroom_percent: 19 -> 20"]);
    assert_eq!((answer.revision, answer.in_force, answer.drift.len()), (5, 4, 1));
}
