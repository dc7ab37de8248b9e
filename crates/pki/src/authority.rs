//! The cluster's own CA: a root that can stay offline, issuing CAs below it, and the leaves they sign.
//!
//! Files in one folder (0700, files 0600): `root.pem`, `root.key`, `issuing-1.pem`, `issuing-1.key`, ... The keys are
//! encrypted. A CA that signs needs no root key: it can stay on another machine ([`request_issuing`]), or be taken away after the
//! issuing CA was made.
//!
//! The issuing CA with the highest number signs certificates. Those before it sign lists alone, for as long as something that they
//! signed may be shown.
//!
//! Invariants: a leaf's key comes from its holder's request and everything else from profile and identity; no
//! certificate outlives the one that signed it; a CA file is never overwritten; no two CAs share a name.

mod error;
mod key;
mod leaf;
mod list;
mod material;
mod overview;
mod params;
mod signing;

pub use error::AuthorityError;
pub use leaf::{CertifiedName, Issued};
pub use list::{LISTED_MAX, Listed};
pub use material::{IssuingMaterial, RootMaterial, create_issuing, create_root};
pub use overview::{CaCertificate, list_cas};
pub use signing::{
    IssuingChain, IssuingRequest, PendingIssuing, RootFolder, SignedIssuing, install_issuing, request_issuing,
    root_fingerprint_in,
};

use crate::hash::sha256;
use crate::identity::not_after;
use crate::pem_text::certificate_pem;
use crate::profile::{Kind, Profile};
use crate::secret::Passphrase;
use rustls_pki_types::CertificateDer;
use shardlift_model::{ClusterId, UnixMillis};
use std::path::Path;

/// An issuing CA, ready to sign, those before it, and the root above them.
#[derive(Debug)]
pub struct Authority {
    root: CertificateDer<'static>,
    issuing: IssuingMaterial,
    older: Vec<IssuingMaterial>,
}

impl Authority {
    /// Makes a root and a first issuing CA from the built-in profiles and saves both.
    ///
    /// # Errors
    /// [`AuthorityError`]; a folder that has a CA already is left as it is.
    pub fn init(
        dir: &Path,
        cluster: &ClusterId,
        passphrase: &Passphrase,
        now: UnixMillis,
    ) -> Result<Self, AuthorityError> {
        let root = create_root(cluster, passphrase, now, &Profile::built_in(Kind::Root)?)?;
        let issuing = create_issuing(&root, 1, passphrase, now, &Profile::built_in(Kind::Issuing)?)?;
        root.save(dir)?;
        let authority = Self::new(&root, issuing)?;
        authority.save(dir)?;
        Ok(authority)
    }

    /// An authority from what was just made.
    ///
    /// # Errors
    /// [`AuthorityError::NotSignedByRoot`] when the two do not belong together.
    pub fn new(root: &RootMaterial, issuing: IssuingMaterial) -> Result<Self, AuthorityError> {
        issuing.check_signed_by(root.certificate())?;
        Ok(Self { root: root.certificate().clone(), issuing, older: Vec::new() })
    }

    /// Reads the root certificate and the issuing CAs of a folder; one whose key was taken away is passed over.
    ///
    /// # Errors
    /// [`AuthorityError::WrongPassphrase`] and others, which name the file.
    pub fn load(dir: &Path, passphrase: &Passphrase) -> Result<Self, AuthorityError> {
        let root = material::load_root_certificate(dir)?;
        let with_key = material::generations_in(dir, ".key")?;
        let mut older = Vec::new();
        for generation in material::generations_in(dir, ".pem")? {
            if with_key.contains(&generation) {
                let issuing = IssuingMaterial::load(dir, generation, passphrase)?;
                issuing.check_signed_by(&root)?;
                older.push(issuing);
            }
        }
        let issuing = older.pop().ok_or_else(|| AuthorityError::NoIssuingCa(dir.to_owned()))?;
        Ok(Self { root, issuing, older })
    }

    /// Writes the issuing CA into a folder that holds its root.
    ///
    /// # Errors
    /// [`AuthorityError::Exists`] when it is there already.
    pub fn save(&self, dir: &Path) -> Result<(), AuthorityError> {
        self.issuing.save(dir)
    }

    /// Writes the issuing CAs and the certificate of their root into another folder, where none of them is.
    ///
    /// # Errors
    /// [`AuthorityError::Exists`] when one is there already.
    pub fn save_with_root(&self, dir: &Path) -> Result<(), AuthorityError> {
        for issuing in self.older.iter().chain([&self.issuing]) {
            issuing.save(dir)?;
        }
        signing::put_root(dir, &self.root)
    }

    /// The cluster it signs for.
    #[must_use]
    pub const fn cluster(&self) -> &ClusterId {
        self.issuing.cluster()
    }

    /// The number of the issuing CA.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.issuing.generation()
    }

    /// The numbers of the CAs that sign lists at a time: the one that signs certificates last, and those before it that have not ended.
    ///
    /// # Errors
    /// [`AuthorityError::Malformed`] when a certificate cannot be read.
    pub fn listing(&self, now: UnixMillis) -> Result<Vec<u32>, AuthorityError> {
        let mut generations = Vec::new();
        for older in &self.older {
            if not_after(older.certificate())? > now {
                generations.push(older.generation());
            }
        }
        generations.push(self.generation());
        Ok(generations)
    }

    /// SHA-256 of the root certificate, 64 lower-case hex digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(sha256(&self.root))
    }

    /// The root certificate: what everybody who trusts this cluster needs.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        certificate_pem(&self.root)
    }

    /// Until when the issuing CA can sign.
    ///
    /// # Errors
    /// [`AuthorityError::Malformed`] when its certificate cannot be read.
    pub fn not_after(&self) -> Result<UnixMillis, AuthorityError> {
        Ok(not_after(self.issuing.certificate())?)
    }
}
