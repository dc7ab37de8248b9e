//! PEM text to DER, with errors that say which block is wrong.

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The label of a revocation list.
pub(crate) const LIST: &str = "X509 CRL";

/// Most certificates that one file may hold.
const CERTIFICATES_MAX: usize = 64;

/// Why a text is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// Not PEM.
    #[error("not valid PEM: {0}")]
    Malformed(String),
    /// No certificate in it.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// Over the limit.
    #[error("there are more than 64 certificates in it")]
    TooMany,
    /// No key, or not one that is in the clear.
    #[error("there is no unencrypted private key in it")]
    NoKey,
    /// More than one key.
    #[error("there is more than one private key in it")]
    SeveralKeys,
}

/// All certificates of a text, in order; at least one.
///
/// # Errors
/// [`PemError`] when the text is not PEM or holds none.
pub fn certificates_in(text: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .take(CERTIFICATES_MAX + 1)
        .collect::<Result<_, _>>()
        .map_err(|error| PemError::Malformed(error.to_string()))?;
    match certificates.len() {
        0 => Err(PemError::NoCertificate),
        n if n > CERTIFICATES_MAX => Err(PemError::TooMany),
        _ => Ok(certificates),
    }
}

/// The one private key of a text, in any of the three usual encodings.
pub(crate) fn private_key_in(text: &str) -> Result<PrivateKeyDer<'static>, PemError> {
    let mut keys = PrivateKeyDer::pem_slice_iter(text.as_bytes());
    let key = keys.next().ok_or(PemError::NoKey)?.map_err(|error| PemError::Malformed(error.to_string()))?;
    if keys.next().is_some() { Err(PemError::SeveralKeys) } else { Ok(key) }
}

/// One certificate as PEM.
pub(crate) fn certificate_pem(der: &[u8]) -> String {
    block("CERTIFICATE", der)
}

/// One block as PEM, LF line ends.
pub(crate) fn block(label: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(label, der), config)
}
