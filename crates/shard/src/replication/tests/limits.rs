//! Peers that take nothing, and disks that take no more.

use super::world::{World, bytes_of, caught_up, eventually, node};
use crate::auth::htpasswd::Passwords;
use crate::engine::DISK_RESERVE_BYTES;
use crate::engine::tests::space::SmallDisk;
use crate::engine::tests::{put, store, temps};
use crate::replication::frame::{self, Kind};
use crate::replication::{ReplicationCounters, serving};
use shardlift_api::v1;
use shardlift_model::{Holder, Identity, ObjectKind, Peer, PeerCertificate, Role, Token};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_loses_the_connection() {
    let (dir, engine, node) = store().await;
    let key = put(&engine, &node, ObjectKind::Data, &bytes_of(1, 4 << 20)).await;
    engine.offer(&node, Token::new(1, 1, 1), "b".parse().unwrap()).await.unwrap();
    let passwords = Arc::new(Passwords::open(dir.path().join(".htpasswd")).unwrap());
    let counters = Arc::new(ReplicationCounters::default());
    let serving = serving(&engine, &passwords, &counters, &CancellationToken::new());
    let holder = Holder::Member(Identity::new("c1".parse().unwrap(), Role::Shard, "b").unwrap());
    let certificate = PeerCertificate { holder, serial: "1".into(), issuer: "issuing-1".into() };
    let peer = Peer { certificate: Some(certificate), address: None };
    let (mut asking, giving) = tokio::io::duplex(64 * 1024);
    let served = tokio::spawn(serving.serve_objects(giving, peer));
    let mut request = Vec::new();
    let message = v1::FetchObjectsRequest { node: node.to_string(), objects: vec![key.into()], hashed: false };
    frame::put(&mut request, Kind::Request, &message);
    asking.write_all(&request).await.unwrap();
    let started = tokio::time::Instant::now();
    served.await.unwrap();
    let took = started.elapsed();
    assert!((Duration::from_secs(60)..Duration::from_secs(62)).contains(&took), "{took:?}");
    assert_eq!(counters.objects(), 0, "it was never read to its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_in_the_middle_delays_a_copy_and_says_so() {
    let world = World::new();
    let source = world.shard("a").await;
    source.fill(30).await;
    for seed in 900..903 {
        source.put(ObjectKind::Data, &bytes_of(seed, 3_000_000)).await;
    }
    let folder = world.data("b");
    let test = "a_disk_that_fills_in_the_middle_delays_a_copy_and_says_so";
    let Some(_disk) = SmallDisk::mount(&folder, 64, test) else { return };
    let target = world.shard("b").await;
    let stat = rustix::fs::statvfs(&folder).unwrap();
    let ballast = stat.f_bavail * stat.f_frsize - DISK_RESERVE_BYTES - (4 << 20);
    std::fs::write(folder.join("ballast"), vec![0; usize::try_from(ballast).unwrap()]).unwrap();
    source.offer(1, "b").await.unwrap();
    target.start(2, &source, false).await.unwrap();
    eventually("it says so", || async { target.replica().await.waiting_for.contains("no space is left") }).await;
    let (here, counted) = (target.engine.node(&node()).unwrap().objects, target.replica().await.objects_done);
    assert!(counted <= here, "{counted} counted, {here} here");
    std::fs::remove_file(folder.join("ballast")).unwrap();
    caught_up(&source, &target).await;
    assert!(temps(&folder).is_empty());
    target.jobs.close().await;
    target.engine.close().await.unwrap();
}
