//! A shard as large as they come. Slow, so `make bench` runs it; sizes are variables.

use super::*;
use crate::engine::Mode;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _};
use std::fs::{self, File};
use std::time::Instant;

/// Objects of the one node that is larger than the rest.
const LARGE_NODE_OBJECTS: u64 = 100_000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The most memory that this process has had, in MiB.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// A repository of packs without bytes on the disk: their lengths are all that a start looks at.
fn repository(folder: &Path, packs: u64, random: &mut StdRng) {
    for kind in ["data", "index", "keys", "locks", "snapshots"] {
        fs::create_dir_all(folder.join(kind)).unwrap();
    }
    (0..=255_u8).for_each(|first| fs::create_dir(folder.join("data").join(hex::encode([first]))).unwrap());
    fs::write(folder.join("config"), b"config").unwrap();
    for _ in 0..packs {
        let mut name = [0; 32];
        random.fill_bytes(&mut name);
        let file = File::create(folder.join("data").join(hex::encode(&name[..1])).join(hex::encode(name))).unwrap();
        file.set_len(random.random_range(1..4096)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: make bench"]
async fn a_large_shard_starts_again_at_once_in_little_memory() {
    let (nodes, objects) =
        (number("SHARDLIFT_BENCH_SCALE_NODES", 1_000), number("SHARDLIFT_BENCH_SCALE_OBJECTS", 1_000_000));
    let base = std::env::var("SHARDLIFT_BENCH_SCALE_FOLDER")
        .unwrap_or_else(|_unset| concat!(env!("CARGO_MANIFEST_DIR"), "/../../target").to_owned());
    let dir = tempfile::tempdir_in(base).unwrap();
    let mut random = StdRng::seed_from_u64(1);
    let each = objects.saturating_sub(LARGE_NODE_OBJECTS).div_ceil(nodes);
    repository(&dir.path().join("large"), LARGE_NODE_OBJECTS, &mut random);
    (1..nodes).for_each(|n| repository(&dir.path().join(format!("acme-{}/node-{n}", n % 100)), each, &mut random));
    let timed = async |what: &str| {
        let began = Instant::now();
        let engine = open(dir.path()).await;
        println!(
            "{what}: {:.2} s, {} compared, peak {} MiB",
            began.elapsed().as_secs_f64(),
            engine.compared_at_start(),
            peak_mib()
        );
        engine
    };
    let engine = timed("taken in").await;
    let held: u64 = engine.nodes_after(None, usize::MAX).iter().map(|node| node.objects).sum();
    assert_eq!(held, LARGE_NODE_OBJECTS + (nodes - 1) * each + nodes);
    assert!(engine.nodes_after(None, usize::MAX).iter().all(|node| node.mode == Mode::Serving && node.missing == 0));
    engine.close().await.unwrap();
    drop(engine);
    let engine = timed("started again after a close in good order").await;
    assert_eq!(engine.compared_at_start(), 0);
    for _ in 0..3 {
        let began = Instant::now();
        let listed = engine.list(&node("large"), ObjectKind::Data).await.unwrap();
        println!("{} packs listed: {} ms", listed.len(), began.elapsed().as_millis());
        assert_eq!(listed.len() as u64, LARGE_NODE_OBJECTS);
    }
    engine.close().await.unwrap();
    drop(engine);
    fs::remove_file(dir.path().join(".shardlift/closed.json")).unwrap();
    let engine = timed("started again as after a crash").await;
    assert_eq!(engine.compared_at_start(), nodes);
    engine.close().await.unwrap();
}
