//! What a plan is made for: a file of wishes, with what the command line says before it, as the message for the controller.

use super::problems_text;
use crate::cli::{GoalWord, PlanWishes};
use crate::exit::{Exit, Failure};
use crate::output::talk;
use shardlift_api::v1::{self, customer_wish, plan_wishes};
use shardlift_planner::{CustomerRule, Goal, PlanOptions, parse_wishes};

/// Reads the file of wishes, if there is one; its problems are told as those of plan files are.
pub(super) fn wishes(asked: PlanWishes) -> Result<v1::PlanWishes, Failure> {
    let mut options = PlanOptions::default();
    if let Some(file) = &asked.file {
        let text = super::read_plan(file)?;
        let read = parse_wishes(&text).map_err(|findings| {
            let problems: Vec<v1::PlanProblem> = findings.into_iter().map(super::problem).collect();
            talk(&problems_text(file, &problems));
            Failure::new(Exit::Problems, format!("{}: {} problems", file.display(), problems.len()))
        })?;
        read.apply_to(&mut options);
    }
    put_before(asked, &mut options);
    Ok(message(&options))
}

/// Lists are added to; of a figure, a goal and what is said of one node or customer, the command line's counts.
fn put_before(asked: PlanWishes, options: &mut PlanOptions) {
    let named = asked.goal.map(|goal| match goal {
        GoalWord::LowestPeak => Goal::LowestPeak,
        GoalWord::Evacuate => Goal::Evacuate,
    });
    let peak = asked.peak_at_most.map(|percent| Goal::PeakAtMost { percent });
    let leave = asked.leave.map(|nodes| Goal::Leave { nodes });
    options.goal = named.or(peak).or(leave).or(options.goal);
    options.tolerance_permille = asked.tolerance.unwrap_or(options.tolerance_permille);
    options.horizon_days = asked.horizon.unwrap_or(options.horizon_days);
    options.bytes_max = asked.max_bytes.map(|size| size.0).or(options.bytes_max);
    options.moves_max = asked.max_moves.or(options.moves_max);
    options.from_any_shard |= asked.from_any_shard;
    options.windows.extend(asked.windows);
    options.must_move.extend(asked.must_move);
    options.holds.extend(asked.holds);
    options.pins.extend(asked.pins);
    options.targets_of.extend(asked.allow.into_iter().map(|allowed| (allowed.node, allowed.targets)));
    options.customers.extend(asked.together.into_iter().map(|customer| (customer, CustomerRule::Together)));
    options.customers.extend(asked.spread.into_iter().map(|spread| (spread.customer, spread.rule)));
}

fn message(options: &PlanOptions) -> v1::PlanWishes {
    let default = PlanOptions::default();
    let figure = |figure: u16, default: u16| (figure != default).then(|| u32::from(figure));
    let names = |nodes: &[shardlift_model::NodeId]| nodes.iter().map(ToString::to_string).collect();
    let goal = |goal| match goal {
        Goal::LowestPeak => plan_wishes::Goal::LowestPeak(true),
        Goal::Evacuate => plan_wishes::Goal::Evacuate(true),
        Goal::PeakAtMost { percent } => plan_wishes::Goal::PeakAtMostPercent(u32::from(percent)),
        Goal::Leave { nodes } => plan_wishes::Goal::LeaveNodes(nodes),
    };
    let rule = |rule: CustomerRule| match rule {
        CustomerRule::Together => customer_wish::Rule::Together(true),
        CustomerRule::SpreadNodes { nodes_max } => customer_wish::Rule::SpreadNodes(nodes_max),
        CustomerRule::SpreadShare { percent_max } => customer_wish::Rule::SpreadPercent(u32::from(percent_max)),
    };
    let allowed = options.targets_of.iter().map(|(node, targets)| v1::AllowedTargets {
        node: node.to_string(),
        targets: targets.iter().map(ToString::to_string).collect(),
    });
    let customers = options.customers.iter();
    v1::PlanWishes {
        goal: options.goal.map(goal),
        tolerance_permille: figure(options.tolerance_permille, default.tolerance_permille),
        horizon_days: figure(options.horizon_days, default.horizon_days),
        bytes_max: options.bytes_max.map(|most| most.0),
        moves_max: options.moves_max,
        from_any_shard: options.from_any_shard,
        windows: options.windows.iter().map(ToString::to_string).collect(),
        holds: names(&options.holds),
        pins: names(&options.pins),
        must_move: names(&options.must_move),
        targets_of: allowed.collect(),
        customers: customers
            .map(|(customer, one)| v1::CustomerWish { customer: customer.to_string(), rule: Some(rule(*one)) })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command, PlanCommand};
    use clap::Parser as _;

    fn asked(line: &str) -> PlanWishes {
        let line = format!("shardlift plan make --source s {line}");
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Plan(PlanCommand::Make(draft)) => draft.wishes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("wishes.toml");
        let text = "[wishes]\ngoal = \"evacuate\"\nhorizon_days = 90\nwindows = [\"01:00-05:00\"]\nmoves_max = 5\nholds = [\"a/x\"]\n\
                    [wishes.customers]\na = \"together\"\n";
        std::fs::write(&file, text).unwrap();
        let line = format!(
            "--wishes {} --leave 3 --max-moves 7 --window 22:00-23:30 --hold a/y --spread a=2 --max-bytes 2TiB",
            file.display()
        );
        let made = wishes(asked(&line)).unwrap();
        let expected = v1::PlanWishes {
            goal: Some(plan_wishes::Goal::LeaveNodes(3)),
            horizon_days: Some(90),
            bytes_max: Some(2 << 40),
            moves_max: Some(7),
            windows: vec!["01:00-05:00".into(), "22:00-23:30".into()],
            holds: vec!["a/x".into(), "a/y".into()],
            customers: vec![v1::CustomerWish { customer: "a".into(), rule: Some(customer_wish::Rule::SpreadNodes(2)) }],
            ..Default::default()
        };
        assert_eq!(made, expected);
        let alone = wishes(asked(&format!("--wishes {}", file.display()))).unwrap();
        assert_eq!((alone.goal, alone.moves_max), (Some(plan_wishes::Goal::Evacuate(true)), Some(5)));
    }

    #[test]
    fn a_figure_of_zero_is_not_lost() {
        let made = wishes(asked("--horizon 0 --tolerance 0")).unwrap();
        assert_eq!((made.horizon_days, made.tolerance_permille), (Some(0), Some(0)));
        assert_eq!(wishes(asked("")).unwrap(), v1::PlanWishes::default());
    }

    #[test]
    fn a_bad_file_of_wishes_is_a_problem() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("wishes.toml");
        std::fs::write(&file, "[wishes]\ngaol = \"evacuate\"\n").unwrap();
        let failure = wishes(asked(&format!("--wishes {}", file.display()))).unwrap_err();
        assert_eq!(failure.exit, Exit::Problems);
        let failure = wishes(asked("--wishes /nowhere/w.toml")).unwrap_err();
        assert_eq!(failure.exit, Exit::Failed);
    }
}
