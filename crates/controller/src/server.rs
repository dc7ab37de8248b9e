//! The controller as a process: built from its configuration, then run until it is told to stop.
//!
//! No port opens before the store was recovered and leadership was taken. When the loop ends, everything ends with it:
//! a controller that cannot record must not answer.

mod services;

use crate::audit::{Audit, DONE, OpenError, Writing, deed};
use crate::config::ControllerConfig;
use crate::effects::{Context, Pace};
use crate::inputs::Unheard;
use crate::issuer::{Issuer, IssuerError};
use crate::lead::{Lead, LeadError, prepare};
use crate::metrics::Metrics;
use crate::part_certificates::{Renewing, renewed_beside};
use crate::runtime::RuntimeError;
use crate::{estimates, inventory, publish, revocations};
use services::Services;
use shardlift_api::view;
use shardlift_audit::Entry;
use shardlift_migration::{Input, World};
use shardlift_model::Role;
use shardlift_pki::passphrase::PassphraseError;
use shardlift_pki::tls::{CredentialError, Credentials, TlsError};
use shardlift_store::{SledStore, Store, StoreError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// How long open calls may take to end.
const DRAIN: Duration = Duration::from_secs(5);

/// Why a controller does not run.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The own credentials.
    #[error("the controller's credentials are not usable")]
    Credentials(#[from] CredentialError),
    /// They are somebody else's.
    #[error("the certificate is for {found}, a controller of cluster {expected} is needed")]
    OtherIdentity {
        /// The configured cluster.
        expected: String,
        /// Whom the certificate names.
        found: String,
    },
    /// The passphrase of the CA.
    #[error("the keys of the CA cannot be opened")]
    Passphrase(#[from] PassphraseError),
    /// The CA and the files beside it.
    #[error("certificates cannot be issued")]
    Issuer(#[from] IssuerError),
    /// TLS.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// The store.
    #[error("the store cannot be opened")]
    Store(#[from] StoreError),
    /// The audit log.
    #[error("the audit log cannot be gone on with")]
    Audit(#[from] OpenError),
    /// The recorded state.
    #[error("the controller cannot lead")]
    Lead(#[from] LeadError),
    /// A port.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The configured limits.
    #[error("the configured limits are refused: {0}")]
    Limits(String),
    /// The loop.
    #[error("the controller stopped leading: start it again to read back what was recorded")]
    Runtime(#[from] RuntimeError),
    /// A bug.
    #[error("{0} ended badly")]
    Task(&'static str),
    /// stdout or a signal.
    #[error("the process cannot {0}")]
    Process(&'static str, #[source] std::io::Error),
}

/// What lies beside the store.
#[derive(Debug)]
pub(crate) struct Beside {
    /// The file of measured throughput.
    pub(crate) measured: PathBuf,
    /// The folder of the audit log.
    pub(crate) audit: PathBuf,
}

/// What a controller leads on.
struct Ground {
    store: Arc<dyn Store>,
    measured: Option<PathBuf>,
    audit: Audit,
    pace: Pace,
}

/// A controller that was built and does not run yet. A clone is the same controller, to be run once more.
#[derive(Debug, Clone)]
pub struct Controller {
    config: ControllerConfig,
    credentials: Arc<Credentials>,
    issuer: Arc<Issuer>,
    metrics: Metrics,
    view: watch::Sender<Arc<view::World>>,
}

impl Controller {
    /// Reads certificates, keys and the CA. Opens neither the store nor a port.
    ///
    /// # Errors
    /// [`ControllerError`] names what is wrong.
    pub fn build(config: ControllerConfig) -> Result<Self, ControllerError> {
        shardlift_pki::install_crypto_provider();
        let credentials = Credentials::load_renewable(config.tls.clone(), renewed_beside(&config.store))?;
        let identity = credentials.identity();
        if identity.cluster != config.cluster || identity.role() != Role::Controller {
            let found = format!("{identity} of cluster {}", identity.cluster);
            return Err(ControllerError::OtherIdentity { expected: config.cluster.to_string(), found });
        }
        let passphrase = config.ca_passphrase.read()?;
        let issuer = Issuer::load(&config.ca_folder, passphrase, &config.cluster, &config.legacy_ca)?;
        let issuer = Arc::new(issuer);
        let view = watch::Sender::new(Arc::default());
        Ok(Self { config, credentials, issuer, metrics: Metrics::new(), view })
    }

    /// The read model of the status API, replaced whenever something changed.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<Arc<view::World>> {
        self.view.subscribe()
    }

    /// Where the status API should be served, if it should.
    #[must_use]
    pub const fn status_listen(&self) -> Option<SocketAddr> {
        self.config.status_listen
    }

    /// The own credentials, reloaded by this controller.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.clone()
    }

    /// Leads until `shutdown` is ready. With `announce`, says on stdout in JSON which listener is ready where.
    ///
    /// # Errors
    /// [`ControllerError`]; after one of the store, a restart reads back what was recorded.
    pub async fn run(self, shutdown: impl Future<Output = ()>, announce: bool) -> Result<(), ControllerError> {
        let folder = self.config.store.clone();
        let opened = tokio::task::spawn_blocking(move || SledStore::open(&folder)).await;
        let store = opened.map_err(|_panicked| ControllerError::Task("opening the store"))??;
        let beside = Beside { measured: estimates::beside(&self.config.store), audit: self.config.audit.clone() };
        self.run_on(Arc::new(store), Some(beside), Pace::default(), shutdown, announce).await
    }

    /// The same on a store that is open already, for those who bring their own: no signal is listened for, nothing is announced, and
    /// throughput and audit log are kept in memory.
    ///
    /// # Errors
    /// [`ControllerError`]; after one of the store, a restart reads back what was recorded.
    pub async fn run_with(
        self,
        store: Arc<dyn Store>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ControllerError> {
        self.run_on(store, None, Pace::default(), shutdown, false).await
    }

    pub(crate) async fn run_on(
        self,
        store: Arc<dyn Store>,
        beside: Option<Beside>,
        pace: Pace,
        shutdown: impl Future<Output = ()>,
        announce: bool,
    ) -> Result<(), ControllerError> {
        let (measured, audit) = beside.map(|Beside { measured, audit }| (measured, audit)).unzip();
        let is_process = audit.is_some();
        let (audit, writing) = self.open_audit(audit).await?;
        let stop = CancellationToken::new();
        let _stops_reloading = stop.clone().drop_guard();
        if is_process {
            tokio::spawn(reload_on_hangup(self.credentials.clone(), self.issuer.clone(), audit.clone(), stop)?);
        }
        let result = self.lead_on(Ground { store, measured, audit, pace }, shutdown, announce).await;
        writing.close().await;
        result
    }

    async fn open_audit(&self, folder: Option<PathBuf>) -> Result<(Audit, Writing), ControllerError> {
        let cluster = self.config.cluster.clone();
        let Some(folder) = folder else { return Ok(Audit::in_memory(&cluster)) };
        let credentials = self.credentials.clone();
        let opened = tokio::task::spawn_blocking(move || Audit::open(&folder, &cluster, credentials)).await;
        Ok(opened.map_err(|_panicked| ControllerError::Task("opening the audit log"))??)
    }

    async fn lead_on(
        self,
        ground: Ground,
        shutdown: impl Future<Output = ()>,
        announce: bool,
    ) -> Result<(), ControllerError> {
        let Self { config, credentials, issuer, metrics, view } = self;
        let Ground { store, measured, audit, pace } = ground;
        let empty = World::new(config.cluster.clone(), config.zone.clone());
        let lead = prepare(store, empty, credentials.clone(), pace, metrics.clone(), audit).await?;
        let Lead { context, runtime } = lead;
        let stop = CancellationToken::new();
        let _stops_all = stop.clone().drop_guard();
        let mut leading = tokio::spawn(runtime.run(stop.clone()));
        let services = async {
            set_limits(&context, &config).await?;
            let mut tasks = JoinSet::new();
            tasks.spawn(inventory::run(context.clone(), stop.clone()));
            tasks.spawn(publish::run(context.shared.clone(), issuer.clone(), metrics.clone(), view, stop.clone()));
            tasks.spawn(estimates::run(context.clone(), measured, stop.clone()));
            let (own, ca) = (credentials.clone(), issuer.clone());
            tasks.spawn(revocations::run(context.clone(), ca, own, stop.clone()));
            let renewing = Renewing::new(context.clone(), issuer.clone(), credentials.clone(), config.renew_at_percent);
            tasks.spawn(renewing.run(stop.clone()));
            let mut services = Services { credentials: &credentials, stop: &stop, announce, tasks };
            services.metrics(config.metrics_listen, metrics.clone()).await?;
            services.enrolment(&config, &context, issuer.clone()).await?;
            services.operator(&config, &context, issuer).await?;
            Ok::<_, ControllerError>(services.tasks)
        };
        let tasks = match services.await {
            Ok(tasks) => tasks,
            Err(error) => {
                stop.cancel();
                // When the loop is what failed, its reason is the one to tell.
                return finish(leading).await.and(Err(error));
            }
        };
        tokio::select! {
            () = shutdown => {}
            ended = &mut leading => {
                stop.cancel();
                drain(tasks).await;
                return ended.map_err(|_panicked| ControllerError::Task("the loop"))?.map_err(ControllerError::from);
            }
        }
        tracing::info!("stopping");
        stop.cancel();
        drain(tasks).await;
        finish(leading).await
    }
}

async fn finish(leading: JoinHandle<Result<(), RuntimeError>>) -> Result<(), ControllerError> {
    Ok(leading.await.map_err(|_panicked| ControllerError::Task("the loop"))??)
}

/// Waits for open calls, then ends what is left.
async fn drain(mut tasks: JoinSet<()>) {
    let ended = async {
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(%error, "a service ended badly");
            }
        }
    };
    if tokio::time::timeout(DRAIN, ended).await.is_err() {
        tracing::warn!("some calls did not end in time");
        tasks.shutdown().await;
    }
}

async fn set_limits(context: &Context, config: &ControllerConfig) -> Result<(), ControllerError> {
    if context.shared.world(|world| world.limits == config.limits) {
        return Ok(());
    }
    let submitted = context.inputs.submit(Input::SetLimits { limits: config.limits.clone() }).await;
    submitted.map_err(|unheard| match unheard {
        Unheard::Refused(refusal) => ControllerError::Limits(refusal.message),
        Unheard::Stopped => ControllerError::Task("setting the limits"),
    })
}

/// Another issuing CA signs from now on, if one was installed.
async fn take_up(issuer: &Arc<Issuer>, audit: &Audit) {
    let its = Arc::clone(issuer);
    let read = tokio::task::spawn_blocking(move || its.reload()).await;
    let taken = match read {
        Ok(Ok(taken)) => taken,
        Ok(Err(error)) => {
            let error = shardlift_api::fault::chain(&error);
            return tracing::error!(error, "the CA was not read again: the present one goes on");
        }
        Err(error) => return tracing::error!(%error, "the CA was not read again"),
    };
    if let Some(name) = taken
        && let Err(error) = audit.record(vec![Entry::new(audit.own(), deed::TAKE_UP_CA, &name, DONE)]).await
    {
        tracing::error!(%error, name, "a new issuing CA signs, and it is not in the audit log");
    }
}

/// Reads own certificate and trust, and the CA, from the same files again at SIGHUP; what is not usable changes nothing.
fn reload_on_hangup(
    credentials: Arc<Credentials>,
    issuer: Arc<Issuer>,
    audit: Audit,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()>, ControllerError> {
    let hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    let mut hangup = hangup.map_err(|source| ControllerError::Process("listen for SIGHUP", source))?;
    Ok(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                received = hangup.recv() => if received.is_none() { return },
            }
            match credentials.reload() {
                Ok(()) => tracing::info!(not_after = credentials.not_after().0, "credentials reloaded"),
                Err(error) => {
                    let error = shardlift_api::fault::chain(&error);
                    tracing::error!(error, "credentials not reloaded: the present ones stay");
                }
            }
            take_up(&issuer, &audit).await;
        }
    })
}
