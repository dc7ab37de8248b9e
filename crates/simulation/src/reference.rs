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
    /// A storing was asked for.
    pub fn asked_to_store(&mut self, kind: &'static str, name: &str, bytes: Bytes, acknowledged: bool) {
        let known = if acknowledged { Known::Stored } else { Known::Open };
        self.objects.insert(name.to_owned(), Object { kind, bytes, known });
    }

    /// A deletion was asked for.
    pub fn asked_to_delete(&mut self, name: &str, acknowledged: bool) {
        if let Some(object) = self.objects.get_mut(name) {
            // An earlier request that was not answered may still be on its way, whatever this answer says.
            object.known = match (object.known, acknowledged) {
                (Known::Stored, true) => Known::Deleted,
                (Known::Stored | Known::Open, _) => Known::Open,
                (Known::Deleted, _) => Known::Deleted,
            };
        }
    }

    /// An object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Object> {
        self.objects.get(name)
    }

    /// All objects, by name.
    pub fn all(&self) -> impl Iterator<Item = (&String, &Object)> {
        self.objects.iter()
    }

    /// Names of objects of a kind that are known to be stored.
    #[must_use]
    pub fn stored(&self, kind: &str) -> Vec<String> {
        let is = |object: &Object| object.kind == kind && object.known == Known::Stored;
        self.objects.iter().filter(|(_, object)| is(object)).map(|(name, _)| name.clone()).collect()
    }

    /// What is wrong with an object that was found (`Some`) or not (`None`).
    #[must_use]
    pub fn judge(&self, name: &str, found: Option<&[u8]>) -> Option<String> {
        let short = &name[..name.len().min(8)];
        let Some(object) = self.objects.get(name) else {
            return found.map(|_| format!("{short} is found, and was never stored here"));
        };
        match (object.known, found) {
            (Known::Stored, None) => Some(format!("{} {short} was acknowledged and is gone", object.kind)),
            (Known::Deleted, Some(_)) => Some(format!("{} {short} was deleted and is back", object.kind)),
            (_, Some(bytes)) if bytes != object.bytes => Some(format!("{} {short} has other bytes", object.kind)),
            _ => None,
        }
    }

    /// What is wrong with a listing of a kind.
    #[must_use]
    pub fn judge_listing(&self, kind: &str, listed: &BTreeMap<String, u64>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, object) in self.objects.iter().filter(|(_, object)| object.kind == kind) {
            let short = &name[..name.len().min(8)];
            match (object.known, listed.get(name)) {
                (Known::Stored, None) => wrong.push(format!("{kind} {short} was acknowledged and is not listed")),
                (Known::Deleted, Some(_)) => wrong.push(format!("{kind} {short} was deleted and is listed")),
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

    #[test]
    fn what_was_told_decides_what_may_be_found() {
        let mut reference = Reference::default();
        for (name, acknowledged) in [("stored", true), ("deleted", true), ("open", false)] {
            reference.asked_to_store("data", name, Bytes::from_static(b"x"), acknowledged);
        }
        reference.asked_to_delete("deleted", true);
        reference.asked_to_delete("open", true);
        for (name, there, gone) in [("stored", true, false), ("deleted", false, true), ("open", true, true)] {
            assert_eq!(reference.judge(name, Some(b"x")).is_none(), there, "{name}");
            assert_eq!(reference.judge(name, None).is_none(), gone, "{name}");
            assert!(reference.judge(name, Some(b"y")).is_some(), "{name}");
        }
        assert!(reference.judge("strange", Some(b"x")).is_some());
        assert_eq!(reference.count(), (1, 1, 1));
    }

    #[test]
    fn a_listing_is_judged_by_the_same_rules() {
        let mut reference = Reference::default();
        reference.asked_to_store("data", "stored", Bytes::from_static(b"x"), true);
        reference.asked_to_store("locks", "lock", Bytes::from_static(b"x"), true);
        assert!(reference.judge_listing("data", &listing(&["stored"])).is_empty());
        assert_eq!(reference.judge_listing("data", &listing(&[])).len(), 1);
        assert_eq!(reference.judge_listing("data", &listing(&["stored", "lock"])).len(), 1);
        reference.asked_to_delete("stored", true);
        assert_eq!(reference.judge_listing("data", &listing(&["stored"])).len(), 1);
        let short = BTreeMap::from([("lock".to_owned(), 2)]);
        assert_eq!(reference.judge_listing("locks", &short).len(), 1);
    }
}
