//! A channel for those who know nothing of a cluster but the fingerprint of its root.

use super::client::{Builder, Expected, checked_by, finish, lazy_channel};
use super::error::TlsError;
use super::verifier::{ServerCheck, refused, refused_by_trust};
use crate::clock::unix_millis;
use crate::hash::sha256;
use crate::pem_text::{PemError, certificates_in, private_key_in};
use crate::secret::SecretPem;
use crate::{identity, trust};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};
use shardlift_model::Role;
use tonic::transport::Channel;

/// A channel to a controller whose chain ends in the root with this SHA-256 fingerprint (64 hex digits). Shows no
/// certificate. Connects when it is first used.
///
/// # Errors
/// [`TlsError::Fingerprint`] when it is none.
pub fn pinned_channel(address: &str, root_fingerprint: &str) -> Result<Channel, TlsError> {
    channel(address, root_fingerprint, |builder| Ok(builder.with_no_client_auth()))
}

/// The same, showing the certificate in `pem`, which has its key too.
///
/// # Errors
/// [`TlsError::Fingerprint`]; [`TlsError::Configuration`] when certificate and key are not usable.
pub fn pinned_channel_as(address: &str, root_fingerprint: &str, pem: &SecretPem) -> Result<Channel, TlsError> {
    let unusable = |error: PemError| TlsError::Configuration(rustls::Error::General(error.to_string()));
    let chain = certificates_in(pem.expose()).map_err(unusable)?;
    let key = private_key_in(pem.expose()).map_err(unusable)?;
    channel(address, root_fingerprint, |builder| builder.with_client_auth_cert(chain, key))
}

fn channel(
    address: &str,
    root_fingerprint: &str,
    shown: impl FnOnce(Builder) -> Result<ClientConfig, rustls::Error>,
) -> Result<Channel, TlsError> {
    let mut fingerprint = [0; 32];
    hex::decode_to_slice(root_fingerprint, &mut fingerprint).map_err(|_| TlsError::Fingerprint)?;
    let mut config = checked_by(PinnedVerifier { fingerprint }).and_then(shown).map_err(TlsError::Configuration)?;
    finish(&mut config, &[super::ALPN_HTTP2]);
    Ok(lazy_channel(address.to_owned(), Ok(config)))
}

/// The chain does not contain the root.
#[derive(Debug, thiserror::Error)]
#[error("the server does not show the root with the expected fingerprint")]
struct NoSuchRoot;

#[derive(Debug)]
struct PinnedVerifier {
    fingerprint: [u8; 32],
}

impl ServerCheck for PinnedVerifier {
    /// Only a certificate with the fingerprint becomes a root, and the rest of the chain has to lead to it.
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let is_pinned = |certificate: &&CertificateDer<'_>| sha256(certificate) == self.fingerprint;
        let root = rest.iter().find(is_pinned).ok_or_else(|| refused(NoSuchRoot))?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        trust::verify_server(&roots, leaf, rest, unix_millis(now)).map_err(refused_by_trust)?;
        let identity = identity::identity_in(leaf).map_err(refused)?;
        Expected::any(Role::Controller).require(&identity)
    }
}
