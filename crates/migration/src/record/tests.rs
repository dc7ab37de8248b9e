//! What is kept of a move, and that it is handed out for a receipt once.

use crate::fixture::{Bench, batch, node, plan, state};
use crate::soak::{CopyRead, SoakFact};
use crate::{Effect, Event, Input, Order, Outcome, Stage};
use shardlift_model::{Generation, UnixMillis};

fn ordered(by: &str, input: Input) -> Input {
    Input::Ordered { by: by.to_owned(), input: Box::new(input) }
}

fn due(bench: &Bench) -> Vec<(String, u64)> {
    let due = bench.effects().into_iter().filter_map(|effect| match effect {
        Effect::IssueReceipt { node, generation } => Some((node.to_string(), generation.0)),
        _ => None,
    });
    due.collect()
}

fn issue(bench: &mut Bench, text: &str) {
    let input = Input::RecordReceipt { node: node("n1"), generation: Generation(4), receipt: text.to_owned() };
    bench.input(input).unwrap();
}

fn issued(bench: &Bench) -> usize {
    bench.journal.iter().filter(|event| matches!(event, Event::ReceiptIssued { .. })).count()
}

#[test]
fn a_completed_move_waits_for_its_receipt_and_gets_one() {
    let mut bench = Bench::at(Stage::Quarantining);
    assert_eq!(due(&bench), vec![]);
    issue(&mut bench, "too early");
    assert_eq!(issued(&bench), 0);
    bench.drive("n1", Stage::Released);
    assert_eq!(due(&bench), vec![("n1".to_owned(), 4)]);
    bench.restart();
    assert_eq!(due(&bench), vec![("n1".to_owned(), 4)], "a restart asks again");
    issue(&mut bench, "first");
    issue(&mut bench, "second");
    assert_eq!((issued(&bench), due(&bench)), (1, vec![]), "it is made once");
    let receipts = &bench.world.nodes[&node("n1")].receipts;
    assert_eq!((receipts.len(), receipts[0].generation, &receipts[0].batch), (1, Generation(4), &batch("one")));
    let (found, _) = bench.world.migration(&node("n1")).unwrap();
    assert!(found.has_receipt(Generation(4)) && !found.has_receipt(Generation(3)));
}

#[test]
fn a_receipt_that_cannot_be_stored_is_not() {
    let mut bench = Bench::at(Stage::Released);
    issue(&mut bench, "");
    issue(&mut bench, &"r".repeat(super::RECEIPT_BYTES_MAX + 1));
    assert_eq!((issued(&bench), due(&bench).len()), (0, 1));
    let other = Input::RecordReceipt { node: node("n9"), generation: Generation(4), receipt: "r".to_owned() };
    bench.input(other).unwrap();
    assert_eq!(issued(&bench), 0);
}

#[test]
fn what_is_kept_is_what_was_sealed_and_a_rehearsal_leaves_it_alone() {
    let mut bench = Bench::at(Stage::Soaking);
    let before = bench.moving("n1").record.clone();
    let commit = before.commit.clone().unwrap();
    assert_eq!((commit.source, commit.target), (state(7), Some(state(7))));
    assert_eq!(before.compared, Some(state(5)));
    assert_eq!(commit.promoted.map(|promoted| promoted.seq), Some(3));
    assert_eq!((commit.generation, commit.term), (Generation(4), bench.world.term));
    let times = before.times;
    let all = [
        times.planned,
        times.started,
        times.seeded,
        times.ready,
        times.fenced,
        times.sealed,
        times.committed,
        times.promoted,
        times.flipped,
    ];
    assert!(all.iter().all(Option::is_some) && times.released.is_none(), "{times:?}");
    bench.now = UnixMillis(bench.now.0 + 5_000);
    bench.input(Input::RehearseRollback { node: node("n1") }).unwrap();
    bench.drive("n1", Stage::Soaking);
    assert_eq!(bench.moving("n1").record, before, "a rehearsal changed the record");
    bench.drive("n1", Stage::Released);
    let completed = bench.world.nodes[&node("n1")].receipt_due(Generation(4)).unwrap();
    assert_eq!((&completed.commit, completed.times.released), (&commit, Some(bench.now)));
}

#[test]
fn a_move_that_was_taken_back_has_no_receipt() {
    let mut bench = Bench::at(Stage::RolledBack);
    assert_eq!(due(&bench), vec![]);
    // The next move of the node has its own.
    bench.apply_plan(plan(2, 1, &[("again", &[], &["n1"])])).unwrap();
    bench.input(Input::StartBatch { batch: batch("again") }).unwrap();
    bench.drive("n1", Stage::Released);
    let found = due(&bench);
    assert_eq!(found, vec![("n1".to_owned(), 6)]);
}

#[test]
fn a_move_that_was_restored_and_released_again_keeps_its_receipt() {
    let mut bench = Bench::at(Stage::Released);
    issue(&mut bench, "first");
    bench.input(Input::RestoreNode { node: node("n1") }).unwrap();
    bench.drive("n1", Stage::Released);
    assert_eq!((issued(&bench), due(&bench)), (1, vec![]));
}

#[test]
fn a_new_plan_does_not_lose_a_receipt_that_is_due() {
    let mut bench = Bench::at(Stage::Released);
    let (_, moving) = bench.world.migration(&node("n1")).unwrap();
    let to = if moving.target.as_str() == "b" { "c" } else { "b" };
    let mut next = plan(2, 1, &[("again", &[], &["n1"])]);
    let mut batches = next.batches().to_vec();
    batches[0].nodes.insert(node("n1"), to.parse().unwrap());
    let source = bench.world.nodes[&node("n1")].shard.clone();
    next = shardlift_planner::Plan::new(2, 1, source, std::collections::BTreeSet::new(), batches).unwrap();
    bench.apply_plan(next).unwrap();
    assert_eq!(due(&bench), vec![("n1".to_owned(), 4)]);
    issue(&mut bench, "late");
    assert_eq!((issued(&bench), due(&bench)), (1, vec![]));
}

#[test]
fn who_ordered_what_is_recorded_once_and_only_where_something_was_decided() {
    let mut bench = Bench::planned(&[("one", &[], &["n1"])]);
    bench.certify_all();
    bench.input(ordered("operator `ann`", Input::StartBatch { batch: batch("one") })).unwrap();
    bench.input(ordered("operator `eve`", Input::StartBatch { batch: batch("one") })).unwrap();
    assert!(bench.input(ordered("operator `eve`", Input::StartBatch { batch: batch("two") })).is_err());
    bench.drive("n1", Stage::Soaking);
    let release = Input::ReleaseBatch { batch: batch("one"), force: true };
    bench.input(ordered("operator `bob`", release)).unwrap();
    bench.drive("n1", Stage::Released);
    let orders = &bench.world.nodes[&node("n1")].receipt_due(Generation(4)).unwrap().orders;
    assert_eq!(orders.planned_by, None, "the plan was applied by nobody who is known");
    assert_eq!(orders.started_by.as_deref(), Some("operator `ann`"));
    assert_eq!((orders.released_by.as_deref(), orders.forced), (Some("operator `bob`"), Some(true)));
    let given = bench.journal.iter().filter(|event| matches!(event, Event::OrderGiven { .. })).count();
    assert_eq!(given, 2);
    let long = ordered(&"\u{20ac}".repeat(9_000), Input::RestoreNode { node: node("n1") });
    bench.input(long).unwrap();
}

#[test]
fn an_order_that_nobody_can_have_given_is_not_legal() {
    let bench = Bench::at(Stage::Released);
    let at = UnixMillis(1);
    let order = |order, by: &str| Event::OrderGiven { order, by: by.to_owned(), at };
    assert!(bench.world.legal(&order(Order::Plan { revision: 1 }, "ann")).is_ok());
    for event in [
        order(Order::Plan { revision: 2 }, "ann"),
        order(Order::Plan { revision: 1 }, ""),
        order(Order::Plan { revision: 1 }, &"a".repeat(super::ORDERED_BY_BYTES_MAX + 1)),
        order(Order::Start { batch: batch("two") }, "ann"),
        order(Order::AcceptDamaged { node: node("n1") }, "ann"),
    ] {
        assert!(bench.world.legal(&event).is_err(), "{event:?}");
    }
}

#[test]
fn what_a_soak_shows_is_kept_by_shard_and_of_no_other_shard() {
    let mut bench = Bench::at(Stage::Soaking);
    let read = |objects| CopyRead { begun_at: None, ended_at: None, objects, bytes: 1, known_damaged: 0 };
    let seen = |shard: &str, objects| {
        let fact = SoakFact::CopyRead { shard: shard.parse().unwrap(), read: read(objects) };
        Input::SoakSeen { node: node("n1"), fact }
    };
    for (shard, objects) in [("a", 5), ("b", 6), ("b", 7), ("c", 8)] {
        bench.input(seen(shard, objects)).unwrap();
    }
    let kept: Vec<_> = bench.moving("n1").soak.reads.iter().map(|(s, r)| (s.to_string(), r.objects)).collect();
    assert_eq!(kept, vec![("a".to_owned(), 5), ("b".to_owned(), 6)]);
}

#[test]
fn what_was_given_up_in_a_takeover_is_told_with_the_next_move() {
    let mut bench = Bench::at(Stage::Soaking);
    let take_over = Input::TakeOver { node: node("n1"), after_seq: 8, reason: "b burnt".to_owned() };
    bench.input(take_over).unwrap();
    bench.drive("n1", Stage::RolledBack);
    assert_eq!(due(&bench), vec![]);
    bench.apply_plan(plan(2, 1, &[("again", &[], &["n1"])])).unwrap();
    bench.input(Input::StartBatch { batch: batch("again") }).unwrap();
    bench.drive("n1", Stage::Released);
    let known = &bench.world.nodes[&node("n1")];
    let given_up = &known.receipts_due[0].given_up;
    assert_eq!((given_up.len(), given_up[0].after_seq, given_up[0].writer.as_str()), (1, 8, "b"));
}

#[test]
fn journals_from_before_receipts_are_read_and_what_they_lack_is_absent() {
    let old = [
        r#"{"event":"soak_fact_seen","node":"n1","fact":"verified","at":1}"#,
        r#"{"event":"soak_fact_seen","node":"n1","fact":{"alert":{"reason":"slow"}},"at":1}"#,
        r#"{"event":"batch_released","batch":"one","at":1}"#,
    ];
    for text in old {
        let event: Event = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), text, "it is written as it was");
    }
    let mut bench = Bench::at(Stage::Released);
    bench.answer("n1", Outcome::Done);
    let completed = &bench.world.nodes[&node("n1")].receipts_due[0];
    assert_eq!(completed.orders, super::BatchOrders::default());
    assert!(completed.soak.reads.is_empty() && completed.soak.histories.is_empty());
}
