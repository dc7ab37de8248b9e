//! Why a store refused or failed.
//!
//! Three kinds: a refusal (nothing was done, the caller is wrong or late), a failure (the world broke) and damage.

use crate::contract::{APPEND_BYTES_MAX, APPEND_RECORDS_MAX, RECORD_BYTES_MAX, Seq};
use shardlift_model::{ClusterId, Term};
use std::io;
use std::path::{Path, PathBuf};

/// The cause below a store's own words.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a store refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another controller leads. Nothing was done.
    #[error("term {term} is not the leading one, which is {current}")]
    Fenced {
        /// The term of the call.
        term: Term,
        /// The term that counts.
        current: Term,
    },
    /// The journal has moved on, or never was there. Nothing was done.
    #[error("the append follows record {after}, but the last record is {last}")]
    Conflict {
        /// The record the append wanted to follow.
        after: Seq,
        /// The last record.
        last: Seq,
    },
    /// Over a limit. Nothing was done.
    #[error("{count} records in one append, at most {APPEND_RECORDS_MAX} are allowed")]
    TooManyRecords {
        /// How many were given.
        count: usize,
    },
    /// Over a limit. Nothing was done.
    #[error("record {index} of the append has {bytes} bytes, at most {RECORD_BYTES_MAX} are allowed")]
    RecordTooLong {
        /// Which one, counted from zero.
        index: usize,
        /// Its length.
        bytes: usize,
    },
    /// Over a limit. Nothing was done.
    #[error("{bytes} bytes in one append, at most {APPEND_BYTES_MAX} are allowed")]
    AppendTooLong {
        /// Their sum.
        bytes: usize,
    },
    /// There are no more numbers. Nothing was done.
    #[error("the journal or the term has reached its last number")]
    Exhausted,
    /// The write may or may not have taken place. Open again and read back; never repeat it blindly.
    #[error("the outcome of the write is unknown: open the store again and read back")]
    Unknown {
        /// What went wrong.
        #[source]
        source: Cause,
    },
    /// An earlier write of this handle had an unknown outcome. Nothing was done.
    #[error("an earlier write failed: the store must be opened again")]
    Poisoned,
    /// Out of reach for now. Nothing was done.
    #[error("the store is out of reach")]
    Unavailable {
        /// What went wrong.
        #[source]
        source: Cause,
    },
    /// A record is not what was appended.
    #[error("record {seq} is damaged: {what}")]
    Damaged {
        /// Which one.
        seq: Seq,
        /// In what way.
        what: &'static str,
    },
    /// The store as a whole cannot be trusted.
    #[error("the store is damaged: {what}")]
    DamagedStore {
        /// In what way.
        what: &'static str,
    },
    /// The store lost what it had acknowledged.
    #[error(
        "the store ends at record {last} of term {term}, but record {marker_last} and term {marker_term} were acknowledged"
    )]
    Behind {
        /// Last record in the store.
        last: Seq,
        /// Highest term in the store.
        term: Term,
        /// Last record acknowledged, by the marker.
        marker_last: Seq,
        /// Highest term given out, by the marker.
        marker_term: Term,
    },
    /// The marker and the store do not belong together.
    #[error("the marker belongs to cluster {marker}, the store to {store}")]
    WrongCluster {
        /// Who the marker names.
        marker: ClusterId,
        /// Who the store names.
        store: String,
    },
    /// Written by a program that knows more than this one.
    #[error("{what} has format version {found}, this program knows version 1")]
    Version {
        /// What was read.
        what: &'static str,
        /// Its version.
        found: u8,
    },
    /// No store there; opening never creates one.
    #[error("{} holds no store", dir.display())]
    NotInitialised {
        /// Where.
        dir: PathBuf,
    },
    /// A store is created in an empty folder only.
    #[error("{} is not empty; a store is only created in an empty folder", dir.display())]
    NotEmpty {
        /// Where.
        dir: PathBuf,
    },
    /// Another process has it open.
    #[error("the store in {} is in use by another process", dir.display())]
    InUse {
        /// Where.
        dir: PathBuf,
    },
    /// The file system refused.
    #[error("could not {what} {}", path.display())]
    Io {
        /// The attempt, as a verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The embedded database refused.
    #[error("the embedded database failed")]
    Engine {
        /// What it said.
        #[source]
        source: Cause,
    },
}

impl StoreError {
    /// True when nothing was done and the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::InUse { .. })
    }

    /// True when the caller cannot know whether its write took place.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// For `map_err`: what was tried with which file.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    pub(crate) fn engine(source: sled::Error) -> Self {
        Self::Engine { source: source.into() }
    }
}
