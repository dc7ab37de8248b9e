//! Estimates of what is left, from looks at a fleet without servers.

use super::*;
use crate::tests::fleet::{Fleet, PLANNED, shard};
use meter::Taken;
use shardlift_api::v1;
use shardlift_migration::{Event, Verdict};
use shardlift_model::{BatchId, NodeId};
use shardlift_planner::estimate::RateSample;

const MIB: u64 = 1 << 20;

/// Half an hour at so many MiB/s with four nodes at a time.
pub(crate) fn measure(measured: &mut Measured, source: &ShardId, mib: u64) {
    for n in 1..=180 {
        let bytes = mib * 10 * MIB * (9 + n % 3) / 10;
        let sample = RateSample { at: UnixMillis(PLANNED.0 + n * 10_000), millis: 10_000, bytes, workers: 4 };
        measured.take(&Taken { samples: vec![(source.clone(), sample)], all: None }, 4);
    }
}

/// Four nodes in two batches, all on the first shard.
fn planned() -> Fleet {
    let mut fleet = Fleet::new(4, 1);
    fleet.plan(&[
        ("canary", vec![(Fleet::name(0), shard(1))]),
        ("rest", (1..4).map(|n| (Fleet::name(n), shard(2))).collect()),
    ]);
    fleet
}

fn shown(fleet: &Fleet) -> Vec<String> {
    let Fleet { world, observed } = fleet;
    let left = left(world, observed, PLANNED);
    let conditions = |source: &ShardId| conditions(world, observed, &left, source);
    let found = outlook(&left, &observed.measured, conditions, PLANNED).unwrap();
    let text = |answer: &Result<_, _>| match answer {
        Ok(estimate) => format!("{estimate}"),
        Err(unknown) => format!("{unknown}"),
    };
    let batches = found.batches.iter().map(|(name, answer)| format!("{name}: {}", text(answer)));
    batches.chain([format!("all: {}", text(&found.whole))]).collect()
}

#[test]
fn nothing_is_made_up_before_anything_was_measured() {
    let unknown = "no throughput was measured yet: the canary gives the first figures";
    assert_eq!(
        shown(&planned()),
        [format!("canary: {unknown}"), format!("rest: {unknown}"), format!("all: {unknown}")]
    );
}

#[test]
fn estimates_follow_what_was_measured_what_is_there_and_the_limits() {
    let mut fleet = planned();
    measure(&mut fleet.observed.measured, &shard(0), 2);
    let mut told = shown(&fleet);
    // Half of the canary is there.
    fleet.copy("canary", PLANNED, &[(Fleet::name(0), 512 * MIB)]);
    told.extend(shown(&fleet));
    let limits = |cap, windows: &str| {
        Some(v1::LimitsStatus { cap_bytes_per_second: cap, windows: windows.into(), ..Default::default() })
    };
    fleet.observed.shards.get_mut(&shard(0)).unwrap().limits = limits(MIB, "");
    told.extend(shown(&fleet));
    fleet.observed.shards.get_mut(&shard(0)).unwrap().limits = limits(0, "UTC 22:00-22:10 unlimited, else 1 MiB/s");
    told.extend(shown(&fleet));
    fleet.observed.shards.entry(shard(2)).or_default().limits = limits(MIB / 4, "");
    told.extend(shown(&fleet));
    let by_night = limits(0, "UTC 22:30-24:00 unlimited, else 256 KiB/s");
    fleet.observed.shards.entry(shard(2)).or_default().limits = by_night;
    told.extend(shown(&fleet));
    let left = left(&fleet.world, &fleet.observed, PLANNED);
    let conditions = conditions(&fleet.world, &fleet.observed, &left, &shard(0));
    told.push(condition_words(&fleet.observed, &shard(0), &conditions));
    expect_test::expect![[r#"
        canary: P50 19 min, P90 19 min; limited by flip and soak
        rest: P50 36 min, P90 37 min; limited by the throughput that was measured
        all: P50 55 min, P90 55 min; limited by the throughput that was measured
        canary: P50 15 min, P90 15 min; limited by flip and soak
        rest: P50 36 min, P90 37 min; limited by the throughput that was measured
        all: P50 51 min, P90 51 min; limited by the throughput that was measured
        canary: P50 19 min, P90 19 min; limited by flip and soak
        rest: P50 1 h 02 min, P90 1 h 02 min; limited by the cap of the source
        all: P50 1 h 20 min, P90 1 h 21 min; limited by the cap of the source
        canary: P50 19 min, P90 19 min; limited by flip and soak
        rest: P50 1 h 02 min, P90 1 h 02 min; limited by the cap of the source
        all: P50 1 h 20 min, P90 1 h 21 min; limited by the cap of the source
        canary: P50 19 min, P90 19 min; limited by flip and soak
        rest: P50 3 h 35 min, P90 3 h 37 min; limited by what target shard-002 takes
        all: P50 3 h 45 min, P90 3 h 47 min; limited by what target shard-002 takes
        canary: P50 19 min, P90 19 min; limited by flip and soak
        rest: P50 1 h 02 min, P90 1 h 02 min; limited by the cap of the source
        all: P50 1 h 24 min, P90 1 h 25 min; limited by what target shard-002 takes
        shard-000: no cap; UTC 22:00-22:10 unlimited, else 1 MiB/s; shard-002 takes UTC 22:30-24:00 unlimited, else 256 KiB/s; at most 4 at a time"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn a_batch_that_soaks_needs_no_throughput_and_one_of_two_sources_the_slower_one() {
    let mut fleet = Fleet::new(4, 2);
    fleet.plan(&[("both", (0..4).map(|n| (Fleet::name(n), shard(2))).collect())]);
    measure(&mut fleet.observed.measured, &shard(0), 100);
    assert!(shown(&fleet)[0].contains("no throughput was measured"), "{:?}", shown(&fleet));
    measure(&mut fleet.observed.measured, &shard(1), 1);
    let slow = shown(&fleet);
    measure(&mut fleet.observed.measured, &shard(1), 100);
    assert_ne!(slow, shown(&fleet));
    fleet.world.batches.get_mut(&"both".parse::<BatchId>().unwrap()).unwrap().phase = BatchPhase::Soaking;
    for node in fleet.world.nodes.values_mut() {
        node.migration.as_mut().unwrap().stage = Stage::Soaking;
    }
    fleet.observed.measured = Measured::default();
    assert_eq!(shown(&fleet)[0], "both: P50 10 min, P90 10 min; limited by flip and soak");
}

#[test]
fn a_look_sees_who_copies_and_what_is_new() {
    let mut fleet = planned();
    let before = UnixMillis(PLANNED.0 - 1);
    assert!(copies(&fleet.world, &fleet.observed, before).is_empty(), "nothing was begun");
    fleet.copy("rest", PLANNED, &[(Fleet::name(1), 7)]);
    let looks = copies(&fleet.world, &fleet.observed, before);
    assert_eq!(looks.len(), 1);
    assert_eq!((looks[0].at_target, looks[0].fresh, looks[0].copying), (Some(7), true, false));
    // Nothing was ever heard of the target.
    fleet.observed.shards.get_mut(&shard(2)).unwrap().about = Some(v1::DescribeShardResponse::default());
    let after = copies(&fleet.world, &fleet.observed, UnixMillis(PLANNED.0 + 1));
    assert_eq!((after[0].fresh, after[0].copying), (false, true), "what was there before is not new");
    fleet.observed.shards.get_mut(&shard(0)).unwrap().problem = Some("no answer".into());
    assert!(!copies(&fleet.world, &fleet.observed, before)[0].copying);
    let words = seeding_words(&fleet.world, &fleet.observed);
    assert_eq!(words, "1 of at most 4 nodes copy at the same time (hard cap 4); not measured yet");
}

#[test]
fn a_phase_has_its_beginning() {
    let mut fleet = planned();
    let since =
        |fleet: &Fleet, name: &str| batch_since(&fleet.world, &fleet.world.batches[&name.parse::<BatchId>().unwrap()]);
    assert_eq!(since(&fleet, "canary"), Some(PLANNED));
    let later = UnixMillis(PLANNED.0 + 5000);
    fleet.copy("canary", later, &[(Fleet::name(0), 1)]);
    assert_eq!((since(&fleet, "canary"), since(&fleet, "rest")), (Some(later), Some(PLANNED)));
}

#[test]
fn a_batch_larger_than_those_before_it_advise_gets_a_note() {
    let mut fleet = Fleet::new(30, 1);
    let moves = |range: std::ops::Range<usize>| -> Vec<(NodeId, ShardId)> {
        range.map(|n| (Fleet::name(n), shard(1))).collect()
    };
    fleet.plan(&[("one", moves(0..2)), ("two", moves(2..12)), ("three", moves(12..30))]);
    let note = |fleet: &Fleet| advice(&fleet.world).map(|(batch, note)| format!("{batch}: {note}"));
    assert_eq!((note(&fleet), advised(&fleet.world)), (None, None), "nothing has ended");
    let end = |fleet: &mut Fleet, name: &str, phase, verdict| {
        let batch = fleet.world.batches.get_mut(&name.parse::<BatchId>().unwrap()).unwrap();
        (batch.phase, batch.verdict) = (phase, verdict);
    };
    end(&mut fleet, "one", BatchPhase::Soaking, None);
    assert_eq!(note(&fleet), None, "it has not ended");
    end(&mut fleet, "one", BatchPhase::Soaking, Some(Verdict::Good));
    let mut told = vec![note(&fleet).unwrap()];
    let undo = Event::UndoStarted { node: Fleet::name(1), reason: "late".into() };
    fleet.world.apply(&undo);
    told.push(note(&fleet).unwrap());
    end(&mut fleet, "one", BatchPhase::RolledBack, None);
    told.push(note(&fleet).unwrap());
    end(&mut fleet, "two", BatchPhase::Released, Some(Verdict::Good));
    told.extend(note(&fleet));
    end(&mut fleet, "three", BatchPhase::Preparing, None);
    assert_eq!(note(&fleet), None, "no batch is planned");
    assert_eq!(advised(&fleet.world).map(|next| next.nodes), Some(12), "a new plan begins with as many");
    expect_test::expect![[r#"
        two: the batch of 2 nodes was good: twice as many; 4 nodes are advised, this one has 10
        two: 1 node of 2 nodes failed: half as many; 1 node is advised, this one has 10
        two: the batch of 2 nodes got a bad verdict: a canary again; 1 node is advised, this one has 10
        three: the batch of 10 nodes was good: a quarter more, as one of twice 1 went wrong; 12 nodes are advised, this one has 18"#]].assert_eq(&told.join("\n"));
}
