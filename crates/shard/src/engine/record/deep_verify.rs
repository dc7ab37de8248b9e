//! What is kept about the reading of all of a copy's objects, so that a restart goes on where it was.

use serde::{Deserialize, Serialize};
use shardlift_model::{Generation, ObjectKey, Step, Token, UnixMillis};

/// Names of damaged and missing objects that are kept.
pub(crate) const NAMES_MAX: usize = 10;

/// Which run: a higher one begins anew, the same one again changes nothing. The term is no part of it: a later leader that asks
/// again for the same step means the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeepVerifyId {
    generation: Generation,
    step: Step,
    run: u64,
}

impl DeepVerifyId {
    /// The run with this number under this token.
    #[must_use]
    pub const fn new(token: Token, run: u64) -> Self {
        let (generation, step) = token.place();
        Self { generation, step, run }
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeepVerifyRecord {
    /// Of the command that began it.
    pub token: Token,
    /// Which of the runs under that token.
    pub run: u64,
    /// Read at most so fast; 0: as fast as the shard allows.
    pub bytes_per_second: u64,
    /// When it was asked for.
    pub begun_at: UnixMillis,
    /// When all had been read, or it was given up.
    pub ended_at: Option<UnixMillis>,
    /// The last object that was read.
    pub(crate) after: Option<ObjectKey>,
    /// Objects read.
    pub objects_read: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Objects that became other bytes here, or cannot be read.
    pub damaged: u64,
    /// Objects whose files are gone.
    pub missing: u64,
    /// Objects that were given to this copy as damaged as they are.
    pub known_damaged: u64,
    /// The first of those that are damaged or missing.
    pub names: Vec<ObjectKey>,
    /// Why it ended before it had read all.
    pub failure: Option<String>,
}

impl DeepVerifyRecord {
    /// One that has read nothing yet.
    #[must_use]
    pub const fn begun(token: Token, run: u64, bytes_per_second: u64, at: UnixMillis) -> Self {
        Self {
            token,
            run,
            bytes_per_second,
            begun_at: at,
            ended_at: None,
            after: None,
            objects_read: 0,
            bytes_read: 0,
            damaged: 0,
            missing: 0,
            known_damaged: 0,
            names: Vec::new(),
            failure: None,
        }
    }

    /// Which run it is.
    #[must_use]
    pub const fn id(&self) -> DeepVerifyId {
        DeepVerifyId::new(self.token, self.run)
    }
}

/// A run as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeepVerifyState {
    /// What it has come to.
    pub record: DeepVerifyRecord,
    /// How fast it reads at present.
    pub bytes_per_second: u64,
    /// Why it does not go on right now; empty when it does.
    pub waiting_for: String,
}
