//! Certificate requests: made by a holder, checked by a CA.
//!
//! A CA takes nothing but the public key from a request. What a request asks for is looked at all the same: one that
//! asks for another name or for rights comes from somebody confused or hostile and is refused with a reason.

use crate::identity::{self, serial_text};
use crate::pem_text;
use crate::secret::SecretPem;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SubjectPublicKeyInfo};
use shardlift_model::Identity;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_PKCS1_SHA256WITHRSA,
    OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
    OID_SIG_ED25519, Oid,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo as ParsedKey;

/// Largest request that is read.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// RSA keys outside of this are too weak or too slow.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Over the limit.
    #[error("the request is larger than 16 KiB")]
    TooLarge,
    /// Not PKCS#10.
    #[error("not a certificate request")]
    Malformed,
    /// A key of a kind that is not taken.
    #[error("the key must be P-256, P-384, Ed25519, or RSA with 2048 to 8192 bits")]
    Key,
    /// A signature algorithm that does not go with the key.
    #[error("the request is signed with an algorithm that does not go with its key")]
    SignatureAlgorithm,
    /// The sender does not have the key.
    #[error("the request is not signed by its own key")]
    Signature,
    /// The request of a CA has no name.
    #[error("the request does not have one common name")]
    Unnamed,
    /// The request wants to be a CA.
    #[error("the request asks for the rights of a CA")]
    AsksForCa,
    /// The request names somebody else.
    #[error("the request asks for the name {0:?}")]
    AsksForName(String),
    /// The request asks for something that is the CA's decision.
    #[error("the request asks for {0}, which is not the requester's to choose")]
    AsksForMore(String),
    /// No key could be made.
    #[error("no key or request could be made: {0}")]
    NotMade(String),
}

/// A request that was found good. Only its public key is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedRequest {
    key: SubjectPublicKeyInfo,
}

impl CheckedRequest {
    pub(crate) const fn key(&self) -> &SubjectPublicKeyInfo {
        &self.key
    }
}

/// A new P-256 key (unencrypted PKCS#8) and a request for it (DER). The request names nobody: who the holder is comes
/// from the token it is sent with.
///
/// # Errors
/// [`RequestError::NotMade`] when the system gives no randomness.
pub fn create_key_and_request() -> Result<(SecretPem, Vec<u8>), RequestError> {
    let failed = |error: rcgen::Error| RequestError::NotMade(error.to_string());
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(failed)?;
    Ok((SecretPem::new(pem_text::block("PRIVATE KEY", key.serialized_der())), request.der().to_vec()))
}

/// Checks a request that names nobody.
///
/// # Errors
/// [`RequestError`] says why it is refused.
pub fn check(csr_der: &[u8]) -> Result<CheckedRequest, RequestError> {
    check_names(csr_der, Allowed::default())
}

/// Checks a request that may name its holder, as common name or as identity URI, and nobody else.
///
/// # Errors
/// [`RequestError`] says why it is refused.
pub fn check_for(csr_der: &[u8], identity: &Identity) -> Result<CheckedRequest, RequestError> {
    check_names(csr_der, Allowed { common_name: Some(identity.name()), uri: Some(identity.to_uri()) })
}

/// Checks a request of a CA that names itself by its common name, for the caller to judge, and asks for nothing else.
pub(crate) fn check_ca(csr_der: &[u8]) -> Result<(CheckedRequest, String), RequestError> {
    if csr_der.len() > REQUEST_BYTES_MAX {
        return Err(RequestError::TooLarge);
    }
    let (_, request) = X509CertificationRequest::from_der(csr_der).map_err(|_| RequestError::Malformed)?;
    let subject = &request.certification_request_info.subject;
    let name = identity::one_common_name(subject).map_err(|_| RequestError::Unnamed)?;
    Ok((check_names(csr_der, Allowed { common_name: Some(&name), uri: None })?, name))
}

/// Which names a request may carry.
#[derive(Default)]
struct Allowed<'a> {
    common_name: Option<&'a str>,
    uri: Option<String>,
}

fn check_names(csr_der: &[u8], allowed: Allowed<'_>) -> Result<CheckedRequest, RequestError> {
    if csr_der.len() > REQUEST_BYTES_MAX {
        return Err(RequestError::TooLarge);
    }
    let (rest, request) = X509CertificationRequest::from_der(csr_der).map_err(|_| RequestError::Malformed)?;
    if !rest.is_empty() {
        return Err(RequestError::Malformed);
    }
    let info = &request.certification_request_info;
    check_algorithm(&info.subject_pki, &request.signature_algorithm.algorithm)?;
    request.verify_signature().map_err(|_| RequestError::Signature)?;
    check_subject(&request, allowed.common_name)?;
    for attribute in info.iter_attributes() {
        match attribute.parsed_attribute() {
            ParsedCriAttribute::ExtensionRequest(requested) => {
                requested
                    .extensions
                    .iter()
                    .try_for_each(|extension| check_extension(extension, allowed.uri.as_deref()))?;
            }
            _ => return Err(RequestError::AsksForMore(format!("the attribute {}", attribute.oid))),
        }
    }
    let key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw).map_err(|_| RequestError::Key)?;
    Ok(CheckedRequest { key })
}

/// One signature algorithm per elliptic curve: a P-256 key with SHA-384 leads to certificates that do not verify.
fn check_algorithm(key: &ParsedKey<'_>, signature: &Oid<'_>) -> Result<(), RequestError> {
    let kind = &key.algorithm.algorithm;
    let allowed: &[Oid<'_>] = if *kind == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        match curve {
            Some(curve) if curve == OID_EC_P256 => &[OID_SIG_ECDSA_WITH_SHA256],
            Some(curve) if curve == OID_NIST_EC_P384 => &[OID_SIG_ECDSA_WITH_SHA384],
            _ => return Err(RequestError::Key),
        }
    } else if *kind == OID_SIG_ED25519 {
        &[OID_SIG_ED25519]
    } else if *kind == OID_PKCS1_RSAENCRYPTION && is_good_rsa(key) {
        &[OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA]
    } else {
        return Err(RequestError::Key);
    };
    if allowed.contains(signature) { Ok(()) } else { Err(RequestError::SignatureAlgorithm) }
}

fn is_good_rsa(key: &ParsedKey<'_>) -> bool {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            // The library counts whole bytes: the leading byte says how many bits of them are in use.
            let modulus: Vec<u8> = rsa.modulus.iter().copied().skip_while(|byte| *byte == 0).collect();
            let spare = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
            RSA_BITS.contains(&(modulus.len() * 8).saturating_sub(spare))
                && rsa.try_exponent().is_ok_and(|exponent| exponent >= 65_537)
        }
        _ => false,
    }
}

fn check_subject(request: &X509CertificationRequest<'_>, common_name: Option<&str>) -> Result<(), RequestError> {
    for attribute in request.certification_request_info.subject.iter_attributes() {
        let text = attribute.as_str().map_or_else(|_| serial_text(attribute.as_slice()), ToOwned::to_owned);
        let is_common_name = *attribute.attr_type() == x509_parser::oid_registry::OID_X509_COMMON_NAME;
        if !(is_common_name && common_name.is_some_and(|name| name == text)) {
            return Err(RequestError::AsksForName(text));
        }
    }
    Ok(())
}

fn check_extension(extension: &X509Extension<'_>, uri: Option<&str>) -> Result<(), RequestError> {
    match extension.parsed_extension() {
        ParsedExtension::BasicConstraints(constraints) if constraints.ca => Err(RequestError::AsksForCa),
        ParsedExtension::BasicConstraints(_) => Ok(()),
        ParsedExtension::KeyUsage(usage) if usage.key_cert_sign() || usage.crl_sign() => Err(RequestError::AsksForCa),
        ParsedExtension::SubjectAlternativeName(names) => names.general_names.iter().try_for_each(|name| match name {
            GeneralName::URI(found) if uri == Some(*found) => Ok(()),
            other => Err(RequestError::AsksForName(other.to_string())),
        }),
        _ => Err(RequestError::AsksForMore(format!("the extension {}", extension.oid))),
    }
}
