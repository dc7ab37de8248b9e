//! Revocation lists: what a CA takes back of what it has signed.

use super::Authority;
use super::error::AuthorityError;
use super::params::{at, seconds};
use crate::{identity, pem_text};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use shardlift_model::{RevocationReason, UnixMillis};
use std::time::Duration;

/// Most certificates on one list: with as many, it still fits into one message.
pub const LISTED_MAX: usize = 40_000;

/// A certificate that is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Its serial number in hex.
    pub serial: &'a str,
    /// Since when.
    pub at: UnixMillis,
    /// Why.
    pub reason: RevocationReason,
}

impl Authority {
    /// Signs a list (a CRL, RFC 5280 section 5) that is good for so long, and puts the certificate of the CA beside it: PEM, the list
    /// first. Of two lists of one CA the one with the higher number holds.
    ///
    /// # Errors
    /// [`AuthorityError::Listed`] for a serial that is none, or too many; others when the library refuses.
    pub fn sign_list<'a>(
        &self,
        number: u64,
        this_update: UnixMillis,
        validity: Duration,
        listed: impl IntoIterator<Item = Listed<'a>>,
    ) -> Result<String, AuthorityError> {
        self.sign_list_as(self.generation(), number, this_update, validity, listed)
    }

    /// The same as one of those that [`Authority::listing`] names.
    ///
    /// # Errors
    /// As [`Authority::sign_list`], and [`AuthorityError::NoSuchCa`].
    pub fn sign_list_as<'a>(
        &self,
        generation: u32,
        number: u64,
        this_update: UnixMillis,
        validity: Duration,
        listed: impl IntoIterator<Item = Listed<'a>>,
    ) -> Result<String, AuthorityError> {
        let revoked_certs = listed.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        if revoked_certs.len() > LISTED_MAX {
            return Err(AuthorityError::Listed(format!("more than {LISTED_MAX} certificates")));
        }
        let issuing = self.older.iter().chain([&self.issuing]).find(|issuing| issuing.generation() == generation);
        let issuing = issuing.ok_or(AuthorityError::NoSuchCa(generation))?;
        let certificate = issuing.certificate();
        // The library would name the CA by an identifier of its own making, and openssl finds no issuer then.
        let own_id = identity::subject_key_id(certificate)?
            .ok_or_else(|| AuthorityError::NotMade("the CA has no subject key identifier".to_owned()))?;
        let params = CertificateRevocationListParams {
            this_update: at(seconds(this_update)?)?,
            next_update: at(seconds(this_update.plus(validity))?)?,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::PreSpecified(own_id),
        };
        let list = params.signed_by(&issuing.issuer()?)?;
        Ok(pem_text::block(pem_text::LIST, list.der()) + &pem_text::certificate_pem(certificate))
    }
}

fn entry(listed: Listed<'_>) -> Result<RevokedCertParams, AuthorityError> {
    let serial = format!("{}{}", if listed.serial.len() % 2 == 1 { "0" } else { "" }, listed.serial);
    let bytes = hex::decode(&serial).ok().filter(|bytes| (1..=20).contains(&bytes.len()));
    let bytes = bytes.ok_or_else(|| AuthorityError::Listed(format!("{:?}", listed.serial)))?;
    Ok(RevokedCertParams {
        serial_number: SerialNumber::from_slice(&bytes),
        revocation_time: at(seconds(listed.at)?)?,
        reason_code: code(listed.reason),
        invalidity_date: None,
    })
}

/// Unspecified is said by saying nothing (RFC 5280 section 5.3.1).
const fn code(reason: RevocationReason) -> Option<rcgen::RevocationReason> {
    Some(match reason {
        RevocationReason::Unspecified => return None,
        RevocationReason::KeyCompromise => rcgen::RevocationReason::KeyCompromise,
        RevocationReason::AffiliationChanged => rcgen::RevocationReason::AffiliationChanged,
        RevocationReason::Superseded => rcgen::RevocationReason::Superseded,
        RevocationReason::CessationOfOperation => rcgen::RevocationReason::CessationOfOperation,
        RevocationReason::PrivilegeWithdrawn => rcgen::RevocationReason::PrivilegeWithdrawn,
    })
}
