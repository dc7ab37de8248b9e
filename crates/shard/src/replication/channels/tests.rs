//! How many channels there are, and what waits for what: seats alone, then many followers of one real source.

use super::*;
use crate::replication::tests::world::{World, bytes_of, eventually};
use futures::StreamExt as _;
use shardlift_api::v1;
use shardlift_model::{NodeId, ObjectKind};
use std::time::{Duration, Instant};

fn opened(channels: &Channels) -> Vec<usize> {
    let pools = channels.pools.lock().unwrap();
    let live: Vec<_> = pools.values().filter_map(Weak::upgrade).collect();
    let count =
        |kind| live.iter().map(|pool| pool.lock().channels.values().filter(|one| one.kind == kind).count()).sum();
    KINDS.map(count).to_vec()
}

#[tokio::test]
async fn channels_are_opened_as_seats_are_taken_and_end_with_the_last() {
    let world = World::new();
    let channels = Channels::new(&world.credentials(Role::Shard, "b"));
    let [a, c]: [ShardId; 2] = ["a", "c"].map(|name| name.parse().unwrap());
    let mut seats = Vec::new();
    for (count, expected) in [(1, [1, 1]), (3, [1, 1]), (40, [1, 2]), (101, [2, 4]), (500, [5, 4])] {
        seats.resize_with(count, || channels.seats(&a, "a:1"));
        assert_eq!(opened(&channels), expected, "{count} copies");
    }
    // Another shard, and the same one where it is found now.
    let others = [channels.seats(&c, "c:1"), channels.seats(&a, "a:2")];
    assert_eq!(opened(&channels), [7, 6]);
    drop(others);
    assert_eq!(opened(&channels), [5, 4]);
    seats.truncate(1);
    assert!(opened(&channels).iter().all(|count| *count <= 1), "{:?}", opened(&channels));
    seats.clear();
    assert_eq!(opened(&channels), [0, 0]);
    let again = channels.seats(&a, "a:1");
    assert_eq!((opened(&channels), channels.pools.lock().unwrap().len()), (vec![1, 1], 1), "places are forgotten");
    drop(again);
}

/// Connections that are established to an address.
fn connections(address: &str) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    let port = format!(":{port:04X}");
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines = table.lines().map(fields);
    lines.filter(|fields| fields.len() > 3 && fields[2].ends_with(&port) && fields[3] == "01").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_followers_share_a_few_connections_and_none_is_kept_waiting() {
    const NODES: usize = 110;
    let world = World::new();
    let (source, target) = (world.shard("a").await, world.shard("b").await);
    let nodes: Vec<NodeId> = (0..NODES).map(|number| format!("fleet/n{number}").parse().unwrap()).collect();
    let token = |step| Some(v1::Token { term: 1, generation: 1, step });
    let start = |node: NodeId| {
        let (source, target) = (&source, &target);
        async move {
            source.engine.create_node(&node).await.unwrap();
            let offer = v1::OfferNodeRequest { node: node.to_string(), token: token(1), target: "b".into() };
            source.client.clone().offer_node(offer).await.unwrap();
            let start = v1::StartReplicaRequest {
                node: node.to_string(),
                token: token(2),
                source: "a".into(),
                source_peer_address: source.address.clone(),
                accept_damaged: false,
            };
            target.client.clone().start_replica(start).await.unwrap();
        }
    };
    futures::stream::iter(nodes.iter().cloned()).for_each_concurrent(16, start).await;
    let follows = |node: &NodeId| {
        let replica = target.jobs.status(node).unwrap();
        replica.phase == i32::from(v1::ReplicaPhase::Following) && replica.waiting_for.is_empty()
    };
    eventually("all follow", || async { nodes.iter().all(follows) }).await;
    let open = connections(&source.address);
    // The test's own channel to the source is one of them.
    assert!(open <= 2 + 4 + 4 + 1, "{open} connections for {NODES} copies");
    // All of them wait for a change by now; the changes of one do not wait for the others.
    let started = Instant::now();
    for node in [&nodes[0], &nodes[NODES / 2], &nodes[NODES - 1]] {
        let key = source.put_in(node, ObjectKind::Data, &bytes_of(1, 200_000)).await;
        eventually("it is there", || async { target.engine.object(node, key).await.unwrap().is_some() }).await;
        let fence = v1::FenceRequest { node: node.to_string(), token: token(3), lease_ms: 20_000, drain_ms_max: 1_000 };
        let r#final = source.client.clone().fence(fence).await.unwrap().into_inner().r#final;
        let complete = v1::CompleteReplicaRequest { node: node.to_string(), token: token(4), r#final: r#final.clone() };
        let digest = target.client.clone().complete_replica(complete).await.unwrap().into_inner().digest;
        assert_eq!(digest, r#final);
    }
    let took = started.elapsed();
    assert!(
        took < Duration::from_secs(10),
        "{took:?}: they wait up to {:?}",
        crate::replication::replica::JOURNAL_WAIT
    );
    target.jobs.close().await;
    eventually("the connections end", || async { connections(&source.address) <= 1 }).await;
}
