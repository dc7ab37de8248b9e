//! From a TOML document to a plan file. Goes on after an error, so that all are reported at once.

mod drawn;
mod policy;
mod wishes;

use super::wishes::Wishes;
use super::{BatchEntry, Located, MoveEntry, PlanFile, VERSION, syntax};
use crate::finding::{Finding, Lines, Place, tidy};
use crate::problem::HEADROOM_PERCENT_DEFAULT;
use crate::suggest::Suggest;
use policy::Policy;
use shardlift_model::{NameError, NodeId};
use std::ops::Range;
use std::str::FromStr;
use toml_edit::{Item, Table, TableLike, Value};

const TOP_KEYS: [&str; 9] =
    ["version", "revision", "based_on", "source", "headroom_percent", "accept_damaged", "wishes", "batch", "drawn"];
const BATCH_KEYS: [&str; 7] = ["name", "after", "nodes", "when", "windows", "force_after", "soak"];

struct Reader<'t> {
    lines: &'t Lines<'t>,
    findings: Vec<Finding>,
    suggest: Suggest,
}

pub(super) fn plan_file(text: &str, lines: &Lines<'_>) -> Result<PlanFile, Vec<Finding>> {
    let (document, findings) = syntax::document(text, lines);
    let mut reader = Reader { lines, findings, suggest: Suggest::default() };
    let file = document.and_then(|document| reader.file(text, document.as_table()));
    match file {
        Some(file) if reader.findings.is_empty() => Ok(file),
        _ => Err(tidy(reader.findings)),
    }
}

pub(super) fn wishes_file(text: &str, lines: &Lines<'_>) -> Result<Wishes, Vec<Finding>> {
    let (document, findings) = syntax::document(text, lines);
    let mut reader = Reader { lines, findings, suggest: Suggest::default() };
    let wishes = document.and_then(|document| {
        wishes::other_keys(&mut reader, document.as_table());
        let Some(item) = document.get("wishes") else {
            reader.refuse(Place::START, "`[wishes]` is missing", "begin with `[wishes]`");
            return None;
        };
        reader.wishes(item)
    });
    match wishes {
        Some(wishes) if reader.findings.is_empty() => Ok(wishes),
        _ => Err(tidy(reader.findings)),
    }
}

impl Reader<'_> {
    fn file(&mut self, text: &str, root: &Table) -> Option<PlanFile> {
        self.refuse_unknown(root, &TOP_KEYS, "a plan file");
        let version = self.required(root, "version", Place::START).and_then(|item| self.number(item, "version", 0));
        if let Some(version) = version.filter(|version| version.value != VERSION) {
            let message = format!("version {} of the format is unknown; {VERSION} is expected", version.value);
            self.refuse(version.at, message, "write `version = 1`, or use the `shardlift` that wrote this file");
        }
        let revision = self.required(root, "revision", Place::START).and_then(|item| self.number(item, "revision", 1));
        let based_on = self.required(root, "based_on", Place::START).and_then(|item| self.number(item, "based_on", 0));
        let source = self.required(root, "source", Place::START).and_then(|item| self.name(item, "source", "a shard"));
        let headroom_percent = match root.get("headroom_percent") {
            Some(item) => self.percent(item),
            None => Some(HEADROOM_PERCENT_DEFAULT),
        };
        let accept_damaged = match root.get("accept_damaged") {
            Some(item) => self.names::<NodeId>(item, "accept_damaged", "a node"),
            None => Some(Vec::new()),
        };
        let wishes = match root.get("wishes") {
            Some(item) => self.wishes(item),
            None => Some(Wishes::default()),
        };
        let drawn = root.get("drawn").map(|item| self.drawn(item));
        let batches = self.batches(root);
        Some(PlanFile {
            text: text.to_owned(),
            revision: revision?,
            based_on: based_on?,
            source: source?,
            headroom_percent: headroom_percent?,
            accept_damaged: accept_damaged?,
            wishes: wishes?,
            drawn: match drawn {
                Some(drawn) => Some(drawn?),
                None => None,
            },
            batches: batches?,
        })
    }

    fn batches(&mut self, root: &Table) -> Option<Vec<BatchEntry>> {
        let Some((key, item)) = root.get_key_value("batch") else {
            self.refuse(
                Place::START,
                "the plan has no batch",
                "add one: `[[batch]]`, `name = \"canary\"`, `[batch.nodes]`",
            );
            return None;
        };
        let Some(tables) = item.as_array_of_tables() else {
            let at = self.place(item.as_table().and_then(Table::span).or_else(|| key.span()));
            let message = format!("`batch` is {}; `[[batch]]` is expected", article(item.type_name()));
            self.refuse(at, message, "write `[[batch]]`, with two brackets on each side, for every batch");
            return None;
        };
        // All are read before any is given up, so that every finding is seen.
        let read: Vec<_> = tables.iter().map(|table| self.batch(table)).collect();
        read.into_iter().collect()
    }

    fn batch(&mut self, table: &Table) -> Option<BatchEntry> {
        let header = self.place(table.span());
        self.refuse_unknown(table, &BATCH_KEYS, "a batch");
        let name = self.required(table, "name", header).and_then(|item| self.name(item, "name", "a batch"));
        let after = table.get("after").map(|item| self.names(item, "after", "a batch"));
        let moves = self.required(table, "nodes", header).and_then(|item| self.moves(item));
        let policy = self.policy(table);
        let after = match after {
            Some(names) => Some(names?),
            None => None,
        };
        let Policy { when, windows, force_after_ms, soak } = policy?;
        Some(BatchEntry { header, name: name?, after, moves: moves?, when, windows, force_after_ms, soak })
    }

    fn moves(&mut self, item: &Item) -> Option<Vec<MoveEntry>> {
        let Some(nodes) = item.as_table_like() else {
            self.wrong_type(
                item,
                "nodes",
                "a table of nodes and their targets",
                "write `[batch.nodes]` and one line per node",
            );
            return None;
        };
        let read: Vec<_> = nodes.iter().map(|(text, item)| self.one_move(nodes, text, item)).collect();
        read.into_iter().collect()
    }

    fn one_move(&mut self, nodes: &dyn TableLike, text: &str, item: &Item) -> Option<MoveEntry> {
        let at = self.place(nodes.key(text).and_then(toml_edit::Key::span));
        if item.is_table_like() {
            let message =
                format!("node {text:?} has {} where its target, a string, is expected", article(item.type_name()));
            self.refuse(at, message, "put a name with dots in quotes: \"web.example\" = \"shard-b\"");
            return None;
        }
        let node = self.parsed(text, at, "a node");
        let target = self.name(item, text, "a shard");
        Some(MoveEntry { node: node?, target: target? })
    }

    fn percent(&mut self, item: &Item) -> Option<u8> {
        let number = self.number(item, "headroom_percent", 0)?;
        let percent = u8::try_from(number.value).ok().filter(|percent| *percent <= 100);
        if percent.is_none() {
            let message = format!("`headroom_percent` is {}; 0 to 100 is expected", number.value);
            self.refuse(number.at, message, "it is the share of each target that stays free");
        }
        percent
    }

    fn number(&mut self, item: &Item, key: &str, least: u64) -> Option<Located<u64>> {
        let at = self.place(item.span());
        let Some(number) = item.as_integer() else {
            self.wrong_type(item, key, "a whole number", &format!("write `{key} = {}`, without quotes", least.max(1)));
            return None;
        };
        let value = u64::try_from(number).ok().filter(|value| *value >= least);
        if value.is_none() {
            let message = format!("`{key}` is {number}; {least} or more is expected");
            self.refuse(at, message, "revisions count up from 1; 0 stands for no plan");
        }
        value.map(|value| Located { value, at })
    }

    fn name<T: FromStr<Err = NameError>>(&mut self, item: &Item, key: &str, what: &str) -> Option<Located<T>> {
        let Some(text) = item.as_str() else {
            let hint = format!("write {what}'s name in quotes");
            self.wrong_type(item, key, &format!("{what}'s name, a string,"), &hint);
            return None;
        };
        let at = self.place(item.span());
        self.parsed(text, at, what)
    }

    fn names<T: FromStr<Err = NameError>>(&mut self, item: &Item, key: &str, what: &str) -> Option<Vec<Located<T>>> {
        let Some(array) = item.as_array() else {
            let hint = format!("write `{key} = [\"...\"]`, or leave it out");
            self.wrong_type(item, key, &format!("a list of names, each of {what},"), &hint);
            return None;
        };
        let mut read = Vec::new();
        for value in array {
            let at = self.place(value.span());
            let name = match value {
                Value::String(text) => self.parsed(text.value(), at, what),
                other => {
                    let message =
                        format!("`{key}` holds {}; {what}'s name, a string, is expected", article(other.type_name()));
                    self.refuse(at, message, format!("write {what}'s name in quotes"));
                    None
                }
            };
            read.push(name);
        }
        read.into_iter().collect()
    }

    fn parsed<T: FromStr<Err = NameError>>(&mut self, text: &str, at: Place, what: &str) -> Option<Located<T>> {
        match text.parse() {
            Ok(value) => Some(Located { value, at }),
            Err(error) => {
                let hint = match what {
                    "a node" => "a node is named by one or two parts, such as acme/web-1",
                    "a customer" => "a customer is named by one part, such as acme",
                    _ => "lower-case letters, digits and . _ - are allowed, at most 63",
                };
                self.refuse(at, format!("{text:?} cannot name {what}: {error}"), hint);
                None
            }
        }
    }

    fn required<'i>(&mut self, table: &'i dyn TableLike, key: &str, whole: Place) -> Option<&'i Item> {
        let item = table.get(key);
        if item.is_none() {
            let example = match key {
                "source" => "`source = \"source\"`",
                "name" => "`name = \"canary\"`",
                "nodes" => "`[batch.nodes]` and one line per node",
                "based_on" => "`based_on = 0` when there is no plan yet, else the revision in force",
                _ => "it as a whole number, such as 1",
            };
            self.refuse(whole, format!("`{key}` is missing"), format!("add {example}"));
        }
        item
    }

    fn refuse_unknown(&mut self, table: &dyn TableLike, known: &[&'static str], what: &str) {
        for (key, _) in table.iter().filter(|(key, _)| !known.contains(key)) {
            let at = self.place(table.key(key).and_then(toml_edit::Key::span));
            let hint = match self.suggest.nearest(key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys: {}", known.join(", ")),
            };
            self.refuse(at, format!("unknown key {key:?} in {what}"), hint);
        }
    }

    fn wrong_type(&mut self, item: &Item, key: &str, expected: &str, hint: &str) {
        let at = self.place(item.span());
        self.refuse(at, format!("{key:?} is {}; {expected} is expected", article(item.type_name())), hint);
    }

    fn refuse(&mut self, at: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.findings.push(self.lines.finding(at, message, hint));
    }

    fn place(&self, span: Option<Range<usize>>) -> Place {
        span.map_or(Place::START, |span| self.lines.place(span.start))
    }
}

fn article(noun: &str) -> String {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { format!("an {noun}") } else { format!("a {noun}") }
}
