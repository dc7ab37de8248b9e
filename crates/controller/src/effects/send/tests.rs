//! What becomes of a failure.

use super::*;
use shardlift_migration::FinalState;
use shardlift_model::Sha256;

const STATE: FinalState = FinalState { seq: 1, root: Sha256([0; 32]), objects: 0, bytes: 0, damaged: 0 };

fn promote() -> Command {
    Command::Promote { expected: STATE, follower: "a".parse().unwrap(), settings: None }
}

fn of(command: &Command, kind: FaultKind) -> Option<Outcome> {
    verdict(command, &Failure { kind, reason: "why".into() }, 1)
}

#[test]
fn a_shard_out_of_reach_is_asked_again_and_never_reported() {
    for command in [Command::Fence, Command::DiscardReplica, Command::TakeStock, Command::Depose, promote()] {
        assert_eq!(of(&command, FaultKind::Unavailable), None);
    }
}

#[test]
fn a_refusal_in_the_cutover_is_a_lost_fence_and_elsewhere_a_refusal() {
    let cutover = [Command::Fence, Command::CompleteReplica { expected: STATE }, Command::Seal { expected: STATE }];
    for command in cutover {
        for kind in [FaultKind::Refused, FaultKind::StaleToken] {
            assert_eq!(of(&command, kind), Some(Outcome::FenceLost { reason: "why".into() }));
        }
        assert_eq!(of(&command, FaultKind::NotFound), Some(Outcome::Refused { reason: "why".into() }));
    }
    for command in [Command::VerifyReplica, promote(), Command::Unfence] {
        assert_eq!(of(&command, FaultKind::Refused), Some(Outcome::Refused { reason: "why".into() }));
    }
}

#[test]
fn a_broken_shard_gets_time_to_be_restarted() {
    let failure = Failure { kind: FaultKind::Internal, reason: "why".into() };
    let refused = Some(Outcome::Refused { reason: "why".into() });
    assert_eq!(verdict(&Command::VerifyReplica, &failure, 1), None);
    assert_eq!(verdict(&Command::VerifyReplica, &failure, BROKEN_TRIES_MAX), refused);
    assert_eq!(verdict(&Command::Seal { expected: STATE }, &failure, u32::MAX), None);
}

#[test]
fn a_broken_connection_is_no_word_of_the_shard() {
    assert_eq!(Failure::from(Status::internal("h2 protocol error")).kind, FaultKind::Unavailable);
    let said = Status::from(Fault::new(FaultKind::Internal, "said"));
    assert_eq!(Failure::from(said).kind, FaultKind::Internal);
}

#[test]
fn a_missing_copy_counts_as_discarded_and_as_given_up() {
    for command in [Command::DiscardReplica, Command::Depose] {
        assert_eq!(of(&command, FaultKind::NotFound), Some(Outcome::Done));
    }
    assert_ne!(of(&Command::TakeStock, FaultKind::NotFound), Some(Outcome::Done));
    assert_ne!(of(&Command::Unfence, FaultKind::NotFound), Some(Outcome::Done));
}
