//! A full disk: the write fails, the handle is finished, the ballast gives room, and nothing acknowledged is lost.

use crate::disk::{Disk, skipped};
use crate::writer::{Job, Writer, check, record};
use shardlift_store::{Seq, SledStore, Store as _};

#[test]
fn a_full_disk_loses_nothing_and_leaves_room_to_write_the_outcome() {
    let disk = match Disk::new(48) {
        Ok(disk) => disk,
        Err(reason) => {
            return skipped("a_full_disk_loses_nothing_and_leaves_room_to_write_the_outcome", &reason);
        }
    };
    let dir = disk.path().join("store");
    drop(SledStore::init(&dir, "c1".parse().unwrap()).unwrap());
    assert!(dir.join("ballast").exists());
    let writer = Writer::start(Job::Fill, &dir);
    writer.wait_until(|progress| progress.full);
    let progress = writer.kill();
    assert!(!dir.join("ballast").exists(), "the ballast was kept");
    let last = check(&dir, &progress).unwrap();
    let store = SledStore::open(&dir).unwrap();
    let term = store.campaign().unwrap();
    store.append(term, last, &[record(Seq(last.0 + 1))]).unwrap();
    println!("full disk: {} acknowledgements, 0 lost, and one more write after it", progress.acknowledgements);
}
