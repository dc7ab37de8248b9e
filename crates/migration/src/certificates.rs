//! Certificates that were issued, and what was taken back of them.
//!
//! A revocation list is a fold of the journal: number, time and content follow from what is recorded, so that a controller that starts
//! again signs the same list under the same number, and none ever signs another one under it.

use serde::{Deserialize, Serialize};
use shardlift_model::{NodeId, RevocationReason, Role, UnixMillis};
use std::time::Duration;

/// Most certificates that are revoked at the same time: what a list can hold.
pub const REVOKED_MAX: usize = 40_000;

/// A list is renewed when it is as old, whether anything is new on it or not.
pub const LIST_RENEWED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Most certificates of one node or part that have not ended: whoever renews without need stops there.
pub const LIVE_MAX: usize = 16;

/// Certificates are forgotten when they have ended so long ago: lists that name them have been out since (RFC 5280, section 3.3).
pub(crate) const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Whom a certificate was issued to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateHolder {
    /// What it may be.
    pub role: Role,
    /// Its name under this role.
    pub name: String,
}

impl CertificateHolder {
    /// The node it is, if it is one.
    #[must_use]
    pub fn node(&self) -> Option<NodeId> {
        if self.role == Role::Node { self.name.parse().ok() } else { None }
    }
}

/// What is known about a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// Whom it names; `None`: it was revoked by its serial, and not issued in this journal.
    pub holder: Option<CertificateHolder>,
    /// When it ends; `None`: not known.
    pub not_after: Option<UnixMillis>,
    /// Which one was shown for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<String>,
    /// Since when it is no longer believed, and why.
    pub revoked: Option<Revoked>,
}

/// A certificate that was taken back. For ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Since when.
    pub at: UnixMillis,
    /// Why.
    pub reason: RevocationReason,
}

/// The list that holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationListState {
    /// Grows with every list; 0 before the first one.
    pub number: u64,
    /// When it was made.
    pub at: UnixMillis,
}

impl RevocationListState {
    /// Whether a newer one is to be made.
    #[must_use]
    pub fn is_due(&self, now: UnixMillis) -> bool {
        self.number == 0 || now.since(self.at) >= LIST_RENEWED_AFTER
    }

    pub(crate) const fn next(&mut self, at: UnixMillis) {
        *self = Self { number: self.number.saturating_add(1), at };
    }
}
