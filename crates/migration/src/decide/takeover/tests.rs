//! The takeover: where it begins, what it gives up, that it holds nobody up, and who is refused.

mod further;

use crate::decide::decide;
use crate::fixture::{Bench, batch, node, plan, state};
use crate::{BatchPhase, Command, Direction, Effect, FinalState, Input, Outcome, Phase, Stage};
use expect_test::expect;
use shardlift_model::{ShardId, UnixMillis};
use std::fmt::Write as _;

fn take_over(after_seq: u64) -> Input {
    Input::TakeOver { node: node("n1"), after_seq, reason: "b burnt".to_owned() }
}

fn write_off() -> Input {
    Input::WriteOffWriter { node: node("n1") }
}

fn said(bench: &Bench, input: &Input) -> String {
    match decide(&bench.world, input, bench.now) {
        Ok(events) if events.is_empty() => "done already".to_owned(),
        Ok(_) => "begins".to_owned(),
        Err(refusal) => format!("{}; {}", refusal.message, refusal.advice),
    }
}

fn route(bench: &Bench) -> (String, u64, bool) {
    let routes = bench.world.routes();
    let routed = routes[&bench.world.nodes[&node("n1")].server_name];
    (routed.shard.to_string(), routed.token.generation.0, routed.sever)
}

/// Every place from which a takeover begins.
fn beginnings() -> Vec<Bench> {
    let forward = [Stage::Promoting, Stage::Retiring, Stage::Routing, Stage::Probing, Stage::Soaking].map(Bench::at);
    let back = [Stage::Fencing, Stage::Completing, Stage::Unfencing, Stage::Resuming].map(Bench::back_at);
    let mut all: Vec<Bench> = forward.into_iter().chain(back).collect();
    let mut rehearsing = Bench::at(Stage::Soaking);
    rehearsing.input(Input::RehearseRollback { node: node("n1") }).unwrap();
    all.push(rehearsing);
    for mut bench in [Bench::at(Stage::Promoting), Bench::at(Stage::Retiring), Bench::back_at(Stage::Resuming)] {
        bench.answer("n1", Outcome::Refused { reason: "no disk".to_owned() });
        assert!(bench.moving("n1").held.is_some());
        all.push(bench);
    }
    all
}

#[test]
fn a_takeover_is_begun_or_refused_in_words() {
    let mut table = String::new();
    for stage in Stage::ALL {
        let bench = Bench::at(stage);
        writeln!(table, "{stage}: {}", said(&bench, &take_over(8))).unwrap();
        let off = said(&bench, &write_off());
        if stage == Stage::Soaking || !off.contains("did not go back") {
            writeln!(table, "  write off: {off}").unwrap();
        }
    }
    for stage in [Stage::Sealing, Stage::Promoting, Stage::Retiring, Stage::Routing, Stage::Probing] {
        writeln!(table, "back {stage}: {}", said(&Bench::back_at(stage), &take_over(8))).unwrap();
    }
    expect![[r#"
        planned: node `n1` cannot be taken over without its writer: it is planned: `a` serves it; when `b` is gone, abort the move: `shardlift node abort n1`
        offering: node `n1` cannot be taken over without its writer: it is seeding: `a` serves it; when `b` is gone, abort the move: `shardlift node abort n1`
        starting: node `n1` cannot be taken over without its writer: it is seeding: `a` serves it; when `b` is gone, abort the move: `shardlift node abort n1`
        copying: node `n1` cannot be taken over without its writer: it is seeding: `a` serves it; when `b` is gone, abort the move: `shardlift node abort n1`
        catching_up: node `n1` cannot be taken over without its writer: it is following: `a` serves it; when `b` is gone, abort the move: `shardlift node abort n1`
        verify_requested: node `n1` cannot be taken over without its writer: it is following: `a` serves it; when `b` is gone, abort the move: `shardlift node abort n1`
        verifying: node `n1` cannot be taken over without its writer: it is following: `a` serves it; when `b` is gone, abort the move: `shardlift node abort n1`
        awaiting_certificate: node `n1` cannot be taken over without its writer: it is following: `a` serves it; when `b` is gone, abort the move: `shardlift node abort n1`
        ready: node `n1` cannot be taken over without its writer: it is ready: `a` serves it; when `b` is gone, abort the move: `shardlift node abort n1`
        fencing: node `n1` cannot be taken over without its writer: it is fenced: `a` serves it; when `b` is gone, abort the move: `shardlift node abort n1`
        completing: node `n1` cannot be taken over without its writer: it is fenced: `a` serves it; when `b` is gone, abort the move: `shardlift node abort n1`
        sealing: node `n1` cannot be taken over without its writer: it is fenced: `a` serves it; when `b` is gone, abort the move: `shardlift node abort n1`
        sealed: node `n1` cannot be taken over without its writer: it is sealed: `a` serves it; when `b` is gone, abort the move: `shardlift node abort n1`
        promoting: begins
        retiring: begins
        routing: begins
        probing: begins
        soaking: begins
          write off: node `n1` did not go back: nobody waits for a former writer of it; when its writer is gone for good, roll it back: `shardlift node rollback n1` says what is lost by that
        detaching: node `n1` cannot be taken over without its writer: it is rolling_back, and `a` is its writer by record; nothing of it is lost, and nothing has to be given up
          write off: begins
        taking_stock: done already
          write off: node `n1` is still being taken over from `b`; wait until `a` serves it, then try again
        redirecting: done already
          write off: node `n1` is still being taken over from `b`; wait until `a` serves it, then try again
        deposing: done already
          write off: begins
        releasing: node `n1` cannot be taken over without its writer: it is released, and `a` does not follow its writer; a copy in quarantine is as old as the release; only a copy that follows can take over
        quarantining: node `n1` cannot be taken over without its writer: it is released, and `a` does not follow its writer; a copy in quarantine is as old as the release; only a copy that follows can take over
        released: node `n1` cannot be taken over without its writer: it is released, and `a` does not follow its writer; a copy in quarantine is as old as the release; only a copy that follows can take over
        restoring: node `n1` cannot be taken over without its writer: it is restoring, and `a` does not follow its writer; a copy in quarantine is as old as the release; only a copy that follows can take over
        resuming: node `n1` cannot be taken over without its writer: it is restoring, and `a` does not follow its writer; a copy in quarantine is as old as the release; only a copy that follows can take over
        unfencing: node `n1` cannot be taken over without its writer: it is undoing: `a` serves it; when `b` is gone, abort the move: `shardlift node abort n1`
        discarding: node `n1` cannot be taken over without its writer: it is undoing: `a` serves it; when `b` is gone, abort the move: `shardlift node abort n1`
        aborted: node `n1` cannot be taken over without its writer: it is aborted: `a` serves it; there is nothing to take over
        rolled_back: node `n1` cannot be taken over without its writer: it was moved back to `a` already; there is nothing to take over
          write off: done already
        back sealing: node `n1` cannot be taken over without its writer: it goes back, and `a` has all that its writer had; wait: it goes on by itself, or is undone when its time is over; then try again
        back promoting: node `n1` cannot be taken over without its writer: it is rolling_back, and `a` is its writer by record; nothing of it is lost, and nothing has to be given up
        back retiring: node `n1` cannot be taken over without its writer: it is rolling_back, and `a` is its writer by record; nothing of it is lost, and nothing has to be given up
        back routing: node `n1` cannot be taken over without its writer: it is rolling_back, and `a` is its writer by record; nothing of it is lost, and nothing has to be given up
        back probing: node `n1` cannot be taken over without its writer: it is rolling_back, and `a` is its writer by record; nothing of it is lost, and nothing has to be given up
    "#]].assert_eq(&table);
}

#[test]
fn a_takeover_ends_at_the_source_without_a_word_from_the_target() {
    for mut bench in beginnings() {
        let before = bench.moving("n1").clone();
        let generation = bench.world.nodes[&node("n1")].generation.0;
        bench.input(take_over(8)).unwrap();
        let moving = bench.moving("n1");
        assert_eq!(
            (moving.stage, moving.direction, moving.phase()),
            (Stage::TakingStock, Direction::Back, Phase::RollingBack)
        );
        assert!(moving.held.is_none() && moving.undo_reason.is_none() && !moving.rehearsal, "{before:?}");
        assert_eq!(said(&bench, &take_over(8)), "done already");
        let mut asked = std::collections::BTreeSet::new();
        while bench.stage("n1") != Stage::Deposing {
            let to = bench.effects().into_iter().filter(|effect| !matches!(effect, Effect::Probe { .. }));
            asked.extend(to.filter_map(|effect| effect.goes_to().map(|(_, shard)| shard.clone())));
            let stage = bench.stage("n1");
            let next = stage.allowed(crate::Way::WithoutWriter).find(|next| *next != stage).unwrap();
            bench.drive("n1", next);
        }
        assert_eq!(asked, ["a".parse::<ShardId>().unwrap()].into(), "{before:?}");
        let known = &bench.world.nodes[&node("n1")];
        assert_eq!((known.shard.as_str(), known.generation.0), ("a", generation + 1));
        assert_eq!(bench.moving("n1").final_state, Some(state(8)));
        let phase = bench.world.batches[&batch("one")].phase;
        assert_eq!((phase, bench.world.flipping()), (BatchPhase::RolledBack, None), "nobody waits for the target");
        assert_eq!(said(&bench, &take_over(8)), "done already");
        bench.drive("n1", Stage::RolledBack);
        assert_eq!(bench.moving("n1").rollback_reason.as_deref(), Some("b burnt"));
    }
}

#[test]
fn the_routes_leave_the_former_writer_before_the_new_one_is_promoted() {
    for mut bench in beginnings() {
        let (before, generation) = (route(&bench), bench.world.nodes[&node("n1")].generation.0);
        let version = bench.world.route_version;
        bench.input(take_over(8)).unwrap();
        assert_eq!((route(&bench), bench.world.route_version), (before, version), "nothing is known of its stock yet");
        bench.drive("n1", Stage::Redirecting);
        assert_eq!((route(&bench), bench.world.route_version), (("a".to_owned(), generation + 1, true), version + 1));
        bench.input(Input::RoutesConfirmed { version }).unwrap();
        assert_eq!(bench.stage("n1"), Stage::Redirecting, "an older confirmation says nothing");
        bench.input(Input::RoutesConfirmed { version: version + 1 }).unwrap();
        assert_eq!(bench.stage("n1"), Stage::Promoting);
        bench.drive("n1", Stage::RolledBack);
        assert_eq!((route(&bench), bench.world.route_version), (("a".to_owned(), generation + 1, true), version + 1));
    }
}

#[test]
fn without_a_router_nobody_has_to_be_led_away() {
    let mut bench = Bench::started(&["n1"]);
    bench.world.routers.clear();
    bench.drive("n1", Stage::Soaking);
    bench.input(take_over(8)).unwrap();
    bench.answer("n1", Outcome::StockTaken { state: state(8) });
    assert_eq!(bench.stage("n1"), Stage::Promoting);
    bench.answer("n1", Outcome::Promoted { seq: 1, snapshots: 0 });
    assert_eq!(bench.stage("n1"), Stage::Deposing);
}

#[test]
fn less_than_was_accepted_is_held_until_an_operator_gives_up_more() {
    let mut bench = Bench::at(Stage::Soaking);
    bench.input(take_over(9)).unwrap();
    bench.answer("n1", Outcome::StockTaken { state: state(8) });
    let held = bench.moving("n1").held.clone().unwrap();
    assert!(held.reason.contains("up to 8 only") && held.reason.contains("those after 9"), "{held:?}");
    assert!(held.advice.contains("`shardlift node rollback n1 --accept-loss 8`"), "{held:?}");
    bench.input(Input::RetryNode { node: node("n1"), accept_damaged: true }).unwrap();
    bench.answer("n1", Outcome::StockTaken { state: state(8) });
    assert!(bench.moving("n1").held.is_some(), "asked again, it says the same");
    for same in [9, 10] {
        assert_eq!(said(&bench, &take_over(same)), "done already");
    }
    bench.input(take_over(8)).unwrap();
    bench.answer("n1", Outcome::StockTaken { state: state(8) });
    assert_eq!(bench.stage("n1"), Stage::Redirecting);
    assert_eq!(bench.moving("n1").takeover.as_ref().unwrap().after_seq, 8);
    let mut more = Bench::at(Stage::Soaking);
    more.input(take_over(8)).unwrap();
    more.answer("n1", Outcome::StockTaken { state: state(11) });
    assert_eq!(more.moving("n1").final_state, Some(state(11)), "what it has beyond that is kept");
}

#[test]
fn a_damaged_stock_is_held_until_an_operator_accepts_it() {
    let mut bench = Bench::at(Stage::Soaking);
    bench.input(take_over(8)).unwrap();
    let stock = FinalState { damaged: 2, ..state(8) };
    bench.answer("n1", Outcome::StockTaken { state: stock });
    assert!(bench.moving("n1").held.as_ref().unwrap().advice.contains("node retry n1 --accept-damaged"));
    bench.input(Input::RetryNode { node: node("n1"), accept_damaged: true }).unwrap();
    bench.answer("n1", Outcome::StockTaken { state: stock });
    assert_eq!((bench.stage("n1"), bench.moving("n1").final_state), (Stage::Redirecting, Some(stock)));
}

#[test]
fn a_former_writer_may_return_after_a_month_or_be_written_off() {
    for refused in [false, true] {
        let mut bench = Bench::at(Stage::Deposing);
        bench.now = UnixMillis(bench.now.0 + 30 * 86_400_000);
        bench.input(Input::Tick).unwrap();
        assert_eq!(bench.stage("n1"), Stage::Deposing);
        let deposes = |effect: &Effect| matches!(effect, Effect::Send { shard, command: Command::Depose, .. } if shard.as_str() == "b");
        assert!(bench.effects().iter().any(deposes));
        let mut returned = bench.clone();
        returned.answer("n1", Outcome::Done);
        assert_eq!((returned.stage("n1"), said(&returned, &write_off()).as_str()), (Stage::RolledBack, "done already"));
        if refused {
            bench.answer("n1", Outcome::Refused { reason: "no".to_owned() });
        }
        bench.input(write_off()).unwrap();
        assert_eq!((bench.stage("n1"), said(&bench, &write_off()).as_str()), (Stage::RolledBack, "done already"));
        assert!(bench.moving("n1").written_off);
    }
}

#[test]
fn a_node_that_was_taken_over_moves_again_once_its_former_writer_gave_up() {
    let mut bench = Bench::at(Stage::Deposing);
    let again = plan(2, 1, &[("again", &[], &["n1"])]);
    assert!(bench.apply_plan(again.clone()).unwrap_err().message.contains("moving already"));
    bench.drive("n1", Stage::RolledBack);
    bench.apply_plan(again).unwrap();
    assert!(route(&bench).2, "the routes stay what they were under their version");
    bench.input(Input::StartBatch { batch: batch("again") }).unwrap();
    bench.drive("n1", Stage::Promoting);
    assert_eq!(route(&bench), ("a".to_owned(), 5, true));
    bench.drive("n1", Stage::Soaking);
    assert_eq!(route(&bench), ("b".to_owned(), 6, false));
    bench.input(take_over(8)).unwrap();
    bench.drive("n1", Stage::RolledBack);
    assert_eq!(route(&bench), ("a".to_owned(), 7, true));
}

#[test]
fn a_writer_that_is_gone_holds_up_neither_its_batch_nor_others() {
    let mut bench = Bench::planned(&[("one", &[], &["n1", "n2"]), ("two", &[], &["n3"])]);
    bench.certify_all();
    for name in ["one", "two"] {
        bench.input(Input::StartBatch { batch: batch(name) }).unwrap();
    }
    ["n1", "n2", "n3"].iter().for_each(|name| bench.drive(name, Stage::Ready));
    bench.drive("n1", Stage::Sealed);
    bench.drive("n2", Stage::Promoting);
    bench.input(take_over(7)).unwrap();
    bench.drive("n1", Stage::Deposing);
    bench.drive("n2", Stage::Soaking);
    assert_eq!(bench.world.batches[&batch("one")].phase, BatchPhase::Soaking);
    bench.drive("n3", Stage::Soaking);
    bench.drive("n2", Stage::Released);
    assert_eq!(bench.world.batches[&batch("one")].phase, BatchPhase::Released);
    assert_eq!(bench.stage("n1"), Stage::Deposing);
    bench.input(write_off()).unwrap();
    assert_eq!(bench.stage("n1"), Stage::RolledBack);
}

#[test]
fn a_batch_rehearses_with_one_node() {
    let rehearse = Input::RehearseBatch { batch: batch("one") };
    let early = Bench::at(Stage::Copying);
    assert!(said(&early, &rehearse).contains("which is preparing, can rehearse"), "{}", said(&early, &rehearse));
    assert!(said(&early, &Input::RehearseBatch { batch: batch("no") }).contains("not known"));
    let mut bench = Bench::started(&["n1", "n2", "n3"]);
    let all = ["n1", "n2", "n3"];
    all.iter().for_each(|name| bench.drive(name, Stage::Ready));
    all.iter().zip([Stage::Sealed, Stage::Sealed, Stage::Promoting]).for_each(|(name, stage)| bench.drive(name, stage));
    all.iter().for_each(|name| bench.drive(name, Stage::Soaking));
    bench.roll_back("n1");
    bench.input(rehearse.clone()).unwrap();
    let back =
        |bench: &Bench| ["n1", "n2", "n3"].map(|name| (bench.moving(name).is_back(), bench.moving(name).rehearsal));
    assert_eq!(back(&bench), [(true, false), (true, true), (false, false)]);
    assert_eq!(said(&bench, &rehearse), "done already");
    bench.drive("n2", Stage::Soaking);
    assert!(bench.moving("n2").rehearsed.is_some() && bench.moving("n3").rehearsed.is_none());
}
