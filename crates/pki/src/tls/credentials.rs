//! The own certificate, key and roots, loaded from files and replaced as a whole.
//!
//! What is in use was checked: the key is the certificate's, the own roots verify the own chain, the identity never
//! changes under a running process. A reload that fails any of this leaves what is in use as it is.

use super::error::CredentialError;
use crate::clock::now;
use crate::pem_text::{PemError, certificates_in, private_key_in};
use crate::provider::provider;
use crate::revocation::Revocations;
use crate::trust::{ClusterTrust, LegacyTrust, TrustDomains};
use crate::{files, identity};
use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use shardlift_model::{Identity, UnixMillis};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where credentials are; as written in the `[tls]` section of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialPaths {
    /// The own chain: leaf first, then the issuing CA.
    pub certificate: PathBuf,
    /// The own key; may be the same file.
    pub key: PathBuf,
    /// The roots of the cluster's CA.
    pub ca: PathBuf,
    /// CAs from before the cluster, for client certificates that they issued.
    #[serde(default)]
    pub legacy_ca: Vec<PathBuf>,
}

impl CredentialPaths {
    /// The same files; relative paths start at `folder`.
    #[must_use]
    pub fn below(self, folder: &Path) -> Self {
        Self {
            certificate: folder.join(self.certificate),
            key: folder.join(self.key),
            ca: folder.join(self.ca),
            legacy_ca: self.legacy_ca.into_iter().map(|path| folder.join(path)).collect(),
        }
    }
}

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
    identity: Identity,
    not_after: UnixMillis,
}

/// A part's own certificate and whom it trusts.
#[derive(Debug)]
pub struct Credentials {
    paths: CredentialPaths,
    loaded: ArcSwap<Loaded>,
    /// Stays the same over reloads.
    revocations: Arc<Revocations>,
}

impl Credentials {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// [`CredentialError`] names the file and what is wrong with it.
    pub fn load(paths: CredentialPaths) -> Result<Arc<Self>, CredentialError> {
        let revocations = Arc::default();
        let loaded = Loaded::read(&paths, &revocations)?;
        Ok(Arc::new(Self { paths, loaded: ArcSwap::from_pointee(loaded), revocations }))
    }

    /// Reads the same files again and uses them for every handshake from now on.
    ///
    /// # Errors
    /// [`CredentialError`]; what was in use stays in use.
    pub fn reload(&self) -> Result<(), CredentialError> {
        let loaded = Loaded::read(&self.paths, &self.revocations)?;
        let expected = self.identity();
        if loaded.identity != expected {
            return Err(CredentialError::OtherIdentity {
                expected: expected.to_uri(),
                found: loaded.identity.to_uri(),
            });
        }
        self.loaded.store(Arc::new(loaded));
        Ok(())
    }

    /// Who this part is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.loaded.load().identity.clone()
    }

    /// When the own certificate ends.
    #[must_use]
    pub fn not_after(&self) -> UnixMillis {
        self.loaded.load().not_after
    }

    /// Whom a client-facing listener believes: the cluster, and the older CAs.
    #[must_use]
    pub fn trust(&self) -> Arc<TrustDomains> {
        self.loaded.load().trust.clone()
    }

    /// Whom a listener between parts believes: the cluster alone.
    #[must_use]
    pub fn cluster_trust(&self) -> Arc<TrustDomains> {
        self.loaded.load().cluster_trust.clone()
    }

    /// What the cluster has taken back, as far as this part was told.
    #[must_use]
    pub const fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Where these credentials are read from.
    #[must_use]
    pub const fn paths(&self) -> &CredentialPaths {
        &self.paths
    }

    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        self.loaded.load_full()
    }
}

impl Loaded {
    fn read(paths: &CredentialPaths, revocations: &Arc<Revocations>) -> Result<Self, CredentialError> {
        let key = read_key(&paths.certificate, &paths.key)?;
        let own =
            |source| CredentialError::OwnChain { certificate: paths.certificate.clone(), ca: paths.ca.clone(), source };
        let roots = read_certificates(&paths.ca)?;
        let leaf = key
            .cert
            .first()
            .ok_or_else(|| CredentialError::Pem { path: paths.certificate.clone(), source: PemError::NoCertificate })?;
        let identity = identity::identity_in(leaf).map_err(|error| own(error.into()))?;
        let not_after = identity::not_after(leaf).map_err(|error| own(error.into()))?;
        let cluster = ClusterTrust::new(identity.cluster.clone(), &roots)
            .map_err(|source| CredentialError::Authority { path: paths.ca.clone(), source })?
            .with_revocations(Arc::clone(revocations));
        let cluster_trust = TrustDomains { cluster, legacy: Vec::new() };
        cluster_trust.classify(&key.cert, now()).map_err(own)?;
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

fn read_key(certificate: &Path, key: &Path) -> Result<CertifiedKey, CredentialError> {
    let chain = read_certificates(certificate)?;
    let der =
        private_key_in(&read_text(key)?).map_err(|source| CredentialError::Pem { path: key.to_owned(), source })?;
    CertifiedKey::from_der(chain, der, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            CredentialError::KeyMismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        error => CredentialError::Key { path: key.to_owned(), reason: error.to_string() },
    })
}

/// A second server certificate, for clients that do not know the cluster's CA yet.
#[derive(Debug)]
pub struct ServerChain {
    certificate: PathBuf,
    key: PathBuf,
    loaded: ArcSwap<CertifiedKey>,
}

impl ServerChain {
    /// Reads a chain and its key.
    ///
    /// # Errors
    /// [`CredentialError`] names the file and what is wrong with it.
    pub fn load(certificate: PathBuf, key: PathBuf) -> Result<Arc<Self>, CredentialError> {
        let loaded = ArcSwap::from_pointee(read_key(&certificate, &key)?);
        Ok(Arc::new(Self { certificate, key, loaded }))
    }

    /// Reads the same files again.
    ///
    /// # Errors
    /// [`CredentialError`]; what was in use stays in use.
    pub fn reload(&self) -> Result<(), CredentialError> {
        self.loaded.store(Arc::new(read_key(&self.certificate, &self.key)?));
        Ok(())
    }

    pub(super) fn current(&self) -> Arc<CertifiedKey> {
        self.loaded.load_full()
    }
}
