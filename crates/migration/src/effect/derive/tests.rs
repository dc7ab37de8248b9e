//! What runs at each stage, as a table, and that a held move runs nothing.

use crate::fixture::{Bench, node};
use crate::{Effect, Input, Outcome, Stage};
use expect_test::expect;
use std::fmt::Write as _;

fn line(effect: &Effect) -> String {
    match effect {
        Effect::Send { node, token, shard, command } => {
            let command = format!("{command:?}");
            let word = command.split([' ', '{']).next().unwrap_or_default();
            format!("{word} to {shard} for {node} {token}")
        }
        Effect::RenewFence { token, shard, .. } => format!("renew at {shard} {token}"),
        Effect::WatchReplica { token, shard, .. } => format!("watch {shard} {token}"),
        Effect::SyncRouters { version } => format!("routes {version}"),
        Effect::Probe { token, server_name, shard, generation, .. } => {
            format!("probe {server_name} at {shard} generation {generation} {token}")
        }
    }
}

#[test]
fn every_stage_runs_what_it_needs_and_no_more() {
    let mut table = String::new();
    for stage in Stage::ALL {
        let bench = Bench::at(stage);
        let of_node = |effect: &&Effect| effect.goes_to().is_none_or(|(name, _)| *name == node("n1"));
        let lines: Vec<String> = bench.effects().iter().filter(of_node).map(line).collect();
        writeln!(table, "{stage}: {}", lines.join(", ")).unwrap();
    }
    expect![[r#"
        planned: routes 1
        offering: Offer to a for n1 1.3.1, routes 1
        starting: StartReplica to b for n1 1.3.2, routes 1
        copying: watch b 1.3.3, routes 1
        catching_up: watch b 1.3.4, routes 1
        verify_requested: VerifyReplica to b for n1 1.3.5, routes 1
        verifying: watch b 1.3.6, routes 1
        awaiting_certificate: watch b 1.3.7, routes 1
        ready: watch b 1.3.8, routes 2
        fencing: Fence to a for n1 1.3.9, routes 1
        completing: CompleteReplica to b for n1 1.3.10, renew at a 1.3.10, routes 1
        sealing: Seal to a for n1 1.3.11, renew at a 1.3.11, routes 1
        sealed: routes 2
        promoting: Promote to b for n1 1.4.1
        routing: routes 2
        retiring: Retire to a for n1 1.4.3, routes 2
        probing: probe n1.backup.example at b generation 4 1.4.4, routes 2
        soaking: routes 2
        releasing: EndLegacyCredentials to b for n1 1.4.6, routes 2
        released: routes 2
        unfencing: Unfence to a for n1 1.3.10, routes 1
        discarding: DiscardReplica to b for n1 1.3.11, routes 1
        aborted: routes 1
    "#]]
    .assert_eq(&table);
}

#[test]
fn a_held_move_runs_nothing() {
    for stage in Stage::ALL.into_iter().filter(|stage| stage.may_be_held()) {
        let mut bench = Bench::at(stage);
        bench.answer("n1", Outcome::Refused { reason: "no".to_owned() });
        assert!(bench.moving("n1").held.is_some(), "{stage}");
        assert!(bench.effects().iter().all(|e| e.goes_to().is_none_or(|(name, _)| *name != node("n1"))), "{stage}");
    }
}

#[test]
fn clients_are_not_led_to_a_target_that_is_still_being_promoted() {
    let mut bench = Bench::at(Stage::Sealed);
    bench.drive("n2", Stage::Promoting);
    assert_eq!(bench.stage("n1"), Stage::Promoting);
    bench.answer("n2", Outcome::Done);
    assert!(!bench.effects().iter().any(|effect| matches!(effect, Effect::SyncRouters { .. })));
    bench.answer("n1", Outcome::Done);
    let version = bench.world.route_version;
    assert!(bench.effects().contains(&Effect::SyncRouters { version }));
    bench.input(Input::RoutesConfirmed { version: version - 1 }).unwrap();
    assert_eq!(bench.stage("n1"), Stage::Routing);
    bench.input(Input::RoutesConfirmed { version }).unwrap();
    assert_eq!(bench.stages()["n2"], Stage::Retiring);
}
