//! Power loss at any instant, with the wrapper and, to show that the test can tell, without its sync.

use crate::disk::{Disk, skipped};
use crate::writer::{BATCH, Job, Progress, Writer, check};
use crate::{rounds, seeded, soaking};
use rand::Rng as _;
use shardlift_store::{Seq, SledStore};
use std::path::Path;
use std::time::Duration;

const DISK_MEBIBYTES: u64 = 512;

/// What there was after a cut.
struct Cut {
    last: Seq,
    acknowledgements: u64,
}

/// Cuts the power under a writer, once. Gives the acknowledgements before the cut, or what was lost.
fn cut_once(disk: &Disk, dir: &Path, job: Job, delay: Duration) -> Result<Cut, String> {
    let writer = Writer::start(job, dir);
    writer.wait_until(|progress| progress.acknowledgements + progress.batches > 0);
    // The instant of the cut is the random input of this test.
    std::thread::sleep(delay);
    disk.cut();
    let progress = writer.kill();
    disk.restart();
    check(dir, &progress).map(|last| Cut { last, acknowledgements: progress.acknowledgements })
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let disk = match Disk::new(DISK_MEBIBYTES) {
        Ok(disk) => disk,
        Err(reason) => return skipped("a_power_cut_loses_nothing_that_was_acknowledged", &reason),
    };
    let mut dice = seeded("a_power_cut");
    let [dir, batches] = ["store", "batches"].map(|name| disk.path().join(name));
    drop(SledStore::init(&dir, "c1".parse().unwrap()).unwrap());
    drop(SledStore::init(&batches, "c1".parse().unwrap()).unwrap());
    let mut acknowledgements = 0;
    for round in 0..rounds(12) {
        let delay = Duration::from_micros(dice.random_range(0..150_000));
        let (job, dir) = match round % 4 {
            0 | 1 => (Job::Append, &dir),
            2 => (Job::OpenAndClose, &dir),
            _ => (Job::AppendBatches, &batches),
        };
        let cut = cut_once(&disk, dir, job, delay).unwrap_or_else(|loss| panic!("round {round}, {job:?}: {loss}"));
        acknowledgements += cut.acknowledgements;
        if dir == &batches {
            assert_eq!(cut.last.0 % BATCH, 0, "round {round}: a part of a batch is there");
            std::fs::remove_dir_all(dir).unwrap();
            drop(SledStore::init(dir, "c1".parse().unwrap()).unwrap());
        }
    }
    println!("power cut: {} rounds, {acknowledgements} acknowledgements, 0 lost", rounds(12));
}

#[test]
fn a_store_that_was_just_created_survives_a_power_cut() {
    let disk = match Disk::new(DISK_MEBIBYTES) {
        Ok(disk) => disk,
        Err(reason) => return skipped("a_store_that_was_just_created_survives_a_power_cut", &reason),
    };
    for round in 0..3 {
        let dir = disk.path().join(format!("deep-{round}/below/store"));
        drop(SledStore::init(&dir, "c1".parse().unwrap()).unwrap());
        disk.cut();
        disk.restart();
        let last = check(&dir, &Progress::default()).unwrap_or_else(|loss| panic!("round {round}: {loss}"));
        assert_eq!(last.0, 0, "round {round}");
    }
}

#[test]
fn without_the_sync_a_power_cut_loses_acknowledged_writes() {
    let disk = match Disk::new(DISK_MEBIBYTES) {
        Ok(disk) => disk,
        Err(reason) => return skipped("without_the_sync_a_power_cut_loses_acknowledged_writes", &reason),
    };
    let mut dice = seeded("without_the_sync");
    let (mut tried, mut lost) = (0, 0);
    while tried < rounds(25) && (lost == 0 || soaking()) {
        tried += 1;
        // A store of its own for each round: one that has lost something does not open again.
        let dir = disk.path().join("store");
        drop(SledStore::init(&dir, "c1".parse().unwrap()).unwrap());
        let delay = Duration::from_micros(dice.random_range(0..150_000));
        if let Err(loss) = cut_once(&disk, &dir, Job::AppendUnsynced, delay) {
            println!("without the sync: lost in round {tried}: the store {loss}");
            lost += 1;
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
    println!("without the sync: acknowledged writes lost in {lost} of {tried} rounds");
    assert!(lost > 0, "{tried} power cuts without the sync lost nothing: the test cannot tell");
}
