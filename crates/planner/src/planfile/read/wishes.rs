//! What a plan was made for, as written.

use super::{Reader, article};
use crate::finding::Place;
use crate::planfile::Located;
use crate::planfile::wishes::Wishes;
use crate::policy::parse_bytes;
use crate::problem::wishes::{CustomerRule, Goal};
use crate::problem::{BYTES_MAX, HORIZON_DAYS_MAX};
use shardlift_model::{ByteCount, CustomerId, NodeId, ShardId};
use std::ops::RangeInclusive;
use toml_edit::{Item, Key, TableLike};

const WISH_KEYS: [&str; 12] = [
    "goal",
    "tolerance_permille",
    "horizon_days",
    "bytes_max",
    "moves_max",
    "from_any_shard",
    "windows",
    "holds",
    "pins",
    "must_move",
    "targets_of",
    "customers",
];

/// More moves than any cluster has nodes.
const MOVES_MAX: u64 = 1 << 40;

const GOAL_HINT: &str = "write `goal = \"lowest_peak\"`, \"evacuate\", { peak_at_most = 60 } or { leave = 200 }";
const RULE_HINT: &str = "write \"together\", { spread_nodes = 2 } or { spread_percent = 50 }";

impl Reader<'_> {
    /// `None` when something is wrong; all of it is found.
    pub(super) fn wishes(&mut self, item: &Item) -> Option<Wishes> {
        let Some(table) = item.as_table_like() else {
            self.wrong_type(item, "wishes", "a table", "write `[wishes]` and one line per wish");
            return None;
        };
        self.refuse_unknown(table, &WISH_KEYS, "the wishes");
        let goal = table.get("goal").map(|item| self.goal(item));
        let tolerance = self.ranged(table, "tolerance_permille", 0..=1000);
        let horizon = self.ranged(table, "horizon_days", 0..=u64::from(HORIZON_DAYS_MAX));
        let moves_max = self.ranged(table, "moves_max", 1..=MOVES_MAX);
        let bytes_max = self.bytes_max(table);
        let from_any_shard = self.wish(table, "from_any_shard");
        let windows = table.get("windows").map_or_else(|| Some(Vec::new()), |item| self.windows(item));
        let [holds, pins, must_move] = ["holds", "pins", "must_move"].map(|key| self.nodes(table, key));
        let targets_of = self.entries(table, "targets_of", Self::targets);
        let customers = self.entries(table, "customers", Self::rule);
        let small = |number: Option<Located<u64>>| number.and_then(|number| u16::try_from(number.value).ok());
        Some(Wishes {
            goal: match goal {
                Some(goal) => Some(goal?),
                None => None,
            },
            tolerance_permille: small(tolerance?),
            horizon_days: small(horizon?),
            bytes_max: bytes_max?,
            moves_max: moves_max?,
            from_any_shard: from_any_shard?,
            windows: windows?,
            holds: holds?,
            pins: pins?,
            must_move: must_move?,
            targets_of: targets_of?,
            customers: customers?,
        })
    }

    fn goal(&mut self, item: &Item) -> Option<Located<Goal>> {
        let at = self.place(item.span());
        let value = match (item.as_str(), item.as_table_like()) {
            (Some("lowest_peak"), _) => Goal::LowestPeak,
            (Some("evacuate"), _) => Goal::Evacuate,
            (Some(other), _) => {
                let near = self.suggest.nearest(other, ["lowest_peak", "evacuate"].into_iter());
                let hint = near.map_or_else(|| GOAL_HINT.to_owned(), |near| format!("did you mean \"{near}\"?"));
                self.refuse(at, format!("{other:?} is no goal"), hint);
                return None;
            }
            (None, Some(table)) => match self.one_of(table, at, "a goal", &["peak_at_most", "leave"], GOAL_HINT)? {
                key @ "peak_at_most" => {
                    let percent = self.ranged(table, key, 1..=100)??;
                    Goal::PeakAtMost { percent: u8::try_from(percent.value).ok()? }
                }
                key => Goal::Leave { nodes: self.ranged(table, key, 0..=MOVES_MAX)??.value },
            },
            (None, None) => {
                self.wrong_type(item, "goal", "a goal", GOAL_HINT);
                return None;
            }
        };
        Some(Located { value, at })
    }

    fn rule(&mut self, customer: &Key, item: &Item) -> Option<(Located<CustomerId>, CustomerRule)> {
        let at = self.place(customer.span());
        let name = self.parsed(customer.get(), at, "a customer");
        let value_at = self.place(item.span());
        let rule = match (item.as_str(), item.as_table_like()) {
            (Some("together"), _) => CustomerRule::Together,
            (None, Some(table)) => {
                let keys = ["spread_nodes", "spread_percent"];
                match self.one_of(table, value_at, "a customer's rule", &keys, RULE_HINT)? {
                    key @ "spread_nodes" => {
                        let most = self.ranged(table, key, 1..=u64::from(u32::MAX))??;
                        CustomerRule::SpreadNodes { nodes_max: u32::try_from(most.value).ok()? }
                    }
                    key => {
                        let percent = self.ranged(table, key, 1..=100)??;
                        CustomerRule::SpreadShare { percent_max: u8::try_from(percent.value).ok()? }
                    }
                }
            }
            (Some(other), _) => {
                self.refuse(value_at, format!("{other:?} is no rule for a customer"), RULE_HINT);
                return None;
            }
            (None, None) => {
                self.wrong_type(item, customer.get(), "a rule", RULE_HINT);
                return None;
            }
        };
        Some((name?, rule))
    }

    fn targets(&mut self, node: &Key, item: &Item) -> Option<(Located<NodeId>, Vec<Located<ShardId>>)> {
        let name = self.parsed(node.get(), self.place(node.span()), "a node");
        let targets = self.names(item, node.get(), "a shard")?;
        if targets.is_empty() {
            let message = format!("node {:?} may go to no target", node.get());
            self.refuse(self.place(item.span()), message, "name a target, or put the node under `holds`");
            return None;
        }
        Some((name?, targets))
    }

    /// The one key of a small table; all others are refused.
    fn one_of(
        &mut self,
        table: &dyn TableLike,
        at: Place,
        what: &str,
        keys: &[&'static str],
        hint: &str,
    ) -> Option<&'static str> {
        self.refuse_unknown(table, keys, what);
        let mut found = keys.iter().filter(|key| table.contains_key(key));
        match (found.next(), found.next()) {
            (Some(key), None) if table.len() == 1 => Some(key),
            _ => {
                self.refuse(at, format!("{what} has one key, `{}`", keys.join("` or `")), hint);
                None
            }
        }
    }

    pub(super) fn entries<T>(
        &mut self,
        table: &dyn TableLike,
        key: &str,
        mut read: impl FnMut(&mut Self, &Key, &Item) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(item) = table.get(key) else { return Some(Vec::new()) };
        let Some(entries) = item.as_table_like() else {
            self.wrong_type(item, key, "a table", &format!("write `[wishes.{key}]` and one line each"));
            return None;
        };
        let mut all = Vec::new();
        for (name, item) in entries.iter() {
            if let Some(key) = entries.key(name) {
                all.push(read(self, key, item));
            }
        }
        all.into_iter().collect()
    }

    fn nodes(&mut self, table: &dyn TableLike, key: &str) -> Option<Vec<Located<NodeId>>> {
        table.get(key).map_or_else(|| Some(Vec::new()), |item| self.names(item, key, "a node"))
    }

    fn bytes_max(&mut self, table: &dyn TableLike) -> Option<Option<Located<ByteCount>>> {
        let bytes = self.optional(table, "bytes_max", "\"2 TiB\"", parse_bytes)?;
        let at = self.place(table.get("bytes_max").and_then(Item::span));
        if let Some(bytes) = bytes.filter(|bytes| bytes.0 == 0 || bytes.0 > BYTES_MAX) {
            let message = format!("`bytes_max` is {bytes}; more than 0 and at most 4 EiB is expected");
            self.refuse(at, message, "write `bytes_max = \"2 TiB\"`, or leave it out");
            return None;
        }
        Some(bytes.map(|value| Located { value, at }))
    }

    /// The whole number of a key that may be missing: `Some(None)` then.
    fn ranged(&mut self, table: &dyn TableLike, key: &str, range: RangeInclusive<u64>) -> Option<Option<Located<u64>>> {
        let Some(item) = table.get(key) else { return Some(None) };
        let at = self.place(item.span());
        let (least, most) = (range.start(), range.end());
        let Some(number) = item.as_integer() else {
            let hint = format!("write `{key} = {}`, without quotes", most.min(&30));
            self.wrong_type(item, key, "a whole number", &hint);
            return None;
        };
        let value = u64::try_from(number).ok().filter(|value| range.contains(value));
        if value.is_none() {
            let message = format!("`{key}` is {number}; {least} to {most} is expected");
            self.refuse(at, message, format!("write `{key} = {}`, or leave it out", most.min(&30)));
        }
        value.map(|value| Some(Located { value, at }))
    }
}

/// What stands in a file of wishes beside them.
pub(super) fn other_keys(reader: &mut Reader<'_>, root: &dyn TableLike) {
    for (key, item) in root.iter().filter(|(key, _)| *key != "wishes") {
        let at = reader.place(root.key(key).and_then(Key::span));
        let hint = if WISH_KEYS.contains(&key) {
            "put `[wishes]` on a line above it"
        } else {
            "a file of wishes has the table `[wishes]` and nothing else"
        };
        reader.refuse(at, format!("unknown key {key:?}, {}, in a file of wishes", article(item.type_name())), hint);
    }
}
