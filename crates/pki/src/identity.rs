//! What a certificate says about its holder. Reading is not believing: see [`crate::trust`] for who vouches for it.

use shardlift_model::{Identity, NameError, UnixMillis};
use std::net::IpAddr;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};

/// Most names that a certificate may carry.
const NAMES_MAX: usize = 256;

/// The scheme of the URI that carries an identity.
const SCHEME: &str = "shardlift:";

/// Why a certificate carries no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not X.509.
    #[error("not a certificate that can be read: {0}")]
    Malformed(String),
    /// A CA cannot be a member.
    #[error("a CA certificate is shown as the certificate of a member")]
    CertificateAuthority,
    /// No URI of the cluster in it.
    #[error("the certificate carries no identity of a cluster")]
    Missing,
    /// More than one.
    #[error("the certificate carries more than one identity")]
    Several,
    /// Too many names to look at.
    #[error("the certificate carries more than 256 names")]
    TooManyNames,
    /// A URI that is not a canonical identity.
    #[error("the identity in the certificate is not valid")]
    Invalid(#[source] NameError),
    /// No or several common names.
    #[error("the certificate does not carry exactly one common name that is text")]
    CommonName,
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Server,
    Client,
}

pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, IdentityError> {
    let (rest, certificate) =
        x509_parser::parse_x509_certificate(der).map_err(|error| IdentityError::Malformed(error.to_string()))?;
    if rest.is_empty() { Ok(certificate) } else { Err(IdentityError::Malformed("bytes after its end".to_owned())) }
}

/// The identity of a leaf: exactly one `shardlift://` URI, in canonical form. A CA certificate has none.
///
/// # Errors
/// [`IdentityError`] says what is wrong with it.
pub fn identity_in(der: &[u8]) -> Result<Identity, IdentityError> {
    let certificate = parse(der)?;
    refuse_ca(&certificate)?;
    let names = certificate.subject_alternative_name().map_err(|error| IdentityError::Malformed(error.to_string()))?;
    let names = names.map_or(&[][..], |names| &names.value.general_names[..]);
    if names.len() > NAMES_MAX {
        return Err(IdentityError::TooManyNames);
    }
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) if is_ours(uri) => Some(*uri),
        _ => None,
    });
    let uri = uris.next().ok_or(IdentityError::Missing)?;
    if uris.next().is_some() {
        return Err(IdentityError::Several);
    }
    Identity::from_uri(uri).map_err(IdentityError::Invalid)
}

/// Schemes are case-insensitive, so `SHARDLIFT:` counts as an attempt and is then refused for its spelling.
fn is_ours(uri: &str) -> bool {
    uri.as_bytes().get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME.as_bytes()))
}

fn refuse_ca(certificate: &X509Certificate<'_>) -> Result<(), IdentityError> {
    let constraints = certificate.basic_constraints().map_err(|error| IdentityError::Malformed(error.to_string()))?;
    let usage = certificate.key_usage().map_err(|error| IdentityError::Malformed(error.to_string()))?;
    if constraints.is_some_and(|constraints| constraints.value.ca)
        || usage.is_some_and(|usage| usage.value.key_cert_sign())
    {
        return Err(IdentityError::CertificateAuthority);
    }
    Ok(())
}

/// The one common name of the subject.
///
/// # Errors
/// [`IdentityError::CommonName`] when there is none, several, or one that is no text.
pub fn common_name(der: &[u8]) -> Result<String, IdentityError> {
    let certificate = parse(der)?;
    refuse_ca(&certificate)?;
    one_common_name(certificate.subject())
}

pub(crate) fn issuer_common_name(der: &[u8]) -> Result<String, IdentityError> {
    one_common_name(parse(der)?.issuer())
}

pub(crate) fn one_common_name(name: &x509_parser::x509::X509Name<'_>) -> Result<String, IdentityError> {
    let mut names = name.iter_common_name();
    match (names.next(), names.next()) {
        (Some(name), None) => match name.as_str() {
            Ok(text) if !text.is_empty() && !text.contains('\0') => Ok(text.to_owned()),
            _ => Err(IdentityError::CommonName),
        },
        _ => Err(IdentityError::CommonName),
    }
}

/// The serial number: lower-case hex without leading zeros.
///
/// # Errors
/// [`IdentityError::Malformed`] when it is no certificate.
pub fn serial_hex(der: &[u8]) -> Result<String, IdentityError> {
    Ok(serial_text(parse(der)?.raw_serial()))
}

pub(crate) fn serial_text(bytes: &[u8]) -> String {
    let text = hex::encode(bytes);
    match text.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    }
}

/// The identifier of the certificate's own key, if it says one.
pub(crate) fn subject_key_id(der: &[u8]) -> Result<Option<Vec<u8>>, IdentityError> {
    let certificate = parse(der)?;
    Ok(certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    }))
}

/// The host names and addresses that a server's certificate is good for, as text.
///
/// # Errors
/// [`IdentityError::Malformed`] when it is no certificate.
pub fn host_names(der: &[u8]) -> Result<Vec<String>, IdentityError> {
    let certificate = parse(der)?;
    let names = certificate.subject_alternative_name().map_err(|error| IdentityError::Malformed(error.to_string()))?;
    let names = names.map(|names| &names.value.general_names).into_iter().flatten();
    Ok(names.filter_map(host_name).collect())
}

fn host_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let address = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            address.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// The first instant at which a certificate is valid.
///
/// # Errors
/// [`IdentityError::Malformed`] when it is no certificate.
pub fn not_before(der: &[u8]) -> Result<UnixMillis, IdentityError> {
    let seconds = parse(der)?.validity().not_before.timestamp();
    Ok(UnixMillis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)))
}

/// The last instant at which a certificate is valid.
///
/// # Errors
/// [`IdentityError::Malformed`] when it is no certificate.
pub fn not_after(der: &[u8]) -> Result<UnixMillis, IdentityError> {
    let seconds = parse(der)?.validity().not_after.timestamp();
    Ok(UnixMillis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)))
}

/// Whether the certificate states this purpose. One that states no purpose at all states none.
pub(crate) fn states_purpose(der: &[u8], purpose: Purpose) -> Result<bool, IdentityError> {
    let certificate = parse(der)?;
    let usage = certificate.extended_key_usage().map_err(|error| IdentityError::Malformed(error.to_string()))?;
    Ok(usage.is_some_and(|usage| match purpose {
        Purpose::Server => usage.value.server_auth,
        Purpose::Client => usage.value.client_auth,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SanType};

    fn certificate(uris: &[&str], ca: bool) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        if ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_one_uri_of_the_cluster_is_the_identity() {
        let der = certificate(&["https://elsewhere/", "shardlift://c1/shard/a"], false);
        assert_eq!(identity_in(&der).map(|identity| identity.to_uri()), Ok("shardlift://c1/shard/a".to_owned()));
    }

    #[test]
    fn anything_but_one_canonical_uri_is_refused() {
        let cases: [(&[&str], bool); 6] = [
            (&[], false),
            (&["https://c1/shard/a"], false),
            (&["shardlift://c1/shard/a", "shardlift://c1/shard/b"], false),
            (&["shardlift://c1/shard/a", "SHARDLIFT://c1/shard/b"], false),
            (&["SHARDLIFT://c1/shard/a"], false),
            (&["shardlift://c1/shard/a"], true),
        ];
        for (uris, ca) in cases {
            assert!(identity_in(&certificate(uris, ca)).is_err(), "{uris:?} {ca}");
        }
        assert_eq!(
            identity_in(&certificate(&["shardlift://c1/shard/a"], true)),
            Err(IdentityError::CertificateAuthority)
        );
    }

    #[test]
    fn garbage_and_bytes_after_the_end_are_refused() {
        let mut der = certificate(&["shardlift://c1/shard/a"], false);
        der.push(0);
        assert!(identity_in(&der).is_err());
        for length in [0, 1, 10, 100] {
            assert!(identity_in(&der[..length]).is_err());
        }
    }

    #[test]
    fn serials_are_hex_without_leading_zeros() {
        assert_eq!(serial_text(&[0, 0x0a, 0xff]), "aff");
        assert_eq!(serial_text(&[0]), "0");
    }
}
