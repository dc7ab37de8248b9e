//! What can be wrong with a log.

use crate::NotARecord;
use std::fmt;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// With which record; of a bad line: the number that should stand there.
    pub seq: u64,
    /// In which file it was noticed.
    pub file: String,
    /// In which line of it.
    pub line: u64,
    /// What.
    pub kind: FaultKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// A line was changed, or is no record.
    Altered {
        /// In which way.
        why: NotARecord,
    },
    /// This record and all up to `last` are not there.
    Missing {
        /// The last one that is missing.
        last: u64,
    },
    /// It stands behind a later one.
    Reordered {
        /// Which.
        after: u64,
    },
    /// There is a second record with this number.
    Repeated,
    /// It does not follow from the record before: one of the two was replaced and hashed anew.
    Unlinked,
    /// A file does not begin as a segment of this format.
    NotASegment {
        /// The format that it names.
        format: Option<u64>,
    },
    /// A segment has the name of another one.
    OtherName,
    /// A segment is of another cluster's log.
    OtherCluster,
    /// A checkpoint is not believed.
    Checkpoint {
        /// Why.
        why: String,
    },
    /// This record and all up to `last` stand under no signature although they should.
    Unsigned {
        /// The last of them.
        last: u64,
    },
    /// The writer found damage before this record, and said so.
    Broken {
        /// What it found.
        why: String,
    },
    /// The log ends before a record that somebody has kept the hash of.
    Cut {
        /// The last record that is there.
        last: u64,
    },
    /// It has another hash than the one that somebody has kept.
    OtherThanKept,
}

impl FaultKind {
    /// A word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Altered { .. } => "altered",
            Self::Missing { .. } => "missing",
            Self::Reordered { .. } => "reordered",
            Self::Repeated => "repeated",
            Self::Unlinked => "unlinked",
            Self::NotASegment { .. } => "not_a_segment",
            Self::OtherName => "other_name",
            Self::OtherCluster => "other_cluster",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Unsigned { .. } => "unsigned",
            Self::Broken { .. } => "broken",
            Self::Cut { .. } => "cut",
            Self::OtherThanKept => "other_than_kept",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seq = self.seq;
        let range = |last: u64| match last {
            last if last == seq => format!("record {seq} is"),
            last => format!("records {seq} to {last} are"),
        };
        match &self.kind {
            FaultKind::Altered { why } => write!(f, "record {seq} was altered: {why}"),
            FaultKind::Missing { last } => write!(f, "{} missing", range(*last)),
            FaultKind::Reordered { after } => write!(f, "record {seq} stands behind record {after}"),
            FaultKind::Repeated => write!(f, "there is a second record {seq}"),
            FaultKind::Unlinked => {
                write!(f, "record {seq} does not follow from the one before: one of them was replaced")
            }
            FaultKind::NotASegment { format: Some(format) } => {
                write!(f, "the segment has format {format}; this program reads format {}", crate::FORMAT)
            }
            FaultKind::NotASegment { format: None } => {
                write!(f, "record {seq} is not what a segment begins with: something before it is missing")
            }
            FaultKind::OtherName => write!(f, "the segment begins with record {seq}, its name says another"),
            FaultKind::OtherCluster => write!(f, "the segment of record {seq} is of another cluster"),
            FaultKind::Checkpoint { why } => write!(f, "checkpoint {seq} is not believed: {why}"),
            FaultKind::Unsigned { last } => write!(f, "{} under no signature, and should be", range(*last)),
            FaultKind::Broken { why } => write!(f, "the writer found damage before record {seq}: {why}"),
            FaultKind::Cut { last } => write!(f, "the log was cut: it ends with record {last}, and {seq} was kept"),
            FaultKind::OtherThanKept => write!(f, "record {seq} is not the one that was kept: all up to it may be new"),
        }
    }
}
