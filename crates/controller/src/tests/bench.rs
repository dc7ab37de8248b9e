//! A cluster in one process: a CA, three shards, a router, and controllers that come and go on one store.

use super::fake_router::{FakeRouter, Table, answer_probes};
use super::fake_shard::FakeShard;
use super::yard::{Copy, Yard};
use crate::audit::Audit;
use crate::backoff::Bounds;
use crate::clock;
use crate::effects::{Context, Pace};
use crate::enrolment::EnrolmentService;
use crate::issuer::Issuer;
use crate::lead::{Lead, prepare};
use crate::metrics::Metrics;
use crate::operator::OperatorService;
use crate::runtime::RuntimeError;
use shardlift_api::v1::enrolment_server::Enrolment as _;
use shardlift_api::v1::operator_server::Operator as _;
use shardlift_api::v1::router_control_server::RouterControlServer;
use shardlift_api::v1::shard_control_server::ShardControlServer;
use shardlift_api::{policy::GuardLayer, v1};
use shardlift_migration::World;
use shardlift_model::{Identity, Role};
use shardlift_pki::authority::Authority;
use shardlift_pki::profile::{Kind, Profile};
use shardlift_pki::tls::{ALPN_HTTP2, CredentialPaths, Credentials, Incoming, mutual_server_config};
use shardlift_pki::{bundle, request};
use shardlift_store::Store;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

pub(super) const CLUSTER: &str = "c1";
pub(super) const ZONE: &str = "backup.example";
pub(super) const SHARDS: [&str; 3] = ["source", "shard-b", "shard-c"];

pub(super) fn pace() -> Pace {
    Pace {
        retry: Bounds { min: Duration::from_millis(5), max: Duration::from_millis(50) },
        watch: Duration::from_millis(15),
        routes: Duration::from_millis(100),
        silence: Duration::from_millis(200),
        inventory_active: Duration::from_millis(30),
        inventory_idle: Duration::from_millis(30),
        measure: Duration::from_millis(10),
    }
}

/// Polls until it holds; panics with what was wanted after a minute.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 60 s: {what}");
}

/// Host names of the parts' certificates.
pub(crate) const HOSTS: [&str; 3] = ["*.backup.example", "shard.example", "127.0.0.1"];

pub(super) fn credentials(dir: &Path, authority: &Authority, role: Role, name: &str) -> Arc<Credentials> {
    let identity = Identity::new(CLUSTER.parse().unwrap(), role, name).unwrap();
    let (key, csr) = request::create_key_and_request().unwrap();
    let checked = request::check_for(&csr, &identity).unwrap();
    let profile = Profile::built_in(Kind::from(role)).unwrap();
    let hosts: &[&str] = if matches!(role, Role::Operator | Role::Node) { &[] } else { &HOSTS };
    let hosts: Vec<_> = hosts.iter().map(|host| host.parse().unwrap()).collect();
    let issued = authority.issue(&profile, &identity, &hosts, &checked, clock::now()).unwrap();
    let paths = CredentialPaths {
        certificate: dir.join(format!("{role}-{name}.pem")),
        key: dir.join(format!("{role}-{name}.key")),
        ca: dir.join("ca.pem"),
        legacy_ca: vec![],
    };
    bundle::write(&paths.certificate, &issued.chain_pem).unwrap();
    bundle::write_private(&paths.key, &key).unwrap();
    bundle::write(&paths.ca, &authority.ca_pem()).unwrap();
    Credentials::load_renewable(paths, dir.join(format!("{role}-{name}.renewed.pem"))).unwrap()
}

/// A server of one fake part; its services differ in type only.
macro_rules! serve {
    ($parts:expr, $listener:expr, $own:expr, $service:expr) => {{
        let tls = mutual_server_config($own, &[ALPN_HTTP2]).unwrap();
        let incoming = Incoming::new($listener, tls).unwrap();
        let (service, custody) = ($service, shardlift_custody::service($own));
        $parts.spawn(async move {
            let server =
                tonic::transport::Server::builder().layer(GuardLayer).add_service(service).add_service(custody);
            server.serve_with_incoming(incoming).await.unwrap();
        });
    }};
}

/// A CA and what it has given to the parts. Several benches may stand on one.
pub(crate) struct Ca {
    pub(super) dir: tempfile::TempDir,
    controller: Arc<Credentials>,
    issuer: Arc<Issuer>,
    pub(crate) shards: BTreeMap<String, Arc<Credentials>>,
    pub(crate) router: Arc<Credentials>,
}

impl Ca {
    pub(super) fn new() -> Arc<Self> {
        shardlift_pki::install_crypto_provider();
        let dir = tempfile::tempdir().unwrap();
        let passphrase = shardlift_pki::Passphrase::from("correct horse");
        let cluster = CLUSTER.parse().unwrap();
        let authority = Authority::init(&dir.path().join("ca"), &cluster, &passphrase, clock::now()).unwrap();
        let of = |role, name| credentials(dir.path(), &authority, role, name);
        let controller = of(Role::Controller, "controller-1");
        let shards = SHARDS.map(|shard| (shard.to_owned(), of(Role::Shard, shard))).into();
        let router = of(Role::Router, "router-1");
        let issuer = Arc::new(Issuer::load(&dir.path().join("ca"), passphrase, &cluster, &[]).unwrap());
        Arc::new(Self { dir, controller, issuer, shards, router })
    }
}

pub(crate) struct Bench {
    pub(crate) ca: Arc<Ca>,
    pub(super) yard: Yard,
    pub(crate) addresses: BTreeMap<String, String>,
    pub(super) router_address: String,
    pub(super) table: Arc<Mutex<Table>>,
    pub(crate) controller: Arc<Credentials>,
    pub(crate) issuer: Arc<Issuer>,
    parts: JoinSet<()>,
}

impl Bench {
    pub(crate) async fn new(nodes: &[&str]) -> Self {
        Self::on(Ca::new(), nodes).await
    }

    pub(super) async fn on(ca: Arc<Ca>, nodes: &[&str]) -> Self {
        let yard = Yard::default();
        for (index, node) in nodes.iter().enumerate() {
            let key = ("source".parse().unwrap(), node.parse().unwrap());
            yard.with(|copies| copies.all.insert(key, Copy::serving(10 + index as u64)));
        }
        let mut parts = JoinSet::new();
        let mut addresses = BTreeMap::new();
        for (shard, own) in &ca.shards {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let fake = FakeShard { shard: shard.parse().unwrap(), yard: yard.clone(), address: address.clone() };
            serve!(parts, listener, own, ShardControlServer::new(fake));
            addresses.insert(shard.to_owned(), address);
        }
        let table = Arc::new(Mutex::new(Table::default()));
        let clients = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client_address = clients.local_addr().unwrap().to_string();
        parts.spawn(answer_probes(clients, table.clone(), ca.shards.clone(), yard.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let router_address = listener.local_addr().unwrap().to_string();
        let fake = FakeRouter { table: table.clone(), client_address, yard: yard.clone() };
        serve!(parts, listener, &ca.router, RouterControlServer::new(fake));
        let (controller, issuer) = (ca.controller.clone(), ca.issuer.clone());
        Self { ca, yard, addresses, router_address, table, controller, issuer, parts }
    }

    /// Starts a controller on a store.
    pub(crate) async fn lead(&self, store: Arc<dyn Store>) -> Running {
        let empty = World::new(CLUSTER.parse().unwrap(), ZONE.parse().unwrap());
        let (audit, _ends_with_its_senders) = Audit::in_memory(&empty.cluster);
        let prepared = prepare(store, empty, self.controller.clone(), pace(), Metrics::new(), audit).await;
        let Lead { context, runtime } = prepared.unwrap();
        let stop = CancellationToken::new();
        let leading = tokio::spawn(runtime.run(stop.clone()));
        let inventory = tokio::spawn(crate::inventory::run(context.clone(), stop.clone()));
        let operator = OperatorService::new(context.clone(), self.issuer.clone(), stop.clone());
        let Context { shared, inputs, metrics, audit, .. } = context.clone();
        let enrolment = EnrolmentService::new(shared, inputs, self.issuer.clone(), metrics, audit);
        Running { operator, enrolment, context, stop, leading, inventory }
    }

    /// Lets the source see a node's new certificate in use.
    pub(super) fn use_certificate(&self, node: &str, serial: &str) {
        let key = ("source".parse().unwrap(), node.parse().unwrap());
        self.yard.with(|copies| copies.all.get_mut(&key).unwrap().seen.push(serial.to_owned()));
    }

    pub(super) fn assert_sound(&self) {
        let violations = self.yard.with(|copies| copies.violations.clone());
        assert!(violations.is_empty(), "{violations:?}");
    }

    pub(crate) async fn end(mut self) {
        self.parts.shutdown().await;
    }
}

/// A controller at work.
pub(crate) struct Running {
    pub(super) operator: OperatorService,
    pub(super) enrolment: EnrolmentService,
    pub(crate) context: Context,
    stop: CancellationToken,
    leading: JoinHandle<Result<(), RuntimeError>>,
    inventory: JoinHandle<()>,
}

impl Running {
    pub(crate) fn world<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        self.context.shared.world(look)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.leading.is_finished()
    }

    pub(crate) async fn end(self) -> Result<(), RuntimeError> {
        self.stop.cancel();
        self.inventory.await.unwrap();
        self.leading.await.unwrap()
    }

    /// Dies: the loop and its effects stop where they are, and nothing is said or recorded any more. What came of the loop, if
    /// it had ended by itself.
    pub(super) async fn die(self) -> Option<Result<(), RuntimeError>> {
        self.leading.abort();
        let ended = self.leading.await.ok();
        // Looks at parts record nothing without the loop.
        self.stop.cancel();
        self.inventory.await.unwrap();
        ended
    }

    /// Adds all parts that are not known yet and waits for the nodes.
    pub(crate) async fn add_parts(&self, bench: &Bench, nodes: usize) -> Result<(), Status> {
        for (shard, address) in &bench.addresses {
            let request = v1::AddShardRequest { shard: shard.clone(), control_address: address.clone() };
            self.operator.add_shard(Request::new(request)).await?;
        }
        let control_address = bench.router_address.clone();
        let request = v1::AddRouterRequest { router: "router-1".into(), control_address };
        self.operator.add_router(Request::new(request)).await?;
        eventually("all nodes are found", || self.has_ended() || self.world(|world| world.nodes.len() == nodes)).await;
        Ok(())
    }

    /// Makes, checks and applies a plan.
    pub(super) async fn apply_plan(&self) -> Result<String, Status> {
        let request = v1::MakePlanRequest { source: "source".into(), ..Default::default() };
        let toml = self.operator.make_plan(Request::new(request)).await?.into_inner().toml;
        let check = self.operator.check_plan(Request::new(v1::CheckPlanRequest { toml: toml.clone() })).await?;
        let check = check.into_inner();
        assert_eq!(check.problems, vec![], "{toml}");
        let request = v1::ApplyPlanRequest { toml: toml.clone(), revision: check.revision, ..Default::default() };
        self.operator.apply_plan(Request::new(request)).await?;
        Ok(toml)
    }

    /// A token for a node.
    pub(super) async fn token(&self, node: &str) -> Result<String, Status> {
        let request = v1::CreateEnrolmentTokenRequest { node: node.into(), valid_minutes: 0 };
        Ok(self.operator.create_enrolment_token(Request::new(request)).await?.into_inner().token)
    }

    /// What a token gets.
    pub(super) async fn enrol_with(&self, token: &str) -> Result<v1::EnrolResponse, Status> {
        let (_, csr_der) = request::create_key_and_request().unwrap();
        let request = v1::EnrolRequest { token: token.to_owned(), csr_der };
        Ok(self.enrolment.enrol(Request::new(request)).await?.into_inner())
    }

    /// Gets a node its certificate and lets the source see it.
    pub(super) async fn enrol(&self, bench: &Bench, node: &str) -> Result<(), Status> {
        let answer = self.enrol_with(&self.token(node).await?).await?;
        let chain = shardlift_pki::certificates_in(&answer.chain_pem).unwrap();
        bench.use_certificate(node, &shardlift_pki::identity::serial_hex(&chain[0]).unwrap());
        Ok(())
    }
}
