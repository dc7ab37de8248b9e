//! What is seen while a target serves a node and its source follows.

use serde::{Deserialize, Serialize};
use shardlift_model::UnixMillis;

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
    /// Something is wrong with the node since its flip.
    Alert {
        /// What.
        reason: String,
    },
}

/// All that was seen of one node, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SoakFacts {
    /// When the first complete backup was stored at the target.
    pub backup_seen: Option<UnixMillis>,
    /// The copies were compared and read again.
    pub verified: bool,
    /// The first alert.
    pub alert: Option<String>,
}

impl SoakFacts {
    /// Nothing was seen.
    pub const NONE: Self = Self { backup_seen: None, verified: false, alert: None };

    /// True when this says nothing new.
    #[must_use]
    pub const fn has(&self, fact: &SoakFact) -> bool {
        match fact {
            SoakFact::BackupSeen { .. } => self.backup_seen.is_some(),
            SoakFact::Verified => self.verified,
            SoakFact::Alert { .. } => self.alert.is_some(),
        }
    }

    /// Takes one fact in. The first of its kind stays.
    pub(crate) fn take(&mut self, fact: &SoakFact) {
        match fact {
            _ if self.has(fact) => {}
            SoakFact::BackupSeen { at } => self.backup_seen = Some(*at),
            SoakFact::Verified => self.verified = true,
            SoakFact::Alert { reason } => self.alert = Some(reason.clone()),
        }
    }
}
