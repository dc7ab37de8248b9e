//! What became of the objects that were asked for, and what an operator reads when some did not arrive.

use super::error::PullError;
use super::fetching::Head;
use shardlift_model::ObjectKey;
use std::collections::BTreeSet;

/// Most objects that a message names.
const NAMED_MAX: usize = 5;

/// Objects that did not arrive, by reason.
#[derive(Debug, Default)]
pub(crate) struct Harvest {
    /// Deleted at the source since; its journal must say so.
    pub(crate) absent: BTreeSet<ObjectKey>,
    /// Journaled at the source but not on its disk.
    pub(crate) missing: BTreeSet<ObjectKey>,
    /// Not what their name or record promises, and not accepted as such.
    pub(crate) damaged: BTreeSet<ObjectKey>,
    /// Read differently each time.
    pub(crate) unreadable: BTreeSet<ObjectKey>,
    /// Damaged, and kept as they are by the operator's leave.
    pub(crate) accepted: BTreeSet<ObjectKey>,
}

impl Harvest {
    pub(crate) fn merge(&mut self, other: Self) {
        self.absent.extend(other.absent);
        self.missing.extend(other.missing);
        self.damaged.extend(other.damaged);
        self.unreadable.extend(other.unreadable);
        self.accepted.extend(other.accepted);
    }

    /// An object that ended without its bytes.
    pub(crate) fn ended(&mut self, key: ObjectKey, head: Head) {
        match head {
            Head::Missing => self.missing.insert(key),
            Head::Absent | Head::Here(_) => self.absent.insert(key),
        };
    }

    /// Objects that only an operator can help with are a failure; objects deleted meanwhile are not.
    pub(crate) fn absent_unless_failed(self) -> Result<BTreeSet<ObjectKey>, PullError> {
        let reasons = [
            (&self.missing, "missing at the source: journaled there but not on its disk"),
            (&self.unreadable, "unreadable at the source: each read gives other bytes"),
            (&self.damaged, "damaged at the source: the bytes are not what their name promises; see --accept-damaged"),
        ];
        let texts: Vec<String> = reasons
            .into_iter()
            .filter(|(keys, _)| !keys.is_empty())
            .map(|(keys, reason)| format!("{} object(s) {reason}: {}", keys.len(), named(keys.iter())))
            .collect();
        if texts.is_empty() { Ok(self.absent) } else { Err(PullError::Failed(texts.join("; "))) }
    }
}

/// The first few of a list of objects.
pub(crate) fn named<'a>(keys: impl Iterator<Item = &'a ObjectKey>) -> String {
    let mut names: Vec<String> = keys.take(NAMED_MAX + 1).map(ToString::to_string).collect();
    if names.len() > NAMED_MAX {
        names.truncate(NAMED_MAX);
        names.push("...".to_owned());
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_deleted_meanwhile_are_no_failure() {
        let one = || BTreeSet::from([ObjectKey::Config]);
        let absent = Harvest { absent: one(), ..Harvest::default() };
        assert_eq!(absent.absent_unless_failed().unwrap(), one());
        for bad in [
            Harvest { missing: one(), ..Harvest::default() },
            Harvest { damaged: one(), ..Harvest::default() },
            Harvest { unreadable: one(), ..Harvest::default() },
        ] {
            let error = bad.absent_unless_failed().unwrap_err();
            assert!(matches!(&error, PullError::Failed(text) if text.contains("config")), "{error}");
        }
    }
}
