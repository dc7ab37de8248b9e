//! CA keys and certificates: made, encrypted, saved, loaded.

use super::error::AuthorityError;
use super::params::{SignerValidity, params};
use crate::profile::{KeyKind, Kind, Profile};
use crate::provider::random;
use crate::secret::Passphrase;
use crate::{files, identity, pem_text};
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo};
use rcgen::{Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData};
use rustls_pki_types::CertificateDer;
use shardlift_model::{ClusterId, UnixMillis};
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zeroize::Zeroizing;

const ROOT: &str = "root";
const ISSUING: &str = "issuing-";
const KEY_LABEL: &str = "ENCRYPTED PRIVATE KEY";

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
    expect_kind(profile, Kind::Issuing)?;
    let name = format!("{ISSUING}{generation}");
    let root = &root.0;
    let key = new_key(profile)?;
    let signer = SignerValidity::of(&root.certificate)?;
    let params = params(profile, Some(&ca_name(&root.cluster, &name)), Vec::new(), now, Some(signer))?;
    let certificate = params.signed_by(&key, &root.issuer()?)?.into();
    let ca = CaMaterial::new(&root.cluster, name, certificate, key, passphrase)?;
    Ok(IssuingMaterial { ca, generation })
}

pub(super) fn expect_kind(profile: &Profile, expected: Kind) -> Result<(), AuthorityError> {
    let found = profile.kind();
    if found == expected { Ok(()) } else { Err(AuthorityError::WrongProfile { expected, found }) }
}

fn ca_name(cluster: &ClusterId, name: &str) -> String {
    format!("Shardlift {cluster} {name}")
}

fn new_key(profile: &Profile) -> Result<KeyPair, AuthorityError> {
    Ok(KeyPair::generate_for(match profile.key() {
        KeyKind::P256 => &PKCS_ECDSA_P256_SHA256,
        KeyKind::P384 => &PKCS_ECDSA_P384_SHA384,
    })?)
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

    pub(super) const fn certificate(&self) -> &CertificateDer<'static> {
        &self.0.certificate
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

    pub(super) fn load_newest(dir: &Path, passphrase: &Passphrase) -> Result<Self, AuthorityError> {
        let failed = |source| AuthorityError::File { verb: "list", path: dir.to_owned(), source };
        let mut generation = None;
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            generation = generation.max(name.to_str().and_then(generation_of));
        }
        let generation = generation.ok_or_else(|| AuthorityError::NoIssuingCa(dir.to_owned()))?;
        let ca = CaMaterial::load(dir, format!("{ISSUING}{generation}"), passphrase)?;
        Ok(Self { ca, generation })
    }

    pub(super) fn check_signed_by(&self, root: &[u8]) -> Result<(), AuthorityError> {
        let root = identity::parse(root)?;
        let issuing = identity::parse(&self.ca.certificate)?;
        if issuing.issuer().as_raw() != root.subject().as_raw() {
            return Err(AuthorityError::NotSignedByRoot);
        }
        issuing.verify_signature(Some(root.public_key())).map_err(|_| AuthorityError::NotSignedByRoot)
    }
}

/// The number in `issuing-N.pem`, in its one spelling.
fn generation_of(file_name: &str) -> Option<u32> {
    let number = file_name.strip_prefix(ISSUING)?.strip_suffix(".pem")?;
    number.parse().ok().filter(|generation: &u32| generation.to_string() == number)
}

pub(super) fn load_root_certificate(dir: &Path) -> Result<CertificateDer<'static>, AuthorityError> {
    load_certificate(dir, ROOT)
}

fn load_certificate(dir: &Path, name: &str) -> Result<CertificateDer<'static>, AuthorityError> {
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
        let failed = |source| AuthorityError::File { verb: "read", path: key_path.clone(), source };
        let mode = std::fs::metadata(&key_path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(AuthorityError::Exposed(key_path));
        }
        let encrypted_key_pem = files::read(&key_path).map_err(failed)?.to_string();
        let key = decrypt(&encrypted_key_pem, passphrase, &key_path)?;
        let parsed = identity::parse(&certificate)?;
        // The library signs with any key: a certificate signed by the wrong one would verify nowhere.
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(AuthorityError::KeyMismatch(key_path));
        }
        let cluster = cluster_of(&parsed, &name)?;
        Ok(Self { cluster, name, certificate, key, encrypted_key_pem })
    }
}

fn cluster_of(
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

/// scrypt, then AES-256. N = 2^14, r = 8, p = 5: as costly to guess as the larger N that OWASP lists first, but within
/// the 32 MiB that `openssl pkey` grants, so that a root can be recovered without this program.
fn encrypt(key: &KeyPair, passphrase: &Passphrase) -> Result<String, AuthorityError> {
    if passphrase.is_empty() {
        return Err(AuthorityError::EmptyPassphrase);
    }
    let failed = |what: &str| AuthorityError::NotMade(format!("the key could not be {what}"));
    let (salt, iv): ([u8; 16], [u8; 16]) = (random()?, random()?);
    let costs = pkcs8::pkcs5::scrypt::Params::new(14, 8, 5, 32).map_err(|_| failed("encrypted"))?;
    let scheme = pbes2::Parameters::scrypt_aes256cbc(costs, &salt, &iv).map_err(|_| failed("encrypted"))?;
    let plain = PrivateKeyInfo::try_from(key.serialized_der()).map_err(|_| failed("encoded"))?;
    let encrypted = plain.encrypt_with_params(scheme, passphrase.as_bytes()).map_err(|_| failed("encrypted"))?;
    Ok(pem_text::block(KEY_LABEL, encrypted.as_bytes()))
}

fn decrypt(text: &str, passphrase: &Passphrase, path: &Path) -> Result<KeyPair, AuthorityError> {
    let not_a_key = || AuthorityError::NotAKey(path.to_owned());
    let block = pem::parse(text).map_err(|_| not_a_key())?;
    if block.tag() != KEY_LABEL {
        return Err(not_a_key());
    }
    let info = EncryptedPrivateKeyInfo::try_from(block.contents()).map_err(|_| not_a_key())?;
    // With a wrong passphrase the padding fits once in 256 times, and what comes out is no key: the same error.
    let wrong = || AuthorityError::WrongPassphrase(path.to_owned());
    let plain = info.decrypt(passphrase.as_bytes()).map_err(|_| wrong())?;
    let plain = Zeroizing::new(plain.as_bytes().to_vec());
    KeyPair::try_from(&plain[..]).map_err(|_| wrong())
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
