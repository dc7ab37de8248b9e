//! A cluster's CA and one from before it in a temporary folder, and a shard that runs in the test's own process.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use shardlift_api::v1;
use shardlift_api::v1::shard_control_client::ShardControlClient;
use shardlift_model::{Identity, Role, Sha256, UnixMillis};
use shardlift_pki::authority::{Authority, CertifiedName};
use shardlift_pki::profile::{Kind, Profile};
use shardlift_pki::request::{check, create_key_and_request};
use shardlift_pki::tls::{CredentialPaths, Credentials, Expected, channel};
use shardlift_pki::{Passphrase, SecretPem, bundle};
use shardlift_shard::server::{Reloadable, ServerError, Shard, ShardConfig};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// The node of most tests.
pub(crate) const NODE: &str = "acme/web";

/// Any free port.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A chain and its key.
pub(crate) struct Pair {
    pub(crate) chain: String,
    pub(crate) key: SecretPem,
}

pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) authority: Authority,
    cluster: String,
    legacy: Issuer<'static, KeyPair>,
    legacy_pem: String,
}

pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixMillis(since.as_millis().try_into().unwrap())
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of("c1")
    }

    pub(crate) fn of(cluster: &str) -> Self {
        shardlift_pki::install_crypto_provider();
        let folder = tempfile::tempdir().unwrap();
        let passphrase = Passphrase::from("correct horse");
        let authority =
            Authority::init(&folder.path().join("ca"), &cluster.parse().unwrap(), &passphrase, now()).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("backup clients of old");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let legacy_pem = params.self_signed(&key).unwrap().pem();
        let world =
            Self { folder, authority, cluster: cluster.to_owned(), legacy: Issuer::new(params, key), legacy_pem };
        std::fs::create_dir(world.data()).unwrap();
        bundle::write(&world.path("ca.pem"), &world.ca_pem()).unwrap();
        bundle::write(&world.path("legacy.pem"), &world.legacy_pem).unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) fn ca_pem(&self) -> String {
        self.authority.ca_pem()
    }

    /// A certificate of the cluster.
    pub(crate) fn issue(&self, role: Role, name: &str) -> Pair {
        let (key, csr) = create_key_and_request().unwrap();
        let profile = Profile::built_in(Kind::from(role)).unwrap();
        let is_server = !matches!(role, Role::Node | Role::Operator);
        let names: Vec<CertifiedName> = if is_server { vec!["localhost".parse().unwrap()] } else { Vec::new() };
        let identity = Identity::new(self.cluster.parse().unwrap(), role, name).unwrap();
        let issued = self.authority.issue(&profile, &identity, &names, &check(&csr).unwrap(), now()).unwrap();
        Pair { chain: issued.chain_pem, key }
    }

    /// A certificate of the CA from before the cluster.
    pub(crate) fn issue_legacy(&self, account: &str) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(account);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(1);
        params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.legacy).unwrap();
        Pair { chain: certificate.pem(), key: SecretPem::new(key.serialize_pem()) }
    }

    /// Writes certificate and key of a member where its role's configuration expects them.
    pub(crate) fn files(&self, role: Role, name: &str) -> CredentialPaths {
        let pair = self.issue(role, name);
        let path = |suffix: &str| self.path(&format!("{role}-{}{suffix}", name.replace('/', "-")));
        let (certificate, key) = (path(".pem"), path(".key"));
        bundle::write(&certificate, &pair.chain).unwrap();
        bundle::write_private(&key, &pair.key).unwrap();
        CredentialPaths { certificate, key, ca: self.path("ca.pem"), legacy_ca: Vec::new() }
    }

    /// A shard with the usual configuration.
    pub(crate) async fn shard(&self) -> Running {
        self.shard_with("").await
    }

    /// A shard with a few more lines of configuration.
    pub(crate) async fn shard_with(&self, lines: &str) -> Running {
        self.shard_at("a", "data", [ANY_PORT; 2], lines).await
    }

    /// A shard on a folder and at addresses for clients and control, so that it can come again.
    pub(crate) async fn shard_at(&self, name: &str, data: &str, listen: [SocketAddr; 2], lines: &str) -> Running {
        let shard = self.build(name, data, listen, lines).await.unwrap();
        self.run(name, shard).await
    }

    /// One that may not be able to start.
    pub(crate) async fn build(
        &self,
        name: &str,
        data: &str,
        listen: [SocketAddr; 2],
        lines: &str,
    ) -> Result<Shard, ServerError> {
        let data = self.path(data);
        std::fs::create_dir_all(&data).unwrap();
        let paths = self.files(Role::Shard, name);
        let [clients, control] = listen;
        let text = format!(
            "name = {name:?}\ncluster = \"c1\"\ndata = {data:?}\nclient_listen = \"{clients}\"\n\
             control_listen = \"{control}\"\nmetrics_listen = \"127.0.0.1:0\"\n{lines}\n[tls]\n\
             certificate = {:?}\nkey = {:?}\nca = {:?}\nlegacy_ca = [{:?}]\n",
            paths.certificate,
            paths.key,
            paths.ca,
            self.path("legacy.pem")
        );
        Shard::build(ShardConfig::parse(&text, &self.path("shard.toml")).unwrap()).await
    }

    async fn run(&self, name: &str, shard: Shard) -> Running {
        let reloadable = shard.reloadable();
        let stop = CancellationToken::new();
        let (sender, mut announced) = tokio::sync::mpsc::unbounded_channel();
        let ended = stop.clone();
        let task = tokio::spawn(async move {
            let announce = move |name: &str, address| sender.send((name.to_owned(), address)).unwrap();
            shard.run(ended.cancelled_owned(), announce).await
        });
        let mut listeners = BTreeMap::new();
        while listeners.len() < 3 {
            let (name, address) = announced.recv().await.unwrap();
            listeners.insert(name, address);
        }
        let control = self.control(listeners["control"], Role::Controller, "one");
        Running {
            name: name.to_owned(),
            clients: listeners["client"],
            control_address: listeners["control"],
            metrics: listeners["metrics"],
            control,
            reloadable,
            stop,
            task,
        }
    }

    /// The control service as a member sees it.
    pub(crate) fn control(&self, address: SocketAddr, role: Role, name: &str) -> ShardControlClient<Channel> {
        let credentials = Credentials::load(self.files(role, name)).unwrap();
        ShardControlClient::new(channel(&credentials, &address.to_string(), Expected::any(Role::Shard)))
    }
}

/// A running shard.
pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) clients: SocketAddr,
    pub(crate) control_address: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) control: ShardControlClient<Channel>,
    pub(crate) reloadable: Reloadable,
    pub(crate) stop: CancellationToken,
    task: JoinHandle<Result<(), ServerError>>,
}

fn token(step: u64) -> Option<v1::Token> {
    Some(v1::Token { term: 1, generation: 1, step })
}

impl Running {
    /// Ends in an orderly way and says how it went.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.ended().await;
    }

    /// Waits for the end that was asked for.
    pub(crate) async fn ended(self) {
        tokio::time::timeout(Duration::from_secs(40), self.task).await.expect("an end in time").unwrap().unwrap();
    }

    pub(crate) async fn make_node(&self, node: &str, settings: v1::NodeSettings) {
        let request = v1::SetNodeRequest { node: node.to_owned(), token: token(1), settings: Some(settings) };
        self.control.clone().set_node(request).await.unwrap();
    }

    pub(crate) async fn status(&self, node: &str) -> v1::NodeStatus {
        self.control.clone().get_node(v1::GetNodeRequest { node: node.to_owned() }).await.unwrap().into_inner()
    }

    /// Waits until this many requests of a node are in the shard, parked ones included.
    pub(crate) async fn in_flight(&self, node: &str, count: u64) {
        eventually("the requests are there", || async { self.status(node).await.requests_in_flight == count }).await;
    }

    pub(crate) async fn fence(&self, step: u64) -> v1::NodeDigest {
        let request =
            v1::FenceRequest { node: NODE.to_owned(), token: token(step), lease_ms: 60_000, drain_ms_max: 5_000 };
        self.control.clone().fence(request).await.unwrap().into_inner().r#final.unwrap()
    }

    pub(crate) async fn unfence(&self, step: u64) {
        let request = v1::UnfenceRequest { node: NODE.to_owned(), token: token(step) };
        self.control.clone().unfence(request).await.unwrap();
    }

    /// Fences and seals, from step 2 on.
    pub(crate) async fn seal(&self) {
        let last = self.fence(2).await;
        let request = v1::SealRequest { node: NODE.to_owned(), token: token(3), r#final: Some(last) };
        self.control.clone().seal(request).await.unwrap();
    }

    pub(crate) async fn retire(&self) {
        let request = v1::RetireRequest {
            node: NODE.to_owned(),
            token: token(9),
            target: "b".to_owned(),
            target_client_address: "127.0.0.1:1".to_owned(),
            target_peer_address: "127.0.0.1:1".to_owned(),
            from_seq: 0,
        };
        self.control.clone().retire(request).await.unwrap();
    }

    /// Puts a retired node into quarantine.
    pub(crate) async fn quarantine(&self) {
        let request = v1::QuarantineRequest { node: NODE.to_owned(), token: token(10) };
        self.control.clone().quarantine(request).await.unwrap();
    }

    /// A copy that waits for a source that is not there.
    pub(crate) async fn make_incoming(&self, node: &str) {
        let request = v1::StartReplicaRequest {
            node: node.to_owned(),
            token: token(1),
            source: "b".to_owned(),
            source_peer_address: "127.0.0.1:1".to_owned(),
            accept_damaged: false,
        };
        self.control.clone().start_replica(request).await.unwrap();
    }

    pub(crate) async fn end_legacy_credentials(&self, node: &str, step: u64) {
        let request = v1::EndLegacyCredentialsRequest { node: node.to_owned(), token: token(step) };
        self.control.clone().end_legacy_credentials(request).await.unwrap();
    }
}

/// Where an object belongs by its hash.
pub(crate) fn path_of(kind: &str, bytes: &[u8]) -> String {
    let mut hash = [0; 32];
    hash.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    format!("/{NODE}/{kind}/{}", Sha256(hash))
}

/// All files below a node's folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

/// Waits for a condition, at most twenty seconds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    for _ in 0..1000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within twenty seconds: {what}");
}
