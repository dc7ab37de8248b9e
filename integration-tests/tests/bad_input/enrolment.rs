//! Tokens that are wrong, expired, used or foreign; requests that ask for more than a node may have.

use crate::world::World;
use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::{Outcome, TestRoot};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, SanType};
use shardlift_api::v1::EnrolRequest;
use shardlift_api::v1::enrolment_client::EnrolmentClient;
use shardlift_pki::enrolment::EnrolmentToken;
use shardlift_pki::tls::pinned_channel;
use std::path::Path;
use std::time::{Duration, Instant};

/// Tokens count in whole minutes.
const EXPIRY: Duration = Duration::from_secs(62);

async fn enrol(cluster: &Cluster, server: &str, token: &str, out: &Path) -> Result<Outcome> {
    let arguments = ["node".as_ref(), "enroll".as_ref(), "--server".as_ref(), server.as_ref(), "--token".as_ref()];
    cluster.cli().run(&[&arguments[..], &[token.as_ref(), "--out".as_ref(), out.as_os_str()]].concat()).await
}

fn refused(outcome: &Outcome, what: &str, out: &Path) -> Result<()> {
    ensure!(!outcome.is_ok(), "{what}: was accepted");
    ensure!(outcome.stderr.trim().lines().count() >= 1, "{what}: no word about it");
    ensure!(!out.join("node.pem").exists(), "{what}: there is a certificate all the same");
    Ok(())
}

#[tokio::test]
async fn a_bad_enrolment_token_gets_no_certificate_and_changes_nothing() -> Result<()> {
    let test = "a_bad_enrolment_token_gets_no_certificate_and_changes_nothing";
    let Some(world) = World::set(test, &["acme/web-1", "acme/web-2"], ClusterOptions::default()).await? else {
        return Ok(());
    };
    let cluster = &world.cluster;
    let out = |name: &str| world.root.path().join(name);
    let short = cluster.cli().json(&["node", "token", "acme/web-2", "--valid", "1m"]).await?;
    let (short, made) = (short["token"].as_str().context("no token")?.to_owned(), Instant::now());
    let (token, server) = cluster.token("acme/web-1").await?;

    let other_root = TestRoot::new("bad-input-other")?;
    let mut other = Cluster::create(other_root.path(), ClusterOptions::default(), false).await?;
    other.start_controller().await?;
    let own = EnrolmentToken::parse(&token)?;
    // Well made, for this cluster's CA, and never granted by anybody.
    let unknown = EnrolmentToken::create(own.root_fingerprint())?.text().to_string();
    let foreign = EnrolmentToken::create(&"ab".repeat(32))?.text().to_string();
    let mut last = token.clone();
    let end = if last.pop() == Some('0') { '1' } else { '0' };
    last.push(end);
    let before = world.state().await?;
    for (what, token) in [("garbage", "sesame"), ("unknown", &unknown), ("foreign", &foreign), ("altered", &last)] {
        refused(&enrol(cluster, &server, token, &out(what)).await?, what, &out(what))?;
        world.unchanged(&before, what).await?;
    }
    // Shown to another cluster's controller, whose CA is not the one that the token names.
    let elsewhere = other.address("controller", "enrolment")?.to_string();
    refused(&enrol(cluster, &elsewhere, &token, &out("elsewhere")).await?, "elsewhere", &out("elsewhere"))?;

    let outcome = enrol(cluster, &server, &token, &out("good")).await?;
    ensure!(outcome.is_ok(), "{outcome:?}");
    let before = world.state().await?;
    refused(&enrol(cluster, &server, &token, &out("again")).await?, "used", &out("again"))?;
    world.unchanged(&before, "a used token").await?;

    tokio::time::sleep(EXPIRY.saturating_sub(made.elapsed())).await;
    refused(&enrol(cluster, &server, &short, &out("late")).await?, "expired", &out("late"))?;
    world.unchanged(&before, "an expired token").await
}

fn request(change: impl FnOnce(&mut CertificateParams) -> Result<()>) -> Result<Vec<u8>> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    change(&mut params)?;
    Ok(params.serialize_request(&KeyPair::generate()?)?.der().to_vec())
}

#[tokio::test]
async fn a_request_for_more_than_a_node_may_have_is_refused_and_changes_nothing() -> Result<()> {
    let test = "a_request_for_more_than_a_node_may_have_is_refused_and_changes_nothing";
    let Some(world) = World::set(test, &["acme/web-1", "acme/web-2"], ClusterOptions::default()).await? else {
        return Ok(());
    };
    shardlift_pki::install_crypto_provider();
    let (token, server) = world.cluster.token("acme/web-1").await?;
    let channel = pinned_channel(&server, EnrolmentToken::parse(&token)?.root_fingerprint())?;
    let mut client = EnrolmentClient::new(channel);
    let ca = request(|params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(())
    })?;
    let name = request(|params| {
        params.distinguished_name.push(DnType::CommonName, "acme/web-2");
        Ok(())
    })?;
    let role = request(|params| {
        params.subject_alt_names = vec![SanType::URI("shardlift://demo/operator/operator-1".try_into()?)];
        Ok(())
    })?;
    let host = request(|params| {
        params.subject_alt_names = vec![SanType::DnsName("*.backup.example".try_into()?)];
        Ok(())
    })?;
    let mut forged = request(|_| Ok(()))?;
    if let Some(byte) = forged.last_mut() {
        *byte ^= 1;
    }
    let before = world.state().await?;
    let requests =
        [("CA rights", ca), ("another node", name), ("a role", role), ("a host name", host), ("a forged one", forged)];
    for (what, csr_der) in requests {
        let answer = client.enrol(EnrolRequest { token: token.clone(), csr_der }).await;
        let status = answer.err().with_context(|| format!("{what}: a certificate was issued"))?;
        ensure!(status.code() == tonic::Code::InvalidArgument, "{what}: {status:?}");
        ensure!(!status.message().is_empty(), "{what}: no word about it");
        world.unchanged(&before, what).await?;
    }
    let csr_der = request(|_| Ok(()))?;
    client.enrol(EnrolRequest { token, csr_der }).await.context("a plain request is good")?;
    Ok(())
}
