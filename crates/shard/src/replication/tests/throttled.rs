//! What an operator allows, at real shards.

use super::world::{Shard, World, bytes_of, caught_up, eventually, node, pulling};
use crate::throttle::Work;
use shardlift_api::v1;
use shardlift_model::ObjectKind;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

async fn set(shard: &Shard, revision: u64, request: v1::SetLimitsRequest) -> Result<v1::LimitsStatus, tonic::Status> {
    let request = v1::SetLimitsRequest { term: 1, revision, ..request };
    shard.client.clone().set_limits(request).await.map(tonic::Response::into_inner)
}

fn cap(mebibytes: u64) -> v1::SetLimitsRequest {
    v1::SetLimitsRequest { bytes_per_second: Some(mebibytes * MIB), ..Default::default() }
}

async fn limits(shard: &Shard) -> v1::LimitsStatus {
    shard.client.clone().get_limits(v1::GetLimitsRequest {}).await.unwrap().into_inner()
}

/// Three MiB of large objects and some small ones.
async fn fill(source: &Shard) {
    source.fill(20).await;
    for seed in 0..6 {
        source.put(ObjectKind::Data, &bytes_of(1000 + seed, 512 * 1024)).await;
    }
}

/// Bytes of this work, and how often any had to wait.
fn moved(shard: &Shard, work: Work) -> (u64, u64) {
    let standing = shard.engine.throttle().standing();
    (standing.bytes[work as usize], standing.waits)
}

#[tokio::test]
async fn a_cap_set_at_run_time_is_kept_over_a_restart_and_slows_a_real_replication() {
    let world = World::new();
    let source = world.shard("a").await;
    fill(&source).await;
    for (step, target, capped) in [(1, "b", false), (3, "c", true)] {
        let mut target = world.shard(target).await;
        if capped {
            let status = set(&target, 0, cap(1)).await.unwrap();
            assert_eq!((status.revision, status.configured, status.cap_bytes_per_second), (1, false, MIB));
            let (name, address) = (target.name.clone(), target.kill());
            target = world.shard_at(&name, &address).await;
            assert_eq!(limits(&target).await.pace, "held at 1.0 MiB/s: the cap");
        }
        source.offer(step, &target.name).await.unwrap();
        let began = Instant::now();
        target.start(step + 1, &source, false).await.unwrap();
        caught_up(&source, &target).await;
        let (written, waits) = moved(&target, Work::Write);
        assert!(written >= 3 * MIB, "{written}");
        assert_eq!(waits > 0, capped, "{waits} waits");
        // A busy machine makes it slower, never faster.
        assert!(!capped || began.elapsed() > Duration::from_millis(2500), "{:?}", began.elapsed());
    }
    let (sent, waits) = moved(&source, Work::Send);
    assert!(sent >= 6 * MIB && waits == 0, "{sent} bytes, {waits} waits");
}

#[tokio::test]
async fn the_source_holds_back_what_it_sends_and_one_stream_is_one_stream() {
    let world = World::new();
    let (source, target) = (world.shard("a").await, world.shard("b").await);
    fill(&source).await;
    let streams = v1::SetLimitsRequest { streams: Some(1), ..cap(1) };
    set(&source, 0, streams).await.unwrap();
    set(&target, 0, v1::SetLimitsRequest { streams: Some(1), ..Default::default() }).await.unwrap();
    source.offer(1, "b").await.unwrap();
    let began = Instant::now();
    target.start(2, &source, false).await.unwrap();
    caught_up(&source, &target).await;
    assert!(moved(&source, Work::Send).1 > 0);
    assert_eq!(moved(&target, Work::Write).1, 0);
    assert!(began.elapsed() > Duration::from_millis(2500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn bytes_of_a_large_object_are_seen_while_it_arrives_and_are_never_counted_twice() {
    let world = World::new();
    let (source, target) = (world.shard("a").await, world.shard("b").await);
    source.engine.create_node(&node()).await.unwrap();
    let object = bytes_of(1, 4 << 20);
    source.put(ObjectKind::Data, &object).await;
    let size = object.len() as u64;
    set(&target, 0, cap(1)).await.unwrap();
    source.offer(1, "b").await.unwrap();
    target.start(2, &source, false).await.unwrap();
    let arriving = Mutex::new(BTreeSet::new());
    eventually("it is there", || async {
        let replica = target.replica().await;
        assert!(replica.bytes_done + replica.bytes_arriving <= size, "{replica:?}");
        assert!(replica.bytes_done == 0 || replica.bytes_arriving == 0, "{replica:?}");
        arriving.lock().unwrap().insert(replica.bytes_arriving);
        replica.bytes_done == size
    })
    .await;
    // It takes three seconds at least, and is looked at all the time.
    assert!(arriving.lock().unwrap().len() > 3, "{arriving:?}");
}

#[tokio::test]
async fn the_last_changes_of_a_fenced_node_are_not_held_back() {
    let world = World::new();
    let (source, target) = pulling(&world, 20).await;
    caught_up(&source, &target).await;
    for shard in [&source, &target] {
        set(shard, 0, cap(1)).await.unwrap();
        assert_eq!(shard.engine.throttle().standing().word, "cap");
    }
    let last = source.fence(3, 60_000).await.unwrap();
    let words = || [&source, &target].map(|shard| shard.engine.throttle().standing().word);
    let (completed, seen) = tokio::join!(target.complete(4, &last), async {
        let mut seen = [false; 2];
        for _ in 0..3000 {
            let now = words().map(|word| word == "hurry");
            seen = [seen[0] || now[0], seen[1] || now[1]];
            if seen == [true; 2] {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        seen
    });
    assert_eq!(completed.unwrap(), last);
    assert_eq!(seen, [true; 2], "neither side held anything back");
}

#[tokio::test]
async fn a_setting_that_makes_no_sense_is_refused_with_its_place_and_changes_nothing() {
    let world = World::new();
    let shard = world.shard("a").await;
    let windows = |text: &str| v1::SetLimitsRequest { windows: Some(text.to_owned()), ..Default::default() };
    for (request, revision, said) in [
        (windows("UTC 02:00-06:00 fast, else 5 MiB/s"), 0, "column 17: a rate such as 50 MiB/s"),
        (windows("02:00-06:00 unlimited, else 5 MiB/s"), 0, "column 1: the time zone"),
        (v1::SetLimitsRequest { bytes_per_second: Some(5), ..Default::default() }, 0, "cap: 1.0 MiB/s"),
        (v1::SetLimitsRequest { streams: Some(2000), ..Default::default() }, 0, "streams: 1 to 1024"),
        (cap(5), 7, "revision 0, not 7"),
    ] {
        let refused = set(&shard, revision, request).await.unwrap_err();
        assert!(refused.message().contains(said), "{}", refused.message());
    }
    assert_eq!((limits(&shard).await.revision, limits(&shard).await.configured), (0, true));
    let status = set(&shard, 0, windows("UTC else 5 MiB/s")).await.unwrap();
    assert_eq!(status.pace, "held at 5.0 MiB/s: cap outside the windows");
    let stale = v1::SetLimitsRequest { term: 0, revision: 1, ..cap(9) };
    let stale = shard.client.clone().set_limits(stale).await.unwrap_err();
    assert!(stale.message().contains("stale"), "{}", stale.message());
}
