//! What can go wrong with credentials and handshakes. These texts are for the own log: a peer sees a TLS alert only.

use crate::identity::IdentityError;
use crate::pem_text::PemError;
use crate::trust::TrustError;
use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A file that cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file without the PEM that it should hold.
    #[error("{path} is not usable")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: PemError,
    },
    /// The key is not the certificate's.
    #[error("the private key in {key} does not belong to the certificate in {certificate}")]
    KeyMismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// A key of a kind that is not supported, or a broken one.
    #[error("the private key in {path} is not usable: {reason}")]
    Key {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A CA file that holds something else than roots.
    #[error("{path} cannot be trusted")]
    Authority {
        /// The CA file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: TrustError,
    },
    /// The own certificate does not verify against the own CA.
    #[error("the certificate in {certificate} is not vouched for by {ca}")]
    OwnChain {
        /// The certificate file.
        certificate: PathBuf,
        /// The CA file.
        ca: PathBuf,
        /// What is wrong with it.
        #[source]
        source: TrustError,
    },
    /// The certificate names nobody.
    #[error("the certificate in {certificate} is not usable")]
    Leaf {
        /// The certificate file.
        certificate: PathBuf,
        /// What is wrong with it.
        #[source]
        source: IdentityError,
    },
    /// What was to be installed is not usable.
    #[error("the renewed certificate is refused: {0}")]
    Renewed(String),
    /// What was to be installed cannot be kept.
    #[error("cannot write {path}")]
    Keep {
        /// Where.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// These credentials were loaded without a place for a renewed certificate.
    #[error("these credentials are not renewed")]
    NotRenewable,
    /// A reload may renew, not become somebody else.
    #[error("the new certificate is for {found}, this process is {expected}")]
    OtherIdentity {
        /// Who this process is.
        expected: String,
        /// Whom the new certificate names.
        found: String,
    },
}

/// Why a connection cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The TLS library refuses a configuration.
    #[error("TLS cannot be configured: {0}")]
    Configuration(rustls::Error),
    /// Not `host:port`.
    #[error("{0:?} is not an address of the form host:port")]
    Address(String),
    /// Not a SHA-256 in hex.
    #[error("not a fingerprint: 64 hex digits are expected")]
    Fingerprint,
    /// No connection.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where to.
        address: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// No TLS.
    #[error("no TLS connection to {address}")]
    Handshake {
        /// Where to.
        address: String,
        /// What the TLS library says.
        #[source]
        source: io::Error,
    },
    /// Nobody answered in time.
    #[error("no TLS connection to {address} within {limit:?}")]
    Timeout {
        /// Where to.
        address: String,
        /// How long it was tried.
        limit: Duration,
    },
}

/// Why an incoming connection was not taken.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The client did not finish in time.
    #[error("no handshake within {0:?}")]
    Timeout(Duration),
    /// The handshake failed.
    #[error("the handshake failed")]
    Tls(#[source] io::Error),
    /// The handshake succeeded, but what it proved is no longer believed.
    #[error("the client's certificate is not believed")]
    Trust(#[source] TrustError),
}

/// The TLS library shows what a verifier of ours said in its debug form; this brings back the sentence. For the log, never for the peer.
#[must_use]
pub fn readable(error: io::Error) -> io::Error {
    let reason = error.get_ref().and_then(|inner| inner.downcast_ref()).and_then(own_reason);
    match reason {
        Some(reason) => io::Error::new(error.kind(), reason),
        None => error,
    }
}

fn own_reason(error: &rustls::Error) -> Option<String> {
    let rustls::Error::InvalidCertificate(rustls::CertificateError::Other(rustls::OtherError(reason))) = error else {
        return None;
    };
    let mut text = reason.to_string();
    let mut source = reason.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    Some(text)
}
