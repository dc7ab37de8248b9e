//! Secrets that people carry by hand: a token that gets a certificate once, and a token for the status API.
//!
//! Only a token's hash is ever stored. The hashes of the two kinds are made apart, so one can never pass as the other.

use crate::hash::sha256_of;
use crate::provider::{NoRandomness, random};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shardlift_model::Sha256;
use std::fmt;
use zeroize::Zeroizing;

const ENROLMENT_PREFIX: &str = "sle1";
const ACCESS_PREFIX: &str = "sla1";

/// Longer than any token.
const TOKEN_BYTES_MAX: usize = 256;

/// Why a text is not a token. Never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not an enrolment token.
    #[error("not an enrolment token: sle1.SECRET.FINGERPRINT is expected")]
    NotAnEnrolmentToken,
    /// Not an access token.
    #[error("not an access token: sla1.SECRET is expected")]
    NotAnAccessToken,
    /// The fingerprint is none.
    #[error("not a fingerprint of a root: 64 lower-case hex digits are expected")]
    Fingerprint,
    /// No token could be made.
    #[error("no token could be made")]
    NotMade(#[from] NoRandomness),
}

/// 256 random bits.
#[derive(Clone, PartialEq, Eq)]
struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    fn new() -> Result<Self, NoRandomness> {
        random().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        // Decoding is strict, so that a secret has one spelling.
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes[..]) {
            Ok(32) => Some(Self(bytes)),
            _ => None,
        }
    }

    fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(&self.0[..]))
    }

    fn hash(&self, domain: &str) -> Sha256 {
        Sha256(sha256_of(&[b"shardlift ", domain.as_bytes(), b" token\0", &self.0[..]]))
    }
}

/// Gets its bearer one certificate. Carries the fingerprint of the root, so that the bearer knows whom to give it to.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolmentToken {
    secret: Secret,
    root_fingerprint: String,
}

impl EnrolmentToken {
    /// A new random token for the cluster with this root.
    ///
    /// # Errors
    /// [`TokenError`] when the fingerprint is none or the system gives no randomness.
    pub fn create(root_fingerprint: &str) -> Result<Self, TokenError> {
        if !is_fingerprint(root_fingerprint) {
            return Err(TokenError::Fingerprint);
        }
        Ok(Self { secret: Secret::new()?, root_fingerprint: root_fingerprint.to_owned() })
    }

    /// Reads what [`Self::text`] wrote.
    ///
    /// # Errors
    /// [`TokenError::NotAnEnrolmentToken`] when it is anything else.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let parts: Vec<&str> = text.trim().splitn(4, '.').collect();
        match parts[..] {
            [ENROLMENT_PREFIX, secret, fingerprint] if text.len() <= TOKEN_BYTES_MAX && is_fingerprint(fingerprint) => {
                let secret = Secret::parse(secret).ok_or(TokenError::NotAnEnrolmentToken)?;
                Ok(Self { secret, root_fingerprint: fingerprint.to_owned() })
            }
            _ => Err(TokenError::NotAnEnrolmentToken),
        }
    }

    /// The token as it is handed over: `sle1.SECRET.FINGERPRINT`.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{ENROLMENT_PREFIX}.{}.{}", *self.secret.text(), self.root_fingerprint))
    }

    /// What is stored instead of the token.
    #[must_use]
    pub fn hash(&self) -> Sha256 {
        self.secret.hash("enrolment")
    }

    /// SHA-256 of the root certificate, in hex.
    #[must_use]
    pub fn root_fingerprint(&self) -> &str {
        &self.root_fingerprint
    }
}

impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrolmentToken(..)")
    }
}

/// Opens the status API to its bearer.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    secret: Secret,
}

impl AccessToken {
    /// A new random token.
    ///
    /// # Errors
    /// [`TokenError::NotMade`] when the system gives no randomness.
    pub fn create() -> Result<Self, TokenError> {
        Ok(Self { secret: Secret::new()? })
    }

    /// Reads what [`Self::text`] wrote.
    ///
    /// # Errors
    /// [`TokenError::NotAnAccessToken`] when it is anything else.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let secret = match text.trim().split_once('.') {
            Some((ACCESS_PREFIX, secret)) if text.len() <= TOKEN_BYTES_MAX => Secret::parse(secret),
            _ => None,
        };
        secret.map(|secret| Self { secret }).ok_or(TokenError::NotAnAccessToken)
    }

    /// The token as it is handed over: `sla1.SECRET`.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{ACCESS_PREFIX}.{}", *self.secret.text()))
    }

    /// What is stored instead of the token.
    #[must_use]
    pub fn hash(&self) -> Sha256 {
        self.secret.hash("access")
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

/// Compares in a time that does not depend on where the difference is.
#[must_use]
pub fn same_hash(left: &Sha256, right: &Sha256) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(&left.0, &right.0).is_ok()
}

fn is_fingerprint(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint() -> String {
        "0123456789abcdef".repeat(4)
    }

    #[test]
    fn a_token_survives_being_written_down() {
        let token = EnrolmentToken::create(&fingerprint()).unwrap();
        let read = EnrolmentToken::parse(&format!(" {}\n", *token.text())).unwrap();
        assert_eq!(read.text(), token.text());
        assert_eq!(read.root_fingerprint(), fingerprint());
        assert!(same_hash(&read.hash(), &token.hash()));
        let access = AccessToken::create().unwrap();
        assert!(same_hash(&AccessToken::parse(&access.text()).unwrap().hash(), &access.hash()));
    }

    #[test]
    fn tokens_and_their_hashes_are_all_different() {
        let one = EnrolmentToken::create(&fingerprint()).unwrap();
        let two = EnrolmentToken::create(&fingerprint()).unwrap();
        assert!(!same_hash(&one.hash(), &two.hash()));
        let same_secret = AccessToken { secret: one.secret.clone() };
        assert!(!same_hash(&one.hash(), &same_secret.hash()));
    }

    #[test]
    fn nothing_of_a_token_shows_in_debug() {
        let token = EnrolmentToken::create(&fingerprint()).unwrap();
        let access = AccessToken::create().unwrap();
        assert_eq!(format!("{token:?} {access:?}"), "EnrolmentToken(..) AccessToken(..)");
    }

    #[test]
    fn anything_else_is_no_token() {
        let good = EnrolmentToken::create(&fingerprint()).unwrap().text().to_string();
        let secret = good.split('.').nth(1).unwrap().to_owned();
        let print = fingerprint();
        for text in [
            String::new(),
            "sle1".to_owned(),
            good.replace("sle1", "sle2"),
            good.replace("sle1", "sla1"),
            format!("sle1.{secret}"),
            format!("sle1.{secret}=.{print}"),
            format!("sle1.{}.{print}", &secret[1..]),
            format!("sle1.{secret}A.{print}"),
            format!("sle1.{secret}.{}", &print[1..]),
            format!("sle1.{secret}.{}", print.to_uppercase()),
            format!("sle1.{secret}.{print}.x"),
            "x".repeat(10_000),
        ] {
            assert!(EnrolmentToken::parse(&text).is_err(), "{text}");
            assert!(AccessToken::parse(&text).is_err(), "{text}");
        }
        assert!(AccessToken::parse(&format!("sla1.{secret}")).is_ok());
        assert!(EnrolmentToken::create("abc").is_err());
    }
}
