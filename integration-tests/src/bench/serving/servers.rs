//! Who serves: our shard behind its router, `rclone serve restic`, and rustic-server where it was built.

use crate::cluster::{Cluster, ClusterOptions};
use crate::{
    ConnectProxy, Process, ProcessSpec, Rclone, RcloneOptions, Restic, Validity, free_address, htpasswd_line, tool,
};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a server may take to listen, or to end.
const SERVER_TIME_MAX: Duration = Duration::from_secs(20);

/// The account that owns all repositories, and a password where a server knows no client certificates.
const ACCOUNT: &str = "bench";
const PASSWORD: &str = "of the bench";

/// Whom clients work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Server {
    /// Through the router; client certificates.
    Ours,
    /// Client certificates.
    Rclone,
    /// A password: it knows no client certificates.
    Rustic,
}

impl Server {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "shardlift",
            Self::Rclone => "rclone serve restic",
            Self::Rustic => "rustic-server",
        }
    }
}

/// A server of somebody else, and the way to it under a name that its certificate has.
struct Peer<S> {
    server: S,
    proxy: ConnectProxy,
    data: PathBuf,
}

/// All of them, at work.
pub(super) struct Servers {
    root: PathBuf,
    restic: PathBuf,
    cluster: Cluster,
    rclone: Peer<Rclone>,
    rustic: Option<Peer<Process>>,
}

fn node(round: u32) -> String {
    format!("{ACCOUNT}/round-{round}")
}

/// rustic-server gives each account one repository of its name.
fn repository(server: Server, round: u32) -> String {
    if server == Server::Rustic { format!("round-{round}") } else { node(round) }
}

impl Servers {
    pub(super) async fn start(restic: PathBuf, root: &Path, rounds: u32) -> Result<Self> {
        // The router knows nodes that exist, so each round's repository is made beforehand, empty.
        let data = root.join("shard-data");
        std::fs::create_dir_all(data.join(ACCOUNT))?;
        for round in 0..rounds {
            Restic::new(&restic, &root.join("seed-home"), &data.to_string_lossy(), &node(round))?.init().await?;
        }
        let whole_disk = toml::Table::from_iter([("capacity_bytes".to_owned(), toml::Value::Integer(i64::MAX))]);
        let options = ClusterOptions {
            source_data: Some(data),
            targets: Vec::new(),
            shard_settings: [("source".to_owned(), whole_disk)].into(),
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(root, options).await?;
        cluster.wait_nodes(u64::from(rounds)).await?;
        let rclone = rclone(root, &cluster).await?;
        let rustic = rustic(root, &cluster, rounds).await?;
        Ok(Self { root: root.to_owned(), restic, cluster, rclone, rustic })
    }

    pub(super) fn all(&self) -> Vec<Server> {
        let rustic = self.rustic.as_ref().map(|_| Server::Rustic);
        [Server::Ours, Server::Rclone].into_iter().chain(rustic).collect()
    }

    /// A client with an empty cache.
    pub(super) fn client(&self, server: Server, round: u32) -> Result<Restic> {
        let (node, ca) = (node(round), self.cluster.old_ca());
        let name = format!("{}-{round}", server.name().replace(' ', "-"));
        let base = format!("https://{}", self.cluster.server_name(&node));
        let home = self.root.join(format!("{name}-home"));
        let client = Restic::new(&self.restic, &home, &base, &repository(server, round))?;
        let client = client.cacert(ca.certificate_path());
        let proxy = match (server, &self.rustic) {
            (Server::Rustic, Some(rustic)) => {
                return Ok(client.login(&repository(server, round), PASSWORD)?.proxy(&rustic.proxy.url()));
            }
            (Server::Rclone, _) => &self.rclone.proxy,
            _ => self.cluster.proxy(),
        };
        let certificate = ca.client(&name, ACCOUNT, Validity::Now)?;
        Ok(client.client_certificate(&certificate.both_path).proxy(&proxy.url()))
    }

    /// Room for the next round, made between rounds: the disk goes on with freed blocks for a while, at the cost of whoever is
    /// measured then. Ours stays, because a shard's files are not anybody else's to remove.
    pub(super) fn clear(&self, round: u32) -> Result<()> {
        let rustic = self.rustic.as_ref().map(|rustic| (Server::Rustic, &rustic.data));
        for (server, data) in [(Server::Rclone, &self.rclone.data)].into_iter().chain(rustic) {
            let repository = data.join(repository(server, round));
            std::fs::remove_dir_all(&repository).with_context(|| format!("removing {}", repository.display()))?;
        }
        Ok(())
    }

    pub(super) async fn shut_down(mut self) -> Result<()> {
        self.cluster.shut_down().await?;
        self.rclone.server.process().terminate(SERVER_TIME_MAX).await?;
        if let Some(rustic) = &mut self.rustic {
            rustic.server.terminate(SERVER_TIME_MAX).await?;
        }
        Ok(())
    }
}

async fn rclone(root: &Path, cluster: &Cluster) -> Result<Peer<Rclone>> {
    let binary = tool("bench", "rclone").context("rclone is needed: apt-get install rclone")?;
    let certificate = cluster.old_ca().server("rclone-server")?;
    let options = RcloneOptions {
        tls: Some((certificate.certificate_path, certificate.key_path)),
        client_ca: Some(cluster.old_ca().certificate_path().to_owned()),
        ..RcloneOptions::default()
    };
    let data = root.join("rclone-data");
    std::fs::create_dir_all(&data)?;
    let server = Rclone::start(&binary, "rclone", root, &data, &options).await?;
    let proxy = ConnectProxy::start(Some(server.address())).await?;
    Ok(Peer { server, proxy, data })
}

/// `None`, said out loud, where it was not built.
async fn rustic(root: &Path, cluster: &Cluster, rounds: u32) -> Result<Option<Peer<Process>>> {
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/clients/bin/rustic-server");
    if !binary.exists() {
        println!("SKIPPED: rustic-server is not built: scripts/install-crate rustic-server rustic_server 0.4.4");
        return Ok(None);
    }
    let certificate = cluster.old_ca().server("rustic-server")?;
    let (address, data, htpasswd) = (free_address()?, root.join("rustic-data"), root.join("rustic.htpasswd"));
    std::fs::create_dir_all(&data)?;
    let accounts = (0..rounds).map(|round| htpasswd_line(&repository(Server::Rustic, round), PASSWORD));
    std::fs::write(&htpasswd, accounts.collect::<Result<String>>()?)?;
    let section = |entries: &[(&str, toml::Value)]| {
        toml::Value::Table(entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    };
    let path = |path: &Path| toml::Value::String(path.to_string_lossy().into_owned());
    let config = toml::Table::from_iter([
        ("server".to_owned(), section(&[("listen", toml::Value::String(address.to_string()))])),
        ("storage".to_owned(), section(&[("data-dir", path(&data))])),
        ("auth".to_owned(), section(&[("disable-auth", false.into()), ("htpasswd-file", path(&htpasswd))])),
        ("acl".to_owned(), section(&[("disable-acl", true.into()), ("append-only", false.into())])),
        (
            "tls".to_owned(),
            section(&[
                ("disable-tls", false.into()),
                ("tls-cert", path(&certificate.certificate_path)),
                ("tls-key", path(&certificate.key_path)),
            ]),
        ),
        ("log".to_owned(), section(&[("log-level", "error".into())])),
    ]);
    let file = root.join("rustic-server.toml");
    std::fs::write(&file, config.to_string())?;
    let spec = ProcessSpec::new("rustic-server", &binary, root).env("HOME", root);
    let mut server = spec.args(["serve", "--config"]).arg(&file).spawn()?;
    server.wait_listening(address, SERVER_TIME_MAX).await?;
    let proxy = ConnectProxy::start(Some(address)).await?;
    Ok(Some(Peer { server, proxy, data }))
}
