//! An event as a record of the store: a version byte, then JSON of the event and when it was recorded.
//!
//! A record of a version that this program does not know, or that does not read, is refused: the journal is the truth,
//! so nothing of it is skipped.

use serde::{Deserialize, Serialize};
use shardlift_migration::Event;
use shardlift_model::UnixMillis;

/// Format of the records written by this program.
const VERSION: u8 = 1;

/// A recorded event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// When it was recorded.
    pub(crate) at: UnixMillis,
    /// What happened.
    pub(crate) event: Event,
}

/// Why a record is no event.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Nothing in it.
    #[error("the record is empty")]
    Empty,
    /// Written by a program that knows more than this one.
    #[error("the record has format version {0}, this program knows version {VERSION}")]
    Version(u8),
    /// Not the JSON of an event.
    #[error("the record is no event")]
    Json(#[source] serde_json::Error),
}

impl Entry {
    /// The record.
    pub(crate) fn to_record(&self) -> Result<Vec<u8>, EntryError> {
        let mut record = vec![VERSION];
        serde_json::to_writer(&mut record, self).map_err(EntryError::Json)?;
        Ok(record)
    }

    /// The event of a record.
    pub(crate) fn from_record(record: &[u8]) -> Result<Self, EntryError> {
        match record.split_first() {
            None => Err(EntryError::Empty),
            Some((&VERSION, json)) => serde_json::from_slice(json).map_err(EntryError::Json),
            Some((&version, _)) => Err(EntryError::Version(version)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_migration::world::EnrolmentGrant;
    use shardlift_model::{Sha256, Step};

    #[test]
    fn an_event_survives_its_record() {
        let node: shardlift_model::NodeId = "acme/web-1".parse().unwrap();
        let events = [
            Event::StageEntered {
                node: node.clone(),
                stage: shardlift_migration::Stage::Fencing,
                step: Step(u64::MAX),
                at: UnixMillis(5),
            },
            Event::EnrolmentGranted {
                token: Sha256([7; 32]),
                grant: EnrolmentGrant { node, expires_at: UnixMillis(9), used_for: Some(Sha256([1; 32])) },
            },
        ];
        for event in events {
            let entry = Entry { at: UnixMillis(1), event };
            assert_eq!(Entry::from_record(&entry.to_record().unwrap()).unwrap(), entry);
        }
    }

    #[test]
    fn what_is_no_record_of_this_version_is_refused() {
        assert!(matches!(Entry::from_record(&[]), Err(EntryError::Empty)));
        assert!(matches!(Entry::from_record(b"\x02{}"), Err(EntryError::Version(2))));
        assert!(matches!(Entry::from_record(b"\x01{}"), Err(EntryError::Json(_))));
        assert!(Entry::from_record(b"\x01{\"at\":1,\"event\":{\"event\":\"invented\"}}").is_err());
    }
}
