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
    /// The target serves; the source keeps its copy and follows it: the way back.
    Soaking,
    /// The former writer takes the writes back; all that was stored since the flip goes with it.
    RollingBack,
    /// Old credentials ended and the old copy is renamed aside; the move is over.
    Released,
    /// The old copy is taken out of quarantine and made to follow again.
    Restoring,
    /// Being undone before the commit: fence and incoming copy are taken back.
    Undoing,
    /// Undone; the source serves as before.
    Aborted,
    /// Moved back after the commit; the source serves again.
    RolledBack,
}

/// Which way a node goes at present. The protocol is the same both ways; only who gives and who takes is swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From source to target.
    #[default]
    Forward,
    /// From target to source.
    Back,
}

/// Which of the ways through the table of stages a move takes at present. Finer than [`Direction`]: a writer that is gone
/// for good cannot be fenced, sealed or retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// From source to target.
    Forward,
    /// From target to source; both take part.
    Back,
    /// To the source without the target: the takeover.
    WithoutWriter,
}

impl Way {
    /// All ways.
    pub const ALL: [Self; 3] = [Self::Forward, Self::Back, Self::WithoutWriter];
}

impl From<Direction> for Way {
    /// The way of a move in which both shards take part.
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Forward => Self::Forward,
            Direction::Back => Self::Back,
        }
    }
}

/// One step inside a phase. Stages with a command send it until it is answered. From the fence to the probe, the giver and
/// the taker are source and target of a move that goes forward, and target and source of one that goes back.
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
    /// Command to the giver: fence.
    Fencing,
    /// Command to the taker: final delta. The fence is renewed.
    Completing,
    /// Command to the giver: seal. The fence is renewed.
    Sealing,
    /// Waits for the commit.
    Sealed,
    /// Command to the taker: become the writer.
    Promoting,
    /// Command to the giver: forward clients to the new writer, and follow it.
    Retiring,
    /// Waits for the routers to hold the new route.
    Routing,
    /// Asks, through the router, which shard answers.
    Probing,
    /// The target serves, the source follows it.
    Soaking,
    /// Command to the giver of a move that went back: stop following, keep the copy.
    Detaching,
    /// Takeover. Command to the taker: stop following and forwarding, name what is there.
    TakingStock,
    /// Takeover. Committed; waits until the routers lead to the taker and pass nobody to the giver any more.
    Redirecting,
    /// Takeover. Command to the giver, when it returns: give up the node, keep the copy.
    Deposing,
    /// Command to the writer: end old credentials.
    Releasing,
    /// Command to the source: rename the old copy aside.
    Quarantining,
    /// The move is over.
    Released,
    /// Command to the source: take the old copy out of quarantine.
    Restoring,
    /// Command to the source: follow the writer again.
    Resuming,
    /// Command to the giver: admit mutations again.
    Unfencing,
    /// Command to the target: give up the incoming copy.
    Discarding,
    /// Undone.
    Aborted,
    /// Moved back.
    RolledBack,
}

impl Stage {
    /// All stages.
    pub const ALL: [Self; 31] = [
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
        Self::Retiring,
        Self::Routing,
        Self::Probing,
        Self::Soaking,
        Self::Detaching,
        Self::TakingStock,
        Self::Redirecting,
        Self::Deposing,
        Self::Releasing,
        Self::Quarantining,
        Self::Released,
        Self::Restoring,
        Self::Resuming,
        Self::Unfencing,
        Self::Discarding,
        Self::Aborted,
        Self::RolledBack,
    ];

    /// The phase that this stage belongs to while a move goes forward; [`crate::Migration::phase()`] knows the direction.
    #[must_use]
    pub const fn phase(self) -> Phase {
        match self {
            Self::Planned => Phase::Planned,
            Self::Offering | Self::Starting | Self::Copying => Phase::Seeding,
            Self::CatchingUp | Self::VerifyRequested | Self::Verifying | Self::AwaitingCertificate => Phase::Following,
            Self::Ready => Phase::Ready,
            Self::Fencing | Self::Completing | Self::Sealing => Phase::Fenced,
            Self::Sealed => Phase::Sealed,
            Self::Promoting | Self::Retiring | Self::Routing | Self::Probing => Phase::Committed,
            Self::Soaking => Phase::Soaking,
            Self::Detaching | Self::TakingStock | Self::Redirecting | Self::Deposing => Phase::RollingBack,
            Self::Releasing | Self::Quarantining | Self::Released => Phase::Released,
            Self::Restoring | Self::Resuming => Phase::Restoring,
            Self::Unfencing | Self::Discarding => Phase::Undoing,
            Self::Aborted => Phase::Aborted,
            Self::RolledBack => Phase::RolledBack,
        }
    }

    /// True from the commit of the present direction on, and wherever the old copy waits for what comes next.
    #[must_use]
    pub const fn is_committed(self) -> bool {
        use Phase::{Committed, Released, Restoring, RolledBack, RollingBack, Soaking};
        matches!(self.phase(), Committed | Soaking | RollingBack | Released | Restoring | RolledBack)
    }

    /// True while a fence or a copy is taken back, and after it.
    #[must_use]
    pub const fn is_undo(self) -> bool {
        matches!(self, Self::Unfencing | Self::Discarding | Self::Aborted)
    }

    /// True while the copy takes one of the places of [`crate::World::seeding_nodes`].
    #[must_use]
    pub const fn is_seeding(self) -> bool {
        matches!(self.phase(), Phase::Seeding)
    }

    /// True while the giver parks clients for this node.
    #[must_use]
    pub const fn is_cutting_over(self) -> bool {
        matches!(self.phase(), Phase::Fenced | Phase::Sealed)
    }

    /// True when nothing more will happen to this move by itself.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Released | Self::Aborted | Self::RolledBack)
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
            Self::RollingBack => "rolling_back",
            Self::Released => "released",
            Self::Restoring => "restoring",
            Self::Undoing => "undoing",
            Self::Aborted => "aborted",
            Self::RolledBack => "rolled_back",
        }
    }
}

impl Direction {
    /// The word for people and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Back => "back",
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
