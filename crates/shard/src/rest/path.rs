//! What a request's path names. Decoded once, checked on the canonical form; nothing here touches a file.
//!
//! `/{account}[/{sub}]/` is a repository, `…/config` its config, `…/{kind}/` a listing, `…/{kind}/{name}` an object. Every
//! other path names nothing, which is all its sender learns.

use percent_encoding::percent_decode_str;
use shardlift_model::{NodeId, ObjectKey, ObjectKind};

/// Longest path, in bytes; two components, a kind and a name fit several times over.
const PATH_BYTES_MAX: usize = 2048;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A repository as a whole.
    Repository(NodeId),
    /// All objects of a kind.
    Listing(NodeId, ObjectKind),
    /// One object, config included.
    Object(NodeId, ObjectKey),
}

impl Target {
    /// Reads a path as it came over the wire, without the query. `None`: it names nothing.
    pub(crate) fn parse(raw: &str) -> Option<Self> {
        if raw.len() > PATH_BYTES_MAX {
            return None;
        }
        let raw = raw.strip_prefix('/')?;
        let parts: Vec<String> = raw.split('/').map(decode).collect::<Option<_>>()?;
        let depth = parts.iter().position(|part| is_protocol_word(part)).unwrap_or_else(|| trimmed(&parts));
        let node: NodeId = parts[..depth].join("/").parse().ok()?;
        match &parts[depth..] {
            [] => Some(Self::Repository(node)),
            [slash] if slash.is_empty() => Some(Self::Repository(node)),
            [word] if word == "config" => Some(Self::Object(node, ObjectKey::Config)),
            [word] => Some(Self::Listing(node, named_kind(word)?)),
            [word, name] if name.is_empty() => Some(Self::Listing(node, named_kind(word)?)),
            [word, name] => Some(Self::Object(node, ObjectKey::new(named_kind(word)?, name).ok()?)),
            _ => None,
        }
    }

    /// Whose repository it is.
    pub(crate) fn node(&self) -> &NodeId {
        match self {
            Self::Repository(node) | Self::Listing(node, _) | Self::Object(node, _) => node,
        }
    }
}

/// One component, decoded. A slash that was encoded would move the border between components, so it names nothing.
fn decode(component: &str) -> Option<String> {
    let text = percent_decode_str(component).decode_utf8().ok()?;
    (!text.contains(['/', '\0'])).then(|| text.into_owned())
}

fn is_protocol_word(part: &str) -> bool {
    ObjectKind::from_word(part).is_some()
}

/// A kind that has listings and names; config has neither.
fn named_kind(word: &str) -> Option<ObjectKind> {
    ObjectKind::from_word(word).filter(|kind| *kind != ObjectKind::Config)
}

/// The number of components before one trailing slash.
fn trimmed(parts: &[String]) -> usize {
    if parts.last().is_some_and(String::is_empty) { parts.len() - 1 } else { parts.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    #[test]
    fn the_paths_of_the_protocol_name_their_objects() {
        let hex = "0a".repeat(32);
        let cases = [
            ("/web/".to_owned(), Target::Repository(node("web"))),
            ("/web".to_owned(), Target::Repository(node("web"))),
            ("/acme/web/".to_owned(), Target::Repository(node("acme/web"))),
            ("/b%C3%BCro/".to_owned(), Target::Repository(node("büro"))),
            ("/web/config".to_owned(), Target::Object(node("web"), ObjectKey::Config)),
            ("/acme/web/data/".to_owned(), Target::Listing(node("acme/web"), ObjectKind::Data)),
            ("/web/locks".to_owned(), Target::Listing(node("web"), ObjectKind::Locks)),
            (
                format!("/acme/web/snapshots/{hex}"),
                Target::Object(node("acme/web"), ObjectKey::new(ObjectKind::Snapshots, &hex).unwrap()),
            ),
        ];
        for (path, target) in cases {
            assert_eq!(Target::parse(&path), Some(target), "{path}");
        }
    }

    #[test]
    fn paths_that_could_mean_something_else_name_nothing() {
        let hex = "0a".repeat(32);
        let long = format!("/{}/", "x".repeat(300));
        let endless = format!("/{}/", "x/".repeat(2000));
        let upper = format!("/web/data/{}", "0A".repeat(32));
        let short = format!("/web/data/{}", &hex[1..]);
        let extended = format!("/web/data/{hex}0");
        let deeper = format!("/web/data/{hex}/x");
        let nested = format!("/a/b/c/data/{hex}");
        let fan_out = format!("/web/data/0a/{hex}");
        for path in [
            "",
            "/",
            "//",
            "web/",
            "*",
            "//web/",
            "/web//",
            "/web//data/",
            "/../web/",
            "/web/../other/",
            "/web/%2e%2e/data/",
            "/%2e%2e/",
            "/web%2Fdata/",
            "/a%2Fb/",
            "/web/%00",
            "/web%00/",
            "/%ff/",
            "/data/",
            "/config",
            "/keys/x",
            "/web/config/",
            "/web/config/x",
            "/.htpasswd",
            "/.shardlift/",
            "/web/data/.",
            "/web/data/..",
            "/a/b/c/",
            "/web%20x/",
            "/web/data/%2e",
            "/%252e%252e/",
            &long,
            &endless,
            &upper,
            &short,
            &extended,
            &deeper,
            &nested,
            &fan_out,
        ] {
            assert_eq!(Target::parse(path), None, "{path:?}");
        }
    }
}
