//! What the figures should be, as ratios within one benchmark on one machine.

use super::figures::MoveFigure;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A goal and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveGoal {
    /// The benchmark.
    pub bench: String,
    /// Which tree.
    pub tree: String,
    /// Which run.
    pub run: String,
    /// What is compared.
    pub what: String,
    /// What was measured.
    pub value: f64,
    /// What it should be.
    pub goal: f64,
    /// Whether it should be at most that; else at least.
    pub at_most: bool,
    /// The unit of both.
    pub unit: String,
    /// Whether it is.
    pub met: bool,
}

impl fmt::Display for MoveGoal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tree, run, what, value, goal, at_most, unit, met, .. } = self;
        let (bound, verdict) = (if *at_most { "at most" } else { "at least" }, if *met { "met" } else { "NOT met" });
        write!(f, "{tree}, {run}: {what}: {value:.2} {unit}, goal {bound} {goal} {verdict}")
    }
}

/// Tree, run, who ours is compared with, how many times as fast it should be at least.
const RATIOS: [(&str, &str, &str, f64); 10] = [
    ("large", "first", "rsync-ssh", 2.0),
    ("large", "first", "rclone", 2.0),
    ("large", "first", "tar-tls", 1.5),
    ("large", "first", "pipeline-direct", 0.85),
    ("small", "first", "rsync-ssh", 3.0),
    ("small", "first", "rclone", 8.0),
    ("small", "first", "cp", 0.7),
    ("small", "changed", "rsync-ssh", 10.0),
    ("small", "changed", "rsync-daemon", 10.0),
    ("small", "changed", "rclone", 10.0),
];

/// Processor time of both ends together, for each GiB of large objects.
const CPU_S_PER_GIB_MAX: f64 = 2.6;

/// Memory of each end, whatever is moved.
const PEAK_MIB_MAX: f64 = 100.0;

/// Asking whether anything has changed costs one question: no more than this many times as long as another one.
const QUESTIONS_MAX: f64 = 2.0;

/// A figure, and what it should be.
struct Bound {
    what: String,
    value: f64,
    goal: f64,
    at_most: bool,
    unit: &'static str,
}

fn goal(figure: &MoveFigure, bound: Bound) -> MoveGoal {
    let Bound { what, value, goal, at_most, unit } = bound;
    let met = if at_most { value <= goal } else { value >= goal };
    let [tree, run] = [&figure.tree, &figure.run].map(Clone::clone);
    MoveGoal { bench: "move_goal".to_owned(), tree, run, what, value, goal, at_most, unit: unit.to_owned(), met }
}

fn ratios(figure: &MoveFigure) -> Option<MoveGoal> {
    let is_it = |(tree, run, contestant, _): &&(&str, &str, &str, f64)| {
        figure.tree == *tree && figure.run == *run && figure.contestant == *contestant
    };
    let (.., contestant, least) = RATIOS.iter().find(is_it)?;
    let what = format!("times as fast as {contestant}");
    Some(goal(figure, Bound { what, value: figure.ratio?, goal: *least, at_most: false, unit: "times" }))
}

fn of_ours(figure: &MoveFigure) -> Vec<MoveGoal> {
    let mut bounds = Vec::new();
    let mut at_most = |what: &str, value: Option<f64>, goal, unit| {
        let what = what.to_owned();
        bounds.extend(value.map(|value| Bound { what, value, goal, at_most: true, unit }));
    };
    if figure.run == "first" {
        if figure.tree == "large" {
            at_most("processor time of both ends", figure.cpu_s_per_gib, CPU_S_PER_GIB_MAX, "s/GiB");
        }
        at_most("memory of the source", figure.peak_source_mib, PEAK_MIB_MAX, "MiB");
        at_most("memory of the target", figure.peak_target_mib, PEAK_MIB_MAX, "MiB");
    }
    let questions = figure.question_s.map(|question| figure.median_s / question);
    at_most("asking for changes, by any other question", questions, QUESTIONS_MAX, "times");
    bounds.into_iter().map(|bound| goal(figure, bound)).collect()
}

/// The goals that these figures say something about.
pub(super) fn goals(figures: &[MoveFigure]) -> Vec<MoveGoal> {
    let mut goals: Vec<MoveGoal> = figures.iter().filter_map(ratios).collect();
    goals.extend(figures.iter().filter(|figure| figure.contestant == "shardlift").flat_map(of_ours));
    goals
}

#[cfg(test)]
mod tests {
    use super::super::contestant::{Contestant, Run};
    use super::super::figures::tests::rows;
    use super::super::trees::Kind;
    use super::*;

    #[test]
    fn every_contestant_that_a_goal_names_exists() {
        for (_, _, contestant, _) in RATIOS {
            assert!(Contestant::ALL.iter().any(|one| one.name() == contestant), "{contestant}");
        }
    }

    #[test]
    fn a_goal_is_met_or_not_by_the_median_of_the_rounds() {
        let ours = (Contestant::Shardlift, Run::First, [1.0, 1.0, 1.0]);
        let ssh = (Contestant::RsyncSsh, Run::First, [1.9, 2.5, 2.1]);
        let tar = (Contestant::TarTls, Run::First, [1.4, 1.4, 9.0]);
        let goals = goals(&rows(Kind::Large, &[ours, ssh, tar]));
        let said: Vec<String> = goals.iter().map(ToString::to_string).collect();
        let expected = [
            "large, first: times as fast as rsync-ssh: 2.10 times, goal at least 2 met",
            "large, first: times as fast as tar-tls: 1.40 times, goal at least 1.5 NOT met",
            "large, first: processor time of both ends: 2.00 s/GiB, goal at most 2.6 met",
            "large, first: memory of the target: 50.00 MiB, goal at most 100 met",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn asking_for_changes_is_compared_with_another_question() {
        let goals = goals(&rows(Kind::Small, &[(Contestant::Shardlift, Run::Unchanged, [0.003; 3])]));
        assert_eq!(goals.len(), 1);
        assert!(goals[0].met && (goals[0].value - 1.5).abs() < 1e-9, "{}", goals[0]);
    }
}
