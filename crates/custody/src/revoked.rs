//! The revocation lists that a part was given, kept over restarts.
//!
//! A list is judged by its signature and its number, whoever brings it: a controller that was deposed can bring nothing that its CA has
//! not signed, and nothing older than what holds. It is durable before it is in force, and in force when the command returns: from
//! then on no handshake succeeds with a certificate on it, and open connections of such peers are cut.
//!
//! One file for each CA, in a folder of the state folder. What is damaged refuses to start: what was taken back is not forgotten in
//! silence.

use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_net::disk::{self, How, WriteFile};
use shardlift_pki::revocation::{ListError, RevocationList};
use shardlift_pki::tls::Credentials;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FOLDER: &str = "revoked";

/// Most lists that are read at a start: one for each CA that ever was.
const LISTS_MAX: usize = 64;

/// Why lists cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// A file or the folder.
    #[error("cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// What was kept is not what was written, or not of this cluster.
    #[error(
        "{path} cannot be used: {why}; restore it from a backup; or remove it, and have the controller bring it again"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: ListError,
    },
    /// More files than there ever were CAs.
    #[error("{0} holds more than 64 lists")]
    TooMany(PathBuf),
    /// The part is stopping.
    #[error("the part is stopping")]
    Stopped,
}

impl KeepError {
    fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}

/// Why a list was not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// It is not believed, or no longer news.
    #[error(transparent)]
    List(#[from] ListError),
    /// It could not be made durable; a restart tells whether it is.
    #[error("the revocation list could not be kept")]
    Keeping(#[source] KeepError),
}

/// Takes lists, and keeps them.
#[derive(Debug)]
pub struct RevokedFiles {
    credentials: Arc<Credentials>,
    folder: PathBuf,
    changing: tokio::sync::Mutex<()>,
}

impl RevokedFiles {
    /// Reads what was kept and puts it in force. Blocks.
    ///
    /// # Errors
    /// [`KeepError::Damaged`] for a file that is damaged or not of this cluster.
    pub fn open(credentials: &Arc<Credentials>, state_folder: &Path) -> Result<Arc<Self>, KeepError> {
        let folder = state_folder.join(FOLDER);
        disk::create_folders(&folder, 0o700).map_err(KeepError::io("make", &folder))?;
        for path in lists_in(&folder)? {
            let text = std::fs::read_to_string(&path).map_err(KeepError::io("read", &path))?;
            let taken = read(&text, credentials).and_then(|list| credentials.revocations().take(list));
            taken.map_err(|why| KeepError::Damaged { path: path.clone(), why })?;
        }
        Ok(Arc::new(Self { credentials: Arc::clone(credentials), folder, changing: tokio::sync::Mutex::default() }))
    }

    /// Durable and in force when it returns. The list that holds already is taken again with the same outcome. Returns the CA's name and
    /// the number of the list.
    ///
    /// # Errors
    /// [`TakeError`]; nothing has changed then, unless it is [`TakeError::Keeping`].
    pub async fn take(self: &Arc<Self>, text: String) -> Result<(String, u64), TakeError> {
        // Goes on when the caller goes away: durable and not in force is no state to be in.
        let this = Arc::clone(self);
        let taking = tokio::spawn(async move { this.keep(text).await });
        taking.await.map_err(|_| TakeError::Keeping(KeepError::Stopped))?
    }

    async fn keep(&self, text: String) -> Result<(String, u64), TakeError> {
        let _others_wait = self.changing.lock().await;
        let list = read(&text, &self.credentials)?;
        let revocations = self.credentials.revocations();
        let held = revocations.list_of(list.issuer()).map_or(0, |held| held.number());
        if held > list.number() {
            return Err(ListError::Older { found: list.number(), held }.into());
        }
        let taken = (list.issuer().to_owned(), list.number());
        if held == list.number() {
            return Ok(taken);
        }
        let (folder, name) = (self.folder.clone(), file_name(list.issuer()));
        let written = shardlift_net::spawn_blocking(move || write(&folder, &name, &text)).await;
        written.map_err(|_| TakeError::Keeping(KeepError::Stopped))?.map_err(TakeError::Keeping)?;
        let (issuer, number) = &taken;
        tracing::info!(target: "audit", issuer, number, certificates = list.count(), "a revocation list is in force");
        revocations.take(list)?;
        Ok(taken)
    }

    /// As the controller brings it.
    ///
    /// # Errors
    /// A fault for the controller.
    pub async fn take_brought(
        self: &Arc<Self>,
        request: v1::TakeRevocationsRequest,
    ) -> Result<v1::TakeRevocationsResponse, Fault> {
        let (issuer, number) = self.take(request.list_pem).await.map_err(of_take)?;
        Ok(v1::TakeRevocationsResponse { issuer, number })
    }

    /// The lists that hold, as the controller is told.
    #[must_use]
    pub fn held(&self) -> Vec<v1::HeldRevocations> {
        self.lists().iter().map(|list| held(list)).collect()
    }

    /// The lists that hold.
    #[must_use]
    pub fn lists(&self) -> Vec<Arc<RevocationList>> {
        self.credentials.revocations().lists()
    }
}

fn of_take(error: TakeError) -> Fault {
    match error {
        TakeError::List(error @ ListError::Older { .. }) => Fault::new(FaultKind::Refused, error.to_string()),
        TakeError::List(error) => Fault::new(FaultKind::Invalid, format!("the revocation list is not taken: {error}")),
        TakeError::Keeping(error) => Fault::internal(error),
    }
}

fn held(list: &RevocationList) -> v1::HeldRevocations {
    v1::HeldRevocations {
        issuer: list.issuer().to_owned(),
        number: list.number(),
        next_update_unix_ms: list.next_update().0,
        certificates: list.count() as u64,
    }
}

fn read(text: &str, credentials: &Credentials) -> Result<RevocationList, ListError> {
    RevocationList::read(text, &credentials.cluster_trust().cluster)
}

/// By the hash of its CA's name, which may be any text.
fn file_name(issuer: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, issuer.as_bytes());
    format!("{}.pem", hex::encode(&digest.as_ref()[..16]))
}

fn lists_in(folder: &Path) -> Result<Vec<PathBuf>, KeepError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(KeepError::io("list", folder))? {
        let path = entry.map_err(KeepError::io("list", folder))?.path();
        // What a crash left half-written has another ending.
        if path.extension().is_some_and(|ending| ending == "pem") {
            paths.push(path);
        }
    }
    if paths.len() > LISTS_MAX {
        return Err(KeepError::TooMany(folder.to_owned()));
    }
    Ok(paths)
}

/// Durable when it returns. Blocks.
fn write(folder: &Path, name: &str, text: &str) -> Result<(), KeepError> {
    let (path, temp) = (folder.join(name), folder.join(format!("{name}.new")));
    let mut file = WriteFile::open(&temp, How::Emptied(0o600)).map_err(KeepError::io("create", &temp))?;
    file.write_all(text.as_bytes()).map_err(KeepError::io("write", &temp))?;
    file.sync().map_err(KeepError::io("make durable", &temp))?;
    disk::rename(&temp, &path).map_err(KeepError::io("name", &path))?;
    disk::sync_folder(folder).map_err(KeepError::io("make durable", folder))
}
