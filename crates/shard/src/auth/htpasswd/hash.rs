//! The kinds of hashes in an htpasswd file.

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;

/// A bcrypt hash of a password that nobody knows, checked for accounts that do not exist.
pub(super) const NOBODY: &str = "$2b$10$CwTycUXWue0Thq9StjUM0uJ8bq4bPFnHxVvWJwQZ7jZ0Wq4y1Z5bK";

/// A hash by its kind.
pub(super) enum PasswordHash<'a> {
    /// `$2a$`, `$2b$`, `$2y$`.
    Bcrypt(&'a str),
    /// `{SHA}` and the base64 of a SHA-1; of old files.
    Sha1(&'a str),
    /// Anything else opens nothing.
    Unknown,
}

impl<'a> PasswordHash<'a> {
    /// Reads the kind.
    pub(super) fn of(hash: &'a str) -> Self {
        if let Some(encoded) = hash.strip_prefix("{SHA}") {
            return Self::Sha1(encoded);
        }
        let bcrypt = ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix));
        if bcrypt { Self::Bcrypt(hash) } else { Self::Unknown }
    }

    /// Whether the password has this hash.
    pub(super) fn verifies(&self, password: &str) -> bool {
        match self {
            // An error is a damaged line, which opens nothing.
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Sha1(encoded) => {
                let Ok(expected) = base64::prelude::BASE64_STANDARD.decode(encoded) else { return false };
                let found = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
                constant_time::verify_slices_are_equal(found.as_ref(), &expected).is_ok()
            }
            Self::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nobody_is_a_whole_one_so_that_checking_it_takes_its_time() {
        assert_eq!(bcrypt::verify("anything", NOBODY).ok(), Some(false));
    }
}
