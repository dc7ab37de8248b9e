//! Throughput is measured while nodes move, kept across a restart, and asked about.

use super::bench::{Bench, Running, eventually};
use crate::estimates;
use shardlift_api::fault::FaultKind;
use shardlift_api::v1;
use shardlift_api::v1::operator_server::Operator as _;
use shardlift_store::MemoryStore;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

async fn ask(running: &Running, request: v1::EstimatePlanRequest) -> Result<v1::EstimatePlanResponse, Status> {
    running.operator.estimate_plan(Request::new(request)).await.map(tonic::Response::into_inner)
}

const NODES: [&str; 3] = ["acme/web-1", "acme/web-2", "globex"];

async fn planned(bench: &Bench) -> (Running, String) {
    let running = bench.lead(Arc::new(MemoryStore::new("c1".parse().unwrap()))).await;
    running.add_parts(bench, NODES.len()).await.unwrap();
    let toml = running.apply_plan().await.unwrap();
    (running, toml)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_canary_gives_the_first_figures_and_they_survive_a_restart() {
    let bench = Bench::new(&NODES).await;
    // A copy has a hundred bytes for each change.
    bench.yard.with(|copies| copies.all.values_mut().for_each(|copy| copy.seq = 1_000_000));
    let file = bench.ca.dir.path().join("measured.json");
    let (running, _) = planned(&bench).await;
    let stop = CancellationToken::new();
    let measuring = tokio::spawn(estimates::run(running.context.clone(), Some(file.clone()), stop.clone()));
    let before = ask(&running, v1::EstimatePlanRequest::default()).await.unwrap();
    assert!(before.present.unwrap().unknown.contains("the canary gives the first figures"));
    let canary = running.world(|world| crate::operator::in_order(world).next().unwrap().batch.to_string());
    running.operator.start_batch(Request::new(v1::BatchRequest { batch: canary.clone() })).await.unwrap();
    let is_measured =
        || running.context.shared.observed(|observed| !observed.measured.of(&"source".parse().unwrap()).is_empty());
    eventually("the canary is measured", is_measured).await;
    let after = ask(&running, v1::EstimatePlanRequest::default()).await.unwrap();
    let present = after.present.unwrap();
    assert!(present.p50_ms.is_some() && present.p90_ms >= present.p50_ms && present.unknown.is_empty(), "{present:?}");
    assert!(after.measured[0].starts_with("source: ") && after.measured[0].contains("sample"), "{:?}", after.measured);
    let listed =
        running.operator.list_batches(Request::new(v1::ListBatchesRequest::default())).await.unwrap().into_inner();
    let seen = listed.batches.iter().find(|batch| batch.batch == canary).unwrap();
    assert!(seen.since_unix_ms > 0 && seen.nodes[0].since_unix_ms > 0 && seen.estimate.is_some());
    assert!(!file.exists(), "it is written once a minute and at the end");
    stop.cancel();
    measuring.await.unwrap();
    // The next one begins with it.
    let stop = CancellationToken::new();
    let kept = running.context.shared.observed(|observed| observed.measured.clone());
    running.context.shared.observe(|observed| observed.measured = estimates::Measured::default());
    let measuring = tokio::spawn(estimates::run(running.context.clone(), Some(file), stop.clone()));
    eventually("what was measured is read", || running.context.shared.observed(|observed| observed.measured == kept))
        .await;
    stop.cancel();
    measuring.await.unwrap();
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_conditions_are_answered_beside_the_present_ones_and_change_nothing() {
    let bench = Bench::new(&NODES).await;
    bench.yard.with(|copies| copies.all.values_mut().for_each(|copy| copy.seq = 100_000_000));
    let (running, toml) = planned(&bench).await;
    let source = "source".parse().unwrap();
    running.context.shared.observe(|observed| estimates::tests::measure(&mut observed.measured, &source, 100));
    let heard = || running.context.shared.observed(|observed| observed.shards[&source].limits.is_some());
    eventually("the source has said its limits", heard).await;
    let revision = running.context.shared.recorded(|recorded| recorded.revision);
    let request = v1::EstimatePlanRequest { bytes_per_second: Some(10 << 20), ..Default::default() };
    for toml in [String::new(), toml.clone()] {
        let asked = ask(&running, v1::EstimatePlanRequest { toml, ..request.clone() }).await.unwrap();
        let (present, other) = (asked.present.unwrap(), asked.other.unwrap());
        assert!(other.p50_ms > present.p50_ms, "{present:?} {other:?}");
        assert_eq!(other.limited_by, "the cap of the source");
        assert_eq!(asked.batches.iter().map(|batch| batch.nodes).sum::<u64>(), 3);
        assert!(asked.batches.iter().all(|batch| batch.bytes > 0 && batch.other.is_some()));
        assert_eq!(asked.conditions, ["source: no cap; at most 4 at a time"]);
    }
    let more = v1::EstimatePlanRequest {
        windows: Some("02:00-03:00".into()),
        workers: 2,
        target_caps: vec![v1::TargetCap { shard: "shard-b".into(), bytes_per_second: 1 << 20 }],
        ..request.clone()
    };
    assert!(ask(&running, more).await.unwrap().other.unwrap().p50_ms.is_some());
    assert_eq!(running.context.shared.recorded(|recorded| recorded.revision), revision, "it was only asked");
    let cap = |shard: &str| vec![v1::TargetCap { shard: shard.into(), bytes_per_second: 1 }];
    for (wrong, kind, words) in [
        (
            v1::EstimatePlanRequest { windows: Some("2-3".into()), ..request.clone() },
            FaultKind::Invalid,
            "windows: \"2-3\"",
        ),
        (v1::EstimatePlanRequest { workers: 100_000, ..request.clone() }, FaultKind::Invalid, "workers"),
        (v1::EstimatePlanRequest { target_caps: cap("nowhere"), ..request.clone() }, FaultKind::NotFound, "nowhere"),
        (v1::EstimatePlanRequest { target_caps: cap("NO"), ..request.clone() }, FaultKind::Invalid, "target"),
        (v1::EstimatePlanRequest { toml: "nonsense".into(), ..request.clone() }, FaultKind::Invalid, "line 1"),
        (v1::EstimatePlanRequest { toml: toml.replace("globex", "nobody"), ..request }, FaultKind::Invalid, "nobody"),
    ] {
        let refusal = ask(&running, wrong).await.unwrap_err();
        assert_eq!(FaultKind::from(&refusal), kind, "{refusal:?}");
        assert!(refusal.message().contains(words), "{refusal:?}");
    }
    running.end().await.unwrap();
    bench.end().await;
}
