//! The router's configuration file: raw as written, then checked as a whole. No port opens and no folder is made here.

use serde::Deserialize;
use shardlift_api::configuration::{self, ConfigError, RawConfig, metrics_address};
use shardlift_model::{ClusterId, RouterId};
use shardlift_pki::tls::CredentialPaths;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: RouterId,
    cluster: ClusterId,
    state: PathBuf,
    client_listen: SocketAddr,
    client_address: Option<String>,
    control_listen: SocketAddr,
    metrics_listen: Option<SocketAddr>,
    #[serde(default = "connections_max")]
    connections_max: usize,
    tls: CredentialPaths,
}

const fn connections_max() -> usize {
    20_000
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct RouterConfig {
    /// The router's name; its certificate must say the same.
    pub name: RouterId,
    /// The cluster it belongs to; its certificate must say the same.
    pub cluster: ClusterId,
    /// Where the routes are kept.
    pub state: PathBuf,
    /// Where clients connect.
    pub client_listen: SocketAddr,
    /// host:port that the controller is told; the listener's own address when absent.
    pub client_address: Option<String>,
    /// Where the controller connects.
    pub control_listen: SocketAddr,
    /// Where metrics are read, in plain HTTP; a loopback address.
    pub metrics_listen: Option<SocketAddr>,
    /// Client connections at the same time.
    pub connections_max: usize,
    /// Own certificate and whom it trusts.
    pub credentials: CredentialPaths,
}

impl RouterConfig {
    /// Reads a file. Relative paths in it start at its folder.
    ///
    /// # Errors
    /// [`ConfigError`] names the place and what is expected.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        configuration::load::<Raw>(path)
    }

    /// Checks a text as if it stood in the file `path`.
    ///
    /// # Errors
    /// [`ConfigError`] names the place and what is expected.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        configuration::parse::<Raw>(text, path)
    }
}

impl RawConfig for Raw {
    type Checked = RouterConfig;

    fn check(self, folder: &Path) -> Result<RouterConfig, ConfigError> {
        if self.connections_max == 0 {
            return Err(ConfigError::field("connections_max", "at least 1"));
        }
        Ok(RouterConfig {
            name: self.name,
            cluster: self.cluster,
            state: folder.join(self.state),
            client_listen: self.client_listen,
            client_address: self.client_address,
            control_listen: self.control_listen,
            metrics_listen: metrics_address(self.metrics_listen)?,
            connections_max: self.connections_max,
            credentials: self.tls.below(folder),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "router-1"
cluster = "c1"
state = "state"
client_listen = "127.0.0.1:443"
control_listen = "127.0.0.1:8001"
[tls]
certificate = "router.pem"
key = "router.key"
ca = "ca.pem"
"#;

    #[test]
    fn a_file_is_checked_as_a_whole() {
        let parse = |text: &str| RouterConfig::parse(text, Path::new("/etc/shardlift/router.toml"));
        assert_eq!(parse(GOOD).unwrap().state, Path::new("/etc/shardlift/state"));
        for (from, to, expected) in [
            ("state =", "stat =", "stat"),
            ("router-1", "Router 1", "name"),
            ("state =", "metrics_listen = \"0.0.0.0:9\"\nstate =", "loopback"),
            ("state =", "connections_max = 0\nstate =", "at least 1"),
        ] {
            let error = parse(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
