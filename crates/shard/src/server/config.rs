//! The shard's configuration file: raw as written, then checked as a whole. No port opens and no folder is made here.

use crate::admission::ReadmissionLimits;
use crate::admission::readmission::PER_SECOND_MAX;
use crate::auth::ClientAuth;
use crate::engine::EngineConfig;
use crate::throttle::{Limits, Windows};
use serde::Deserialize;
use shardlift_api::configuration::{self, ConfigError, RawConfig, metrics_address};
use shardlift_model::{ByteCount, ClusterId, ShardId};
use shardlift_pki::tls::{CredentialPaths, HANDSHAKE_TIMEOUT};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest time after a promotion in which sessions are let in at a rate.
const READMISSION_WINDOW_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A load capacity that can be meant.
const LOAD_BYTES_PER_SECOND: std::ops::RangeInclusive<u64> = (64 << 10)..=(1 << 40);

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
    client_handshake_ms_max: Option<u64>,
    client_head_ms_max: Option<u64>,
    client_body_idle_ms_max: Option<u64>,
    client_forward_ms_max: Option<u64>,
    /// New sessions per second that are let in at first for nodes that were promoted here lately; the rate follows how well
    /// requests are answered. 0 lets all in at once.
    readmission_per_second: Option<u32>,
    /// How long after a node's promotion its new sessions are let in at a rate.
    readmission_window_seconds: Option<u64>,
    /// Bytes per second that this shard serves its clients without strain: what its load is measured by.
    load_bytes_per_second: Option<u64>,
    /// Bytes that deep verifies read in a second, all together. 0: without a limit.
    deep_verify_bytes_per_second: Option<u64>,
    #[serde(default)]
    limits: RawLimits,
    tls: RawTls,
}

/// What replication and deep verify are allowed until an operator sets something else.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    /// At most.
    bytes_per_second: Option<u64>,
    /// At most, by time of day: `UTC 02:00-06:00 unlimited, else 50 MiB/s`.
    windows: Option<Windows>,
    /// Transfers at the same time.
    streams: Option<u32>,
    /// Whether less is moved while clients notice.
    clients_first: Option<bool>,
    /// Moved however clients fare.
    floor_bytes_per_second: Option<u64>,
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

/// How long a client may be silent. Whoever takes longer loses the connection and gives its place to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTimes {
    /// From the connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the handshake to the first request, and for the head of each request.
    pub head: Duration,
    /// Between two pieces of an upload.
    pub body_idle: Duration,
}

impl Default for ClientTimes {
    fn default() -> Self {
        Self { handshake: HANDSHAKE_TIMEOUT, head: Duration::from_secs(60), body_idle: Duration::from_secs(300) }
    }
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
    /// How long a client may be silent.
    pub client_times: ClientTimes,
    /// Bytes per second that it serves its clients without strain, requests included; `None`: nobody has said.
    pub load_capacity: Option<u64>,
    /// Own certificate and whom it trusts.
    pub credentials: CredentialPaths,
    /// Another certificate and key to show to clients, such as the one they know from before the cluster.
    pub client_chain: Option<(PathBuf, PathBuf)>,
}

impl ShardConfig {
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
    type Checked = ShardConfig;

    fn check(self, folder: &Path) -> Result<ShardConfig, ConfigError> {
        let at = |path: PathBuf| folder.join(path);
        if self.client_connections_max == 0 {
            return Err(ConfigError::field("client_connections_max", "at least 1"));
        }
        let usual = ClientTimes::default();
        let time = |value: Option<u64>, usual| match value {
            Some(0) => Err(ConfigError::field("client_..._ms_max", "at least 1")),
            value => Ok(value.map_or(usual, Duration::from_millis)),
        };
        let client_times = ClientTimes {
            handshake: time(self.client_handshake_ms_max, usual.handshake)?,
            head: time(self.client_head_ms_max, usual.head)?,
            body_idle: time(self.client_body_idle_ms_max, usual.body_idle)?,
        };
        let client_chain = match (self.tls.client_certificate, self.tls.client_key) {
            (Some(certificate), Some(key)) => Some((at(certificate), at(key))),
            (None, None) => None,
            _ => return Err(ConfigError::field("tls", "client_certificate and client_key go together")),
        };
        let data = at(self.data);
        let htpasswd = self.htpasswd.map_or_else(|| data.join(".htpasswd"), at);
        let mut engine = EngineConfig::new(data);
        engine.state = self.state.map_or(engine.state, at);
        engine.capacity = self.capacity_bytes.map(ByteCount);
        engine.default_quota = self.default_quota_bytes.map(ByteCount);
        engine.append_only = self.append_only;
        engine.forward_max = time(self.client_forward_ms_max, engine.forward_max)?;
        engine.readmission = readmission(self.readmission_per_second, self.readmission_window_seconds)?;
        engine.deep_verify_bytes_per_second =
            self.deep_verify_bytes_per_second.unwrap_or(engine.deep_verify_bytes_per_second);
        engine.limits = limits(self.limits)?;
        Ok(ShardConfig {
            name: self.name,
            cluster: self.cluster,
            engine,
            client_listen: self.client_listen,
            client_address: self.client_address,
            control_listen: self.control_listen,
            peer_address: self.peer_address,
            metrics_listen: metrics_address(self.metrics_listen)?,
            client_auth: self.client_auth,
            htpasswd,
            create_nodes: self.create_nodes,
            client_connections_max: self.client_connections_max,
            client_times,
            load_capacity: load_capacity(self.load_bytes_per_second)?,
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

fn load_capacity(bytes_per_second: Option<u64>) -> Result<Option<u64>, ConfigError> {
    match bytes_per_second {
        Some(bytes) if !LOAD_BYTES_PER_SECOND.contains(&bytes) => {
            Err(ConfigError::field("load_bytes_per_second", "64 KiB to 1 TiB in a second"))
        }
        bytes => Ok(bytes),
    }
}

fn limits(raw: RawLimits) -> Result<Limits, ConfigError> {
    let usual = Limits::default();
    let limits = Limits {
        cap: raw.bytes_per_second,
        windows: raw.windows,
        streams: raw.streams,
        clients_first: raw.clients_first.unwrap_or(usual.clients_first),
        floor: raw.floor_bytes_per_second.unwrap_or(usual.floor),
    };
    limits.checked().map_err(|error| ConfigError::field("limits", error.to_string()))
}

fn readmission(per_second: Option<u32>, window_seconds: Option<u64>) -> Result<ReadmissionLimits, ConfigError> {
    let usual = ReadmissionLimits::default();
    let per_second = per_second.unwrap_or(usual.per_second);
    if u64::from(per_second) > PER_SECOND_MAX {
        return Err(ConfigError::field("readmission_per_second", format!("{PER_SECOND_MAX} at most; 0 for no limit")));
    }
    let window = window_seconds.map_or(usual.window, Duration::from_secs);
    if window.is_zero() || window > READMISSION_WINDOW_MAX {
        return Err(ConfigError::field("readmission_window_seconds", "1 to 86400"));
    }
    Ok(ReadmissionLimits { per_second, window })
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
        ShardConfig::parse(text, Path::new("/etc/shardlift/shard.toml")).map_err(|error| error.to_string())
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
    fn readmission_is_staged_unless_it_is_set_to_zero() {
        assert_eq!(parse(GOOD).unwrap().engine.readmission, ReadmissionLimits::default());
        let text = GOOD.replacen("data =", "readmission_per_second = 0\nreadmission_window_seconds = 7\ndata =", 1);
        let limits = ReadmissionLimits { per_second: 0, window: Duration::from_secs(7) };
        assert_eq!(parse(&text).unwrap().engine.readmission, limits);
    }

    #[test]
    fn deep_verifies_have_a_limit_unless_it_is_set_to_zero() {
        let of = |line: &str| {
            let text = GOOD.replacen("data =", &format!("{line}\ndata ="), 1);
            parse(&text).unwrap().engine.deep_verify_bytes_per_second
        };
        assert_eq!([of(""), of("deep_verify_bytes_per_second = 0")], [256 << 20, 0]);
        assert_eq!(of("deep_verify_bytes_per_second = 7"), 7);
    }

    #[test]
    fn limits_are_taken_from_their_section() {
        assert_eq!(parse(GOOD).unwrap().engine.limits, Limits::default());
        let windows = "UTC+01:00 08:00-18:00 20 MiB/s, else unlimited";
        let section = format!("[limits]\nbytes_per_second = 52428800\nwindows = \"{windows}\"\nstreams = 6\n[tls]");
        let limits = parse(&GOOD.replacen("[tls]", &section, 1)).unwrap().engine.limits;
        assert_eq!((limits.cap, limits.streams, limits.clients_first), (Some(50 << 20), Some(6), true));
        assert_eq!(limits.windows.unwrap().to_string(), windows);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        for (from, to, expected) in [
            ("data =", "dat =", "dat"),
            ("shard-a", "Shard A", "name"),
            ("client_listen = \"127.0.0.1:8000\"", "client_listen = \"localhost\"", "client_listen"),
            ("data =", "metrics_listen = \"0.0.0.0:9\"\ndata =", "loopback"),
            ("data =", "client_connections_max = 0\ndata =", "at least 1"),
            ("data =", "client_head_ms_max = 0\ndata =", "at least 1"),
            ("data =", "client_forward_ms_max = 0\ndata =", "at least 1"),
            ("data =", "readmission_per_second = 10001\ndata =", "at most"),
            ("data =", "readmission_window_seconds = 0\ndata =", "1 to 86400"),
            ("data =", "load_bytes_per_second = 9\ndata =", "64 KiB"),
            ("[tls]", "[limits]\nbytes_per_second = 9\n[tls]", "cap"),
            ("[tls]", "[limits]\nstreams = 0\n[tls]", "streams"),
            ("[tls]", "[limits]\nwindows = \"02:00-06:00 unlimited, else 5 MiB/s\"\n[tls]", "column 1: the time zone"),
            ("ca =", "client_key = \"x\"\nca =", "go together"),
            ("ca =", "cas =", "cas"),
        ] {
            let error = parse(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
