//! `kill -9` at any instant: in use and in the middle of opening.

use crate::writer::{BATCH, Job, Writer, check};
use crate::{rounds, seeded};
use rand::Rng as _;
use shardlift_store::{Seq, SledStore};
use std::time::Duration;

#[test]
fn a_kill_in_use_loses_nothing_that_was_acknowledged() {
    let mut dice = seeded("a_kill_in_use");
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    drop(SledStore::init(&dir, "c1".parse().unwrap()).unwrap());
    let (mut acknowledgements, mut last) = (0, Seq(0));
    for round in 0..rounds(40) {
        let writer = Writer::start(Job::Append, &dir);
        writer.wait_until(|progress| progress.acknowledgements > 0);
        // The instant of the kill is the random input of this test.
        std::thread::sleep(Duration::from_micros(dice.random_range(0..30_000)));
        let progress = writer.kill();
        acknowledgements += progress.acknowledgements;
        let found = check(&dir, &progress).unwrap_or_else(|loss| panic!("round {round}: {loss}"));
        assert!(found > last, "round {round}: nothing was written");
        last = found;
    }
    println!("killed in use: {} rounds, {acknowledgements} acknowledgements, {last} records, 0 lost", rounds(40));
}

#[test]
fn a_kill_in_a_large_batch_leaves_all_of_it_or_nothing() {
    let mut dice = seeded("a_kill_in_a_large_batch");
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    drop(SledStore::init(&dir, "c1".parse().unwrap()).unwrap());
    let mut torn = 0;
    for round in 0..rounds(15) {
        let writer = Writer::start(Job::AppendBatches, &dir);
        writer.wait_until(|progress| progress.batches > 0);
        std::thread::sleep(Duration::from_micros(dice.random_range(0..60_000)));
        let progress = writer.kill();
        let last = check(&dir, &progress).unwrap_or_else(|loss| panic!("round {round}: {loss}"));
        assert_eq!(last.0 % BATCH, 0, "round {round}: a part of a batch is there");
        torn += u32::from(progress.batches > progress.acknowledgements);
        if last.0 > 20 * BATCH {
            std::fs::remove_dir_all(&dir).unwrap();
            drop(SledStore::init(&dir, "c1".parse().unwrap()).unwrap());
        }
    }
    println!("killed in a large batch: {} rounds, {torn} in the middle of one, none torn", rounds(15));
    assert!(torn > 0, "no kill met a batch in progress");
}

#[test]
fn a_kill_while_opening_loses_nothing_and_the_store_opens_again() {
    let mut dice = seeded("a_kill_while_opening");
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    drop(SledStore::init(&dir, "c1".parse().unwrap()).unwrap());
    let mut in_open = 0;
    for round in 0..rounds(40) {
        let writer = Writer::start(Job::OpenAndClose, &dir);
        let cycle = dice.random_range(1..=3);
        writer.wait_until(|progress| progress.openings >= cycle);
        std::thread::sleep(Duration::from_micros(dice.random_range(0..12_000)));
        let progress = writer.kill();
        in_open += u32::from(progress.opening);
        check(&dir, &progress).unwrap_or_else(|loss| panic!("round {round}: {loss}"));
    }
    println!("killed around opening: {} rounds, {in_open} of them in the middle of it, 0 lost", rounds(40));
    assert!(in_open >= rounds(40) / 8, "only {in_open} kills met the store while it opened");
}
