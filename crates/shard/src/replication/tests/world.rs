//! A cluster's CA in a temporary folder, shards that can be killed and started again, and a controller to command them.

use crate::auth::htpasswd::Passwords;
use crate::control::{self, About};
use crate::engine::{Engine, EngineConfig, EngineError, Put, PutError};
use crate::replication::fetching::{Fetching, Head};
use crate::replication::lines::Lines;
use crate::replication::{self, ReplicaJobs, ReplicationCounters};
use bytes::Bytes;
use futures::StreamExt as _;
use sha2_of::sha256;
use shardlift_api::OBJECTS_ALPN;
use shardlift_api::policy::GuardLayer;
use shardlift_api::v1::replication_client::ReplicationClient;
use shardlift_api::v1::replication_server::ReplicationServer;
use shardlift_api::v1::shard_control_client::ShardControlClient;
use shardlift_api::v1::{self, NodeDigest, NodeStatus};
use shardlift_custody::RevokedFiles;
use shardlift_model::{Identity, NodeId, ObjectKey, ObjectKind, Role, Sha256, UnixMillis};
use shardlift_pki::authority::Authority;
use shardlift_pki::profile::{Kind, Profile};
use shardlift_pki::request::{check, create_key_and_request};
use shardlift_pki::tls::{ALPN_HTTP2, CredentialPaths, Credentials, Expected, Incoming, channel, mutual_server_config};
use shardlift_pki::{Passphrase, bundle};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Server};

mod sha2_of {
    use shardlift_model::Sha256;

    pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
        let mut hash = [0; 32];
        hash.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
        Sha256(hash)
    }
}

pub(crate) const CLUSTER: &str = "c1";

/// The node of most tests.
pub(crate) fn node() -> NodeId {
    "acme/web-1".parse().unwrap()
}

pub(crate) struct World {
    folder: tempfile::TempDir,
    authority: Authority,
}

pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixMillis(since.as_millis().try_into().unwrap())
}

impl World {
    pub(crate) fn new() -> Self {
        shardlift_pki::install_crypto_provider();
        let folder = tempfile::tempdir().unwrap();
        let passphrase = Passphrase::from("correct horse");
        let authority =
            Authority::init(&folder.path().join("ca"), &CLUSTER.parse().unwrap(), &passphrase, now()).unwrap();
        Self { folder, authority }
    }

    pub(crate) fn credentials(&self, role: Role, name: &str) -> Arc<Credentials> {
        let path = |suffix: &str| self.folder.path().join(format!("{role}-{name}{suffix}"));
        let paths = CredentialPaths {
            certificate: path(".pem"),
            key: path(".key"),
            ca: path("-ca.pem"),
            legacy_ca: Vec::new(),
        };
        if !paths.certificate.exists() {
            let (key, csr) = create_key_and_request().unwrap();
            let identity = Identity::new(CLUSTER.parse().unwrap(), role, name).unwrap();
            let profile = Profile::built_in(Kind::from(role)).unwrap();
            let issued = self.authority.issue(&profile, &identity, &[], &check(&csr).unwrap(), now()).unwrap();
            bundle::write(&paths.certificate, &issued.chain_pem).unwrap();
            bundle::write_private(&paths.key, &key).unwrap();
            bundle::write(&paths.ca, &self.authority.ca_pem()).unwrap();
        }
        Credentials::load(paths).unwrap()
    }

    /// Where a shard has its data, to prepare it before the shard starts.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        let data = self.folder.path().join(name);
        std::fs::create_dir_all(&data).unwrap();
        data
    }

    pub(crate) async fn shard(&self, name: &str) -> Shard {
        self.shard_at(name, "127.0.0.1:0").await
    }

    /// Starts a shard on its folder, which stays when the shard is gone.
    pub(crate) async fn shard_at(&self, name: &str, address: &str) -> Shard {
        let data = self.data(name);
        let tls = mutual_server_config(&self.credentials(Role::Shard, name), &[ALPN_HTTP2, OBJECTS_ALPN]).unwrap();
        // All that runs on behalf of a shard runs in here, so that it can be killed as a whole.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let credentials = self.credentials(Role::Shard, name);
        let (name, bind) = (name.to_owned(), address.to_owned());
        let starting = runtime.spawn(async move {
            let engine = open(&data).await;
            let passwords = Arc::new(Passwords::open(data.join(".htpasswd")).unwrap());
            let jobs = ReplicaJobs::new(&engine, &passwords, &credentials);
            let revoked = RevokedFiles::open(&credentials, &engine.config().state).unwrap();
            jobs.resume().await.unwrap();
            let counters = Arc::new(ReplicationCounters::default());
            let incoming = Incoming::new(listen(&bind).await, tls).unwrap();
            let address = incoming.local_address().to_string();
            let about = About {
                load_capacity: None,
                shard: name.parse().unwrap(),
                client_address: "127.0.0.1:1".into(),
                peer_address: address.clone(),
            };
            let replication = replication::serving(&engine, &passwords, &counters, &CancellationToken::new());
            let incoming = replication.take_streams(incoming);
            let serving = Server::builder()
                .layer(GuardLayer)
                .add_service(control::service(about, &engine, &jobs, Arc::new(|_| 0), &revoked))
                .add_service(ReplicationServer::new(replication))
                .serve_with_incoming(incoming);
            tokio::spawn(async move { serving.await.unwrap() });
            (name, data, address, engine, passwords, jobs, counters)
        });
        let (name, data, address, engine, passwords, jobs, counters) = starting.await.unwrap();
        let controller = self.credentials(Role::Controller, "one");
        let client = ShardControlClient::new(channel(&controller, &address, Expected::one(Role::Shard, &name)));
        let runtime = Some(runtime);
        Shard { name, data, address, engine, passwords, jobs, counters, client, runtime }
    }

    /// A replication client with the certificate of a shard, to ask a source by hand.
    pub(crate) fn puller(&self, name: &str, source: &Shard) -> ReplicationClient<Channel> {
        let credentials = self.credentials(Role::Shard, name);
        ReplicationClient::new(channel(&credentials, &source.address, Expected::any(Role::Shard)))
    }
}

/// What is asked for on an object stream by somebody with these credentials: the first head, or why not.
pub(crate) async fn fetch(
    credentials: &Arc<Credentials>,
    source: &Shard,
    request: &v1::FetchObjectsRequest,
) -> Result<Head, String> {
    let lines = Lines::new(credentials, &source.name.parse().unwrap(), &source.address);
    let line = lines.ask(request).await.map_err(|error| error.to_string())?;
    Fetching::new(line, request.objects.len()).head().await.map_err(|error| error.to_string())
}

/// A killed engine lets go of its index as soon as its thread has noticed.
async fn open(data: &std::path::Path) -> Arc<Engine> {
    let mut last = None;
    for _ in 0..500 {
        match Engine::open(EngineConfig::new(data)).await {
            Ok(engine) => return engine,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the store does not open: {last:?}");
}

async fn listen(address: &str) -> TcpListener {
    let mut last = None;
    for _ in 0..500 {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{address} is not free: {last:?}");
}

pub(crate) struct Shard {
    pub(crate) name: String,
    pub(crate) data: PathBuf,
    pub(crate) address: String,
    pub(crate) engine: Arc<Engine>,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) jobs: Arc<ReplicaJobs>,
    pub(crate) counters: Arc<ReplicationCounters>,
    pub(crate) client: ShardControlClient<Channel>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Shard {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shard {
    /// Ends without a goodbye: nothing is closed, and nothing is finished but what a thread is at. Returns where it was.
    pub(crate) fn kill(self) -> String {
        self.address.clone()
    }

    pub(crate) async fn put(&self, kind: ObjectKind, bytes: &[u8]) -> ObjectKey {
        self.put_in(&node(), kind, bytes).await
    }

    pub(crate) async fn put_in(&self, node: &NodeId, kind: ObjectKind, bytes: &[u8]) -> ObjectKey {
        let key = key_of(kind, bytes);
        assert!(matches!(self.try_put(node, key, bytes).await, Ok(Put::Created | Put::Identical)));
        key
    }

    pub(crate) async fn try_put(&self, node: &NodeId, key: ObjectKey, bytes: &[u8]) -> Result<Put, PutError> {
        let mut upload = self.engine.begin_put(node, key, Some(bytes.len() as u64)).await?;
        upload.write(Bytes::copy_from_slice(bytes)).await?;
        upload.finish().await
    }

    pub(crate) async fn delete(&self, key: ObjectKey) -> Result<(), EngineError> {
        self.engine.delete(&node(), key).await.map(drop)
    }

    /// A node with a config, keys, packs of all sizes, an index, a snapshot and a lock.
    pub(crate) async fn fill(&self, packs: usize) {
        self.engine.create_node(&node()).await.unwrap();
        self.put(ObjectKind::Config, b"the config").await;
        self.put(ObjectKind::Keys, b"a key").await;
        futures::stream::iter(0..packs)
            .for_each_concurrent(32, |pack| async move {
                let size = [0, 1, 700, 5_000, 40_000, 200_000, 300_000][pack % 7];
                self.put(ObjectKind::Data, &bytes_of(pack as u64, size)).await;
            })
            .await;
        self.put(ObjectKind::Index, &bytes_of(1, 300)).await;
        self.put(ObjectKind::Snapshots, &bytes_of(2, 300)).await;
        self.put(ObjectKind::Locks, &bytes_of(3, 300)).await;
    }

    pub(crate) async fn status(&self) -> NodeStatus {
        let request = v1::GetNodeRequest { node: node().to_string() };
        self.client.clone().get_node(request).await.unwrap().into_inner()
    }

    pub(crate) async fn replica(&self) -> v1::Replica {
        self.status().await.replica.unwrap_or_default()
    }

    /// Root without locks.
    pub(crate) async fn root(&self) -> Sha256 {
        self.engine.digest_of(&node(), false).await.unwrap().0.root
    }

    pub(crate) async fn seq(&self) -> u64 {
        self.engine.digest(&node()).await.unwrap().1
    }

    pub(crate) fn path(&self, key: ObjectKey) -> PathBuf {
        let folder = self.data.join("acme/web-1");
        match key.kind() {
            ObjectKind::Config => folder.join("config"),
            ObjectKind::Data => folder.join("data").join(&key.name()[..2]).join(key.name()),
            kind => folder.join(kind.as_str()).join(key.name()),
        }
    }

    /// Rot: one byte of a file is another one.
    pub(crate) fn flip(&self, key: ObjectKey) {
        let path = self.path(key);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) async fn offer(&self, step: u64, target: &str) -> Result<NodeStatus, tonic::Status> {
        let request = v1::OfferNodeRequest { node: node().to_string(), token: token(step), target: target.into() };
        self.client.clone().offer_node(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn start(&self, step: u64, source: &Shard, accept: bool) -> Result<NodeStatus, tonic::Status> {
        let request = v1::StartReplicaRequest {
            node: node().to_string(),
            token: token(step),
            source: source.name.clone(),
            source_peer_address: source.address.clone(),
            accept_damaged: accept,
        };
        self.client.clone().start_replica(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn verify(&self, step: u64) -> Result<NodeStatus, tonic::Status> {
        let request = v1::VerifyReplicaRequest { node: node().to_string(), token: token(step) };
        self.client.clone().verify_replica(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn fence(&self, step: u64, lease_ms: u32) -> Result<NodeDigest, tonic::Status> {
        let request = v1::FenceRequest { node: node().to_string(), token: token(step), lease_ms, drain_ms_max: 50 };
        self.client.clone().fence(request).await.map(|answer| answer.into_inner().r#final.unwrap())
    }

    pub(crate) async fn complete(&self, step: u64, last: &NodeDigest) -> Result<NodeDigest, tonic::Status> {
        let r#final = Some(last.clone());
        let request = v1::CompleteReplicaRequest { node: node().to_string(), token: token(step), r#final };
        self.client.clone().complete_replica(request).await.map(|answer| answer.into_inner().digest.unwrap())
    }

    pub(crate) async fn seal(&self, step: u64, last: &NodeDigest) -> Result<(), tonic::Status> {
        let r#final = Some(last.clone());
        let request = v1::SealRequest { node: node().to_string(), token: token(step), r#final };
        self.client.clone().seal(request).await.map(drop)
    }

    pub(crate) async fn promote(&self, at: (u64, u64), last: &NodeDigest) -> Result<NodeStatus, tonic::Status> {
        let token = Some(v1::Token { term: 1, generation: at.0, step: at.1 });
        let request = v1::PromoteRequest {
            node: node().to_string(),
            token,
            r#final: Some(last.clone()),
            follower: String::new(),
        };
        self.client.clone().promote(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn discard(&self, step: u64) -> Result<NodeStatus, tonic::Status> {
        let request = v1::DiscardReplicaRequest { node: node().to_string(), token: token(step) };
        self.client.clone().discard_replica(request).await.map(tonic::Response::into_inner)
    }
}

/// A token of term 1 and generation 1.
#[allow(clippy::unnecessary_wraps)] // As messages want it.
pub(crate) fn token(step: u64) -> Option<v1::Token> {
    Some(v1::Token { term: 1, generation: 1, step })
}

pub(crate) fn key_of(kind: ObjectKind, bytes: &[u8]) -> ObjectKey {
    match kind {
        ObjectKind::Config => ObjectKey::Config,
        kind => ObjectKey::Named(kind, sha256(bytes)),
    }
}

/// Bytes that differ for each seed.
pub(crate) fn bytes_of(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    bytes.extend_from_slice(&seed.to_be_bytes());
    bytes.resize_with(size + 8, || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    });
    bytes
}

/// Source and target with an offered node that is being pulled.
pub(crate) async fn pulling(world: &World, packs: usize) -> (Shard, Shard) {
    let (source, target) = (world.shard("a").await, world.shard("b").await);
    source.fill(packs).await;
    source.offer(1, "b").await.unwrap();
    target.start(2, &source, false).await.unwrap();
    (source, target)
}

/// Waits until the target has applied all that the source holds now.
pub(crate) async fn caught_up(source: &Shard, target: &Shard) {
    let seq = source.seq().await;
    eventually("the target catches up", || async {
        let replica = target.replica().await;
        assert_eq!(replica.failure, "");
        replica.phase == i32::from(v1::ReplicaPhase::Following) && replica.applied_seq >= seq
    })
    .await;
    assert_eq!(source.root().await, target.root().await);
}

/// Waits for a condition, at most thirty seconds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    for _ in 0..1500 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within thirty seconds: {what}");
}
