//! The header of a forwarded request, and the headers that stay behind on every hop.
//!
//! `token=1.2.3; hops=1; credential=current; node=acme%2Fweb`, exactly so: what deviates is refused.

use http::header::{CONNECTION, HeaderMap, HeaderName};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use shardlift_model::{NodeId, Token};
use std::fmt;

/// Its name, in requests; in an answer it marks a refusal that is meant for the shard and not for its client.
pub(crate) const FORWARD: HeaderName = HeaderName::from_static("shardlift-forward");

/// Most shards that a request passes after the first: there and back again, and one to spare.
pub(crate) const HOPS_MAX: u8 = 3;

/// Longest header that is looked at, in bytes: a node's name, each byte of it encoded, and the rest.
const BYTES_MAX: usize = 1024;

/// What concerns one connection only (RFC 9110 section 7.6.1), apart from what `Connection` itself names.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("te"),
    HeaderName::from_static("trailer"),
    HeaderName::from_static("transfer-encoding"),
    HeaderName::from_static("upgrade"),
];

/// What a forwarding shard says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hop {
    /// For which node it comes.
    pub(crate) node: NodeId,
    /// The highest token that the forwarding shard has accepted for it.
    pub(crate) token: Token,
    /// Times that it was forwarded, this one included.
    pub(crate) hops: u8,
    /// The client has shown nothing but credentials that end with the node's release.
    pub(crate) legacy: bool,
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credential = if self.legacy { "legacy" } else { "current" };
        let node = utf8_percent_encode(self.node.as_str(), NON_ALPHANUMERIC);
        write!(f, "token={}; hops={}; credential={credential}; node={node}", self.token, self.hops)
    }
}

impl Hop {
    /// Reads the one header of this name. `None`: there is none, there are several, or it cannot be meant.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(FORWARD).iter();
        let value = values.next().filter(|value| value.len() <= BYTES_MAX)?;
        if values.next().is_some() {
            return None;
        }
        let mut fields = value.to_str().ok()?.split("; ");
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
        let token = token(field("token")?)?;
        let hops = number(field("hops")?)?;
        let legacy = match field("credential")? {
            "legacy" => true,
            "current" => false,
            _ => return None,
        };
        let node = percent_decode_str(field("node")?).decode_utf8().ok()?.parse().ok()?;
        let read = Self { node, token, hops: u8::try_from(hops).ok()?, legacy };
        // One way to write it: what is not written so was not written by a shard.
        (fields.next().is_none() && read.to_string().as_bytes() == value.as_bytes()).then_some(read)
    }
}

fn token(text: &str) -> Option<Token> {
    let mut numbers = text.splitn(3, '.').map(number);
    Some(Token::new(numbers.next()??, numbers.next()??, numbers.next()??))
}

/// Digits only: `parse` would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Removes the headers that concern one connection only.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.into_iter().chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(FORWARD, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn what_a_shard_writes_another_one_reads() {
        for (node, legacy) in [("acme/web-1", false), ("büro", true)] {
            let hop = Hop { node: node.parse().unwrap(), token: Token::new(u64::MAX, 2, 3), hops: 3, legacy };
            assert_eq!(Hop::read(&headers(&hop.to_string())), Some(hop));
        }
        let longest: NodeId = format!("{}/{}", "x".repeat(100), "ü".repeat(49)).parse().unwrap();
        let hop = Hop { node: longest, token: Token::new(u64::MAX, u64::MAX, u64::MAX), hops: 255, legacy: true };
        assert_eq!(Hop::read(&headers(&hop.to_string())), Some(hop));
    }

    #[test]
    fn what_deviates_is_refused() {
        let good = "token=1.2.3; hops=1; credential=current; node=acme%2Fweb";
        assert!(Hop::read(&headers(good)).is_some());
        assert!(Hop::read(&HeaderMap::new()).is_none());
        let mut twice = headers(good);
        twice.append(FORWARD, HeaderValue::from_static("token=1.2.3; hops=1; credential=current; node=acme%2Fweb"));
        assert!(Hop::read(&twice).is_none());
        for (from, to) in [
            ("1.2.3", "1.2"),
            ("1.2.3", "1.2.3.4"),
            ("1.2.3", "+1.2.3"),
            ("1.2.3", "01.2.3"),
            ("hops=1", "hops=256"),
            ("hops=1", "hops=-1"),
            ("hops=1; ", ""),
            ("current", "none"),
            ("acme%2Fweb", "acme/web"),
            ("acme%2Fweb", "..%2Fweb"),
            ("acme%2Fweb", "acme%2Fweb; x=1"),
            ("acme%2Fweb", ""),
            ("token", "Token"),
            ("; ", ";"),
        ] {
            assert!(Hop::read(&headers(&good.replacen(from, to, 1))).is_none(), "{from} > {to}");
        }
        assert!(Hop::read(&headers(&format!("{good}{}", "x".repeat(2000)))).is_none());
    }

    #[test]
    fn headers_of_one_connection_stay_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-own"),
            ("x-own", "1"),
            ("keep-alive", "5"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("range", "bytes=1-"),
            ("content-length", "3"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "range"]);
    }
}
