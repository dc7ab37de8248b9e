//! Who vouches for a certificate, decided within one trust domain at a time.
//!
//! There are two kinds of domain: the cluster's own roots, and CAs from before the cluster. A chain that the cluster's
//! roots verify is judged as a member's or refused; only a chain that they do not verify is tried against the older CAs.
//! What an older CA signs names an account by its common name and never a member, whatever else the certificate says.

use crate::clock::unix_time;
use crate::identity::{self, IdentityError, Purpose};
use crate::provider::provider;
use crate::revocation::Revocations;
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls_pki_types::CertificateDer;
use shardlift_model::{ClusterId, Holder, Identity, PeerCertificate, UnixMillis};
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;

/// What [`PeerCertificate::issuer`] says for a certificate from before the cluster.
pub const LEGACY_ISSUER: &str = "legacy";

/// Longest chain that is looked at.
const CHAIN_MAX: usize = 8;

/// Why a chain is not believed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Nothing was shown.
    #[error("no certificate was shown")]
    NoCertificate,
    /// Too long to look at.
    #[error("more than 8 certificates were shown")]
    ChainTooLong,
    /// Neither the cluster nor an older CA vouches for it.
    #[error("the chain does not verify: {0}")]
    Chain(rustls::Error),
    /// The chain is good, the leaf is not.
    #[error("the certificate names nobody")]
    Identity(#[from] IdentityError),
    /// Vouched for, but for another cluster.
    #[error("the certificate is for cluster {found}, not for {expected}")]
    OtherCluster {
        /// The own cluster.
        expected: ClusterId,
        /// What the certificate says.
        found: ClusterId,
    },
    /// The certificate does not state the purpose.
    #[error("the certificate is not meant for a {0}")]
    Purpose(&'static str),
    /// Vouched for once, and taken back.
    #[error("the certificate with serial {0} is revoked")]
    Revoked(String),
    /// A trust anchor that is not usable.
    #[error("not usable as a root: {0}")]
    Root(String),
}

/// A set of roots of one kind and the verifier over them.
#[derive(Debug, Clone)]
struct Domain {
    roots: Arc<RootCertStore>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Domain {
    fn new(certificates: &[CertificateDer<'static>]) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            check_root(certificate)?;
            roots.add(certificate.clone()).map_err(|error| TrustError::Root(error.to_string()))?;
        }
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
            .build()
            .map_err(|error| TrustError::Root(error.to_string()))?;
        Ok(Self { roots, verifier })
    }

    fn verify_client(&self, chain: &[CertificateDer<'_>], now: UnixMillis) -> Result<(), rustls::Error> {
        match chain.split_first() {
            Some((leaf, rest)) => self.verifier.verify_client_cert(leaf, rest, unix_time(now)).map(|_verified| ()),
            None => Err(rustls::Error::NoCertificatesPresented),
        }
    }
}

/// Only a CA may be a root, and only a self-issued one: an issuing CA as a root could not be taken back by its root.
pub(crate) fn check_root(der: &CertificateDer<'_>) -> Result<(), TrustError> {
    let certificate = identity::parse(der).map_err(TrustError::Identity)?;
    let constraints = certificate.basic_constraints().map_err(|error| TrustError::Root(error.to_string()))?;
    if !constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(TrustError::Root(format!("{} is not a CA", certificate.subject())));
    }
    if certificate.subject().as_raw() != certificate.issuer().as_raw() {
        return Err(TrustError::Root(format!("{} is not a root", certificate.subject())));
    }
    certificate
        .verify_signature(None)
        .map_err(|_| TrustError::Root(format!("{} is not signed by itself", certificate.subject())))
}

/// The roots of the cluster's own CA; several while one replaces another.
#[derive(Debug, Clone)]
pub struct ClusterTrust {
    cluster: ClusterId,
    domain: Domain,
    certificates: Vec<CertificateDer<'static>>,
    revocations: Arc<Revocations>,
}

impl ClusterTrust {
    /// Trusts these roots for this cluster.
    ///
    /// # Errors
    /// [`TrustError::Root`] when one is not a self-signed CA, or there is none.
    pub fn new(cluster: ClusterId, roots: &[CertificateDer<'static>]) -> Result<Self, TrustError> {
        let revocations = Arc::default();
        Ok(Self { cluster, domain: Domain::new(roots)?, certificates: roots.to_vec(), revocations })
    }

    /// The same, but for what these lists take back: now, and whenever one of them grows.
    #[must_use]
    pub fn with_revocations(mut self, revocations: Arc<Revocations>) -> Self {
        self.revocations = revocations;
        self
    }

    /// What is taken back.
    #[must_use]
    pub const fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// The cluster these roots speak for.
    #[must_use]
    pub fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// The root that is the issuer of the last certificate of a chain, if it is not part of the chain already.
    pub(crate) fn root_of(&self, chain: &[CertificateDer<'_>]) -> Option<&CertificateDer<'static>> {
        let last = identity::parse(chain.last()?).ok()?;
        self.certificates.iter().find(|root| {
            chain.last() != Some(*root)
                && identity::parse(root).is_ok_and(|root| {
                    root.subject().as_raw() == last.issuer().as_raw()
                        && last.verify_signature(Some(root.public_key())).is_ok()
                })
        })
    }

    /// Whether a root of the cluster has signed this CA.
    pub(crate) fn has_signed(&self, ca: &X509Certificate<'_>) -> bool {
        self.certificates.iter().filter_map(|root| identity::parse(root).ok()).any(|root| {
            root.subject().as_raw() == ca.issuer().as_raw() && ca.verify_signature(Some(root.public_key())).is_ok()
        })
    }

    /// Who a client is, if the cluster vouches for it.
    fn member(&self, chain: &[CertificateDer<'_>]) -> Result<PeerCertificate, TrustError> {
        let leaf = chain.first().ok_or(TrustError::NoCertificate)?;
        let identity = self.identity(leaf)?;
        require_purpose(leaf, Purpose::Client)?;
        let (issuer, serial) = self.not_revoked(leaf)?;
        Ok(PeerCertificate { issuer, holder: Holder::Member(identity), serial })
    }

    /// Issuer and serial of a leaf that was not taken back.
    fn not_revoked(&self, leaf: &[u8]) -> Result<(String, String), TrustError> {
        let issuer = self.label(&identity::issuer_common_name(leaf).map_err(TrustError::Identity)?);
        let serial = identity::serial_hex(leaf).map_err(TrustError::Identity)?;
        if self.revocations.holds(&issuer, &serial) {
            return Err(TrustError::Revoked(serial));
        }
        Ok((issuer, serial))
    }

    /// A CA's name without what is the same for all CAs of this cluster.
    pub(crate) fn label(&self, common_name: &str) -> String {
        let prefix = format!("Shardlift {} ", self.cluster);
        common_name.strip_prefix(&prefix).unwrap_or(common_name).to_owned()
    }

    fn identity(&self, leaf: &[u8]) -> Result<Identity, TrustError> {
        let identity = identity::identity_in(leaf).map_err(TrustError::Identity)?;
        if identity.cluster != self.cluster {
            return Err(TrustError::OtherCluster { expected: self.cluster.clone(), found: identity.cluster });
        }
        Ok(identity)
    }

    /// Who a server is, if the cluster vouches for it as a server.
    pub(crate) fn server_identity(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixMillis,
    ) -> Result<Identity, TrustError> {
        verify_server(&self.domain.roots, leaf, intermediates, now)?;
        self.not_revoked(leaf)?;
        self.identity(leaf)
    }
}

fn require_purpose(leaf: &[u8], purpose: Purpose) -> Result<(), TrustError> {
    if identity::states_purpose(leaf, purpose).map_err(TrustError::Identity)? {
        return Ok(());
    }
    Err(TrustError::Purpose(match purpose {
        Purpose::Server => "server",
        Purpose::Client => "client",
    }))
}

/// Chain, validity and purpose of a server's certificate; the name is the caller's.
pub(crate) fn verify_server(
    roots: &RootCertStore,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixMillis,
) -> Result<(), TrustError> {
    if intermediates.len() >= CHAIN_MAX {
        return Err(TrustError::ChainTooLong);
    }
    let parsed = ParsedCertificate::try_from(leaf).map_err(TrustError::Chain)?;
    let algorithms = provider().signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, unix_time(now), algorithms)
        .map_err(TrustError::Chain)?;
    require_purpose(leaf, Purpose::Server)
}

/// CAs that a shard trusted before it joined a cluster. They name accounts, never members.
#[derive(Debug, Clone)]
pub struct LegacyTrust {
    domain: Domain,
}

impl LegacyTrust {
    /// Trusts these CAs for accounts.
    ///
    /// # Errors
    /// [`TrustError::Root`] when one is not a self-signed CA, or there is none.
    pub fn new(roots: &[CertificateDer<'static>]) -> Result<Self, TrustError> {
        Ok(Self { domain: Domain::new(roots)? })
    }
}

/// Everything a listener believes.
#[derive(Debug, Clone)]
pub struct TrustDomains {
    /// The cluster's own CA.
    pub cluster: ClusterTrust,
    /// CAs from before the cluster.
    pub legacy: Vec<LegacyTrust>,
}

impl TrustDomains {
    /// Who the client is that showed this chain, leaf first.
    ///
    /// # Errors
    /// [`TrustError`]; for the log, never for the peer.
    pub fn classify(&self, chain: &[CertificateDer<'_>], now: UnixMillis) -> Result<PeerCertificate, TrustError> {
        let leaf = chain.first().ok_or(TrustError::NoCertificate)?;
        if chain.len() > CHAIN_MAX {
            return Err(TrustError::ChainTooLong);
        }
        let cluster_error = match self.cluster.domain.verify_client(chain, now) {
            Ok(()) => return self.cluster.member(chain),
            Err(error) => error,
        };
        let is_legacy = self.legacy.iter().any(|legacy| legacy.domain.verify_client(chain, now).is_ok());
        if !is_legacy {
            return Err(TrustError::Chain(self.legacy_error(chain, now).unwrap_or(cluster_error)));
        }
        Ok(PeerCertificate {
            holder: Holder::Legacy { account: identity::common_name(leaf).map_err(TrustError::Identity)? },
            serial: identity::serial_hex(leaf).map_err(TrustError::Identity)?,
            issuer: LEGACY_ISSUER.to_owned(),
        })
    }

    /// The error of the older CA that knows the issuer, which says more than "unknown issuer" of the cluster.
    fn legacy_error(&self, chain: &[CertificateDer<'_>], now: UnixMillis) -> Option<rustls::Error> {
        let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        self.legacy
            .iter()
            .filter_map(|legacy| legacy.domain.verify_client(chain, now).err())
            .find(|error| *error != unknown)
    }
}
