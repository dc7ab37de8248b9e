//! The whole controller behind its listeners: who may call what, and what ends when it stops.

use super::bench::{Bench, CLUSTER, ZONE, credentials, eventually, pace};
use crate::server::Beside;
use crate::{Controller, ControllerConfig, ControllerError};
use shardlift_api::v1::enrolment_client::EnrolmentClient;
use shardlift_api::v1::operator_client::OperatorClient;
use shardlift_api::{fault::FaultKind, v1, view};
use shardlift_model::Role;
use shardlift_pki::authority::Authority;
use shardlift_pki::tls::{Expected, channel, pinned_channel};
use shardlift_store::MemoryStore;
use std::net::TcpListener;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// Ports that were free a moment ago.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

/// A controller behind its listeners.
pub(super) struct Served<'b> {
    bench: &'b Bench,
    authority: Authority,
    operator: u16,
    enrolment: u16,
    metrics: u16,
    view: watch::Receiver<Arc<view::World>>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), ControllerError>>,
}

impl<'b> Served<'b> {
    /// Started, and leading.
    pub(super) async fn start(bench: &'b Bench) -> Self {
        let dir = bench.ca.dir.path();
        shardlift_pki::bundle::write(&dir.join("ca.passphrase"), "correct horse\n").unwrap();
        let [operator, enrolment, metrics] = free_ports();
        let config = format!(
            r#"
            cluster = "{CLUSTER}"
            zone = "{ZONE}"
            store = "unused"
            operator_listen = "127.0.0.1:{operator}"
            enrolment_listen = "127.0.0.1:{enrolment}"
            metrics_listen = "127.0.0.1:{metrics}"
            tls = {{ certificate = "controller-controller-1.pem", key = "controller-controller-1.key", ca = "ca.pem" }}
            ca = {{ folder = "ca", passphrase_file = "ca.passphrase" }}
            limits = {{ seeding_nodes_max = 7 }}
            "#
        );
        let config = ControllerConfig::parse(&config, &dir.join("controller.toml")).unwrap();
        let controller = Controller::build(config).unwrap();
        let view = controller.view();
        let stop = CancellationToken::new();
        let store = Arc::new(MemoryStore::new(CLUSTER.parse().unwrap()));
        let stopped = stop.clone().cancelled_owned();
        let beside = Beside { measured: dir.join("measured.json"), audit: dir.join("audit") };
        let running = tokio::spawn(controller.run_on(store, Some(beside), pace(), stopped, false));
        let authority = Authority::load(&dir.join("ca"), &"correct horse".into()).unwrap();
        let served = Self { bench, authority, operator, enrolment, metrics, view, stop, running };
        let mut alice = served.operator(Role::Operator);
        let mut status = alice.get_status(v1::GetStatusRequest {}).await;
        for _ in 0..100 {
            if status.is_ok() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            status = alice.get_status(v1::GetStatusRequest {}).await;
        }
        assert_eq!(status.unwrap().into_inner().cluster, CLUSTER);
        served
    }

    /// The operators' service, called by somebody of this role.
    pub(super) fn operator(&self, role: Role) -> OperatorClient<Channel> {
        let own = credentials(self.bench.ca.dir.path(), &self.authority, role, "someone");
        OperatorClient::new(channel(&own, &format!("127.0.0.1:{}", self.operator), Expected::any(Role::Controller)))
    }

    pub(super) const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Where nodes get their certificates.
    pub(super) fn enrolment_address(&self) -> String {
        format!("127.0.0.1:{}", self.enrolment)
    }

    /// Makes the source and its nodes known.
    pub(super) async fn add_source(&self, alice: &mut OperatorClient<Channel>, nodes: usize) {
        let control_address = self.bench.addresses["source"].clone();
        alice.add_shard(v1::AddShardRequest { shard: "source".into(), control_address }).await.unwrap();
        eventually("the read model shows the nodes", || self.view.borrow().nodes.len() == nodes).await;
    }

    pub(super) async fn end(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(std::time::Duration::from_secs(10), self.running).await;
        ended.expect("it ends in time").unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_listener_admits_its_callers_and_all_end_together() {
    let bench = Bench::new(&["acme/web-1"]).await;
    let served = Served::start(&bench).await;
    let mut alice = served.operator(Role::Operator);
    for role in [Role::Shard, Role::Router, Role::Controller] {
        let refusal = served.operator(role).get_status(v1::GetStatusRequest {}).await.unwrap_err();
        assert_eq!(FaultKind::from(&refusal), FaultKind::Forbidden, "{role}");
    }
    served.add_source(&mut alice, 1).await;
    let request = v1::CreateEnrolmentTokenRequest { node: "acme/web-1".into(), valid_minutes: 1 };
    let made = alice.create_enrolment_token(request).await.unwrap().into_inner();
    let pinned = pinned_channel(&served.enrolment_address(), &made.ca_fingerprint).unwrap();
    let csr_der = shardlift_pki::request::create_key_and_request().unwrap().1;
    let enrolled = EnrolmentClient::new(pinned.clone()).enrol(v1::EnrolRequest { token: made.token, csr_der }).await;
    assert_eq!(enrolled.unwrap().into_inner().node, "acme/web-1");
    // The operator's service is not behind the listener that asks for no certificate.
    assert!(OperatorClient::new(pinned).get_status(v1::GetStatusRequest {}).await.is_err());
    let mut http = tokio::net::TcpStream::connect(("127.0.0.1", served.metrics)).await.unwrap();
    http.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut figures = String::new();
    http.read_to_string(&mut figures).await.unwrap();
    assert!(figures.contains("shardlift_controller_enrolments_total{result=\"done\"} 1"), "{figures}");
    // An open stream does not hold up the end.
    let mut watch = alice
        .watch_status(v1::WatchStatusRequest { interval_ms: 100, ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    assert!(watch.message().await.unwrap().is_some());
    served.end().await;
    bench.end().await;
}
