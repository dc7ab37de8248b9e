//! What an operator would use instead, and `cp`: each with servers that are started anew for its turn.

use super::command::{program, start};
use super::contestant::Contestant;
use super::rclone::{self, Certificates, Way};
use super::rsync::{self, Daemon};
use super::ssh::{self, Sshd};
use super::start::sync;
use super::tar::{self, Taker};
use super::usage::{End, Meter};
use crate::tool;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// Where a turn's servers have their files, where the sources are, and where the tree has to go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    /// Settings, keys and logs of the turn.
    pub(super) folder: &'a Path,
    /// The folder with the sources in it.
    pub(super) sources: &'a Path,
    /// Empty at first.
    pub(super) target: &'a Path,
}

/// One contestant's turn.
pub(super) enum Peer {
    RsyncSsh(PathBuf, Sshd),
    RsyncDaemon(Daemon),
    Rclone(rclone::Server),
    /// The taker serves once.
    TarTls(Box<(tar::Programs, Certificates)>, Option<Taker>),
    Copy(PathBuf),
}

fn needed(name: &str) -> Result<PathBuf> {
    tool("bench move", name).with_context(|| format!("{name} is not installed"))
}

impl Peer {
    /// Starts the servers of this contestant.
    pub(super) async fn start(contestant: Contestant, places: Places<'_>, way: Option<Way>) -> Result<Self> {
        let Places { folder, sources, target } = places;
        std::fs::create_dir_all(folder)?;
        Ok(match contestant {
            Contestant::RsyncSsh => {
                let (sshd, ssh, ssh_keygen) = (needed("sshd")?, needed("ssh")?, needed("ssh-keygen")?);
                let programs = ssh::Programs { sshd, ssh, ssh_keygen };
                Self::RsyncSsh(needed("rsync")?, Sshd::start(&programs, folder).await?)
            }
            Contestant::RsyncDaemon => Self::RsyncDaemon(Daemon::start(&needed("rsync")?, folder, target).await?),
            Contestant::Rclone => {
                let certificates = Certificates::make(&folder.join("ca"))?;
                let way = way.context("rclone's way was not found out")?;
                let served = (sources, target);
                Self::Rclone(rclone::Server::start(&needed("rclone")?, folder, served, &certificates, way).await?)
            }
            Contestant::TarTls => {
                let (sh, tar, openssl) = (needed("sh")?, needed("tar")?, needed("openssl")?);
                let programs = tar::Programs { sh, tar, openssl };
                let certificates = Certificates::make(&folder.join("ca"))?;
                let taker = Taker::start(&programs, folder, target, &certificates).await?;
                Self::TarTls(Box::new((programs, certificates)), Some(taker))
            }
            Contestant::Copy => Self::Copy(needed("cp")?),
            Contestant::Shardlift | Contestant::Pipeline | Contestant::PipelineDirect => {
                bail!("{} is no program of others", contestant.name())
            }
        })
    }

    /// Its servers, to be measured.
    pub(super) fn servers(&self) -> Vec<(End, u32)> {
        match self {
            Self::RsyncSsh(_, sshd) => vec![sshd.server()],
            Self::RsyncDaemon(daemon) => vec![daemon.server()],
            Self::Rclone(server) => vec![server.server()],
            // What takes only one connection ends with it, like a program in front.
            Self::TarTls(..) | Self::Copy(_) => Vec::new(),
        }
    }

    /// Brings the target to be like `source`, durable.
    pub(super) async fn go(&mut self, places: Places<'_>, source: &Path, meter: &Meter) -> Result<()> {
        let Places { folder, target, .. } = places;
        match self {
            Self::RsyncSsh(binary, sshd) => {
                in_front(rsync::over_ssh(binary, sshd, source, target), folder, meter, End::Source).await?;
            }
            Self::RsyncDaemon(daemon) => in_front(daemon.command(source), folder, meter, End::Source).await?,
            Self::Rclone(server) => {
                in_front(server.command(source, target)?, folder, meter, server.end()).await?;
            }
            Self::TarTls(with, taker) => {
                let taker = taker.take().context("tar has moved its tree already")?;
                taker.take(&with.0, folder, source, &with.1, meter).await?;
            }
            Self::Copy(binary) => {
                let mut command = program(binary);
                command.arg("-a").arg(source.join(".")).arg(target);
                in_front(command, folder, meter, End::Source).await?;
            }
        }
        sync(target)
    }
}

async fn in_front(command: Command, folder: &Path, meter: &Meter, end: End) -> Result<()> {
    start(command, "mover", folder, Some((meter, end)))?.end().await
}
