//! Leaves: who and what they are for comes from identity and profile, only the key from the request.

use super::Authority;
use super::error::AuthorityError;
use super::material::expect_kind;
use super::params::{SignerValidity, params};
use crate::hash::sha256;
use crate::identity;
use crate::pem_text::certificate_pem;
use crate::profile::{Kind, Profile};
use crate::request::CheckedRequest;
use rcgen::SanType;
use shardlift_model::{Identity, ServerName, UnixMillis};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// X.520 allows no more in a common name.
const COMMON_NAME_CHARS_MAX: usize = 64;

/// A host name a server's certificate is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertifiedName {
    /// One name.
    Exact(ServerName),
    /// Every name one label below.
    Wildcard(ServerName),
    /// An address, for clients that connect without a name.
    Address(IpAddr),
}

impl FromStr for CertifiedName {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        let bad = |_| AuthorityError::HostName(text.to_owned());
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        match text.strip_prefix("*.") {
            Some(zone) if zone.contains('.') => zone.parse().map(Self::Wildcard).map_err(bad),
            Some(_) => Err(AuthorityError::HostName(text.to_owned())),
            None => text.parse().map(Self::Exact).map_err(bad),
        }
    }
}

impl From<ServerName> for CertifiedName {
    fn from(name: ServerName) -> Self {
        Self::Exact(name)
    }
}

impl fmt::Display for CertifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Wildcard(zone) => write!(f, "*.{zone}"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl CertifiedName {
    fn san(&self) -> Result<SanType, AuthorityError> {
        Ok(match self {
            Self::Address(address) => SanType::IpAddress(*address),
            name => SanType::DnsName(name.to_string().try_into()?),
        })
    }
}

/// A new certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The leaf and the issuing CA, leaf first.
    pub chain_pem: String,
    /// The leaf alone.
    pub certificate_der: Vec<u8>,
    /// Its serial number: lower-case hex without leading zeros.
    pub serial: String,
    /// When it ends.
    pub not_after: UnixMillis,
}

impl Authority {
    /// Signs a leaf.
    ///
    /// # Errors
    /// [`AuthorityError`] when profile, identity and names do not go together, or the CA is not valid now.
    pub fn issue(
        &self,
        profile: &Profile,
        identity: &Identity,
        host_names: &[CertifiedName],
        request: &CheckedRequest,
        now: UnixMillis,
    ) -> Result<Issued, AuthorityError> {
        expect_kind(profile, Kind::from(identity.role()))?;
        if identity.cluster != *self.cluster() {
            return Err(AuthorityError::OtherCluster(self.cluster().to_string()));
        }
        if !host_names.is_empty() && !profile.is_for_servers() {
            return Err(AuthorityError::HostNames(profile.kind()));
        }
        let mut names = vec![SanType::URI(identity.to_uri().try_into()?)];
        for name in host_names {
            names.push(name.san()?);
        }
        let signer = SignerValidity::of(self.issuing.certificate())?;
        let params = params(profile, Some(&common_name(identity)), names, now, Some(signer))?;
        let certificate = params.signed_by(request.key(), &self.issuing.issuer()?)?;
        let der = certificate.der();
        Ok(Issued {
            chain_pem: certificate_pem(der) + &certificate_pem(self.issuing.certificate()),
            serial: identity::serial_hex(der)?,
            not_after: identity::not_after(der)?,
            certificate_der: der.to_vec(),
        })
    }
}

/// For people who read certificates; nothing is decided by it. A name that does not fit is replaced by its hash.
fn common_name(identity: &Identity) -> String {
    let name = identity.name();
    if name.chars().count() <= COMMON_NAME_CHARS_MAX {
        return name.to_owned();
    }
    format!("n-{}", hex::encode(&sha256(name.as_bytes())[..16]))
}
