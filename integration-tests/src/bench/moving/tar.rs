//! `tar | openssl s_client`, `openssl s_server | tar`: TLS with certificates on both sides, and nothing that verifies what arrived.

use super::command::{Running, start};
use super::rclone::Certificates;
use super::usage::{End, Meter};
use crate::{eventually, free_address};
use anyhow::{Context as _, Result, ensure};
use std::io::PipeWriter;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// How long the server may take to listen.
const READY_TIME_MAX: Duration = Duration::from_secs(20);

/// `$1` openssl, `$2` tar, `$3` address, `$4` CA, `$5` certificate, `$6` key, `$7` folder. A failed part of a pipe leaves a file of its
/// own behind: not every `sh` has `pipefail`.
const TAKE: &str = "cd \"$7\" && { \"$1\" s_server -quiet -accept \"$3\" -naccept 1 -CAfile \"$4\" -cert \"$5\" -key \"$6\" \
                    -Verify 1 -verify_return_error -tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256 || : > \"$8\"; } \
                    | \"$2\" -x -f - && [ ! -e \"$8\" ]";
const GIVE: &str = "{ \"$2\" -c -f - -C \"$7\" . || : > \"$8\"; } | \"$1\" s_client -quiet -no_ign_eof -nocommands \
                    -connect \"$3\" -CAfile \"$4\" -cert \"$5\" -key \"$6\" -verify_return_error -tls1_3 \
                    -ciphersuites TLS_AES_128_GCM_SHA256 && [ ! -e \"$8\" ]";

/// The two programs.
pub(super) struct Programs {
    pub(super) sh: PathBuf,
    pub(super) tar: PathBuf,
    pub(super) openssl: PathBuf,
}

/// A server that waits for its one connection.
pub(super) struct Taker {
    running: Running,
    address: SocketAddr,
    /// Open and silent: openssl looks at its standard input all the time once that has ended.
    _silence: PipeWriter,
}

fn shell(
    programs: &Programs,
    script: &str,
    address: SocketAddr,
    ca: &Path,
    own: [&Path; 2],
    (tree, failed): (&Path, &Path),
) -> Command {
    let mut command = Command::new(&programs.sh);
    command.args(["-c", script, "sh"]).arg(&programs.openssl).arg(&programs.tar).arg(address.to_string());
    command.arg(ca).args(own).arg(tree).arg(failed);
    command
}

/// Whether somebody listens there, without connecting: the server takes one connection only.
fn listens(address: SocketAddr) -> Result<()> {
    let table = std::fs::read_to_string("/proc/net/tcp").context("reading the table of sockets")?;
    let port = format!(":{:04X}", address.port());
    let mut lines = table.lines().map(|line| line.split_whitespace().skip(1));
    let found = lines.any(|mut f| f.next().is_some_and(|local| local.ends_with(&port)) && f.nth(1) == Some("0A"));
    ensure!(found, "nobody listens at {address}");
    Ok(())
}

impl Taker {
    /// Starts the taking end.
    pub(super) async fn start(
        programs: &Programs,
        folder: &Path,
        target: &Path,
        certificates: &Certificates,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (address, failed) = (free_address()?, folder.join("taking-failed"));
        let own = [certificates.server.certificate_path.as_path(), &certificates.server.key_path];
        let mut command = shell(programs, TAKE, address, &certificates.ca, own, (target, &failed));
        let (reader, writer) = std::io::pipe().context("making a pipe")?;
        command.stdin(Stdio::from(reader));
        let running = start(command, "tar-taker", folder, None)?;
        eventually("openssl listens", READY_TIME_MAX, || std::future::ready(listens(address))).await?;
        Ok(Self { running, address, _silence: writer })
    }

    /// Moves the tree at `source` and waits for both ends.
    pub(super) async fn take(
        self,
        programs: &Programs,
        folder: &Path,
        source: &Path,
        certificates: &Certificates,
        meter: &Meter,
    ) -> Result<()> {
        meter.watch(End::Target, self.running.id().context("the taking end has ended before it began")?);
        let own = [certificates.client.certificate_path.as_path(), &certificates.client.key_path];
        let failed = folder.join("giving-failed");
        let mut command = shell(programs, GIVE, self.address, &certificates.ca, own, (source, &failed));
        command.stdin(Stdio::null());
        let giver = start(command, "tar-giver", folder, Some((meter, End::Source)))?;
        giver.end().await?;
        self.running.end().await
    }
}
