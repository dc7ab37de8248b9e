//! Any journal of puts and deletes, followed while it is written, with kills in between, ends with equal digests.

use super::world::{World, bytes_of, caught_up, node, pulling};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use shardlift_model::{ObjectKey, ObjectKind};

const KINDS: [ObjectKind; 5] =
    [ObjectKind::Keys, ObjectKind::Data, ObjectKind::Index, ObjectKind::Snapshots, ObjectKind::Locks];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_journal_that_is_followed_ends_with_equal_digests() {
    let seed = std::env::var("SHARDLIFT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}; again with SHARDLIFT_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..3 {
        one_journal(&mut random).await;
    }
}

async fn one_journal(random: &mut StdRng) {
    let world = World::new();
    let (mut source, mut target) = pulling(&world, random.random_range(0..60)).await;
    let mut known: Vec<ObjectKey> = Vec::new();
    for _ in 0..random.random_range(20..120) {
        match random.random_range(0..100) {
            0..=59 => {
                let size = [10, 3_000, 140_000][random.random_range(0..3)];
                let bytes = bytes_of(random.random_range(0..40), size);
                known.push(source.put(KINDS[random.random_range(0..KINDS.len())], &bytes).await);
            }
            60..=94 if !known.is_empty() => {
                source.delete(known[random.random_range(0..known.len())]).await.unwrap();
            }
            95..=96 => {
                let address = target.kill();
                target = world.shard_at("b", &address).await;
            }
            97 => {
                let address = source.kill();
                source = world.shard_at("a", &address).await;
            }
            _ => tokio::task::yield_now().await,
        }
    }
    caught_up(&source, &target).await;
    let last = source.fence(50, 30_000).await.unwrap();
    assert_eq!(target.complete(51, &last).await.unwrap(), last);
    let (there, here) =
        (source.engine.digest(&node()).await.unwrap().0, target.engine.digest(&node()).await.unwrap().0);
    assert_eq!(there, here);
}
