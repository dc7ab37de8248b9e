//! A cluster with its CA in a temporary folder, CAs that sign anything, and listeners that say who connected.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use shardlift_model::{Holder, Identity, Peer, Role, UnixMillis};
use shardlift_pki::authority::{Authority, CertifiedName};
use shardlift_pki::bundle;
use shardlift_pki::profile::{Kind, Profile};
use shardlift_pki::request::{check, create_key_and_request};
use shardlift_pki::tls::{CredentialPaths, Credentials, Incoming, IncomingCounters, IncomingLimits, ServerTls};
use shardlift_pki::{Passphrase, SecretPem, certificates_in};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixMillis(since.as_millis().try_into().unwrap())
}

pub(crate) fn identity(cluster: &str, role: Role, name: &str) -> Identity {
    Identity::new(cluster.parse().unwrap(), role, name).unwrap()
}

/// A chain and its key.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) chain: String,
    pub(crate) key: SecretPem,
}

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) authority: Authority,
    cluster: String,
}

impl World {
    pub(crate) fn new(cluster: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let passphrase = Passphrase::from("correct horse");
        let authority =
            Authority::init(&folder.path().join("ca"), &cluster.parse().unwrap(), &passphrase, now()).unwrap();
        Self { folder, authority, cluster: cluster.to_owned() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn issue(&self, role: Role, name: &str) -> Pair {
        let (key, csr) = create_key_and_request().unwrap();
        let profile = Profile::built_in(Kind::from(role)).unwrap();
        let is_server = !matches!(role, Role::Node | Role::Operator);
        let names: Vec<CertifiedName> = if is_server { vec!["localhost".parse().unwrap()] } else { Vec::new() };
        let identity = identity(&self.cluster, role, name);
        let issued = self.authority.issue(&profile, &identity, &names, &check(&csr).unwrap(), now()).unwrap();
        Pair { chain: issued.chain_pem, key }
    }

    /// Files of a part; the same name again overwrites them.
    pub(crate) fn files(&self, role: Role, name: &str, ca: &str, legacy: &[&str]) -> CredentialPaths {
        self.put(&format!("{role}-{}", name.replace('/', "-")), &self.issue(role, name), ca, legacy)
    }

    pub(crate) fn put(&self, stem: &str, pair: &Pair, ca: &str, legacy: &[&str]) -> CredentialPaths {
        let paths = CredentialPaths {
            certificate: self.path(&format!("{stem}.pem")),
            key: self.path(&format!("{stem}.key")),
            ca: self.path(&format!("{stem}-ca.pem")),
            legacy_ca: (0..legacy.len()).map(|n| self.path(&format!("{stem}-legacy-{n}.pem"))).collect(),
        };
        bundle::write(&paths.certificate, &pair.chain).unwrap();
        bundle::write_private(&paths.key, &pair.key).unwrap();
        bundle::write(&paths.ca, ca).unwrap();
        for (path, text) in paths.legacy_ca.iter().zip(legacy) {
            bundle::write(path, text).unwrap();
        }
        paths
    }

    pub(crate) fn credentials(&self, role: Role, name: &str) -> Arc<Credentials> {
        self.credentials_with(role, name, &[])
    }

    pub(crate) fn credentials_with(&self, role: Role, name: &str, legacy: &[&str]) -> Arc<Credentials> {
        Credentials::load(self.files(role, name, &self.authority.ca_pem(), legacy)).unwrap()
    }
}

/// What a leaf of a [`FreeCa`] says.
pub(crate) struct Leaf<'a> {
    pub(crate) common_name: &'a str,
    pub(crate) uris: &'a [&'a str],
    pub(crate) usages: &'a [ExtendedKeyUsagePurpose],
    pub(crate) is_ca: bool,
    pub(crate) starts_in_days: i64,
    pub(crate) ends_in_days: i64,
}

impl Default for Leaf<'_> {
    fn default() -> Self {
        Self {
            common_name: "acme",
            uris: &[],
            usages: &[ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
            is_ca: false,
            starts_in_days: -1,
            ends_in_days: 1,
        }
    }
}

/// A root that signs whatever it is told to, as an older or a hostile CA does.
pub(crate) struct FreeCa {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl FreeCa {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn issue(&self, leaf: &Leaf<'_>) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, leaf.common_name);
        params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
        params.subject_alt_names.extend(leaf.uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        params.extended_key_usages = leaf.usages.to_vec();
        if leaf.is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params.not_before = time::OffsetDateTime::now_utc() + time::Duration::days(leaf.starts_in_days);
        params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(leaf.ends_in_days);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { chain: certificate.pem(), key: SecretPem::new(key.serialize_pem()) }
    }
}

/// A client that believes any server of these roots for `localhost` and shows what it is told to.
pub(crate) fn plain_client(roots: &str, shows: Option<&Pair>) -> ClientConfig {
    shardlift_pki::install_crypto_provider();
    let mut store = RootCertStore::empty();
    for root in certificates_in(roots).unwrap() {
        store.add(root).unwrap();
    }
    let builder = ClientConfig::builder().with_root_certificates(store);
    match shows {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let (chain, key) = der(pair);
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

/// A server that asks for no certificate and shows what it is told to.
pub(crate) fn plain_server(pair: &Pair) -> Arc<ServerConfig> {
    shardlift_pki::install_crypto_provider();
    let (chain, key) = der(pair);
    Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap())
}

fn der(pair: &Pair) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    (certificates_in(&pair.chain).unwrap(), PrivateKeyDer::from_pem_slice(pair.key.expose().as_bytes()).unwrap())
}

/// A listener that tells each client who it is, then echoes.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) counters: Arc<IncomingCounters>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Listener {
    pub(crate) async fn start(tls: ServerTls) -> Self {
        Self::start_with(tls, IncomingLimits::default()).await
    }

    pub(crate) async fn start_with(tls: ServerTls, limits: IncomingLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut incoming = Incoming::with_limits(listener, tls, limits).unwrap();
        let (address, counters) = (incoming.local_address(), incoming.counters());
        let serving = tokio::spawn(async move {
            use futures::StreamExt as _;
            while let Some(Ok(mut connection)) = incoming.next().await {
                tokio::spawn(async move {
                    let greeting = format!("{}\n", describe(connection.peer()));
                    connection.write_all(greeting.as_bytes()).await?;
                    connection.flush().await?;
                    let (mut reader, mut writer) = tokio::io::split(connection);
                    tokio::io::copy(&mut reader, &mut writer).await
                });
            }
        });
        Self { address, counters, serving }
    }

    /// What the listener says to this client.
    pub(crate) async fn greets(&self, config: &ClientConfig) -> io::Result<String> {
        let mut stream = self.open(config).await?;
        greeting(&mut stream).await
    }

    pub(crate) async fn open(&self, config: &ClientConfig) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config.clone())).connect(name, stream).await
    }
}

/// One line. With TLS 1.3 a client learns only here that its certificate was refused.
pub(crate) async fn greeting(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream);
    let reading = reader.read_line(&mut line);
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("an answer in time")?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

pub(crate) async fn echo(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), text: &[u8]) -> Vec<u8> {
    stream.write_all(text).await.unwrap();
    stream.flush().await.unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await.unwrap();
    back
}

pub(crate) fn describe(peer: &Peer) -> String {
    match &peer.certificate {
        None => "nobody".to_owned(),
        Some(certificate) => match &certificate.holder {
            Holder::Member(identity) => format!("member {} {}", identity.to_uri(), certificate.issuer),
            Holder::Legacy { account } => format!("account {account} {}", certificate.issuer),
        },
    }
}

/// Waits for a condition, at most ten seconds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within ten seconds: {what}");
}

/// Whether the `openssl` command is there; says loudly when not.
pub(crate) fn has_openssl(test: &str) -> bool {
    let found = Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if !found {
        // Past the test runner, which keeps what a passing test prints to itself.
        let line = format!("SKIPPED: {test}: there is no openssl command\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    found
}

/// Runs `openssl` in a folder; standard output, or standard error as the error.
pub(crate) fn openssl(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("openssl").args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr) + &text(&output.stdout)) }
}
