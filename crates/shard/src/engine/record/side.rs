//! What belongs to a node besides its objects and its settings.

use super::Settings;
use serde::{Deserialize, Serialize};
use shardlift_model::{Activity, Sha256, UnixMillis};

/// A client certificate that was shown and accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenCertificate {
    /// `legacy`, or the generation of the issuing CA.
    pub issuer: String,
    /// Lower-case hex.
    pub serial: String,
    /// First handshake.
    pub first_seen: UnixMillis,
    /// Last handshake, to the minute.
    pub last_seen: UnixMillis,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// The client took its lock away.
    LockDeleted,
    /// Nothing was heard for long.
    Idle,
    /// The node was fenced and moved.
    Fenced,
}

/// A client's run as seen on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// First request.
    pub started_at: UnixMillis,
    /// Last request.
    pub ended_at: UnixMillis,
    /// How it ended.
    pub end: SessionEnd,
    /// Objects stored.
    pub objects_put: u64,
    /// Bytes stored.
    pub bytes_put: u64,
    /// Objects deleted.
    pub objects_deleted: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Snapshots stored.
    pub snapshots_put: u32,
}

/// What belongs to a node besides objects and credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SideData {
    /// Settings.
    pub settings: Settings,
    /// Past sessions, oldest first.
    pub sessions: Vec<SessionRecord>,
    /// Certificates seen in use.
    pub seen_certificates: Vec<SeenCertificate>,
    /// When the newest snapshot was stored.
    pub last_snapshot: Option<UnixMillis>,
    /// When each lock that is there was stored.
    pub lock_times: Vec<(Sha256, UnixMillis)>,
    /// What the node does; `None`: the source counts nothing.
    pub activity: Option<Activity>,
}
