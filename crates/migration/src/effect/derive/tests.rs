//! What runs at each stage, as a table, and that a held move runs nothing.

use crate::fixture::{Bench, batch, node};
use crate::{Direction, Effect, Input, Outcome, Stage, When};
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
        Effect::WatchSoak { token, writer, follower, verify, .. } => {
            format!("watch soak {writer} {follower} verify {verify} {token}")
        }
        Effect::AskCutover { batch, idle } => format!("ask {batch} idle {:?}", idle.as_ref().map(Vec::len)),
        Effect::IssueReceipt { node, generation } => format!("receipt of {node} at {generation}"),
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
        promoting: Promote to b for n1 1.4.1, routes 1
        retiring: Retire to a for n1 1.4.2, routes 2
        routing: routes 2
        probing: probe n1.backup.example at b generation 4 1.4.4, routes 2
        soaking: watch soak b a verify false 1.4.5, routes 2
        detaching: Detach to b for n1 1.5.5, routes 3
        taking_stock: TakeStock to a for n1 1.4.6, routes 2
        redirecting: routes 3
        deposing: Depose to b for n1 1.5.4, routes 3
        releasing: EndLegacyCredentials to b for n1 1.4.6, routes 2
        quarantining: Quarantine to a for n1 1.4.7, routes 2
        released: receipt of n1 at 4, routes 2
        restoring: Restore to a for n1 1.4.9, receipt of n1 at 4, routes 2
        resuming: StartReplica to a for n1 1.4.10, receipt of n1 at 4, routes 2
        unfencing: Unfence to a for n1 1.3.10, routes 1
        discarding: DiscardReplica to b for n1 1.3.11, routes 1
        aborted: routes 1
        rolled_back: routes 3
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
fn every_stage_of_a_way_back_runs_what_it_needs_and_no_more() {
    let mut table = String::new();
    let undo = [Stage::Unfencing, Stage::Resuming];
    let back = Stage::ALL
        .into_iter()
        .filter(|stage| stage.allowed(Direction::Back).next().is_some() || *stage == Stage::RolledBack);
    let back = back.filter(|stage| {
        *stage >= Stage::Fencing && *stage <= Stage::Detaching && !matches!(stage, Stage::Soaking | Stage::Sealed)
    });
    for stage in back.chain(undo) {
        let lines: Vec<String> = Bench::back_at(stage).effects().iter().map(line).collect();
        writeln!(table, "{stage}: {}", lines.join(", ")).unwrap();
    }
    expect![[r#"
        fencing: Fence to b for n1 1.4.6, routes 2
        completing: CompleteReplica to a for n1 1.4.7, renew at b 1.4.7, routes 2
        sealing: Seal to b for n1 1.4.8, renew at b 1.4.8, routes 2
        promoting: Promote to a for n1 1.5.1, routes 2
        retiring: Retire to b for n1 1.5.2, routes 3
        routing: routes 3
        probing: probe n1.backup.example at a generation 5 1.5.4, routes 3
        detaching: Detach to b for n1 1.5.5, routes 3
        unfencing: Unfence to b for n1 1.4.7, routes 2
        resuming: StartReplica to a for n1 1.4.8, routes 2
    "#]]
    .assert_eq(&table);
}

#[test]
fn one_target_that_is_not_promoted_keeps_only_its_own_clients_where_they_were() {
    let mut bench = Bench::at(Stage::Sealed);
    bench.drive("n2", Stage::Promoting);
    assert_eq!(bench.stage("n1"), Stage::Promoting);
    let routed = |bench: &Bench, name: &str| {
        let routes = bench.world.routes();
        let routed = routes[&bench.world.nodes[&node(name)].server_name];
        (routed.shard.to_string(), routed.token.generation.0)
    };
    let version = bench.world.route_version;
    assert_eq!(routed(&bench, "n2"), ("a".to_owned(), 3));
    bench.drive("n2", Stage::Routing);
    assert_eq!((routed(&bench, "n1"), routed(&bench, "n2")), (("a".to_owned(), 3), ("c".to_owned(), 4)));
    assert_eq!(bench.world.route_version, version + 1);
    bench.input(Input::RoutesConfirmed { version }).unwrap();
    assert_eq!(bench.stage("n2"), Stage::Routing);
    bench.input(Input::RoutesConfirmed { version: version + 1 }).unwrap();
    bench.drive("n2", Stage::Soaking);
    assert_eq!((bench.stage("n1"), bench.world.route_version), (Stage::Promoting, version + 1));
    bench.drive("n1", Stage::Routing);
    assert_eq!((routed(&bench, "n1"), bench.world.route_version), (("b".to_owned(), 4), version + 2));
}

#[test]
fn idle_is_asked_of_the_sources_only_when_it_is_wanted() {
    let ask = |when| {
        let mut bench = Bench::planned_with(&[("one", &[], &["n1"])], |batch| batch.when = when);
        bench.certify_all();
        bench.input(Input::StartBatch { batch: batch("one") }).unwrap();
        bench.drive("n1", Stage::Ready);
        let asked = bench.effects().into_iter().find(|effect| matches!(effect, Effect::AskCutover { .. }));
        asked.map(|effect| line(&effect)).unwrap()
    };
    assert_eq!(ask(When::Now), "ask one idle None");
    assert_eq!(ask(When::Idle), "ask one idle Some(1)");
}
