//! Certificates for nodes and parts: the cluster's CA, its built-in profiles, and the CAs that clients trust meanwhile.
//!
//! Every certificate that is made is in the audit log (`target = "audit"`), whether or not it is handed out.

use crate::clock;
use crate::state::Shared;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_migration::World;
use shardlift_migration::certificates::RevocationListState;
use shardlift_model::{ClusterId, Identity, NodeId, Role, Sha256, UnixMillis};
use shardlift_pki::authority::{Authority, AuthorityError, CertifiedName, Issued, Listed};
use shardlift_pki::bundle::{self, BundleError};
use shardlift_pki::profile::{Kind, Profile, ProfileError};
use shardlift_pki::request::{self, RequestError};
use shardlift_pki::revocation::list_der;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

/// Host names of one certificate.
const HOST_NAMES_MAX: usize = 64;

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssueError {
    /// The request is not acceptable.
    #[error("the certificate request is refused: {0}")]
    Request(#[from] RequestError),
    /// The names are not acceptable.
    #[error("{0}")]
    Names(String),
    /// The CA failed.
    #[error("the CA did not sign")]
    Authority(#[from] AuthorityError),
    /// A built-in profile is broken.
    #[error("a built-in profile is not usable")]
    Profile(#[from] ProfileError),
}

impl From<IssueError> for Fault {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Request(_) | IssueError::Names(_) => Self::new(FaultKind::Invalid, error.to_string()),
            IssueError::Authority(_) | IssueError::Profile(_) => Self::internal(error),
        }
    }
}

/// Why an issuer cannot work.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// A CA file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The CA files make no bundle.
    #[error("the CA files make no bundle for clients")]
    Bundle(#[from] BundleError),
    /// The CA is not this cluster's.
    #[error("the CA signs for cluster {found}, this controller is configured for {expected}")]
    OtherCluster {
        /// As configured.
        expected: ClusterId,
        /// The CA's.
        found: ClusterId,
    },
}

/// How long a list is good for: renewed daily, it survives a week without a controller.
const LIST_VALIDITY: Duration = Duration::from_secs(7 * 24 * 3600);

/// A revocation list, as it is brought to shards.
#[derive(Debug)]
pub(crate) struct SignedList {
    /// Of the list.
    pub(crate) number: u64,
    /// When it was made.
    pub(crate) at: UnixMillis,
    /// When a newer one should be there.
    pub(crate) next_update: UnixMillis,
    /// The list, and the certificate of its CA.
    pub(crate) pem: String,
    /// The list alone, in DER.
    pub(crate) der: Arc<[u8]>,
}

/// The cluster's CA at work.
pub(crate) struct Issuer {
    authority: Authority,
    /// Signed once: a second signature under the same number would be another list.
    list: Mutex<Option<Arc<SignedList>>>,
    /// What a client trusts during the overlap: the cluster and the older CAs.
    client_ca_pem: String,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("cluster", self.authority.cluster()).finish_non_exhaustive()
    }
}

impl Issuer {
    /// An issuer for a cluster; `legacy_ca` are the CA files that clients need until the old servers are gone.
    pub(crate) fn new(authority: Authority, cluster: &ClusterId, legacy_ca: &[PathBuf]) -> Result<Self, IssuerError> {
        if authority.cluster() != cluster {
            let (expected, found) = (cluster.clone(), authority.cluster().clone());
            return Err(IssuerError::OtherCluster { expected, found });
        }
        let mut texts = vec![authority.ca_pem()];
        for path in legacy_ca {
            let read = std::fs::read_to_string(path);
            texts.push(read.map_err(|source| IssuerError::Read { path: path.clone(), source })?);
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let client_ca_pem = bundle::ca_pem(&texts)?;
        Ok(Self { authority, list: Mutex::default(), client_ca_pem })
    }

    /// The CA's name, as lists and shards write it.
    pub(crate) fn name(&self) -> String {
        format!("issuing-{}", self.authority.generation())
    }

    /// The list that follows from what is recorded; `None` before the first one was ordered.
    pub(crate) fn list(&self, shared: &Shared) -> Result<Option<Arc<SignedList>>, AuthorityError> {
        let mut signed = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = shared.world(|world| world.revocation_list);
        if wanted.number == 0 {
            return Ok(None);
        }
        if let Some(list) = signed.as_ref().filter(|list| list.number == wanted.number) {
            return Ok(Some(Arc::clone(list)));
        }
        let list = Arc::new(shared.world(|world| self.sign(world))?);
        *signed = Some(Arc::clone(&list));
        Ok(Some(list))
    }

    fn sign(&self, world: &World) -> Result<SignedList, AuthorityError> {
        let RevocationListState { number, at } = world.revocation_list;
        let listed = world.certificates.iter().filter_map(|(serial, known)| {
            let revoked = known.revoked?;
            Some(Listed { serial, at: revoked.at, reason: revoked.reason })
        });
        let pem = self.authority.sign_list(number, at, LIST_VALIDITY, listed)?;
        let der =
            list_der(&pem).ok_or_else(|| AuthorityError::NotMade("the list is not in its own text".to_owned()))?;
        let der = der.into();
        Ok(SignedList { number, at, next_update: at.plus(LIST_VALIDITY), pem, der })
    }

    /// The root's fingerprint.
    pub(crate) fn fingerprint(&self) -> String {
        self.authority.fingerprint()
    }

    /// What a client must trust.
    pub(crate) fn client_ca_pem(&self) -> &str {
        &self.client_ca_pem
    }

    /// What a part must trust.
    pub(crate) fn cluster_ca_pem(&self) -> String {
        self.authority.ca_pem()
    }

    /// A certificate for a node; nothing but the key is taken from the request.
    pub(crate) fn issue_node(&self, node: &NodeId, csr_der: &[u8]) -> Result<Issued, IssueError> {
        let identity = Identity::node(self.authority.cluster().clone(), node.clone());
        self.issue(&identity, &[], csr_der)
    }

    /// A certificate for a part or an operator.
    pub(crate) fn issue_part(
        &self,
        role: Role,
        name: &str,
        host_names: &[String],
        csr_der: &[u8],
    ) -> Result<Issued, IssueError> {
        let identity = Identity::new(self.authority.cluster().clone(), role, name)
            .map_err(|error| IssueError::Names(format!("name: {error}")))?;
        if host_names.len() > HOST_NAMES_MAX {
            return Err(IssueError::Names(format!("more than {HOST_NAMES_MAX} host names")));
        }
        let parse = |text: &String| {
            text.parse::<CertifiedName>().map_err(|_| IssueError::Names(format!("{text:?} is not a host name")))
        };
        let host_names = host_names.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        if !host_names.is_empty() && matches!(role, Role::Operator | Role::Node) {
            return Err(IssueError::Names(format!("a certificate for a {role} carries no host names")));
        }
        self.issue(&identity, &host_names, csr_der)
    }

    fn issue(&self, identity: &Identity, names: &[CertifiedName], csr_der: &[u8]) -> Result<Issued, IssueError> {
        let checked = request::check_for(csr_der, identity)?;
        let profile = Profile::built_in(Kind::from(identity.role()))?;
        let issued = self.authority.issue(&profile, identity, names, &checked, clock::now())?;
        let (serial, not_after) = (&issued.serial, issued.not_after.0);
        tracing::info!(target: "audit", %identity, serial, not_after, "certificate made");
        Ok(issued)
    }
}

/// Hash of a request's public key: the same key again is a repetition.
pub(crate) fn public_key_hash(csr_der: &[u8]) -> Result<Sha256, RequestError> {
    if csr_der.len() > request::REQUEST_BYTES_MAX {
        return Err(RequestError::TooLarge);
    }
    let (_, parsed) = X509CertificationRequest::from_der(csr_der).map_err(|_| RequestError::Malformed)?;
    let key = parsed.certification_request_info.subject_pki.raw;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    Ok(Sha256(hash))
}
