//! Requests and refusals, late answers, every stage with every outcome.

use super::decide;
use crate::fixture::{Bench, batch, node, plan, router, shard, state};
use crate::{CertificateState, Event, FinalState, Input, Outcome, Stage};
use expect_test::expect;
use shardlift_model::{Generation, Sha256, Token, UnixMillis};
use std::fmt::Write as _;

fn refusal(bench: &Bench, input: Input) -> String {
    let refusal = decide(&bench.world, &input, bench.now).unwrap_err();
    format!("{:?}: {}; {}", refusal.kind, refusal.message, refusal.advice)
}

fn outcomes() -> Vec<(&'static str, Outcome)> {
    let (target, reason) = ("b".parse().unwrap(), || "why".to_owned());
    vec![
        ("done", Outcome::Done),
        ("following", Outcome::Following { lag: 1 }),
        ("far behind", Outcome::Following { lag: 1000 }),
        ("verified", Outcome::Verified { state: state(5) }),
        ("verified damaged", Outcome::Verified { state: FinalState { damaged: 1, ..state(5) } }),
        ("fenced", Outcome::Fenced { state: state(7) }),
        ("fenced damaged", Outcome::Fenced { state: FinalState { damaged: 1, ..state(7) } }),
        ("completed", Outcome::Completed { state: state(7) }),
        ("completed other", Outcome::Completed { state: state(6) }),
        ("stock", Outcome::StockTaken { state: state(8) }),
        ("less stock", Outcome::StockTaken { state: state(7) }),
        ("promoted", Outcome::Promoted { seq: 3, snapshots: 1 }),
        ("probed", Outcome::Probed { shard: target, generation: Generation(4), serving: true }),
        ("probed source", Outcome::Probed { shard: "a".parse().unwrap(), generation: Generation(4), serving: true }),
        ("replica failed", Outcome::ReplicaFailed { reason: reason(), damaged_at_source: false }),
        ("replica damaged", Outcome::ReplicaFailed { reason: reason(), damaged_at_source: true }),
        ("fence lost", Outcome::FenceLost { reason: reason() }),
        ("refused", Outcome::Refused { reason: reason() }),
    ]
}

#[test]
fn every_stage_with_every_outcome() {
    let mut table = String::new();
    for stage in Stage::ALL {
        let start = Bench::at(stage);
        let mut line = format!("{stage}:");
        for (word, outcome) in outcomes() {
            let mut bench = start.clone();
            bench.answer("n1", outcome);
            let moving = bench.moving("n1");
            if bench.world != start.world {
                let held = if moving.held.is_some() { " held" } else { "" };
                write!(line, " {word} -> {}{held};", moving.stage).unwrap();
            }
        }
        writeln!(table, "{line}").unwrap();
    }
    expect![[r#"
        planned:
        offering: done -> starting; replica failed -> offering held; replica damaged -> offering held; refused -> offering held;
        starting: done -> copying; replica failed -> starting held; replica damaged -> starting held; refused -> starting held;
        copying: following -> catching_up; far behind -> catching_up; replica failed -> copying held; replica damaged -> copying held; refused -> copying held;
        catching_up: following -> verify_requested; replica failed -> catching_up held; replica damaged -> catching_up held; refused -> catching_up held;
        verify_requested: done -> verifying; replica failed -> verify_requested held; replica damaged -> verify_requested held; refused -> verify_requested held;
        verifying: verified -> ready; verified damaged -> verifying held; replica failed -> verifying held; replica damaged -> verifying held; refused -> verifying held;
        awaiting_certificate: replica failed -> awaiting_certificate held; replica damaged -> awaiting_certificate held; refused -> awaiting_certificate held;
        ready: replica failed -> ready held; replica damaged -> ready held; refused -> ready held;
        fencing: fenced -> completing; fenced damaged -> unfencing; replica failed -> unfencing; replica damaged -> unfencing; fence lost -> fencing; refused -> fencing;
        completing: completed -> sealing; completed other -> fencing; replica failed -> unfencing; replica damaged -> unfencing; fence lost -> fencing; refused -> fencing;
        sealing: done -> promoting; replica failed -> unfencing; replica damaged -> unfencing; fence lost -> fencing; refused -> fencing;
        sealed:
        promoting: promoted -> retiring; replica failed -> promoting held; replica damaged -> promoting held; refused -> promoting held;
        retiring: done -> routing; replica failed -> retiring held; replica damaged -> retiring held; refused -> retiring held;
        routing:
        probing: probed -> soaking;
        soaking:
        detaching: done -> rolled_back; replica failed -> detaching held; replica damaged -> detaching held; refused -> detaching held;
        taking_stock: stock -> redirecting; less stock -> taking_stock held; replica failed -> taking_stock held; replica damaged -> taking_stock held; refused -> taking_stock held;
        redirecting:
        deposing: done -> rolled_back; replica failed -> deposing held; replica damaged -> deposing held; refused -> deposing held;
        releasing: done -> quarantining; replica failed -> releasing held; replica damaged -> releasing held; refused -> releasing held;
        quarantining: done -> released; replica failed -> quarantining held; replica damaged -> quarantining held; refused -> quarantining held;
        released:
        restoring: done -> resuming; replica failed -> restoring held; replica damaged -> restoring held; refused -> restoring held;
        resuming: done -> soaking; replica failed -> resuming held; replica damaged -> resuming held; refused -> resuming held;
        unfencing: done -> discarding; replica failed -> unfencing held; replica damaged -> unfencing held; refused -> unfencing held;
        discarding: done -> aborted; replica failed -> discarding held; replica damaged -> discarding held; refused -> discarding held;
        aborted:
        rolled_back:
    "#]]
    .assert_eq(&table);
}

#[test]
fn answers_of_other_tokens_are_ignored() {
    for stage in Stage::ALL {
        let bench = Bench::at(stage);
        let token = bench.world.token(&bench.world.nodes[&node("n1")]);
        let others = [
            Token { term: token.term.next(), ..token },
            Token { generation: token.generation.next(), ..token },
            Token { step: token.step.next(), ..token },
            Token { step: shardlift_model::Step(token.step.0.wrapping_sub(1)), ..token },
        ];
        for token in others {
            for (_, outcome) in outcomes() {
                let input = Input::Answer { node: node("n1"), token, outcome };
                assert_eq!(decide(&bench.world, &input, bench.now), Ok(vec![]), "{stage}");
            }
        }
        let input = Input::Answer { node: node("nobody"), token, outcome: Outcome::Done };
        assert_eq!(decide(&bench.world, &input, bench.now), Ok(vec![]));
    }
}

#[test]
fn every_stage_before_the_commit_unwinds_and_none_after_it() {
    for stage in Stage::ALL {
        let mut bench = Bench::at(stage);
        let abort = Input::AbortNode { node: node("n1"), reason: "test".to_owned() };
        if bench.moving("n1").is_committed() {
            assert!(refusal(&bench, abort).contains("committed"));
            continue;
        }
        bench.input(abort.clone()).unwrap();
        bench.input(abort).unwrap();
        bench.drive("n1", Stage::Aborted);
        let known = &bench.world.nodes[&node("n1")];
        assert_eq!((known.shard.as_str(), known.generation.0), ("a", 3), "{stage}");
        // It can be planned again, to another end.
        if bench.world.nodes.contains_key(&node("n2")) {
            bench.input(Input::AbortNode { node: node("n2"), reason: String::new() }).unwrap();
        }
        bench.apply_plan(plan(2, 1, &[("again", &[], &["n1"])])).unwrap();
        bench.input(Input::StartBatch { batch: batch("again") }).unwrap();
        bench.certify_missing();
        bench.drive("n1", Stage::Soaking);
    }
}

#[test]
fn a_held_node_unwinds_too() {
    for stage in Stage::ALL.into_iter().filter(|stage| stage.may_be_held() && !stage.is_committed()) {
        let mut bench = Bench::at(stage);
        bench.answer("n1", Outcome::Refused { reason: "no".to_owned() });
        bench.input(Input::AbortNode { node: node("n1"), reason: String::new() }).unwrap();
        if bench.moving("n1").held.is_some() {
            bench.input(Input::RetryNode { node: node("n1"), accept_damaged: false }).unwrap();
        }
        bench.drive("n1", Stage::Aborted);
    }
}

#[test]
fn a_held_node_goes_on_after_a_retry() {
    for stage in Stage::ALL.into_iter().filter(|stage| stage.may_be_held()) {
        let mut bench = Bench::at(stage);
        bench.answer("n1", Outcome::Refused { reason: "no".to_owned() });
        let held = bench.moving("n1").held.clone().unwrap();
        assert!(held.advice.contains("retry n1"), "{held:?}");
        let step = bench.world.nodes[&node("n1")].step;
        bench.input(Input::RetryNode { node: node("n1"), accept_damaged: false }).unwrap();
        assert_eq!(Some(bench.stage("n1")), stage.again());
        assert_eq!(bench.world.nodes[&node("n1")].step, step.next());
    }
}

#[test]
fn damage_is_held_until_an_operator_accepts_it() {
    let mut bench = Bench::at(Stage::Copying);
    bench.answer("n1", Outcome::ReplicaFailed { reason: "2 objects".to_owned(), damaged_at_source: true });
    let held = bench.moving("n1").held.clone().unwrap();
    assert!(held.advice.contains("`shardlift node retry n1 --accept-damaged`"), "{}", held.advice);
    bench.input(Input::RetryNode { node: node("n1"), accept_damaged: true }).unwrap();
    assert_eq!((bench.stage("n1"), bench.moving("n1").accept_damaged), (Stage::Starting, true));
    bench.drive("n1", Stage::Verifying);
    bench.answer("n1", Outcome::Verified { state: FinalState { damaged: 2, ..state(5) } });
    assert_eq!(bench.moving("n1").held, None);
}

#[test]
fn operators_are_refused_in_words() {
    let bench = Bench::at(Stage::Soaking);
    let fresh = Bench::planned(&[("one", &[], &["n1"])]);
    let text = String::new;
    let apply = |plan, reviewed_revision| Input::ApplyPlan { plan, text: text(), reviewed_revision };
    let mut lines = String::new();
    for (bench, input) in [
        (&bench, Input::StartBatch { batch: batch("two") }),
        (&bench, Input::StartBatch { batch: batch("one") }),
        (&bench, Input::PauseBatch { batch: batch("one") }),
        (&fresh, Input::ReleaseBatch { batch: batch("one"), force: false }),
        (&bench, Input::AbortNode { node: node("n1"), reason: text() }),
        (&fresh, Input::RetryNode { node: node("n1"), accept_damaged: true }),
        (&fresh, Input::AbortNode { node: node("n9"), reason: text() }),
        (&fresh, apply(plan(2, 1, &[("x", &[], &["n1"])]), 3)),
        (&fresh, apply(plan(2, 0, &[("x", &[], &["n1"])]), 2)),
        (&fresh, apply(plan(2, 1, &[("x", &[], &["n9"])]), 2)),
        (&bench, apply(plan(2, 1, &[("x", &[], &["n1"])]), 2)),
        (&bench, apply(plan(2, 1, &[("x", &[], &["n1"])]).from_any_shard(true), 2)),
        (&Bench::at(Stage::Copying), apply(plan(2, 1, &[("x", &[], &["n1"])]), 2)),
        (&Bench::at(Stage::Ready), apply(plan(2, 1, &[("one", &[], &["n1"])]), 2)),
        (&fresh, Input::Lead { term: fresh.world.term }),
        (&fresh, Input::RecordShard { shard: shard("d", 1000) }),
        (&fresh, Input::GrantEnrolment { node: node("n1"), token: Sha256([1; 32]), expires_at: fresh.now }),
    ] {
        writeln!(lines, "{}", refusal(bench, input)).unwrap();
    }
    expect![[r#"
        NotFound: batch `two` is not known; `shardlift batch list` shows all batches
        Precondition: batch `one` is soaking and cannot be started; it was started before: `shardlift batch status` shows how far it is
        Precondition: batch `one` is soaking and cannot be held; nothing begins in it any more that could be held back
        Precondition: batch `one` is planned and cannot be released; only a soaking batch can: its old credentials end then
        Precondition: the move of node `n1` to `b` is committed and cannot be aborted; roll it back instead: `shardlift node rollback n1`
        Precondition: the move of node `n1` is not held: there is nothing to retry; `shardlift node explain n1` says what it waits for
        NotFound: node `n9` is not known; `shardlift node list` shows all nodes
        Precondition: revision 3 was reviewed, but the file has revision 2; review the file, then apply it as revision 2
        Precondition: the plan is based on revision 0, but revision 1 is in force; compare it with `shardlift plan show`, then set `based_on = 1`
        NotFound: node `n9` is not known; `shardlift node list` shows all nodes
        Precondition: node `n1` is on `b`, not on the source `a`; plan it in a plan of its own source
        Precondition: node `n1` is on `b` already; remove it from the plan
        Conflict: node `n1` is moving already, in batch `one`; wait for that batch, or abort the node in it first
        Conflict: batch `one` was started already, with other moves; give the new batch a name that no batch had before
        Conflict: term 1 does not follow term 1; another controller leads; this one must stop
        Conflict: the control address 127.0.0.1:1000 belongs to shard `a`; give each server its own control address
        Invalid: the token would be expired from the start; let it be valid for some minutes
    "#]]
    .assert_eq(&lines);
}

#[test]
fn a_plan_from_any_shard_moves_a_node_from_where_it_is() {
    let mut bench = Bench::planned(&[("one", &[], &["n1"])]);
    let (shard, generation) = ("c".parse().unwrap(), shardlift_model::Generation(3));
    let listed = Input::NodeListed { node: node("n5"), shard, generation, customer: None, server_name: None };
    bench.input(listed).unwrap();
    let other = || plan(2, 1, &[("any", &[], &["n5"])]);
    assert!(bench.apply_plan(other()).is_err());
    bench.apply_plan(other().from_any_shard(true)).unwrap();
    assert_eq!((bench.moving("n5").source.as_str(), bench.moving("n5").target.as_str()), ("c", "b"));
}

#[test]
fn a_new_plan_replaces_what_was_never_started_and_keeps_the_rest() {
    let mut bench = Bench::planned(&[("one", &[], &["n1"]), ("two", &["one"], &["n2"]), ("six", &[], &["n3"])]);
    bench.input(Input::StartBatch { batch: batch("one") }).unwrap();
    bench.apply_plan(plan(2, 1, &[("one", &[], &["n1"]), ("two", &["one"], &["n3"])])).unwrap();
    assert_eq!(bench.stage("n1"), Stage::Offering);
    assert_eq!(bench.world.nodes[&node("n2")].migration, None);
    assert_eq!(bench.moving("n3").batch, batch("two"));
    assert!(!bench.world.batches.contains_key(&batch("six")));
    assert_eq!(bench.world.plan_revision(), 2);
}

#[test]
fn a_second_shard_that_lists_a_node_changes_nothing() {
    let mut bench = Bench::planned(&[("one", &[], &["n1"])]);
    let listed = |name: &str, on: &str, server_name: Option<&str>| Input::NodeListed {
        node: node(name),
        shard: on.parse().unwrap(),
        generation: Generation(9),
        customer: None,
        server_name: server_name.map(|name| name.parse().unwrap()),
    };
    assert_eq!(decide(&bench.world, &listed("n1", "b", None), bench.now), Ok(vec![]));
    bench.input(listed("x/y", "b", Some("n1.backup.example"))).unwrap();
    assert_eq!(bench.world.nodes[&node("x/y")].server_name.as_str(), "x--y.backup.example");
    bench.input(listed("q", "b", Some("z.backup.example"))).unwrap();
    bench.input(listed("z", "b", None)).unwrap();
    let hashed = bench.world.nodes[&node("z")].server_name.as_str();
    assert!(hashed.starts_with("n-"), "{hashed}");
    assert_eq!(bench.world.nodes[&node("z")].generation, Generation(9));
    let hashed = hashed.to_owned();
    let taken = Input::DefineNode { node: node("q"), customer: None, server_name: Some(hashed.parse().unwrap()) };
    assert!(refusal(&bench, taken).starts_with("Conflict"));
}

#[test]
fn a_shard_that_moves_its_address_gets_a_new_route_version() {
    let mut bench = Bench::planned(&[("one", &[], &["n1"])]);
    let version = bench.world.route_version;
    let mut moved = shard("a", 1000);
    moved.client_address = "127.0.0.1:1".to_owned();
    bench.input(Input::RecordShard { shard: moved }).unwrap();
    assert_eq!(bench.world.route_version, version + 1);
    bench.input(Input::RecordRouter { router: router() }).unwrap();
    assert_eq!(bench.world.route_version, version + 1);
}

#[test]
fn enrolment_refusals_are_all_alike() {
    let mut bench = Bench::planned(&[("one", &[], &["n1"])]);
    let (token, key) = (Sha256([1; 32]), Sha256([2; 32]));
    let expires_at = UnixMillis(bench.now.0 + 1000);
    bench.input(Input::GrantEnrolment { node: node("n1"), token, expires_at }).unwrap();
    let not_after = UnixMillis(u64::MAX);
    let enrol = |token, public_key, serial: &str| {
        let serial = serial.to_owned();
        Input::Enrol { token, public_key, serial, not_after }
    };
    let unknown = refusal(&bench, enrol(Sha256([9; 32]), key, "a01"));
    bench.input(enrol(token, key, "a01")).unwrap();
    let reused = refusal(&bench, enrol(token, Sha256([3; 32]), "a02"));
    let mut late = bench.clone();
    late.now = expires_at;
    let expired = refusal(&late, enrol(token, key, "a02"));
    assert!(unknown == reused && reused == expired, "{unknown} / {reused} / {expired}");
    for number in 2..=16 {
        bench.input(enrol(token, key, &format!("a{number:02}"))).unwrap();
    }
    assert_eq!(refusal(&bench, enrol(token, key, "a17")), unknown);
}

#[test]
fn a_certificate_counts_when_it_was_handed_out_last() {
    let mut bench = Bench::planned(&[("one", &[], &["n1"])]);
    let expires_at = UnixMillis(bench.now.0 + 1000);
    let enrol = |bench: &mut Bench, token: u8, serial: &str| {
        let token = Sha256([token; 32]);
        drop(bench.input(Input::GrantEnrolment { node: node("n1"), token, expires_at }));
        let (serial, not_after) = (serial.to_owned(), UnixMillis(u64::MAX));
        bench.input(Input::Enrol { token, public_key: token, serial, not_after }).unwrap();
    };
    let see = |bench: &mut Bench, serial: &str| {
        bench.input(Input::CertificateSeen { node: node("n1"), serial: serial.to_owned() }).unwrap();
        bench.world.nodes[&node("n1")].certificate.clone()
    };
    let in_use = |serial: &str| CertificateState::InUse { serial: serial.to_owned() };
    assert_eq!(see(&mut bench, "a01"), CertificateState::None);
    enrol(&mut bench, 1, "a01");
    assert_eq!(see(&mut bench, "ff"), CertificateState::Issued { serial: "a01".to_owned() });
    enrol(&mut bench, 1, "a02");
    assert_eq!(see(&mut bench, "a01"), in_use("a01"));
    assert_eq!(see(&mut bench, "a02"), in_use("a02"));
    assert_eq!(see(&mut bench, "a01"), in_use("a02"));
    enrol(&mut bench, 2, "a03");
    assert_eq!(see(&mut bench, "a02"), CertificateState::Issued { serial: "a03".to_owned() });
    assert_eq!(see(&mut bench, "a03"), in_use("a03"));
}

#[test]
fn a_request_that_was_carried_out_is_answered_again() {
    let mut bench = Bench::at(Stage::Copying);
    for input in [
        Input::StartBatch { batch: batch("one") },
        Input::ResumeBatch { batch: batch("one") },
        Input::RecordShard { shard: shard("a", 1000) },
        Input::RecordRouter { router: router() },
        Input::SetLimits { limits: bench.world.limits.clone() },
        Input::Tick,
    ] {
        assert_eq!(decide(&bench.world, &input, bench.now), Ok(vec![]), "{input:?}");
    }
    bench.input(Input::PauseBatch { batch: batch("one") }).unwrap();
    assert_eq!(decide(&bench.world, &Input::PauseBatch { batch: batch("one") }, bench.now), Ok(vec![]));
}

#[test]
fn reasons_from_other_machines_are_bounded() {
    let mut bench = Bench::at(Stage::Copying);
    bench.answer("n1", Outcome::Refused { reason: "x\n".repeat(10_000) });
    let reason = &bench.moving("n1").held.as_ref().unwrap().reason;
    assert!(reason.len() <= 500 && !reason.contains('\n'));
    let last = bench.journal.last().unwrap();
    assert!(matches!(last, Event::MoveHeld { .. }));
}
