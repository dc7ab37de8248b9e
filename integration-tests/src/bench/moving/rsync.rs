//! rsync to another machine, over ssh or to its daemon, which encrypts nothing.
//!
//! Whole files: what is named by content has no older version that a delta could be taken from.

use super::command::program;
use super::ssh::Sshd;
use super::usage::End;
use crate::{Process, ProcessSpec, free_address};
use anyhow::Result;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// How long the daemon may take to listen.
const READY_TIME_MAX: Duration = Duration::from_secs(20);

/// A folder's content, not the folder.
fn content(folder: &Path) -> String {
    format!("{}/", folder.display())
}

fn rsync(binary: &Path) -> Command {
    let mut command = program(binary);
    command.args(["-a", "--whole-file", "--delete"]);
    command
}

/// By ssh.
pub(super) fn over_ssh(binary: &Path, sshd: &Sshd, source: &Path, target: &Path) -> Command {
    let mut command = rsync(binary);
    command.arg("-e").arg(&sshd.shell).arg(content(source)).arg(format!("127.0.0.1:{}", content(target)));
    command
}

/// A daemon that takes what it is given into one folder.
pub(super) struct Daemon {
    process: Process,
    binary: PathBuf,
    address: SocketAddr,
}

impl Daemon {
    /// Starts it, its settings and log in `folder`.
    pub(super) async fn start(binary: &Path, folder: &Path, target: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let address = free_address()?;
        let config = folder.join("rsyncd.conf");
        let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let identity = if user == 0 { format!("uid = {user}\ngid = {group}\n") } else { String::new() };
        let settings = format!(
            "address = {}\nport = {}\nuse chroot = no\nreverse lookup = no\n{identity}[tree]\npath = {}\nread only = no\n",
            address.ip(),
            address.port(),
            target.display()
        );
        std::fs::write(&config, settings)?;
        let spec = ProcessSpec::new("rsyncd", binary, folder).args(["--daemon", "--no-detach", "--config"]);
        let mut process = spec.arg(&config).spawn()?;
        process.wait_listening(address, READY_TIME_MAX).await?;
        Ok(Self { process, binary: binary.to_owned(), address })
    }

    pub(super) fn server(&self) -> (End, u32) {
        (End::Target, self.process.id())
    }

    /// To this daemon.
    pub(super) fn command(&self, source: &Path) -> Command {
        let mut command = rsync(&self.binary);
        command.arg(content(source)).arg(format!("rsync://{}/tree/", self.address));
        command
    }
}
