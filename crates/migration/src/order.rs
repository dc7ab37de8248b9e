//! The order of stages, as data: which stage may follow which, on which way, and what must be done to undo each.

use crate::stage::{Direction, Stage, Way};

/// Which stages may follow each stage.
///
/// A stage that follows itself, `starting` after a later stage before the fence, and `fencing` after `completing` or
/// `sealing` are work begun anew. `promoting` after `sealed` is the commit and nothing else; `fencing` after `routing`,
/// `probing` or `soaking` is the start of a way back; `restoring` after `released` is an operator's decision, and so is
/// `taking_stock` after any stage but itself. `redirecting` after `taking_stock` is the commit of a takeover.
pub const STAGE_ORDER: [(Stage, &[Stage]); 31] = [
    (Stage::Planned, &[Stage::Offering, Stage::Aborted]),
    (Stage::Offering, &[Stage::Offering, Stage::Starting, Stage::Aborted]),
    (Stage::Starting, &[Stage::Starting, Stage::Copying, Stage::Discarding]),
    (Stage::Copying, &[Stage::Starting, Stage::CatchingUp, Stage::Discarding]),
    (Stage::CatchingUp, &[Stage::Starting, Stage::VerifyRequested, Stage::Discarding]),
    (Stage::VerifyRequested, &[Stage::Starting, Stage::Verifying, Stage::Discarding]),
    (Stage::Verifying, &[Stage::Starting, Stage::AwaitingCertificate, Stage::Discarding]),
    (Stage::AwaitingCertificate, &[Stage::Starting, Stage::Ready, Stage::Discarding]),
    (Stage::Ready, &[Stage::Starting, Stage::Fencing, Stage::Discarding]),
    (Stage::Fencing, &[Stage::Fencing, Stage::Completing, Stage::Unfencing, Stage::TakingStock]),
    (Stage::Completing, &[Stage::Fencing, Stage::Sealing, Stage::Unfencing, Stage::TakingStock]),
    (Stage::Sealing, &[Stage::Fencing, Stage::Sealed, Stage::Unfencing]),
    (Stage::Sealed, &[Stage::Promoting, Stage::Unfencing]),
    (Stage::Promoting, &[Stage::Promoting, Stage::Retiring, Stage::Probing, Stage::TakingStock]),
    (Stage::Retiring, &[Stage::Retiring, Stage::Routing, Stage::TakingStock]),
    (Stage::Routing, &[Stage::Probing, Stage::Fencing, Stage::TakingStock]),
    (Stage::Probing, &[Stage::Soaking, Stage::Detaching, Stage::Deposing, Stage::Fencing, Stage::TakingStock]),
    (Stage::Soaking, &[Stage::Fencing, Stage::Releasing, Stage::TakingStock]),
    (Stage::Detaching, &[Stage::Detaching, Stage::RolledBack]),
    (Stage::TakingStock, &[Stage::TakingStock, Stage::Redirecting]),
    (Stage::Redirecting, &[Stage::Promoting]),
    (Stage::Deposing, &[Stage::Deposing, Stage::RolledBack]),
    (Stage::Releasing, &[Stage::Releasing, Stage::Quarantining]),
    (Stage::Quarantining, &[Stage::Quarantining, Stage::Released]),
    (Stage::Released, &[Stage::Restoring]),
    (Stage::Restoring, &[Stage::Restoring, Stage::Resuming]),
    (Stage::Resuming, &[Stage::Resuming, Stage::Soaking, Stage::TakingStock]),
    (Stage::Unfencing, &[Stage::Unfencing, Stage::Discarding, Stage::Resuming, Stage::TakingStock]),
    (Stage::Discarding, &[Stage::Discarding, Stage::Aborted]),
    (Stage::Aborted, &[]),
    (Stage::RolledBack, &[]),
];

/// Followers that not every way has, once for each way that has them: the way on which a move is when it takes them. All
/// others are the same on every way. A way back is begun while the move still goes forward, and its undo ends with the move
/// going forward again. A takeover is begun while the move goes forward or back, and leads on by ways of its own.
const ONE_WAY: [(Stage, Stage, Way); 21] = [
    (Stage::Ready, Stage::Fencing, Way::Forward),
    (Stage::Routing, Stage::Fencing, Way::Forward),
    (Stage::Probing, Stage::Fencing, Way::Forward),
    (Stage::Soaking, Stage::Fencing, Way::Forward),
    (Stage::Probing, Stage::Soaking, Way::Forward),
    (Stage::Probing, Stage::Detaching, Way::Back),
    (Stage::Unfencing, Stage::Discarding, Way::Forward),
    (Stage::Unfencing, Stage::Resuming, Way::Back),
    (Stage::Promoting, Stage::Retiring, Way::Forward),
    (Stage::Promoting, Stage::Retiring, Way::Back),
    (Stage::Promoting, Stage::TakingStock, Way::Forward),
    (Stage::Retiring, Stage::TakingStock, Way::Forward),
    (Stage::Routing, Stage::TakingStock, Way::Forward),
    (Stage::Probing, Stage::TakingStock, Way::Forward),
    (Stage::Soaking, Stage::TakingStock, Way::Forward),
    (Stage::Fencing, Stage::TakingStock, Way::Back),
    (Stage::Completing, Stage::TakingStock, Way::Back),
    (Stage::Unfencing, Stage::TakingStock, Way::Back),
    (Stage::Resuming, Stage::TakingStock, Way::Back),
    (Stage::Promoting, Stage::Probing, Way::WithoutWriter),
    (Stage::Probing, Stage::Deposing, Way::WithoutWriter),
];

impl Stage {
    /// The stages that may follow, on one way or another.
    #[must_use]
    pub fn followers(self) -> &'static [Self] {
        STAGE_ORDER.iter().find(|(stage, _)| *stage == self).map_or(&[], |(_, followers)| followers)
    }

    /// The stages that may follow while a move is on this way.
    pub fn allowed(self, way: impl Into<Way>) -> impl Iterator<Item = Self> {
        let way = way.into();
        let has = move |next: &Self| {
            let mut rows = ONE_WAY.iter().filter(|(from, to, _)| *from == self && to == next).peekable();
            rows.peek().is_none() || rows.any(|(_, _, only)| *only == way)
        };
        self.followers().iter().copied().filter(has)
    }

    /// True where an operator may give the writer up and have its follower take over ([`Self::TakingStock`]).
    #[must_use]
    pub fn begins_takeover(self, way: impl Into<Way>) -> bool {
        self != Self::TakingStock && self.allowed(way).any(|next| next == Self::TakingStock)
    }

    /// Where a move goes on when the former writer, whose answer this stage waits for, is written off: it will never return.
    /// `None` where nobody waits for a former writer.
    ///
    /// Only after the commit, with the new writer promoted: what it took in was verified, or given up by name, and the routes
    /// lead to it. A seal is never written off, as all that keeps a silent writer from acknowledging is its own seal.
    #[must_use]
    pub const fn written_off(self, way: Way) -> Option<Self> {
        match (self, way) {
            (Self::Retiring, Way::Back) => Some(Self::Routing),
            (Self::Detaching, Way::Back) | (Self::Deposing, Way::WithoutWriter) => Some(Self::RolledBack),
            _ => None,
        }
    }

    /// Where an undo begins. `None` where the commit stands, and when an undo is under way or over.
    ///
    /// Before `StartReplica` was sent there is nothing to take back: an offer lets the target read and no more. From the
    /// fence on the giver comes first, so that its clients are served again as soon as can be.
    #[must_use]
    pub const fn undo(self, direction: Direction) -> Option<Self> {
        match (self, direction) {
            (Self::Fencing | Self::Completing | Self::Sealing | Self::Sealed, _) => Some(Self::Unfencing),
            (Self::Planned | Self::Offering, Direction::Forward) => Some(Self::Aborted),
            (
                Self::Starting
                | Self::Copying
                | Self::CatchingUp
                | Self::VerifyRequested
                | Self::Verifying
                | Self::AwaitingCertificate
                | Self::Ready,
                Direction::Forward,
            ) => Some(Self::Discarding),
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
            Self::Promoting
            | Self::Retiring
            | Self::Detaching
            | Self::TakingStock
            | Self::Deposing
            | Self::Releasing
            | Self::Quarantining
            | Self::Restoring
            | Self::Resuming
            | Self::Unfencing
            | Self::Discarding => Some(self),
            Self::Planned
            | Self::Sealed
            | Self::Routing
            | Self::Probing
            | Self::Soaking
            | Self::Redirecting
            | Self::Released
            | Self::Aborted
            | Self::RolledBack => None,
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

    const BOTH: [Direction; 2] = [Direction::Forward, Direction::Back];

    #[test]
    fn the_table_has_every_stage_once_and_in_order() {
        assert_eq!(STAGE_ORDER.map(|(stage, _)| stage), Stage::ALL);
    }

    #[test]
    fn undo_and_retry_lead_only_where_the_table_allows() {
        for (stage, direction) in Stage::ALL.into_iter().flat_map(|stage| BOTH.map(|direction| (stage, direction))) {
            for next in [stage.undo(direction), stage.again()].into_iter().flatten() {
                assert!(stage.allowed(direction).any(|allowed| allowed == next), "{stage:?} -> {next:?}");
            }
        }
    }

    #[test]
    fn every_one_way_is_a_way() {
        for (from, to, _) in ONE_WAY {
            assert!(from.followers().contains(&to), "{from:?} -> {to:?}");
        }
    }

    #[test]
    fn a_takeover_has_its_own_ways_and_no_way_out() {
        let mut seen = vec![Stage::TakingStock];
        let mut at = 0;
        while at < seen.len() {
            for next in seen[at].allowed(Way::WithoutWriter) {
                if !seen.contains(&next) {
                    seen.push(next);
                }
            }
            at += 1;
        }
        let own = [Stage::TakingStock, Stage::Redirecting, Stage::Promoting, Stage::Probing, Stage::Deposing];
        assert_eq!(seen[..5], own);
        assert_eq!(seen[5..], [Stage::RolledBack]);
        for direction in BOTH {
            for stage in [Stage::TakingStock, Stage::Redirecting, Stage::Deposing] {
                assert_eq!(stage.undo(direction), None, "{stage}");
            }
            let mut others = Stage::ALL.into_iter().filter(|stage| *stage != Stage::Deposing);
            assert!(others.all(|stage| stage.allowed(direction).all(|next| next != Stage::Deposing)));
            assert!(!Stage::Promoting.allowed(direction).any(|next| next == Stage::Probing));
        }
        assert!(!Stage::Promoting.allowed(Way::WithoutWriter).any(|next| next == Stage::Retiring));
    }

    #[test]
    fn a_takeover_begins_where_the_writer_is_needed_and_its_follower_may_have_less() {
        let begins = |direction| Stage::ALL.into_iter().filter(move |stage| stage.begins_takeover(direction));
        let forward = [Stage::Promoting, Stage::Retiring, Stage::Routing, Stage::Probing, Stage::Soaking];
        assert!(begins(Direction::Forward).eq(forward));
        let back = [Stage::Fencing, Stage::Completing, Stage::Resuming, Stage::Unfencing];
        assert!(begins(Direction::Back).eq(back));
        assert!(Stage::ALL.into_iter().all(|stage| !stage.begins_takeover(Way::WithoutWriter)));
    }

    #[test]
    fn a_former_writer_is_written_off_only_where_the_next_stage_does_not_need_it() {
        let mut found = Vec::new();
        for (stage, way) in Stage::ALL.into_iter().flat_map(|stage| Way::ALL.map(|way| (stage, way))) {
            let Some(next) = stage.written_off(way) else { continue };
            assert!(stage.is_committed() && stage != Stage::Promoting, "{stage}: the new writer is not promoted yet");
            assert!(stage.allowed(way).any(|allowed| allowed == next), "{stage} -> {next}");
            found.push(stage);
        }
        assert_eq!(found, [Stage::Retiring, Stage::Detaching, Stage::Deposing]);
    }

    #[test]
    fn only_a_way_back_leads_from_a_commit_before_it() {
        for stage in Stage::ALL.into_iter().filter(|stage| stage.is_committed()) {
            let before: Vec<Stage> = stage.allowed(Direction::Back).filter(|next| !next.is_committed()).collect();
            assert_eq!(before, [], "{stage:?}");
            let before: Vec<Stage> = stage.allowed(Direction::Forward).filter(|next| !next.is_committed()).collect();
            let begins = matches!(stage, Stage::Routing | Stage::Probing | Stage::Soaking);
            assert_eq!(before, if begins { vec![Stage::Fencing] } else { vec![] }, "{stage:?}");
            assert!(BOTH.iter().all(|direction| stage.undo(*direction).is_none()), "{stage:?}");
        }
    }

    #[test]
    fn every_stage_leads_to_an_end_in_its_direction() {
        for direction in BOTH {
            for stage in Stage::ALL {
                let mut seen = vec![stage];
                let mut at = 0;
                while at < seen.len() {
                    for next in seen[at].allowed(direction) {
                        if !seen.contains(&next) {
                            seen.push(next);
                        }
                    }
                    at += 1;
                }
                assert!(
                    seen.iter().any(|stage| stage.is_over() || *stage == Stage::Soaking),
                    "{stage:?} {direction:?}"
                );
            }
        }
    }

    #[test]
    fn every_stage_before_the_commit_can_be_undone() {
        for stage in Stage::ALL.into_iter().filter(|stage| !stage.is_committed() && !stage.is_undo()) {
            assert!(stage.undo(Direction::Forward).is_some(), "{stage:?}");
            assert!(!stage.is_cutting_over() || stage.undo(Direction::Back).is_some(), "{stage:?}");
        }
    }
}
