//! What lies in a folder of CAs, for people. No key is opened.

use super::error::AuthorityError;
use super::material::{self, ROOT, issuing_name};
use crate::hash::sha256;
use crate::identity;
use shardlift_model::UnixMillis;
use std::path::Path;

/// The certificate of a CA in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaCertificate {
    /// `root` or `issuing-N`.
    pub name: String,
    /// SHA-256 of the certificate, in hex.
    pub fingerprint: String,
    /// Since when it is valid.
    pub not_before: UnixMillis,
    /// Until when.
    pub not_after: UnixMillis,
    /// Whether its key lies beside it.
    pub has_key: bool,
}

/// The root and the issuing CAs, in order.
///
/// # Errors
/// [`AuthorityError`] names the file.
pub fn list_cas(dir: &Path) -> Result<Vec<CaCertificate>, AuthorityError> {
    let mut found = vec![described(dir, ROOT)?];
    for generation in material::generations_in(dir, ".pem")? {
        found.push(described(dir, &issuing_name(generation))?);
    }
    Ok(found)
}

fn described(dir: &Path, name: &str) -> Result<CaCertificate, AuthorityError> {
    let certificate = material::load_certificate(dir, name)?;
    Ok(CaCertificate {
        fingerprint: hex::encode(sha256(&certificate)),
        not_before: identity::not_before(&certificate)?,
        not_after: identity::not_after(&certificate)?,
        has_key: dir.join(format!("{name}.key")).exists(),
        name: name.to_owned(),
    })
}
