//! CA keys and certificates: made, encrypted, saved, loaded.

use super::error::AuthorityError;
use super::key::{decrypt, encrypt, new_key};
use super::params::{SignerValidity, params};
use crate::hash::sha256;
use crate::profile::{Kind, Profile};
use crate::secret::Passphrase;
use crate::{files, identity, pem_text};
use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustls_pki_types::CertificateDer;
use shardlift_model::{ClusterId, UnixMillis};
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub(super) const ROOT: &str = "root";
const ISSUING: &str = "issuing-";

/// One CA with its key.
struct CaMaterial {
    cluster: ClusterId,
    /// `root` or `issuing-N`: the file names and the end of the common name.
    name: String,
    certificate: CertificateDer<'static>,
    key: KeyPair,
    encrypted_key_pem: String,
}

/// A root CA with its key.
pub struct RootMaterial(CaMaterial);

/// An issuing CA with its key.
pub struct IssuingMaterial {
    ca: CaMaterial,
    generation: u32,
}

/// Makes a root CA.
///
/// # Errors
/// [`AuthorityError`] when the profile is not one for a root, or the passphrase is empty.
pub fn create_root(
    cluster: &ClusterId,
    passphrase: &Passphrase,
    now: UnixMillis,
    profile: &Profile,
) -> Result<RootMaterial, AuthorityError> {
    expect_kind(profile, Kind::Root)?;
    let key = new_key(profile)?;
    let params = params(profile, Some(&ca_name(cluster, ROOT)), Vec::new(), now, None)?;
    let certificate = params.self_signed(&key)?.into();
    CaMaterial::new(cluster, ROOT.to_owned(), certificate, key, passphrase).map(RootMaterial)
}

/// Makes an issuing CA below a root. The generation is part of its name: two CAs of one name break revocation.
///
/// # Errors
/// [`AuthorityError`] when the profile is not one for an issuing CA, or the root has expired.
pub fn create_issuing(
    root: &RootMaterial,
    generation: u32,
    passphrase: &Passphrase,
    now: UnixMillis,
    profile: &Profile,
) -> Result<IssuingMaterial, AuthorityError> {
    let key = new_key(profile)?;
    let certificate = root.sign_issuing(&key, generation, now, profile)?;
    let ca = CaMaterial::new(root.cluster(), issuing_name(generation), certificate, key, passphrase)?;
    Ok(IssuingMaterial { ca, generation })
}

pub(super) fn expect_kind(profile: &Profile, expected: Kind) -> Result<(), AuthorityError> {
    let found = profile.kind();
    if found == expected { Ok(()) } else { Err(AuthorityError::WrongProfile { expected, found }) }
}

pub(super) fn ca_name(cluster: &ClusterId, name: &str) -> String {
    format!("Shardlift {cluster} {name}")
}

/// The name of an issuing CA, and the stem of its files.
pub(super) fn issuing_name(generation: u32) -> String {
    format!("{ISSUING}{generation}")
}

impl RootMaterial {
    /// Writes `root.pem` and `root.key`.
    ///
    /// # Errors
    /// [`AuthorityError::Exists`] when there is a root already.
    pub fn save(&self, dir: &Path) -> Result<(), AuthorityError> {
        self.0.save(dir)
    }

    /// Reads `root.pem` and `root.key`, to make another issuing CA.
    ///
    /// # Errors
    /// [`AuthorityError`] names the file.
    pub fn load(dir: &Path, passphrase: &Passphrase) -> Result<Self, AuthorityError> {
        CaMaterial::load(dir, ROOT.to_owned(), passphrase).map(Self)
    }

    /// The cluster it vouches for.
    #[must_use]
    pub const fn cluster(&self) -> &ClusterId {
        &self.0.cluster
    }

    /// SHA-256 of its certificate, 64 lower-case hex digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(sha256(&self.0.certificate))
    }

    /// Until when it can sign.
    ///
    /// # Errors
    /// [`AuthorityError::Malformed`] when its certificate cannot be read.
    pub fn not_after(&self) -> Result<UnixMillis, AuthorityError> {
        Ok(identity::not_after(&self.0.certificate)?)
    }

    pub(super) const fn certificate(&self) -> &CertificateDer<'static> {
        &self.0.certificate
    }

    pub(super) fn sign_issuing(
        &self,
        key: &impl PublicKeyData,
        generation: u32,
        now: UnixMillis,
        profile: &Profile,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        expect_kind(profile, Kind::Issuing)?;
        let signer = SignerValidity::of(&self.0.certificate)?;
        let name = ca_name(self.cluster(), &issuing_name(generation));
        let params = params(profile, Some(&name), Vec::new(), now, Some(signer))?;
        Ok(params.signed_by(key, &self.0.issuer()?)?.into())
    }
}

impl IssuingMaterial {
    /// Writes `issuing-N.pem` and `issuing-N.key`.
    ///
    /// # Errors
    /// [`AuthorityError::Exists`] when this generation is there already.
    pub fn save(&self, dir: &Path) -> Result<(), AuthorityError> {
        self.ca.save(dir)
    }

    /// The number in its name.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) const fn cluster(&self) -> &ClusterId {
        &self.ca.cluster
    }

    pub(super) const fn certificate(&self) -> &CertificateDer<'static> {
        &self.ca.certificate
    }

    pub(super) fn issuer(&self) -> Result<Issuer<'_, &KeyPair>, AuthorityError> {
        self.ca.issuer()
    }

    pub(super) fn load(dir: &Path, generation: u32, passphrase: &Passphrase) -> Result<Self, AuthorityError> {
        Ok(Self { ca: CaMaterial::load(dir, issuing_name(generation), passphrase)?, generation })
    }

    pub(super) fn check_signed_by(&self, root: &[u8]) -> Result<(), AuthorityError> {
        check_signed_by(&self.ca.certificate, root)
    }
}

/// Whether a root has signed the certificate of an issuing CA.
pub(super) fn check_signed_by(issuing: &[u8], root: &[u8]) -> Result<(), AuthorityError> {
    let root = identity::parse(root)?;
    let issuing = identity::parse(issuing)?;
    if issuing.issuer().as_raw() != root.subject().as_raw() {
        return Err(AuthorityError::NotSignedByRoot);
    }
    issuing.verify_signature(Some(root.public_key())).map_err(|_| AuthorityError::NotSignedByRoot)
}

/// The numbers of the issuing CAs in a folder that have a file with this ending, in order.
pub(super) fn generations_in(dir: &Path, ending: &str) -> Result<Vec<u32>, AuthorityError> {
    let failed = |source| AuthorityError::File { verb: "list", path: dir.to_owned(), source };
    let mut generations = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        generations.extend(name.to_str().and_then(|name| generation_of(name, ending)));
    }
    generations.sort_unstable();
    Ok(generations)
}

/// The number in `issuing-N.pem`, in its one spelling.
fn generation_of(file_name: &str, ending: &str) -> Option<u32> {
    let number = file_name.strip_prefix(ISSUING)?.strip_suffix(ending)?;
    number.parse().ok().filter(|generation: &u32| generation.to_string() == number)
}

pub(super) fn load_root_certificate(dir: &Path) -> Result<CertificateDer<'static>, AuthorityError> {
    load_certificate(dir, ROOT)
}

pub(super) fn load_certificate(dir: &Path, name: &str) -> Result<CertificateDer<'static>, AuthorityError> {
    let path = dir.join(format!("{name}.pem"));
    let read = files::read(&path);
    let text = read.map_err(|source| AuthorityError::File { verb: "read", path: path.clone(), source })?;
    let mut certificates = pem_text::certificates_in(&text).map_err(|source| AuthorityError::Pem { path, source })?;
    Ok(certificates.swap_remove(0))
}

impl CaMaterial {
    fn new(
        cluster: &ClusterId,
        name: String,
        certificate: CertificateDer<'static>,
        key: KeyPair,
        passphrase: &Passphrase,
    ) -> Result<Self, AuthorityError> {
        let encrypted_key_pem = encrypt(&key, passphrase)?;
        Ok(Self { cluster: cluster.clone(), name, certificate, key, encrypted_key_pem })
    }

    fn issuer(&self) -> Result<Issuer<'_, &KeyPair>, AuthorityError> {
        Ok(Issuer::from_ca_cert_der(&self.certificate, &self.key)?)
    }

    fn save(&self, dir: &Path) -> Result<(), AuthorityError> {
        let failed = |path: &Path, source| AuthorityError::File { verb: "write", path: path.to_owned(), source };
        files::private_folder(dir).map_err(|source| failed(dir, source))?;
        let certificate = dir.join(format!("{}.pem", self.name));
        let key = dir.join(format!("{}.key", self.name));
        if certificate.try_exists().map_err(|source| failed(&certificate, source))? {
            return Err(AuthorityError::Exists(certificate));
        }
        // The key first: a certificate in the folder always has its key.
        files::write_private(&key, self.encrypted_key_pem.as_bytes()).map_err(|source| failed(&key, source))?;
        let text = pem_text::certificate_pem(&self.certificate);
        files::write_private(&certificate, text.as_bytes()).map_err(|source| failed(&certificate, source))
    }

    fn load(dir: &Path, name: String, passphrase: &Passphrase) -> Result<Self, AuthorityError> {
        let certificate = load_certificate(dir, &name)?;
        let key_path = dir.join(format!("{name}.key"));
        let (key, encrypted_key_pem) = load_key(&key_path, passphrase)?;
        let parsed = identity::parse(&certificate)?;
        // The library signs with any key: a certificate signed by the wrong one would verify nowhere.
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(AuthorityError::KeyMismatch(key_path));
        }
        let cluster = cluster_of(&parsed, &name)?;
        Ok(Self { cluster, name, certificate, key, encrypted_key_pem })
    }
}

/// A key as it was saved, and its text.
pub(super) fn load_key(path: &Path, passphrase: &Passphrase) -> Result<(KeyPair, String), AuthorityError> {
    let failed = |source| AuthorityError::File { verb: "read", path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(AuthorityError::Exposed(path.to_owned()));
    }
    let encrypted_pem = files::read(path).map_err(failed)?.to_string();
    Ok((decrypt(&encrypted_pem, passphrase, path)?, encrypted_pem))
}

/// The cluster in the name of a CA whose own name is known.
pub(super) fn cluster_of(
    certificate: &x509_parser::certificate::X509Certificate<'_>,
    name: &str,
) -> Result<ClusterId, AuthorityError> {
    let common_name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let common_name = common_name.unwrap_or_default();
    let cluster = common_name.strip_prefix("Shardlift ").and_then(|rest| rest.strip_suffix(name)).map(str::trim_end);
    cluster
        .and_then(|cluster| cluster.parse().ok())
        .filter(|cluster| ca_name(cluster, name) == common_name)
        .ok_or_else(|| AuthorityError::Name(common_name.to_owned()))
}

impl fmt::Debug for RootMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootMaterial({})", self.0.cluster)
    }
}

impl fmt::Debug for IssuingMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuingMaterial({} {})", self.ca.cluster, self.ca.name)
    }
}
