//! Values that every other crate speaks in: names, tokens, units, objects and digests.
//!
//! Nothing here knows a clock, a file or a socket. A value that exists is valid: names are checked when they are parsed,
//! on their canonical form, and only a checked name may become part of a path, a certificate or a route.

pub mod activity;
pub mod digest;
pub mod name;
pub mod object;
pub mod revocation;
pub mod role;
pub mod token;
pub mod units;
pub mod week;

pub use activity::{Activity, ActivityError};
pub use name::{BatchId, ClusterId, CustomerId, NameError, NodeId, PartName, RouterId, ServerName, ShardId};
pub use object::{ObjectKey, ObjectKind, ObjectRecord, Sha256};
pub use revocation::{NotAReason, RevocationReason};
pub use role::{Holder, Identity, Peer, PeerCertificate, Role, Subject};
pub use token::{Generation, Step, Term, Token};
pub use units::{ByteCount, UnixMillis};
pub use week::{HOURS, HourOfWeek};
