//! One request, as it goes on the wire.

use super::peer::Access;
use bytes::Bytes;

/// The media type of a listing with sizes.
pub(super) const V2: &str = "application/vnd.x.restic.rest.v2";
/// The media type of a listing of names.
pub(super) const V1: &str = "application/vnd.x.restic.rest.v1";

/// What follows the head.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// Nothing, and no length for methods that need none.
    None,
    /// Bytes with their length.
    Sized(Bytes),
    /// Bytes of unannounced length: chunked in HTTP/1.1.
    Unsized(Vec<Bytes>),
    /// Fewer bytes than announced, then an orderly end.
    Short { announced: usize, sent: Bytes },
    /// Bytes of unannounced length that break off.
    Broken(Bytes),
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: &'static str,
    /// Path and query, never normalised.
    pub(super) target: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
    pub(super) access: Access,
    /// Written by hand over HTTP/1.1, where a library would hide or mend what is to be seen.
    pub(super) by_hand: bool,
}

impl Request {
    pub(super) fn new(method: &'static str, target: impl Into<String>) -> Self {
        let (headers, body) = (Vec::new(), Body::None);
        Self { method, target: target.into(), headers, body, access: Access::Owner, by_hand: false }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn range(self, range: &str) -> Self {
        self.header("range", range)
    }

    pub(super) fn body(mut self, bytes: &Bytes) -> Self {
        self.body = Body::Sized(bytes.clone());
        self
    }

    pub(super) fn with(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    pub(super) fn by(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    pub(super) fn by_hand(mut self) -> Self {
        self.by_hand = true;
        self
    }
}

pub(super) fn get(target: impl Into<String>) -> Request {
    Request::new("GET", target)
}

pub(super) fn head(target: impl Into<String>) -> Request {
    Request::new("HEAD", target)
}

pub(super) fn delete(target: impl Into<String>) -> Request {
    Request::new("DELETE", target)
}

/// An upload, as restic does it.
pub(super) fn post(target: impl Into<String>, bytes: &Bytes) -> Request {
    Request::new("POST", target).header("content-type", "application/octet-stream").body(bytes)
}

/// The call that makes a repository; `path` ends in a slash.
pub(super) fn create(path: &str) -> Request {
    Request::new("POST", format!("{path}?create=true"))
        .header("content-type", "binary/octet-stream")
        .body(&Bytes::new())
}

/// A listing with sizes; `path` ends in a slash.
pub(super) fn list(path: impl Into<String>) -> Request {
    get(path).header("accept", V2)
}
