//! Whether bytes that arrived are the object that was asked for. Pure.
//!
//! The reference is the record of the source's index; what decides is the hash of the bytes as they arrived here. An
//! object is good only when the two agree and, for all but the config, agree with the object's name.

use shardlift_model::{ObjectRecord, Sha256};

/// One transfer of one object, complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Bytes that arrived.
    pub(crate) size: u64,
    /// Their hash, computed here.
    pub(crate) found: Sha256,
    /// What the source's index says.
    pub(crate) record: ObjectRecord,
    /// The hash that the source computed while it read, if it said so.
    pub(crate) source_read: Option<Sha256>,
}

/// What to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Keep it.
    Good,
    /// It may have been the way: ask once more.
    FetchAgain,
    /// The source holds these bytes and they are not what the name or its own record promises.
    DamagedAtSource,
    /// The bytes change between source and here.
    Corrupted,
    /// The source reads other bytes each time.
    Unreadable,
}

impl Reading {
    fn matches_record(&self) -> bool {
        self.size == self.record.size && self.found == self.record.sha256
    }
}

/// Judges the latest reading in the light of the one before.
pub(crate) fn judge(latest: &Reading, earlier: Option<&Reading>) -> Verdict {
    if latest.matches_record() {
        return if latest.record.is_damaged() { Verdict::DamagedAtSource } else { Verdict::Good };
    }
    let Some(earlier) = earlier else { return Verdict::FetchAgain };
    if latest.found == earlier.found && latest.size == earlier.size {
        return Verdict::DamagedAtSource;
    }
    if latest.source_read == Some(latest.found) { Verdict::Unreadable } else { Verdict::Corrupted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_model::{ObjectKey, ObjectKind};

    fn reading(found: u8, record: u8, source_read: u8) -> Reading {
        let key = ObjectKey::Named(ObjectKind::Data, Sha256([1; 32]));
        Reading {
            size: 10,
            found: Sha256([found; 32]),
            record: ObjectRecord { key, size: 10, sha256: Sha256([record; 32]) },
            source_read: Some(Sha256([source_read; 32])),
        }
    }

    #[test]
    fn only_bytes_that_match_record_and_name_are_good() {
        // The name promises hash 1. Columns: found here, in the source's record, read by the source.
        let cases = [
            (reading(1, 1, 1), None, Verdict::Good),
            (reading(2, 1, 2), None, Verdict::FetchAgain),
            (reading(2, 2, 2), None, Verdict::DamagedAtSource),
            (reading(2, 1, 2), Some(reading(2, 1, 2)), Verdict::DamagedAtSource),
            (reading(2, 1, 1), Some(reading(2, 1, 1)), Verdict::DamagedAtSource),
            (reading(1, 1, 1), Some(reading(2, 1, 1)), Verdict::Good),
            (reading(3, 1, 1), Some(reading(2, 1, 1)), Verdict::Corrupted),
            (reading(3, 1, 3), Some(reading(2, 1, 2)), Verdict::Unreadable),
            (reading(1, 2, 1), None, Verdict::FetchAgain),
        ];
        for (latest, earlier, expected) in cases {
            assert_eq!(judge(&latest, earlier.as_ref()), expected, "{latest:?} after {earlier:?}");
        }
    }

    #[test]
    fn a_wrong_length_is_never_good() {
        let mut short = reading(1, 1, 1);
        short.size = 9;
        assert_eq!(judge(&short, None), Verdict::FetchAgain);
        assert_eq!(judge(&short, Some(&short)), Verdict::DamagedAtSource);
    }
}
