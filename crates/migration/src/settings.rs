//! What an operator sets for a node: its quota, whether it is append-only, and its holds.
//!
//! A node's writer keeps them, and they travel with its data. They are recorded here as well, as the writer last confirmed
//! them: a shard that takes a node over without its writer gets them from the record.

use serde::{Deserialize, Serialize};
use shardlift_model::{ByteCount, UnixMillis};

/// Most bytes of text in the holds of one node: an event has to fit into a record of the journal.
pub const HOLDS_TEXT_BYTES_MAX: usize = 16 * 1024;

/// Most holds of one node.
pub const HOLDS_MAX: usize = 64;

/// What was last set for a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// Most bytes that it may store; `None`: none of its own.
    pub quota: Option<ByteCount>,
    /// Clients may add and not delete.
    pub append_only: bool,
    /// Why nothing of it is deleted.
    pub holds: Vec<Hold>,
}

/// A reason to keep all of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What it is ended by.
    pub id: String,
    /// Why.
    pub reason: String,
    /// When it was placed.
    pub placed_at: UnixMillis,
}

impl Settings {
    /// True when they can be recorded.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        let text = self.holds.iter().map(|hold| hold.id.len().saturating_add(hold.reason.len()));
        self.holds.len() <= HOLDS_MAX && text.fold(0, usize::saturating_add) <= HOLDS_TEXT_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_into_a_record_is_bounded() {
        let hold = |bytes: usize| Hold { id: "a".into(), reason: "r".repeat(bytes), placed_at: UnixMillis(1) };
        let of = |holds| Settings { holds, ..Settings::default() }.is_bounded();
        assert!(of(vec![]) && of(vec![hold(10); HOLDS_MAX]) && of(vec![hold(HOLDS_TEXT_BYTES_MAX - 1)]));
        assert!(!of(vec![hold(10); HOLDS_MAX + 1]) && !of(vec![hold(HOLDS_TEXT_BYTES_MAX)]));
    }
}
