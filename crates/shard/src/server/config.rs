//! The shard's configuration file: raw as written, then checked as a whole. No port opens and no folder is made here.

use crate::auth::ClientAuth;
use crate::engine::EngineConfig;
use serde::Deserialize;
use shardlift_model::{ByteCount, ClusterId, ShardId};
use shardlift_pki::tls::CredentialPaths;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: ShardId,
    cluster: ClusterId,
    data: PathBuf,
    state: Option<PathBuf>,
    client_listen: SocketAddr,
    client_address: Option<String>,
    control_listen: SocketAddr,
    peer_address: Option<String>,
    metrics_listen: Option<SocketAddr>,
    #[serde(default)]
    client_auth: ClientAuth,
    htpasswd: Option<PathBuf>,
    #[serde(default)]
    append_only: bool,
    #[serde(default)]
    create_nodes: bool,
    capacity_bytes: Option<u64>,
    default_quota_bytes: Option<u64>,
    #[serde(default = "connections_max")]
    client_connections_max: usize,
    tls: RawTls,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    certificate: PathBuf,
    key: PathBuf,
    ca: PathBuf,
    #[serde(default)]
    legacy_ca: Vec<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
}

const fn connections_max() -> usize {
    10_000
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// The shard's name; its certificate must say the same.
    pub name: ShardId,
    /// The cluster it belongs to; its certificate must say the same.
    pub cluster: ClusterId,
    /// Folders and limits of the engine.
    pub engine: EngineConfig,
    /// Where clients connect.
    pub client_listen: SocketAddr,
    /// host:port that routers are told; the listener's own address when absent.
    pub client_address: Option<String>,
    /// Where the controller and other shards connect.
    pub control_listen: SocketAddr,
    /// host:port that other shards are told; the listener's own address when absent.
    pub peer_address: Option<String>,
    /// Where metrics are read, in plain HTTP; a loopback address.
    pub metrics_listen: Option<SocketAddr>,
    /// What clients must show.
    pub client_auth: ClientAuth,
    /// The password file. Its lines travel with the nodes of their accounts whether or not this shard looks at passwords.
    pub htpasswd: PathBuf,
    /// Whether an owner may create a repository that is not here yet.
    pub create_nodes: bool,
    /// Client connections at the same time.
    pub client_connections_max: usize,
    /// Own certificate and whom it trusts.
    pub credentials: CredentialPaths,
    /// Another certificate and key to show to clients, such as the one they know from before the cluster.
    pub client_chain: Option<(PathBuf, PathBuf)>,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what is expected; the text names line and column.
    #[error("{path}: {source}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value makes no sense, alone or with another one.
    #[error("{0}")]
    Value(&'static str),
}

impl ShardConfig {
    /// Reads a file. Relative paths in it start at its folder.
    ///
    /// # Errors
    /// [`ConfigError`] names the place and what is expected.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, folder).map_err(|error| match error {
            ConfigError::Syntax { source, .. } => ConfigError::Syntax { path: path.to_owned(), source },
            other => other,
        })
    }

    /// Checks a text. Relative paths in it start at `folder`.
    ///
    /// # Errors
    /// [`ConfigError`] names the place and what is expected.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ConfigError> {
        let syntax = |source| ConfigError::Syntax { path: PathBuf::from("configuration"), source: Box::new(source) };
        let raw: Raw = toml::from_str(text).map_err(syntax)?;
        raw.check(folder)
    }
}

impl Raw {
    fn check(self, folder: &Path) -> Result<ShardConfig, ConfigError> {
        let at = |path: PathBuf| folder.join(path);
        if self.metrics_listen.is_some_and(|address| !address.ip().is_loopback()) {
            return Err(ConfigError::Value("metrics_listen: only a loopback address, metrics are not protected"));
        }
        if self.client_connections_max == 0 {
            return Err(ConfigError::Value("client_connections_max: at least 1"));
        }
        let client_chain = match (self.tls.client_certificate, self.tls.client_key) {
            (Some(certificate), Some(key)) => Some((at(certificate), at(key))),
            (None, None) => None,
            _ => return Err(ConfigError::Value("tls: client_certificate and client_key go together")),
        };
        let data = at(self.data);
        let htpasswd = self.htpasswd.map_or_else(|| data.join(".htpasswd"), at);
        let mut engine = EngineConfig::new(data);
        engine.state = self.state.map_or(engine.state, at);
        engine.capacity = self.capacity_bytes.map(ByteCount);
        engine.default_quota = self.default_quota_bytes.map(ByteCount);
        engine.append_only = self.append_only;
        Ok(ShardConfig {
            name: self.name,
            cluster: self.cluster,
            engine,
            client_listen: self.client_listen,
            client_address: self.client_address,
            control_listen: self.control_listen,
            peer_address: self.peer_address,
            metrics_listen: self.metrics_listen,
            client_auth: self.client_auth,
            htpasswd,
            create_nodes: self.create_nodes,
            client_connections_max: self.client_connections_max,
            credentials: CredentialPaths {
                certificate: at(self.tls.certificate),
                key: at(self.tls.key),
                ca: at(self.tls.ca),
                legacy_ca: self.tls.legacy_ca.into_iter().map(at).collect(),
            },
            client_chain,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "shard-a"
cluster = "c1"
data = "data"
client_listen = "127.0.0.1:8000"
control_listen = "127.0.0.1:8001"
[tls]
certificate = "shard.pem"
key = "shard.key"
ca = "ca.pem"
"#;

    fn parse(text: &str) -> Result<ShardConfig, String> {
        ShardConfig::parse(text, Path::new("/etc/shardlift")).map_err(|error| error.to_string())
    }

    #[test]
    fn relative_paths_start_at_the_folder_of_the_file() {
        let config = parse(GOOD).unwrap();
        assert_eq!(config.engine.data, Path::new("/etc/shardlift/data"));
        assert_eq!(config.engine.state, Path::new("/etc/shardlift/data/.shardlift"));
        assert_eq!(config.credentials.ca, Path::new("/etc/shardlift/ca.pem"));
        assert_eq!(config.client_auth, ClientAuth::Certificate);
        assert_eq!(config.htpasswd, Path::new("/etc/shardlift/data/.htpasswd"));
        assert!(!config.create_nodes);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        for (from, to, expected) in [
            ("data =", "dat =", "dat"),
            ("shard-a", "Shard A", "name"),
            ("client_listen = \"127.0.0.1:8000\"", "client_listen = \"localhost\"", "client_listen"),
            ("data =", "metrics_listen = \"0.0.0.0:9\"\ndata =", "loopback"),
            ("data =", "client_connections_max = 0\ndata =", "at least 1"),
            ("ca =", "client_key = \"x\"\nca =", "go together"),
            ("ca =", "cas =", "cas"),
        ] {
            let error = parse(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
