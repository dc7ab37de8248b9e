//! The throttle as a whole, by a clock that stands still until somebody waits.

use super::*;
use std::time::Duration;

const MIB: u64 = 1 << 20;

fn open(folder: &Path) -> Arc<Throttle> {
    Arc::new(Throttle::open(folder, Limits::default()).unwrap())
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn cap(mebibytes: u64) -> LimitsChange {
    LimitsChange { cap: Some(Some(mebibytes * MIB)), ..LimitsChange::default() }
}

/// Takes so many MiB in chunks, as fast as it may; says how long that took.
async fn move_mebibytes(throttle: &Throttle, name: &str, mebibytes: u64) -> Duration {
    let began = Instant::now();
    for _ in 0..mebibytes * 4 {
        throttle.take(Work::Write, &node(name), MIB / 4).await;
    }
    began.elapsed()
}

/// A client that the shard needs this long for, over and over until the time is over.
async fn clients(throttle: &Arc<Throttle>, each: Duration, total: Duration) {
    let end = Instant::now() + total;
    while Instant::now() < end {
        let _client = throttle.client();
        let mut own = throttle.own_time();
        own.of(tokio::time::sleep(each)).await;
        own.done(Operation::Store);
    }
}

#[tokio::test(start_paused = true)]
async fn without_clients_nothing_is_held_back_and_with_them_it_is_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let throttle = open(folder.path());
    assert_eq!(move_mebibytes(&throttle, "a", 1000).await, Duration::ZERO);
    assert_eq!(throttle.standing().reason, "no clients: unlimited");
    let client = throttle.client();
    let rate = throttle.standing().rate.unwrap();
    assert!(move_mebibytes(&throttle, "a", 200).await > Duration::from_secs(1), "at {rate}");
    drop(client);
    tokio::time::sleep(CLIENTS_STAY + STEP).await;
    assert_eq!(move_mebibytes(&throttle, "a", 1000).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn clients_that_become_slow_are_given_way_to_and_the_reason_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let throttle = open(folder.path());
    clients(&throttle, Duration::from_millis(20), Duration::from_secs(20)).await;
    let moving = {
        let throttle = Arc::clone(&throttle);
        tokio::spawn(async move { move_mebibytes(&throttle, "a", 1 << 20).await })
    };
    clients(&throttle, Duration::from_millis(20), Duration::from_secs(5)).await;
    let before = throttle.standing();
    clients(&throttle, Duration::from_millis(60), Duration::from_secs(10)).await;
    let held = throttle.standing();
    assert!(held.rate < before.rate, "{:?} then {:?}", before.rate, held.rate);
    assert_eq!(held.word, "held");
    assert!(held.reason.contains("of store is") && held.reason.contains("times the usual"), "{}", held.reason);
    assert!(held.rate.unwrap() >= held.limits.floor && held.waiting == 1 && held.waits > 0, "{held:?}");
    moving.abort();
}

#[tokio::test(start_paused = true)]
async fn a_cap_is_kept_over_a_restart_and_a_reset_takes_it_away() {
    let folder = tempfile::tempdir().unwrap();
    let throttle = open(folder.path());
    throttle.set_limits(3, 0, cap(10)).await.unwrap();
    let (now, again) = (throttle.standing(), open(folder.path()).standing());
    for standing in [&now, &again] {
        assert_eq!((standing.rate, standing.revision, standing.is_configured), (Some(10 * MIB), 1, false));
        assert_eq!(standing.reason, "held at 10.0 MiB/s: the cap");
    }
    let took = move_mebibytes(&throttle, "a", 100).await;
    assert!((Duration::from_secs(9)..Duration::from_secs(11)).contains(&took), "{took:?}");
    throttle.set_limits(3, 1, LimitsChange { reset: true, ..LimitsChange::default() }).await.unwrap();
    let standing = open(folder.path()).standing();
    assert_eq!((standing.rate, standing.is_configured, standing.revision), (None, true, 2));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_came_late_changes_nothing_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let throttle = open(folder.path());
    throttle.set_limits(3, 0, cap(10)).await.unwrap();
    throttle.set_limits(3, 0, cap(10)).await.unwrap();
    assert_eq!(throttle.standing().revision, 1, "the same change again is the same change");
    let late = throttle.set_limits(3, 0, cap(20)).await.unwrap_err();
    assert_eq!(late.to_string(), "the limits were changed meanwhile: they have revision 1, not 0");
    let stale = throttle.set_limits(2, 1, cap(20)).await.unwrap_err();
    assert_eq!(stale.to_string(), "the term 2 is stale: term 3 has set limits already");
    let senseless = LimitsChange { streams: Some(Some(5000)), ..LimitsChange::default() };
    let senseless = throttle.set_limits(3, 1, senseless).await.unwrap_err();
    assert_eq!(senseless.to_string(), "streams: 1 to 1024 is expected, not 5000");
    let again = open(folder.path());
    assert!(matches!(again.set_limits(2, 1, cap(20)).await, Err(SetLimitsError::StaleTerm { .. })), "persisted");
    assert_eq!(again.standing().rate, Some(10 * MIB));
}

#[tokio::test]
async fn a_change_whose_caller_goes_away_is_made_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let throttle = open(dir.path());
    let mut gone = Box::pin(throttle.set_limits(3, 0, cap(10)));
    assert!(futures::poll!(gone.as_mut()).is_pending(), "it has only begun");
    drop(gone);
    crate::engine::tests::eventually("it is in force", || throttle.standing().revision == 1).await;
    throttle.set_limits(3, 1, cap(20)).await.unwrap();
    assert_eq!(open(dir.path()).standing().revision, 2);
}

#[tokio::test(start_paused = true)]
async fn limits_that_cannot_be_kept_are_not_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let throttle = open(folder.path());
    // A folder in the place of the half-written file.
    std::fs::create_dir(folder.path().join("limits.json.new")).unwrap();
    assert!(matches!(throttle.set_limits(1, 0, cap(10)).await, Err(SetLimitsError::Keeping(_))));
    assert_eq!((throttle.standing().rate, throttle.standing().revision), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_shared_by_nodes_and_not_by_transfers() {
    let folder = tempfile::tempdir().unwrap();
    let throttle = open(folder.path());
    throttle.set_limits(1, 0, cap(10)).await.unwrap();
    let mut many = tokio::task::JoinSet::new();
    for _ in 0..7 {
        let throttle = Arc::clone(&throttle);
        many.spawn(async move { move_mebibytes(&throttle, "many", 1000).await });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let took = move_mebibytes(&throttle, "one", 20).await;
    assert!((Duration::from_millis(3500)..Duration::from_millis(4500)).contains(&took), "half of the rate: {took:?}");
    many.abort_all();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_changes_hands_is_not_held_back_and_nothing_is_in_its_way() {
    let folder = tempfile::tempdir().unwrap();
    let throttle = open(folder.path());
    throttle.set_limits(1, 0, cap(1)).await.unwrap();
    let waiting = {
        let throttle = Arc::clone(&throttle);
        tokio::spawn(async move { move_mebibytes(&throttle, "a", 100).await })
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    throttle.hurry();
    let took = waiting.await.unwrap();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(throttle.standing().word, "hurry");
    tokio::time::sleep(HURRY + STEP).await;
    assert_eq!(throttle.standing().word, "cap", "only for a moment");
}
