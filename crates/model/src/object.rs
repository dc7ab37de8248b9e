//! The objects of a restic repository, as a server sees them.

use crate::name::NameError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A SHA-256 hash; as text, 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(NameError::NotAnObjectName);
        }
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| NameError::NotAnObjectName)?;
        Ok(Self(hash))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What an object is. The order is that in which a client writes them, locks apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum ObjectKind {
    /// The one file that makes a folder a repository.
    Config = 1,
    /// Encrypted master keys.
    Keys = 2,
    /// Packs.
    Data = 3,
    /// Which pack holds which blob.
    Index = 4,
    /// Written last: a finished backup.
    Snapshots = 5,
    /// A client at work.
    Locks = 6,
}

impl ObjectKind {
    /// All kinds, in order.
    pub const ALL: [Self; 6] = [Self::Config, Self::Keys, Self::Data, Self::Index, Self::Snapshots, Self::Locks];

    /// The word in URLs and on disk.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Keys => "keys",
            Self::Data => "data",
            Self::Index => "index",
            Self::Snapshots => "snapshots",
            Self::Locks => "locks",
        }
    }

    /// The kind with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The kind with this number, as used in index keys and digests.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which object of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectKey {
    /// The config object.
    Config,
    /// Any other; its name is the hash of its bytes. The kind is never [`ObjectKind::Config`].
    Named(ObjectKind, Sha256),
}

impl ObjectKey {
    /// Checks kind and name together.
    ///
    /// # Errors
    /// [`NameError::NotAnObjectName`] when the name does not fit the kind.
    pub fn new(kind: ObjectKind, name: &str) -> Result<Self, NameError> {
        match kind {
            ObjectKind::Config if name == "config" => Ok(Self::Config),
            ObjectKind::Config => Err(NameError::NotAnObjectName),
            _ => Ok(Self::Named(kind, name.parse()?)),
        }
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> ObjectKind {
        match self {
            Self::Config => ObjectKind::Config,
            Self::Named(kind, _) => *kind,
        }
    }

    /// Its name: 64 hex digits, or `config`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Config => "config".to_owned(),
            Self::Named(_, hash) => hash.to_string(),
        }
    }

    /// The hash its bytes must have; `None` for config, whose name says nothing.
    #[must_use]
    pub const fn expected_sha256(&self) -> Option<Sha256> {
        match self {
            Self::Config => None,
            Self::Named(_, hash) => Some(*hash),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config => f.write_str("config"),
            Self::Named(kind, hash) => write!(f, "{kind}/{hash}"),
        }
    }
}

/// An object that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Which one.
    pub key: ObjectKey,
    /// Length in bytes.
    pub size: u64,
    /// Hash of the bytes as they are stored.
    pub sha256: Sha256,
}

impl ObjectRecord {
    /// True when the bytes are not what the name promises.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.key.expected_sha256().is_some_and(|expected| expected != self.sha256)
    }
}
