//! The own certificate, key and roots, loaded from files and replaced as a whole.
//!
//! What is in use was checked: the key is the certificate's, the own roots verify the own chain, the identity never
//! changes under a running process. A reload that fails any of this leaves what is in use as it is.

use super::error::CredentialError;
use super::loaded::{Loaded, Pair, read_key};
use crate::clock::now;
use crate::pem_text::certificates_in;
use crate::revocation::Revocations;
use crate::secret::SecretPem;
use crate::trust::TrustDomains;
use crate::{bundle, files};
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

/// A part's own certificate and whom it trusts.
#[derive(Debug)]
pub struct Credentials {
    paths: CredentialPaths,
    /// What was renewed, chain and key in one file; `None`: nothing is.
    renewed: Option<PathBuf>,
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
        Self::load_from(paths, None)
    }

    /// The same for a part whose certificate is renewed: the later one of these files and of `renewed` is used.
    ///
    /// # Errors
    /// As [`Credentials::load`].
    pub fn load_renewable(paths: CredentialPaths, renewed: PathBuf) -> Result<Arc<Self>, CredentialError> {
        Self::load_from(paths, Some(renewed))
    }

    fn load_from(paths: CredentialPaths, renewed: Option<PathBuf>) -> Result<Arc<Self>, CredentialError> {
        let revocations = Arc::default();
        let loaded = Loaded::read(&paths, renewed.as_deref(), &revocations)?;
        Ok(Arc::new(Self { paths, renewed, loaded: ArcSwap::from_pointee(loaded), revocations }))
    }

    /// Reads the same files again and uses them for every handshake from now on.
    ///
    /// # Errors
    /// [`CredentialError`]; what was in use stays in use.
    pub fn reload(&self) -> Result<(), CredentialError> {
        let loaded = Loaded::read(&self.paths, self.renewed.as_deref(), &self.revocations)?;
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

    /// Puts a renewed chain in place of the present one, durable first, and uses it for every handshake from now on. Blocks.
    ///
    /// # Errors
    /// [`CredentialError`] when it is not this part's, not `key`'s, not believed or cannot be kept; what was in use stays so.
    pub fn install(&self, chain_pem: &str, key: &SecretPem) -> Result<(), CredentialError> {
        let path = self.renewed.as_deref().ok_or(CredentialError::NotRenewable)?;
        let unusable = |source| CredentialError::Pem { path: path.to_owned(), source };
        let text = bundle::client_pem(chain_pem, key).map_err(|error| CredentialError::Renewed(error.to_string()))?;
        let found = Pair::parse(text.expose(), text.expose(), path, path)?;
        if found.identity != self.identity() {
            let (expected, found) = (self.identity().to_uri(), found.identity.to_uri());
            return Err(CredentialError::OtherIdentity { expected, found });
        }
        let chain = certificates_in(chain_pem).map_err(unusable)?;
        self.cluster_trust().classify(&chain, now()).map_err(|error| CredentialError::Renewed(error.to_string()))?;
        let kept = files::write_private(path, text.expose().as_bytes());
        kept.map_err(|source| CredentialError::Keep { path: path.to_owned(), source })?;
        self.reload()
    }

    /// The own chain, leaf first, as it is shown.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.loaded.load().key.cert.clone()
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
