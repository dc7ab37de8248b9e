//! Many clients at the same time, each on a TLS connection of its own.

use crate::http::{Http, Version};
use crate::world::{World, path_of};
use futures::StreamExt as _;
use shardlift_api::v1;
use shardlift_model::Role;
use std::time::Instant;

/// Connections that are open at the same time.
const CLIENTS: usize = 500;

/// Whose they are.
const NODES: usize = 25;

/// Handshakes and requests under way at once: more would measure how a machine with few cores shares them.
const AT_ONCE: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_clients_are_connected_and_served_at_the_same_time() {
    let world = World::new();
    let shard = world.shard().await;
    let mut certificates = Vec::new();
    for number in 0..NODES {
        let node = format!("acme/n{number}");
        shard.make_node(&node, v1::NodeSettings::default()).await;
        certificates.push((node.clone(), world.issue(Role::Node, &node)));
    }
    let began = Instant::now();
    let opening = (0..CLIENTS).map(|client| {
        let (world, shard, certificates) = (&world, &shard, &certificates);
        async move {
            let (_, certificate) = &certificates[client % NODES];
            Http::open(world, shard, Some(certificate), Version::Http1).await.unwrap()
        }
    });
    let mut connections: Vec<Http> = futures::stream::iter(opening).buffered(AT_ONCE).collect().await;
    let connected = began.elapsed();

    let requests = connections.iter_mut().enumerate().map(|(client, http)| {
        let node = certificates[client % NODES].0.clone();
        async move {
            let data = format!("object of client {client}").into_bytes();
            // Each on its own node: the certificate says whose it is, the path has to agree.
            let path = path_of("data", &data).replacen(crate::world::NODE, &node, 1);
            let began = Instant::now();
            assert_eq!(http.post(&path, &data).await.unwrap().status, 200, "{path}");
            let stored = began.elapsed();
            assert_eq!(http.get(&path).await.unwrap().body, data, "{path}");
            stored
        }
    });
    let mut stored: Vec<_> = futures::stream::iter(requests).buffer_unordered(AT_ONCE).collect().await;
    stored.sort_unstable();
    assert!(connections.iter().all(Http::is_open), "nobody was put out to make room for others");
    println!(
        "{CLIENTS} clients: connected within {connected:?}, an object stored in {:?} (half of them) to {:?} (99 of 100)",
        stored[CLIENTS / 2],
        stored[CLIENTS * 99 / 100],
    );
    let mut objects = 0;
    for (node, _) in &certificates {
        objects += shard.status(node).await.objects;
    }
    assert_eq!(objects, CLIENTS as u64);
    drop(connections);
    shard.end().await;
}
