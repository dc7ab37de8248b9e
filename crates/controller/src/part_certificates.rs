//! The certificates of the parts and the controller's own, renewed in time.
//!
//! A part shows what it has; when enough of its life is over it is asked for a request, and gets a certificate for the same
//! identity and the same host names, which are taken from the present certificate and from nowhere else. It is recorded before it is
//! handed out. What fails is tried again at the next look: a third of the life is left for that.

use crate::audit::{Asker, DONE, Unwritten, deed, made};
use crate::channels::{Deadline as _, Within as _};
use crate::clock;
use crate::effects::Context;
use crate::inputs::Unheard;
use crate::issuer::{IssueError, Issuer};
use shardlift_api::fault::{Fault, FaultKind, chain};
use shardlift_api::v1;
use shardlift_audit::{Entry, field};
use shardlift_migration::Input;
use shardlift_migration::certificates::CertificateHolder;
use shardlift_model::{Identity, Role, UnixMillis};
use shardlift_pki::CertificateDer;
use shardlift_pki::identity::{self, IdentityError};
use shardlift_pki::request::{RequestError, create_key_and_request};
use shardlift_pki::tls::{CredentialError, Credentials};
use shardlift_pki::trust::TrustError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Between looks at all parts; one that is new is looked at sooner.
const LOOK: Duration = Duration::from_secs(3600);

/// Between looks for new parts.
const PAUSE: Duration = Duration::from_secs(5);

/// How long a part may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Certificates that are looked at in an answer.
const CHAIN_MAX: usize = 8;

/// Where the controller keeps its own renewed certificate: beside its store.
pub(crate) fn renewed_beside(store: &Path) -> PathBuf {
    store.with_file_name("own-certificate.pem")
}

/// Why a part keeps the certificate that it has.
#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error("the part does not answer")]
    Part(#[from] Status),
    #[error("what the part shows is not believed")]
    Trust(#[from] TrustError),
    #[error("what the part shows is not readable")]
    Shown(#[from] IdentityError),
    #[error("the part shows the certificate of somebody else")]
    SomebodyElse,
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error("it was not recorded: {0}")]
    Unrecorded(String),
    #[error(transparent)]
    Unwritten(#[from] Unwritten),
    #[error("no key was made")]
    Key(#[from] RequestError),
    #[error("it cannot be installed")]
    Install(#[from] CredentialError),
}

impl From<Unheard> for RenewError {
    fn from(unheard: Unheard) -> Self {
        Self::Unrecorded(match unheard {
            Unheard::Refused(refusal) => refusal.message,
            Unheard::Stopped => "the controller stops leading".to_owned(),
        })
    }
}

/// Whose certificate is looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    role: Role,
    name: String,
    address: String,
}

/// What a part shows.
struct Shown {
    identity: Identity,
    serial: String,
    host_names: Vec<String>,
    begins: UnixMillis,
    ends: UnixMillis,
}

/// The task.
pub(crate) struct Renewing {
    context: Context,
    issuer: Arc<Issuer>,
    own: Arc<Credentials>,
    percent: u8,
}

impl Renewing {
    pub(crate) const fn new(context: Context, issuer: Arc<Issuer>, own: Arc<Credentials>, percent: u8) -> Self {
        Self { context, issuer, own, percent }
    }

    /// Until told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut looked: BTreeMap<Part, Instant> = BTreeMap::new();
        let mut own_looked: Option<Instant> = None;
        let is_due = |looked: Option<Instant>| looked.is_none_or(|at| at.elapsed() >= LOOK);
        loop {
            if is_due(own_looked) {
                own_looked = Some(Instant::now());
                self.look_at_own().await;
            }
            let parts = self.parts();
            looked.retain(|part, _| parts.contains(part));
            for part in parts {
                if !is_due(looked.get(&part).copied()) {
                    continue;
                }
                looked.insert(part.clone(), Instant::now());
                // A part that does not answer does not hold up the end.
                if stop.run_until_cancelled(self.look_at(&part)).await.is_none() {
                    return;
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                return;
            }
        }
    }

    fn parts(&self) -> Vec<Part> {
        self.context.shared.world(|world| {
            let shard = |shard: &shardlift_model::ShardId, address: &String| Part {
                role: Role::Shard,
                name: shard.to_string(),
                address: address.clone(),
            };
            let router = |router: &shardlift_model::RouterId, address: &String| Part {
                role: Role::Router,
                name: router.to_string(),
                address: address.clone(),
            };
            let shards = world.shards.iter().map(|(name, record)| shard(name, &record.control_address));
            shards.chain(world.routers.iter().map(|(name, record)| router(name, &record.control_address))).collect()
        })
    }

    async fn look_at_own(&self) {
        let renewed = async {
            let shown = shown(&self.own, &self.own.chain())?;
            if !self.is_due(&shown) {
                return Ok(None);
            }
            let (key, csr_der) = create_key_and_request()?;
            let chain_pem = self.issue(&shown, &csr_der).await?;
            let own = Arc::clone(&self.own);
            let installed = shardlift_net::spawn_blocking(move || own.install(&chain_pem, &key)).await;
            installed.map_err(|_| Status::unavailable("stopping"))??;
            Ok::<_, RenewError>(Some(()))
        };
        self.tell(self.context.audit.own(), renewed.await).await;
    }

    async fn look_at(&self, part: &Part) {
        let renewed = self.renew(part).await;
        self.tell(&format!("{} {}", part.role, part.name), renewed).await;
    }

    async fn tell(&self, whose: &str, renewed: Result<Option<()>, RenewError>) {
        match renewed {
            Ok(None) => {}
            Ok(Some(())) => tracing::info!(part = whose, "its certificate was renewed"),
            Err(RenewError::Part(status)) => {
                tracing::debug!(part = whose, reason = status.message(), "its certificate cannot be looked at");
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(part = whose, error, "its certificate is not renewed: tried again in an hour");
                let audit = &self.context.audit;
                let entry = Entry::new(audit.own(), deed::RENEW, whose, DONE);
                audit.refused(Asker::Member, entry, &Fault::new(FaultKind::Refused, error)).await;
            }
        }
    }

    async fn renew(&self, part: &Part) -> Result<Option<()>, RenewError> {
        let mut client = self.context.channels.part(part.role, &part.name, &part.address);
        let described = client.describe_certificate(DEADLINE.on(v1::DescribeCertificateRequest {})).within(DEADLINE);
        let chain = described.await?.into_inner().chain_der;
        let chain: Vec<_> = chain.into_iter().take(CHAIN_MAX).map(CertificateDer::from).collect();
        let shown = shown(&self.own, &chain)?;
        if shown.identity.role() != part.role || shown.identity.name() != part.name {
            return Err(RenewError::SomebodyElse);
        }
        if !self.is_due(&shown) {
            return Ok(None);
        }
        let request = client.request_certificate(DEADLINE.on(v1::RequestCertificateRequest {})).within(DEADLINE);
        let chain_pem = self.issue(&shown, &request.await?.into_inner().csr_der).await?;
        client.take_certificate(DEADLINE.on(v1::TakeCertificateRequest { chain_pem })).within(DEADLINE).await?;
        Ok(Some(()))
    }

    fn is_due(&self, shown: &Shown) -> bool {
        let life = shown.ends.0.saturating_sub(shown.begins.0);
        clock::now().0 >= shown.begins.0.saturating_add(life / 100 * u64::from(self.percent))
    }

    /// Recorded when it returns.
    async fn issue(&self, shown: &Shown, csr_der: &[u8]) -> Result<String, RenewError> {
        let (role, name) = (shown.identity.role(), shown.identity.name());
        let audit = &self.context.audit;
        audit.admit().map_err(|_| RenewError::Unrecorded("the audit log cannot be written".to_owned()))?;
        let issued = self.issuer.issue_part(role, name, &shown.host_names, csr_der)?;
        let holder = CertificateHolder { role, name: name.to_owned() };
        let entry = made(audit.own(), deed::RENEW, &shown.identity.to_string(), &issued);
        let (serial, not_after) = (issued.serial, issued.not_after);
        let input = Input::RenewCertificate { shown: shown.serial.clone(), serial, holder, not_after };
        self.context.inputs.submit(input).await?;
        audit.record(vec![entry.text(field::SHOWN, &shown.serial)]).await?;
        Ok(issued.chain_pem)
    }
}

/// What is believed of a chain.
fn shown(own: &Credentials, chain: &[CertificateDer<'static>]) -> Result<Shown, RenewError> {
    own.cluster_trust().classify(chain, clock::now())?;
    let leaf = chain.first().ok_or(TrustError::NoCertificate)?;
    Ok(Shown {
        identity: identity::identity_in(leaf)?,
        serial: identity::serial_hex(leaf)?,
        host_names: identity::host_names(leaf)?,
        begins: identity::not_before(leaf)?,
        ends: identity::not_after(leaf)?,
    })
}

#[cfg(test)]
mod tests;
