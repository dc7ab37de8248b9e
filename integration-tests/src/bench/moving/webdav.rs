//! `rclone sync` with `rclone serve webdav` over TLS with client certificates: the one server of rclone with TLS that rclone itself
//! can write to (`serve restic` has no client in rclone, `serve http` cannot be written to).
//!
//! Which way and with how many transfers is found out once for each tree, on a sample of it; the fastest is measured.
//! Sizes decide what is the same: WebDAV keeps no times here, and a name that is a hash needs none.

use super::command::program;
use super::usage::End;
use crate::{Issued, Process, ProcessSpec, TestCa, Validity, free_address};
use anyhow::{Context as _, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// How long the server may take to listen.
const READY_TIME_MAX: Duration = Duration::from_secs(20);

/// A way to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// The target reads from a server at the source; else the source writes to a server at the target.
    pub(super) pull: bool,
    pub(super) transfers: u32,
    pub(super) http2: bool,
}

impl Way {
    /// All that are tried.
    pub(super) fn all() -> Vec<Self> {
        let each = |pull| [4, 16].map(|transfers| [true, false].map(|http2| Self { pull, transfers, http2 }));
        [false, true].into_iter().flat_map(each).flatten().collect()
    }

    /// In a few words.
    pub(super) fn name(self) -> String {
        let (way, http) = (if self.pull { "pull" } else { "push" }, if self.http2 { "HTTP/2" } else { "HTTP/1.1" });
        format!("{way}, {} transfers, {http}", self.transfers)
    }
}

/// Certificates for both ends.
pub(super) struct Certificates {
    pub(super) ca: PathBuf,
    pub(super) server: Issued,
    pub(super) client: Issued,
}

impl Certificates {
    /// From a CA made for the purpose.
    pub(super) fn make(folder: &Path) -> Result<Self> {
        let ca = TestCa::new(folder, "Benchmark CA")?;
        let (server, client) = (ca.server("server")?, ca.client("client", "bench", Validity::Now)?);
        Ok(Self { ca: ca.certificate_path().to_owned(), server, client })
    }
}

/// A server and the client's settings.
pub(super) struct Webdav {
    process: Process,
    binary: PathBuf,
    config: PathBuf,
    address: SocketAddr,
    certificates: [PathBuf; 3],
    way: Way,
}

impl Webdav {
    /// Serves the folder above the sources, or the target.
    pub(super) async fn start(
        binary: &Path,
        folder: &Path,
        (sources, target): (&Path, &Path),
        certificates: &Certificates,
        way: Way,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (address, config) = (free_address()?, folder.join("rclone.conf"));
        std::fs::write(&config, "")?;
        let spec = ProcessSpec::new("rclone-server", binary, folder).env("RCLONE_CONFIG", &config).env("HOME", folder);
        let spec = spec.args(["serve", "webdav", "--addr", &address.to_string(), "--cert"]);
        let spec = spec.arg(&certificates.server.certificate_path).arg("--key").arg(&certificates.server.key_path);
        let spec = spec.arg("--client-ca").arg(&certificates.ca).arg(if way.pull { sources } else { target });
        let mut process = spec.spawn()?;
        process.wait_listening(address, READY_TIME_MAX).await?;
        let Certificates { ca, client, .. } = certificates;
        let certificates = [ca.clone(), client.certificate_path.clone(), client.key_path.clone()];
        Ok(Self { process, binary: binary.to_owned(), config, address, certificates, way })
    }

    pub(super) fn server(&self) -> (End, u32) {
        (if self.way.pull { End::Source } else { End::Target }, self.process.id())
    }

    /// The end that the program in front belongs to.
    pub(super) fn end(&self) -> End {
        if self.way.pull { End::Target } else { End::Source }
    }

    /// Makes the target like `source`, which lies below the folder of sources.
    pub(super) fn command(&self, source: &Path, target: &Path) -> Result<Command> {
        let mut command = program(&self.binary);
        let home = self.config.parent().context("settings without a folder")?;
        command.env("RCLONE_CONFIG", &self.config).env("HOME", home);
        command.args(["sync", "--size-only", "--stats", "0", "--retries", "1"]);
        let transfers = self.way.transfers.to_string();
        command.args(["--transfers", &transfers, "--checkers", &transfers]);
        if !self.way.http2 {
            command.arg("--disable-http2");
        }
        let [ca, certificate, key] = &self.certificates;
        command.arg("--ca-cert").arg(ca).arg("--client-cert").arg(certificate).arg("--client-key").arg(key);
        command.args(["--webdav-vendor", "other", "--webdav-url", &format!("https://{}", self.address)]);
        if self.way.pull {
            let name = source.file_name().context("a source without a name")?.to_string_lossy();
            command.arg(format!(":webdav:{name}")).arg(target);
        } else {
            command.arg(source).arg(":webdav:");
        }
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_tried_once() {
        let names: std::collections::BTreeSet<String> = Way::all().into_iter().map(Way::name).collect();
        assert_eq!(names.len(), 8);
        assert!(names.contains("push, 4 transfers, HTTP/2") && names.contains("pull, 16 transfers, HTTP/1.1"));
    }
}
