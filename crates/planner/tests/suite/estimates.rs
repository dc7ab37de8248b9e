//! Estimates: replays of simulated moves whose throughput wanders, stalls and has good and bad hours, and the words for
//! what limits them.

use shardlift_model::UnixMillis;
use shardlift_planner::estimate::{BatchWork, Cap, Conditions, RateSample, Rates, estimate, what_if};
use shardlift_planner::families::Dice;

const MINUTE: u64 = 60_000;
const RUNS: u64 = 300;

/// Bytes per second in one minute; half of what it was a minute ago is remembered.
struct Machine {
    dice: Dice,
    usual: u64,
    drift: i64,
}

impl Machine {
    fn minute(&mut self) -> u64 {
        let swing = i64::try_from(self.usual / 2).unwrap();
        let noise = i64::try_from(self.dice.below(self.usual)).unwrap() - swing;
        self.drift = (self.drift * 3 + noise) / 4;
        // Now and then clients need everything.
        let stall = self.dice.below(40) == 0;
        let rate = i64::try_from(self.usual).unwrap() + self.drift + noise / 2;
        if stall { 0 } else { u64::try_from(rate.max(0)).unwrap() }
    }
}

struct Run {
    p50: u64,
    p90: u64,
    real: u64,
}

/// A target that is slow but for four hours of the night.
const SLOW_BY_DAY: &str = "UTC 02:00-06:00 unlimited, else 15 MiB/s";

fn to_shard_b(hours: &str) -> Conditions {
    let cap = Cap { always: None, hours: hours.parse().unwrap() };
    Conditions { targets: [("shard-b".parse().unwrap(), cap)].into(), ..Conditions::default() }
}

/// One move to one target, estimated and then carried out minute by minute.
fn run(seed: u64, conditions: &Conditions) -> Run {
    let mut dice = Dice::new(seed);
    let usual = (20 + dice.below(200)) << 20;
    let mut bytes = usual * 60 * (60 + dice.below(2000));
    let growth = bytes / 100 * dice.below(4);
    let mut machine = Machine { dice, usual, drift: 0 };
    let mut rates = Rates::over(120 * MINUTE);
    let mut now = 0;
    let seen = 20 + machine.dice.below(60);
    for _ in 0..seen {
        now += MINUTE;
        rates.add(RateSample { at: UnixMillis(now), millis: MINUTE, bytes: machine.minute() * 60, workers: 4 });
    }
    let name = "batch-1".parse().unwrap();
    let target = "shard-b".parse().unwrap();
    let work = BatchWork { name, bytes: [(target, bytes)].into(), growth_bytes_per_day: growth, fixed_ms: 0 };
    // Stored and read again, as after a restart.
    let rates: Rates = serde_json::from_str(&serde_json::to_string(&rates).unwrap()).unwrap();
    let answer = estimate(&[work], &rates, conditions, UnixMillis(now)).unwrap().whole;
    let mut real = 0;
    while bytes > 0 {
        let minute = u16::try_from((now + real) / MINUTE % 1440).unwrap();
        let cap = conditions.targets.values().find_map(|cap| cap.hours.at(minute)).unwrap_or(u64::MAX);
        real += MINUTE;
        bytes = (bytes + growth / 1440).saturating_sub(machine.minute().min(cap) * 60);
    }
    Run { p50: answer.p50_ms.unwrap(), p90: answer.p90_ms.unwrap(), real }
}

fn share(runs: &[Run], fits: impl Fn(&Run) -> bool) -> usize {
    runs.iter().filter(|run| fits(run)).count() * 100 / runs.len()
}

#[test]
fn nine_in_ten_simulated_moves_end_within_their_p90() {
    let runs: Vec<Run> = (0..RUNS).map(|seed| run(seed, &Conditions::default())).collect();
    let within_p90 = share(&runs, |run| run.real <= run.p90);
    let within_p50 = share(&runs, |run| run.real <= run.p50 + MINUTE);
    assert!(within_p90 >= 85, "{within_p90} % within P90");
    assert!((35..=65).contains(&within_p50), "{within_p50} % within P50");
    // A range so wide that it says nothing would hold as well.
    let narrow = share(&runs, |run| run.p90 < run.p50 * 3 / 2);
    assert!(narrow >= 90, "{narrow} % of the ranges are narrow");
}

#[test]
fn the_hours_of_a_target_are_in_the_range() {
    let slow = to_shard_b(SLOW_BY_DAY);
    let runs: Vec<Run> = (0..RUNS).map(|seed| run(seed, &slow)).collect();
    let within_p90 = share(&runs, |run| run.real <= run.p90);
    assert!(within_p90 >= 85, "{within_p90} % within P90");
    let near = share(&runs, |run| run.real * 2 > run.p50);
    assert!(near >= 90, "{near} % took at least half of what was expected");
    // The mutant: as if it took by day what it takes by night.
    let blind: Vec<Run> = (0..RUNS).map(|seed| run(seed, &Conditions::default())).collect();
    let late = runs.iter().zip(&blind).filter(|(real, told)| real.real > told.p90).count();
    assert!(late > 150, "{late} of {RUNS} are later than one who knows no hours says");
}

#[test]
fn a_mutant_that_takes_the_mean_for_certain_is_caught() {
    let late = (0..RUNS).map(|seed| run(seed, &Conditions::default())).filter(|run| run.real > run.p50).count() as u64;
    assert!(late * 100 / RUNS > 15, "P50 taken for P90 would pass: {late} of {RUNS} were late");
}

fn rates(bytes_per_second: u64, workers: u16) -> Rates {
    let mut rates = Rates::over(600 * MINUTE);
    for minute in 1..=60 {
        let bytes = bytes_per_second * 60 * (9 + minute % 3) / 10;
        assert!(rates.add(RateSample { at: UnixMillis(minute * MINUTE), millis: MINUTE, bytes, workers }));
    }
    rates
}

fn work(target: &str, gib: u64) -> BatchWork {
    let (name, target) = (format!("to-{target}").parse().unwrap(), target.parse().unwrap());
    BatchWork { name, bytes: [(target, gib << 30)].into(), growth_bytes_per_day: 0, fixed_ms: 0 }
}

fn whole(work: &[BatchWork], conditions: &Conditions) -> String {
    estimate(work, &rates(100 << 20, 4), conditions, UnixMillis(0)).unwrap().whole.to_string()
}

#[test]
fn an_estimate_names_what_limits_it() {
    let plan = [work("shard-b", 300), work("shard-c", 300)];
    let default = Conditions::default();
    let with = |change: &dyn Fn(&mut Conditions)| {
        let mut conditions = default.clone();
        change(&mut conditions);
        whole(&plan, &conditions)
    };
    expect_test::expect![[r#"
        as measured: P50 1 h 43 min, P90 1 h 47 min; limited by the throughput that was measured
        source cap:  P50 3 h 25 min, P90 3 h 29 min; limited by the cap of the source
        target cap:  P50 8 h 32 min, P90 8 h 41 min; limited by what target shard-c takes
        slow by day: P50 2 h 34 min, P90 2 h 35 min; limited by what target shard-b takes
        hours:       P50 1 d 0 h, P90 1 d 0 h; limited by the hours in which data may move
        two workers: P50 3 h 25 min, P90 3 h 33 min; limited by 2 moves at the same time
        eight:       P50 1 h 43 min, P90 1 h 47 min; limited by the throughput that was measured
        growth:      P50 never, P90 never; limited by nodes that grow as fast as they move
    "#]]
    .assert_eq(&format!(
        "as measured: {}\nsource cap:  {}\ntarget cap:  {}\nslow by day: {}\nhours:       {}\ntwo workers: {}\neight:       {}\ngrowth:      {}\n",
        whole(&plan, &default),
        with(&|conditions| conditions.source = Cap::always(50 << 20)),
        with(&|conditions| conditions.targets = [("shard-c".parse().unwrap(), Cap::always(10 << 20))].into()),
        with(&|conditions| conditions.targets = to_shard_b(SLOW_BY_DAY).targets),
        with(&|conditions| conditions.windows = vec!["00:00-01:00".parse().unwrap()]),
        with(&|conditions| conditions.workers = 2),
        with(&|conditions| conditions.workers = 8),
        whole(&[BatchWork { growth_bytes_per_day: 100 << 40, ..work("shard-b", 1) }], &default),
    ));
}

#[test]
fn other_conditions_are_shown_beside_the_present_ones() {
    let (present, other) =
        (Conditions::default(), Conditions { source: Cap::always(25 << 20), ..Conditions::default() });
    let shown = what_if(&[work("shard-b", 600)], &rates(100 << 20, 4), (&present, &other), UnixMillis(0)).unwrap();
    expect_test::expect![[r#"
        now:  P50 1 h 43 min, P90 1 h 47 min; limited by the throughput that was measured
        then: P50 6 h 50 min, P90 6 h 57 min; limited by the cap of the source
    "#]]
    .assert_eq(&shown.to_string());
}

#[test]
fn batches_are_estimated_one_after_the_other() {
    let plan = [work("shard-b", 300), work("shard-c", 300)];
    let answer = estimate(&plan, &rates(100 << 20, 4), &Conditions::default(), UnixMillis(0)).unwrap();
    let sum: u64 = answer.batches.iter().map(|(_, one)| one.p50_ms.unwrap()).sum();
    assert!(sum.abs_diff(answer.whole.p50_ms.unwrap()) <= 2);
    // What is late in one batch may be early in the next.
    let late: u64 = answer.batches.iter().map(|(_, one)| one.p90_ms.unwrap()).sum();
    assert!(late >= answer.whole.p90_ms.unwrap());
    assert!(estimate(&plan, &Rates::over(MINUTE), &Conditions::default(), UnixMillis(0)).is_err());
}

#[test]
fn old_samples_are_forgotten_and_broken_ones_not_taken() {
    let mut rates = Rates::over(10 * MINUTE);
    let sample = |minute: u64, millis| RateSample { at: UnixMillis(minute * MINUTE), millis, bytes: 1, workers: 1 };
    assert!((1..=30).all(|minute| rates.add(sample(minute, MINUTE))));
    assert_eq!(rates.len(), 11);
    assert!(!rates.add(sample(29, MINUTE)) && !rates.add(sample(31, 0)));
    for at in 0..5000 {
        rates.add(RateSample { at: UnixMillis(31 * MINUTE + at), ..sample(0, 1) });
    }
    assert!(rates.len() <= shardlift_planner::estimate::SAMPLES_MAX);
}
