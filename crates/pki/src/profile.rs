//! Profiles: what a certificate of each kind may do and how long. TOML, in `certs/profiles`; those are built in.
//!
//! A profile that was parsed is consistent: a CA signs and has a path length, a leaf does neither and states its purpose.

use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};
use serde::Deserialize;
use shardlift_model::Role;
use std::fmt;
use std::time::Duration;

/// Longest validity of any certificate: longer ones cannot be told from a typing error.
const VALIDITY_DAYS_MAX: u32 = 7300;

/// Longest backdating. It is there for clocks that are behind, not for more.
const BACKDATE_MINUTES_MAX: u32 = 24 * 60;

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The root CA.
    Root,
    /// An issuing CA.
    Issuing,
    /// A leaf for an operator.
    Operator,
    /// A leaf for a controller.
    Controller,
    /// A leaf for a shard.
    Shard,
    /// A leaf for a router.
    Router,
    /// A leaf for a backup client.
    Node,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Root, Self::Issuing, Self::Operator, Self::Controller, Self::Shard, Self::Router, Self::Node];

    /// The role of a leaf; a CA plays none.
    #[must_use]
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Root | Self::Issuing => None,
            Self::Operator => Some(Role::Operator),
            Self::Controller => Some(Role::Controller),
            Self::Shard => Some(Role::Shard),
            Self::Router => Some(Role::Router),
            Self::Node => Some(Role::Node),
        }
    }

    /// The profile that is built in.
    const fn text(self) -> &'static str {
        match self {
            Self::Root => include_str!("../../../certs/profiles/root.toml"),
            Self::Issuing => include_str!("../../../certs/profiles/issuing.toml"),
            Self::Operator => include_str!("../../../certs/profiles/operator.toml"),
            Self::Controller => include_str!("../../../certs/profiles/controller.toml"),
            Self::Shard => include_str!("../../../certs/profiles/shard.toml"),
            Self::Router => include_str!("../../../certs/profiles/router.toml"),
            Self::Node => include_str!("../../../certs/profiles/node.toml"),
        }
    }
}

impl From<Role> for Kind {
    fn from(role: Role) -> Self {
        match role {
            Role::Operator => Self::Operator,
            Role::Controller => Self::Controller,
            Role::Shard => Self::Shard,
            Role::Router => Self::Router,
            Role::Node => Self::Node,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.role() {
            Some(role) => role.fmt(f),
            None => f.pad(if *self == Self::Root { "root" } else { "issuing" }),
        }
    }
}

/// The kind of key a CA gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeyUsage {
    DigitalSignature,
    KeyCertSign,
    CrlSign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ExtendedKeyUsage {
    ServerAuth,
    ClientAuth,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProfile {
    kind: Kind,
    key: Option<KeyKind>,
    validity_days: u32,
    backdate_minutes: u32,
    path_length: Option<u8>,
    key_usages: Vec<KeyUsage>,
    #[serde(default)]
    extended_key_usages: Vec<ExtendedKeyUsage>,
}

/// Why a profile is refused.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not TOML of the right shape.
    #[error("not a profile: {0}")]
    Syntax(String),
    /// A value out of range.
    #[error("{field} must be between {least} and {most}")]
    Range {
        /// Which value.
        field: &'static str,
        /// The least allowed.
        least: u32,
        /// The most allowed.
        most: u32,
    },
    /// What a profile of this kind may not say.
    #[error("a profile of kind {kind} {rule}")]
    Rule {
        /// What the profile is for.
        kind: Kind,
        /// What it breaks.
        rule: &'static str,
    },
}

/// What certificates of one kind look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    kind: Kind,
    key: KeyKind,
    validity: Duration,
    backdate: Duration,
    path_length: Option<u8>,
    key_usages: Vec<KeyUsage>,
    extended_key_usages: Vec<ExtendedKeyUsage>,
}

impl Profile {
    /// Reads a profile; unknown fields are refused.
    ///
    /// # Errors
    /// [`ProfileError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let raw: RawProfile = toml::from_str(text).map_err(|error| ProfileError::Syntax(error.to_string()))?;
        in_range("validity_days", raw.validity_days, 1, VALIDITY_DAYS_MAX)?;
        in_range("backdate_minutes", raw.backdate_minutes, 0, BACKDATE_MINUTES_MAX)?;
        if let Some(rule) = broken_rule(&raw) {
            return Err(ProfileError::Rule { kind: raw.kind, rule });
        }
        Ok(Self {
            kind: raw.kind,
            key: raw.key.unwrap_or_default(),
            validity: Duration::from_secs(u64::from(raw.validity_days) * 86_400),
            backdate: Duration::from_secs(u64::from(raw.backdate_minutes) * 60),
            path_length: raw.path_length,
            key_usages: raw.key_usages,
            extended_key_usages: raw.extended_key_usages,
        })
    }

    /// The profile that is built in.
    ///
    /// # Errors
    /// None in a build whose tests passed.
    pub fn built_in(kind: Kind) -> Result<Self, ProfileError> {
        Self::parse(kind.text())
    }

    /// What it is for.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// How long a certificate is valid from its issue.
    #[must_use]
    pub const fn validity(&self) -> Duration {
        self.validity
    }

    /// The same profile with another validity, as a test or an operator's flag asks for it.
    #[must_use]
    pub const fn with_validity(mut self, validity: Duration) -> Self {
        self.validity = validity;
        self
    }

    pub(crate) const fn backdate(&self) -> Duration {
        self.backdate
    }

    pub(crate) const fn key(&self) -> KeyKind {
        self.key
    }

    pub(crate) const fn path_length(&self) -> Option<u8> {
        self.path_length
    }

    pub(crate) fn is_for_servers(&self) -> bool {
        self.extended_key_usages.contains(&ExtendedKeyUsage::ServerAuth)
    }

    pub(crate) fn key_usages(&self) -> Vec<KeyUsagePurpose> {
        let purpose = |usage: &KeyUsage| match usage {
            KeyUsage::DigitalSignature => KeyUsagePurpose::DigitalSignature,
            KeyUsage::KeyCertSign => KeyUsagePurpose::KeyCertSign,
            KeyUsage::CrlSign => KeyUsagePurpose::CrlSign,
        };
        self.key_usages.iter().map(purpose).collect()
    }

    pub(crate) fn extended_key_usages(&self) -> Vec<ExtendedKeyUsagePurpose> {
        let purpose = |usage: &ExtendedKeyUsage| match usage {
            ExtendedKeyUsage::ServerAuth => ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsage::ClientAuth => ExtendedKeyUsagePurpose::ClientAuth,
        };
        self.extended_key_usages.iter().map(purpose).collect()
    }
}

fn in_range(field: &'static str, value: u32, least: u32, most: u32) -> Result<(), ProfileError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(ProfileError::Range { field, least, most }) }
}

fn broken_rule(raw: &RawProfile) -> Option<&'static str> {
    let signs = raw.key_usages.contains(&KeyUsage::KeyCertSign);
    let broken = match raw.kind.role() {
        None if !signs => "must have the key usage key_cert_sign",
        None if raw.kind == Kind::Root && raw.path_length != Some(1) => "must have path_length 1",
        None if raw.kind == Kind::Issuing && raw.path_length != Some(0) => "must have path_length 0",
        None if !raw.extended_key_usages.is_empty() => "has no extended key usages",
        None => return None,
        Some(_) if signs || raw.key_usages.contains(&KeyUsage::CrlSign) => "must not sign certificates or lists",
        Some(_) if raw.path_length.is_some() => "has no path_length",
        Some(_) if raw.key.is_some() => "has no key: its holder makes it",
        Some(_) if !raw.key_usages.contains(&KeyUsage::DigitalSignature) => "must have the key usage digital_signature",
        Some(_) if !raw.extended_key_usages.contains(&ExtendedKeyUsage::ClientAuth) => {
            "must have the extended key usage client_auth"
        }
        Some(Role::Node | Role::Operator) if raw.extended_key_usages.contains(&ExtendedKeyUsage::ServerAuth) => {
            "must not be a server"
        }
        Some(_) => return None,
    };
    Some(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_is_of_its_kind() {
        for kind in Kind::ALL {
            assert_eq!(Profile::built_in(kind).unwrap().kind(), kind);
        }
    }

    #[test]
    fn services_are_servers_and_clients_and_the_others_are_clients_alone() {
        for kind in Kind::ALL.into_iter().filter(|kind| kind.role().is_some()) {
            let profile = Profile::built_in(kind).unwrap();
            let is_service = matches!(kind, Kind::Controller | Kind::Shard | Kind::Router);
            assert_eq!(profile.is_for_servers(), is_service, "{kind}");
            assert!(profile.extended_key_usages().contains(&ExtendedKeyUsagePurpose::ClientAuth), "{kind}");
        }
    }

    #[test]
    fn profiles_that_make_no_sense_are_refused() {
        let node = Kind::Node.text();
        let root = Kind::Root.text();
        for (text, from, to) in [
            (node, "kind = \"node\"", "kind = \"guest\""),
            (node, "kind = \"node\"", "kind = \"node\"\nwildcard = true"),
            (node, "validity_days = 180", "validity_days = 0"),
            (node, "validity_days = 180", "validity_days = 99999"),
            (node, "validity_days = 180", "validity_days = \"180\""),
            (node, "backdate_minutes = 5", "backdate_minutes = 5000"),
            (node, "[\"digital_signature\"]", "[\"digital_signature\", \"key_cert_sign\"]"),
            (node, "[\"digital_signature\"]", "[\"digital_signature\", \"crl_sign\"]"),
            (node, "[\"digital_signature\"]", "[]"),
            (node, "[\"client_auth\"]", "[\"client_auth\", \"server_auth\"]"),
            (node, "[\"client_auth\"]", "[]"),
            (node, "backdate_minutes = 5", "backdate_minutes = 5\npath_length = 0"),
            (node, "backdate_minutes = 5", "backdate_minutes = 5\nkey = \"p256\""),
            (root, "path_length = 1", "path_length = 5"),
            (root, "path_length = 1\n", ""),
            (root, "\"key_cert_sign\", ", ""),
            (root, "key = \"p384\"", "key = \"rsa\""),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "{from:?} is not in the profile");
            assert!(Profile::parse(&changed).is_err(), "{to:?}");
        }
    }
}
