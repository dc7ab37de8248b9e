//! The protocol without one of its lines. Each must be caught, else the checker shows nothing.

use crate::cutover::Bound;
use crate::properties::{
    FENCE, FOLLOW, FORWARD, INV_01, INV_02, INV_03, INV_04, INV_05, INV_06, INV_07, INV_12, LOSS, NO_DEAD_END,
    REHEARSAL, TABLE,
};

/// A line of the protocol. As a mutant: that line is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// Shards compare a command's token with the highest accepted.
    TokenChecked,
    /// They compare all of it, not the term alone.
    TokenStep,
    /// The highest token is durable.
    TokenPersisted,
    /// The final seq is read after the mutations in flight have ended.
    DrainBeforeFinalSeq,
    /// A seal needs a live fence.
    SealNeedsFence,
    /// A seal is for the state that the present fence was drained at.
    SealComparesState,
    /// A durable seal ends the lease.
    SealEndsLease,
    /// The promotion is sent after the commit.
    PromoteAfterCommit,
    /// The taker's state is compared with the final state.
    Comparison,
    /// There is no undo after the commit.
    NoUndoAfterCommit,
    /// An undo unfences.
    UndoUnfences,
    /// Each commit has a new generation.
    NewGeneration,
    /// Routes change after the promotion.
    RouteBeforePromotion,
    /// A router takes higher versions only.
    RouterVersion,
    /// A way back waits for what the target took in since the flip.
    ReverseDelta,
    /// The former writer follows from the new writer's own seq at its promotion.
    FollowFromPromotion,
    /// The seq from which the journal is read is noted before the listing.
    SeqBeforeListing,
    /// The former writer retires after the promotion.
    RetireAfterPromotion,
    /// A copy that follows back loses objects by the journal only, never by a listing.
    JournalBeforeListing,
    /// The store refuses records of a former term.
    DeposedRecords,
    /// An answer counts for its own command only.
    AnswerOfAnotherCommand,
    /// A copy admits no client.
    CopyRefusesClients,
    /// Quarantine is for the old copy.
    QuarantineSparesWriter,
    /// A discard takes this node's data only.
    DiscardSparesNeighbour,
    /// A rehearsal ends before the seal.
    RehearsalEnds,
    /// In a takeover all routers lead clients away from the former writer before the promotion.
    RedirectBeforePromotion,
    /// A router ends what it passed to the former writer before it confirms.
    SeverBeforeConfirmed,
    /// A copy of which stock was taken follows no more.
    StockEndsFollowing,
    /// It forwards no more.
    StockEndsForwarding,
    /// A stock names the last change that was applied, not one that was only heard of.
    StockIsWhatIsThere,
    /// A stock is committed when it has all that an operator wanted to keep.
    StockAsAccepted,
    /// A former writer is deposed before its node may move again.
    DeposeBeforeNextMove,
    /// A deposed copy begins by listing, not where it may have been equal once.
    DeposedListsAnew,
    /// A copy that began at a deposed one can be detached.
    PartedCopyDetaches,
    /// Who is silent is written off after the commit, and never taken for sealed.
    SealIsNotWrittenOff,
    /// A former writer that is written off is waited for no longer.
    WriteOffEndsWaiting,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 36] = [
        Self::TokenChecked,
        Self::TokenStep,
        Self::TokenPersisted,
        Self::DrainBeforeFinalSeq,
        Self::SealNeedsFence,
        Self::SealComparesState,
        Self::SealEndsLease,
        Self::PromoteAfterCommit,
        Self::Comparison,
        Self::NoUndoAfterCommit,
        Self::UndoUnfences,
        Self::NewGeneration,
        Self::RouteBeforePromotion,
        Self::RouterVersion,
        Self::ReverseDelta,
        Self::FollowFromPromotion,
        Self::SeqBeforeListing,
        Self::RetireAfterPromotion,
        Self::JournalBeforeListing,
        Self::DeposedRecords,
        Self::AnswerOfAnotherCommand,
        Self::CopyRefusesClients,
        Self::QuarantineSparesWriter,
        Self::DiscardSparesNeighbour,
        Self::RehearsalEnds,
        Self::RedirectBeforePromotion,
        Self::SeverBeforeConfirmed,
        Self::StockEndsFollowing,
        Self::StockEndsForwarding,
        Self::StockIsWhatIsThere,
        Self::StockAsAccepted,
        Self::DeposeBeforeNextMove,
        Self::DeposedListsAnew,
        Self::PartedCopyDetaches,
        Self::SealIsNotWrittenOff,
        Self::WriteOffEndsWaiting,
    ];

    /// What its absence breaks; all of it is found.
    #[must_use]
    pub const fn breaks(self) -> &'static [&'static str] {
        match self {
            Self::TokenChecked | Self::TokenStep => &[INV_01, INV_03],
            Self::SealEndsLease | Self::PromoteAfterCommit | Self::DeposedRecords | Self::AnswerOfAnotherCommand => {
                &[INV_01]
            }
            Self::RedirectBeforePromotion | Self::SeverBeforeConfirmed | Self::StockEndsForwarding => &[INV_01],
            Self::StockEndsFollowing => &[INV_05],
            Self::StockIsWhatIsThere => &[INV_02],
            Self::StockAsAccepted => &[LOSS],
            Self::DeposeBeforeNextMove => &[NO_DEAD_END, TABLE],
            Self::DeposedListsAnew => &[FOLLOW],
            Self::PartedCopyDetaches | Self::WriteOffEndsWaiting => &[NO_DEAD_END],
            Self::SealIsNotWrittenOff => &[INV_01, INV_05],
            Self::NoUndoAfterCommit => &[INV_01, TABLE],
            Self::DrainBeforeFinalSeq => &[INV_02, FENCE],
            Self::SealNeedsFence | Self::SealComparesState | Self::ReverseDelta => &[INV_02, INV_05],
            Self::TokenPersisted => &[INV_03],
            Self::CopyRefusesClients => &[INV_04],
            Self::Comparison => &[INV_05],
            Self::RouteBeforePromotion | Self::RouterVersion => &[INV_06],
            Self::JournalBeforeListing | Self::QuarantineSparesWriter => &[INV_07],
            Self::DiscardSparesNeighbour => &[INV_12],
            Self::FollowFromPromotion | Self::SeqBeforeListing => &[FOLLOW],
            Self::RetireAfterPromotion => &[FORWARD],
            Self::RehearsalEnds => &[REHEARSAL],
            Self::UndoUnfences => &[NO_DEAD_END, TABLE],
            Self::NewGeneration => &[NO_DEAD_END, INV_06],
        }
    }

    /// Where its counterexample is looked for.
    #[must_use]
    pub const fn bound(self) -> Bound {
        let least = Bound {
            operations: 0,
            requests: 1,
            leaderships: 0,
            ways_back: 0,
            restores: 0,
            plans_again: 0,
            takeovers: 0,
            fences_lost: 1,
            vanishing: false,
        };
        match self {
            Self::RedirectBeforePromotion | Self::SeverBeforeConfirmed | Self::StockAsAccepted => {
                Bound { takeovers: 1, ..least }
            }
            Self::StockEndsFollowing | Self::StockEndsForwarding | Self::StockIsWhatIsThere => {
                Bound { takeovers: 1, operations: 1, ..least }
            }
            Self::DeposeBeforeNextMove | Self::PartedCopyDetaches => Bound { takeovers: 1, plans_again: 1, ..least },
            Self::SealIsNotWrittenOff => Bound { takeovers: 1, ways_back: 1, operations: 1, ..least },
            Self::WriteOffEndsWaiting => Bound { takeovers: 1, ways_back: 1, ..least },
            Self::DeposedListsAnew => Bound { takeovers: 1, plans_again: 1, operations: 1, ..least },
            Self::ReverseDelta => Bound { ways_back: 1, operations: 1, ..least },
            Self::TokenChecked
            | Self::TokenStep
            | Self::NewGeneration
            | Self::UndoUnfences
            | Self::RouterVersion
            | Self::RehearsalEnds => Bound { ways_back: 1, ..least },
            Self::JournalBeforeListing | Self::Comparison => Bound { ways_back: 1, vanishing: true, ..least },
            Self::DeposedRecords => Bound { leaderships: 1, ..least },
            Self::DrainBeforeFinalSeq
            | Self::SealNeedsFence
            | Self::SealComparesState
            | Self::SeqBeforeListing
            | Self::CopyRefusesClients
            | Self::RetireAfterPromotion => Bound { operations: 1, ..least },
            _ => least,
        }
    }

    /// True when its counterexample may need a message that nobody would take otherwise.
    #[must_use]
    pub(crate) const fn needs_old_messages(self) -> bool {
        matches!(
            self,
            Self::TokenChecked
                | Self::TokenStep
                | Self::TokenPersisted
                | Self::RouterVersion
                | Self::DeposedRecords
                | Self::AnswerOfAnotherCommand
        )
    }
}
