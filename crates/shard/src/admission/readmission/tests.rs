//! Tests of the rate (tables and random runs, no clock), and of waiting for it (real store).

use super::pace::WELL_TIME_MAX;
use super::*;
use crate::engine::tests::{eventually, node, open, store};
use crate::engine::{Engine, EngineConfig, Mode, NodeRecord};
use proptest::prelude::*;
use shardlift_model::{Token, UnixMillis};

const SECOND: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(600);

/// A pace, its time, and what has come of it.
struct Run {
    pace: Pace<u64>,
    start: Instant,
    now: Instant,
    asked: u64,
    called: Vec<u64>,
}

impl Run {
    fn new(per_second: u32) -> Self {
        let now = Instant::now();
        Self { pace: Pace::new(per_second), start: now, now, asked: 0, called: Vec::new() }
    }

    /// A client of a node that was promoted at `promoted`, on the clock that starts with the run.
    fn ask_of(&mut self, promoted: Duration) -> Option<u64> {
        self.asked += 1;
        let left = WINDOW.saturating_sub((self.now - self.start).saturating_sub(promoted));
        let at = UnixMillis(promoted.as_millis().try_into().unwrap());
        match self.pace.ask(self.now, Promotion { at, left }) {
            Decision::In => None,
            Decision::Wait => Some(self.pace.park(self.asked)),
        }
    }

    fn ask(&mut self) -> Option<u64> {
        self.ask_of(Duration::ZERO)
    }

    fn crowd(&mut self, count: u64) {
        for _ in 0..count {
            self.ask();
        }
    }

    /// Time goes on. Returns how many were called.
    fn pass(&mut self, time: Duration) -> usize {
        self.now += time;
        let called = self.pace.release(self.now);
        let count = called.len();
        self.called.extend(called);
        count
    }

    /// A second in steps, with this work done in it. Returns how many were called.
    fn second(&mut self, well: u64, slow: u64) -> usize {
        for _ in 0..well {
            self.pace.done(self.now, WELL_TIME_MAX);
        }
        for _ in 0..slow {
            self.pace.done(self.now, WELL_TIME_MAX + Duration::from_millis(1));
        }
        (0..20).map(|_| self.pass(TICK)).sum()
    }

    fn rate(&mut self) -> Option<u64> {
        self.pace.rate(self.now)
    }
}

#[test]
fn a_crowd_comes_in_at_the_rate_and_in_its_order() {
    let mut run = Run::new(20);
    run.crowd(200);
    assert_eq!(run.pace.waiting(), 199, "one at once");
    for (second, expected) in [20, 40, 80].into_iter().enumerate() {
        assert_eq!(run.second(100, 0), expected, "second {second}");
    }
    assert_eq!(run.called, (2..=141).collect::<Vec<_>>());
}

#[test]
fn whoever_comes_while_others_wait_waits_behind_them_though_there_is_credit() {
    let mut run = Run::new(20);
    run.crowd(3);
    run.now += SECOND;
    assert!(run.ask().is_some(), "nobody has been called yet");
    assert_eq!(run.pass(Duration::ZERO), 3);
    assert_eq!(run.called, [2, 3, 4]);
}

#[test]
fn the_rate_follows_the_work_of_each_second() {
    // Of each second: work done well, done slowly, and the rate after it. 20 are let in in the first.
    type Seconds = &'static [(u64, u64, u64)];
    let table: &[(&str, Seconds)] = &[
        ("all is well", &[(50, 0, 40), (50, 0, 80), (90, 0, 160)]),
        ("few enough are slow", &[(19, 1, 40), (38, 2, 80), (95, 5, 160)]),
        ("too many are slow", &[(50, 0, 40), (50, 0, 80), (94, 6, 40)]),
        ("it recovers", &[(50, 0, 40), (0, 50, 20), (50, 0, 40), (50, 0, 80)]),
        ("slow from the beginning", &[(0, 9, 20), (0, 9, 20), (1, 9, 20)]),
        ("fewer answers than sessions", &[(50, 0, 40), (5, 0, 80), (5, 0, 40)]),
        ("no answer at all", &[(0, 0, 20), (0, 0, 20), (0, 0, 20)]),
        ("no answer any more", &[(50, 0, 40), (50, 0, 80), (0, 0, 80), (0, 0, 40), (0, 0, 20), (0, 0, 20)]),
    ];
    for (what, seconds) in table {
        let mut run = Run::new(20);
        run.crowd(5_000);
        for (index, (well, slow, rate)) in seconds.iter().enumerate() {
            run.second(*well, *slow);
            assert_eq!(run.rate(), Some(*rate), "{what}, second {index}");
        }
    }
}

#[test]
fn the_start_rate_is_never_gone_below_and_nobody_starves() {
    let mut run = Run::new(1);
    run.crowd(100);
    for second in 0..99 {
        assert_eq!((run.rate(), run.pace.waiting()), (Some(1), 99 - second));
        assert_eq!(run.second(0, 10), 1);
    }
    assert_eq!(run.pace.waiting(), 0);
}

#[test]
fn calm_before_the_crowd_raises_nothing_and_saves_little_up() {
    let mut run = Run::new(20);
    assert_eq!(run.ask(), None);
    for _ in 0..120 {
        run.second(1_000, 0);
        assert_eq!(run.rate(), Some(20));
    }
    run.crowd(100);
    assert_eq!(run.pace.waiting(), 95, "a quarter of a second's worth at once");
    assert_eq!(run.second(1_000, 0), 20);
}

#[test]
fn a_stage_ends_when_the_rate_is_above_what_comes() {
    let mut run = Run::new(20);
    run.crowd(100);
    let ended = (1..60).find(|_| {
        run.second(200, 0);
        run.ask();
        run.rate().is_none()
    });
    // Three seconds for the crowd, the last of which was not calm, and ten calm ones.
    assert_eq!(ended, Some(13));
    assert_eq!(run.called.len(), 101, "the crowd without its first, and two who came while it waited");
    run.crowd(1_000);
    assert_eq!((run.pace.waiting(), run.rate()), (0, None), "no limit for the rest of the window");
    let promoted = run.now - run.start;
    assert_eq!(run.ask_of(promoted), None);
    assert!(run.ask_of(promoted).is_some(), "a later promotion begins anew");
    assert_eq!(run.rate(), Some(20));
}

#[test]
fn a_stage_ends_with_its_window_and_all_come_in() {
    let mut run = Run::new(1);
    run.crowd(1_000);
    run.pass(WINDOW - SECOND);
    let waiting = run.pace.waiting();
    assert!(waiting > 300 && run.rate().is_some(), "{waiting}");
    assert_eq!(run.pass(SECOND), waiting);
    assert_eq!((run.rate(), run.ask()), (None, None));
}

#[test]
fn a_stage_ends_when_the_rate_is_above_all_measure() {
    let mut run = Run::new(1_000);
    run.crowd(60_000);
    let rates: Vec<_> = (0..5)
        .map(|_| {
            run.second(100_000, 0);
            run.rate()
        })
        .collect();
    assert_eq!(rates, [Some(2_000), Some(4_000), Some(8_000), None, None]);
    assert_eq!(run.pace.waiting(), 0);
}

#[test]
fn later_promotions_prolong_a_stage_that_goes_on() {
    let mut run = Run::new(20);
    run.crowd(50);
    run.second(50, 0);
    assert_eq!(run.rate(), Some(40));
    assert!(run.ask_of(SECOND).is_some());
    assert_eq!(run.rate(), Some(40), "the rate is what was found to be right");
    run.pass(WINDOW);
    assert_eq!((run.rate(), run.pace.waiting()), (None, 0));
}

#[test]
fn zero_is_no_limit() {
    let mut run = Run::new(0);
    run.crowd(1_000);
    assert_eq!((run.pace.waiting(), run.rate(), run.pace.let_in()), (0, None, 0));
}

#[derive(Debug, Clone)]
enum Step {
    Ask,
    Leave(prop::sample::Index),
    Pass(u64),
    Done(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Ask),
        1 => any::<prop::sample::Index>().prop_map(Step::Leave),
        3 => (0_u64..1_500).prop_map(Step::Pass),
        4 => (0_u64..2_000).prop_map(Step::Done),
    ]
}

proptest! {
    /// Whoever comes is in at once, or called exactly once, in order, or has left; and no faster than the rate allows.
    #[test]
    fn nobody_is_lost_overtaken_or_hurried(start in 1_u32..50, steps in prop::collection::vec(step(), 1..400)) {
        let mut run = Run::new(start);
        let mut tickets: Vec<(u64, u64)> = Vec::new();
        let mut expected = Vec::new();
        for step in steps {
            match step {
                Step::Ask => {
                    let someone = run.pace.waiting() > 0;
                    match run.ask() {
                        Some(ticket) => tickets.push((ticket, run.asked)),
                        None => prop_assert!(!someone || run.rate().is_none(), "overtaken"),
                    }
                }
                Step::Leave(index) if !tickets.is_empty() => {
                    let (ticket, _) = tickets.remove(index.index(tickets.len()));
                    run.pace.leave(ticket);
                }
                Step::Leave(_) => {}
                Step::Done(took) => run.pace.done(run.now, Duration::from_millis(took)),
                Step::Pass(millis) => {
                    let before = run.rate();
                    let called = run.pass(Duration::from_millis(millis)) as u64;
                    if let (Some(before), Some(after)) = (before, run.rate()) {
                        prop_assert!(after >= start.into());
                        let rate = before.max(after);
                        prop_assert!(called <= 1 + rate * millis.min(1_000) / 1_000 + rate / 4, "{called} at {rate}");
                    }
                    expected.extend(tickets.drain(..usize::try_from(called).unwrap()).map(|(_, asked)| asked));
                }
            }
            prop_assert_eq!(run.pace.waiting(), tickets.len());
        }
        run.pass(WINDOW);
        expected.extend(tickets.into_iter().map(|(_, asked)| asked));
        prop_assert_eq!(run.called, expected);
    }
}

/// Writes into a node's record that it was promoted then.
async fn promoted(engine: &Arc<Engine>, node: &NodeId, step: u64, at: UnixMillis) {
    let edit = move |record: &mut NodeRecord| {
        record.promoted_at = Some(at);
        Ok(())
    };
    engine.command(node, Token::new(1, 1, step), edit).await.unwrap();
}

/// A store with one node, promoted just now, where one session a second comes in.
async fn slow_store(count: usize) -> (tempfile::TempDir, Arc<Engine>, NodeId) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = EngineConfig::new(dir.path());
    (config.readmission.per_second, config.park.count) = (1, count);
    let engine = Engine::open(config).await.unwrap();
    let node = node("acme/web");
    assert!(engine.create_node(&node).await.unwrap());
    promoted(&engine, &node, 1, now()).await;
    (dir, engine, node)
}

async fn readmit(engine: &Arc<Engine>, node: &NodeId, newcomer: &Newcomer, time: Duration) -> Result<(), Unavailable> {
    engine.admission().readmit(node, newcomer, Instant::now() + time).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_takes_one_turn_for_all_that_it_asks_and_never_waits_again() {
    let (_dir, engine, node) = slow_store(256).await;
    readmit(&engine, &node, &Newcomer::default(), Duration::ZERO).await.unwrap();
    let second = Newcomer::default();
    let mut waiting = Box::pin(readmit(&engine, &node, &second, 30 * SECOND));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    let others = futures::future::join_all((0..3).map(|_| readmit(&engine, &node, &second, 30 * SECOND)));
    tokio::pin!(others);
    assert!(futures::poll!(others.as_mut()).is_pending());
    let staging = engine.readmission().staging();
    assert_eq!((staging.per_second, staging.waiting, staging.delayed), (1, 1, 1));
    assert_eq!(engine.node(&node).unwrap().requests_in_flight, 4, "each in a place of its own");
    // The first of them goes away: the turn is the connection's.
    drop(waiting);
    assert!(others.await.iter().all(Result::is_ok));
    assert_eq!(engine.node(&node).unwrap().requests_in_flight, 0);
    let staging = engine.readmission().staging();
    assert_eq!((staging.waiting, staging.delayed, staging.let_in), (0, 1, 2));
    readmit(&engine, &node, &second, Duration::ZERO).await.unwrap();
    assert_eq!(engine.readmission().staging(), staging, "it is in");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_turn_is_bounded_in_time_and_number() {
    let (_dir, engine, node) = slow_store(1).await;
    readmit(&engine, &node, &Newcomer::default(), Duration::ZERO).await.unwrap();
    let (patient, late) = (Newcomer::default(), Newcomer::default());
    let mut waiting = Box::pin(readmit(&engine, &node, &patient, Duration::from_millis(50)));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    assert_eq!(readmit(&engine, &node, &late, SECOND).await, Err(Unavailable::TooManyParked));
    assert_eq!(waiting.as_mut().await, Err(Unavailable::ParkedTooLong));
    drop(waiting);
    assert_eq!(engine.readmission().staging().waiting, 2, "their connections keep their turns");
    drop((patient, late));
    assert_eq!(engine.readmission().staging().waiting, 0, "and give them back");
    eventually("nobody is called any more", || !lock(&engine.readmission().queue).attended).await;
    assert_eq!(engine.readmission().staging().let_in, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_node_that_leaves_again() {
    let (_dir, engine, node) = slow_store(256).await;
    readmit(&engine, &node, &Newcomer::default(), Duration::ZERO).await.unwrap();
    let crowd: Vec<_> = (0..20)
        .map(|_| {
            let (engine, node) = (Arc::clone(&engine), node.clone());
            tokio::spawn(async move { readmit(&engine, &node, &Newcomer::default(), 60 * SECOND).await })
        })
        .collect();
    eventually("they wait", || engine.node(&node).unwrap().requests_in_flight >= 10).await;
    let retire = |record: &mut NodeRecord| {
        record.mode = Mode::Retired { target: "b".parse().unwrap() };
        Ok(())
    };
    engine.command(&node, Token::new(1, 1, 2), retire).await.unwrap();
    engine.cell(&node).unwrap().follow_mode();
    let all = futures::future::join_all(crowd);
    let all = tokio::time::timeout(10 * SECOND, all).await.expect("at a session a second they would wait for longer");
    assert!(all.into_iter().all(|one| one.unwrap().is_ok()));
    readmit(&engine, &node, &Newcomer::default(), Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_nodes_that_were_promoted_lately_are_staged_and_a_restart_changes_nothing() {
    let (dir, engine, never) = store().await;
    let (long_ago, lately) = (node("acme/db"), node("acme/mail"));
    for (node, at) in [(&long_ago, UnixMillis(now().0 - 601_000)), (&lately, now())] {
        assert!(engine.create_node(node).await.unwrap());
        promoted(&engine, node, 1, at).await;
    }
    engine.close().await.unwrap();
    drop(engine);
    let engine = open(dir.path()).await;
    for _ in 0..100 {
        for node in [&never, &long_ago, &node("nobody")] {
            readmit(&engine, node, &Newcomer::default(), Duration::ZERO).await.unwrap();
        }
    }
    assert_eq!(engine.readmission().staging(), Staging::default());
    readmit(&engine, &lately, &Newcomer::default(), Duration::ZERO).await.unwrap();
    assert_eq!(engine.readmission().staging().per_second, 100);
    for _ in 0..100 {
        readmit(&engine, &never, &Newcomer::default(), Duration::ZERO).await.unwrap();
        readmit(&engine, &lately, &Newcomer::known(), Duration::ZERO).await.unwrap();
    }
    assert_eq!(engine.readmission().staging().delayed, 0);
}
