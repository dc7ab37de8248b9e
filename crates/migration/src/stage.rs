//! Where one node's move stands. The stage is stored; its phase is the word that people use for it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The phases of DESIGN.md section 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Gates known, nothing done. The source takes writes.
    Planned,
    /// The target pulls all objects. The source takes writes.
    Seeding,
    /// The target tails the change journal. The source takes writes.
    Following,
    /// Verified equal, new certificate in use. The source takes writes.
    Ready,
    /// Mutations are parked at the source under a lease.
    Fenced,
    /// All requests are parked; only a recorded decision leads out.
    Sealed,
    /// The target is the writer by record; promotion and routing follow.
    Committed,
    /// The target serves; the source keeps its copy.
    Soaking,
    /// Old credentials ended; the move is over.
    Released,
    /// Being undone before the commit: fence and incoming copy are taken back.
    Undoing,
    /// Undone; the source serves as before.
    Aborted,
    /// Moved back after the commit.
    RolledBack,
}

/// One step inside a phase. Stages with a command send it until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The batch was not started.
    Planned,
    /// Command to the source: let the target read.
    Offering,
    /// Command to the target: create the incoming copy and pull.
    Starting,
    /// The target pulls; watched.
    Copying,
    /// The target tails the journal; watched until the lag is small.
    CatchingUp,
    /// Command to the target: compare and read again.
    VerifyRequested,
    /// The target compares; watched.
    Verifying,
    /// Verified; waits for the certificate to be seen in use.
    AwaitingCertificate,
    /// Waits for the batch.
    Ready,
    /// Command to the source: fence.
    Fencing,
    /// Command to the target: final delta. The fence is renewed.
    Completing,
    /// Command to the source: seal. The fence is renewed.
    Sealing,
    /// Waits for the batch's commit.
    Sealed,
    /// Command to the target: become the writer.
    Promoting,
    /// Waits for the routers to hold the new route.
    Routing,
    /// Command to the source: let parked clients go.
    Retiring,
    /// Asks, through the router, which shard answers.
    Probing,
    /// The target serves.
    Soaking,
    /// Command to the target: end old credentials.
    Releasing,
    /// The move is over.
    Released,
    /// Command to the source: admit mutations again.
    Unfencing,
    /// Command to the target: give up the incoming copy.
    Discarding,
    /// Undone.
    Aborted,
}

impl Stage {
    /// All stages.
    pub const ALL: [Self; 23] = [
        Self::Planned,
        Self::Offering,
        Self::Starting,
        Self::Copying,
        Self::CatchingUp,
        Self::VerifyRequested,
        Self::Verifying,
        Self::AwaitingCertificate,
        Self::Ready,
        Self::Fencing,
        Self::Completing,
        Self::Sealing,
        Self::Sealed,
        Self::Promoting,
        Self::Routing,
        Self::Retiring,
        Self::Probing,
        Self::Soaking,
        Self::Releasing,
        Self::Released,
        Self::Unfencing,
        Self::Discarding,
        Self::Aborted,
    ];

    /// The phase that this stage belongs to.
    #[must_use]
    pub const fn phase(self) -> Phase {
        match self {
            Self::Planned => Phase::Planned,
            Self::Offering | Self::Starting | Self::Copying => Phase::Seeding,
            Self::CatchingUp | Self::VerifyRequested | Self::Verifying | Self::AwaitingCertificate => Phase::Following,
            Self::Ready => Phase::Ready,
            Self::Fencing | Self::Completing | Self::Sealing => Phase::Fenced,
            Self::Sealed => Phase::Sealed,
            Self::Promoting | Self::Routing | Self::Retiring | Self::Probing => Phase::Committed,
            Self::Soaking => Phase::Soaking,
            Self::Releasing | Self::Released => Phase::Released,
            Self::Unfencing | Self::Discarding => Phase::Undoing,
            Self::Aborted => Phase::Aborted,
        }
    }

    /// True from the commit on: there is no undo any more, only a reverse move.
    #[must_use]
    pub const fn is_committed(self) -> bool {
        matches!(self.phase(), Phase::Committed | Phase::Soaking | Phase::Released)
    }

    /// True while an undo is carried out, and after it.
    #[must_use]
    pub const fn is_undo(self) -> bool {
        matches!(self, Self::Unfencing | Self::Discarding | Self::Aborted)
    }

    /// True while the copy takes one of the places of `Limits::seeding_nodes_max`.
    #[must_use]
    pub const fn is_seeding(self) -> bool {
        matches!(self.phase(), Phase::Seeding)
    }

    /// True while the source parks clients for this node.
    #[must_use]
    pub const fn is_cutting_over(self) -> bool {
        matches!(self.phase(), Phase::Fenced | Phase::Sealed)
    }

    /// True when nothing more will happen to this move.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Released | Self::Aborted)
    }
}

impl Phase {
    /// The word for people and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Seeding => "seeding",
            Self::Following => "following",
            Self::Ready => "ready",
            Self::Fenced => "fenced",
            Self::Sealed => "sealed",
            Self::Committed => "committed",
            Self::Soaking => "soaking",
            Self::Released => "released",
            Self::Undoing => "undoing",
            Self::Aborted => "aborted",
            Self::RolledBack => "rolled_back",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The word of the journal: one spelling everywhere.
        self.serialize(f)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
