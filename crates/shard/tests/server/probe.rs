//! The probe on the client listener, and the control listener: both for the controller alone.

use crate::http::{status, tls};
use crate::world::{NODE, Pair, Running, World};
use prost::Message as _;
use shardlift_api::PROBE_ALPN;
use shardlift_api::v1::{self, ProbeAnswer, ProbeRequest};
use shardlift_model::Role;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Asks and reads to the end.
async fn probe(world: &World, shard: &Running, shows: &Pair, request: &[u8]) -> io::Result<Vec<u8>> {
    let exchange = async {
        let mut stream = tls(world, shard.clients, Some(shows), PROBE_ALPN).await?;
        stream.write_all(request).await?;
        stream.flush().await?;
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes).await {
            // Cut off without a goodbye.
            Err(_) if bytes.is_empty() => Ok(bytes),
            read => read.map(|_| bytes),
        }
    };
    tokio::time::timeout(Duration::from_secs(20), exchange).await.expect("an end in time")
}

fn question(node: &str) -> Vec<u8> {
    let message = ProbeRequest { node: node.to_owned() }.encode_to_vec();
    let mut bytes = u32::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(message);
    bytes
}

fn answer(bytes: &[u8]) -> ProbeAnswer {
    let (length, message) = bytes.split_at(4);
    assert_eq!(u32::from_be_bytes(length.try_into().unwrap()) as usize, message.len());
    ProbeAnswer::decode(message).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_probe_tells_the_controller_which_shard_serves_a_node() {
    let world = World::new();
    let shard = world.shard().await;
    shard.make_node(NODE, v1::NodeSettings::default()).await;
    let controller = world.issue(Role::Controller, "one");
    let told = answer(&probe(&world, &shard, &controller, &question(NODE)).await.unwrap());
    assert_eq!((told.shard.as_str(), told.node.as_str(), told.serving), ("a", NODE, true));
    assert!(!answer(&probe(&world, &shard, &controller, &question("acme/none")).await.unwrap()).serving);
    shard.seal().await;
    assert!(!answer(&probe(&world, &shard, &controller, &question(NODE)).await.unwrap()).serving);
    for nonsense in [question("../x"), b"\xff\xff\xff\xff".to_vec(), b"\0\0\0\x02\xff\xff".to_vec()] {
        assert_eq!(probe(&world, &shard, &controller, &nonsense).await.unwrap(), b"");
    }
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_is_answered_and_the_controller_only_under_the_probes_own_name() {
    let world = World::new();
    let shard = world.shard().await;
    shard.make_node(NODE, v1::NodeSettings::default()).await;
    for role in [Role::Operator, Role::Shard, Role::Router, Role::Node] {
        let member = world.issue(role, "web");
        // An error is as good: the connection was cut.
        let heard = probe(&world, &shard, &member, &question(NODE)).await.unwrap_or_default();
        assert_eq!(heard, b"", "{role}");
    }
    let legacy = world.issue_legacy("acme");
    assert_eq!(probe(&world, &shard, &legacy, &question(NODE)).await.unwrap_or_default(), b"");
    let stranger = World::of("c2").issue(Role::Controller, "one");
    assert_eq!(probe(&world, &shard, &stranger, &question(NODE)).await.unwrap_or_default(), b"");
    let controller = world.issue(Role::Controller, "one");
    assert_eq!(status(&world, &shard, Some(&controller), "GET", "/acme/web/config", &[]).await, Some(401));
    shard.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_listener_takes_commands_from_the_controller_alone() {
    let world = World::new();
    let shard = world.shard().await;
    shard.make_node(NODE, v1::NodeSettings::default()).await;
    for role in [Role::Operator, Role::Shard, Role::Router, Role::Node] {
        let mut control = world.control(shard.control_address, role, "web");
        let token = Some(v1::Token { term: 9, generation: 9, step: 9 });
        let command = v1::UnfenceRequest { node: NODE.to_owned(), token };
        let refused = control.unfence(command).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{role}");
        let refused = control.list_nodes(v1::ListNodesRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{role}");
    }
    assert_eq!(shard.status(NODE).await.token.unwrap().step, 1, "INV-03: no token of a stranger is kept");
    for alpn in [b"h2".as_slice(), b"http/1.1"] {
        let stranger = World::of("c2").issue(Role::Controller, "one");
        for shows in [None, Some(&world.issue_legacy("acme")), Some(&stranger)] {
            let heard = async {
                let mut stream = tls(&world, shard.control_address, shows, alpn).await?;
                stream.read_u8().await
            };
            assert!(tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap().is_err());
        }
    }
    shard.end().await;
}
