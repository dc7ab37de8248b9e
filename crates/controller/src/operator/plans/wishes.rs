//! What an operator wants of a new plan: from the message to the planner's options, each with the field that is wrong.

use shardlift_api::convert::name;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1::{self, customer_wish, plan_wishes};
use shardlift_model::ByteCount;
use shardlift_planner::{CustomerRule, Goal, PlanOptions, WINDOWS_MAX, Window};

/// Names that one request may carry.
const NAMES_MAX: usize = 100_000;

pub(super) fn options(request: &v1::MakePlanRequest) -> Result<PlanOptions, Fault> {
    if names(request) > NAMES_MAX {
        return Err(Fault::new(FaultKind::Exhausted, format!("more than {NAMES_MAX} names in one request")));
    }
    let default = PlanOptions::default();
    let count = |wish: u32| (wish > 0).then_some(wish as usize);
    let headroom_percent = match request.headroom_percent {
        0 => default.headroom_percent,
        percent => u8::try_from(percent).unwrap_or(u8::MAX),
    };
    let mut options = PlanOptions {
        targets: all("target", &request.targets)?,
        canary_nodes: count(request.canary_nodes).unwrap_or(default.canary_nodes),
        batch_nodes: count(request.batch_nodes),
        exclude: all("exclude", &request.exclude)?,
        headroom_percent,
        ..default
    };
    if let Some(wishes) = &request.wishes {
        add(wishes, &mut options)?;
    }
    Ok(options)
}

fn names(request: &v1::MakePlanRequest) -> usize {
    let wishes = request.wishes.as_ref().map_or(0, |wishes| {
        let targets: usize = wishes.targets_of.iter().map(|one| one.targets.len() + 1).sum();
        wishes.holds.len() + wishes.pins.len() + wishes.must_move.len() + wishes.customers.len() + targets
    });
    request.targets.len() + request.exclude.len() + wishes
}

fn all<T: std::str::FromStr<Err = shardlift_model::NameError>>(
    field: &'static str,
    names: &[String],
) -> Result<Vec<T>, Fault> {
    names.iter().map(|text| name(field, text)).collect()
}

/// Figures that are too large for the planner's types are refused by the planner, with their place.
fn add(wishes: &v1::PlanWishes, options: &mut PlanOptions) -> Result<(), Fault> {
    let small = |figure: u32| u16::try_from(figure).unwrap_or(u16::MAX);
    options.goal = wishes.goal.map(goal).transpose()?;
    options.tolerance_permille = wishes.tolerance_permille.map_or(options.tolerance_permille, small);
    options.horizon_days = wishes.horizon_days.map_or(options.horizon_days, small);
    options.bytes_max = wishes.bytes_max.map(ByteCount);
    options.moves_max = wishes.moves_max;
    options.from_any_shard = wishes.from_any_shard;
    options.windows = windows(&wishes.windows)?;
    options.holds = all("holds", &wishes.holds)?;
    options.pins = all("pins", &wishes.pins)?;
    options.must_move = all("must_move", &wishes.must_move)?;
    for v1::AllowedTargets { node, targets } in &wishes.targets_of {
        options.targets_of.insert(name("targets_of", node)?, all("targets_of", targets)?);
    }
    for v1::CustomerWish { customer, rule } in &wishes.customers {
        let rule = match rule {
            Some(customer_wish::Rule::Together(true)) => CustomerRule::Together,
            Some(customer_wish::Rule::SpreadNodes(most)) => CustomerRule::SpreadNodes { nodes_max: *most },
            Some(customer_wish::Rule::SpreadPercent(percent)) => {
                CustomerRule::SpreadShare { percent_max: u8::try_from(*percent).unwrap_or(u8::MAX) }
            }
            Some(customer_wish::Rule::Together(false)) | None => {
                return Err(Fault::new(FaultKind::Invalid, format!("customers: `{customer}` has no rule")));
            }
        };
        options.customers.insert(name("customers", customer)?, rule);
    }
    Ok(())
}

fn windows(windows: &[String]) -> Result<Vec<Window>, Fault> {
    if windows.len() > WINDOWS_MAX {
        return Err(Fault::new(FaultKind::Invalid, format!("windows: at most {WINDOWS_MAX} are allowed")));
    }
    let read = |text: &String| {
        text.parse().map_err(|error| Fault::new(FaultKind::Invalid, format!("windows: {text:?} is no window: {error}")))
    };
    windows.iter().map(read).collect()
}

fn goal(goal: plan_wishes::Goal) -> Result<Goal, Fault> {
    match goal {
        plan_wishes::Goal::LowestPeak(true) => Ok(Goal::LowestPeak),
        plan_wishes::Goal::Evacuate(true) => Ok(Goal::Evacuate),
        plan_wishes::Goal::PeakAtMostPercent(percent) => {
            Ok(Goal::PeakAtMost { percent: u8::try_from(percent).unwrap_or(u8::MAX) })
        }
        plan_wishes::Goal::LeaveNodes(nodes) => Ok(Goal::Leave { nodes }),
        plan_wishes::Goal::LowestPeak(false) | plan_wishes::Goal::Evacuate(false) => {
            Err(Fault::new(FaultKind::Invalid, "goal: it is named and not wanted"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(wishes: v1::PlanWishes) -> v1::MakePlanRequest {
        v1::MakePlanRequest { source: "source".into(), wishes: Some(wishes), ..Default::default() }
    }

    #[test]
    fn every_wish_of_the_message_reaches_the_planner() {
        let rule = |customer: &str, rule| v1::CustomerWish { customer: customer.into(), rule: Some(rule) };
        let wishes = v1::PlanWishes {
            goal: Some(plan_wishes::Goal::PeakAtMostPercent(60)),
            tolerance_permille: Some(0),
            horizon_days: Some(0),
            bytes_max: Some(7),
            moves_max: Some(8),
            from_any_shard: true,
            windows: vec!["22:00-02:00".into()],
            holds: vec!["a/held".into()],
            pins: vec!["a/pin".into()],
            must_move: vec!["a/must".into()],
            targets_of: vec![v1::AllowedTargets { node: "a/x".into(), targets: vec!["shard-b".into()] }],
            customers: vec![
                rule("a", customer_wish::Rule::Together(true)),
                rule("b", customer_wish::Rule::SpreadNodes(2)),
                rule("c", customer_wish::Rule::SpreadPercent(50)),
            ],
        };
        let made = options(&v1::MakePlanRequest { exclude: vec!["a/out".into()], ..request(wishes) }).unwrap();
        let node = |name: &str| name.parse().unwrap();
        let expected = PlanOptions {
            goal: Some(Goal::PeakAtMost { percent: 60 }),
            tolerance_permille: 0,
            horizon_days: 0,
            bytes_max: Some(ByteCount(7)),
            moves_max: Some(8),
            from_any_shard: true,
            windows: vec!["22:00-02:00".parse().unwrap()],
            holds: vec![node("a/held")],
            pins: vec![node("a/pin")],
            must_move: vec![node("a/must")],
            exclude: vec![node("a/out")],
            targets_of: [(node("a/x"), vec!["shard-b".parse().unwrap()])].into(),
            customers: [
                ("a".parse().unwrap(), CustomerRule::Together),
                ("b".parse().unwrap(), CustomerRule::SpreadNodes { nodes_max: 2 }),
                ("c".parse().unwrap(), CustomerRule::SpreadShare { percent_max: 50 }),
            ]
            .into(),
            ..PlanOptions::default()
        };
        assert_eq!(made, expected);
        assert_eq!(options(&request(v1::PlanWishes::default())).unwrap(), PlanOptions::default());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_field() {
        let refused = |wishes| options(&request(wishes)).unwrap_err().public().to_owned();
        let none = v1::PlanWishes::default;
        assert!(refused(v1::PlanWishes { holds: vec!["../x".into()], ..none() }).starts_with("holds: "));
        assert!(refused(v1::PlanWishes { pins: vec![String::new()], ..none() }).starts_with("pins: "));
        let customers = vec![v1::CustomerWish { customer: "a".into(), rule: None }];
        assert_eq!(refused(v1::PlanWishes { customers, ..none() }), "customers: `a` has no rule");
        let goal = Some(plan_wishes::Goal::Evacuate(false));
        assert!(refused(v1::PlanWishes { goal, ..none() }).starts_with("goal: "));
        let window = refused(v1::PlanWishes { windows: vec!["2-6".into()], ..none() });
        assert!(window.starts_with("windows: \"2-6\" is no window: "), "{window}");
        let windows = vec!["02:00-03:00".to_owned(); WINDOWS_MAX + 1];
        assert!(refused(v1::PlanWishes { windows, ..none() }).contains("at most 32"));
        let holds = vec!["a".to_owned(); NAMES_MAX + 1];
        assert!(refused(v1::PlanWishes { holds, ..none() }).contains("more than 100000 names"));
    }

    #[test]
    fn figures_beyond_the_planner_s_types_stay_absurd() {
        let huge = v1::PlanWishes {
            goal: Some(plan_wishes::Goal::PeakAtMostPercent(256 + 60)),
            tolerance_permille: Some(65_536 + 20),
            horizon_days: Some(u32::MAX),
            ..Default::default()
        };
        let made = options(&request(huge)).unwrap();
        assert_eq!(made.goal, Some(Goal::PeakAtMost { percent: u8::MAX }));
        assert_eq!((made.tolerance_permille, made.horizon_days), (u16::MAX, u16::MAX));
    }
}
