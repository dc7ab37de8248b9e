//! Checks a receipt with nothing but the cluster's root certificate.
//!
//! The signature first, then whose it is, then that the signed text speaks of the certificate that signed it and does not
//! contradict itself. The time of issue is the issuer's own word: it has to lie within the certificate's validity.

use crate::{FORMAT, Facts, PAYLOAD_TYPE, Receipt, State};
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use shardlift_model::{Role, UnixMillis};
use shardlift_pki::envelope::{Envelope, EnvelopeError, Signer};

/// Length of a digest in hexadecimal digits.
const DIGEST_DIGITS: usize = 64;

/// Why a receipt is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Doubt {
    /// It cannot be judged.
    #[error(transparent)]
    Unreadable(Unreadable),
    /// Signature, chain or certificate.
    #[error(transparent)]
    Envelope(EnvelopeError),
    /// It contradicts itself or its certificate.
    #[error(transparent)]
    Inconsistent(Inconsistency),
}

/// Why a file cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Too large, or not the JSON of an envelope.
    #[error(transparent)]
    Envelope(EnvelopeError),
    /// Signed, but not a receipt.
    #[error("what is signed is no receipt: {0}")]
    Payload(String),
    /// A later program's.
    #[error("it has format {0}; this program reads format {FORMAT}")]
    Format(u64),
}

/// A contradiction in a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistency {
    /// It names another issuer.
    #[error("it names another issuer than the certificate that signed it")]
    Issuer,
    /// It names another chain.
    #[error("it names another chain of certificates than the one that signed it")]
    Chain,
    /// It is about another cluster.
    #[error("it speaks of another cluster than the certificate that signed it")]
    Cluster,
    /// From a shard to itself.
    #[error("source and target are the same shard")]
    Place,
    /// A digest that is none.
    #[error("a digest in it is no digest")]
    Digest,
    /// What was taken is not what was given.
    #[error("the digests of source and target differ")]
    Digests,
    /// What was taken is not what was given.
    #[error("source and target differ in objects, bytes, damage or the last change")]
    Counts,
    /// Damage that nobody accepted.
    #[error("it moved damaged objects that nobody accepted")]
    Damage,
    /// A read copy with more known damage than the move took along.
    #[error("a copy was read with more known damage than the move took along")]
    KnownDamage,
}

/// A receipt that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub receipt: Receipt,
    /// Whose certificate signed it.
    pub signer: Signer,
}

/// Checks the bytes of a file against the roots that the reader trusts.
///
/// # Errors
/// [`Doubt`], in one line.
pub fn verify(bytes: &[u8], roots: &[CertificateDer<'static>]) -> Result<Verified, Doubt> {
    let envelope = Envelope::read(bytes).map_err(|error| match error {
        EnvelopeError::TooLarge | EnvelopeError::NotAnEnvelope(_) => Doubt::Unreadable(Unreadable::Envelope(error)),
        error => Doubt::Envelope(error),
    })?;
    let payload = envelope.signed(PAYLOAD_TYPE).map_err(Doubt::Envelope)?;
    let receipt = read(payload).map_err(Doubt::Unreadable)?;
    let issued_at = UnixMillis(receipt.issued.at_unix_ms);
    let signer = envelope.signer(roots, issued_at, Role::Controller).map_err(Doubt::Envelope)?;
    match contradiction(&receipt, &signer) {
        Some(contradiction) => Err(Doubt::Inconsistent(contradiction)),
        None => Ok(Verified { receipt, signer }),
    }
}

/// The format first: a receipt of another one may have other fields.
fn read(payload: &[u8]) -> Result<Receipt, Unreadable> {
    #[derive(Deserialize)]
    struct Header {
        format: u64,
    }
    let other = |error: serde_json::Error| Unreadable::Payload(error.to_string());
    let Header { format } = serde_json::from_slice(payload).map_err(other)?;
    if format != u64::from(FORMAT) {
        return Err(Unreadable::Format(format));
    }
    serde_json::from_slice(payload).map_err(other)
}

/// The first contradiction.
fn contradiction(receipt: &Receipt, signer: &Signer) -> Option<Inconsistency> {
    let Receipt { issued, facts, .. } = receipt;
    let wrong = [
        (issued.by != signer.identity.to_uri() || issued.serial != signer.serial, Inconsistency::Issuer),
        (issued.chain_sha256 != signer.chain_sha256, Inconsistency::Chain),
        (facts.cluster != signer.identity.cluster, Inconsistency::Cluster),
        (facts.place.source == facts.place.target, Inconsistency::Place),
    ];
    wrong.into_iter().find_map(|(is_wrong, what)| is_wrong.then_some(what)).or_else(|| of_states(facts))
}

fn of_states(facts: &Facts) -> Option<Inconsistency> {
    let given = &facts.source;
    let taken = facts.target.state.as_ref();
    if !taken.into_iter().chain([given]).chain(&facts.deep_verify.before).all(has_digest) {
        return Some(Inconsistency::Digest);
    }
    if taken.is_some_and(|taken| taken.digest != given.digest) {
        return Some(Inconsistency::Digests);
    }
    if taken.is_some_and(|taken| taken != given) {
        return Some(Inconsistency::Counts);
    }
    if given.damaged > 0 && !facts.losses.damage_accepted {
        return Some(Inconsistency::Damage);
    }
    let read = [&facts.deep_verify.source, &facts.deep_verify.target];
    let more = read.into_iter().flatten().any(|copy| copy.known_damaged > given.damaged);
    more.then_some(Inconsistency::KnownDamage)
}

fn has_digest(state: &State) -> bool {
    state.digest.len() == DIGEST_DIGITS
        && state.digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests;
