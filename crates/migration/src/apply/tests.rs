//! `apply` is total, and a stored journal gives the world that wrote it.

use crate::fixture::{Bench, empty_world};
use crate::{Event, Stage};

#[test]
fn events_about_what_is_not_there_are_ignored() {
    for stage in [Stage::Released, Stage::Aborted, Stage::Deposing] {
        for event in Bench::at(stage).journal {
            let mut world = empty_world();
            world.apply(&event);
            let adds = matches!(
                event,
                Event::LeadershipTaken { .. }
                    | Event::ShardRecorded { .. }
                    | Event::RouterRecorded { .. }
                    | Event::NodeFound { .. }
                    | Event::PlanApplied { .. }
                    | Event::CertificateIssued { .. }
                    | Event::EnrolmentGranted { .. }
                    | Event::BatchCommitted { .. }
            );
            assert!(adds || world == empty_world(), "{event:?}");
        }
    }
}

#[test]
fn a_stored_journal_gives_the_same_world_again() {
    for stage in Stage::ALL {
        let bench = Bench::at(stage);
        assert_eq!(Bench::replay(&bench.journal), bench.world, "{stage}");
        let stored = serde_json::to_string(&bench.world).unwrap();
        assert_eq!(serde_json::from_str::<crate::World>(&stored).unwrap(), bench.world, "{stage}");
    }
}
