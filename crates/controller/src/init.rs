//! A new cluster: store, CA, the controller's certificate and the first operator's.
//!
//! All or nothing: everything is made in a folder beside the wanted one, which takes its name when it is complete and on
//! disk. A folder that is not empty is never touched.

use crate::clock;
use shardlift_model::{ClusterId, Identity, NameError, PartName, Role, ServerName};
use shardlift_pki::authority::{Authority, AuthorityError, CertifiedName};
use shardlift_pki::bundle::{self, BundleError};
use shardlift_pki::profile::{Kind, Profile, ProfileError};
use shardlift_pki::request::{self, RequestError};
use shardlift_pki::secret::{Passphrase, SecretPem};
use shardlift_store::{SledStore, StoreError};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};

/// Folder of the store, within the cluster's folder.
pub const STORE: &str = "store";
/// Folder of the CA.
pub const CA: &str = "ca";
/// File with the passphrase of the CA's keys.
pub const PASSPHRASE: &str = "ca.passphrase";
/// The root certificate, for everybody.
pub const CA_PEM: &str = "ca.pem";

/// Longest label of a DNS name.
const LABEL_BYTES_MAX: usize = 63;

/// What is wanted.
#[derive(Debug)]
pub struct InitOptions {
    /// The cluster's name.
    pub cluster: ClusterId,
    /// The zone below which nodes get their server names.
    pub zone: ServerName,
    /// Where; must not exist or be empty.
    pub folder: PathBuf,
    /// Name of the controller.
    pub controller: PartName,
    /// Host names and addresses in the controller's certificate.
    pub controller_host_names: Vec<String>,
    /// Name of the first operator.
    pub operator: PartName,
    /// Passphrase of the CA's keys.
    pub passphrase: InitPassphrase,
    /// A folder with an issuing CA that was made before, below a root that is elsewhere; a new root and CA when `None`.
    pub ca: Option<PathBuf>,
    /// Further files to put into the folder, such as configurations.
    pub files: Vec<InitFile>,
}

/// Where the passphrase of the CA's keys comes from, and where the controller will find it.
#[derive(Debug)]
pub enum InitPassphrase {
    /// A random one, kept in a file of the cluster's folder.
    Random,
    /// This one, kept in a file of the cluster's folder.
    Kept(Passphrase),
    /// This one, which the controller gets from elsewhere: it is written nowhere.
    Elsewhere(Passphrase),
}

/// A further file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitFile {
    /// Where, within the cluster's folder.
    pub path: PathBuf,
    /// What is in it.
    pub contents: String,
}

/// What was made. All paths are absolute if the wanted folder was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitReport {
    /// The cluster's folder.
    pub folder: PathBuf,
    /// Folder of the store.
    pub store: PathBuf,
    /// Folder of the CA.
    pub ca_folder: PathBuf,
    /// File with the passphrase of the CA's keys, if it is kept in one.
    pub passphrase_file: Option<PathBuf>,
    /// The root certificate.
    pub ca: PathBuf,
    /// The controller's chain.
    pub controller_certificate: PathBuf,
    /// The controller's key.
    pub controller_key: PathBuf,
    /// The operator's chain.
    pub operator_certificate: PathBuf,
    /// The operator's key.
    pub operator_key: PathBuf,
    /// SHA-256 of the root certificate, in hex.
    pub fingerprint: String,
}

/// Why no cluster was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Something is there already.
    #[error("{} is not empty: a cluster is only made in a new or empty folder", .0.display())]
    NotEmpty(PathBuf),
    /// The wanted folder has no name or no parent.
    #[error("{} cannot be made", .0.display())]
    Folder(PathBuf),
    /// A further file that would be outside of the folder or replace something.
    #[error("{} is no path within the cluster's folder", .0.display())]
    File(PathBuf),
    /// The file system refused.
    #[error("could not {what} {}", path.display())]
    Io {
        /// The attempt, as a verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No randomness for the passphrase.
    #[error("the system gives no randomness")]
    Randomness,
    /// A name in a certificate.
    #[error("a name is not valid")]
    Name(#[from] NameError),
    /// The CA.
    #[error("the CA could not be made")]
    Authority(#[from] AuthorityError),
    /// A CA that was made for another cluster.
    #[error("the CA is one of cluster {0}")]
    OtherCluster(ClusterId),
    /// A profile.
    #[error("a built-in profile is not usable")]
    Profile(#[from] ProfileError),
    /// A key.
    #[error("a key could not be made")]
    Request(#[from] RequestError),
    /// A file with a certificate or key.
    #[error("a certificate could not be written")]
    Bundle(#[from] BundleError),
    /// The store.
    #[error("the store could not be made")]
    Store(#[from] StoreError),
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InitError {
    let path = path.to_owned();
    move |source| InitError::Io { what, path, source }
}

/// Makes a cluster. Blocks.
///
/// # Errors
/// [`InitError`]; then nothing is left behind.
pub fn init(options: InitOptions) -> Result<InitReport, InitError> {
    shardlift_pki::install_crypto_provider();
    let folder = options.folder.clone();
    refuse_if_used(&folder)?;
    refuse_long_zone(&options.zone)?;
    let (Some(name), Some(parent)) = (folder.file_name(), folder.parent()) else {
        return Err(InitError::Folder(folder));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    fs::create_dir_all(parent).map_err(io("make", parent))?;
    let draft = parent.join(format!(".{}.init-{:016x}", name.to_string_lossy(), rand::random::<u64>()));
    private_folder(&draft)?;
    let is_kept = !matches!(options.passphrase, InitPassphrase::Elsewhere(_));
    let made = fill(&draft, options).and_then(|fingerprint| {
        sync(&draft)?;
        // Fails when somebody has put something there meanwhile; an empty folder is replaced.
        fs::rename(&draft, &folder).map_err(io("rename to", &folder))?;
        Ok(fingerprint)
    });
    match made {
        Ok(fingerprint) => {
            sync(parent)?;
            Ok(report(folder, fingerprint, is_kept))
        }
        Err(error) => {
            if let Err(left) = fs::remove_dir_all(&draft) {
                tracing::warn!(draft = %draft.display(), error = %left, "a draft was left behind; it may be deleted");
            }
            Err(error)
        }
    }
}

fn refuse_if_used(folder: &Path) -> Result<(), InitError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(InitError::NotEmpty(folder.to_owned())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io("look into", folder)(error)),
    }
}

/// Every node gets a label below the zone; the longest one must fit.
fn refuse_long_zone(zone: &ServerName) -> Result<(), InitError> {
    format!("{}.{zone}", "x".repeat(LABEL_BYTES_MAX)).parse::<ServerName>()?;
    Ok(())
}

fn private_folder(path: &Path) -> Result<(), InitError> {
    DirBuilder::new().mode(0o700).create(path).map_err(io("make", path))
}

fn sync(folder: &Path) -> Result<(), InitError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync", folder))
}

fn fill(draft: &Path, options: InitOptions) -> Result<String, InitError> {
    let InitOptions { cluster, controller, controller_host_names, operator, passphrase, ca, files, .. } = options;
    let (passphrase, is_kept) = match passphrase {
        InitPassphrase::Random => (random_passphrase()?, true),
        InitPassphrase::Kept(passphrase) => (passphrase, true),
        InitPassphrase::Elsewhere(passphrase) => (passphrase, false),
    };
    if is_kept {
        let text = SecretPem::new(format!("{}\n", passphrase.expose()));
        bundle::write_private(&draft.join(PASSPHRASE), &text)?;
    }
    let authority = authority(&draft.join(CA), &cluster, ca.as_deref(), &passphrase)?;
    bundle::write(&draft.join(CA_PEM), &authority.ca_pem())?;
    let parse = |text: &String| text.parse::<CertifiedName>();
    let host_names = controller_host_names.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    certificate(draft, &authority, &cluster, (Role::Controller, &controller), &host_names)?;
    certificate(draft, &authority, &cluster, (Role::Operator, &operator), &[])?;
    for file in files {
        further_file(draft, &file)?;
    }
    let store = SledStore::init(&draft.join(STORE), cluster)?;
    drop(store);
    Ok(authority.fingerprint())
}

/// A new CA, or the one that was made before: its issuing CAs alone, should the key of the root lie beside them.
fn authority(
    dir: &Path,
    cluster: &ClusterId,
    made_before: Option<&Path>,
    passphrase: &Passphrase,
) -> Result<Authority, InitError> {
    let Some(made_before) = made_before else {
        return Ok(Authority::init(dir, cluster, passphrase, clock::now())?);
    };
    let authority = Authority::load(made_before, passphrase)?;
    if authority.cluster() != cluster {
        return Err(InitError::OtherCluster(authority.cluster().clone()));
    }
    authority.save_with_root(dir)?;
    Ok(authority)
}

fn certificate(
    draft: &Path,
    authority: &Authority,
    cluster: &ClusterId,
    (role, name): (Role, &PartName),
    host_names: &[CertifiedName],
) -> Result<(), InitError> {
    let identity = Identity::new(cluster.clone(), role, name.as_str())?;
    let (key, csr) = request::create_key_and_request()?;
    let checked = request::check_for(&csr, &identity)?;
    let profile = Profile::built_in(Kind::from(role))?;
    let issued = authority.issue(&profile, &identity, host_names, &checked, clock::now())?;
    bundle::write(&draft.join(format!("{role}.pem")), &issued.chain_pem)?;
    bundle::write_private(&draft.join(format!("{role}.key")), &key)?;
    Ok(())
}

fn further_file(draft: &Path, file: &InitFile) -> Result<(), InitError> {
    let is_plain = file.path.components().all(|part| matches!(part, Component::Normal(_)));
    let path = draft.join(&file.path);
    if !is_plain || file.path.as_os_str().is_empty() || path.exists() {
        return Err(InitError::File(file.path.clone()));
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io("make", parent))?;
    }
    Ok(bundle::write(&path, &file.contents)?)
}

/// 256 bits as text.
fn random_passphrase() -> Result<Passphrase, InitError> {
    use aws_lc_rs::rand::SecureRandom as _;
    use base64::Engine as _;
    let mut bytes = [0; 32];
    aws_lc_rs::rand::SystemRandom::new().fill(&mut bytes).map_err(|_| InitError::Randomness)?;
    Ok(Passphrase::new(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)))
}

fn report(folder: PathBuf, fingerprint: String, is_kept: bool) -> InitReport {
    InitReport {
        store: folder.join(STORE),
        ca_folder: folder.join(CA),
        passphrase_file: is_kept.then(|| folder.join(PASSPHRASE)),
        ca: folder.join(CA_PEM),
        controller_certificate: folder.join("controller.pem"),
        controller_key: folder.join("controller.key"),
        operator_certificate: folder.join("operator.pem"),
        operator_key: folder.join("operator.key"),
        fingerprint,
        folder,
    }
}

#[cfg(test)]
mod tests;
