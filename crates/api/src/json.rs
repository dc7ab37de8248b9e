//! Messages as JSON: the views of `operator.proto` serialise under the names of their fields. Only this direction exists;
//! nothing is read from JSON.

use serde::Serializer;
use std::fmt::Write as _;

/// Bytes as lower-case hex, for hashes.
///
/// # Errors
/// Those of the serialiser.
pub fn hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").map_err(serde::ser::Error::custom)?;
    }
    serializer.serialize_str(&text)
}

#[cfg(test)]
mod tests {
    use crate::v1;

    #[test]
    fn a_view_is_json_under_the_names_of_its_fields() {
        let digest = v1::NodeDigest { seq: 3, root: vec![0, 0xab], objects: 1, bytes: 2, damaged: 0 };
        let node = v1::FleetNode { node: "acme/web-1".into(), verified: Some(digest), ..Default::default() };
        let json = serde_json::to_value(node).unwrap();
        assert_eq!(json["verified"]["root"], "00ab");
        assert_eq!((&json["node"], &json["held_because"]), (&"acme/web-1".into(), &"".into()));
        assert_eq!(serde_json::to_value(v1::ExplainNodeResponse::default()).unwrap()["where"], "");
    }
}
