//! The chain while it is written: numbers and hashes.

use crate::record::digest;
use crate::{Entry, FORMAT, Record, field, what};
use shardlift_model::{ClusterId, Sha256, UnixMillis};
use std::fmt;
use std::str::FromStr;

/// The last record: what has to be kept elsewhere to notice that a tail was cut off or all was written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 before the first one.
    pub seq: u64,
    /// Its hash; zeros before the first one.
    pub hash: Sha256,
}

impl Head {
    /// Before the first record.
    pub const NONE: Self = Self { seq: 0, hash: Sha256([0; 32]) };
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex::encode(self.hash.0))
    }
}

/// Why a text is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not SEQ:HASH as `shardlift audit head` prints it")]
pub struct HeadError;

impl FromStr for Head {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Self, HeadError> {
        let (seq, hash) = text.trim().split_once(':').ok_or(HeadError)?;
        let seq = seq.parse().map_err(|_| HeadError)?;
        Ok(Self { seq, hash: digest(hash.as_bytes()).ok_or(HeadError)? })
    }
}

/// Gives entries their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    head: Head,
}

impl Chain {
    /// A chain that goes on after this record.
    #[must_use]
    pub const fn after(head: Head) -> Self {
        Self { head }
    }

    /// The last record.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// The next record and its line.
    pub fn push(&mut self, at: UnixMillis, entry: Entry) -> (Record, String) {
        let (record, line) = Record::sealed(self.head.seq + 1, at, entry, self.head.hash);
        self.head = Head { seq: record.seq, hash: record.hash };
        (record, line)
    }
}

impl Entry {
    /// What a segment begins with.
    #[must_use]
    pub fn segment(who: &str, cluster: &ClusterId) -> Self {
        let entry = Self::new(who, what::SEGMENT, cluster.as_str(), "done");
        entry.number(field::FORMAT, FORMAT).text(field::CLUSTER, cluster.as_str())
    }

    /// What a segment begins with when the one before is damaged.
    #[must_use]
    pub fn broken(who: &str, cluster: &ClusterId, why: &str) -> Self {
        Self { what: what::BROKEN.to_owned(), ..Self::segment(who, cluster) }.text(field::WHY, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_survives_its_text() {
        let head = Head { seq: 12, hash: Sha256([0xab; 32]) };
        assert_eq!(head.to_string().parse(), Ok(head));
        for text in ["", "12", "12:", "12:AB", &format!("x:{}", "ab".repeat(32)), &format!("1:{}", "AB".repeat(32))] {
            assert_eq!(text.parse::<Head>(), Err(HeadError), "{text}");
        }
    }
}
