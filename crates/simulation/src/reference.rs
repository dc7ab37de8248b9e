//! The reference model: what one client was told about each of its objects, and what may therefore be found.

use bytes::Bytes;
use std::collections::BTreeMap;

/// What the client knows of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Its storing was acknowledged, and no deletion was asked for since.
    Stored,
    /// Its deletion was acknowledged.
    Deleted,
    /// A storing or a deletion was asked for and not answered: both may be found, now and later.
    Open,
}

/// Where an object is and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its kind, as in paths.
    pub kind: &'static str,
    /// Its bytes.
    pub bytes: Bytes,
    /// What the client knows.
    pub known: Known,
}

/// All objects of one client, by name.
#[derive(Debug, Clone, Default)]
pub struct Reference {
    objects: BTreeMap<String, Object>,
}

impl Reference {
    /// A storing is asked for: from now on it may be found.
    pub fn asks_to_store(&mut self, kind: &'static str, name: &str, bytes: Bytes) {
        self.objects.insert(name.to_owned(), Object { kind, bytes, known: Known::Open });
    }

    /// A storing was acknowledged.
    pub fn stored(&mut self, name: &str) {
        self.answered(name, Known::Stored);
    }

    /// A deletion is asked for: from now on it may be gone. False when that makes no sense, as it may be gone already.
    pub fn asks_to_delete(&mut self, name: &str) -> bool {
        let Some(object) = self.objects.get_mut(name).filter(|object| object.known == Known::Stored) else {
            return false;
        };
        object.known = Known::Open;
        true
    }

    /// A deletion was acknowledged.
    pub fn deleted(&mut self, name: &str) {
        self.answered(name, Known::Deleted);
    }

    fn answered(&mut self, name: &str, known: Known) {
        if let Some(object) = self.objects.get_mut(name) {
            object.known = known;
        }
    }

    /// An object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Object> {
        self.objects.get(name)
    }

    /// Names of objects of a kind of which this is known.
    #[must_use]
    pub fn known_as(&self, kind: &str, known: Known) -> Vec<String> {
        let is = |object: &Object| object.kind == kind && object.known == known;
        self.objects.iter().filter(|(_, object)| is(object)).map(|(name, _)| name.clone()).collect()
    }

    /// Of some objects nothing is known for sure: what was told of them was given up.
    pub fn doubt(&mut self, is_doubtful: impl Fn(&str) -> bool) {
        for (_, object) in self.objects.iter_mut().filter(|(name, _)| is_doubtful(name)) {
            object.known = Known::Open;
        }
    }

    /// What is wrong with an object that was found (`Some`) or not (`None`). What was known when it was asked for counts as
    /// long as it is still known: meanwhile others may have been at work.
    #[must_use]
    pub fn judge(&self, before: Option<Known>, name: &str, found: Option<&[u8]>) -> Option<String> {
        let short = &name[..name.len().min(8)];
        let Some(object) = self.objects.get(name) else {
            return found.map(|_| format!("{short} is found, and was never stored here"));
        };
        let known = if before == Some(object.known) { object.known } else { Known::Open };
        match (known, found) {
            (Known::Stored, None) => Some(format!("{} {short} was acknowledged and is gone", object.kind)),
            (Known::Deleted, Some(_)) => Some(format!("{} {short} was deleted and is back", object.kind)),
            (_, Some(bytes)) if bytes != object.bytes => Some(format!("{} {short} has other bytes", object.kind)),
            _ => None,
        }
    }

    /// What is wrong with a listing of a kind, by the same rule.
    #[must_use]
    pub fn judge_listing(&self, before: &Self, kind: &str, listed: &BTreeMap<String, u64>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, object) in self.objects.iter().filter(|(_, object)| object.kind == kind) {
            let short = &name[..name.len().min(8)];
            let still = before.get(name).is_some_and(|before| before.known == object.known);
            match (object.known, listed.get(name)) {
                (Known::Stored, None) if still => {
                    wrong.push(format!("{kind} {short} was acknowledged and is not listed"));
                }
                (Known::Deleted, Some(_)) if still => wrong.push(format!("{kind} {short} was deleted and is listed")),
                (_, Some(size)) if *size != object.bytes.len() as u64 => {
                    wrong.push(format!("{kind} {short} is listed with {size} bytes"));
                }
                _ => {}
            }
        }
        let strange = listed.keys().filter(|name| self.objects.get(*name).is_none_or(|object| object.kind != kind));
        wrong.extend(strange.map(|name| format!("{kind} {name} is listed, and was never stored here")));
        wrong
    }

    /// Objects stored, deleted, open.
    #[must_use]
    pub fn count(&self) -> (usize, usize, usize) {
        let count = |known| self.objects.values().filter(|object| object.known == known).count();
        (count(Known::Stored), count(Known::Deleted), count(Known::Open))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(names: &[&str]) -> BTreeMap<String, u64> {
        names.iter().map(|name| ((*name).to_owned(), 1)).collect()
    }

    fn told() -> Reference {
        let mut reference = Reference::default();
        for name in ["stored", "deleted", "open"] {
            reference.asks_to_store("data", name, Bytes::from_static(b"x"));
        }
        reference.stored("stored");
        reference.stored("deleted");
        assert!(reference.asks_to_delete("deleted") && !reference.asks_to_delete("deleted"));
        reference.deleted("deleted");
        reference
    }

    #[test]
    fn what_was_told_decides_what_may_be_found() {
        let reference = told();
        for (name, there, gone) in [("stored", true, false), ("deleted", false, true), ("open", true, true)] {
            let before = reference.get(name).map(|object| object.known);
            assert_eq!(reference.judge(before, name, Some(b"x")).is_none(), there, "{name}");
            assert_eq!(reference.judge(before, name, None).is_none(), gone, "{name}");
            assert!(reference.judge(before, name, Some(b"y")).is_some(), "{name}");
            // Known only since the question was asked.
            let open = Some(Known::Open);
            assert!(reference.judge(open, name, Some(b"x")).is_none() && reference.judge(open, name, None).is_none());
        }
        assert!(reference.judge(None, "strange", Some(b"x")).is_some());
        assert_eq!(reference.count(), (1, 1, 1));
    }

    #[test]
    fn a_listing_is_judged_by_the_same_rules() {
        let (reference, nothing) = (told(), Reference::default());
        for (listed, wrong) in
            [(vec!["stored"], 0), (vec![], 1), (vec!["stored", "deleted"], 1), (vec!["stored", "x"], 1)]
        {
            assert_eq!(reference.judge_listing(&reference, "data", &listing(&listed)).len(), wrong, "{listed:?}");
        }
        assert!(reference.judge_listing(&nothing, "data", &listing(&["deleted"])).is_empty());
        assert_eq!(reference.judge_listing(&reference, "locks", &listing(&["stored"])).len(), 1, "another kind");
        let mut before = reference.clone();
        before.doubt(|name| name == "stored");
        assert!(reference.judge_listing(&before, "data", &listing(&[])).is_empty(), "given up");
        let short = BTreeMap::from([("stored".to_owned(), 2)]);
        assert_eq!(reference.judge_listing(&reference, "data", &short).len(), 1);
    }
}
