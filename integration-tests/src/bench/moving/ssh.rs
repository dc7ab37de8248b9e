//! An sshd of its own: another port of loopback, keys that are thrown away, one key that may log in as the present user.
//! The machine's own sshd, its keys and the user's settings are not touched.

use super::command::{program, run};
use super::usage::End;
use crate::{Process, ProcessSpec, free_address};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long it may take to listen.
const READY_TIME_MAX: Duration = Duration::from_secs(20);

/// What both ends encrypt with: the fastest there is where the processor knows AES.
const CIPHER: &str = "aes128-gcm@openssh.com";

/// Where sshd insists on a folder when it runs as root.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// Programs of OpenSSH.
pub(super) struct Programs {
    pub(super) sshd: PathBuf,
    pub(super) ssh: PathBuf,
    pub(super) ssh_keygen: PathBuf,
}

/// A running sshd.
pub(super) struct Sshd {
    process: Process,
    /// The command that reaches it, as rsync's `-e` takes it.
    pub(super) shell: String,
}

async fn key(programs: &Programs, folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    let mut command = program(&programs.ssh_keygen);
    command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path);
    run(command, "ssh-keygen", folder, None).await?;
    Ok(path)
}

fn public(key: &Path) -> Result<String> {
    let path = key.with_extension("pub");
    std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

impl Sshd {
    /// Starts it, all its files in `folder`.
    pub(super) async fn start(programs: &Programs, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (host, user) = (key(programs, folder, "host").await?, key(programs, folder, "user").await?);
        if rustix::process::getuid().is_root() {
            std::fs::create_dir_all(PRIVILEGE_SEPARATION).context("sshd needs /run/sshd when it runs as root")?;
        }
        let address = free_address()?;
        let (ip, port) = (address.ip(), address.port());
        let authorized = folder.join("authorized_keys");
        std::fs::write(&authorized, public(&user)?)?;
        let known = folder.join("known_hosts");
        std::fs::write(&known, format!("[{ip}]:{port} {}", public(&host)?))?;
        let config = folder.join("sshd_config");
        let settings = format!(
            "ListenAddress {ip}\nPort {port}\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             AuthenticationMethods publickey\nPermitRootLogin prohibit-password\nUseDNS no\nCiphers {CIPHER}\n\
             AllowTcpForwarding no\nX11Forwarding no\nPrintMotd no\nCompression no\n",
            host.display(),
            authorized.display()
        );
        std::fs::write(&config, settings)?;
        let mut process =
            ProcessSpec::new("sshd", &programs.sshd, folder).args(["-D", "-e", "-f"]).arg(&config).spawn()?;
        process.wait_listening(address, READY_TIME_MAX).await?;
        let shell = format!(
            "{} -F /dev/null -p {port} -i '{}' -o 'UserKnownHostsFile={}' -o StrictHostKeyChecking=yes -o BatchMode=yes \
             -o IdentitiesOnly=yes -o Compression=no -c {CIPHER}",
            programs.ssh.display(),
            user.display(),
            known.display()
        );
        Ok(Self { process, shell })
    }

    /// Where it belongs.
    pub(super) fn server(&self) -> (End, u32) {
        (End::Target, self.process.id())
    }
}
