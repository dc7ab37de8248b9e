//! Wishes in the spelling of plan files. Names hold no quote, backslash or control character (see `shardlift_model::name`), so they
//! need no escapes.

use crate::problem::PlanOptions;
use crate::problem::wishes::{CustomerRule, Goal, HORIZON_DAYS_DEFAULT, TOLERANCE_PERMILLE_DEFAULT};
use shardlift_model::{ByteCount, NodeId};
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

/// Names on one line of a list.
const NAMES_A_LINE: usize = 4;

/// Keys and values, by table.
#[derive(Default)]
pub(super) struct Spelled {
    pub(super) plain: Vec<(&'static str, String)>,
    pub(super) targets_of: Vec<(String, String)>,
    pub(super) customers: Vec<(String, String)>,
}

/// The wishes that are not as without `[wishes]`. Nodes that were excluded from a plan are held in it: not in this plan.
pub(super) fn wishes(options: &PlanOptions) -> Spelled {
    let mut plain = Vec::new();
    let mut add = |key: &'static str, value: Option<String>| plain.extend(value.map(|value| (key, value)));
    add("goal", options.goal.map(goal));
    let tolerance = options.tolerance_permille;
    add("tolerance_permille", (tolerance != TOLERANCE_PERMILLE_DEFAULT).then(|| tolerance.to_string()));
    let days = options.horizon_days;
    add("horizon_days", (days != HORIZON_DAYS_DEFAULT).then(|| days.to_string()));
    add("bytes_max", options.bytes_max.map(|most| format!("\"{}\"", exact(most))));
    add("moves_max", options.moves_max.map(|most| most.to_string()));
    add("from_any_shard", options.from_any_shard.then(|| "true".to_owned()));
    let windows: Vec<String> = options.windows.iter().map(ToString::to_string).collect();
    add("windows", (!windows.is_empty()).then(|| list(&windows.iter().map(String::as_str).collect::<Vec<_>>())));
    add("holds", names(options.holds.iter().chain(&options.exclude)));
    add("pins", names(options.pins.iter()));
    add("must_move", names(options.must_move.iter()));
    let targets_of = options.targets_of.iter().map(|(node, targets)| {
        let targets: BTreeSet<&str> = targets.iter().map(AsRef::as_ref).collect();
        (format!("\"{node}\""), list(&targets.into_iter().collect::<Vec<_>>()))
    });
    let customers = options.customers.iter();
    Spelled {
        plain,
        targets_of: targets_of.collect(),
        customers: customers.map(|(customer, rule)| (format!("\"{customer}\""), self::rule(*rule))).collect(),
    }
}

/// Writes the tables; nothing when there is no wish.
pub(super) fn write_wishes(f: &mut impl fmt::Write, options: &PlanOptions) -> fmt::Result {
    let Spelled { plain, targets_of, customers } = wishes(options);
    if plain.is_empty() && targets_of.is_empty() && customers.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n# What this plan was made for; `plan check` holds it to this.\n[wishes]")?;
    plain.iter().try_for_each(|(key, value)| writeln!(f, "{key} = {value}"))?;
    for (table, lines) in [("targets_of", targets_of), ("customers", customers)] {
        if !lines.is_empty() {
            writeln!(f, "[wishes.{table}]")?;
        }
        lines.iter().try_for_each(|(key, value)| writeln!(f, "{key} = {value}"))?;
    }
    Ok(())
}

fn goal(goal: Goal) -> String {
    match goal {
        Goal::Evacuate => "\"evacuate\"".to_owned(),
        Goal::LowestPeak => "\"lowest_peak\"".to_owned(),
        Goal::PeakAtMost { percent } => format!("{{ peak_at_most = {percent} }}"),
        Goal::Leave { nodes } => format!("{{ leave = {nodes} }}"),
    }
}

fn rule(rule: CustomerRule) -> String {
    match rule {
        CustomerRule::Together => "\"together\"".to_owned(),
        CustomerRule::SpreadNodes { nodes_max } => format!("{{ spread_nodes = {nodes_max} }}"),
        CustomerRule::SpreadShare { percent_max } => format!("{{ spread_percent = {percent_max} }}"),
    }
}

fn names<'n>(names: impl Iterator<Item = &'n NodeId>) -> Option<String> {
    let names: BTreeSet<&str> = names.map(NodeId::as_str).collect();
    let names: Vec<&str> = names.into_iter().collect();
    (!names.is_empty()).then(|| list(&names))
}

/// A list; a long one goes over several lines.
fn list(names: &[&str]) -> String {
    let quoted = |names: &[&str]| names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    if names.len() <= NAMES_A_LINE {
        return format!("[{}]", quoted(names));
    }
    let mut out = "[\n".to_owned();
    for line in names.chunks(NAMES_A_LINE) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "    {},", quoted(line));
    }
    out.push(']');
    out
}

/// In the largest unit of which it is a whole number.
fn exact(bytes: ByteCount) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut left = bytes.0;
    let mut unit = 0;
    while unit + 1 < UNITS.len() && left != 0 && left.is_multiple_of(1024) {
        left /= 1024;
        unit += 1;
    }
    format!("{left} {}", UNITS[unit])
}
