//! The controller's configuration: TOML as written, then checked, then built. No file but this one is opened and no port is
//! bound while it is read.
//!
//! ```toml
//! cluster = "c1"
//! zone = "backup.example"
//! store = "store"                        # folder, made by `shardlift init`; paths are relative to this file
//! audit = "audit"                        # optional, folder of the audit log; without it, beside the store
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
//! passphrase_file = "ca.passphrase"      # or passphrase_descriptor = 3, or passphrase_credential = "shardlift-ca"
//! renew_at_percent = 66                  # optional: parts get new certificates when so much of their life is over
//! [limits]                               # optional, each of them
//! cutover_ms_max = 30000
//! ```

use serde::Deserialize;
use shardlift_api::configuration::{self, ConfigError, RawConfig, metrics_address};
use shardlift_migration::world::Limits;
use shardlift_model::{ClusterId, ServerName};
use shardlift_pki::passphrase::PassphraseSource;
use shardlift_pki::tls::CredentialPaths;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    cluster: ClusterId,
    zone: ServerName,
    store: PathBuf,
    audit: Option<PathBuf>,
    operator_listen: SocketAddr,
    operator_address: Option<String>,
    enrolment_listen: SocketAddr,
    enrolment_address: Option<String>,
    status_listen: Option<SocketAddr>,
    metrics_listen: Option<SocketAddr>,
    tls: CredentialPaths,
    ca: RawCa,
    #[serde(default)]
    legacy_ca: Vec<PathBuf>,
    #[serde(default)]
    limits: RawLimits,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCa {
    folder: PathBuf,
    passphrase_file: Option<PathBuf>,
    passphrase_descriptor: Option<u32>,
    passphrase_credential: Option<String>,
    renew_at_percent: Option<u8>,
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
    /// Folder of the audit log.
    pub audit: PathBuf,
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
    /// Where the passphrase of the CA's keys is.
    pub ca_passphrase: PassphraseSource,
    /// Parts get new certificates when so much of the life of theirs is over; 0: at each look.
    pub renew_at_percent: u8,
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
        configuration::load::<Raw>(path)
    }

    /// Checks a text as if it stood in the file `path`.
    ///
    /// # Errors
    /// [`ConfigError`] names the field, or line and column.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        configuration::parse::<Raw>(text, path)
    }
}

impl RawConfig for Raw {
    type Checked = ControllerConfig;

    fn check(self, folder: &Path) -> Result<ControllerConfig, ConfigError> {
        Ok(ControllerConfig {
            cluster: self.cluster,
            zone: self.zone,
            audit: folder.join(self.audit.unwrap_or_else(|| self.store.with_file_name("audit"))),
            store: folder.join(self.store),
            operator_address: address("operator_address", self.operator_address, self.operator_listen)?,
            enrolment_address: address("enrolment_address", self.enrolment_address, self.enrolment_listen)?,
            operator_listen: self.operator_listen,
            enrolment_listen: self.enrolment_listen,
            status_listen: self.status_listen,
            metrics_listen: metrics_address(self.metrics_listen)?,
            tls: self.tls.below(folder),
            renew_at_percent: renewal_share(self.ca.renew_at_percent)?,
            ca_passphrase: passphrase(&self.ca, folder)?,
            ca_folder: folder.join(self.ca.folder),
            legacy_ca: self.legacy_ca.into_iter().map(|path| folder.join(path)).collect(),
            limits: limits(&self.limits)?,
        })
    }
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

/// What is left after it has to be long enough to find out what is wrong.
fn renewal_share(percent: Option<u8>) -> Result<u8, ConfigError> {
    match percent.unwrap_or(66) {
        percent @ 0..=90 => Ok(percent),
        _ => Err(ConfigError::field("ca", "renew_at_percent is at most 90")),
    }
}

fn passphrase(raw: &RawCa, folder: &Path) -> Result<PassphraseSource, ConfigError> {
    match (&raw.passphrase_file, raw.passphrase_descriptor, &raw.passphrase_credential) {
        (Some(path), None, None) => Ok(PassphraseSource::File(folder.join(path))),
        (None, Some(number), None) => Ok(PassphraseSource::Descriptor(number)),
        (None, None, Some(name)) => Ok(PassphraseSource::Credential(name.clone())),
        _ => Err(ConfigError::field(
            "ca",
            "exactly one of passphrase_file, passphrase_descriptor and passphrase_credential is needed",
        )),
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
    };
    let field = |why: &str| ConfigError::field("limits", why);
    // A renewal every third of the lease has to make it through a slow network.
    if !(3_000..=300_000).contains(&limits.fence_lease_ms) {
        return Err(field("fence_lease_ms must be between 3000 and 300000"));
    }
    // Older clients give up after about 50 s.
    if !(1_000..=600_000).contains(&limits.cutover_ms_max) {
        return Err(field("cutover_ms_max must be between 1000 and 600000"));
    }
    if limits.drain_ms_max >= limits.fence_lease_ms || limits.drain_ms_max > limits.cutover_ms_max {
        return Err(field("drain_ms_max must be below fence_lease_ms and not above cutover_ms_max"));
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
        seeding_nodes_max = 5
    "#;

    fn refusal(change: impl FnOnce(&str) -> String) -> String {
        ControllerConfig::parse(&change(GOOD), Path::new("/etc/controller.toml")).unwrap_err().to_string()
    }

    #[test]
    fn paths_are_relative_to_the_file_and_limits_have_defaults() {
        let config = ControllerConfig::parse(GOOD, Path::new("/etc/shardlift/controller.toml")).unwrap();
        assert_eq!(config.store, Path::new("/etc/shardlift/store"));
        assert_eq!(config.audit, Path::new("/etc/shardlift/audit"));
        assert_eq!(config.tls.key, Path::new("/elsewhere/controller.key"));
        assert_eq!(config.operator_address, "127.0.0.1:0");
        assert_eq!(config.limits, Limits { seeding_nodes_max: 5, ..Limits::default() });
    }

    #[test]
    fn a_passphrase_may_come_from_a_descriptor_or_a_credential() {
        let parsed = |line: &str| {
            let text = GOOD.replace("passphrase_file = \"ca.passphrase\"", line);
            ControllerConfig::parse(&text, Path::new("/etc/controller.toml")).unwrap().ca_passphrase
        };
        assert_eq!(parsed("passphrase_file = \"p\""), PassphraseSource::File("/etc/p".into()));
        assert_eq!(parsed("passphrase_descriptor = 3"), PassphraseSource::Descriptor(3));
        assert_eq!(parsed("passphrase_credential = \"ca\""), PassphraseSource::Credential("ca".to_owned()));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let cases: [(&str, &str, &str); 9] = [
            ("cluster = \"c1\"", "cluster = \"C 1\"", "line 2"),
            ("zone = \"backup.example\"", "zone = \"Backup\"", "line 3"),
            ("127.0.0.1:0", "localhost", "operator_listen"),
            ("enrolment_address = \"controller.example:7401\"", "", "enrolment_address: "),
            ("controller.example:7401", "controller.example", "enrolment_address: "),
            ("seeding_nodes_max = 5", "fence_lease_ms = 1", "limits: "),
            ("passphrase_file = \"ca.passphrase\"", "", "ca: exactly one of passphrase_file"),
            ("folder = \"ca\"", "folder = \"ca\"\npassphrase_descriptor = 3", "ca: exactly one of passphrase_file"),
            ("seeding_nodes_max = 5", "seeding_max = 5", "unknown field `seeding_max`"),
        ];
        for (found, replaced, expected) in cases {
            let refusal = refusal(|text| text.replace(found, replaced));
            assert!(refusal.contains(expected), "{replaced}: {refusal}");
        }
    }
}
