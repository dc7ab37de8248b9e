//! Parts over real listeners: who gets a new certificate, when, for what, and who gets none.

use super::*;
use crate::tests::bench::{Bench, HOSTS, eventually};
use shardlift_api::policy::GuardLayer;
use shardlift_net::Listener;
use shardlift_pki::tls::{ALPN_HTTP2, Incoming, mutual_server_config};
use shardlift_store::MemoryStore;
use std::collections::BTreeSet;

fn serials(all: &[&Arc<Credentials>]) -> BTreeSet<String> {
    all.iter().map(|own| identity::serial_hex(&own.chain()[0]).unwrap()).collect()
}

/// A server that is the part of one certificate and shows another in its answers.
async fn liar(own: &Arc<Credentials>, shown: &Arc<Credentials>) -> String {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let incoming = Incoming::new(listener, mutual_server_config(own, &[ALPN_HTTP2]).unwrap()).unwrap();
    let service = shardlift_custody::service(shown);
    tokio::spawn(async move {
        let server = tonic::transport::Server::builder().layer(GuardLayer).add_service(service);
        server.serve_with_incoming(incoming).await.unwrap();
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_and_the_controller_get_new_certificates_in_time_and_keep_their_names() {
    let bench = Bench::new(&["acme/web-1"]).await;
    let running = bench.lead(Arc::new(MemoryStore::new("c1".parse().unwrap()))).await;
    running.add_parts(&bench, 1).await.unwrap();
    let all: Vec<&Arc<Credentials>> = bench.ca.shards.values().chain([&bench.ca.router, &bench.controller]).collect();
    let before = serials(&all);
    let renewing =
        |percent| Renewing::new(running.context.clone(), bench.issuer.clone(), bench.controller.clone(), percent);

    // Not due: nothing happens.
    for part in renewing(66).parts() {
        assert!(renewing(66).renew(&part).await.unwrap().is_none(), "{part:?}");
    }
    assert_eq!(serials(&all), before);

    let stop = CancellationToken::new();
    let task = tokio::spawn(renewing(0).run(stop.clone()));
    eventually("all have new ones", || serials(&all).is_disjoint(&before)).await;
    stop.cancel();
    task.await.unwrap();
    for own in &all {
        let leaf = own.chain()[0].clone();
        assert_eq!(identity::host_names(&leaf).unwrap(), HOSTS);
        let (identity, serial) = (identity::identity_in(&leaf).unwrap(), identity::serial_hex(&leaf).unwrap());
        let known = running.world(|world| world.certificates[&serial].clone());
        let holder = known.holder.unwrap();
        assert_eq!((holder.role, holder.name.as_str()), (identity.role(), identity.name()));
        assert!(known.renews.is_some_and(|shown| before.contains(&shown)), "{identity}");
        // As after a restart: the renewed one is the one that is read.
        let again = Credentials::load(own.paths().clone()).unwrap();
        assert_ne!(again.chain(), own.chain(), "the configured files stay as they are");
        own.reload().unwrap();
        assert_eq!(own.chain()[0], leaf);
    }
    // Calls go on with what is new.
    let part = renewing(66).parts().remove(0);
    assert!(renewing(66).renew(&part).await.unwrap().is_none());
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_a_certificate_for_another_name() {
    let bench = Bench::new(&["acme/web-1"]).await;
    let running = bench.lead(Arc::new(MemoryStore::new("c1".parse().unwrap()))).await;
    running.add_parts(&bench, 1).await.unwrap();
    let renewing = Renewing::new(running.context.clone(), bench.issuer.clone(), bench.controller.clone(), 0);
    let issued = || running.world(|world| world.certificates.len());
    let (source, other) = (&bench.ca.shards["source"], &bench.ca.shards["shard-b"]);
    let part = |address: String| Part { role: Role::Shard, name: "shard-b".to_owned(), address };
    let error = renewing.renew(&part(liar(other, source).await)).await.unwrap_err();
    assert!(matches!(error, RenewError::SomebodyElse), "{error:?}");
    let error = renewing.renew(&part(liar(other, &bench.ca.router).await)).await.unwrap_err();
    assert!(matches!(error, RenewError::SomebodyElse), "{error:?}");
    let foreign = Bench::new(&[]).await;
    let error = renewing.renew(&part(liar(other, &foreign.ca.shards["shard-b"]).await)).await.unwrap_err();
    assert!(matches!(error, RenewError::Trust(_)), "{error:?}");
    // At the address of another part nobody is spoken to at all.
    let error = renewing.renew(&part(bench.addresses["source"].clone())).await.unwrap_err();
    assert!(matches!(error, RenewError::Part(_)), "{error:?}");
    assert_eq!(issued(), 0);
    running.end().await.unwrap();
    foreign.end().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_takes_nothing_that_it_has_not_asked_for() {
    let bench = Bench::new(&[]).await;
    let running = bench.lead(Arc::new(MemoryStore::new("c1".parse().unwrap()))).await;
    let shard = &bench.ca.shards["shard-b"];
    let mut client = running.context.channels.part(Role::Shard, "shard-b", &bench.addresses["shard-b"]);
    let before = shard.chain();
    let issued =
        |name: &str, csr_der: &[u8]| bench.issuer.issue_part(Role::Shard, name, &[], csr_der).unwrap().chain_pem;
    let own_key = create_key_and_request().unwrap().1;
    let mut take = async |chain_pem: String, words: &str| {
        let refusal = client.take_certificate(v1::TakeCertificateRequest { chain_pem }).await.unwrap_err();
        assert!(refusal.message().contains(words), "{refusal:?}");
        assert_eq!(shard.chain(), before);
    };
    take(issued("shard-b", &own_key), "no certificate was asked for").await;
    let mut asking = running.context.channels.part(Role::Shard, "shard-b", &bench.addresses["shard-b"]);
    let request = asking.request_certificate(v1::RequestCertificateRequest {}).await.unwrap().into_inner();
    for (chain_pem, words) in [
        (String::new(), "refused"),
        (issued("source", &request.csr_der), "shard/source"),
        (issued("shard-b", &own_key), "does not belong"),
        ("-----BEGIN CERTIFICATE-----".to_owned(), "refused"),
    ] {
        take(chain_pem, words).await;
    }
    let chain_pem = issued("shard-b", &request.csr_der);
    asking.take_certificate(v1::TakeCertificateRequest { chain_pem: chain_pem.clone() }).await.unwrap();
    assert_ne!(shard.chain(), before);
    let again = asking.take_certificate(v1::TakeCertificateRequest { chain_pem }).await.unwrap_err();
    assert!(again.message().contains("no certificate was asked for"), "{again:?}");
    running.end().await.unwrap();
    bench.end().await;
}
