//! The files a backup client takes.
//!
//! restic wants its certificates and exactly one unencrypted PKCS#8 key in one PEM file (an `EC PARAMETERS` block is
//! fatal to it) and the CAs it trusts in another. It reads both once, at its start, so they are replaced as a whole.

use crate::pem_text::{self, PemError, certificates_in, private_key_in};
use crate::provider::provider;
use crate::secret::SecretPem;
use crate::{files, hash};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Why a bundle cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// What should hold certificates does not.
    #[error("the certificates cannot be read")]
    Certificates(#[source] PemError),
    /// What should hold the key does not.
    #[error("the private key cannot be read")]
    Key(#[source] PemError),
    /// A key in another encoding than PKCS#8.
    #[error("the private key is not in PKCS#8 form")]
    NotPkcs8,
    /// Key and certificate do not belong together.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// The file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// One file for `restic --tls-client-cert`: the chain, leaf first, then the key.
///
/// # Errors
/// [`BundleError`] when the key is not PKCS#8 or not the leaf's.
pub fn client_pem(chain_pem: &str, key: &SecretPem) -> Result<SecretPem, BundleError> {
    let chain = certificates_in(chain_pem).map_err(BundleError::Certificates)?;
    let PrivateKeyDer::Pkcs8(key) = private_key_in(key.expose()).map_err(BundleError::Key)? else {
        return Err(BundleError::NotPkcs8);
    };
    let mut text: String = chain.iter().map(|certificate| pem_text::certificate_pem(certificate)).collect();
    text.push_str(&pem_text::block("PRIVATE KEY", key.secret_pkcs8_der()));
    let text = SecretPem::new(text);
    CertifiedKey::from_der(chain, PrivateKeyDer::Pkcs8(key), &provider()).map_err(|_| BundleError::KeyMismatch)?;
    Ok(text)
}

/// One file for `restic --cacert`: all CAs that the client should trust, each once, in the given order.
///
/// # Errors
/// [`BundleError::Certificates`] when one of the texts holds none.
pub fn ca_pem(texts: &[&str]) -> Result<String, BundleError> {
    let mut seen = BTreeSet::new();
    let mut bundle = String::new();
    for text in texts {
        for certificate in certificates_in(text).map_err(BundleError::Certificates)? {
            if seen.insert(hash::sha256(&certificate)) {
                bundle.push_str(&pem_text::certificate_pem(&certificate));
            }
        }
    }
    Ok(bundle)
}

/// Replaces a file by one that only its owner may read; a crash leaves the old or the new one.
///
/// # Errors
/// [`BundleError::Write`].
pub fn write_private(path: &Path, text: &SecretPem) -> Result<(), BundleError> {
    write(path, text.expose())
}

/// The same for what is no secret, such as a chain or a CA bundle.
///
/// # Errors
/// [`BundleError::Write`].
pub fn write(path: &Path, text: &str) -> Result<(), BundleError> {
    files::write_private(path, text.as_bytes()).map_err(|source| BundleError::Write { path: path.to_owned(), source })
}
