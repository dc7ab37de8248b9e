//! Certificates for nodes and parts: the cluster's CA, its built-in profiles, and the CAs that clients trust meanwhile.
//!
//! Whoever hands a certificate out writes it into the audit log first.

mod lists;

pub(crate) use lists::SignedList;

use crate::clock;
use crate::state::Shared;
use lists::SignedLists;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_model::{ClusterId, Identity, NodeId, Role, Sha256, UnixMillis};
use shardlift_pki::Passphrase;
use shardlift_pki::authority::{Authority, AuthorityError, CertifiedName, Issued, list_cas};
use shardlift_pki::bundle::{self, BundleError};
use shardlift_pki::profile::{Kind, Profile, ProfileError};
use shardlift_pki::request::{self, RequestError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
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
    /// The CA cannot be loaded.
    #[error("the CA cannot be used")]
    Authority(#[from] AuthorityError),
    /// Another root in the same folder.
    #[error("the root in the folder of the CA has changed: what this cluster trusts cannot change while it runs")]
    OtherRoot,
    /// The newest issuing CA is gone.
    #[error("{held} signs, and only {found} is in the folder of the CA")]
    Older {
        /// What signs.
        held: String,
        /// What was found.
        found: String,
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

/// The cluster's CA at work.
pub(crate) struct Issuer {
    authority: RwLock<Arc<Authority>>,
    folder: PathBuf,
    /// For the next issuing CA: a descriptor can be read once.
    passphrase: Passphrase,
    lists: SignedLists,
    /// What a client trusts during the overlap: the cluster and the older CAs.
    client_ca_pem: String,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("cluster", self.authority().cluster()).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Loads the CA in a folder; `legacy_ca` are the CA files that clients need until the old servers are gone.
    pub(crate) fn load(
        folder: &Path,
        passphrase: Passphrase,
        cluster: &ClusterId,
        legacy_ca: &[PathBuf],
    ) -> Result<Self, IssuerError> {
        let authority = opened(folder, &passphrase)?;
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
        let (authority, folder) = (RwLock::new(Arc::new(authority)), folder.to_owned());
        Ok(Self { authority, folder, passphrase, lists: SignedLists::default(), client_ca_pem })
    }

    fn authority(&self) -> Arc<Authority> {
        Arc::clone(&self.authority.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes up an issuing CA that was installed meanwhile, and returns its name; `None`: there is no other one. The root stays
    /// what it was, and the present CA is never followed by an older one. Blocks.
    ///
    /// # Errors
    /// [`IssuerError`]; the present one goes on then.
    pub(crate) fn reload(&self) -> Result<Option<String>, IssuerError> {
        let loaded = opened(&self.folder, &self.passphrase)?;
        let present = self.authority();
        if loaded.fingerprint() != present.fingerprint() {
            return Err(IssuerError::OtherRoot);
        }
        let (found, held) = (loaded.generation(), present.generation());
        if found < held {
            return Err(IssuerError::Older { held: lists::name(held), found: lists::name(found) });
        }
        *self.authority.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        Ok((found > held).then(|| lists::name(found)))
    }

    /// The name of the CA that signs certificates, and when it ends.
    pub(crate) fn signing(&self) -> Result<(String, UnixMillis), AuthorityError> {
        let authority = self.authority();
        Ok((lists::name(authority.generation()), authority.not_after()?))
    }

    /// The names of the CAs whose lists hold, as lists and shards write them.
    pub(crate) fn listing(&self) -> Result<Vec<String>, AuthorityError> {
        Ok(self.authority().listing(clock::now())?.into_iter().map(lists::name).collect())
    }

    /// The lists that follow from what is recorded, of the CA that signs certificates first; none before the first one was ordered.
    pub(crate) fn lists(&self, shared: &Shared) -> Result<Vec<Arc<SignedList>>, AuthorityError> {
        self.lists.holding(&self.authority(), shared, clock::now())
    }

    /// The root's fingerprint.
    pub(crate) fn fingerprint(&self) -> String {
        self.authority().fingerprint()
    }

    /// What a client must trust.
    pub(crate) fn client_ca_pem(&self) -> &str {
        &self.client_ca_pem
    }

    /// What a part must trust.
    pub(crate) fn cluster_ca_pem(&self) -> String {
        self.authority().ca_pem()
    }

    /// A certificate for a node; nothing but the key is taken from the request.
    pub(crate) fn issue_node(&self, node: &NodeId, csr_der: &[u8]) -> Result<Issued, IssueError> {
        let identity = Identity::node(self.authority().cluster().clone(), node.clone());
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
        let identity = Identity::new(self.authority().cluster().clone(), role, name)
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
        let issued = self.authority().issue(&profile, identity, names, &checked, clock::now())?;
        let (serial, not_after) = (&issued.serial, issued.not_after.0);
        tracing::debug!(%identity, serial, not_after, "certificate made");
        Ok(issued)
    }
}

/// The CA in a folder; warns of what can no longer be taken back.
fn opened(folder: &Path, passphrase: &Passphrase) -> Result<Authority, AuthorityError> {
    let authority = Authority::load(folder, passphrase)?;
    for name in without_key(folder, clock::now())? {
        tracing::warn!(name, "the key of this issuing CA is gone: nothing that it signed can be taken back");
    }
    Ok(authority)
}

/// Issuing CAs that have not ended and cannot sign lists.
fn without_key(folder: &Path, now: UnixMillis) -> Result<Vec<String>, AuthorityError> {
    let cas = list_cas(folder)?.into_iter().skip(1);
    Ok(cas.filter(|ca| !ca.has_key && now < ca.not_after).map(|ca| ca.name).collect())
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

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_pki::authority::{RootMaterial, create_issuing};

    #[test]
    fn a_ca_whose_key_is_gone_is_told_of_until_it_ends() {
        let root = tempfile::tempdir().unwrap();
        let (folder, passphrase, now) = (root.path().join("ca"), Passphrase::from("correct horse"), clock::now());
        let first = Authority::init(&folder, &"c1".parse().unwrap(), &passphrase, now).unwrap();
        let material = RootMaterial::load(&folder, &passphrase).unwrap();
        let profile = Profile::built_in(Kind::Issuing).unwrap();
        create_issuing(&material, 2, &passphrase, now, &profile).unwrap().save(&folder).unwrap();
        assert_eq!(without_key(&folder, now).unwrap(), Vec::<String>::new());
        std::fs::remove_file(folder.join("root.key")).unwrap();
        assert_eq!(without_key(&folder, now).unwrap(), Vec::<String>::new(), "a root signs no lists");
        std::fs::remove_file(folder.join("issuing-1.key")).unwrap();
        assert_eq!(without_key(&folder, now).unwrap(), ["issuing-1"]);
        assert_eq!(without_key(&folder, first.not_after().unwrap()).unwrap(), Vec::<String>::new());
    }
}
