//! The world that a plan was drawn in, as noted.

use super::Reader;
use crate::planfile::drawn::{Drawn, DrawnNode};
use shardlift_model::{ByteCount, NodeId, ShardId};
use std::collections::BTreeMap;
use toml_edit::{Item, Key};

const DRAWN_KEYS: [&str; 3] = ["at", "nodes", "targets"];

const REDRAW_HINT: &str = "remove the table `[drawn]`; `shardlift plan rebase FILE --redraw` writes it anew";

impl Reader<'_> {
    /// `None` when something is wrong; all of it is found.
    pub(super) fn drawn(&mut self, item: &Item) -> Option<Drawn> {
        let Some(table) = item.as_table_like() else {
            self.wrong_type(item, "drawn", "a table", REDRAW_HINT);
            return None;
        };
        self.refuse_unknown(table, &DRAWN_KEYS, "`[drawn]`");
        let at = match table.get("at") {
            None => {
                self.refuse(self.place(item.span()), "`at` is missing in `[drawn]`", REDRAW_HINT);
                None
            }
            Some(at) => self.instant(at),
        };
        let nodes = self.entries(table, "nodes", Self::drawn_node);
        let targets = self.entries(table, "targets", Self::drawn_target);
        Some(Drawn { at: at?, nodes: BTreeMap::from_iter(nodes?), targets: BTreeMap::from_iter(targets?) })
    }

    fn instant(&mut self, item: &Item) -> Option<String> {
        let instant = item.as_datetime().filter(|at| at.date.is_some() && at.time.is_some() && at.offset.is_some());
        if instant.is_none() {
            self.wrong_type(item, "at", "an instant such as 2026-02-28T12:00:00Z, without quotes,", REDRAW_HINT);
        }
        instant.map(ToString::to_string)
    }

    fn drawn_node(&mut self, key: &Key, item: &Item) -> Option<(NodeId, DrawnNode)> {
        let node = self.parsed::<NodeId>(key.get(), self.place(key.span()), "a node");
        let Some(text) = item.as_str() else {
            self.wrong_type(item, key.get(), "shard, generation and bytes, a string,", REDRAW_HINT);
            return None;
        };
        match text.parse() {
            Ok(then) => Some((node?.value, then)),
            Err(error) => {
                self.refuse(self.place(item.span()), format!("{text:?} says nothing of a node: {error}"), REDRAW_HINT);
                None
            }
        }
    }

    fn drawn_target(&mut self, key: &Key, item: &Item) -> Option<(ShardId, ByteCount)> {
        let target = self.parsed::<ShardId>(key.get(), self.place(key.span()), "a shard");
        let free = item.as_integer().and_then(|free| u64::try_from(free).ok());
        if free.is_none() {
            self.wrong_type(item, key.get(), "a number of bytes, 0 or more,", REDRAW_HINT);
        }
        Some((target?.value, ByteCount(free?)))
    }
}
