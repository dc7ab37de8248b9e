//! Configurations of listeners.

use super::credentials::{Credentials, ServerChain};
use super::error::TlsError;
use super::verifier::refused_by_trust;
use crate::clock::{time_provider, unix_millis};
use crate::provider::provider;
use crate::revocation::Revocations;
use crate::trust::TrustDomains;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::sync::Arc;

/// Whether a client must show a certificate. One that is shown is always verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// No handshake without.
    Required,
    /// A client may authenticate in another way.
    Optional,
}

/// Whom a listener believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Believes {
    ClusterAlone,
    ClusterAndLegacy,
}

/// A listener's configuration together with the trust that its peers are judged by. Both follow reloads.
#[derive(Debug, Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    credentials: Arc<Credentials>,
    believes: Believes,
}

impl ServerTls {
    /// The configuration; it stays the same object across reloads.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// The trust as of now.
    #[must_use]
    pub fn trust(&self) -> Arc<TrustDomains> {
        self.believes.of(&self.credentials)
    }

    /// What is taken back of it.
    #[must_use]
    pub fn revocations(&self) -> Arc<Revocations> {
        Arc::clone(self.credentials.revocations())
    }
}

impl Believes {
    fn of(self, credentials: &Credentials) -> Arc<TrustDomains> {
        match self {
            Self::ClusterAlone => credentials.cluster_trust(),
            Self::ClusterAndLegacy => credentials.trust(),
        }
    }
}

/// Between parts: a certificate of the own cluster is required, TLS 1.3 only.
///
/// # Errors
/// [`TlsError::Configuration`] when the TLS library refuses.
pub fn mutual_server_config(credentials: &Arc<Credentials>, alpn: &[&[u8]]) -> Result<ServerTls, TlsError> {
    let believes = Believes::ClusterAlone;
    let verifier = Verifier { credentials: credentials.clone(), believes, mandatory: true };
    let shown = Shown::Own(credentials.clone());
    build(credentials, believes, Some(verifier), shown, &Versions::Tls13, alpn)
}

/// For those who have no certificate yet. The chain ends with the root, so that a client can know it by its fingerprint.
///
/// # Errors
/// [`TlsError::Configuration`] when the TLS library refuses.
pub fn server_only_config(credentials: &Arc<Credentials>, alpn: &[&[u8]]) -> Result<ServerTls, TlsError> {
    let shown = Shown::OwnWithRoot(credentials.clone());
    build(credentials, Believes::ClusterAlone, None, shown, &Versions::Tls13, alpn)
}

/// The same for those who may have one of the cluster already: what is shown is verified, and nothing need be.
///
/// # Errors
/// [`TlsError::Configuration`] when the TLS library refuses.
pub fn enrolment_config(credentials: &Arc<Credentials>, alpn: &[&[u8]]) -> Result<ServerTls, TlsError> {
    let believes = Believes::ClusterAlone;
    let verifier = Verifier { credentials: credentials.clone(), believes, mandatory: false };
    let shown = Shown::OwnWithRoot(credentials.clone());
    build(credentials, believes, Some(verifier), shown, &Versions::Tls13, alpn)
}

/// For backup clients: certificates of the cluster and of the older CAs, TLS 1.2 and 1.3. Which member may do what is
/// the service's decision, taken from the peer.
///
/// # Errors
/// [`TlsError::Configuration`] when the TLS library refuses.
pub fn client_facing_config(
    credentials: &Arc<Credentials>,
    client_auth: ClientAuth,
    server_chain: Option<Arc<ServerChain>>,
    alpn: &[&[u8]],
) -> Result<ServerTls, TlsError> {
    let believes = Believes::ClusterAndLegacy;
    let mandatory = client_auth == ClientAuth::Required;
    let verifier = Verifier { credentials: credentials.clone(), believes, mandatory };
    let shown = server_chain.map_or_else(|| Shown::Own(credentials.clone()), Shown::Other);
    build(credentials, believes, Some(verifier), shown, &Versions::Tls12And13, alpn)
}

enum Versions {
    Tls13,
    Tls12And13,
}

fn build(
    credentials: &Arc<Credentials>,
    believes: Believes,
    verifier: Option<Verifier>,
    shown: Shown,
    versions: &Versions,
    alpn: &[&[u8]],
) -> Result<ServerTls, TlsError> {
    let versions = match versions {
        Versions::Tls13 => &[&rustls::version::TLS13][..],
        Versions::Tls12And13 => &[&rustls::version::TLS13, &rustls::version::TLS12][..],
    };
    let builder = ServerConfig::builder_with_details(provider(), time_provider())
        .with_protocol_versions(versions)
        .map_err(TlsError::Configuration)?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(Arc::new(verifier)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    // A resumed session skips the verifier: revoked and expired certificates and removed CAs would get in.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(ServerTls { config: Arc::new(config), credentials: credentials.clone(), believes })
}

/// Which chain the server shows, looked up at every handshake.
#[derive(Debug)]
enum Shown {
    Own(Arc<Credentials>),
    OwnWithRoot(Arc<Credentials>),
    Other(Arc<ServerChain>),
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(match self {
            Self::Own(credentials) => credentials.loaded().key.clone(),
            Self::OwnWithRoot(credentials) => credentials.loaded().key_with_root.clone(),
            Self::Other(chain) => chain.current(),
        })
    }
}

/// Judges a client by the trust as of now.
#[derive(Debug)]
struct Verifier {
    credentials: Arc<Credentials>,
    believes: Believes,
    mandatory: bool,
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// No hints: they would tell strangers which CAs are trusted, and a client whose file lacks the issuing CA
    /// would find none of its certificates acceptable and send nothing.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        let who = self.believes.of(&self.credentials).classify(&chain, unix_millis(now));
        who.map(|_who| ClientCertVerified::assertion()).map_err(refused_by_trust)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
