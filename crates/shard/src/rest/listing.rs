//! Listings, in the two versions of the protocol. They differ in nothing but this.

use serde::Serialize;

/// Content type and `Accept` value of version 1: names.
pub(crate) const V1: &str = "application/vnd.x.restic.rest.v1";

/// Content type and `Accept` value of version 2: names and sizes.
pub(crate) const V2: &str = "application/vnd.x.restic.rest.v2";

/// A version of the listing format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// An array of names.
    One,
    /// An array of objects with name and size.
    Two,
}

impl Version {
    /// What the client asks for; anything but version 2 is version 1.
    pub(crate) fn asked_for(accept: Option<&str>) -> Self {
        if accept == Some(V2) { Self::Two } else { Self::One }
    }

    /// The content type of the answer, which the client compares letter by letter.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::One => V1,
            Self::Two => V2,
        }
    }

    /// The body. No objects give `[]`.
    pub(crate) fn render(self, objects: &[(String, u64)]) -> Result<Vec<u8>, serde_json::Error> {
        #[derive(Serialize)]
        struct Entry<'a> {
            name: &'a str,
            size: u64,
        }
        match self {
            Self::One => serde_json::to_vec(&objects.iter().map(|(name, _)| name).collect::<Vec<_>>()),
            Self::Two => {
                let entries: Vec<_> = objects.iter().map(|(name, size)| Entry { name, size: *size }).collect();
                serde_json::to_vec(&entries)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_render_as_clients_expect() {
        let objects = [("ab".to_owned(), 7), ("cd".to_owned(), 0)];
        let text = |version: Version, objects: &[_]| String::from_utf8(version.render(objects).unwrap()).unwrap();
        assert_eq!(text(Version::One, &objects), r#"["ab","cd"]"#);
        assert_eq!(text(Version::Two, &objects), r#"[{"name":"ab","size":7},{"name":"cd","size":0}]"#);
        assert_eq!(text(Version::One, &[]), "[]");
        assert_eq!(text(Version::Two, &[]), "[]");
    }

    #[test]
    fn anything_but_version_two_is_version_one() {
        for accept in [None, Some("*/*"), Some(V1), Some("application/vnd.x.restic.rest.v3")] {
            assert_eq!(Version::asked_for(accept), Version::One);
        }
        assert_eq!(Version::asked_for(Some(V2)), Version::Two);
    }
}
