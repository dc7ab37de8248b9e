//! The audit log as a format: records, the chain through them, checkpoints, and the check of a whole log. PURE: lines in, lines out.
//!
//! The life of a record, in order: somebody's [`Entry`] says who did what; a [`Chain`] gives it its number, the hash of the one before
//! and its own; whoever writes the lines keeps them in segments, the first record of which says so; from time to time a
//! [`Statement`] about the head is signed and becomes a record itself; a [`Check`] reads it all again, years later, offline.
//!
//! Invariants:
//! - A record has one spelling. Its hash covers every byte of its line before the hash, and with it the hash of the record before.
//! - A number is never given twice, and none is left out.
//! - No text in a record can steer a terminal or is longer than its bound. Nothing secret is ever handed in.

mod chain;
mod check;
mod instant;
mod record;
mod statement;

pub use chain::{Chain, Head, HeadError};
pub use check::{Check, Fault, FaultKind, Judge, Report, Signed};
pub use instant::{parse_instant, write_instant};
pub use record::{Entry, Fields, NotARecord, Record, Value, clean};
pub use statement::{PAYLOAD_TYPE, Statement};

/// The format that is written here, and the only one that is read.
pub const FORMAT: u64 = 1;

/// Longest line, its end included. What comes in from outside is cut long before.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Most records between two checkpoints. A log with more has lost some.
pub const UNSIGNED_MAX: u64 = 2048;

/// What a record says of the log itself.
pub mod what {
    /// The first record of a segment: format and cluster.
    pub const SEGMENT: &str = "segment begun";
    /// A writer goes on with a segment; says what a crash had left.
    pub const OPENED: &str = "log opened";
    /// The writer found damage and goes on behind it.
    pub const BROKEN: &str = "chain broken";
    /// A signed statement about the record before this one.
    pub const CHECKPOINT: &str = "checkpoint";
    /// Refusals that were counted and not written down one by one.
    pub const MORE_REFUSED: &str = "more refused";
}

/// The names of fields that readers look for.
pub mod field {
    /// The node that it is about.
    pub const NODE: &str = "node";
    /// All nodes that it is about.
    pub const NODES: &str = "nodes";
    /// The serial of the certificate that was made.
    pub const SERIAL: &str = "serial";
    /// All serials that it is about.
    pub const SERIALS: &str = "serials";
    /// The serial of the certificate that was shown for a new one.
    pub const SHOWN: &str = "shown";
    /// The batch that it is about.
    pub const BATCH: &str = "batch";
    /// Why something was refused, in words.
    pub const WHY: &str = "why";
    /// Of a segment: its format.
    pub const FORMAT: &str = "format";
    /// Of a segment: the cluster.
    pub const CLUSTER: &str = "cluster";
    /// Of a checkpoint: the signed envelope.
    pub const ENVELOPE: &str = "envelope";
    /// Bytes of an unfinished line that were taken away.
    pub const TORN_BYTES: &str = "torn_bytes";
    /// How many.
    pub const COUNT: &str = "count";
}

/// The name of the segment that begins with this record.
#[must_use]
pub fn segment_name(first: u64) -> String {
    format!("audit-{first:020}.jsonl")
}

/// The first record of the segment with this name; `None`: it is no segment.
#[must_use]
pub fn segment_first(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("audit-")?.strip_suffix(".jsonl")?;
    let first = digits.parse().ok()?;
    (segment_name(first) == name).then_some(first)
}
