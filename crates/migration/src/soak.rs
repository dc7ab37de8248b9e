//! What is seen while a target serves a node and its source follows.

use serde::{Deserialize, Serialize};
use shardlift_model::{Sha256, ShardId, UnixMillis};
use std::collections::BTreeMap;

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SoakFact {
    /// A complete backup was stored at the target.
    BackupSeen {
        /// When it ended.
        at: UnixMillis,
    },
    /// The copies were compared and read again, and are good.
    Verified,
    /// One of the copies was read again from its disk, and is good.
    CopyRead {
        /// Whose copy.
        shard: ShardId,
        /// What was read.
        read: CopyRead,
    },
    /// What went along with the objects, as a shard has it.
    HistorySeen {
        /// Which shard.
        shard: ShardId,
        /// What it has.
        history: History,
    },
    /// Something is wrong with the node since its flip.
    Alert {
        /// What.
        reason: String,
    },
}

impl SoakFact {
    /// Whose copy it is about, when it is about one.
    #[must_use]
    pub const fn shard(&self) -> Option<&ShardId> {
        match self {
            Self::CopyRead { shard, .. } | Self::HistorySeen { shard, .. } => Some(shard),
            Self::BackupSeen { .. } | Self::Verified | Self::Alert { .. } => None,
        }
    }

    /// True when it can be recorded.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        match self {
            Self::HistorySeen { history, .. } => history.is_bounded(),
            _ => true,
        }
    }
}

/// A deep verify that came to a good end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRead {
    /// When it began; `None` where the shard does not say.
    pub begun_at: Option<UnixMillis>,
    /// When it ended; `None` where the shard does not say.
    pub ended_at: Option<UnixMillis>,
    /// Objects that were read and hashed.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Damaged objects that the copy was given as they are, by an operator's leave.
    pub known_damaged: u64,
}

/// What belongs to a node besides its objects, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Its snapshots.
    pub snapshots: u64,
    /// Records of clients' runs; `None` where the shard does not say.
    pub sessions: Option<u64>,
    /// Password lines of its account; `None` where the shard does not say.
    pub credentials: Option<u64>,
    /// Most bytes that it may store; `None`: none of its own.
    pub quota_bytes: Option<u64>,
    /// Clients may add and not delete.
    pub append_only: bool,
    /// How many reasons there are to keep all of it.
    pub holds: u64,
    /// Hash over the holds: ids, reasons, times.
    pub holds_sha256: Sha256,
    /// Certificates that were seen in use, the last ones.
    pub certificates: Vec<SeenCertificate>,
    /// How many were seen in all.
    pub certificates_seen: u64,
}

/// Most certificates that one [`History`] names.
pub const CERTIFICATES_NAMED_MAX: usize = 8;

/// Longest issuer or serial of a certificate that is named, in bytes.
pub const CERTIFICATE_TEXT_BYTES_MAX: usize = 256;

/// A certificate that a client of the node used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenCertificate {
    /// Who issued it: the name of an issuing CA of the cluster, or `legacy`.
    pub issuer: String,
    /// Its serial.
    pub serial: String,
    /// When it was last seen.
    pub last_seen_at: UnixMillis,
}

impl History {
    /// True when it can be recorded.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        let fits = |one: &SeenCertificate| one.issuer.len().max(one.serial.len()) <= CERTIFICATE_TEXT_BYTES_MAX;
        self.certificates.len() <= CERTIFICATES_NAMED_MAX && self.certificates.iter().all(fits)
    }
}

/// All that was seen of one node, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SoakFacts {
    /// When the first complete backup was stored at the target.
    pub backup_seen: Option<UnixMillis>,
    /// The copies were compared and read again.
    pub verified: bool,
    /// Deep verifies that came to a good end, by the shard that has the copy.
    #[serde(default)]
    pub reads: BTreeMap<ShardId, CopyRead>,
    /// What went along, by the shard that has it.
    #[serde(default)]
    pub histories: BTreeMap<ShardId, History>,
    /// The first alert.
    pub alert: Option<String>,
}

impl SoakFacts {
    /// Nothing was seen.
    pub const NONE: Self =
        Self { backup_seen: None, verified: false, reads: BTreeMap::new(), histories: BTreeMap::new(), alert: None };

    /// True when this says nothing new.
    #[must_use]
    pub fn has(&self, fact: &SoakFact) -> bool {
        match fact {
            SoakFact::BackupSeen { .. } => self.backup_seen.is_some(),
            SoakFact::Verified => self.verified,
            SoakFact::CopyRead { shard, .. } => self.reads.contains_key(shard),
            SoakFact::HistorySeen { shard, .. } => self.histories.contains_key(shard),
            SoakFact::Alert { .. } => self.alert.is_some(),
        }
    }

    /// Takes one fact in. The first of its kind stays.
    pub(crate) fn take(&mut self, fact: &SoakFact) {
        match fact {
            _ if self.has(fact) => {}
            SoakFact::BackupSeen { at } => self.backup_seen = Some(*at),
            SoakFact::Verified => self.verified = true,
            SoakFact::CopyRead { shard, read } => drop(self.reads.insert(shard.clone(), read.clone())),
            SoakFact::HistorySeen { shard, history } => drop(self.histories.insert(shard.clone(), history.clone())),
            SoakFact::Alert { reason } => self.alert = Some(reason.clone()),
        }
    }
}
