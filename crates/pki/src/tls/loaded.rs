//! One consistent set of credentials, read from files: the later one of two certificates of the same part.

use super::credentials::CredentialPaths;
use super::error::CredentialError;
use crate::clock::now;
use crate::pem_text::{PemError, certificates_in, private_key_in};
use crate::provider::provider;
use crate::revocation::Revocations;
use crate::trust::{ClusterTrust, LegacyTrust, TrustDomains};
use crate::{files, identity};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use shardlift_model::{Identity, UnixMillis};
use std::path::Path;
use std::sync::Arc;

/// One consistent set.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(super) key: Arc<CertifiedKey>,
    /// The same with the root at the end, for clients that know the root by its fingerprint.
    pub(crate) key_with_root: Arc<CertifiedKey>,
    /// Cluster and older CAs.
    pub(super) trust: Arc<TrustDomains>,
    /// The cluster alone.
    pub(super) cluster_trust: Arc<TrustDomains>,
    pub(super) identity: Identity,
    pub(super) not_after: UnixMillis,
}

/// A chain with its key.
pub(super) struct Pair {
    key: CertifiedKey,
    pub(super) identity: Identity,
    not_before: UnixMillis,
    not_after: UnixMillis,
}

impl Pair {
    fn read(certificate: &Path, key: &Path) -> Result<Self, CredentialError> {
        Self::parse(&read_text(certificate)?, &read_text(key)?, certificate, key)
    }

    /// Of texts that were read from these files.
    pub(super) fn parse(
        chain_pem: &str,
        key_pem: &str,
        certificate: &Path,
        key: &Path,
    ) -> Result<Self, CredentialError> {
        let key = parse_key(chain_pem, key_pem, certificate, key)?;
        let bad = |source| CredentialError::Pem { path: certificate.to_owned(), source };
        let leaf = key.cert.first().ok_or_else(|| bad(PemError::NoCertificate))?;
        let own = |source| CredentialError::Leaf { certificate: certificate.to_owned(), source };
        let identity = identity::identity_in(leaf).map_err(own)?;
        let (not_before, not_after) =
            (identity::not_before(leaf).map_err(own)?, identity::not_after(leaf).map_err(own)?);
        Ok(Self { key, identity, not_before, not_after })
    }
}

impl Loaded {
    pub(super) fn read(
        paths: &CredentialPaths,
        renewed: Option<&Path>,
        revocations: &Arc<Revocations>,
    ) -> Result<Self, CredentialError> {
        let configured = Pair::read(&paths.certificate, &paths.key)?;
        let own =
            |source| CredentialError::OwnChain { certificate: paths.certificate.clone(), ca: paths.ca.clone(), source };
        let roots = read_certificates(&paths.ca)?;
        let cluster = ClusterTrust::new(configured.identity.cluster.clone(), &roots)
            .map_err(|source| CredentialError::Authority { path: paths.ca.clone(), source })?
            .with_revocations(Arc::clone(revocations));
        let cluster_trust = TrustDomains { cluster, legacy: Vec::new() };
        let renewed = renewed.and_then(|path| usable(path, &configured, &cluster_trust));
        let Pair { key, identity, not_after, .. } = match renewed {
            Some(renewed) => renewed,
            None => {
                cluster_trust.classify(&configured.key.cert, now()).map_err(own)?;
                configured
            }
        };
        let legacy = paths.legacy_ca.iter().map(|path| read_legacy(path)).collect::<Result<_, _>>()?;
        let trust = TrustDomains { cluster: cluster_trust.cluster.clone(), legacy };
        let mut key_with_root = key.clone();
        key_with_root.cert.extend(cluster_trust.cluster.root_of(&key.cert).cloned());
        Ok(Self {
            key: Arc::new(key),
            key_with_root: Arc::new(key_with_root),
            trust: Arc::new(trust),
            cluster_trust: Arc::new(cluster_trust),
            identity,
            not_after,
        })
    }
}

/// What was renewed, if it is this part's, later than what is configured, and believed. What cannot be used does not stop a
/// part that has another certificate.
fn usable(path: &Path, configured: &Pair, trust: &TrustDomains) -> Option<Pair> {
    if !path.exists() {
        return None;
    }
    let pair = match Pair::read(path, path) {
        Ok(pair) => pair,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "the renewed certificate cannot be read: the configured one is used");
            return None;
        }
    };
    // An operator has put a later one, or one for another name, in the configured place.
    if pair.identity != configured.identity || pair.not_before < configured.not_before {
        return None;
    }
    match trust.classify(&pair.key.cert, now()) {
        Ok(_believed) => Some(pair),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "the renewed certificate is not believed: the configured one is used");
            None
        }
    }
}

fn read_legacy(path: &Path) -> Result<LegacyTrust, CredentialError> {
    LegacyTrust::new(&read_certificates(path)?)
        .map_err(|source| CredentialError::Authority { path: path.to_owned(), source })
}

fn read_text(path: &Path) -> Result<zeroize::Zeroizing<String>, CredentialError> {
    files::read(path).map_err(|source| CredentialError::Read { path: path.to_owned(), source })
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    certificates_in(&read_text(path)?).map_err(|source| CredentialError::Pem { path: path.to_owned(), source })
}

pub(super) fn read_key(certificate: &Path, key: &Path) -> Result<CertifiedKey, CredentialError> {
    parse_key(&read_text(certificate)?, &read_text(key)?, certificate, key)
}

fn parse_key(chain_pem: &str, key_pem: &str, certificate: &Path, key: &Path) -> Result<CertifiedKey, CredentialError> {
    let chain =
        certificates_in(chain_pem).map_err(|source| CredentialError::Pem { path: certificate.to_owned(), source })?;
    let der = private_key_in(key_pem).map_err(|source| CredentialError::Pem { path: key.to_owned(), source })?;
    CertifiedKey::from_der(chain, der, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            CredentialError::KeyMismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        error => CredentialError::Key { path: key.to_owned(), reason: error.to_string() },
    })
}
