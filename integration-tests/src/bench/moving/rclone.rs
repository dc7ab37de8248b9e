//! `rclone sync` over TLS with client certificates: with `rclone serve webdav`, which it can write to and read from, or from
//! `rclone serve http`, which it can read from. (`serve restic` has no client in rclone that could write to it.)
//!
//! Which, which way and with how many transfers is found out once for each tree, apart for the first and for a
//! second run: rclone asks WebDAV no more than 100 times a second, but needs one question for a folder where `http` needs one
//! for each file. Sizes decide what is the same: WebDAV keeps no times here, and a name that is a hash needs none.

use super::command::program;
use super::contestant::Run;
use super::usage::End;
use crate::{Issued, Process, ProcessSpec, TestCa, Validity, free_address};
use anyhow::{Context as _, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// How long the server may take to listen.
const READY_TIME_MAX: Duration = Duration::from_secs(20);

/// Who serves what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// WebDAV at the target, which the source writes to.
    WebdavTarget,
    /// WebDAV at the source, which the target reads.
    WebdavSource,
    /// Plain HTTP at the source, which the target reads.
    HttpSource,
}

/// A way to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) served: Served,
    pub(super) transfers: u32,
    pub(super) http2: bool,
}

/// The fastest ways: for a first run, and for a second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ways {
    pub(super) first: Way,
    pub(super) again: Way,
}

impl Served {
    const fn at(self) -> End {
        match self {
            Self::WebdavTarget => End::Target,
            Self::WebdavSource | Self::HttpSource => End::Source,
        }
    }

    const fn protocol(self) -> &'static str {
        match self {
            Self::WebdavTarget | Self::WebdavSource => "webdav",
            Self::HttpSource => "http",
        }
    }
}

impl Way {
    /// All that are tried.
    pub(super) fn all() -> Vec<Self> {
        let each = |served| [4, 16].map(|transfers| [true, false].map(|http2| Self { served, transfers, http2 }));
        // What is fastest with many objects first, and what is fastest with many folders last.
        let all = [Served::HttpSource, Served::WebdavSource, Served::WebdavTarget];
        all.into_iter().flat_map(each).flatten().collect()
    }

    /// In a few words.
    pub(super) fn name(self) -> String {
        let way = if self.served.at() == End::Target { "push" } else { "pull" };
        let http = if self.http2 { "HTTP/2" } else { "HTTP/1.1" };
        format!("{} {way}, {} transfers, {http}", self.served.protocol(), self.transfers)
    }
}

impl Ways {
    pub(super) fn of(self, run: Run) -> Way {
        if run == Run::First { self.first } else { self.again }
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
pub(super) struct Server {
    process: Process,
    binary: PathBuf,
    config: PathBuf,
    address: SocketAddr,
    certificates: [PathBuf; 3],
    way: Way,
}

impl Server {
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
        let spec = spec.args(["serve", way.served.protocol(), "--addr", &address.to_string(), "--cert"]);
        let spec = spec.arg(&certificates.server.certificate_path).arg("--key").arg(&certificates.server.key_path);
        let spec = spec.arg("--client-ca").arg(&certificates.ca).arg(if way.served.at() == End::Source {
            sources
        } else {
            target
        });
        let mut process = spec.spawn()?;
        process.wait_listening(address, READY_TIME_MAX).await?;
        let Certificates { ca, client, .. } = certificates;
        let certificates = [ca.clone(), client.certificate_path.clone(), client.key_path.clone()];
        Ok(Self { process, binary: binary.to_owned(), config, address, certificates, way })
    }

    pub(super) fn server(&self) -> (End, u32) {
        (self.way.served.at(), self.process.id())
    }

    /// The end that the program in front belongs to.
    pub(super) fn end(&self) -> End {
        if self.way.served.at() == End::Source { End::Target } else { End::Source }
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
        let url = format!("https://{}", self.address);
        if self.way.served.at() == End::Source {
            let name = source.file_name().context("a source without a name")?.to_string_lossy();
            let protocol = self.way.served.protocol();
            // For what is served by HTTP the folder is part of the address.
            let (url, folder) = match self.way.served {
                Served::HttpSource => (format!("{url}/{name}/"), String::new()),
                Served::WebdavSource | Served::WebdavTarget => (url, name.into_owned()),
            };
            command.arg(format!("--{protocol}-url")).arg(url);
            command.arg(format!(":{protocol}:{folder}")).arg(target);
        } else {
            command.args(["--webdav-url", &url]).arg(source).arg(":webdav:");
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
        assert_eq!(names.len(), 12);
        assert!(
            names.contains("webdav push, 4 transfers, HTTP/2") && names.contains("http pull, 16 transfers, HTTP/1.1")
        );
    }
}
