//! What a checkpoint states: the bytes that the controller's key signs. Who signs and who checks signatures is not known here.

use crate::{Entry, FORMAT, Head, NotARecord, what};
use serde::{Deserialize, Serialize};
use shardlift_model::{ClusterId, UnixMillis};

/// What the signed bytes are.
pub const PAYLOAD_TYPE: &str = "application/vnd.shardlift.audit-checkpoint+json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    format: u64,
    cluster: ClusterId,
    at: String,
    seq: u64,
    hash: String,
}

/// A statement about the head of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Whose log.
    pub cluster: ClusterId,
    /// When it was stated.
    pub at: UnixMillis,
    /// The last record then.
    pub head: Head,
}

impl Statement {
    /// The bytes to sign.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        let raw = Raw {
            format: FORMAT,
            cluster: self.cluster.clone(),
            at: crate::write_instant(self.at),
            seq: self.head.seq,
            hash: hex::encode(self.head.hash.0),
        };
        serde_json::to_vec(&raw).unwrap_or_default()
    }

    /// Reads signed bytes.
    ///
    /// # Errors
    /// [`NotARecord::Form`] when they are no statement of this format.
    pub fn read(payload: &[u8]) -> Result<Self, NotARecord> {
        let raw: Raw = serde_json::from_slice(payload).map_err(|_| NotARecord::Form)?;
        let head = format!("{}:{}", raw.seq, raw.hash).parse().map_err(|_| NotARecord::Form)?;
        let at = crate::parse_instant(&raw.at).ok_or(NotARecord::Form)?;
        let statement = Self { cluster: raw.cluster, at, head };
        if raw.format == FORMAT && statement.payload() == payload { Ok(statement) } else { Err(NotARecord::Form) }
    }

    /// The record of a signed statement.
    #[must_use]
    pub fn entry(&self, who: &str, envelope: &str) -> Entry {
        let entry = Entry::new(who, what::CHECKPOINT, &self.head.seq.to_string(), "done");
        entry.envelope(envelope.trim_end_matches('\n'))
    }
}
