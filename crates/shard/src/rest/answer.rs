//! Answers: a status, a few headers, a body. What goes out in an error is one of the words here.

use crate::engine::{EngineError, PutError};
use crate::forward::FORWARD;
use crate::rest::body::Body;
use http::{HeaderValue, Method, Response, StatusCode, header};
use shardlift_model::NodeId;

/// An answer to a client.
pub(crate) type Answer = Response<Body>;

/// Why a request is not carried out.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The path names nothing, or nothing that is there.
    Nothing,
    /// The method does not exist here; these do.
    NoMethod(String),
    /// No or bad credentials, or a node that is not the client's own.
    Unauthenticated {
        /// Passwords are looked at.
        offer_basic: bool,
    },
    /// The request cannot be meant.
    Invalid(&'static str),
    /// The state of the repository forbids it: it exists, or it only grows.
    Forbidden(&'static str),
    /// The range starts past the end.
    Unsatisfiable {
        /// Length of the object.
        size: u64,
    },
    /// The body is larger than any such object.
    TooLarge,
    /// The client was silent for too long in the middle of a body.
    Timeout,
    /// Quota or disk is used up.
    Full(&'static str),
    /// Not now: try again.
    Unavailable(&'static str),
    /// Told to the shard that forwarded the request and not to its client.
    NotForwarded(StatusCode),
    /// The server is at fault.
    Broken,
}

impl Reply {
    /// The answer. One to `HEAD` has no body.
    pub(crate) fn into_answer(self, method: &Method) -> Answer {
        let (status, text) = self.status();
        let body = if *method == Method::HEAD { Body::empty() } else { Body::from(format!("{text}\n").into_bytes()) };
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        match self {
            Self::NoMethod(allowed) => {
                if let Ok(allowed) = HeaderValue::from_str(&allowed) {
                    headers.insert(header::ALLOW, allowed);
                }
            }
            Self::Unauthenticated { offer_basic: true } => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"backup\""));
            }
            Self::Unsatisfiable { size } => {
                if let Ok(range) = HeaderValue::from_str(&format!("bytes */{size}")) {
                    headers.insert(header::CONTENT_RANGE, range);
                }
            }
            Self::NotForwarded(_) => {
                headers.insert(FORWARD, HeaderValue::from_static("refused"));
            }
            Self::Unavailable(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        answer
    }

    const fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Nothing => (StatusCode::NOT_FOUND, "not found"),
            Self::NoMethod(_) => (StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
            Self::Unauthenticated { .. } => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Invalid(text) => (StatusCode::BAD_REQUEST, text),
            Self::Forbidden(text) => (StatusCode::FORBIDDEN, text),
            Self::Unsatisfiable { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "range not satisfiable"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the object is too large"),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
            Self::Full(text) => (StatusCode::INSUFFICIENT_STORAGE, text),
            Self::Unavailable(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
            Self::NotForwarded(status) => (*status, "the forwarded request is not taken"),
            Self::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        }
    }

    /// What a client sees of an engine's error. The log sees all of it.
    pub(crate) fn of_engine(node: &NodeId, error: EngineError) -> Self {
        match error {
            EngineError::NodeUnknown(_) => Self::Nothing,
            // The node left its mode between admission and the act.
            EngineError::NotWritable { .. } => Self::Unavailable("the repository is being moved; try again"),
            error => {
                tracing::error!(%node, error = shardlift_api::fault::chain(&error), "a request failed");
                Self::Broken
            }
        }
    }

    /// What a client sees of a failed upload.
    pub(crate) fn of_upload(node: &NodeId, error: PutError) -> Self {
        match error {
            PutError::HashMismatch { .. } => Self::Invalid("the bytes do not match the name"),
            PutError::TooShort { .. } => Self::Invalid("the body is shorter than announced"),
            PutError::TooLarge { .. } => Self::Invalid("the body is longer than announced"),
            PutError::Exists => Self::Forbidden("the object exists"),
            PutError::QuotaExceeded => Self::Full("the quota of this repository is used up"),
            PutError::DiskFull => Self::Full("the server has no space left"),
            PutError::NodeUnknown(_) => Self::Nothing,
            PutError::Engine(error) => Self::of_engine(node, error),
        }
    }
}

/// A status without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}
