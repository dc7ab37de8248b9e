//! A signed statement that can be checked without us: bytes, what they are, who signed them, and the chain to the root.
//!
//! The form is the JSON envelope of DSSE 1.0.2 (<https://github.com/secure-systems-lab/dsse>), with one signature and, beside it,
//! the chain as in RFC 7515 section 4.1.6 (`x5c`), root included. What is signed is the pre-authentication encoding of the payload's
//! type and the payload's exact bytes, so nothing has to be brought into a canonical form first.
//!
//! Invariants: the file is accepted in the one spelling in which it is written here and in no other, so that no byte of it can be
//! changed; the chain in it proves nothing by itself, its root must be one that the reader brings along.

use crate::hash::sha256;
use crate::identity::{self, IdentityError};
use crate::tls::Credentials;
use crate::trust::{ClusterTrust, TrustDomains, TrustError};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, SignatureScheme};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use shardlift_model::{Holder, Identity, Role, UnixMillis};
use std::fmt;
use std::sync::Arc;

/// Largest envelope, in bytes.
pub const ENVELOPE_BYTES_MAX: usize = 256 * 1024;

/// Longest chain in an envelope, root included.
const CHAIN_MAX: usize = 8;

/// What the encoding that is signed begins with.
const PREFIX: &str = "DSSEv1";

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The own key is of another kind.
    #[error("the own key is not one for ECDSA on P-256")]
    Key,
    /// The key did not sign.
    #[error("the own key did not sign")]
    Failed(#[source] rustls::Error),
    /// The own certificate cannot be read.
    #[error("the own certificate cannot be read")]
    Certificate(#[from] IdentityError),
    /// The chain does not lead to a root.
    #[error("the own chain does not lead to a root")]
    NoRoot,
    /// The envelope cannot be written.
    #[error("the envelope cannot be written")]
    Json(#[source] serde_json::Error),
    /// Longer than anybody would read.
    #[error("the envelope would be longer than {ENVELOPE_BYTES_MAX} bytes")]
    TooLarge,
}

/// Why an envelope is not believed.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Longer than anything that is written here.
    #[error("it is larger than {ENVELOPE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not an envelope.
    #[error("it is no signed envelope: {0}")]
    NotAnEnvelope(String),
    /// A second spelling of the same envelope.
    #[error("it was changed: it is not written as it was when it was signed")]
    OtherForm,
    /// The payload is something else.
    #[error("what is signed is of the type {0:?}")]
    PayloadType(String),
    /// The chain is none.
    #[error("its chain of certificates cannot be read")]
    Chain,
    /// The root is not one of those given.
    #[error("it was signed below another CA than the one given")]
    OtherCa,
    /// The certificate is over.
    #[error("it is dated to a time when its certificate was not valid any more")]
    Expired,
    /// The certificate had not begun.
    #[error("it is dated to a time when its certificate was not valid yet")]
    NotValidYet,
    /// The chain does not verify.
    #[error("its chain of certificates does not verify")]
    Trust(#[from] TrustError),
    /// Somebody else's certificate.
    #[error("it was signed by {found}, and only a {expected} may")]
    Signer {
        /// Who may.
        expected: Role,
        /// Who did.
        found: String,
    },
    /// The bytes were not signed by this certificate's key.
    #[error("its signature is wrong: it was changed, or never signed by this certificate")]
    Signature,
    /// The hint at the key is another's.
    #[error("its key id is not that of its certificate")]
    KeyId,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: [RawSignature; 1],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSignature {
    keyid: String,
    sig: String,
    x5c: Vec<String>,
}

/// What is signed: the pre-authentication encoding of DSSE.
#[must_use]
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoded = format!("{PREFIX} {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoded.extend_from_slice(payload);
    encoded
}

/// The own key and chain, as they were at one moment.
#[derive(Clone)]
pub struct StatementSigner {
    key: Arc<CertifiedKey>,
    identity: Identity,
}

impl fmt::Debug for StatementSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatementSigner").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The own key and chain for signing statements; the same set throughout, whatever is reloaded meanwhile.
    ///
    /// # Errors
    /// [`SignError::Certificate`] when the own certificate cannot be read.
    pub fn statement_signer(&self) -> Result<StatementSigner, SignError> {
        let key = self.loaded().key_with_root.clone();
        let leaf = key.cert.first().ok_or(SignError::NoRoot)?;
        let identity = identity::identity_in(leaf)?;
        Ok(StatementSigner { key, identity })
    }
}

impl StatementSigner {
    /// Who signs.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// SHA-256 of each certificate of the chain, leaf first, root last.
    #[must_use]
    pub fn chain_sha256(&self) -> Vec<String> {
        self.key.cert.iter().map(|certificate| hex::encode(sha256(certificate))).collect()
    }

    /// The root that the own chain ends with.
    #[must_use]
    pub fn roots(&self) -> Vec<CertificateDer<'static>> {
        self.key.cert.last().into_iter().cloned().collect()
    }

    /// The serial of the own certificate.
    ///
    /// # Errors
    /// [`SignError::Certificate`] when it cannot be read.
    pub fn serial(&self) -> Result<String, SignError> {
        Ok(identity::serial_hex(self.key.cert.first().ok_or(SignError::NoRoot)?)?)
    }

    /// Signs, and writes the envelope: one line of JSON.
    ///
    /// # Errors
    /// [`SignError`] says what is missing.
    pub fn sign(&self, payload_type: &str, payload: &[u8]) -> Result<String, SignError> {
        let (Some(leaf), true) = (self.key.cert.first(), self.key.cert.len() >= 2) else {
            return Err(SignError::NoRoot);
        };
        let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
        let signer = self.key.key.choose_scheme(&[scheme]).filter(|signer| signer.scheme() == scheme);
        let signer = signer.ok_or(SignError::Key)?;
        let signature = signer.sign(&pre_authentication_encoding(payload_type, payload)).map_err(SignError::Failed)?;
        let text = Raw {
            payload_type: payload_type.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: [RawSignature {
                keyid: key_id(leaf),
                sig: STANDARD.encode(signature),
                x5c: self.key.cert.iter().map(|certificate| STANDARD.encode(certificate)).collect(),
            }],
        }
        .text()
        .map_err(SignError::Json)?;
        if text.len() > ENVELOPE_BYTES_MAX { Err(SignError::TooLarge) } else { Ok(text) }
    }
}

impl Raw {
    /// The one spelling.
    fn text(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        Ok(text)
    }
}

fn key_id(leaf: &[u8]) -> String {
    hex::encode(sha256(leaf))
}

/// An envelope that was read. Nothing in it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload: Vec<u8>,
    payload_type: String,
    key_id: String,
    signature: Vec<u8>,
    chain: Vec<CertificateDer<'static>>,
}

/// Who signed an envelope that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Who.
    pub identity: Identity,
    /// The serial of the certificate.
    pub serial: String,
    /// The CA that issued it.
    pub issuer: String,
    /// SHA-256 of each certificate of the chain, leaf first, root last.
    pub chain_sha256: Vec<String>,
}

impl Envelope {
    /// Reads an envelope.
    ///
    /// # Errors
    /// [`EnvelopeError`] when it is none, or not in the one spelling.
    pub fn read(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(EnvelopeError::TooLarge);
        }
        let none = |error: serde_json::Error| EnvelopeError::NotAnEnvelope(error.to_string());
        let raw: Raw = serde_json::from_slice(bytes).map_err(none)?;
        if raw.text().map_err(none)?.as_bytes() != bytes {
            return Err(EnvelopeError::OtherForm);
        }
        let [signature] = &raw.signatures;
        let decoded = |text: &String| STANDARD.decode(text).map_err(|_| EnvelopeError::OtherForm);
        if signature.x5c.len() < 2 || signature.x5c.len() > CHAIN_MAX {
            return Err(EnvelopeError::Chain);
        }
        let certificate = |text: &String| Ok::<_, EnvelopeError>(CertificateDer::from(decoded(text)?));
        Ok(Self {
            payload: decoded(&raw.payload)?,
            signature: decoded(&signature.sig)?,
            chain: signature.x5c.iter().map(certificate).collect::<Result<_, _>>()?,
            key_id: signature.keyid.clone(),
            payload_type: raw.payload_type,
        })
    }

    /// The signed bytes, when the key of the certificate that came along has signed exactly them as being of this type. Whose
    /// certificate that is, is [`Self::signer`]'s to say: until then they are not believed.
    ///
    /// # Errors
    /// [`EnvelopeError`], in one line.
    pub fn signed(&self, payload_type: &str) -> Result<&[u8], EnvelopeError> {
        if self.payload_type != payload_type {
            return Err(EnvelopeError::PayloadType(self.payload_type.chars().take(100).collect()));
        }
        let leaf = self.chain.first().ok_or(EnvelopeError::Chain)?;
        if self.key_id != key_id(leaf) {
            return Err(EnvelopeError::KeyId);
        }
        let parsed = identity::parse(leaf).map_err(|_| EnvelopeError::Chain)?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &parsed.public_key().subject_public_key.data);
        let signed = pre_authentication_encoding(&self.payload_type, &self.payload);
        key.verify(&signed, &self.signature).map_err(|_| EnvelopeError::Signature)?;
        Ok(&self.payload)
    }

    /// Who signed it, when that is a member of this role, with a certificate below one of these roots that was valid at `at`.
    ///
    /// # Errors
    /// [`EnvelopeError`], in one line.
    pub fn signer(
        &self,
        roots: &[CertificateDer<'static>],
        at: UnixMillis,
        role: Role,
    ) -> Result<Signer, EnvelopeError> {
        let (root, chain) = self.chain.split_last().ok_or(EnvelopeError::Chain)?;
        if !roots.contains(root) {
            return Err(EnvelopeError::OtherCa);
        }
        let signer = self.member(root, chain, at)?;
        if signer.identity.role() != role {
            return Err(EnvelopeError::Signer { expected: role, found: signer.identity.to_string() });
        }
        Ok(signer)
    }

    fn member(
        &self,
        root: &CertificateDer<'static>,
        chain: &[CertificateDer<'static>],
        at: UnixMillis,
    ) -> Result<Signer, EnvelopeError> {
        let leaf = chain.first().ok_or(EnvelopeError::Chain)?;
        let named = identity::identity_in(leaf).map_err(TrustError::Identity)?;
        let cluster = ClusterTrust::new(named.cluster, std::slice::from_ref(root))?;
        let found = TrustDomains { cluster, legacy: Vec::new() }.classify(chain, at).map_err(of_trust)?;
        is_root_valid(root, at)?;
        match found.holder {
            Holder::Member(identity) => Ok(Signer {
                identity,
                serial: found.serial,
                issuer: found.issuer,
                chain_sha256: self.chain.iter().map(|certificate| hex::encode(sha256(certificate))).collect(),
            }),
            Holder::Legacy { .. } => Err(EnvelopeError::OtherCa),
        }
    }
}

/// The verifier takes roots as they are, whatever they say of their time.
fn is_root_valid(root: &[u8], at: UnixMillis) -> Result<(), EnvelopeError> {
    let parsed = identity::parse(root).map_err(|_| EnvelopeError::Chain)?;
    let seconds = i64::try_from(at.0 / 1000).map_err(|_| EnvelopeError::Expired)?;
    if seconds < parsed.validity().not_before.timestamp() {
        return Err(EnvelopeError::NotValidYet);
    }
    if seconds > parsed.validity().not_after.timestamp() { Err(EnvelopeError::Expired) } else { Ok(()) }
}

fn of_trust(error: TrustError) -> EnvelopeError {
    match error {
        TrustError::Chain(rustls::Error::InvalidCertificate(reason)) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => EnvelopeError::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => EnvelopeError::NotValidYet,
            CertificateError::UnknownIssuer => EnvelopeError::OtherCa,
            reason => EnvelopeError::Trust(TrustError::Chain(rustls::Error::InvalidCertificate(reason))),
        },
        error => EnvelopeError::Trust(error),
    }
}

#[cfg(test)]
mod tests;
