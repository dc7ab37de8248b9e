//! The order of stages, as data: which stage may follow which, and what must be done to undo each.

use crate::stage::Stage;

/// Which stages may follow each stage.
///
/// A stage that follows itself, `starting` after a later stage before the fence, and `fencing` after `completing` or
/// `sealing` are work begun anew. `promoting` after `sealed` is the batch's commit and nothing else.
pub const STAGE_ORDER: [(Stage, &[Stage]); 23] = [
    (Stage::Planned, &[Stage::Offering, Stage::Aborted]),
    (Stage::Offering, &[Stage::Offering, Stage::Starting, Stage::Aborted]),
    (Stage::Starting, &[Stage::Starting, Stage::Copying, Stage::Discarding]),
    (Stage::Copying, &[Stage::Starting, Stage::CatchingUp, Stage::Discarding]),
    (Stage::CatchingUp, &[Stage::Starting, Stage::VerifyRequested, Stage::Discarding]),
    (Stage::VerifyRequested, &[Stage::Starting, Stage::Verifying, Stage::Discarding]),
    (Stage::Verifying, &[Stage::Starting, Stage::AwaitingCertificate, Stage::Discarding]),
    (Stage::AwaitingCertificate, &[Stage::Starting, Stage::Ready, Stage::Discarding]),
    (Stage::Ready, &[Stage::Starting, Stage::Fencing, Stage::Discarding]),
    (Stage::Fencing, &[Stage::Fencing, Stage::Completing, Stage::Unfencing]),
    (Stage::Completing, &[Stage::Fencing, Stage::Sealing, Stage::Unfencing]),
    (Stage::Sealing, &[Stage::Fencing, Stage::Sealed, Stage::Unfencing]),
    (Stage::Sealed, &[Stage::Promoting, Stage::Unfencing]),
    (Stage::Promoting, &[Stage::Promoting, Stage::Routing]),
    (Stage::Routing, &[Stage::Retiring]),
    (Stage::Retiring, &[Stage::Retiring, Stage::Probing]),
    (Stage::Probing, &[Stage::Soaking]),
    (Stage::Soaking, &[Stage::Releasing]),
    (Stage::Releasing, &[Stage::Releasing, Stage::Released]),
    (Stage::Released, &[]),
    (Stage::Unfencing, &[Stage::Unfencing, Stage::Discarding]),
    (Stage::Discarding, &[Stage::Discarding, Stage::Aborted]),
    (Stage::Aborted, &[]),
];

impl Stage {
    /// The stages that may follow.
    #[must_use]
    pub fn followers(self) -> &'static [Self] {
        STAGE_ORDER.iter().find(|(stage, _)| *stage == self).map_or(&[], |(_, followers)| followers)
    }

    /// Where an undo begins. `None` from the commit on, and when an undo is under way or over.
    ///
    /// Before `StartReplica` was sent there is nothing to take back: an offer lets the target read and no more. From the
    /// fence on the source comes first, so that its clients are served again as soon as can be.
    #[must_use]
    pub const fn undo(self) -> Option<Self> {
        match self {
            Self::Planned | Self::Offering => Some(Self::Aborted),
            Self::Starting
            | Self::Copying
            | Self::CatchingUp
            | Self::VerifyRequested
            | Self::Verifying
            | Self::AwaitingCertificate
            | Self::Ready => Some(Self::Discarding),
            Self::Fencing | Self::Completing | Self::Sealing | Self::Sealed => Some(Self::Unfencing),
            _ => None,
        }
    }

    /// Where work begins anew after a lost fence or after an operator's retry. `None` where nothing can be held or lost.
    ///
    /// A copy is begun anew at `starting`, whatever was wrong with it: objects are named by content, so it costs a
    /// set difference, and all that follows is done and compared again.
    #[must_use]
    pub const fn again(self) -> Option<Self> {
        match self {
            Self::Offering => Some(Self::Offering),
            Self::Starting
            | Self::Copying
            | Self::CatchingUp
            | Self::VerifyRequested
            | Self::Verifying
            | Self::AwaitingCertificate
            | Self::Ready => Some(Self::Starting),
            Self::Fencing | Self::Completing | Self::Sealing => Some(Self::Fencing),
            Self::Promoting | Self::Retiring | Self::Releasing | Self::Unfencing | Self::Discarding => Some(self),
            Self::Planned
            | Self::Sealed
            | Self::Routing
            | Self::Probing
            | Self::Soaking
            | Self::Released
            | Self::Aborted => None,
        }
    }

    /// True where a failure makes the move wait for an operator. Not from the fence to the commit: clients are parked
    /// there, and a fence that is lost too often is undone instead.
    #[must_use]
    pub const fn may_be_held(self) -> bool {
        self.again().is_some() && !self.is_cutting_over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_stage_once_and_in_order() {
        assert_eq!(STAGE_ORDER.map(|(stage, _)| stage), Stage::ALL);
    }

    #[test]
    fn undo_and_retry_lead_only_where_the_table_allows() {
        for stage in Stage::ALL {
            for next in [stage.undo(), stage.again()].into_iter().flatten() {
                assert!(stage.followers().contains(&next), "{stage:?} -> {next:?}");
            }
        }
    }

    #[test]
    fn no_way_leads_from_a_commit_back_before_it() {
        for stage in Stage::ALL.into_iter().filter(|stage| stage.is_committed()) {
            assert!(stage.followers().iter().all(|next| next.is_committed()), "{stage:?}");
            assert_eq!(stage.undo(), None);
        }
    }

    #[test]
    fn every_stage_leads_to_an_end() {
        for stage in Stage::ALL {
            let mut seen = vec![stage];
            let mut at = 0;
            while at < seen.len() {
                for next in seen[at].followers() {
                    if !seen.contains(next) {
                        seen.push(*next);
                    }
                }
                at += 1;
            }
            assert!(seen.iter().any(|stage| stage.is_over()), "{stage:?}");
        }
    }

    #[test]
    fn every_stage_before_the_commit_can_be_undone() {
        for stage in Stage::ALL.into_iter().filter(|stage| !stage.is_committed() && !stage.is_undo()) {
            assert!(stage.undo().is_some(), "{stage:?}");
        }
    }
}
