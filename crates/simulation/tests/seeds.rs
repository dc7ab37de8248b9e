//! Many seeds, the same seed twice, and broken parts. `SHARDLIFT_SIM_SEEDS` says how many, `SHARDLIFT_SIM_FROM` from which one on.

use anyhow::{Context as _, Result, anyhow};
use shardlift_simulation::{Mutant, Report, Sort, run, run_mutant};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;

/// Threads that run seeds. Each run is one thread; the machines of CI have two cores.
const THREADS: usize = 2;

/// Seeds in which a mutant must be noticed at least once.
const MUTANT_SEEDS: u64 = 2;

/// Seeds that are run twice.
const TWICE: u64 = 30;

/// So many of so many seeds show every fault, order and situation at least [`OFTEN`] times. Fewer seeds promise nothing.
const ENOUGH_SEEDS: u64 = 500;
const OFTEN: u64 = 5;

fn number(name: &str, usual: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(usual),
    }
}

/// Does something for each seed, on all threads.
fn seeds<T: Send>(from: u64, count: u64, each: impl Fn(u64) -> Result<T> + Sync) -> Result<Vec<T>> {
    let next = AtomicU64::new(from);
    let work = || {
        let mut done = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= from + count {
                return Ok(done);
            }
            done.push(each(seed)?);
        }
    };
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let ended =
            |thread: ScopedJoinHandle<'_, _>| thread.join().map_err(|_| anyhow!("a thread of seeds panicked"))?;
        threads.into_iter().map(ended).collect::<Result<Vec<Vec<T>>>>()
    });
    Ok(all?.into_iter().flatten().collect())
}

fn complaint(report: &Report) -> Option<String> {
    let seed = report.seed;
    let replay = format!("cargo run -p shardlift-simulation --bin sim -- replay {seed}");
    (!report.violations.is_empty()).then(|| format!("seed {seed}: {}\n  {replay}", report.violations.join("\n  ")))
}

#[test]
fn no_seed_breaks_a_promise_and_every_fault_fires() -> Result<()> {
    let (from, count) = (number("SHARDLIFT_SIM_FROM", 0)?, number("SHARDLIFT_SIM_SEEDS", ENOUGH_SEEDS)?);
    let began = std::time::Instant::now();
    let reports = seeds(from, count, |seed| run(seed).map(|report| (complaint(&report), report.counts)))?;
    let mut totals: BTreeMap<Sort, (u64, u64)> = Sort::ALL.iter().map(|sort| (*sort, (0, 0))).collect();
    for (sort, times) in reports.iter().flat_map(|(_, counts)| counts) {
        let total = totals.entry(*sort).or_default();
        *total = (total.0 + times, total.1 + 1);
    }
    for (sort, (times, seeds)) in &totals {
        println!("{:<18} {times:>7} times in {seeds:>5} seeds", format!("{sort:?}"));
    }
    let complaints: Vec<&String> = reports.iter().filter_map(|(complaint, _)| complaint.as_ref()).collect();
    println!("{count} seeds from {from} on: {} bad, {:.0} s", complaints.len(), began.elapsed().as_secs_f64());
    for complaint in &complaints {
        println!("{complaint}");
    }
    assert!(complaints.is_empty(), "{} seeds break a promise", complaints.len());
    let rare: Vec<_> = totals.iter().filter(|(_, (_, seeds))| *seeds < OFTEN).collect();
    assert!(count < ENOUGH_SEEDS || rare.is_empty(), "hardly ever: {rare:?}");
    Ok(())
}

/// All that happens is drawn from the seed: network and clock are turmoil's, tokio's dice are seeded (`--cfg tokio_unstable`), blocking
/// work is done in place, files are read in no order of the file system's, nothing goes through a map by a random hash.
#[test]
fn the_same_seed_tells_the_same_story() -> Result<()> {
    for (seed, [one, other]) in seeds(0, TWICE, |seed| Ok((seed, [run(seed)?, run(seed)?])))? {
        let differing = one.lines.iter().zip(&other.lines).find(|(one, other)| one != other);
        assert!(differing.is_none(), "seed {seed} has two stories: {differing:?}");
        assert_eq!(one.trace, other.trace, "seed {seed}: one story is longer");
        assert_eq!(one.counts, other.counts, "seed {seed} counts differently");
    }
    Ok(())
}

#[test]
fn every_broken_part_is_noticed() -> Result<()> {
    for (mutant, all) in [
        (Mutant::OpenFence, &["was acknowledged and is", "took a change"][..]),
        (Mutant::OldDisk, &["is served by"]),
        (Mutant::LostObject, &["misses"]),
        (Mutant::Resurrection, &["was deleted and"]),
        (Mutant::Dark, &["is not served"]),
        (Mutant::UnsyncedBytes, &["is listed with"]),
        (Mutant::UnsyncedNames, &["misses"]),
        (Mutant::DeniedLoss, &["was acknowledged and is"]),
        (Mutant::FollowerLoses, &["misses"]),
    ] {
        let reports = seeds(0, MUTANT_SEEDS, |seed| run_mutant(seed, mutant))?;
        let violations: Vec<_> = reports.iter().flat_map(|report| &report.violations).collect();
        for expected in all {
            let noticed = violations.iter().any(|what| what.contains(expected));
            assert!(noticed, "{mutant:?} is not noticed by {expected:?} but by {violations:?}");
        }
    }
    Ok(())
}
