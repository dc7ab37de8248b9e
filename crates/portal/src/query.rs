//! What a request asks for: the parameters after the question mark and the node in the path, within limits.

use crate::problem::{Kind, Problem};
use axum::extract::Query;
use http::Uri;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use shardlift_model::NodeId;

/// The words for a node's state, in the order of a move.
pub(crate) const STATES: [&str; 8] =
    ["not_affected", "planned", "copying", "ready", "moving", "moved", "done", "needs_attention"];

/// Most entries of a page.
pub(crate) const LIMIT_MAX: usize = 1000;

/// Entries of a page when nothing is said.
pub(crate) const LIMIT_DEFAULT: usize = 100;

/// Which nodes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NodeQuery {
    pub(crate) after: Option<NodeId>,
    pub(crate) state: Option<&'static str>,
    pub(crate) limit: usize,
}

/// Which part of the worklog.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WorklogQuery {
    pub(crate) after: u64,
    pub(crate) limit: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNodes {
    after: Option<String>,
    state: Option<String>,
    limit: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWorklog {
    after: Option<String>,
    limit: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNothing {}

const fn invalid(detail: &'static str) -> Problem {
    Problem::new(Kind::Invalid, detail)
}

fn raw<T: serde::de::DeserializeOwned>(uri: &Uri, expected: &'static str) -> Result<T, Problem> {
    // The library's text repeats what was sent; ours says what is expected.
    Query::try_from_uri(uri).map(|Query(raw)| raw).map_err(|_rejection| invalid(expected))
}

fn number(text: &str) -> Option<u64> {
    // `parse` alone takes a leading plus.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn limit(text: Option<String>) -> Result<usize, Problem> {
    let Some(text) = text else { return Ok(LIMIT_DEFAULT) };
    let limit = number(&text).and_then(|limit| usize::try_from(limit).ok());
    limit.filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or(invalid("limit: a number from 1 to 1000"))
}

impl NodeQuery {
    /// # Errors
    /// The refusal when it makes no sense.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let raw: RawNodes = raw(uri, "The parameters are after, limit and state, each at most once.")?;
        let after = raw.after.map(|text| text.parse().map_err(|_bad_name| invalid("after: the name of a node")));
        let state = raw.state.map(|text| {
            let known = STATES.into_iter().find(|state| *state == text);
            known.ok_or(invalid("state: one of the words that the API's description lists"))
        });
        Ok(Self { after: after.transpose()?, state: state.transpose()?, limit: limit(raw.limit)? })
    }
}

impl WorklogQuery {
    /// # Errors
    /// The refusal when it makes no sense.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let raw: RawWorklog = raw(uri, "The parameters are after and limit, each at most once.")?;
        let after = raw.after.map_or(Ok(0), |text| number(&text).ok_or(invalid("after: the id of an entry")))?;
        Ok(Self { after, limit: limit(raw.limit)? })
    }
}

/// Nothing can be asked for.
///
/// # Errors
/// The refusal when something is.
pub(crate) fn nothing(uri: &Uri) -> Result<(), Problem> {
    raw::<RawNothing>(uri, "There are no parameters here.").map(|RawNothing {}| ())
}

/// The node that the path names after `prefix`, its slash written as it is or as `%2F`. `None` when it cannot be a node.
pub(crate) fn node_in(uri: &Uri, prefix: &str) -> Option<NodeId> {
    let name = percent_decode_str(uri.path().strip_prefix(prefix)?).decode_utf8().ok()?;
    // Why a text is no name does not matter: there is no such node.
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn parameters_are_read_or_refused_as_a_whole() {
        let nodes = |query: &str| NodeQuery::of(&uri(&format!("/v1/nodes{query}")));
        assert_eq!(nodes("").unwrap(), NodeQuery { after: None, state: None, limit: LIMIT_DEFAULT });
        let all = nodes("?after=acme%2Fweb-1&state=moving&limit=1000").unwrap();
        let after = Some("acme/web-1".parse().unwrap());
        assert_eq!(all, NodeQuery { after, state: Some("moving"), limit: 1000 });
        for bad in [
            "?limit=0",
            "?limit=1001",
            "?limit=-1",
            "?limit=%2B1",
            "?limit=",
            "?limit=x",
            "?limit=99999999999999999999",
            "?after=",
            "?after=..",
            "?after=a/b/c",
            "?state=",
            "?state=Moving",
            "?colour=red",
            "?limit=1&limit=2",
        ] {
            assert_eq!(nodes(bad).unwrap_err().kind(), Kind::Invalid, "{bad}");
        }
        let worklog = |query: &str| WorklogQuery::of(&uri(&format!("/v1/worklog{query}")));
        assert_eq!(worklog("?after=7&limit=3").unwrap(), WorklogQuery { after: 7, limit: 3 });
        for bad in ["?after=-1", "?after=", "?after=x", "?state=moved", "?after=1&after=2"] {
            assert_eq!(worklog(bad).unwrap_err().kind(), Kind::Invalid, "{bad}");
        }
        assert!(nothing(&uri("/v1/batches")).is_ok() && nothing(&uri("/v1/batches?x=1")).is_err());
    }

    #[test]
    fn a_node_is_named_with_a_slash_or_with_its_code() {
        let node = |path: &str| node_in(&uri(path), "/v1/nodes/").map(|node| node.to_string());
        for path in ["/v1/nodes/acme/web-1", "/v1/nodes/acme%2Fweb-1", "/v1/nodes/acme%2fweb%2d1"] {
            assert_eq!(node(path).as_deref(), Some("acme/web-1"), "{path}");
        }
        assert_eq!(node("/v1/nodes/b%C3%BCro").as_deref(), Some("büro"));
        for path in [
            "/v1/nodes/",
            "/v1/nodes/..",
            "/v1/nodes/%2e%2e",
            "/v1/nodes/a/b/c",
            "/v1/nodes/a%2Fb/c",
            "/v1/nodes/a%00",
            "/v1/nodes/%FF",
            "/v1/nodes/a%252Fb",
            "/other/a",
        ] {
            assert_eq!(node(path), None, "{path}");
        }
    }
}
