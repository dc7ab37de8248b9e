//! What was acknowledged survives `kill -9`, power loss and a full disk (INV-11).
//!
//! This binary is also the process that is killed: with [`writer::JOB`] set, [`the_writer`] does a writer's job and never
//! returns to the test harness. `SHARDLIFT_SOAK_ROUNDS=n` runs each test for n rounds; `SHARDLIFT_SEED=n` repeats one.

#![allow(clippy::unwrap_used, reason = "all of this is a test; clippy sees only functions marked so")]

mod disk;
mod disk_full;
mod kill;
mod power_cut;
mod writer;

/// Not a test of its own: the body of the processes that the others start.
#[test]
fn the_writer() {
    if let Ok(job) = std::env::var(writer::JOB) {
        writer::run(&job);
    }
}

/// Rounds of a test.
fn rounds(usual: u32) -> u32 {
    std::env::var("SHARDLIFT_SOAK_ROUNDS").map_or(usual, |rounds| rounds.parse().unwrap())
}

/// True when somebody asked for more than the usual rounds.
fn soaking() -> bool {
    std::env::var_os("SHARDLIFT_SOAK_ROUNDS").is_some()
}

/// The seed of a test, printed so that it can be repeated.
fn seeded(test: &str) -> rand::rngs::StdRng {
    let seed = std::env::var("SHARDLIFT_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("{test}: SHARDLIFT_SEED={seed}");
    rand::SeedableRng::seed_from_u64(seed)
}
