//! Every certificate's parameters are built here: the library's own defaults (serial from the key, valid until 4096, no
//! key identifiers) are all wrong for us.

use super::error::AuthorityError;
use crate::identity;
use crate::profile::Profile;
use crate::provider::random;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, SanType, SerialNumber};
use shardlift_model::UnixMillis;
use time::OffsetDateTime;

/// The validity of the certificate that signs, which no certificate below it exceeds.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignerValidity {
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
}

impl SignerValidity {
    pub(super) fn of(certificate: &[u8]) -> Result<Self, AuthorityError> {
        let certificate = identity::parse(certificate)?;
        Ok(Self {
            not_before: at(certificate.validity().not_before.timestamp())?,
            not_after: at(certificate.validity().not_after.timestamp())?,
        })
    }
}

/// Parameters by profile; `signer` is `None` for what signs itself.
pub(super) fn params(
    profile: &Profile,
    name: Option<&str>,
    names: Vec<SanType>,
    now: UnixMillis,
    signer: Option<SignerValidity>,
) -> Result<CertificateParams, AuthorityError> {
    let now = at(seconds(now)?)?;
    if signer.is_some_and(|signer| now < signer.not_before || signer.not_after <= now) {
        return Err(AuthorityError::NotValidNow);
    }
    let not_after = now.checked_add(duration(profile.validity())?).ok_or(AuthorityError::Time)?;
    let not_before = now.checked_sub(duration(profile.backdate())?).ok_or(AuthorityError::Time)?;
    let mut params = CertificateParams::default();
    params.not_before = signer.map_or(not_before, |signer| not_before.max(signer.not_before));
    params.not_after = signer.map_or(not_after, |signer| not_after.min(signer.not_after));
    params.serial_number = Some(serial()?);
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.subject_alt_names = names;
    params.is_ca = match profile.path_length() {
        Some(length) => IsCa::Ca(BasicConstraints::Constrained(length)),
        None => IsCa::ExplicitNoCa,
    };
    params.key_usages = profile.key_usages();
    params.extended_key_usages = profile.extended_key_usages();
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 16 random bytes; the first is kept in 0x40..0x80, so that the number is positive and always as long.
fn serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes: [u8; 16] = random()?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

pub(super) fn seconds(at: UnixMillis) -> Result<i64, AuthorityError> {
    i64::try_from(at.0 / 1000).map_err(|_| AuthorityError::Time)
}

pub(super) fn at(seconds: i64) -> Result<OffsetDateTime, AuthorityError> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| AuthorityError::Time)
}

fn duration(duration: std::time::Duration) -> Result<time::Duration, AuthorityError> {
    time::Duration::try_from(duration).map_err(|_| AuthorityError::Time)
}
