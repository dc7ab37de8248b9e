//! What an answer must look like.

use super::request::{V1, V2};
use super::wire::{Response, Seen};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;

/// One property of an answer.
#[derive(Debug, Clone)]
pub(super) enum Check {
    /// Exactly these bytes.
    Body(Bytes),
    /// No bytes at all.
    NoBody,
    /// The header is there with exactly this value.
    Header(&'static str, String),
    /// The header is there and names this word.
    HeaderNames(&'static str, &'static str),
    /// A v2 listing of exactly these, in any order.
    Listed(BTreeMap<String, u64>),
    /// A v1 listing of exactly these, in any order.
    ListedByName(Vec<String>),
    /// A v2 listing that has this name with this size, whatever else.
    Lists(String, u64),
    /// A v2 listing without this name, in which every name is 64 lower-case hex digits.
    ListsOnlyObjectsAndNot(String),
}

/// The answers that are right.
#[derive(Debug, Clone)]
pub(super) struct Expect {
    pub(super) statuses: Vec<u16>,
    /// No answer at all is right as well: the connection or stream is ended instead.
    pub(super) or_closed: bool,
    pub(super) checks: Vec<Check>,
}

/// Exactly this status.
pub(super) fn is(status: u16) -> Expect {
    any_of(&[status])
}

/// One of these.
pub(super) fn any_of(statuses: &[u16]) -> Expect {
    Expect { statuses: statuses.to_vec(), or_closed: false, checks: Vec::new() }
}

/// Refused by the client's fault, whichever way the server puts it. Never 2xx, 3xx or 5xx.
pub(super) fn refused() -> Expect {
    any_of(&[400, 401, 403, 404, 405])
}

impl Expect {
    pub(super) fn or_closed(mut self) -> Self {
        self.or_closed = true;
        self
    }

    fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    pub(super) fn body(self, bytes: &Bytes) -> Self {
        self.check(Check::Body(bytes.clone()))
    }

    pub(super) fn no_body(self) -> Self {
        self.check(Check::NoBody)
    }

    pub(super) fn header(self, name: &'static str, value: impl Into<String>) -> Self {
        self.check(Check::Header(name, value.into()))
    }

    pub(super) fn header_names(self, name: &'static str, word: &'static str) -> Self {
        self.check(Check::HeaderNames(name, word))
    }

    pub(super) fn listed(self, objects: &[(&str, usize)]) -> Self {
        self.check(Check::Listed(objects.iter().map(|(name, size)| ((*name).to_owned(), *size as u64)).collect()))
    }

    pub(super) fn listed_by_name(self, names: &[&str]) -> Self {
        let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        names.sort();
        self.check(Check::ListedByName(names))
    }

    pub(super) fn lists(self, name: &str, size: usize) -> Self {
        self.check(Check::Lists(name.to_owned(), size as u64))
    }

    pub(super) fn lists_only_objects_and_not(self, name: &str) -> Self {
        self.check(Check::ListsOnlyObjectsAndNot(name.to_owned()))
    }

    /// Why `seen` is not right; `None` when it is.
    pub(super) fn objection(&self, seen: &Seen) -> Option<String> {
        match seen {
            Seen::Closed(_) if self.or_closed => None,
            Seen::Closed(reason) => Some(format!("no answer: {reason}")),
            Seen::Answer(answer) if !self.statuses.contains(&answer.status) => {
                Some(format!("status {}", answer.status))
            }
            Seen::Answer(answer) => self.checks.iter().find_map(|check| check.objection(answer)),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.statuses.iter().map(u16::to_string).collect();
        if self.or_closed {
            parts.push("closed".to_owned());
        }
        f.write_str(&parts.join("|"))?;
        f.write_str(&"+".repeat(self.checks.len()))
    }
}

fn is_object_name(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn listing(answer: &Response) -> Result<BTreeMap<String, u64>, String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        name: String,
        size: u64,
    }
    let kind = answer.header("content-type");
    if kind != Some(V2) {
        return Err(format!("content-type {kind:?}, not exactly v2"));
    }
    let entries: Vec<Entry> = serde_json::from_slice(&answer.body).map_err(|error| format!("v2 listing: {error}"))?;
    let count = entries.len();
    let map: BTreeMap<String, u64> = entries.into_iter().map(|entry| (entry.name, entry.size)).collect();
    if map.len() == count { Ok(map) } else { Err("a name is listed twice".to_owned()) }
}

fn differ<T: fmt::Debug + PartialEq>(what: &str, seen: &T, wanted: &T) -> Option<String> {
    (seen != wanted).then(|| format!("{what}: {seen:?} instead of {wanted:?}"))
}

impl Check {
    fn objection(&self, answer: &Response) -> Option<String> {
        match self {
            Self::Body(bytes) if answer.body != bytes => {
                Some(format!("other bytes: {} instead of {}", answer.body.len(), bytes.len()))
            }
            Self::NoBody if !answer.body.is_empty() => Some(format!("{} bytes of body", answer.body.len())),
            Self::Body(_) | Self::NoBody => None,
            Self::Header(name, value) => differ(name, &answer.header(name), &Some(value.as_str())),
            Self::HeaderNames(name, word) => {
                let value = answer.header(name).unwrap_or_default();
                let named = value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
                (!named).then(|| format!("{name} {value:?} does not name {word}"))
            }
            Self::Listed(wanted) => match listing(answer) {
                Ok(seen) => differ("listing", &seen, wanted),
                Err(reason) => Some(reason),
            },
            Self::ListedByName(wanted) => {
                if let Some(reason) = differ("content-type", &answer.header("content-type"), &Some(V1)) {
                    return Some(reason);
                }
                match serde_json::from_slice::<Vec<String>>(&answer.body) {
                    Ok(mut seen) => {
                        seen.sort();
                        differ("listing", &seen, wanted)
                    }
                    Err(error) => Some(format!("v1 listing: {error}")),
                }
            }
            Self::Lists(name, size) => match listing(answer) {
                Ok(seen) => differ(name, &seen.get(name), &Some(size)),
                Err(reason) => Some(reason),
            },
            Self::ListsOnlyObjectsAndNot(name) => match listing(answer) {
                Ok(seen) if seen.contains_key(name) => Some(format!("{name} is listed")),
                Ok(seen) => seen.into_keys().find(|name| !is_object_name(name)).map(|name| format!("{name} is listed")),
                Err(reason) => Some(reason),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Seen {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Seen::Answer(Response { status, headers, body: Bytes::from(body.to_owned()) })
    }

    #[test]
    fn a_right_answer_is_accepted() {
        let name = "a".repeat(64);
        let body = format!(r#"[{{"name":"{name}","size":3}}]"#);
        let list = answer(200, &[("content-type", V2)], &body);
        assert_eq!(is(200).listed(&[(&name, 3)]).objection(&list), None);
        assert_eq!(is(200).lists(&name, 3).objection(&list), None);
        assert_eq!(is(200).lists_only_objects_and_not("x").objection(&list), None);
        let names = answer(200, &[("content-type", V1)], r#"["b","a"]"#);
        assert_eq!(is(200).listed_by_name(&["a", "b"]).objection(&names), None);
        let allow = answer(405, &[("allow", "GET, post")], "");
        assert_eq!(is(405).header_names("allow", "POST").no_body().objection(&allow), None);
        assert_eq!(is(400).or_closed().objection(&Seen::Closed("reset".to_owned())), None);
    }

    #[test]
    fn every_wrong_answer_is_objected_to() {
        let name = "a".repeat(64);
        let one = format!(r#"[{{"name":"{name}","size":3}}]"#);
        let twice = format!(r#"[{{"name":"{name}","size":3}},{{"name":"{name}","size":3}}]"#);
        let v2 = [("content-type", V2)];
        let temp = r#"[{"name":"aa.temp1","size":1}]"#;
        for (expect, seen) in [
            (is(200), answer(201, &[], "")),
            (is(200), Seen::Closed("reset".to_owned())),
            (refused(), answer(200, &[], "")),
            (refused(), answer(500, &[], "")),
            (is(200).body(&Bytes::from("abc")), answer(200, &[], "abd")),
            (is(200).no_body(), answer(200, &[], "x")),
            (is(200).header("content-length", "3"), answer(200, &[], "abc")),
            (is(405).header_names("allow", "POST"), answer(405, &[("allow", "GET")], "")),
            (is(200).listed(&[]), answer(200, &v2, "null")),
            (is(200).listed(&[]), answer(200, &[("content-type", "application/json")], "[]")),
            (is(200).listed(&[]), answer(200, &v2, &one)),
            (is(200).listed(&[(&name, 4)]), answer(200, &v2, &one)),
            (is(200).listed(&[(&name, 3)]), answer(200, &v2, &twice)),
            (is(200).lists(&name, 3), answer(200, &v2, "[]")),
            (is(200).lists_only_objects_and_not(&name), answer(200, &v2, &one)),
            (is(200).lists_only_objects_and_not("x"), answer(200, &v2, temp)),
            (is(200).listed_by_name(&["a"]), answer(200, &v2, r#"["a"]"#)),
            (is(200).listed_by_name(&["a"]), answer(200, &[("content-type", V1)], r#"["b"]"#)),
        ] {
            assert!(expect.objection(&seen).is_some(), "{expect} accepted {seen:?}");
        }
    }
}
