//! Certificates of somebody else, of another role, of the old CA after the release; a name that nobody has.

use crate::world::World;
use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::ClusterOptions;
use integration_tests::conformance::Login;
use integration_tests::{Validity, eventually};
use shardlift_api::v1::operator_client::OperatorClient;
use shardlift_api::v1::replication_client::ReplicationClient;
use shardlift_api::v1::shard_control_client::ShardControlClient;
use shardlift_api::v1::{DescribeShardRequest, GetStatusRequest, ListObjectsRequest};
use shardlift_model::Role;
use shardlift_pki::tls::{Expected, channel};
use std::path::Path;
use std::time::Duration;
use tonic::Code;

fn pair(certificate: &Path, key: &Path) -> Result<Login> {
    Ok(Login::certificate(&(std::fs::read_to_string(certificate)? + &std::fs::read_to_string(key)?)))
}

#[tokio::test]
async fn a_certificate_opens_its_own_doors_and_no_other() -> Result<()> {
    let test = "a_certificate_opens_its_own_doors_and_no_other";
    let Some(world) = World::set(test, &["acme/web-1", "acme/web-2", "db-1"], ClusterOptions::default()).await? else {
        return Ok(());
    };
    let cluster = &world.cluster;
    cluster.enrol("acme/web-1").await?;
    ensure!(world.listing("acme/web-1", world.cluster.new_login("acme/web-1")?).await? == Some(200), "its own node");
    eventually("the certificate is in use", Duration::from_secs(20), || async {
        let view = cluster.node("acme/web-1").await?;
        ensure!(view["certificate"] == "in_use", "{view}");
        Ok(())
    })
    .await?;
    let before = world.state().await?;

    let old = |account: &str, validity| -> Result<Login> {
        let issued = cluster.old_ca().client(&format!("{account}-{validity:?}"), account, validity)?;
        Ok(Login::certificate(&std::fs::read_to_string(issued.both_path)?))
    };
    let operator =
        pair(&cluster.folder().join("cluster/operator.pem"), &cluster.folder().join("cluster/operator.key"))?;
    for (what, node, login) in [
        ("another node's new certificate", "acme/web-2", world.cluster.new_login("acme/web-1")?),
        ("another account's old certificate", "db-1", old("acme", Validity::Now)?),
        ("an expired old certificate", "acme/web-1", old("acme", Validity::Expired)?),
        ("the operator's certificate", "acme/web-1", operator),
        ("no certificate", "acme/web-1", Login::default()),
    ] {
        let listed = world.listing(node, login.clone()).await?;
        ensure!(matches!(listed, Some(401) | None), "{what}: {listed:?}");
        let bytes = bytes::Bytes::from_static(b"not yours");
        let name = "0".repeat(64);
        let uploaded = world.upload(node, login, &name, bytes).await?;
        ensure!(matches!(uploaded, Some(401) | None), "{what}: upload: {uploaded:?}");
        world.unchanged(&before, what).await?;
    }
    roles(&world).await?;
    world.unchanged(&before, "calls of other roles").await
}

/// Calls that are well made, by parts and people who may not make them.
async fn roles(world: &World) -> Result<()> {
    let cluster = &world.cluster;
    let operator = world.credentials(Path::new("cluster/operator.pem"), Path::new("cluster/operator.key"))?;
    let node_file = cluster.machine("acme/web-1").join("shardlift/node.pem");
    let node = world.credentials(&node_file, &node_file)?;
    let source = cluster.address("source", "control")?.to_string();
    let controller = cluster.address("controller", "operator")?.to_string();

    let status = OperatorClient::new(channel(&node, &controller, Expected::any(Role::Controller)))
        .get_status(GetStatusRequest {})
        .await
        .err()
        .context("a node is served as an operator")?;
    ensure!(status.code() == Code::PermissionDenied, "{status:?}");
    let status = ShardControlClient::new(channel(&operator, &source, Expected::one(Role::Shard, "source")))
        .describe_shard(DescribeShardRequest {})
        .await
        .err()
        .context("an operator is served as the controller")?;
    ensure!(status.code() == Code::PermissionDenied, "{status:?}");
    let list = ListObjectsRequest { node: "acme/web-1".to_owned(), limit: 10, ..Default::default() };
    let status = ReplicationClient::new(channel(&operator, &source, Expected::one(Role::Shard, "source")))
        .list_objects(list)
        .await
        .err()
        .context("an operator reads a node's objects")?;
    ensure!(status.code() == Code::PermissionDenied, "{status:?}");
    Ok(())
}

#[tokio::test]
async fn the_old_certificate_ends_with_the_release_and_not_before() -> Result<()> {
    let test = "the_old_certificate_ends_with_the_release_and_not_before";
    let node = "acme/web-1";
    let Some(world) = World::set(test, &[node, "acme/web-2"], ClusterOptions::default()).await? else { return Ok(()) };
    let cluster = &world.cluster;
    let old = cluster.old_ca().client("acme", "acme", Validity::Now)?;
    let old = Login::certificate(&std::fs::read_to_string(old.both_path)?);
    cluster.enrol(node).await?;
    cluster.new_client(&world.restic, node)?.snapshots().await?;
    world.apply_plan(&[node]).await?;
    let refused = cluster.cli().run(&["batch", "release", "batch"]).await?;
    ensure!(refused.code == Some(3), "a batch that has not moved is released: {refused:?}");
    cluster.cli().must(&["batch", "start", "batch", "--wait"]).await?;
    // INV-09: they work until the release.
    ensure!(world.listing(node, old.clone()).await? == Some(200), "the old certificate ended too early");
    cluster.cli().must(&["batch", "release", "batch"]).await?;
    eventually("the old certificate has ended", Duration::from_secs(20), || async {
        let listed = world.listing(node, old.clone()).await?;
        ensure!(listed == Some(401), "{listed:?}");
        Ok(())
    })
    .await?;
    ensure!(world.listing(node, world.cluster.new_login(node)?).await? == Some(200), "the new certificate ended too");
    // The other node of the account has not been released.
    ensure!(world.listing("acme/web-2", old).await? == Some(200), "the old certificate ended for another node");
    Ok(())
}

#[tokio::test]
async fn an_unknown_server_name_is_sent_nowhere() -> Result<()> {
    let test = "an_unknown_server_name_is_sent_nowhere";
    let Some(world) = World::set(test, &["acme/web-1"], ClusterOptions::default()).await? else { return Ok(()) };
    let old = world.cluster.old_ca().client("acme", "acme", Validity::Now)?;
    let old = Login::certificate(&std::fs::read_to_string(old.both_path)?);
    let before = world.state().await?;
    let mut peer = world.cluster.peer("acme/web-1", old)?;
    for name in ["nobody.backup.example", "acme--web-1.backup.example.evil.example", "backup.example"] {
        peer.server_name = name.to_owned();
        let answer = integration_tests::conformance::ask(&peer, "GET", "/acme/web-1/snapshots/", None).await?;
        ensure!(answer.is_none(), "{name}: {answer:?}");
    }
    world.unchanged(&before, "an unknown name").await?;
    let log = world.cluster.log("router")?;
    ensure!(log.contains("nobody.backup.example"), "the router does not say so:\n{log}");
    Ok(())
}
