//! Plan files: what people review, change and keep in git.
//!
//! ```toml
//! version = 1
//! revision = 2                  # this plan
//! based_on = 1                  # the plan it replaces; 0 when there is none
//! source = "source"
//! headroom_percent = 20         # optional: what stays free on each target
//! accept_damaged = []           # optional: nodes that may move although objects were already damaged
//! [[batch]]
//! name = "canary"
//! after = []                    # optional: batches whose soak must be good before; default: the one above
//! when = "idle"                 # optional: what to wait for when all nodes are ready: now (default), idle, window
//! windows = ["02:00-06:00"]     # optional: UTC; when it may flip
//! force_after = "6h"            # optional: ends the wait for idle nodes; 30s, 15m, 6h, 2d
//! [batch.nodes]
//! "acme/web-1" = "shard-b"
//! [batch.soak]                  # optional: what must be seen before the batches after it go on
//! min = "1h"
//! backup = true                 # a complete backup of each node at its target
//! verify = true                 # the copies of each node compared and read again
//! on_alert = "hold"             # or "roll_back"
//! ```
//!
//! A [`PlanFile`] is well formed, not yet right: it may name what does not exist. [`crate::check()`] says so.
//! It is stored as its text, comments included.

mod read;
mod syntax;
mod write;

use crate::finding::{Finding, Lines, Place, SNIPPET_CHARS_MAX};
use crate::policy::{SoakPolicy, When, Window};
use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, NodeId, ShardId};

pub use write::render;

/// Largest plan file.
pub const FILE_BYTES_MAX: usize = 4 << 20;

/// Longest line of a plan file.
pub const LINE_CHARS_MAX: usize = SNIPPET_CHARS_MAX;

/// The only version of the format.
const VERSION: u64 = 1;

/// A value and where it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where its first character is.
    pub at: Place,
}

/// A plan file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlanFile {
    pub(crate) text: String,
    pub(crate) revision: Located<u64>,
    pub(crate) based_on: Located<u64>,
    pub(crate) source: Located<ShardId>,
    pub(crate) headroom_percent: u8,
    pub(crate) accept_damaged: Vec<Located<NodeId>>,
    pub(crate) batches: Vec<BatchEntry>,
}

/// A batch as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchEntry {
    pub(crate) header: Place,
    pub(crate) name: Located<BatchId>,
    /// `None`: the batch above.
    pub(crate) after: Option<Vec<Located<BatchId>>>,
    pub(crate) moves: Vec<MoveEntry>,
    pub(crate) when: When,
    pub(crate) windows: Vec<Window>,
    pub(crate) force_after_ms: Option<u64>,
    pub(crate) soak: SoakPolicy,
}

/// A line of `[batch.nodes]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MoveEntry {
    pub(crate) node: Located<NodeId>,
    pub(crate) target: Located<ShardId>,
}

impl PlanFile {
    /// The file, byte by byte.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The revision it claims.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision.value
    }

    /// The revision it replaces.
    #[must_use]
    pub const fn based_on(&self) -> u64 {
        self.based_on.value
    }

    /// The shard it relieves.
    #[must_use]
    pub const fn source(&self) -> &ShardId {
        &self.source.value
    }

    /// Its batches in the order of the file: name and moves.
    pub fn batches(&self) -> impl Iterator<Item = (&BatchId, impl Iterator<Item = (&NodeId, &ShardId)>)> {
        self.batches
            .iter()
            .map(|batch| (&batch.name.value, batch.moves.iter().map(|entry| (&entry.node.value, &entry.target.value))))
    }
}

/// Reads a plan file.
///
/// # Errors
/// Everything that is wrong with its form, ordered by place; at least one finding.
pub fn parse(text: &str) -> Result<PlanFile, Vec<Finding>> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes; at most {FILE_BYTES_MAX} are read", text.len());
        let first = Lines::new(text.lines().next().unwrap_or("")).finding(Place::START, message, "split the plan");
        return Err(vec![first]);
    }
    let lines = Lines::new(text);
    if let Some((line, chars)) = lines.iter().map(|(n, line)| (n, line.chars().count())).find(|l| l.1 > LINE_CHARS_MAX)
    {
        let message = format!("the line has {chars} characters; at most {LINE_CHARS_MAX} are read");
        let hint = "break it: TOML arrays may span lines";
        return Err(vec![lines.finding(Place { line, column: 1 }, message, hint)]);
    }
    read::plan_file(text, &lines)
}

impl TryFrom<String> for PlanFile {
    type Error = Finding;

    /// The first finding stands for all.
    fn try_from(text: String) -> Result<Self, Finding> {
        let none = || Lines::new("").finding(Place::START, "not a plan file", "make one with `shardlift plan make`");
        parse(&text).map_err(|findings| findings.into_iter().next().unwrap_or_else(none))
    }
}

impl From<PlanFile> for String {
    fn from(file: PlanFile) -> Self {
        file.text
    }
}
