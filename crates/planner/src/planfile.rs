//! Plan files: what people review, change and keep in git.
//!
//! ```toml
//! version = 1
//! revision = 2                  # this plan
//! based_on = 1                  # the plan it replaces; 0 when there is none
//! source = "source"
//! headroom_percent = 20         # optional: what stays free on each target
//! accept_damaged = []           # optional: nodes that may move although objects were already damaged
//! [wishes]                      # optional, like each line of it: what the plan was made for and is held to
//! goal = "lowest_peak"          # or "evacuate", { peak_at_most = 60 } (per cent of the load capacity), { leave = 200 } (nodes)
//! tolerance_permille = 20       # how far above the lower bound the worst hour may end
//! horizon_days = 30             # days of growth for which targets keep room
//! bytes_max = "2 TiB"           # most bytes that move
//! moves_max = 500               # most nodes that move
//! from_any_shard = false        # nodes of every shard may move, not only those of the source
//! windows = ["01:00-05:00"]     # UTC: batches flip then alone
//! holds = ["acme/db"]           # nodes that do not move now
//! pins = ["acme/old"]           # nodes that stay where they are
//! must_move = ["acme/web-1"]    # nodes that leave the source whatever it brings
//! [wishes.targets_of]
//! "acme/web-1" = ["shard-b"]    # where a node may go
//! [wishes.customers]
//! "acme" = "together"           # or { spread_nodes = 2 }, { spread_percent = 50 }: at most so many of its nodes on one shard
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
//! [drawn]                       # optional, written by `plan make`: the world then, so that `plan apply` can say what has changed
//! at = 2026-02-28T12:00:00Z
//! [drawn.nodes]
//! "acme/web-1" = "source 3 12884901888"   # shard, generation, bytes
//! [drawn.targets]
//! "shard-b" = 549755813888      # bytes free
//! ```
//!
//! A [`PlanFile`] is well formed, not yet right: it may name what does not exist. [`crate::check()`] says so.
//! It is stored as its text, comments included.

mod drawn;
mod read;
mod rebase;
mod spell;
mod syntax;
mod wishes;
mod write;

use crate::finding::{Finding, Lines, Place, SNIPPET_CHARS_MAX};
use crate::policy::{SoakPolicy, When, Window};
use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, NodeId, ShardId};

pub use drawn::{Drawn, DrawnError, DrawnNode, Drift, drift};
pub use rebase::{Base, RebaseError, rebase};
pub use wishes::{Wishes, parse_wishes};
pub use write::{Drafted, render};

/// Largest plan file: 100,000 moves and more, each with a short comment. A plan is one record of the journal together with its
/// batches, and that record has to stay below what the store takes (16 MiB).
pub const FILE_BYTES_MAX: usize = 12 << 20;

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
    pub(crate) wishes: Wishes,
    pub(crate) drawn: Option<Drawn>,
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

    /// What it was made for.
    #[must_use]
    pub const fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    /// The world that it was drawn in, where it is noted.
    #[must_use]
    pub const fn drawn(&self) -> Option<&Drawn> {
        self.drawn.as_ref()
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
    refuse_size(text, "split the plan")?;
    read::plan_file(text, &Lines::new(text))
}

fn refuse_size(text: &str, hint: &str) -> Result<(), Vec<Finding>> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes; at most {FILE_BYTES_MAX} are read", text.len());
        let first = Lines::new(text.lines().next().unwrap_or("")).finding(Place::START, message, hint);
        return Err(vec![first]);
    }
    let lines = Lines::new(text);
    if let Some((line, chars)) = lines.iter().map(|(n, line)| (n, line.chars().count())).find(|l| l.1 > LINE_CHARS_MAX)
    {
        let message = format!("the line has {chars} characters; at most {LINE_CHARS_MAX} are read");
        let hint = "break it: TOML arrays may span lines";
        return Err(vec![lines.finding(Place { line, column: 1 }, message, hint)]);
    }
    Ok(())
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
