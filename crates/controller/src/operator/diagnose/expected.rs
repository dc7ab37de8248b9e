//! Which mode a node may have at its writer and at the other shard of its move, for every stage.

use shardlift_api::v1::NodeMode;
use shardlift_migration::{Migration, Node, Stage};
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

/// By stage. Where a command is under way, both what was before it and what will be after it.
pub(super) const fn allowed(stage: Stage) -> Allowed {
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
        Stage::Quarantining => (&[Serving], &[Incoming, Retired, Quarantined]),
        Stage::Released => (&[Serving], &[Quarantined]),
        Stage::Restoring => (&[Serving], &[Quarantined, Retired]),
        Stage::Resuming => (&[Serving], &[Retired, Incoming]),
        Stage::RolledBack => (&[Serving], &[Retired, Incoming]),
    };
    Allowed { writer, other }
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
        for stage in Stage::ALL {
            let allowed = allowed(stage);
            let serves = |modes: &[NodeMode]| modes.contains(&Serving);
            assert!(serves(allowed.writer) || stage == Stage::Sealed, "{stage}");
            assert!(!serves(allowed.other), "{stage}");
        }
    }
}
