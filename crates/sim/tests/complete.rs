//! The complete search.

use shardlift_migration::Stage;
use shardlift_sim::{Bound, Cutover};
use stateright::{Checker as _, Expectation, Model as _};
use std::time::Instant;

/// What a search of the standard bound must come to at least.
const STATES_MIN: usize = 5_000_000;

/// What each search with writers that are given up must come to at least.
const STATES_MIN_WITHOUT_WRITER: usize = 1_000_000;

const THREADS: usize = 2;

fn bound() -> Bound {
    match std::env::var("SHARDLIFT_MODEL_BOUND") {
        Err(std::env::VarError::NotPresent) => Bound::STANDARD,
        Ok(name) if name == "standard" => Bound::STANDARD,
        Ok(name) if name == "large" => Bound::LARGE,
        other => panic!("SHARDLIFT_MODEL_BOUND is `standard` or `large`, not {other:?}"),
    }
}

/// Searches all of it, prints what was found, and tells how many states there are.
fn search(bound: Bound) -> usize {
    let begun = Instant::now();
    let checker = Cutover::new(bound).checker().threads(THREADS).spawn_bfs().join();
    let (states, steps, depth) = (checker.unique_state_count(), checker.state_count(), checker.max_depth());
    println!("{bound:?}");
    println!(
        "{states} states, {steps} steps, depth {depth}, {:.1} s, {}",
        begun.elapsed().as_secs_f64(),
        peak_memory()
    );
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        match (property.expectation, found) {
            (Expectation::Always, Some(path)) => {
                let end = path.last_state().clone();
                let actions = path.into_actions();
                let story: String = actions.iter().map(|action| format!("  {action:?}\n")).collect();
                panic!("{} is broken after {} steps:\n{story}{end:#?}", property.name, actions.len());
            }
            (Expectation::Sometimes, None) if comes_to_all(bound) => {
                panic!("it never comes to pass that {}", property.name)
            }
            _ => {}
        }
    }
    assert!(checker.is_done());
    let unknown: Vec<_> = checker.model().ways.untaken().into_iter().filter(|way| !is_left_out(*way)).collect();
    let (without_writer, unknown): (Vec<_>, Vec<_>) = unknown.into_iter().partition(|way| is_of_takeover(*way));
    assert!(
        without_writer.is_empty() || bound.takeovers == 0 || !comes_to_all(bound),
        "ways of a takeover that are not taken: {without_writer:?}"
    );
    assert!(unknown.is_empty() || bound.restores == 0, "ways of the table that the model does not take: {unknown:?}");
    states
}

/// True for bounds that have room for all that is to be reachable: two leaders, or for takeovers a second move.
const fn comes_to_all(bound: Bound) -> bool {
    if bound.takeovers == 0 { bound.leaderships > 0 } else { bound.plans_again > 0 }
}

/// Work begun anew after it was held or a drain took too long; and an undo between stages that the model takes at once.
fn is_left_out((from, next): (Stage, Stage)) -> bool {
    let at_once = [Stage::VerifyRequested, Stage::Verifying, Stage::AwaitingCertificate, Stage::Ready];
    from == next || next == Stage::Starting || (at_once.contains(&from) && next == Stage::Discarding)
}

/// Ways that exist for a writer that is given up.
fn is_of_takeover((from, next): (Stage, Stage)) -> bool {
    let own = [Stage::TakingStock, Stage::Redirecting, Stage::Deposing];
    own.contains(&from) || own.contains(&next) || (from, next) == (Stage::Promoting, Stage::Probing)
}

/// Of the whole process, as the kernel counts it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    format!("at most {} of memory", peak.map_or("an unknown amount", str::trim))
}

#[test]
fn no_reachable_state_breaks_an_invariant_or_is_a_dead_end() {
    let states = search(bound());
    assert!(states >= STATES_MIN, "{states} states are fewer than {STATES_MIN}");
}

#[test]
fn moves_there_and_back_and_there_again_lose_nothing() {
    search(Bound::AGAIN);
}

#[test]
fn a_writer_that_is_given_up_takes_nothing_with_it_but_what_was_accepted() {
    for bound in [Bound::WITHOUT_WRITER, Bound::AFTER_A_LOSS] {
        let states = search(bound);
        assert!(states >= STATES_MIN_WITHOUT_WRITER, "{states} states are fewer than {STATES_MIN_WITHOUT_WRITER}");
    }
}

#[test]
fn clients_side_by_side_lose_nothing() {
    search(Bound::SIDE_BY_SIDE);
}
