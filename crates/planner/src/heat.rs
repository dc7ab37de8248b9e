//! Load by hour of the week, before and after: for a terminal, and as one HTML file with a picture that needs nothing else.
//!
//! Counted from a world and a plan file, without the solver. Rows are the shards that change, the busiest first.

use crate::draft::Fill;
use crate::load::{HOURS, HourOfWeek};
use crate::planfile::PlanFile;
use crate::world::WorldView;
use shardlift_model::{NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Shards that a picture shows; of more, the busiest.
pub const ROWS_MAX: usize = 40;

/// One shard's week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Week {
    /// Which shard.
    pub shard: ShardId,
    /// Share of its load capacity by hour, before the first batch.
    pub before: Vec<Fill>,
    /// The same after the last batch.
    pub after: Vec<Fill>,
}

impl Week {
    fn highest(&self) -> Fill {
        self.before.iter().chain(&self.after).copied().max().unwrap_or(Fill(0))
    }
}

/// What a plan does to the load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// The source and all shards that get or lose something, the busiest first.
    pub weeks: Vec<Week>,
    /// Those of them that cannot be shown: nobody knows their load capacity.
    pub without_capacity: Vec<ShardId>,
    /// False when neither a node nor a shard has measured load.
    pub is_load_known: bool,
}

/// Load by hour in a world, and in the same world once a plan was carried out.
#[must_use]
pub fn picture(world: &WorldView, file: &PlanFile) -> Picture {
    let moves: BTreeMap<&NodeId, &ShardId> = file.batches().flat_map(|(_, moves)| moves).collect();
    let givers = moves.keys().filter_map(|node| world.nodes.get(*node)).map(|view| &view.shard);
    let changed: BTreeSet<&ShardId> = moves.values().copied().chain(givers).chain([file.source()]).collect();
    let mut rows: BTreeMap<&ShardId, ([u64; HOURS], [u64; HOURS])> = BTreeMap::new();
    for (id, shard) in world.shards.iter().filter(|(id, _)| changed.contains(id)) {
        let (before, after) = rows.entry(id).or_insert(([0; HOURS], [0; HOURS]));
        shard.load.add_to(before);
        shard.load.add_to(after);
    }
    for (id, node) in &world.nodes {
        if let Some((before, _)) = rows.get_mut(&node.shard) {
            node.load.add_to(before);
        }
        if let Some((_, after)) = rows.get_mut(moves.get(id).copied().unwrap_or(&node.shard)) {
            node.load.add_to(after);
        }
    }
    let loads = world.shards.values().map(|shard| &shard.load).chain(world.nodes.values().map(|node| &node.load));
    let mut picture = Picture { is_load_known: loads.into_iter().any(|load| !load.is_zero()), ..Picture::default() };
    for (shard, (before, after)) in rows {
        let Some(capacity) = world.shards.get(shard).and_then(|view| view.load_capacity) else {
            picture.without_capacity.push(shard.clone());
            continue;
        };
        let share = |row: &[u64; HOURS]| row.iter().map(|load| Fill::of_load(*load, capacity)).collect();
        picture.weeks.push(Week { shard: shard.clone(), before: share(&before), after: share(&after) });
    }
    picture.weeks.sort_by(|a, b| b.highest().cmp(&a.highest()).then(a.shard.cmp(&b.shard)));
    picture
}

/// Signs from idle to full; the last is for more than full.
const SIGNS: [char; 7] = [' ', '.', ':', '-', '=', '#', '!'];

fn sign(share: Fill) -> char {
    let step = usize::try_from(share.0 / 200_000_001).unwrap_or(usize::MAX);
    let step = if share.0 == 0 { 0 } else { step.saturating_add(1) };
    SIGNS.get(step).copied().unwrap_or('!')
}

/// Hours for which one sign may stand: as few as the width allows.
const HOURS_A_SIGN: [usize; 5] = [2, 3, 4, 6, 12];

/// For a terminal of so many columns: a line for each shard and each of before and after, a sign for each two hours, or for more
/// where there is no room. Plain ASCII.
#[must_use]
pub fn text(weeks: &[Week], columns: usize) -> String {
    let wide = weeks.iter().map(|week| week.shard.as_str().len()).max().unwrap_or(0);
    // Name, "before", the days with a bar between them, the highest share.
    let needed = |hours: &usize| wide + 9 + 7 * (24 / hours) + 6 + 9;
    let hours = HOURS_A_SIGN.into_iter().find(|hours| needed(hours) <= columns).unwrap_or(12);
    let day_columns = 24 / hours + 1;
    let mut out = String::new();
    let days: String = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
        .iter()
        .map(|day| format!("{:<day_columns$}", day.get(..day_columns.min(4) - 1).unwrap_or(day)))
        .collect();
    let legend = "UTC; .:-=# are up to 20, 40, 60, 80, 100 % of the load capacity, ! is above";
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{legend}\n{:wide$}         {}", "", days.trim_end());
    for week in weeks.iter().take(ROWS_MAX) {
        for (name, shares) in [("before", &week.before), ("after", &week.after)] {
            let highest = shares.iter().copied().max().unwrap_or(Fill(0));
            let shard = if name == "before" { week.shard.as_str() } else { "" };
            let _ = writeln!(out, "{shard:wide$} {name:<6}  {} {highest:>8}", line(shares, hours));
        }
    }
    if let Some(more) = weeks.len().checked_sub(ROWS_MAX).filter(|more| *more > 0) {
        let _ = writeln!(out, "and {more} less busy shards");
    }
    out
}

fn line(shares: &[Fill], hours: usize) -> String {
    let days = shares.chunks(24).map(|day| {
        let signs = day.chunks(hours).map(|hours| sign(hours.iter().copied().max().unwrap_or(Fill(0))));
        signs.collect::<String>()
    });
    days.collect::<Vec<_>>().join("|")
}

/// One HTML file with the same as a picture, and `title` above it.
#[must_use]
pub fn html(title: &str, weeks: &[Week]) -> String {
    let title = escaped(title);
    let style = "body{font:14px sans-serif;margin:2em}text{font:11px sans-serif}";
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{style}</style></head>\n\
         <body><h1>{title}</h1>\n{}<p>Each square is one hour of the week, UTC: the darker, the nearer to the load capacity; \
         red is above it.</p></body></html>\n",
        svg(weeks)
    )
}

/// The picture alone.
#[must_use]
pub fn svg(weeks: &[Week]) -> String {
    const CELL: usize = 6;
    const LEFT: usize = 230;
    let shown: Vec<&Week> = weeks.iter().take(ROWS_MAX).collect();
    let (width, height) = (LEFT + HOURS * CELL + 60, 24 + shown.len() * 34);
    let mut out =
        format!("<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{width}\" height=\"{height}\">\n");
    for day in 0..7 {
        let name = HourOfWeek::of(day * 24).to_string();
        let name = name.split(' ').next().unwrap_or("").to_owned();
        let _ = writeln!(out, "<text x=\"{}\" y=\"14\">{name}</text>", LEFT + day * 24 * CELL);
    }
    for (row, week) in shown.into_iter().enumerate() {
        for (at, (name, shares)) in [("before", &week.before), ("after", &week.after)].into_iter().enumerate() {
            let top = 22 + row * 34 + at * 15;
            let highest = shares.iter().copied().max().unwrap_or(Fill(0));
            let label = escaped(&format!("{} {name}", week.shard));
            let _ = writeln!(out, "<text x=\"4\" y=\"{}\">{label}</text>", top + 11);
            for (hour, share) in HourOfWeek::all().zip(shares) {
                let (x, color) = (LEFT + hour.number() * CELL, color(*share));
                let tip = escaped(&format!("{label}, {hour}: {share}"));
                let _ = write!(
                    out,
                    "<rect x=\"{x}\" y=\"{top}\" width=\"{CELL}\" height=\"13\" fill=\"{color}\"><title>{tip}</title></rect>"
                );
            }
            let _ = writeln!(out, "<text x=\"{}\" y=\"{}\">{highest}</text>", LEFT + HOURS * CELL + 6, top + 11);
        }
    }
    out.push_str("</svg>\n");
    out
}

fn color(share: Fill) -> String {
    if share.0 > 1_000_000_000 {
        return "#c00000".to_owned();
    }
    // From near white to dark blue.
    let part = share.0 / 1_000_000;
    let fade = |from: u64, to: u64| from - (from - to) * part / 1000;
    format!("#{:02x}{:02x}{:02x}", fade(0xf4, 0x10), fade(0xf6, 0x30), fade(0xfa, 0x70))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}
