//! What is there before a run begins: the cluster's CA, a certificate for every part, and controllers that have their CA's key
//! unlocked. Made once per thread, since unlocking is meant to be slow; and the folders of one run.

use crate::machine::Virtual;
use anyhow::{Context as _, Result};
use shardlift_controller::{Controller, ControllerConfig};
use shardlift_model::{Identity, Role, UnixMillis};
use shardlift_pki::authority::{Authority, CertifiedName};
use shardlift_pki::profile::{Kind, Profile};
use shardlift_pki::tls::{CredentialPaths, Credentials};
use shardlift_pki::{Passphrase, bundle, request};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// The cluster.
pub const CLUSTER: &str = "c1";

/// The zone of the server names.
pub const ZONE: &str = "backup.example";

/// The shards; the first is overloaded.
pub const SHARDS: [&str; 3] = ["source", "shard-b", "shard-c"];

/// The controllers; one leads at a time.
pub const CONTROLLERS: [&str; 2] = ["controller-1", "controller-2"];

/// The router.
pub const ROUTER: &str = "router-1";

/// The nodes and the hosts that their clients run on.
pub const NODES: [(&str, &str); 4] =
    [("acme/web-1", "client-1"), ("acme/web-2", "client-2"), ("globex", "client-3"), ("initech/db", "client-4")];

/// What every clock shows when a run begins: the same always, so that no seed has another story next year.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);

const PASSPHRASE: &str = "correct horse";

/// In memory where there is such a folder: a run makes thousands of small files durable.
const MEMORY: &str = "/dev/shm";

fn temporary() -> Result<TempDir> {
    let parent = Path::new(MEMORY);
    let parent = if parent.is_dir() { parent.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("shardlift-simulation-").tempdir_in(parent).context("making a folder")
}

/// CA, certificates and controllers.
pub struct Ground {
    folder: TempDir,
    /// What every clock shows when a run begins.
    pub epoch: Duration,
    controllers: Vec<Controller>,
}

thread_local! {
    static GROUND: std::cell::OnceCell<Rc<Ground>> = const { std::cell::OnceCell::new() };
}

impl Ground {
    /// This thread's.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn here() -> Result<Rc<Self>> {
        if let Some(ground) = GROUND.with(|cell| cell.get().cloned()) {
            return Ok(ground);
        }
        let ground = Rc::new(Self::lay()?);
        Ok(GROUND.with(|cell| cell.get_or_init(|| ground).clone()))
    }

    fn lay() -> Result<Self> {
        shardlift_pki::install_crypto_provider();
        let folder = temporary()?;
        let epoch = EPOCH;
        // Certificates are of the time that the simulation begins at.
        let _installed = shardlift_net::install(Virtual::new(0, epoch, Vec::new()));
        let now = UnixMillis(u64::try_from(epoch.as_millis())?);
        let passphrase = Passphrase::from(PASSPHRASE);
        let authority = Authority::init(&folder.path().join("ca"), &CLUSTER.parse()?, &passphrase, now)?;
        bundle::write(&folder.path().join("ca.pem"), &authority.ca_pem())?;
        bundle::write(&folder.path().join("ca.passphrase"), PASSPHRASE)?;
        let names = SHARDS.map(|shard| (Role::Shard, shard)).into_iter();
        let names = names.chain(CONTROLLERS.map(|controller| (Role::Controller, controller)));
        for (role, name) in names.chain([(Role::Router, ROUTER), (Role::Operator, "alice")]) {
            certify(folder.path(), &authority, role, name, now)?;
        }
        let mut ground = Self { folder, epoch, controllers: Vec::new() };
        for name in CONTROLLERS {
            let text = ground.controller_toml(name);
            let config = ControllerConfig::parse(&text, &ground.folder.path().join("controller.toml"))?;
            ground.controllers.push(Controller::build(config)?);
        }
        Ok(ground)
    }

    fn controller_toml(&self, name: &str) -> String {
        format!(
            "cluster = \"{CLUSTER}\"\nzone = \"{ZONE}\"\nstore = \"unused\"\n\
             operator_listen = \"0.0.0.0:7400\"\noperator_address = \"{name}:7400\"\n\
             enrolment_listen = \"0.0.0.0:7401\"\nenrolment_address = \"{name}:7401\"\n\
             tls = {{ certificate = \"controller-{name}.pem\", key = \"controller-{name}.key\", ca = \"ca.pem\" }}\n\
             ca = {{ folder = \"ca\", passphrase_file = \"ca.passphrase\" }}\n"
        )
    }

    /// A controller that was built and does not run yet.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn controller(&self, name: &str) -> Result<Controller> {
        let at = CONTROLLERS.iter().position(|known| *known == name).context("no such controller")?;
        Ok(self.controllers[at].clone())
    }

    /// Where a part's certificate, key and roots are.
    #[must_use]
    pub fn paths(&self, role: Role, name: &str) -> CredentialPaths {
        let path = |suffix: &str| self.folder.path().join(format!("{role}-{name}.{suffix}"));
        CredentialPaths { certificate: path("pem"), key: path("key"), ca: self.ca(), legacy_ca: Vec::new() }
    }

    /// The roots.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// What somebody shows to others.
    ///
    /// # Errors
    /// When the files are not usable.
    pub fn credentials(&self, role: Role, name: &str) -> Result<Arc<Credentials>> {
        Ok(Credentials::load(self.paths(role, name))?)
    }
}

fn certify(folder: &Path, authority: &Authority, role: Role, name: &str, now: UnixMillis) -> Result<()> {
    let (key, csr) = request::create_key_and_request()?;
    let identity = Identity::new(CLUSTER.parse()?, role, name)?;
    let names: Vec<CertifiedName> = if role == Role::Shard { vec![format!("*.{ZONE}").parse()?] } else { Vec::new() };
    let profile = Profile::built_in(Kind::from(role))?;
    let issued = authority.issue(&profile, &identity, &names, &request::check(&csr)?, now)?;
    bundle::write(&folder.join(format!("{role}-{name}.pem")), &issued.chain_pem)?;
    bundle::write_private(&folder.join(format!("{role}-{name}.key")), &key)?;
    Ok(())
}

/// The folders of one run.
#[derive(Debug)]
pub struct Folders(TempDir);

impl Folders {
    /// New ones. The source holds a repository for each node.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn make() -> Result<Self> {
        let folders = Self(temporary()?);
        for shard in SHARDS {
            std::fs::create_dir_all(folders.data(shard))?;
        }
        for (node, _) in NODES {
            let repository = folders.data("source").join(node);
            std::fs::create_dir_all(&repository)?;
            let config = repository.join("config");
            std::fs::write(&config, format!("the config of {node}, opaque"))?;
            std::fs::File::options().write(true).open(&config)?.set_modified(SystemTime::UNIX_EPOCH + EPOCH)?;
        }
        Ok(folders)
    }

    /// A shard's data.
    #[must_use]
    pub fn data(&self, shard: &str) -> PathBuf {
        self.0.path().join(format!("{shard}-data"))
    }

    /// Where a shard's data of an earlier time is kept.
    #[must_use]
    pub fn kept(&self, shard: &str) -> PathBuf {
        self.0.path().join(format!("{shard}-kept"))
    }

    /// Where a host's disk keeps what may come back.
    #[must_use]
    pub fn attic(&self, host: &str) -> PathBuf {
        self.0.path().join(format!("{host}-attic"))
    }

    /// What is a host's own.
    #[must_use]
    pub fn of(&self, host: &str) -> PathBuf {
        if host == ROUTER { self.router() } else { self.data(host) }
    }

    /// The router's table.
    #[must_use]
    pub fn router(&self) -> PathBuf {
        self.0.path().join("router")
    }
}
