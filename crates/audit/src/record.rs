//! One record: what it says, and the one line of JSON in which it is written.

use crate::{LINE_BYTES_MAX, parse_instant, write_instant};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256 as Hasher};
use shardlift_model::{Sha256, UnixMillis};
use std::collections::BTreeMap;

/// Most bytes of who and of what it is about.
const TEXT_BYTES_MAX: usize = 512;

/// Most bytes of the envelope of a checkpoint.
const ENVELOPE_BYTES_MAX: usize = 24 * 1024;

/// Most bytes of a name in a list, and most names: a list of them fits into a line.
const NAME_BYTES_MAX: usize = 256;

/// Most names in a list. Longer lists are spread over several records.
const NAMES_MAX: usize = 100;

/// Most fields of a record.
const FIELDS_MAX: usize = 8;

/// What the line of a record ends with: the hash of all that stands before.
const HASH: &str = ",\"hash\":\"";
const END: &str = "\"}";
const DIGITS: usize = 64;

/// A value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
    /// Names.
    Names(Vec<String>),
}

/// The fields of a record, in the order of their names.
pub type Fields = BTreeMap<String, Value>;

/// What somebody did or tried. All text is cleaned and cut on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who: an identity, or an address.
    pub who: String,
    /// What was done or tried.
    pub what: String,
    /// To what.
    pub subject: String,
    /// `done`, or the code of the refusal.
    pub outcome: String,
    /// The rest, in fields that can be looked for.
    pub fields: Fields,
}

impl Entry {
    /// An entry without fields.
    #[must_use]
    pub fn new(who: &str, what: &'static str, subject: &str, outcome: &str) -> Self {
        Self {
            who: clean(who, TEXT_BYTES_MAX),
            what: what.to_owned(),
            subject: clean(subject, TEXT_BYTES_MAX),
            outcome: clean(outcome, TEXT_BYTES_MAX),
            fields: Fields::new(),
        }
    }

    /// The same with a text.
    #[must_use]
    pub fn text(self, field: &'static str, text: &str) -> Self {
        self.with(field, Value::Text(clean(text, TEXT_BYTES_MAX)))
    }

    /// The same with the envelope of a checkpoint.
    pub(crate) fn envelope(self, envelope: &str) -> Self {
        self.with(crate::field::ENVELOPE, Value::Text(clean(envelope, ENVELOPE_BYTES_MAX)))
    }

    /// The same with a number.
    #[must_use]
    pub fn number(self, field: &'static str, number: u64) -> Self {
        self.with(field, Value::Number(number))
    }

    /// The same with names: several entries, when they do not fit into one, each with `count` of all.
    #[must_use]
    pub fn names(self, field: &'static str, names: &[String]) -> Vec<Self> {
        if names.is_empty() {
            return vec![self];
        }
        let page = |names: &[String]| {
            let cut = names.iter().map(|name| clean(name, NAME_BYTES_MAX)).collect();
            self.clone().with(field, Value::Names(cut))
        };
        let all = names.len() as u64;
        names.chunks(NAMES_MAX).map(|names| page(names).number(crate::field::COUNT, all)).collect()
    }

    fn with(mut self, field: &'static str, value: Value) -> Self {
        if self.fields.len() < FIELDS_MAX {
            self.fields.insert(field.to_owned(), value);
        }
        self
    }
}

/// Text of at most so many bytes that cannot steer a terminal; what was cut off is marked.
#[must_use]
pub fn clean(text: &str, bytes_max: usize) -> String {
    const CUT: char = '…';
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut cleaned = String::new();
    for c in text.chars() {
        let c = match c {
            '\n' => ' ',
            c if steers(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        };
        if cleaned.len() + c.len_utf8() > bytes_max {
            while cleaned.len() + CUT.len_utf8() > bytes_max && cleaned.pop().is_some() {}
            cleaned.push(CUT);
            return cleaned;
        }
        cleaned.push(c);
    }
    cleaned
}

/// A record as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number: 1, 2, 3 ...
    pub seq: u64,
    /// When, by the writer's clock.
    pub at: UnixMillis,
    /// What it says.
    pub entry: Entry,
    /// The hash of the record before; zeros before the first one.
    pub previous: Sha256,
    /// Its own hash.
    pub hash: Sha256,
}

/// The line without its hash; the order of the fields is that of the line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    seq: u64,
    at: String,
    who: String,
    what: String,
    subject: String,
    outcome: String,
    fields: Fields,
    previous: String,
}

/// Why a line is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotARecord {
    /// Longer than any that is written.
    #[error("it is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// It does not end with a hash.
    #[error("it does not end with a hash")]
    NoHash,
    /// Its bytes are not those that were hashed.
    #[error("its bytes do not match its hash")]
    Hash {
        /// The hash that it ends with.
        stated: Sha256,
        /// The hash of its bytes.
        computed: Sha256,
    },
    /// The hash is right, but it is not the JSON of a record, or in another spelling.
    #[error("it is not written as a record is")]
    Form,
}

impl Record {
    /// The record with its hash.
    #[must_use]
    pub(crate) fn sealed(seq: u64, at: UnixMillis, entry: Entry, previous: Sha256) -> (Self, String) {
        let body = Body {
            seq,
            at: write_instant(at),
            who: entry.who.clone(),
            what: entry.what.clone(),
            subject: entry.subject.clone(),
            outcome: entry.outcome.clone(),
            fields: entry.fields.clone(),
            previous: hex::encode(previous.0),
        };
        let hashed = body.hashed();
        let hash = hash(hashed.as_bytes());
        let line = format!("{hashed}{HASH}{}{END}\n", hex::encode(hash.0));
        (Self { seq, at, entry, previous, hash }, line)
    }

    /// Reads a line, its end taken off.
    ///
    /// # Errors
    /// [`NotARecord`]: nothing in it is believed.
    pub fn read(line: &[u8]) -> Result<Self, NotARecord> {
        if line.len() >= LINE_BYTES_MAX {
            return Err(NotARecord::TooLong);
        }
        let (hashed, stated) = split(line).ok_or(NotARecord::NoHash)?;
        let computed = hash(hashed);
        if stated != computed {
            return Err(NotARecord::Hash { stated, computed });
        }
        let body: Body = serde_json::from_slice(&[hashed, b"}"].concat()).map_err(|_| NotARecord::Form)?;
        if body.hashed().as_bytes() != hashed {
            return Err(NotARecord::Form);
        }
        let at = parse_instant(&body.at).ok_or(NotARecord::Form)?;
        let previous = digest(body.previous.as_bytes()).ok_or(NotARecord::Form)?;
        let Body { seq, who, what, subject, outcome, fields, .. } = body;
        Ok(Self { seq, at, entry: Entry { who, what, subject, outcome, fields }, previous, hash: computed })
    }

    /// A field that is a text.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        match self.entry.fields.get(field) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// True when one of these fields names this, alone or among others.
    #[must_use]
    pub fn is_about(&self, fields: &[&str], name: &str) -> bool {
        fields.iter().filter_map(|field| self.entry.fields.get(*field)).any(|value| match value {
            Value::Text(text) => text == name,
            Value::Names(names) => names.iter().any(|one| one == name),
            Value::Number(_) => false,
        })
    }
}

impl Body {
    /// What is hashed: the line up to its hash. Text, numbers and maps with text for keys are always written.
    fn hashed(&self) -> String {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.pop();
        text
    }
}

fn split(line: &[u8]) -> Option<(&[u8], Sha256)> {
    let (hashed, rest) = line.split_at_checked(line.len().checked_sub(HASH.len() + DIGITS + END.len())?)?;
    let digits = rest.strip_prefix(HASH.as_bytes())?.strip_suffix(END.as_bytes())?;
    Some((hashed, digest(digits)?))
}

/// 64 lower-case digits.
pub(crate) fn digest(digits: &[u8]) -> Option<Sha256> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    (hex::encode(bytes).as_bytes() == digits).then_some(Sha256(bytes))
}

fn hash(bytes: &[u8]) -> Sha256 {
    Sha256(Hasher::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_a_character_and_steers_nothing() {
        assert_eq!(clean("a\u{1b}[2J\u{9b}b\nc\u{202e}d", 100), "a\u{fffd}[2J\u{fffd}b c\u{fffd}d");
        assert_eq!(clean("ääääää", 8), "ää…");
        assert_eq!(clean("abc", 3), "abc");
        assert!(clean(&"x".repeat(10_000), TEXT_BYTES_MAX).len() <= TEXT_BYTES_MAX);
    }

    #[test]
    fn the_longest_list_fits_into_a_line_and_longer_ones_are_spread() {
        // A quote takes two bytes in JSON.
        let names: Vec<String> = (0..950).map(|n| format!("{n}{}", "\"".repeat(300))).collect();
        let entry = Entry::new(&"\"".repeat(600), "revoke", &"\"".repeat(600), "done");
        let entries = entry.names(crate::field::SERIALS, &names);
        assert_eq!(entries.len(), 10);
        for mut entry in entries {
            entry = ["a", "b", "c", "d", "e", "f"]
                .into_iter()
                .fold(entry, |entry, name| entry.text(name, &"\"".repeat(600)));
            let (record, line) = Record::sealed(u64::MAX, UnixMillis(0), entry, Sha256([0; 32]));
            assert!(line.len() <= LINE_BYTES_MAX, "{}", line.len());
            assert_eq!(record.entry.fields[crate::field::COUNT], Value::Number(950));
        }
    }

    #[test]
    fn a_record_survives_its_line() {
        let entry = Entry::new("operator alice", "issue", "shard \"b\"", "done").text("serial", "ab").number("n", 7);
        let (record, line) = Record::sealed(3, UnixMillis(1), entry, Sha256([7; 32]));
        assert_eq!(Record::read(line.trim_end().as_bytes()), Ok(record.clone()));
        assert!(record.is_about(&["node", "serial"], "ab") && !record.is_about(&["node"], "ab"));
        let expected = r#"{"seq":3,"at":"1970-01-01T00:00:00.001Z","who":"operator alice","what":"issue","subject":"shard \"b\"","outcome":"done","fields":{"n":7,"serial":"ab"},"previous":"0707"#;
        assert!(line.starts_with(expected), "{line}");
    }
}
