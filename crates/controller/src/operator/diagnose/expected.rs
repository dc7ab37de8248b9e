//! Which mode a node may have at its writer and at the other shard of its move, for every stage of every way.

use shardlift_api::v1::NodeMode;
use shardlift_migration::{Migration, Node, Stage, Way};
use shardlift_model::ShardId;

use NodeMode::{Discarded, Fenced, Incoming, Quarantined, Retired, Sealed, Serving, Unspecified};

/// What a shard may say of a node. `Unspecified` stands for: it does not know the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowed {
    /// The recorded placement.
    pub(super) writer: &'static [NodeMode],
    /// The other shard of the present or last move.
    pub(super) other: &'static [NodeMode],
}

/// Copies that are nobody's writer: what may lie at a target before the first byte of a move.
const IDLE: &[NodeMode] = &[Unspecified, Incoming, Retired, Discarded, Quarantined];

/// A shard that was given up and answers all the same: whatever it was when it fell silent, until it is told.
const GIVEN_UP: &[NodeMode] = &[Serving, Fenced, Sealed, Incoming, Retired, Unspecified];

/// By stage. Where a command is under way, both what was before it and what will be after it.
pub(super) const fn allowed(stage: Stage, way: Way) -> Allowed {
    if let Way::WithoutWriter = way {
        return without_writer(stage);
    }
    let (writer, other): (&[NodeMode], &[NodeMode]) = match stage {
        Stage::Planned
        | Stage::Offering
        | Stage::Starting
        | Stage::Copying
        | Stage::CatchingUp
        | Stage::VerifyRequested
        | Stage::Verifying
        | Stage::AwaitingCertificate
        | Stage::Ready
        | Stage::Discarding
        | Stage::Aborted => (&[Serving], IDLE),
        Stage::Fencing | Stage::Completing => (&[Serving, Fenced], &[Incoming]),
        Stage::Sealing | Stage::Unfencing => (&[Serving, Fenced, Sealed], &[Incoming]),
        Stage::Sealed => (&[Sealed], &[Incoming]),
        Stage::Promoting => (&[Incoming, Serving], &[Sealed]),
        Stage::Retiring => (&[Serving], &[Sealed, Incoming]),
        Stage::Routing | Stage::Probing | Stage::Soaking | Stage::Releasing => (&[Serving], &[Incoming]),
        Stage::Detaching => (&[Serving], &[Incoming, Retired]),
        Stage::TakingStock | Stage::Redirecting | Stage::Deposing => return without_writer(stage),
        Stage::Quarantining => (&[Serving], &[Incoming, Retired, Quarantined]),
        Stage::Released => (&[Serving], &[Quarantined]),
        Stage::Restoring => (&[Serving], &[Quarantined, Retired]),
        Stage::Resuming => (&[Serving], &[Retired, Incoming]),
        Stage::RolledBack => (&[Serving], &[Retired, Incoming]),
    };
    Allowed { writer, other }
}

/// A takeover: the recorded writer is the shard that was given up, until the commit.
const fn without_writer(stage: Stage) -> Allowed {
    let (writer, other): (&[NodeMode], &[NodeMode]) = match stage {
        Stage::TakingStock => (GIVEN_UP, &[Incoming, Sealed]),
        Stage::Redirecting => (&[Incoming], GIVEN_UP),
        Stage::Promoting => (&[Incoming, Serving], GIVEN_UP),
        Stage::RolledBack => (&[Serving], &[Retired, Unspecified]),
        _ => (&[Serving], GIVEN_UP),
    };
    Allowed { writer, other }
}

/// The other shard of a move that was taken back, when it was written off before it had answered: as it was after its seal, or
/// after it was retired.
pub(super) const WRITTEN_OFF: &[NodeMode] = &[Sealed, Incoming, Retired, Unspecified];

/// The shard that was given up and has not been told so yet. It may serve who reaches it, but no router leads there.
pub(super) fn given_up(moving: &Migration) -> Option<&ShardId> {
    (moving.takeover.is_some() && !moving.stage.is_over()).then_some(&moving.target)
}

/// The other shard of a node's present or last move.
pub(super) fn other<'n>(node: &'n Node, moving: &'n Migration) -> &'n ShardId {
    if node.shard == moving.source { &moving.target } else { &moving.source }
}

/// The word for people.
pub(super) fn word(mode: NodeMode) -> String {
    match mode {
        Unspecified => "unknown".to_owned(),
        mode => mode.as_str_name().trim_start_matches("NODE_MODE_").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_between_seal_and_promotion_may_nobody_serve_and_never_may_both() {
        for stage in Stage::ALL.into_iter().filter(|stage| *stage != Stage::Redirecting) {
            for way in [Way::Forward, Way::Back] {
                let allowed = allowed(stage, way);
                assert!(serves(allowed.writer) || stage == Stage::Sealed, "{stage}");
                assert!(!serves(allowed.other) || is_of_takeover(stage), "{stage}");
            }
        }
    }

    #[test]
    fn a_shard_that_was_written_off_takes_no_writes() {
        assert!(!serves(WRITTEN_OFF) && !WRITTEN_OFF.contains(&Fenced));
    }

    fn serves(modes: &[NodeMode]) -> bool {
        modes.contains(&Serving)
    }

    fn is_of_takeover(stage: Stage) -> bool {
        matches!(stage, Stage::TakingStock | Stage::Redirecting | Stage::Deposing)
    }

    #[test]
    fn a_shard_that_was_given_up_may_serve_until_it_is_told_and_nobody_serves_before_the_promotion() {
        let of = |stage| allowed(stage, Way::WithoutWriter);
        assert!(!serves(of(Stage::TakingStock).other) && !serves(of(Stage::Redirecting).writer));
        for stage in [Stage::Redirecting, Stage::Promoting, Stage::Probing, Stage::Deposing] {
            assert!(serves(of(stage).other), "{stage}");
        }
        assert!(!serves(of(Stage::RolledBack).other));
    }
}
