//! The one path into the audit log: who did what, written down before anybody is told that it was done.
//!
//! The format and the check of it are `shardlift-audit`'s; here are the files (`segments`), the task that writes (`writer`, `pen`) and what the
//! services say ([`Audit`]). Where the log cannot be written, nothing is done that would have to be in it.
//!
//! Invariants: what is answered with done is on disk; a record's number is never given twice; no token and no key is ever handed in.

mod pen;
mod policy;
mod refusals;
mod segments;
mod writer;

pub use segments::OpenError;

pub(crate) use policy::PolicyLayer;
pub(crate) use refusals::Asker;

use pen::{Pen, Seal};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_audit::{Entry, field};
use shardlift_model::{ClusterId, Peer};
use shardlift_pki::authority::Issued;
use shardlift_pki::tls::Credentials;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use writer::{Job, Pace, State, Writer};

/// Size at which a segment is full.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// What a record says of something that was done.
pub(crate) const DONE: &str = "done";

/// What was done, in the words of the log.
pub(crate) mod deed {
    pub(crate) const ENROL: &str = "enrol";
    pub(crate) const RENEW: &str = "renew certificate";
    pub(crate) const SIGN_RECEIPT: &str = "sign receipt";
    pub(crate) const CALL: &str = "call";
    pub(crate) const TAKE_UP_CA: &str = "take up issuing CA";
}

/// The sending end.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    jobs: mpsc::Sender<Job>,
    state: Arc<State>,
    /// Who the controller is, for what it does by itself.
    own: Arc<str>,
}

/// The task behind a log.
#[derive(Debug)]
pub(crate) struct Writing {
    task: JoinHandle<()>,
    closing: CancellationToken,
}

impl Writing {
    /// Ends the log: what waits is written, a last checkpoint too. Nothing is taken any more.
    pub(crate) async fn close(self) {
        self.closing.cancel();
        if self.task.await.is_err() {
            tracing::error!("the writer of the audit log ended badly");
        }
    }
}

/// It is not in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written: {0}")]
pub(crate) struct Unwritten(String);

impl Audit {
    /// Goes on with the log in a folder, or begins one. Blocks while it reads the end of it.
    ///
    /// # Errors
    /// [`OpenError`] names the file and what to do.
    pub(crate) fn open(
        folder: &Path,
        cluster: &ClusterId,
        credentials: Arc<Credentials>,
    ) -> Result<(Self, Writing), OpenError> {
        let own = credentials.identity().to_string().into();
        Ok(Self::start(Pen::open(folder, SEGMENT_BYTES_MAX, cluster, Seal::of(credentials))?, own, Pace::default()))
    }

    /// A log that ends with the process.
    pub(crate) fn in_memory(cluster: &ClusterId) -> (Self, Writing) {
        Self::start(Pen::in_memory(cluster), "controller".into(), Pace::default())
    }

    fn start(pen: Pen, own: Arc<str>, pace: Pace) -> (Self, Writing) {
        let closing = CancellationToken::new();
        let (jobs, state, task) = Writer::start(pen, pace, closing.clone());
        (Self { jobs, state, own }, Writing { task, closing })
    }

    /// Who the controller is.
    pub(crate) fn own(&self) -> &str {
        &self.own
    }

    /// Asked before anything is done that has to be in the log.
    ///
    /// # Errors
    /// A fault while there is no room.
    pub(crate) fn admit(&self) -> Result<(), Fault> {
        match self.state.full() {
            None => Ok(()),
            Some(reason) => Err(Fault::caused(
                FaultKind::Unavailable,
                "refused: the audit log cannot be written, and nothing is done that would not be in it\n\
                 the controller's log says why; a full disk needs room",
                reason,
            )),
        }
    }

    /// Writes down what was done; on disk when it returns.
    ///
    /// # Errors
    /// [`Unwritten`]: nobody may be told that it was done.
    pub(crate) async fn record(&self, entries: Vec<Entry>) -> Result<(), Unwritten> {
        self.write(entries, None).await
    }

    /// Writes down what was refused, or counts it when there are too many.
    pub(crate) async fn refused(&self, asker: Asker, entry: Entry, fault: &Fault) {
        let why = fault.public().lines().next().unwrap_or_default();
        let entry = Entry { outcome: fault.kind().code().to_owned(), ..entry }.text(field::WHY, why);
        if let Err(error) = self.write(vec![entry], Some(asker)).await {
            tracing::warn!(%error, "a refusal is not in the audit log");
        }
    }

    /// Writes down what came of something, and passes it on.
    ///
    /// # Errors
    /// The fault that came of it, or one that says that it was done and is not in the log.
    pub(crate) async fn outcome<T>(
        &self,
        entry: Entry,
        result: Result<T, Fault>,
        details: impl FnOnce(Entry, &T) -> Vec<Entry>,
    ) -> Result<T, Fault> {
        match result {
            Ok(answer) => {
                self.record(details(entry, &answer)).await?;
                Ok(answer)
            }
            Err(fault) => {
                self.refused(Asker::Member, entry, &fault).await;
                Err(fault)
            }
        }
    }

    async fn write(&self, entries: Vec<Entry>, refused: Option<Asker>) -> Result<(), Unwritten> {
        let gone = || Unwritten("the controller is stopping".to_owned());
        let (answer, written) = oneshot::channel();
        self.jobs.send(Job { entries, refused, answer }).await.map_err(|_| gone())?;
        written.await.map_err(|_| gone())?.map_err(Unwritten)
    }

    /// All fails as on a full disk, or not any more.
    #[cfg(test)]
    pub(crate) fn set_failing(&self, fails: bool) {
        self.state.set_failing(fails);
    }

    /// What is in a log in memory.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> Vec<shardlift_audit::Record> {
        self.state.kept.lock().unwrap().clone()
    }
}

impl From<Unwritten> for Fault {
    fn from(unwritten: Unwritten) -> Self {
        let text = "it was done, but it is not in the audit log, and nothing that it made is handed out\n\
                    the controller's log says why; look what is recorded before you ask again";
        Self::caused(FaultKind::Internal, text, unwritten)
    }
}

/// A certificate that was made, before it is handed out.
pub(crate) fn made(who: &str, what: &'static str, subject: &str, issued: &Issued) -> Entry {
    let entry = Entry::new(who, what, subject, DONE).text(field::SERIAL, &issued.serial);
    entry.text("not_after", &shardlift_audit::write_instant(issued.not_after))
}

/// Who is at the other end, in the words of the log.
pub(crate) fn who(peer: Option<&Peer>) -> (Asker, String) {
    match peer.and_then(Peer::identity) {
        Some(identity) => (Asker::Member, identity.to_string()),
        None => {
            let address = peer.and_then(|peer| peer.address);
            (Asker::Stranger, address.map_or_else(|| "nobody".to_owned(), |address| format!("nobody at {address}")))
        }
    }
}

#[cfg(test)]
mod tests;
