//! Protobuf messages <-> checked values. A message that does not convert is refused before anything looks at it.

use crate::fault::{Fault, FaultKind};
use crate::v1;
use shardlift_model::digest::{Digest, Prefix};
use shardlift_model::name::NameError;
use shardlift_model::{NodeId, ObjectKey, ObjectKind, ObjectRecord, Sha256, Token};

/// Parses a name; the fault says which field is wrong and why.
///
/// # Errors
/// [`FaultKind::Invalid`].
pub fn name<T: std::str::FromStr<Err = NameError>>(field: &'static str, text: &str) -> Result<T, Fault> {
    text.parse().map_err(|error: NameError| Fault::new(FaultKind::Invalid, format!("{field}: {error}")))
}

/// Parses the node of a request.
///
/// # Errors
/// [`FaultKind::Invalid`].
pub fn node(text: &str) -> Result<NodeId, Fault> {
    name("node", text)
}

/// The token of a command; every command has one.
///
/// # Errors
/// [`FaultKind::Invalid`] when it is absent.
pub fn token(token: Option<v1::Token>) -> Result<Token, Fault> {
    token.map(Token::from).ok_or_else(|| Fault::new(FaultKind::Invalid, "token: a command needs one"))
}

impl From<v1::Token> for Token {
    fn from(token: v1::Token) -> Self {
        Self::new(token.term, token.generation, token.step)
    }
}

impl From<Token> for v1::Token {
    fn from(token: Token) -> Self {
        Self { term: token.term.0, generation: token.generation.0, step: token.step.0 }
    }
}

impl From<ObjectKind> for v1::ObjectKind {
    fn from(kind: ObjectKind) -> Self {
        match kind {
            ObjectKind::Config => Self::Config,
            ObjectKind::Keys => Self::Keys,
            ObjectKind::Data => Self::Data,
            ObjectKind::Index => Self::Index,
            ObjectKind::Snapshots => Self::Snapshots,
            ObjectKind::Locks => Self::Locks,
        }
    }
}

impl From<ObjectKey> for v1::ObjectRef {
    fn from(key: ObjectKey) -> Self {
        Self { kind: v1::ObjectKind::from(key.kind()).into(), name: key.name() }
    }
}

impl TryFrom<v1::ObjectRef> for ObjectKey {
    type Error = Fault;

    fn try_from(object: v1::ObjectRef) -> Result<Self, Fault> {
        let kind = u8::try_from(object.kind).ok().and_then(ObjectKind::from_number);
        let kind = kind.ok_or_else(|| Fault::new(FaultKind::Invalid, "object kind: unknown"))?;
        Self::new(kind, &object.name).map_err(|error| Fault::new(FaultKind::Invalid, format!("object name: {error}")))
    }
}

impl From<&Prefix> for v1::DigestPlace {
    fn from(place: &Prefix) -> Self {
        Self {
            kind: v1::ObjectKind::from(place.kind()).into(),
            digits: place.digits().into(),
            name: place.name().to_vec(),
        }
    }
}

impl TryFrom<v1::DigestPlace> for Prefix {
    type Error = Fault;

    fn try_from(place: v1::DigestPlace) -> Result<Self, Fault> {
        let no_place = || Fault::new(FaultKind::Invalid, "place of a digest: kind and digits do not fit together");
        let kind = u8::try_from(place.kind).ok().and_then(ObjectKind::from_number).ok_or_else(no_place)?;
        let name = place.name.as_slice().try_into().map_err(|_| no_place())?;
        let digits = u8::try_from(place.digits).map_err(|_| no_place())?;
        Self::new(kind, name, digits).ok_or_else(no_place)
    }
}

impl From<ObjectRecord> for v1::ObjectRecord {
    fn from(record: ObjectRecord) -> Self {
        Self {
            r#ref: Some(record.key.into()),
            size: record.size,
            sha256: record.sha256.0.to_vec(),
            damaged: record.is_damaged(),
        }
    }
}

impl TryFrom<v1::ObjectRecord> for ObjectRecord {
    type Error = Fault;

    fn try_from(record: v1::ObjectRecord) -> Result<Self, Fault> {
        let object = record.r#ref.ok_or_else(|| Fault::new(FaultKind::Invalid, "object: absent"))?;
        Ok(Self { key: object.try_into()?, size: record.size, sha256: sha256(&record.sha256)? })
    }
}

/// A hash from the wire.
///
/// # Errors
/// [`FaultKind::Invalid`] when it is not 32 bytes.
pub fn sha256(bytes: &[u8]) -> Result<Sha256, Fault> {
    let hash = bytes.try_into().map_err(|_| Fault::new(FaultKind::Invalid, "sha256: 32 bytes are expected"))?;
    Ok(Sha256(hash))
}

/// A digest and the seq it stands for, as a message.
#[must_use]
pub fn node_digest(digest: &Digest, seq: u64) -> v1::NodeDigest {
    v1::NodeDigest {
        seq,
        root: digest.root.0.to_vec(),
        objects: digest.objects,
        bytes: digest.bytes,
        damaged: digest.damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_kinds_have_the_same_numbers_on_both_sides() {
        for kind in ObjectKind::ALL {
            assert_eq!(i32::from(v1::ObjectKind::from(kind)), i32::from(kind as u8));
        }
    }

    #[test]
    fn a_wrong_object_does_not_convert() {
        let of = |kind: i32, name: &str| ObjectKey::try_from(v1::ObjectRef { kind, name: name.into() });
        assert!(of(0, "config").is_err());
        assert!(of(1, "other").is_err());
        assert!(of(3, "config").is_err());
        assert!(of(7, &"0".repeat(64)).is_err());
        assert!(of(3, &"A".repeat(64)).is_err());
        assert_eq!(of(1, "config").unwrap(), ObjectKey::Config);
    }
}
