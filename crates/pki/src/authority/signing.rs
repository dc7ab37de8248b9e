//! An issuing CA below a root that is kept on another machine.
//!
//! Three steps: the key and a request are made in the folder where the CA will sign ([`request_issuing`]); the root signs the
//! request where it is kept ([`RootFolder::sign`]); the certificate is put beside its key ([`install_issuing`]). What travels is
//! public, and both ends show the fingerprint of the key so that people can compare it.
//!
//! Invariants: a root signs one key under each number; a certificate is installed beside the key that asked for it and below the
//! root that the folder trusts, or not at all.

use super::Authority;
use super::error::AuthorityError;
use super::key::{encrypt, is_wanted, new_key};
use super::material::{self, ROOT, RootMaterial, ca_name, expect_kind, issuing_name};
use crate::hash::sha256;
use crate::pem_text::{self, certificate_pem, certificates_in};
use crate::profile::{Kind, Profile};
use crate::request::{CheckedRequest, RequestError, check_ca};
use crate::secret::Passphrase;
use crate::{files, identity, trust};
use rcgen::{CertificateParams, DistinguishedName, DnType, PublicKeyData};
use rustls_pki_types::CertificateDer;
use shardlift_model::{ClusterId, UnixMillis};
use std::path::{Path, PathBuf};

const REQUEST_LABEL: &str = "CERTIFICATE REQUEST";

/// What an issuing CA that was asked for is called and where its request lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingIssuing {
    /// Its cluster.
    pub cluster: ClusterId,
    /// The number it will have.
    pub generation: u32,
    /// The request, for the root.
    pub request: PathBuf,
    /// SHA-256 of the public key (its `SubjectPublicKeyInfo` in DER), in hex.
    pub key_fingerprint: String,
}

/// Makes a key and a request for the next issuing CA of a cluster: `issuing-N.key` and `issuing-N.csr`.
///
/// # Errors
/// [`AuthorityError::Pending`] while one is asked for, [`AuthorityError::WrongPassphrase`] when the folder has CAs with another
/// passphrase, and others; nothing has changed then.
pub fn request_issuing(
    dir: &Path,
    cluster: &ClusterId,
    wanted: Option<u32>,
    passphrase: &Passphrase,
    profile: &Profile,
) -> Result<PendingIssuing, AuthorityError> {
    expect_kind(profile, Kind::Issuing)?;
    let failed = |path: &Path, source| AuthorityError::File { verb: "write", path: path.to_owned(), source };
    files::private_folder(dir).map_err(|source| failed(dir, source))?;
    let generation = next_generation(dir, cluster, wanted, passphrase)?;
    let name = issuing_name(generation);
    let key = new_key(profile)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, ca_name(cluster, &name));
    let text = pem_text::block(REQUEST_LABEL, params.serialize_request(&key)?.der());
    let (key_path, request) = (dir.join(format!("{name}.key")), dir.join(format!("{name}.csr")));
    // The request first: a crash between the two leaves one that is made again, never a key that nothing names.
    files::write_private(&request, text.as_bytes()).map_err(|source| failed(&request, source))?;
    let encrypted = encrypt(&key, passphrase)?;
    files::write_private(&key_path, encrypted.as_bytes()).map_err(|source| failed(&key_path, source))?;
    let key_fingerprint = hex::encode(sha256(&key.subject_public_key_info()));
    Ok(PendingIssuing { cluster: cluster.clone(), generation, request, key_fingerprint })
}

fn next_generation(
    dir: &Path,
    cluster: &ClusterId,
    wanted: Option<u32>,
    passphrase: &Passphrase,
) -> Result<u32, AuthorityError> {
    let installed = material::generations_in(dir, ".pem")?;
    let pending = material::generations_in(dir, ".key")?.into_iter().find(|found| !installed.contains(found));
    if let Some(pending) = pending {
        return Err(AuthorityError::Pending(dir.join(format!("{}.csr", issuing_name(pending)))));
    }
    let newest = installed.last().copied().unwrap_or(0);
    if newest > 0 {
        let present = Authority::load(dir, passphrase)?;
        if present.cluster() != cluster {
            return Err(AuthorityError::OtherCluster(present.cluster().to_string()));
        }
    }
    let next = wanted.or_else(|| newest.checked_add(1)).unwrap_or(newest);
    if next > newest { Ok(next) } else { Err(AuthorityError::Generation { wanted: next, newest }) }
}

/// A request of an issuing CA, found good: it names a CA and is signed by its own key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuingRequest {
    cluster: ClusterId,
    generation: u32,
    key: CheckedRequest,
}

impl IssuingRequest {
    /// Reads what [`request_issuing`] wrote.
    ///
    /// # Errors
    /// [`AuthorityError::Request`] says what is wrong with it, [`AuthorityError::Name`] that it names no issuing CA.
    pub fn read(text: &str) -> Result<Self, AuthorityError> {
        let block = pem::parse(text).ok().filter(|block| block.tag() == REQUEST_LABEL);
        let block = block.ok_or(RequestError::Malformed)?;
        let (key, name) = check_ca(block.contents())?;
        let (cluster, generation) = named(&name).ok_or(AuthorityError::Name(name))?;
        Ok(Self { cluster, generation, key })
    }

    /// Of which cluster.
    #[must_use]
    pub const fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// Which number it asks for.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// SHA-256 of the public key, as whoever made the request was shown it.
    #[must_use]
    pub fn key_fingerprint(&self) -> String {
        hex::encode(sha256(&self.key.key().subject_public_key_info()))
    }
}

/// Cluster and number in the common name of an issuing CA.
fn named(common_name: &str) -> Option<(ClusterId, u32)> {
    let (cluster, name) = common_name.strip_prefix("Shardlift ")?.rsplit_once(' ')?;
    let generation = name.strip_prefix("issuing-")?.parse().ok().filter(|number| *number > 0)?;
    let cluster = cluster.parse().ok()?;
    (ca_name(&cluster, &issuing_name(generation)) == common_name).then_some((cluster, generation))
}

/// A root with the certificates that it has signed.
#[derive(Debug)]
pub struct RootFolder {
    root: RootMaterial,
    dir: PathBuf,
}

/// What a root has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIssuing {
    /// The issuing CA, then the root.
    pub chain_pem: String,
    /// When the issuing CA ends.
    pub not_after: UnixMillis,
    /// Whether the same key was signed before; then this is that certificate.
    pub is_repeated: bool,
}

impl RootFolder {
    /// Opens a root.
    ///
    /// # Errors
    /// [`AuthorityError::WrongPassphrase`] and others, which name the file.
    pub fn load(dir: &Path, passphrase: &Passphrase) -> Result<Self, AuthorityError> {
        Ok(Self { root: RootMaterial::load(dir, passphrase)?, dir: dir.to_owned() })
    }

    /// The root.
    #[must_use]
    pub const fn root(&self) -> &RootMaterial {
        &self.root
    }

    /// Signs an issuing CA and keeps its certificate, so that its number is never given to another key.
    ///
    /// # Errors
    /// [`AuthorityError::GenerationTaken`], [`AuthorityError::OtherCluster`], [`AuthorityError::Request`] for a key of another kind
    /// than the profile wants, [`AuthorityError::NotValidNow`].
    pub fn sign(
        &self,
        request: &IssuingRequest,
        now: UnixMillis,
        profile: &Profile,
    ) -> Result<SignedIssuing, AuthorityError> {
        if request.cluster != *self.root.cluster() {
            return Err(AuthorityError::OtherCluster(self.root.cluster().to_string()));
        }
        let key = request.key.key();
        if !is_wanted(key, profile) {
            return Err(RequestError::Key.into());
        }
        let name = issuing_name(request.generation);
        let path = self.dir.join(format!("{name}.pem"));
        let failed = |source| AuthorityError::File { verb: "write", path: path.clone(), source };
        if path.try_exists().map_err(failed)? {
            let signed = material::load_certificate(&self.dir, &name)?;
            if identity::parse(&signed)?.public_key().raw != key.subject_public_key_info() {
                return Err(AuthorityError::GenerationTaken(request.generation));
            }
            return self.signed(&signed, true);
        }
        let certificate = self.root.sign_issuing(key, request.generation, now, profile)?;
        files::write_private(&path, certificate_pem(&certificate).as_bytes()).map_err(failed)?;
        self.signed(&certificate, false)
    }

    fn signed(&self, certificate: &[u8], is_repeated: bool) -> Result<SignedIssuing, AuthorityError> {
        Ok(SignedIssuing {
            chain_pem: certificate_pem(certificate) + &certificate_pem(self.root.certificate()),
            not_after: identity::not_after(certificate)?,
            is_repeated,
        })
    }
}

/// The certificate of an issuing CA as a root gave it, with that root; judged but for the key.
#[derive(Debug, Clone)]
pub struct IssuingChain {
    cluster: ClusterId,
    generation: u32,
    issuing: CertificateDer<'static>,
    root: CertificateDer<'static>,
}

impl IssuingChain {
    /// Reads [`SignedIssuing::chain_pem`].
    ///
    /// # Errors
    /// [`AuthorityError::NotAnIssuingCa`] says what is wrong, [`AuthorityError::NotSignedByRoot`].
    pub fn read(text: &str) -> Result<Self, AuthorityError> {
        let unusable = |why: &str| AuthorityError::NotAnIssuingCa(why.to_owned());
        let certificates = certificates_in(text).map_err(|error| AuthorityError::NotAnIssuingCa(error.to_string()))?;
        let [issuing, root] = <[_; 2]>::try_from(certificates)
            .map_err(|_| unusable("its certificate and that of its root are expected"))?;
        trust::check_root(&root).map_err(|error| AuthorityError::NotAnIssuingCa(error.to_string()))?;
        material::check_signed_by(&issuing, &root)?;
        let parsed = identity::parse(&issuing)?;
        let name = identity::one_common_name(parsed.subject()).unwrap_or_default();
        let (cluster, generation) = named(&name).ok_or(AuthorityError::Name(name))?;
        if material::cluster_of(&identity::parse(&root)?, ROOT)? != cluster {
            return Err(AuthorityError::OtherCluster(cluster.to_string()));
        }
        let constraints = parsed.basic_constraints().ok().flatten();
        if !constraints.is_some_and(|found| found.value.ca && found.value.path_len_constraint == Some(0)) {
            return Err(unusable("it may not sign leaves, or more than leaves"));
        }
        let usage = parsed.key_usage().ok().flatten();
        if !usage.is_some_and(|usage| usage.value.key_cert_sign() && usage.value.crl_sign()) {
            return Err(unusable("it may not sign certificates and lists"));
        }
        if identity::subject_key_id(&issuing)?.is_none() {
            return Err(unusable("it has no subject key identifier"));
        }
        Ok(Self { cluster, generation, issuing, root })
    }

    /// Of which cluster.
    #[must_use]
    pub const fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// The number of the issuing CA.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// SHA-256 of the root certificate, in hex.
    #[must_use]
    pub fn root_fingerprint(&self) -> String {
        hex::encode(sha256(&self.root))
    }

    fn is_valid_at(&self, now: UnixMillis) -> Result<bool, AuthorityError> {
        Ok(identity::not_before(&self.issuing)? <= now && now < identity::not_after(&self.issuing)?)
    }
}

/// SHA-256 of the root certificate in a folder, in hex; `None` when there is no root yet.
///
/// # Errors
/// [`AuthorityError`] names the file.
pub fn root_fingerprint_in(dir: &Path) -> Result<Option<String>, AuthorityError> {
    let path = dir.join(format!("{ROOT}.pem"));
    let exists = path.try_exists().map_err(|source| AuthorityError::File { verb: "read", path, source })?;
    if exists { Ok(Some(hex::encode(sha256(&material::load_root_certificate(dir)?)))) } else { Ok(None) }
}

/// Puts a certificate beside the key that asked for it. `root` is the fingerprint that the root must have: the folder's, or for
/// the first certificate what was learned from whoever keeps the root. The same one again changes nothing.
///
/// # Errors
/// [`AuthorityError::OtherRoot`], [`AuthorityError::NotRequested`], [`AuthorityError::KeyMismatch`],
/// [`AuthorityError::NotValidNow`]; nothing has changed then.
pub fn install_issuing(
    dir: &Path,
    chain: &IssuingChain,
    root: &str,
    passphrase: &Passphrase,
    now: UnixMillis,
) -> Result<Authority, AuthorityError> {
    let expected = root_fingerprint_in(dir)?.unwrap_or_else(|| root.to_owned());
    let found = chain.root_fingerprint();
    if !found.eq_ignore_ascii_case(&expected) {
        return Err(AuthorityError::OtherRoot { expected, found });
    }
    if !chain.is_valid_at(now)? {
        return Err(AuthorityError::NotValidNow);
    }
    let (generation, name) = (chain.generation, issuing_name(chain.generation));
    let key_path = dir.join(format!("{name}.key"));
    if !material::generations_in(dir, ".key")?.contains(&generation) {
        return Err(AuthorityError::NotRequested { generation, dir: dir.to_owned() });
    }
    let (key, _) = material::load_key(&key_path, passphrase)?;
    if identity::parse(&chain.issuing)?.public_key().raw != key.subject_public_key_info() {
        return Err(AuthorityError::KeyMismatch(key_path));
    }
    put_root(dir, &chain.root)?;
    put(dir, &name, &chain.issuing)?;
    // A request that was answered is of no use, and none is missed.
    let _answered = std::fs::remove_file(dir.join(format!("{name}.csr")));
    Authority::load(dir, passphrase)
}

pub(super) fn put_root(dir: &Path, root: &[u8]) -> Result<(), AuthorityError> {
    put(dir, ROOT, root)
}

/// A certificate of a CA, where there is none or the same.
fn put(dir: &Path, stem: &str, certificate: &[u8]) -> Result<(), AuthorityError> {
    let path = dir.join(format!("{stem}.pem"));
    let failed = |source| AuthorityError::File { verb: "write", path: path.clone(), source };
    if !path.try_exists().map_err(failed)? {
        return files::write_private(&path, certificate_pem(certificate).as_bytes()).map_err(failed);
    }
    let is_same = *material::load_certificate(dir, stem)? == *certificate;
    if is_same { Ok(()) } else { Err(AuthorityError::Exists(path)) }
}
