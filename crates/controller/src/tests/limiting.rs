//! Limits of a shard: asked for and passed on, and kept by the shard alone.

use super::bench::Bench;
use shardlift_api::fault::FaultKind;
use shardlift_api::v1;
use shardlift_api::v1::operator_server::Operator as _;
use shardlift_store::MemoryStore;
use std::sync::Arc;
use tonic::Request;

#[tokio::test]
async fn limits_are_passed_on_with_the_term_and_the_revision_they_change() {
    let bench = Bench::new(&["acme/web-1"]).await;
    let running = bench.lead(Arc::new(MemoryStore::new("c1".parse().unwrap()))).await;
    running.add_parts(&bench, 1).await.unwrap();
    let limit = async |request: v1::LimitShardRequest| running.operator.limit_shard(Request::new(request)).await;
    let of = |shard: &str| v1::LimitShardRequest { shard: shard.to_owned(), ..Default::default() };
    let seen = limit(of("source")).await.unwrap().into_inner();
    assert_eq!((seen.revision, seen.cap_bytes_per_second), (0, 0), "a look changes nothing");
    for (cap, revision) in [(50 << 20, 1), (20 << 20, 2)] {
        let set = limit(v1::LimitShardRequest { bytes_per_second: Some(cap), ..of("source") }).await.unwrap();
        assert_eq!((set.get_ref().revision, set.get_ref().cap_bytes_per_second), (revision, cap));
    }
    let windows = Some("UTC else 5 MiB/s".to_owned());
    limit(v1::LimitShardRequest { windows: windows.clone(), ..of("source") }).await.unwrap();
    let (term, kept) = bench.yard.with(|copies| copies.limits[&"source".parse().unwrap()].clone());
    assert_eq!((kept.cap_bytes_per_second, Some(kept.windows)), (20 << 20, windows), "what is not given stays");
    assert_eq!(term, running.world(|world| world.term.0));
    let unknown = limit(of("nowhere")).await.unwrap_err();
    assert_eq!(FaultKind::from(&unknown), FaultKind::NotFound);
    // A later leader has been there.
    bench.yard.with(|copies| copies.limits.get_mut(&"source".parse().unwrap()).unwrap().0 = term + 1);
    let stale = limit(v1::LimitShardRequest { bytes_per_second: Some(7 << 20), ..of("source") }).await.unwrap_err();
    assert!(stale.message().contains("changed meanwhile"), "{}", stale.message());
    running.end().await.unwrap();
    bench.end().await;
}
