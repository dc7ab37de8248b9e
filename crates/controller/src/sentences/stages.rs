//! The stages of a move, as the rest of a sentence that begins with the node.

use shardlift_migration::{Stage, Way};

/// For operators.
pub(crate) const fn operator_words(stage: Stage) -> &'static str {
    match stage {
        Stage::Planned => "is planned",
        Stage::Offering => "is being offered to its target",
        Stage::Starting => "gets an incoming copy at its target",
        Stage::Copying => "is being copied",
        Stage::CatchingUp => "is copied and catches up with its changes",
        Stage::VerifyRequested => "is about to be verified",
        Stage::Verifying => "is being verified",
        Stage::AwaitingCertificate => "is verified and waits for its new certificate to be used",
        Stage::Ready => "is ready for its batch",
        Stage::Fencing => "is being fenced: writes wait at the source",
        Stage::Completing => "gets its last changes",
        Stage::Sealing => "is being sealed at the source",
        Stage::Sealed => "is sealed and waits for the commit of its batch",
        Stage::Promoting => "is committed; its new server becomes the writer",
        Stage::Retiring => "lets the former writer forward its clients and follow",
        Stage::Routing => "waits for the routers to hold its new route",
        Stage::Probing => "is being probed through the routers",
        Stage::Soaking => "is served by its target and soaks; its source follows",
        Stage::Detaching => "is back; its target stops following and keeps what it has",
        Stage::TakingStock => "has lost its writer; its follower stops following and says what it has",
        Stage::Redirecting => "waits until no router passes anybody to its former writer",
        Stage::Deposing => "is back; its former writer has to give up what it has when it returns",
        Stage::Releasing => "ends its old credentials",
        Stage::Quarantining => "has its old copy renamed aside",
        Stage::Released => "is released",
        Stage::Restoring => "has its old copy taken out of quarantine",
        Stage::Resuming => "has its old copy follow the writer again",
        Stage::Unfencing => "is being given back to the one who served it",
        Stage::Discarding => "gives up its incoming copy",
        Stage::Aborted => "stays on its source: the move was undone",
        Stage::RolledBack => "was moved back to its source",
    }
}

/// For the node's customer; `None` where a stage changes nothing that a customer would notice.
pub(crate) const fn customer_words(stage: Stage, way: Way) -> Option<&'static str> {
    match stage {
        // What was lost was said when it was given up; that a former server is dealt with is nobody's concern.
        Stage::Deposing => Some("is served by its former server again; the next backup goes there"),
        Stage::RolledBack if matches!(way, Way::WithoutWriter) => None,
        Stage::Planned => Some("is planned to move"),
        Stage::Copying => Some("is being copied to its new server while backups go on"),
        Stage::CatchingUp => Some("is copied; new backups follow"),
        Stage::AwaitingCertificate => Some("waits for a backup with its new certificate"),
        Stage::Ready => Some("is ready to move"),
        Stage::Fencing => Some("moves now; writes wait for a few seconds"),
        Stage::Soaking => Some("is served by its new server"),
        Stage::Released => Some("has moved for good; old credentials have ended"),
        Stage::Aborted => Some("stays on its present server"),
        Stage::RolledBack => Some("is served by its former server again; no backup was lost"),
        Stage::Offering
        | Stage::Starting
        | Stage::VerifyRequested
        | Stage::Verifying
        | Stage::Completing
        | Stage::Sealing
        | Stage::Sealed
        | Stage::Promoting
        | Stage::Routing
        | Stage::Retiring
        | Stage::Probing
        | Stage::Detaching
        | Stage::TakingStock
        | Stage::Redirecting
        | Stage::Releasing
        | Stage::Quarantining
        | Stage::Restoring
        | Stage::Resuming
        | Stage::Unfencing
        | Stage::Discarding => None,
    }
}
