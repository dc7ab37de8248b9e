//! Every line of the protocol is needed: without it, the search finds what it is there for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use shardlift_sim::{Cutover, Mutant};
use stateright::{Checker as _, HasDiscoveries, Model as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Instant;

/// How the checker was tripped.
struct Caught {
    /// Each property that was to break: in how many steps, and by which.
    broken: Vec<(&'static str, usize, String)>,
    states: usize,
    seconds: f64,
}

/// Breadth first, until all that the mutant breaks is found. `None` after a complete search that misses some of it.
fn counterexamples(mutant: Mutant) -> Option<Caught> {
    let begun = Instant::now();
    let found = HasDiscoveries::AllOf(mutant.breaks().iter().copied().collect());
    let checker = Cutover::without(mutant).checker().finish_when(found).spawn_bfs().join();
    let broken = mutant.breaks().iter().map(|name| {
        let actions = checker.discovery(name)?.into_actions();
        let story = actions.iter().map(|action| format!("    {action:?}\n")).collect();
        Some((*name, actions.len(), story))
    });
    let broken = broken.collect::<Option<Vec<_>>>()?;
    Some(Caught { broken, states: checker.unique_state_count(), seconds: begun.elapsed().as_secs_f64() })
}

/// All mutants, two at a time.
fn all() -> BTreeMap<Mutant, Option<Caught>> {
    let waiting = Mutex::new(Mutant::ALL.into_iter());
    let results = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let next = waiting.lock().unwrap().next();
            let Some(mutant) = next else { return };
            let caught = counterexamples(mutant);
            results.lock().unwrap().insert(mutant, caught);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    results.into_inner().unwrap()
}

#[test]
fn every_mutant_is_caught() {
    let with_stories = std::env::var_os("SHARDLIFT_MODEL_STORIES").is_some();
    println!("{:<24} {:>8} {:>5}  breaks (steps)", "without", "states", "s");
    let mut escaped = Vec::new();
    for (mutant, caught) in all() {
        let Some(caught) = caught else {
            escaped.push(mutant);
            continue;
        };
        let broken: Vec<String> = caught.broken.iter().map(|(name, steps, _)| format!("{name} ({steps})")).collect();
        let name = format!("{mutant:?}");
        println!("{name:<24} {:>8} {:>5.1}  {}", caught.states, caught.seconds, broken.join(", "));
        if with_stories {
            caught.broken.iter().for_each(|(name, _, story)| print!("  {name}\n{story}"));
        }
    }
    assert!(escaped.is_empty(), "not caught: {escaped:?}");
}

#[test]
fn every_property_has_a_mutant() {
    let broken: BTreeSet<&str> = Mutant::ALL.into_iter().flat_map(Mutant::breaks).copied().collect();
    for (property, _) in shardlift_sim::properties::ALWAYS {
        assert!(broken.contains(property), "{property}");
    }
}
