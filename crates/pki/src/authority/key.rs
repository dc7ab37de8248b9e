//! Keys of CAs: made by profile, and encrypted wherever they lie (PKCS#8, RFC 5208 and 8018).

use super::error::AuthorityError;
use crate::pem_text;
use crate::profile::{KeyKind, Profile};
use crate::provider::random;
use crate::secret::Passphrase;
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData, SignatureAlgorithm};
use std::path::Path;
use zeroize::Zeroizing;

const KEY_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// A key of the kind that the profile wants.
pub(super) fn new_key(profile: &Profile) -> Result<KeyPair, AuthorityError> {
    Ok(KeyPair::generate_for(algorithm(profile))?)
}

/// Whether a key is of the kind that the profile wants.
pub(super) fn is_wanted(key: &impl PublicKeyData, profile: &Profile) -> bool {
    key.algorithm() == algorithm(profile)
}

fn algorithm(profile: &Profile) -> &'static SignatureAlgorithm {
    match profile.key() {
        KeyKind::P256 => &PKCS_ECDSA_P256_SHA256,
        KeyKind::P384 => &PKCS_ECDSA_P384_SHA384,
    }
}

/// scrypt, then AES-256. N = 2^14, r = 8, p = 5: as costly to guess as the larger N that OWASP lists first, but within
/// the 32 MiB that `openssl pkey` grants, so that a root can be recovered without this program.
pub(super) fn encrypt(key: &KeyPair, passphrase: &Passphrase) -> Result<String, AuthorityError> {
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

pub(super) fn decrypt(text: &str, passphrase: &Passphrase, path: &Path) -> Result<KeyPair, AuthorityError> {
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
