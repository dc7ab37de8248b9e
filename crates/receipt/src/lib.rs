//! The receipt of a node that moved: what it says, how it is signed, and how it is checked without the cluster.
//!
//! The life of a receipt: a controller gathers [`Facts`] of a completed move from what is recorded and [`issue`]s them once, under
//! its own certificate; whoever has the file and the cluster's root certificate [`verify()`]s it, years later, offline.
//!
//! Invariants:
//! - What is not recorded is absent (`null`), never made up.
//! - Losses and damage that were accepted are always in it.
//! - A receipt that says of itself that both sides differ is refused, whoever signed it.

mod facts;
mod issue;
mod verify;

pub use facts::{
    Certificate, Certificates, Copy, Deep, Facts, GivenUp, Histories, History, Losses, Orders, Place, Soak, State,
    Target, Times,
};
pub use issue::{IssueError, issue};
pub use verify::{Doubt, Inconsistency, Unreadable, Verified, verify};

use serde::{Deserialize, Serialize};

/// The format that is written here, and the only one that is read.
pub const FORMAT: u32 = 1;

/// What the signed bytes are.
pub const PAYLOAD_TYPE: &str = "application/vnd.shardlift.receipt+json";

/// A receipt: the signed payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The format.
    pub format: u32,
    /// Who issued it, and when.
    pub issued: Issued,
    /// What it says.
    pub facts: Facts,
}

/// Who issued a receipt, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// When.
    pub at_unix_ms: u64,
    /// The identity in the issuer's certificate.
    pub by: String,
    /// The serial of that certificate.
    pub serial: String,
    /// SHA-256 of each certificate of its chain, leaf first, root last.
    pub chain_sha256: Vec<String>,
}
