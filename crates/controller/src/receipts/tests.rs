//! Facts in the words of a receipt, and the words for those who have none.

use super::*;
use shardlift_migration::record::{BatchOrders, CommitRecord};
use shardlift_migration::{Direction, History as Seen, Migration, Promoted, Stage};
use shardlift_model::{Generation, Sha256, Step, Term};
use std::collections::{BTreeMap, BTreeSet};

fn node_id() -> NodeId {
    "acme/web-1".parse().unwrap()
}

fn empty() -> World {
    World::new("c1".parse().unwrap(), "backup.example".parse().unwrap())
}

fn final_state(damaged: u64) -> FinalState {
    FinalState { seq: 7, root: Sha256([3; 32]), objects: 5, bytes: 50, damaged }
}

fn done() -> CompletedMove {
    CompletedMove {
        customer: "acme".parse().unwrap(),
        server_name: "web-1.backup.example".parse().unwrap(),
        batch: "canary".parse().unwrap(),
        plan_revision: None,
        source: "a".parse().unwrap(),
        target: "b".parse().unwrap(),
        route_version: Some(4),
        compared: None,
        commit: CommitRecord {
            generation: Generation(2),
            term: Term(3),
            source: final_state(0),
            target: Some(final_state(0)),
            promoted: Some(Promoted { seq: 9, snapshots: 2 }),
            damage_accepted: false,
        },
        times: MoveTimes::default(),
        damage_accepted_by: None,
        certificate: CertificateState::InUse { serial: "aa".into() },
        soak: SoakFacts::NONE,
        verdict: None,
        orders: BatchOrders::default(),
        given_up: vec![],
    }
}

fn seen(certificates: &[(&str, &str, u64)]) -> Seen {
    let named = |(issuer, serial, at): &(&str, &str, u64)| SeenCertificate {
        issuer: (*issuer).into(),
        serial: (*serial).into(),
        last_seen_at: UnixMillis(*at),
    };
    Seen {
        snapshots: 1,
        sessions: None,
        credentials: None,
        quota_bytes: None,
        append_only: false,
        holds: 0,
        holds_sha256: Sha256([0; 32]),
        certificates: certificates.iter().map(named).collect(),
        certificates_seen: certificates.len() as u64,
    }
}

#[test]
fn the_certificate_of_the_gate_is_the_new_one_and_all_others_are_old() {
    let mut done = done();
    let before = certificates(&done);
    assert_eq!(before.old, None, "nobody was asked");
    assert_eq!(before.new.map(|one| (one.issuer, one.serial)), Some((None, "aa".to_owned())));
    done.soak.histories = BTreeMap::from([
        (done.target.clone(), seen(&[("legacy", "aa", 2), ("issuing-1", "aa", 9), ("legacy", "07", 5)])),
        (done.source.clone(), seen(&[("legacy", "07", 4), ("issuing-1", "a9", 7)])),
    ]);
    let found = certificates(&done);
    assert_eq!(found.new.map(|one| one.issuer), Some(Some("issuing-1".to_owned())));
    let old: Vec<_> = found.old.unwrap().into_iter().map(|one| (one.issuer.unwrap(), one.serial)).collect();
    let expected = [("issuing-1", "a9"), ("legacy", "07"), ("legacy", "aa")];
    assert_eq!(old, expected.map(|(issuer, serial)| (issuer.to_owned(), serial.to_owned())));
    done.certificate = CertificateState::None;
    assert_eq!(certificates(&done).new, None);
}

#[test]
fn damage_and_losses_are_never_left_out_and_what_is_not_recorded_is_absent() {
    let mut done = done();
    done.commit.source = final_state(2);
    done.commit.target = None;
    done.commit.damage_accepted = true;
    done.damage_accepted_by = Some("operator ann".into());
    done.given_up.push(shardlift_migration::record::GivenUp {
        at: UnixMillis(5),
        writer: "c".parse().unwrap(),
        after_seq: 8,
        generation: Generation(1),
    });
    let facts = facts(&empty(), &node_id(), &done);
    assert_eq!((facts.source.damaged, facts.losses.damage_accepted), (2, true));
    assert_eq!(facts.losses.damage_accepted_by.as_deref(), Some("operator ann"));
    assert_eq!((facts.losses.given_up.len(), facts.losses.given_up[0].after_seq), (1, 8));
    assert_eq!((facts.target.state, facts.place.plan_revision, facts.soak.verdict), (None, None, None));
    assert_eq!((facts.history.source, facts.deep_verify.before, facts.times.planned_unix_ms), (None, None, None));
}

fn node(stage: Stage, direction: Direction) -> Node {
    let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
    let mut moving = Migration::planned("canary".parse().unwrap(), a, b, UnixMillis(1));
    (moving.stage, moving.direction) = (stage, direction);
    Node {
        node: node_id(),
        customer: "acme".parse().unwrap(),
        server_name: "web-1.backup.example".parse().unwrap(),
        shard: "b".parse().unwrap(),
        generation: Generation(2),
        step: Step(1),
        certificate: CertificateState::None,
        enrolled_with: None,
        serials: vec![],
        old_copies: BTreeSet::new(),
        taken_over: None,
        settings: None,
        given_up: vec![],
        receipts_due: vec![],
        receipts: vec![],
        migration: Some(moving),
    }
}

#[test]
fn who_has_no_receipt_is_told_why() {
    use Direction::{Back, Forward};
    let told = |node: &Node, waits: Option<&String>| missing(&empty(), node, waits, UnixMillis(9));
    for (stage, direction, part) in [
        (Stage::Copying, Forward, "is seeding; a receipt is made when its soak has ended"),
        (Stage::Soaking, Forward, "is soaking; a receipt is made when its soak has ended"),
        (Stage::Fencing, Back, "was taken back to a: such a move has no receipt"),
        (Stage::RolledBack, Back, "was taken back to a: such a move has no receipt"),
        (Stage::Aborted, Forward, "left its batch before the commit"),
    ] {
        let text = told(&node(stage, direction), None);
        assert!(text.contains(part), "{stage}: {text}");
    }
    let mut due = node(Stage::Released, Forward);
    due.receipts_due.push(done());
    assert!(told(&due, None).contains("is being made\ntry again"));
    assert!(told(&due, Some(&"the own key".to_owned())).contains("it waits: the own key"));
    due.migration = None;
    due.receipts_due.clear();
    assert!(told(&due, None).contains("has never moved"));
}

#[test]
fn what_has_become_of_a_node_since_its_receipt_is_told() {
    let issued = shardlift_migration::IssuedReceipt {
        generation: Generation(2),
        batch: "canary".parse().unwrap(),
        source: "a".parse().unwrap(),
        target: "b".parse().unwrap(),
        at: UnixMillis(1),
    };
    let mut known = node(Stage::Released, Direction::Forward);
    assert_eq!(since(&known, &issued), "");
    known.generation = Generation(3);
    assert!(since(&known, &issued).contains("moved on: generation 3, on b"));
    let restored = node(Stage::Soaking, Direction::Forward);
    assert!(since(&restored, &issued).contains("is soaking again"));
}
