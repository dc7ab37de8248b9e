//! When a batch may flip and what its soak must show, as written.

use super::{Reader, article};
use crate::finding::Place;
use crate::policy::{OnAlert, PolicyError, SoakPolicy, WINDOWS_MAX, When, Window, parse_millis};
use toml_edit::{Item, Table, TableLike};

const SOAK_KEYS: [&str; 4] = ["min", "backup", "verify", "on_alert"];

/// What a batch says about its flip and its soak; what it does not say is as without it.
#[derive(Default)]
pub(super) struct Policy {
    pub(super) when: When,
    pub(super) windows: Vec<Window>,
    pub(super) force_after_ms: Option<u64>,
    pub(super) soak: SoakPolicy,
}

impl Reader<'_> {
    /// `None` when something is wrong; all of it is found.
    pub(super) fn policy(&mut self, batch: &Table) -> Option<Policy> {
        let when = self.optional(batch, "when", "\"idle\"", str::parse::<When>);
        let force_after_ms = self.optional(batch, "force_after", "\"6h\"", parse_millis);
        let windows = match batch.get("windows") {
            Some(item) => self.windows(item),
            None => Some(Vec::new()),
        };
        let soak = match batch.get("soak") {
            Some(item) => self.soak(item),
            None => Some(SoakPolicy::default()),
        };
        let (when, force_after_ms, windows) = (when?.unwrap_or_default(), force_after_ms?, windows?);
        let mut fits = true;
        if when == When::Window && windows.is_empty() {
            let message = "the batch waits for a window, but has none";
            self.refuse(self.place_of(batch, "when"), message, "add `windows = [\"02:00-06:00\"]`, in UTC");
            fits = false;
        }
        if force_after_ms.is_some() && when != When::Idle {
            let message = format!("`force_after` has no meaning with `when = \"{}\"`", when.as_str());
            let hint = "it ends the wait for idle nodes: write `when = \"idle\"`, or remove it";
            self.refuse(self.place_of(batch, "force_after"), message, hint);
            fits = false;
        }
        let soak = soak?;
        fits.then_some(Policy { when, windows, force_after_ms, soak })
    }

    fn soak(&mut self, item: &Item) -> Option<SoakPolicy> {
        let Some(table) = item.as_table_like() else {
            self.wrong_type(item, "soak", "a table", "write `[batch.soak]` and one line per wish");
            return None;
        };
        self.refuse_unknown(table, &SOAK_KEYS, "a soak");
        let min_ms = self.optional(table, "min", "\"1h\"", parse_millis);
        let on_alert = self.optional(table, "on_alert", "\"hold\"", str::parse::<OnAlert>);
        let (backup, verify) = (self.wish(table, "backup"), self.wish(table, "verify"));
        Some(SoakPolicy {
            min_ms: min_ms?.unwrap_or_default(),
            backup: backup?,
            verify: verify?,
            on_alert: on_alert?.unwrap_or_default(),
        })
    }

    pub(super) fn wish(&mut self, table: &dyn TableLike, key: &str) -> Option<bool> {
        let Some(item) = table.get(key) else { return Some(false) };
        let wish = item.as_bool();
        if wish.is_none() {
            self.wrong_type(item, key, "true or false", &format!("write `{key} = true`, without quotes"));
        }
        wish
    }

    pub(super) fn windows(&mut self, item: &Item) -> Option<Vec<Window>> {
        let hint = "write `windows = [\"02:00-06:00\"]`, in UTC";
        let Some(array) = item.as_array() else {
            self.wrong_type(item, "windows", "a list of windows", hint);
            return None;
        };
        if array.len() > WINDOWS_MAX {
            let message = format!("`windows` has {}; at most {WINDOWS_MAX} are allowed", array.len());
            self.refuse(self.place(item.span()), message, "join windows that touch each other");
            return None;
        }
        let mut read = Vec::new();
        for value in array {
            let at = self.place(value.span());
            let window = match value.as_str().map(str::parse::<Window>) {
                Some(Ok(window)) => Some(window),
                Some(Err(error)) => {
                    self.refuse(at, format!("{:?} is no window: {error}", value.as_str().unwrap_or_default()), hint);
                    None
                }
                None => {
                    let found = article(value.type_name());
                    self.refuse(at, format!("`windows` holds {found}; a window, a string, is expected"), hint);
                    None
                }
            };
            read.push(window);
        }
        read.into_iter().collect()
    }

    /// The value of a key that may be missing: `Some(None)` then.
    pub(super) fn optional<T>(
        &mut self,
        table: &dyn TableLike,
        key: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, PolicyError>,
    ) -> Option<Option<T>> {
        let Some(item) = table.get(key) else { return Some(None) };
        let hint = format!("write `{key} = {example}`");
        let Some(text) = item.as_str() else {
            self.wrong_type(item, key, "a string", &hint);
            return None;
        };
        match parse(text) {
            Ok(value) => Some(Some(value)),
            Err(error) => {
                self.refuse(self.place(item.span()), format!("`{key}` is {text:?}: {error}"), hint);
                None
            }
        }
    }

    fn place_of(&self, table: &dyn TableLike, key: &str) -> Place {
        self.place(table.key(key).and_then(toml_edit::Key::span))
    }
}
