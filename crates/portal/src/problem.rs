//! Refusals as problem+json (RFC 9457), with stable codes.
//!
//! INV-10: every text is fixed at compile time, so that no refusal can repeat a name.

use axum::body::Body;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

/// What sort of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request cannot be meant.
    Invalid,
    /// No token, or none that opens anything.
    Unauthenticated,
    /// There is no such thing for this caller.
    NotFound,
    /// The path does not answer this method.
    MethodNotAllowed,
    /// The caller does not take JSON.
    NotAcceptable,
    /// Requests have no body here.
    TooLarge,
    /// The address is too long.
    UriTooLong,
    /// Try again; nothing is wrong with the request.
    Unavailable,
    /// A bug or a broken machine.
    Internal,
}

impl Kind {
    /// The stable code.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotAcceptable => "not_acceptable",
            Self::TooLarge => "too_large",
            Self::UriTooLong => "uri_too_long",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Invalid => "The request is not valid",
            Self::Unauthenticated => "A valid token is required",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "This method is not answered here",
            Self::NotAcceptable => "Answers are JSON",
            Self::TooLarge => "The request is too large",
            Self::UriTooLong => "The address is too long",
            Self::Unavailable => "Not available right now",
            Self::Internal => "Internal error",
        }
    }

    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    kind: Kind,
    detail: &'static str,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A refusal and what to do about it.
    pub(crate) const fn new(kind: Kind, detail: &'static str) -> Self {
        Self { kind, detail, header: None }
    }

    /// No token, or one that is not valid (any more). Which of the two is not said.
    pub(crate) fn unauthenticated(token_shown: bool) -> Self {
        let (detail, challenge) = if token_shown {
            let challenge = "Bearer realm=\"shardlift status\", error=\"invalid_token\"";
            ("The token is unknown or has expired. Ask the operators for a new one.", challenge)
        } else {
            let detail = "Send the customer's token once: `Authorization: Bearer sla1...`.";
            (detail, "Bearer realm=\"shardlift status\"")
        };
        let header = Some((WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
        Self { kind: Kind::Unauthenticated, detail, header }
    }

    /// The path answers other methods.
    pub(crate) fn method_not_allowed(allowed: &[&str]) -> Self {
        // Method names always fit a header.
        let allowed = HeaderValue::from_str(&allowed.join(", "));
        let header = allowed.map(|allowed| (ALLOW, allowed)).ok();
        let detail = "Nothing can be changed here. The header Allow lists what is answered.";
        Self { kind: Kind::MethodNotAllowed, detail, header }
    }

    /// Nothing to answer from yet.
    pub(crate) fn unavailable(detail: &'static str) -> Self {
        Self { kind: Kind::Unavailable, detail, header: Some((RETRY_AFTER, HeaderValue::from_static("1"))) }
    }

    /// The stable code.
    #[cfg(test)]
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// The answer.
    pub(crate) fn into_response(self) -> Response<Body> {
        let body = serde_json::json!({
            "type": format!("urn:shardlift:problem:{}", self.kind.code()),
            "title": self.kind.title(),
            "status": self.kind.status().as_u16(),
            "detail": self.detail,
            "code": self.kind.code(),
        });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.kind.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        headers.extend(self.header);
        response
    }
}
