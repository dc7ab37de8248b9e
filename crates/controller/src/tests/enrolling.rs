//! The enrolment matrix: which token and which request get a certificate, and what all others are told.

use super::bench::{Bench, Running, eventually};
use crate::clock;
use crate::enrolment::REFUSAL;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, IsCa, KeyPair, SanType};
use shardlift_api::fault::FaultKind;
use shardlift_api::v1;
use shardlift_api::v1::enrolment_server::Enrolment as _;
use shardlift_api::v1::operator_server::Operator as _;
use shardlift_migration::{CertificateState, Input};
use shardlift_pki::enrolment::{AccessToken, EnrolmentToken};
use shardlift_pki::request::create_key_and_request;
use shardlift_store::MemoryStore;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Status};

async fn enrol(running: &Running, token: &str, csr_der: &[u8]) -> Result<v1::EnrolResponse, Status> {
    let request = v1::EnrolRequest { token: token.into(), csr_der: csr_der.to_vec() };
    running.enrolment.enrol(Request::new(request)).await.map(tonic::Response::into_inner)
}

async fn token(running: &Running, node: &str) -> String {
    let request = v1::CreateEnrolmentTokenRequest { node: node.into(), valid_minutes: 5 };
    running.operator.create_enrolment_token(Request::new(request)).await.unwrap().into_inner().token
}

fn csr() -> Vec<u8> {
    create_key_and_request().unwrap().1
}

fn hostile(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    change(&mut params);
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

async fn start() -> (Bench, Running) {
    let bench = Bench::new(&["acme/web-1", "acme/web-2"]).await;
    let running = bench.lead(Arc::new(MemoryStore::new("c1".parse().unwrap()))).await;
    running.add_parts(&bench, 2).await.unwrap();
    (bench, running)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_token_gets_the_same_refusal() {
    let (bench, running) = start().await;
    let fingerprint = bench.issuer.fingerprint();
    let used = token(&running, "acme/web-1").await;
    enrol(&running, &used, &csr()).await.unwrap();
    let expired = EnrolmentToken::create(&fingerprint).unwrap();
    let node = "acme/web-1".parse().unwrap();
    let expires_at = clock::now().plus(Duration::from_millis(50));
    running.context.inputs.submit(Input::GrantEnrolment { node, token: expired.hash(), expires_at }).await.unwrap();
    eventually("the token has expired", || clock::now() > expires_at).await;
    let unknown = EnrolmentToken::create(&fingerprint).unwrap();
    let foreign = EnrolmentToken::create(&"0".repeat(64)).unwrap();
    let access = AccessToken::create().unwrap();
    let texts = [
        used,
        (*expired.text()).clone(),
        (*unknown.text()).clone(),
        (*foreign.text()).clone(),
        (*access.text()).clone(),
        String::new(),
        "sle1.AAAA".into(),
        "x".repeat(10_000),
    ];
    for text in texts {
        let refusal = enrol(&running, &text, &csr()).await.unwrap_err();
        assert_eq!((FaultKind::from(&refusal), refusal.message()), (FaultKind::Unauthenticated, REFUSAL), "{text}");
    }
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_repeated_for_the_same_key_and_for_no_other() {
    let (bench, running) = start().await;
    let token = token(&running, "acme/web-1").await;
    let csr = csr();
    let first = enrol(&running, &token, &csr).await.unwrap();
    let second = enrol(&running, &token, &csr).await.unwrap();
    assert_eq!((first.node.as_str(), second.node.as_str()), ("acme/web-1", "acme/web-1"));
    assert_eq!(second.server_name, "acme--web-1.backup.example");
    let leaf = |answer: &v1::EnrolResponse| shardlift_pki::certificates_in(&answer.chain_pem).unwrap()[0].clone();
    let serial = shardlift_pki::identity::serial_hex(&leaf(&second)).unwrap();
    assert_ne!(serial, shardlift_pki::identity::serial_hex(&leaf(&first)).unwrap());
    let state = running.world(|world| world.nodes[&"acme/web-1".parse().unwrap()].certificate.clone());
    assert_eq!(state, CertificateState::Issued { serial }, "recorded before it was handed out");
    let identity = shardlift_pki::identity::identity_in(&leaf(&second)).unwrap();
    assert_eq!(identity.to_uri(), "shardlift://c1/node/acme/web-1");
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_more_than_the_token_gives_is_refused_and_leaves_the_token_good() {
    let (bench, running) = start().await;
    let token = token(&running, "acme/web-1").await;
    let other = "shardlift://c1/node/acme/web-2";
    let requests = [
        ("CA", hostile(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        ("name", hostile(|params| params.distinguished_name.push(rcgen::DnType::CommonName, "acme/web-2"))),
        ("identity", hostile(|params| params.subject_alt_names.push(SanType::URI(other.try_into().unwrap())))),
        ("garbage", vec![0x30, 0x03, 1, 2, 3]),
        ("size", vec![0; 20_000]),
    ];
    for (what, csr) in requests {
        let refusal = enrol(&running, &token, &csr).await.unwrap_err();
        assert_eq!(FaultKind::from(&refusal), FaultKind::Invalid, "{what}: {refusal:?}");
    }
    assert_eq!(enrol(&running, &token, &csr()).await.unwrap().node, "acme/web-1");
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_for_parts_are_made_for_every_role_but_nodes() {
    let (bench, running) = start().await;
    let issue = |role: &str, name: &str, dns: &[&str]| {
        let dns_names = dns.iter().map(ToString::to_string).collect();
        let request =
            v1::IssueRoleCertificateRequest { role: role.into(), name: name.into(), dns_names, csr_der: csr() };
        running.operator.issue_role_certificate(Request::new(request))
    };
    for role in ["operator", "controller", "shard", "router"] {
        let answer = issue(role, "x-1", &[]).await.unwrap().into_inner();
        let chain = shardlift_pki::certificates_in(&answer.chain_pem).unwrap();
        let identity = shardlift_pki::identity::identity_in(&chain[0]).unwrap();
        assert_eq!(identity.to_uri(), format!("shardlift://c1/{role}/x-1"));
    }
    assert!(issue("shard", "x-1", &["*.backup.example", "127.0.0.1"]).await.is_ok());
    for (role, name, dns) in [
        ("node", "acme/web-1", &[][..]),
        ("root", "x", &[]),
        ("shard", "X y", &[]),
        ("shard", "x", &["*"]),
        ("operator", "alice", &["host.example"]),
    ] {
        assert!(issue(role, name, dns).await.is_err(), "{role} {name}");
    }
    running.end().await.unwrap();
    bench.end().await;
}
