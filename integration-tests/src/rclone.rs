//! `rclone serve restic`: a REST server that is not ours, used as a peer and as a measure.

use crate::{Process, ProcessSpec, free_address};
use anyhow::{Context as _, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How to serve.
#[derive(Debug, Clone, Default)]
pub struct RcloneOptions {
    /// Server certificate and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Ask for client certificates of this CA. rclone 1.60 then accepts each of them for every repository.
    pub client_ca: Option<PathBuf>,
    /// Basic authentication by this file.
    pub htpasswd: Option<PathBuf>,
    /// An account sees only repositories below its own name.
    pub private_repos: bool,
    /// Nothing but locks can be deleted.
    pub append_only: bool,
}

/// A line of an htpasswd file, bcrypt at the lowest cost: fit for tests alone.
///
/// # Errors
/// When the password cannot be hashed.
pub fn htpasswd_line(user: &str, password: &str) -> Result<String> {
    let hash = bcrypt::hash(password, 4).context("hashing a password")?;
    // rest-server and rclone know the old letter; the hash is the same.
    Ok(format!("{user}:{}\n", hash.replacen("$2b$", "$2y$", 1)))
}

/// A running rclone.
pub struct Rclone {
    process: Process,
    address: SocketAddr,
}

impl Rclone {
    /// Serves `data` and waits until it listens. Its log is `{name}.log` in `folder`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(binary: &Path, name: &str, folder: &Path, data: &Path, options: &RcloneOptions) -> Result<Self> {
        let address = free_address()?;
        let empty_config = folder.join(format!("{name}.conf"));
        std::fs::write(&empty_config, "")?;
        let mut spec = ProcessSpec::new(name, binary, folder)
            .env("RCLONE_CONFIG", &empty_config)
            .env("HOME", folder)
            .args(["serve", "restic", "--stats", "0", "--addr"])
            .arg(address.to_string());
        if let Some((certificate, key)) = &options.tls {
            spec = spec.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        if let Some(path) = &options.client_ca {
            spec = spec.arg("--client-ca").arg(path);
        }
        if let Some(path) = &options.htpasswd {
            spec = spec.arg("--htpasswd").arg(path);
        }
        for (wanted, flag) in [(options.private_repos, "--private-repos"), (options.append_only, "--append-only")] {
            if wanted {
                spec = spec.arg(flag);
            }
        }
        let mut process = spec.arg(data).spawn()?;
        process.wait_listening(address, Duration::from_secs(20)).await?;
        Ok(Self { process, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process, to be ended or read.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
