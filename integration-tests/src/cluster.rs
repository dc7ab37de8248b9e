//! A whole cluster on loopback: controller, shards and router as separate processes of the real program, set up by its
//! own commands, as an operator would.
//!
//! [`Cluster::create`] makes the cluster's folder and the CA from before the cluster; [`Cluster::start_controller`],
//! [`Cluster::add_shard`] and [`Cluster::add_router`] bring the parts up; [`Cluster::start`] does all of it. Parts keep
//! their ports over restarts. Clients reach any server name through a [`ConnectProxy`] that leads to the router.

mod announced;
mod cli;
mod clients;
mod config;

pub use cli::{Cli, binary};

use crate::{ConnectProxy, Issued, Process, ProcessSpec, TestCa, eventually, free_address};
use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a part may take to open its ports; a machine that is busy compiling is slow.
const READY_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a part may take to end when asked; a shard lets requests finish for up to 30 s.
const END_TIME_MAX: Duration = Duration::from_secs(45);

/// The zone of the server names.
pub const ZONE: &str = "backup.example";

/// What a shard may hold, in bytes, unless its settings say otherwise.
const CAPACITY_BYTES: &str = "1073741824";

/// What kind of cluster.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Names of the shards that nodes move to.
    pub targets: Vec<String>,
    /// `limits` of the controller's configuration.
    pub limits: Vec<(&'static str, i64)>,
    /// Settings put into shards' configuration files, by shard.
    pub shard_settings: BTreeMap<String, toml::Table>,
    /// What clients of the shards must show.
    pub client_auth: &'static str,
    /// Whether an owner may create a repository at the source.
    pub create_nodes: bool,
    /// The data folder of the source; a new one when `None`.
    pub source_data: Option<PathBuf>,
    /// An issuing CA below a root that is elsewhere: its folder, and the file with its passphrase. A new root when `None`.
    pub ca: Option<(PathBuf, PathBuf)>,
}

/// Credentials of the controller, as systemd would hand them to it: a folder within that of the cluster's test.
pub const CREDENTIALS: &str = "credentials";

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            targets: vec!["shard-b".to_owned(), "shard-c".to_owned()],
            limits: Vec::new(),
            shard_settings: BTreeMap::new(),
            client_auth: "certificate",
            create_nodes: false,
            source_data: None,
            ca: None,
        }
    }
}

#[derive(Debug)]
struct Part {
    process: Process,
    /// What it announces when it is ready.
    listeners: &'static [&'static str],
    addresses: BTreeMap<String, SocketAddr>,
}

/// A cluster that runs until it is dropped.
pub struct Cluster {
    // Dropped first: nothing writes into the folder any more when its owner removes it.
    parts: BTreeMap<String, Part>,
    folder: PathBuf,
    options: ClusterOptions,
    cli: Cli,
    ca: TestCa,
    server_certificate: Issued,
    proxy: ConnectProxy,
}

impl Cluster {
    /// `shardlift init`, and what was there before: a CA that customers know and a server certificate from it.
    ///
    /// # Errors
    /// When the program is missing or says no.
    pub async fn create(folder: &Path, options: ClusterOptions, shown: bool) -> Result<Self> {
        let ca = TestCa::new(&folder.join("old-ca"), "Legacy Backup CA")?;
        let server_certificate = ca.server("server")?;
        let cli = Cli::new(binary()?, folder, shown);
        let cluster = folder.join("cluster");
        let [operator, enrolment, status] = [free_address()?, free_address()?, free_address()?].map(|a| a.to_string());
        let mut arguments: Vec<&std::ffi::OsStr> = vec![
            "init".as_ref(),
            "--cluster".as_ref(),
            "demo".as_ref(),
            "--zone".as_ref(),
            ZONE.as_ref(),
            "--dir".as_ref(),
            cluster.as_os_str(),
            "--operator-listen".as_ref(),
            operator.as_ref(),
            "--enrolment-listen".as_ref(),
            enrolment.as_ref(),
            "--status-listen".as_ref(),
            status.as_ref(),
            "--legacy-ca".as_ref(),
            ca.certificate_path().as_os_str(),
        ];
        if let Some((ca, passphrase)) = &options.ca {
            arguments.extend(["--ca".as_ref(), ca.as_os_str(), "--passphrase-file".as_ref(), passphrase.as_os_str()]);
        }
        cli.must(&arguments).await?;
        config::set_limits(&cluster.join("controller.toml"), &options.limits)?;
        let cli = cli.context(&cluster.join("operator.toml"));
        let proxy = ConnectProxy::start(None).await?;
        let (parts, folder) = (BTreeMap::new(), folder.to_owned());
        Ok(Self { parts, folder, options, cli, ca, server_certificate, proxy })
    }

    /// All of it: controller, source, targets, router, and the proxy that leads to the router.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start(folder: &Path, options: ClusterOptions) -> Result<Self> {
        let mut cluster = Self::create(folder, options, false).await?;
        cluster.start_controller().await?;
        cluster.add_shard("source").await?;
        for target in cluster.options.targets.clone() {
            cluster.add_shard(&target).await?;
        }
        cluster.add_router().await?;
        Ok(cluster)
    }

    /// Starts the controller.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_controller(&mut self) -> Result<()> {
        let config = self.folder.join("cluster/controller.toml");
        self.spawn("controller", "controller", &config, &["operator", "enrolment"]).await
    }

    /// Sets up a shard, starts it and makes it known. `source` takes its data folder over and shows clients the server
    /// certificate they know.
    ///
    /// # Errors
    /// When it does not come up or is refused.
    pub async fn add_shard(&mut self, name: &str) -> Result<()> {
        let folder = self.folder.join(name);
        let (client, control) = (free_address()?.to_string(), free_address()?.to_string());
        let data = self.data(name);
        let legacy_ca = self.ca.certificate_path().to_owned();
        let mut arguments: Vec<&std::ffi::OsStr> = vec![
            "shard".as_ref(),
            "prepare".as_ref(),
            name.as_ref(),
            "--dir".as_ref(),
            folder.as_os_str(),
            "--dns".as_ref(),
            "*.backup.example".as_ref(),
            "--ip".as_ref(),
            "127.0.0.1".as_ref(),
            "--client-listen".as_ref(),
            client.as_ref(),
            "--control-listen".as_ref(),
            control.as_ref(),
            "--data".as_ref(),
            data.as_os_str(),
            "--client-auth".as_ref(),
            self.options.client_auth.as_ref(),
            "--legacy-ca".as_ref(),
            legacy_ca.as_os_str(),
            // Of a size of its own: the reserve that plans keep is a share of it, and the machine's disk may be any.
            "--capacity".as_ref(),
            CAPACITY_BYTES.as_ref(),
        ];
        if name == "source" {
            arguments.extend(["--client-certificate".as_ref(), self.server_certificate.certificate_path.as_os_str()]);
            arguments.extend(["--client-key".as_ref(), self.server_certificate.key_path.as_os_str()]);
            if self.options.create_nodes {
                arguments.push("--create-nodes".as_ref());
            }
        }
        std::fs::create_dir_all(&data)?;
        self.cli.must(&arguments).await?;
        let config = folder.join("shard.toml");
        if let Some(settings) = self.options.shard_settings.get(name) {
            config::merge(&config, settings)?;
        }
        self.spawn(name, "shard", &config, &["client", "control"]).await?;
        self.cli.must(&["shard", "add", name, "--control", &control]).await?;
        Ok(())
    }

    /// Sets up the router, starts it, makes it known, and lets all names lead to it.
    ///
    /// # Errors
    /// When it does not come up or is refused.
    pub async fn add_router(&mut self) -> Result<()> {
        let folder = self.folder.join("router");
        let (client, control) = (free_address()?.to_string(), free_address()?.to_string());
        self.cli
            .must(&[
                "router".as_ref(),
                "prepare".as_ref(),
                "router-1".as_ref(),
                "--dir".as_ref(),
                folder.as_os_str(),
                "--client-listen".as_ref(),
                client.as_ref(),
                "--control-listen".as_ref(),
                control.as_ref(),
            ])
            .await?;
        self.spawn("router", "router", &folder.join("router.toml"), &["client", "control"]).await?;
        self.cli.must(&["router", "add", "router-1", "--control", &control]).await?;
        self.proxy.set_fallback(Some(self.address("router", "client")?));
        Ok(())
    }

    async fn spawn(&mut self, name: &str, role: &str, config: &Path, listeners: &'static [&'static str]) -> Result<()> {
        let program = ProcessSpec::new(name, self.cli.binary(), &self.folder)
            .arg(role)
            .arg("--config")
            .arg(config)
            .arg("--announce")
            .env("CREDENTIALS_DIRECTORY", self.folder.join(CREDENTIALS))
            .env("NO_COLOR", "1");
        let mut process = program.spawn()?;
        let addresses = announced::wait(&mut process, 0, listeners, READY_TIME_MAX).await?;
        self.parts.insert(name.to_owned(), Part { process, listeners, addresses });
        Ok(())
    }

    /// The folder of the cluster.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The command line, as the first operator.
    #[must_use]
    pub fn cli(&self) -> &Cli {
        &self.cli
    }

    /// The CA from before the cluster.
    #[must_use]
    pub fn old_ca(&self) -> &TestCa {
        &self.ca
    }

    /// What stands in for DNS.
    #[must_use]
    pub fn proxy(&self) -> &ConnectProxy {
        &self.proxy
    }

    /// The data folder of a shard.
    #[must_use]
    pub fn data(&self, shard: &str) -> PathBuf {
        match &self.options.source_data {
            Some(data) if shard == "source" => data.clone(),
            _ => self.folder.join(format!("{shard}-data")),
        }
    }

    /// Where a part listens.
    ///
    /// # Errors
    /// When there is no such part or listener.
    pub fn address(&self, part: &str, listener: &str) -> Result<SocketAddr> {
        let part = self.parts.get(part).with_context(|| format!("no part called {part}"))?;
        part.addresses.get(listener).copied().with_context(|| format!("no listener called {listener}"))
    }

    fn part(&mut self, name: &str) -> Result<&mut Part> {
        self.parts.get_mut(name).with_context(|| format!("no part called {name}"))
    }

    /// The process id of a part.
    ///
    /// # Errors
    /// When there is no such part.
    pub fn id(&self, part: &str) -> Result<u32> {
        Ok(self.parts.get(part).with_context(|| format!("no part called {part}"))?.process.id())
    }

    /// What a part has logged so far.
    ///
    /// # Errors
    /// When there is no such part.
    pub fn log(&self, part: &str) -> Result<String> {
        self.parts.get(part).with_context(|| format!("no part called {part}"))?.process.log()
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When there is no such part.
    pub fn kill(&mut self, part: &str) -> Result<()> {
        self.part(part)?.process.kill().map(drop)
    }

    /// Stops a part in its tracks (SIGSTOP) or lets it go on (SIGCONT).
    ///
    /// # Errors
    /// When there is no such part.
    pub fn freeze(&mut self, part: &str, frozen: bool) -> Result<()> {
        self.part(part)?.process.signal(if frozen { Signal::STOP } else { Signal::CONT })
    }

    /// Lets a part read its certificates again.
    ///
    /// # Errors
    /// When there is no such part.
    pub fn hang_up(&mut self, part: &str) -> Result<()> {
        self.part(part)?.process.signal(Signal::HUP)
    }

    /// Starts a part that has ended, at the same addresses.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&mut self, name: &str) -> Result<()> {
        let part = self.part(name)?;
        let before = part.process.log_bytes()?;
        part.process.restart()?;
        let addresses = announced::wait(&mut part.process, before, part.listeners, READY_TIME_MAX).await?;
        ensure!(addresses == part.addresses, "{name} came back at {addresses:?} instead of {:?}", part.addresses);
        Ok(())
    }

    /// Asks a part to end and insists on exit code 0.
    ///
    /// # Errors
    /// When it takes too long or ends badly.
    pub async fn terminate(&mut self, name: &str) -> Result<()> {
        let status = self.part(name)?.process.terminate(END_TIME_MAX).await?;
        ensure!(status.success(), "{name} ended with {status}");
        Ok(())
    }

    /// Asks all parts to end, the controller first.
    ///
    /// # Errors
    /// When one takes too long or ends badly.
    pub async fn shut_down(&mut self) -> Result<()> {
        for name in self.parts.keys().cloned().collect::<Vec<_>>() {
            self.terminate(&name).await?;
        }
        Ok(())
    }

    /// Waits until the controller knows this many nodes and the router holds their routes.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn wait_nodes(&self, count: u64) -> Result<()> {
        eventually("all nodes are known and routed", READY_TIME_MAX, || async {
            let status = self.cli.json(&["status"]).await?;
            let known = status["nodes"].as_u64().unwrap_or(0);
            ensure!(known == count, "{known} nodes are known");
            let wanted = status["route_version"].as_u64();
            let held = status["routers"][0]["version"].as_u64();
            ensure!(wanted == held, "the router has route version {held:?} of {wanted:?}");
            Ok(())
        })
        .await
    }
}
