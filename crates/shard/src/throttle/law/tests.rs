//! The loop against a world that is a formula: clients are slower the more is moved.

use super::*;
use crate::throttle::latency::{NOTICED, Seen};
use crate::throttle::limits::CapReason;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const SECOND: u32 = 4;

fn seen(requests: f64, p50: Duration, p99: Duration) -> Seen {
    Seen { requests, p50, p90: (p50 + p99) / 2, p99 }
}

/// Requests of one step, so many of which are slow.
fn counted(requests: f64, slow: f64) -> [Counted; Operation::ALL.len()] {
    let mut all = [Counted::default(); Operation::ALL.len()];
    all[Operation::Store as usize] = Counted { requests, slow };
    all
}

fn store(now: Seen, usual: Seen) -> OperationSeen {
    OperationSeen { operation: Operation::Store, now, usual }
}

/// A shard that gives `capacity` bytes per second, of which clients need `own`; the more of the rest is moved, the longer they wait.
#[derive(Debug, Clone, Copy)]
struct World {
    capacity: u64,
    own: u64,
    usual: Duration,
}

impl World {
    fn moved(self, rate: Option<u64>) -> u64 {
        rate.unwrap_or(u64::MAX).min(self.capacity)
    }

    /// As of a queue: 1 / (1 - load), against what it is without the move.
    fn slower(self, moved: u64) -> f64 {
        let load = |bytes: u64| (bytes as f64 / self.capacity as f64).min(0.99);
        (1.0 - load(self.own)) / (1.0 - load(self.own + moved))
    }

    fn sample(self, rate: Option<u64>, clients: bool) -> Sample {
        let moved = self.moved(rate);
        let now = self.usual.mul_f64(if clients { self.slower(moved) } else { 1.0 });
        let usual = seen(1000.0, self.usual, self.usual * 3);
        // Times that are distributed as those of such a queue are: exponentially.
        let slow = 100_f64.powf(-NOTICED / self.slower(moved));
        Sample {
            clients,
            silent: Duration::ZERO,
            operations: vec![store(seen(500.0, now, now * 3), usual)],
            counted: if clients { counted(100.0, 100.0 * slow) } else { Default::default() },
            keep_up: 0,
            short: rate.is_some_and(|rate| rate <= self.capacity),
            moved,
            hurry: false,
            cap: None,
        }
    }
}

struct Run {
    law: Law,
    limits: Limits,
    now: Instant,
    verdict: Verdict,
}

impl Run {
    fn new(limits: Limits) -> Self {
        let verdict = Verdict { rate: None, reason: Reason::NoClients, learns: false };
        Self { law: Law::default(), limits, now: Instant::now(), verdict }
    }

    fn step(&mut self, sample: &Sample) -> &Verdict {
        self.now += STEP;
        self.verdict = self.law.step(self.now, &self.limits, sample);
        &self.verdict
    }

    /// Rates of so many seconds in this world.
    fn live(&mut self, world: World, clients: bool, seconds: u32) -> Vec<Option<u64>> {
        let mut rates = Vec::new();
        for _ in 0..seconds * SECOND {
            let sample = world.sample(self.verdict.rate, clients);
            rates.push(self.step(&sample).rate);
        }
        rates
    }
}

fn mean(rates: &[Option<u64>]) -> f64 {
    rates.iter().map(|rate| rate.unwrap_or(CEILING) as f64).sum::<f64>() / rates.len() as f64
}

const WORLD: World = World { capacity: 400 * MIB, own: 100 * MIB, usual: Duration::from_millis(20) };

#[test]
fn without_clients_there_is_no_limit_and_with_them_there_is_one_within_a_second() {
    let mut run = Run::new(Limits::default());
    assert_eq!(run.live(WORLD, false, 2), vec![None; 8]);
    let back = run.live(WORLD, true, 1);
    assert!(back.iter().all(Option::is_some), "{back:?}");
    assert!(WORLD.slower(WORLD.moved(back[3])) < 1.4, "{back:?}");
    assert_eq!(run.live(WORLD, false, 1), vec![None; 4], "at once");
}

#[test]
fn the_rate_settles_where_clients_hardly_notice_and_most_of_the_rest_is_used() {
    let mut run = Run::new(Limits::default());
    run.live(WORLD, true, 60);
    let rates = run.live(WORLD, true, 120);
    // 1.25 times the usual is where 60 of the 300 MiB/s that clients leave are moved; a queue's ends are that steep.
    let most = WORLD.slower(WORLD.moved(rates.iter().copied().max().unwrap()));
    assert!(most < NOTICED + 0.15, "{most}");
    let mean = mean(&rates) / MIB as f64;
    assert!((40.0..=66.0).contains(&mean), "{mean} MiB/s");
}

#[test]
fn when_clients_need_less_the_rate_recovers() {
    let mut run = Run::new(Limits::default());
    let busy = World { own: 380 * MIB, ..WORLD };
    let held = mean(&run.live(busy, true, 30)[80..]);
    let recovered = run.live(World { own: 20 * MIB, ..WORLD }, true, 60);
    assert!(mean(&recovered[200..]) > 3.0 * held, "{held} {}", mean(&recovered[200..]));
    assert!(held >= (8 * MIB) as f64, "never below the floor");
}

#[test]
fn some_slow_requests_are_noticed_though_most_are_served_as_usual() {
    let mut run = Run::new(Limits::default());
    let before = run.live(WORLD, true, 10)[39].unwrap();
    let usual = seen(500.0, STEP, STEP * 3);
    let mut sample = Sample { operations: vec![store(usual, usual)], ..WORLD.sample(run.verdict.rate, true) };
    sample.counted = counted(50.0, 2.0);
    for _ in 0..3 * SECOND {
        run.step(&sample);
    }
    assert!(run.verdict.rate.unwrap() < before * 3 / 4, "{:?} of {before}", run.verdict);
    assert_eq!(run.verdict.reason.word(), "slow");
    sample.counted = counted(50.0, 0.25);
    for _ in 0..30 * SECOND {
        run.step(&sample);
    }
    assert!(run.verdict.rate.unwrap() > before, "half a percent is what may be: {:?}", run.verdict);
}

#[test]
fn a_move_keeps_up_with_what_clients_store_however_they_fare() {
    let mut run = Run::new(Limits::default());
    let slow = store(seen(500.0, 9 * STEP, 9 * STEP), seen(500.0, STEP, STEP));
    let sample = Sample {
        operations: vec![slow],
        counted: counted(100.0, 100.0),
        keep_up: 50 * MIB,
        short: true,
        ..WORLD.sample(Some(MIB), true)
    };
    for _ in 0..30 * SECOND {
        run.step(&sample);
    }
    assert_eq!((run.verdict.rate, run.verdict.learns), (Some(50 * MIB), true), "it would never end");
    let cap = Some(Cap { rate: 10 * MIB, why: CapReason::Always });
    assert_eq!(run.step(&Sample { cap, ..sample }).rate, Some(10 * MIB), "an operator who wants it so");
}

#[test]
fn what_is_not_answered_is_noticed_before_it_ends() {
    let mut run = Run::new(Limits::default());
    let before = run.live(WORLD, true, 10)[39].unwrap();
    let mut sample = WORLD.sample(run.verdict.rate, true);
    sample.operations.clear();
    sample.silent = Duration::from_secs(2);
    for _ in 0..3 * SECOND {
        run.step(&sample);
    }
    assert!(run.verdict.rate.unwrap() <= before / 2, "{:?} of {before}", run.verdict);
    assert_eq!(run.verdict.reason, Reason::Stalled(Duration::from_secs(2)));
}

#[test]
fn clients_that_are_slow_at_the_floor_as_well_are_slow_for_another_reason() {
    let mut run = Run::new(Limits::default());
    let slow = store(seen(500.0, 9 * STEP, 9 * STEP), seen(500.0, STEP, STEP));
    let sample = Sample { operations: vec![slow], short: true, ..WORLD.sample(Some(MIB), true) };
    let learned_at = (0..60 * SECOND).position(|_| run.step(&sample).learns);
    assert!(learned_at.is_some_and(|steps| steps > 4), "not before the floor has settled: {learned_at:?}");
    assert_eq!(run.verdict.rate, Some(run.limits.floor));
    run.step(&Sample { operations: vec![store(slow.now, slow.now)], ..sample });
    assert!(run.verdict.rate.unwrap() > run.limits.floor && !run.verdict.learns, "{:?}", run.verdict);
}

#[test]
fn who_is_slow_by_himself_costs_the_next_move_nothing() {
    let mut run = Run::new(Limits::default());
    let before = run.step(&Sample { moved: 0, short: false, ..WORLD.sample(Some(MIB), true) }).rate.unwrap();
    let slow = store(seen(500.0, 9 * STEP, 9 * STEP), seen(500.0, STEP, STEP));
    let sample = Sample { operations: vec![slow], moved: 0, short: false, ..WORLD.sample(Some(MIB), true) };
    for _ in 0..20 * SECOND {
        run.step(&sample);
    }
    assert_eq!((run.verdict.rate, run.verdict.reason.word()), (Some(before), "held"));
    run.step(&Sample { moved: 100 * MIB, short: true, ..sample });
    assert!(run.verdict.rate.unwrap() < before, "{:?}", run.verdict);
}

#[test]
fn what_is_usual_is_learned_at_the_floor_and_not_for_ever() {
    let limits = Limits::default();
    let mut run = Run::new(limits.clone());
    let mut sample = WORLD.sample(None, true);
    sample.operations = vec![store(seen(50.0, STEP, STEP), seen(0.0, STEP, STEP))];
    sample.short = true;
    let first = run.step(&sample).clone();
    assert_eq!(first, Verdict { rate: Some(limits.floor), reason: Reason::Learning, learns: true });
    for _ in 0..6 * SECOND {
        run.step(&sample);
    }
    assert!(!run.verdict.learns, "{:?}", run.verdict);
    let mut run = Run::new(limits);
    run.step(&sample);
    sample.operations = vec![store(seen(50.0, STEP, STEP), seen(300.0, STEP, STEP))];
    assert!(!run.step(&sample).learns, "it is known after a moment");
}

#[test]
fn a_cap_holds_whatever_clients_do_and_says_so() {
    let cap = |rate| Some(Cap { rate, why: CapReason::Window("08:00-18:00".to_owned()) });
    let mut run = Run::new(Limits::default());
    let capped = |run: &mut Run, clients, rate| {
        let sample = Sample { cap: cap(rate), ..WORLD.sample(Some(rate), clients) };
        run.step(&sample).clone()
    };
    let verdict = capped(&mut run, false, 3 * MIB);
    assert_eq!((verdict.rate, verdict.reason.word()), (Some(3 * MIB), "window"));
    assert_eq!(capped(&mut run, true, 2 * MIB).rate, Some(2 * MIB), "also below the floor");
    run.limits.clients_first = false;
    assert_eq!(capped(&mut run, true, 5 * MIB).rate, Some(5 * MIB));
    let off = run.step(&WORLD.sample(None, true)).clone();
    assert_eq!((off.rate, off.reason), (None, Reason::Off));
}

#[test]
fn nothing_stands_in_the_way_of_a_node_that_changes_hands() {
    let mut run = Run::new(Limits::default());
    run.live(World { own: 390 * MIB, ..WORLD }, true, 20);
    let held = run.verdict.rate.unwrap();
    let cap = Some(Cap { rate: MIB, why: CapReason::Always });
    let sample = Sample { hurry: true, cap, ..WORLD.sample(Some(held), true) };
    assert_eq!(run.step(&sample).rate, None);
    let after = run.step(&WORLD.sample(Some(held), true)).rate.unwrap();
    assert!(after <= held * 5 / 4, "{after} after {held}: it goes on where it was");
}

#[derive(Debug, Clone)]
struct Moment {
    clients: bool,
    short: bool,
    silent_ms: u64,
    moved: u64,
    now_us: u64,
    usual_us: u64,
    requests: f64,
    usual_requests: f64,
    cap: Option<u64>,
    pause_ms: u64,
    keep_up: u64,
}

fn moments() -> impl Strategy<Value = Vec<Moment>> {
    let bools = (any::<bool>(), any::<bool>());
    let numbers = (0_u64..5_000, any::<u64>(), 1_u64..90_000_000, 1_u64..90_000_000);
    let counts = (0.0..1e6, 0.0..1e6, proptest::option::of(MIB..1 << 40), 0_u64..5_000, any::<u64>());
    let moment = (bools, numbers, counts).prop_map(|((clients, short), numbers, counts)| {
        let ((silent_ms, moved, now_us, usual_us), (requests, usual_requests, cap, pause_ms, keep_up)) =
            (numbers, counts);
        Moment { clients, short, silent_ms, moved, now_us, usual_us, requests, usual_requests, cap, pause_ms, keep_up }
    });
    proptest::collection::vec(moment, 1..120)
}

fn verdicts(begin: Instant, limits: &Limits, moments: &[Moment]) -> Vec<Verdict> {
    let (mut law, mut now) = (Law::default(), begin);
    let step = |moment: &Moment| {
        now += Duration::from_millis(moment.pause_ms);
        let of = |requests, micros| seen(requests, Duration::from_micros(micros), Duration::from_micros(micros * 2));
        let operation = store(of(moment.requests, moment.now_us), of(moment.usual_requests, moment.usual_us));
        let sample = Sample {
            clients: moment.clients,
            silent: Duration::from_millis(moment.silent_ms),
            operations: vec![operation],
            counted: counted(moment.requests, moment.requests * moment.usual_requests / 1e6),
            keep_up: moment.keep_up,
            short: moment.short,
            moved: moment.moved,
            hurry: false,
            cap: moment.cap.map(|rate| Cap { rate, why: CapReason::Always }),
        };
        law.step(now, limits, &sample)
    };
    moments.iter().map(step).collect()
}

proptest! {
    #[test]
    fn whatever_happens_the_rate_keeps_its_bounds_and_its_reason(moments in moments(), floor in MIB..CEILING * 2) {
        let limits = Limits { floor, ..Limits::default() };
        let begin = Instant::now();
        let found = verdicts(begin, &limits, &moments);
        for (moment, verdict) in moments.iter().zip(&found) {
            let rate = verdict.rate.unwrap_or(u64::MAX);
            let least = floor.max(moment.keep_up).min(CEILING).min(moment.cap.unwrap_or(u64::MAX));
            prop_assert!(rate >= least && rate > 0, "{:?} below {} in {:?}", verdict, least, moment);
            prop_assert!(moment.cap.is_none_or(|cap| rate <= cap), "{:?} over the cap of {:?}", verdict, moment);
            prop_assert!(!moment.clients || rate <= CEILING, "{:?} without a limit in {:?}", verdict, moment);
            prop_assert!(moment.clients || moment.cap.is_some() || verdict.rate.is_none());
            prop_assert!(!verdict.reason.sentence(verdict.rate).is_empty());
        }
        prop_assert_eq!(found, verdicts(begin, &limits, &moments), "the same again is the same");
    }

    #[test]
    fn in_any_steady_world_clients_are_served_and_nothing_starves(
        capacity in 50_u64..2_000, own_percent in 0_u64..95, usual_ms in 5_u64..500,
    ) {
        let usual = Duration::from_millis(usual_ms);
        let world = World { capacity: capacity * MIB, own: capacity * MIB * own_percent / 100, usual };
        let mut run = Run::new(Limits { floor: MIB, ..Limits::default() });
        run.live(world, true, 120);
        let rates = run.live(world, true, 60);
        prop_assert!(rates.iter().all(|rate| rate.is_some_and(|rate| rate >= MIB)));
        // Where the floor alone is more than clients bear, the floor it is.
        let bearable = world.slower(MIB) < 1.1;
        let slower: Vec<f64> = rates.iter().map(|rate| world.slower(world.moved(*rate))).collect();
        let mean = slower.iter().sum::<f64>() / slower.len() as f64;
        prop_assert!(!bearable || mean < NOTICED + 0.15, "{} times the usual in {:?}", mean, world);
    }
}
