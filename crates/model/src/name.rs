//! Names, checked once, on their canonical form.
//!
//! A name that parses is safe as a path component of its kind, in a log line and in a certificate.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest name of a node, customer or part, in bytes.
pub const NAME_BYTES_MAX: usize = 200;

/// Longest component of a node's name, in bytes; well under what file systems allow, temp suffixes included.
pub const COMPONENT_BYTES_MAX: usize = 100;

/// Path words that the protocol itself uses: no component of a node's name may be one of them.
pub const RESERVED: [&str; 6] = ["config", "data", "index", "keys", "locks", "snapshots"];

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("the name is empty")]
    Empty,
    /// Over the limit.
    #[error("the name is longer than {0} bytes")]
    TooLong(usize),
    /// A character that is not allowed.
    #[error("the name contains {0:?}; letters, digits and @ . _ - are allowed")]
    Character(char),
    /// `.`, `..`, or anything that hides.
    #[error("a name may not start with a dot")]
    LeadingDot,
    /// A word of the protocol.
    #[error("`{0}` is a word of the backup protocol and cannot name a node")]
    Reserved(&'static str),
    /// Too deep.
    #[error("a node name has one or two components, separated by one slash")]
    Depth,
    /// Not a DNS name.
    #[error("not a DNS host name in lower case")]
    NotADnsName,
    /// Not 64 lower-case hex digits.
    #[error("not an object name: 64 lower-case hex digits are expected")]
    NotAnObjectName,
    /// Not a role.
    #[error("unknown role: operator, controller, shard, router or node is expected")]
    UnknownRole,
    /// Not an identity URI.
    #[error("not an identity of a cluster")]
    NotAnIdentity,
    /// A second spelling of a name.
    #[error("not in canonical form")]
    NotCanonical,
}

fn check_node_component(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > COMPONENT_BYTES_MAX {
        return Err(NameError::TooLong(COMPONENT_BYTES_MAX));
    }
    if text.starts_with('.') {
        return Err(NameError::LeadingDot);
    }
    if let Some(word) = RESERVED.into_iter().find(|word| *word == text) {
        return Err(NameError::Reserved(word));
    }
    let allowed = |c: char| c.is_alphabetic() || c.is_ascii_digit() || "@._-".contains(c);
    text.chars().find(|c| !allowed(*c)).map_or(Ok(()), |c| Err(NameError::Character(c)))
}

fn check_node(text: &str) -> Result<(), NameError> {
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong(NAME_BYTES_MAX));
    }
    if text.split('/').count() > 2 {
        return Err(NameError::Depth);
    }
    text.split('/').try_for_each(check_node_component)
}

/// Names of customers, shards, routers, operators, batches and clusters: lower-case letters, digits, `-`, `_` and `.`.
fn check_part(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > 63 {
        return Err(NameError::TooLong(63));
    }
    if text.starts_with('.') {
        return Err(NameError::LeadingDot);
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    text.chars().find(|c| !allowed(*c)).map_or(Ok(()), |c| Err(NameError::Character(c)))
}

fn check_dns(text: &str) -> Result<(), NameError> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if text.len() <= 253 && text.split('.').all(label) { Ok(()) } else { Err(NameError::NotADnsName) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                $check(&text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// A node: the path of its repository, one or two components, such as `web-1` or `acme/web-1`.
    NodeId, check_node
}
name! {
    /// Who owns nodes.
    CustomerId, check_node_component
}
name! {
    /// A server that stores nodes.
    ShardId, check_part
}
name! {
    /// A router.
    RouterId, check_part
}
name! {
    /// A batch of a plan.
    BatchId, check_part
}
name! {
    /// A cluster: one controller store and all that it steers.
    ClusterId, check_part
}
name! {
    /// The name within any role but node.
    PartName, check_part
}
name! {
    /// The name a node's client connects to, as in the TLS hello.
    ServerName, check_dns
}

impl NodeId {
    /// The account that owns the repository: its first component.
    #[must_use]
    pub fn account(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// The components, one or two.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The customer a node belongs to unless an operator says otherwise: its account.
    #[must_use]
    pub fn default_customer(&self) -> CustomerId {
        CustomerId(self.account().to_owned())
    }

    /// The server name a node gets unless an operator says otherwise: one label below `zone`, `acme--web-1` for
    /// `acme/web-1`. Where the name does not fit a DNS label without ambiguity, the label is `n-` and a hash of it.
    ///
    /// # Errors
    /// [`NameError::NotADnsName`] when the zone leaves no room for a label.
    pub fn default_server_name(&self, zone: &ServerName) -> Result<ServerName, NameError> {
        let plain = |part: &str| {
            part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
                && !part.starts_with("n-")
                && !part.contains("--")
        };
        let label = self.0.replace('/', "--");
        let label = if label.len() <= 63 && self.components().all(plain) { label } else { self.hashed_label() };
        format!("{label}.{zone}").parse()
    }

    /// The server name for a node whose readable one is taken: the label is `n-` and a hash of the node's name.
    ///
    /// # Errors
    /// [`NameError::NotADnsName`] when the zone leaves no room for a label.
    pub fn hashed_server_name(&self, zone: &ServerName) -> Result<ServerName, NameError> {
        format!("{}.{zone}", self.hashed_label()).parse()
    }

    fn hashed_label(&self) -> String {
        use sha2::Digest as _;
        format!("n-{}", hex::encode(&sha2::Sha256::digest(self.0.as_bytes())[..16]))
    }
}

impl PartialEq<str> for NodeId {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names_that_could_mean_something_else_are_refused() {
        let long = "x".repeat(300);
        for name in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            ".",
            "..",
            "a/..",
            "../a",
            "a/b/c",
            ".htpasswd",
            "data",
            "a/keys",
            "config",
            "a b",
            "a%2e",
            "a\0",
            "a\\b",
            "a\nb",
            "a:b",
            "e\u{301}",
            "a*",
            &long,
        ] {
            assert!(name.parse::<NodeId>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn node_names_of_rest_server_are_accepted() {
        for name in ["web-1", "acme/web-1", "Foo@bar.example", "büro_2/Haupt", "a..b", "data1"] {
            assert_eq!(name.parse::<NodeId>().map(|n| n.to_string()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn server_names_are_unambiguous() {
        let zone: ServerName = "backup.example".parse().unwrap();
        let name = |node: &str| node.parse::<NodeId>().unwrap().default_server_name(&zone).unwrap().to_string();
        assert_eq!(name("web-1"), "web-1.backup.example");
        assert_eq!(name("acme/web-1"), "acme--web-1.backup.example");
        assert!(name("acme--web-1").starts_with("n-"));
        assert!(name("Acme").starts_with("n-"));
        assert!(name("n-00").starts_with("n-") && name("n-00") != "n-00.backup.example");
        assert_ne!(name("Acme"), name("ACME"));
    }

    #[test]
    fn a_name_checks_itself_when_it_is_read_back() {
        let bad: Result<NodeId, _> = serde::Deserialize::deserialize(serde::de::value::StrDeserializer::<
            serde::de::value::Error,
        >::new("../etc"));
        assert!(bad.is_err());
    }
}
