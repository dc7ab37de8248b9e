//! The controller's configuration: TOML as written, then checked, then built. No file but this one is opened and no port is
//! bound while it is read.
//!
//! ```toml
//! cluster = "c1"
//! zone = "backup.example"
//! store = "store"                        # folder, made by `shardlift init`; paths are relative to this file
//! operator_listen = "0.0.0.0:7400"
//! operator_address = "controller.example:7400"
//! enrolment_listen = "0.0.0.0:7401"
//! enrolment_address = "controller.example:7401"
//! status_listen = "0.0.0.0:7402"         # optional
//! metrics_listen = "127.0.0.1:7403"      # optional, plain HTTP
//! legacy_ca = ["old-ca.pem"]             # CAs that clients still need to trust
//! [tls]
//! certificate = "controller.pem"
//! key = "controller.key"
//! ca = "ca.pem"
//! [ca]
//! folder = "ca"
//! passphrase_file = "ca.passphrase"
//! [limits]                               # optional, each of them
//! cutover_ms_max = 30000
//! ```

use serde::Deserialize;
use shardlift_migration::world::Limits;
use shardlift_model::{ClusterId, NameError, ServerName};
use shardlift_pki::tls::CredentialPaths;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Largest configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Far too large to be one.
    #[error("{} is larger than 1 MiB", .0.display())]
    TooLarge(PathBuf),
    /// Not the TOML that is expected.
    #[error("the configuration is not valid: {0}")]
    Toml(#[from] Box<toml::de::Error>),
    /// A field with a value that cannot be meant.
    #[error("{field}: {why}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    cluster: String,
    zone: String,
    store: PathBuf,
    operator_listen: String,
    operator_address: Option<String>,
    enrolment_listen: String,
    enrolment_address: Option<String>,
    status_listen: Option<String>,
    metrics_listen: Option<String>,
    tls: RawTls,
    ca: RawCa,
    #[serde(default)]
    legacy_ca: Vec<PathBuf>,
    #[serde(default)]
    limits: RawLimits,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    certificate: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCa {
    folder: PathBuf,
    passphrase_file: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    fence_lease_ms: Option<u32>,
    drain_ms_max: Option<u32>,
    cutover_ms_max: Option<u32>,
    fence_attempts_max: Option<u32>,
    ready_lag_max: Option<u64>,
    seeding_nodes_max: Option<u32>,
    soak_min_ms: Option<u64>,
}

/// A checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerConfig {
    /// The cluster.
    pub cluster: ClusterId,
    /// The zone below which nodes get their server names.
    pub zone: ServerName,
    /// Folder of the store.
    pub store: PathBuf,
    /// Where operators are served.
    pub operator_listen: SocketAddr,
    /// What operators connect to.
    pub operator_address: String,
    /// Where clients enrol.
    pub enrolment_listen: SocketAddr,
    /// What clients connect to for that.
    pub enrolment_address: String,
    /// Where the status API is served, if it is; by whoever runs beside the controller.
    pub status_listen: Option<SocketAddr>,
    /// Where figures are served over plain HTTP, if they are.
    pub metrics_listen: Option<SocketAddr>,
    /// Own certificate, key and CA.
    pub tls: CredentialPaths,
    /// Folder of the cluster's CA.
    pub ca_folder: PathBuf,
    /// File with the passphrase of the CA's keys.
    pub ca_passphrase_file: PathBuf,
    /// CAs from before the cluster that clients need to trust meanwhile.
    pub legacy_ca: Vec<PathBuf>,
    /// Bounds of cutovers.
    pub limits: Limits,
}

impl ControllerConfig {
    /// Reads and checks a file. Relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`ConfigError`] names the field, or line and column.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(read)?.len() > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge(path.to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
    }

    /// Checks a text; relative paths in it are relative to `folder`.
    ///
    /// # Errors
    /// [`ConfigError`] names the field, or line and column.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ConfigError> {
        let raw: Raw = toml::from_str(text).map_err(Box::new)?;
        let operator_listen = listen("operator_listen", &raw.operator_listen)?;
        let enrolment_listen = listen("enrolment_listen", &raw.enrolment_listen)?;
        let optional = |field, text: &Option<String>| text.as_deref().map(|text| listen(field, text)).transpose();
        Ok(Self {
            cluster: name("cluster", &raw.cluster)?,
            zone: name("zone", &raw.zone)?,
            store: folder.join(raw.store),
            operator_address: address("operator_address", raw.operator_address, operator_listen)?,
            enrolment_address: address("enrolment_address", raw.enrolment_address, enrolment_listen)?,
            operator_listen,
            enrolment_listen,
            status_listen: optional("status_listen", &raw.status_listen)?,
            metrics_listen: optional("metrics_listen", &raw.metrics_listen)?,
            tls: CredentialPaths {
                certificate: folder.join(raw.tls.certificate),
                key: folder.join(raw.tls.key),
                ca: folder.join(raw.tls.ca),
                legacy_ca: Vec::new(),
            },
            ca_folder: folder.join(raw.ca.folder),
            ca_passphrase_file: folder.join(raw.ca.passphrase_file),
            legacy_ca: raw.legacy_ca.into_iter().map(|path| folder.join(path)).collect(),
            limits: limits(&raw.limits)?,
        })
    }
}

fn name<T: std::str::FromStr<Err = NameError>>(field: &'static str, text: &str) -> Result<T, ConfigError> {
    text.parse().map_err(|error: NameError| ConfigError::Field { field, why: error.to_string() })
}

fn listen(field: &'static str, text: &str) -> Result<SocketAddr, ConfigError> {
    let why = || format!("{text:?} is not an address and a port, such as 127.0.0.1:7400");
    text.parse().map_err(|_| ConfigError::Field { field, why: why() })
}

fn address(field: &'static str, text: Option<String>, listen: SocketAddr) -> Result<String, ConfigError> {
    match text {
        Some(text) => {
            let checked = crate::operator::check_address(field, &text);
            checked.map_err(|_| ConfigError::Field { field, why: format!("{text:?} is not host:port") })?;
            Ok(text)
        }
        None if listen.ip().is_unspecified() => {
            Err(ConfigError::Field { field, why: "must be given when the listener is on all addresses".to_owned() })
        }
        None => Ok(listen.to_string()),
    }
}

fn limits(raw: &RawLimits) -> Result<Limits, ConfigError> {
    let default = Limits::default();
    let limits = Limits {
        fence_lease_ms: raw.fence_lease_ms.unwrap_or(default.fence_lease_ms),
        drain_ms_max: raw.drain_ms_max.unwrap_or(default.drain_ms_max),
        cutover_ms_max: raw.cutover_ms_max.unwrap_or(default.cutover_ms_max),
        fence_attempts_max: raw.fence_attempts_max.unwrap_or(default.fence_attempts_max),
        ready_lag_max: raw.ready_lag_max.unwrap_or(default.ready_lag_max),
        seeding_nodes_max: raw.seeding_nodes_max.unwrap_or(default.seeding_nodes_max),
        soak_min_ms: raw.soak_min_ms.unwrap_or(default.soak_min_ms),
    };
    let field = |why: &str| ConfigError::Field { field: "limits", why: why.to_owned() };
    // A renewal every third of the lease has to make it through a slow network.
    if !(3_000..=300_000).contains(&limits.fence_lease_ms) {
        return Err(field("fence_lease_ms must be between 3000 and 300000"));
    }
    // Older clients give up after about 50 s.
    if !(1_000..=600_000).contains(&limits.cutover_ms_max) {
        return Err(field("cutover_ms_max must be between 1000 and 600000"));
    }
    if limits.drain_ms_max > limits.cutover_ms_max {
        return Err(field("drain_ms_max must not be above cutover_ms_max"));
    }
    if limits.fence_attempts_max == 0 || limits.seeding_nodes_max == 0 {
        return Err(field("fence_attempts_max and seeding_nodes_max must be at least 1"));
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        cluster = "c1"
        zone = "backup.example"
        store = "store"
        operator_listen = "127.0.0.1:0"
        enrolment_listen = "0.0.0.0:7401"
        enrolment_address = "controller.example:7401"
        [tls]
        certificate = "controller.pem"
        key = "/elsewhere/controller.key"
        ca = "ca.pem"
        [ca]
        folder = "ca"
        passphrase_file = "ca.passphrase"
        [limits]
        soak_min_ms = 5
    "#;

    fn refusal(change: impl FnOnce(&str) -> String) -> String {
        ControllerConfig::parse(&change(GOOD), Path::new("/etc")).unwrap_err().to_string()
    }

    #[test]
    fn paths_are_relative_to_the_file_and_limits_have_defaults() {
        let config = ControllerConfig::parse(GOOD, Path::new("/etc/shardlift")).unwrap();
        assert_eq!(config.store, Path::new("/etc/shardlift/store"));
        assert_eq!(config.tls.key, Path::new("/elsewhere/controller.key"));
        assert_eq!(config.operator_address, "127.0.0.1:0");
        assert_eq!(config.limits, Limits { soak_min_ms: 5, ..Limits::default() });
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let cases: [(&str, &str, &str); 7] = [
            ("cluster = \"c1\"", "cluster = \"C 1\"", "cluster: "),
            ("zone = \"backup.example\"", "zone = \"Backup\"", "zone: "),
            ("127.0.0.1:0", "localhost", "operator_listen: "),
            ("enrolment_address = \"controller.example:7401\"", "", "enrolment_address: "),
            ("controller.example:7401", "controller.example", "enrolment_address: "),
            ("soak_min_ms = 5", "fence_lease_ms = 1", "limits: "),
            ("soak_min_ms = 5", "soak_min = 5", "unknown field `soak_min`"),
        ];
        for (found, replaced, expected) in cases {
            let refusal = refusal(|text| text.replace(found, replaced));
            assert!(refusal.contains(expected), "{replaced}: {refusal}");
        }
    }
}
