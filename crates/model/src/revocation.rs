//! Why a certificate is no longer believed.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The reasons of RFC 5280 (section 5.3.1) that an operator of this system may give. None of them can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationReason {
    /// Nobody has said.
    #[default]
    Unspecified,
    /// Somebody else has, or may have, the key.
    KeyCompromise,
    /// The holder is called otherwise or belongs to somebody else now.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// What it was for is over.
    CessationOfOperation,
    /// The holder may no longer do what it says.
    PrivilegeWithdrawn,
}

/// A word that is no reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a reason: unspecified, key-compromise, affiliation-changed, superseded, cessation-of-operation or privilege-withdrawn"
)]
pub struct NotAReason;

impl RevocationReason {
    /// All reasons, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The word used in command lines and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for RevocationReason {
    type Err = NotAReason;

    fn from_str(text: &str) -> Result<Self, NotAReason> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(NotAReason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_read_as_it_is_written_and_nothing_else_is() {
        for reason in RevocationReason::ALL {
            assert_eq!(reason.to_string().parse(), Ok(reason));
        }
        for text in ["", "keyCompromise", "certificate-hold", "remove-from-crl", "Superseded"] {
            assert_eq!(text.parse::<RevocationReason>(), Err(NotAReason));
        }
    }
}
