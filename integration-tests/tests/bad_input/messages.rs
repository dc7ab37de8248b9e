//! Messages with an older term, generation or step, or of another token, sent to real shards and a real router by
//! somebody who holds the controller's certificate (INV-03).

use crate::world::World;
use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::ClusterOptions;
use integration_tests::eventually;
use shardlift_api::fault::FaultKind;
use shardlift_api::v1::router_control_client::RouterControlClient;
use shardlift_api::v1::shard_control_client::ShardControlClient;
use shardlift_api::v1::{
    ApplyRoutesRequest, CompleteReplicaRequest, DeepVerifyRequest, DeposeRequest, DetachRequest, DiscardReplicaRequest,
    EndLegacyCredentialsRequest, FenceRequest, GetNodeRequest, GetRoutesRequest, GetRoutesResponse, NodeDigest,
    NodeSettings, NodeStatus, OfferNodeRequest, PromoteRequest, QuarantineRequest, RenewFenceRequest, RestoreRequest,
    RetireRequest, Route, SealRequest, SetNodeRequest, StartReplicaRequest, TakeStockRequest, Token, UnfenceRequest,
    VerifyReplicaRequest,
};
use shardlift_model::Role;
use shardlift_pki::tls::{Credentials, Expected, channel};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;
use tonic::transport::Channel;

const NODE: &str = "acme/web-1";

async fn status(client: &mut ShardControlClient<Channel>) -> Result<NodeStatus> {
    let mut status = client.get_node(GetNodeRequest { node: NODE.to_owned() }).await?.into_inner();
    // What readers do, and how far the copy has heard of the source, moves by itself.
    (status.requests_in_flight, status.open_connections) = (0, 0);
    if let Some(replica) = &mut status.replica {
        replica.waiting_for.clear();
    }
    Ok(status)
}

/// All tokens below `token` that differ from it in one part.
fn lower(token: Token) -> Vec<(&'static str, Token)> {
    let mut lower = Vec::new();
    if let Some(term) = token.term.checked_sub(1) {
        lower.push(("older term", Token { term, step: token.step + 100, ..token }));
    }
    if let Some(generation) = token.generation.checked_sub(1) {
        lower.push(("older generation", Token { generation, step: token.step + 100, ..token }));
    }
    if let Some(step) = token.step.checked_sub(1) {
        lower.push(("older step", Token { step, ..token }));
    }
    lower
}

/// Every command of a shard with this token, each well-formed in itself; the answers.
async fn all_commands(client: &mut ShardControlClient<Channel>, token: Token) -> Vec<(&'static str, Option<Status>)> {
    let (node, token) = (NODE.to_owned(), Some(token));
    let r#final = Some(NodeDigest { root: vec![7; 32], ..Default::default() });
    let (elsewhere, peer) = ("shard-c".to_owned(), "127.0.0.1:1".to_owned());
    let fence = FenceRequest { node: node.clone(), token, lease_ms: 5000, drain_ms_max: 1000 };
    let renew = RenewFenceRequest { node: node.clone(), token, lease_ms: 5000 };
    let set = SetNodeRequest { node: node.clone(), token, settings: Some(NodeSettings::default()) };
    let start = StartReplicaRequest {
        node: node.clone(),
        token,
        source: elsewhere.clone(),
        source_peer_address: peer.clone(),
        accept_damaged: false,
    };
    let promote = PromoteRequest { node: node.clone(), token, r#final: r#final.clone(), follower: elsewhere.clone() };
    let retire = RetireRequest {
        node: node.clone(),
        token,
        target: elsewhere.clone(),
        target_client_address: peer.clone(),
        target_peer_address: peer,
        from_seq: 1,
    };
    let offer = OfferNodeRequest { node: node.clone(), token, target: elsewhere };
    let complete = CompleteReplicaRequest { node: node.clone(), token, r#final: r#final.clone() };
    let seal = SealRequest { node: node.clone(), token, r#final };
    let deep_verify = DeepVerifyRequest { node: node.clone(), token, bytes_per_second: 0, run: u64::MAX };
    let name = || node.clone();
    vec![
        ("set", client.set_node(set).await.err()),
        ("fence", client.fence(fence).await.err()),
        ("renew", client.renew_fence(renew).await.err()),
        ("unfence", client.unfence(UnfenceRequest { node: name(), token }).await.err()),
        ("offer", client.offer_node(offer).await.err()),
        ("start", client.start_replica(start).await.err()),
        ("deep verify", client.deep_verify(deep_verify).await.err()),
        ("verify", client.verify_replica(VerifyReplicaRequest { node: name(), token }).await.err()),
        ("complete", client.complete_replica(complete).await.err()),
        ("seal", client.seal(seal).await.err()),
        ("promote", client.promote(promote).await.err()),
        ("retire", client.retire(retire).await.err()),
        ("detach", client.detach(DetachRequest { node: name(), token }).await.err()),
        ("quarantine", client.quarantine(QuarantineRequest { node: name(), token }).await.err()),
        ("restore", client.restore(RestoreRequest { node: name(), token }).await.err()),
        ("take stock", client.take_stock(TakeStockRequest { node: name(), token }).await.err()),
        ("depose", client.depose(DeposeRequest { node: name(), token }).await.err()),
        ("end", client.end_legacy_credentials(EndLegacyCredentialsRequest { node: name(), token }).await.err()),
        ("discard", client.discard_replica(DiscardReplicaRequest { node: name(), token }).await.err()),
    ]
}

fn shard(world: &World, credentials: &Arc<Credentials>, name: &str) -> Result<ShardControlClient<Channel>> {
    let address = world.cluster.address(name, "control")?.to_string();
    Ok(ShardControlClient::new(channel(credentials, &address, Expected::one(Role::Shard, name))))
}

#[tokio::test]
async fn an_older_message_is_refused_by_shards_and_router_and_changes_nothing() -> Result<()> {
    let test = "an_older_message_is_refused_by_shards_and_router_and_changes_nothing";
    let Some(world) = World::set(test, &[NODE], ClusterOptions::default()).await? else { return Ok(()) };
    world.apply_plan(&[NODE]).await?;
    world.cluster.cli().must(&["batch", "start", "batch"]).await?;
    eventually("the copy is verified and waits for the certificate", Duration::from_secs(30), || async {
        let view = world.cluster.node(NODE).await?;
        ensure!(view["phase"] == "following" && view["verified"]["objects"].as_u64().is_some(), "{view}");
        Ok(())
    })
    .await?;
    let before = world.state().await?;
    let credentials = world.credentials(Path::new("cluster/controller.pem"), Path::new("cluster/controller.key"))?;
    let mut tried = 0;
    for name in ["source", "shard-b"] {
        let mut client = shard(&world, &credentials, name)?;
        let is_now = status(&mut client).await?;
        let token = is_now.token.with_context(|| format!("{name} has no token of the move"))?;
        for (what, older) in lower(token) {
            for (command, refused) in all_commands(&mut client, older).await {
                let refused = refused.with_context(|| format!("{name}: {command} with an {what} was carried out"))?;
                let stale = FaultKind::from(&refused) == FaultKind::StaleToken;
                ensure!(stale, "{name}: {command} with an {what}: {refused:?}");
                tried += 1;
            }
        }
        ensure!(status(&mut client).await? == is_now, "{name} was changed");
    }
    ensure!(tried >= 64, "only {tried} messages were tried");
    routes(&world, &credentials).await?;
    world.unchanged(&before, "older messages").await
}

async fn routes(world: &World, credentials: &Arc<Credentials>) -> Result<()> {
    let address = world.cluster.address("router", "control")?.to_string();
    let mut client = RouterControlClient::new(channel(credentials, &address, Expected::any(Role::Router)));
    let all = || GetRoutesRequest { limit: 100, ..Default::default() };
    let before: GetRoutesResponse = client.get_routes(all()).await?.into_inner();
    let route = before.routes.first().context("no route")?.clone();
    let token = route.token.context("a route without token")?;
    let elsewhere = |token| Route { shard: "shard-c".to_owned(), token: Some(token), ..route.clone() };
    let mut bad = vec![
        ("an older version", before.version.saturating_sub(1), elsewhere(token)),
        ("the same version with other content", before.version, elsewhere(token)),
    ];
    bad.extend(lower(token).into_iter().map(|(what, token)| (what, before.version + 1, elsewhere(token))));
    for (what, version, route) in bad {
        let answer = client.apply_routes(ApplyRoutesRequest { version, upserts: vec![route] }).await;
        let refused = answer.err().with_context(|| format!("routes with {what} came into force"))?;
        let kind = FaultKind::from(&refused);
        ensure!(matches!(kind, FaultKind::StaleToken | FaultKind::Refused), "{what}: {refused:?}");
        ensure!(client.get_routes(all()).await?.into_inner() == before, "{what} changed the routes");
    }
    Ok(())
}
