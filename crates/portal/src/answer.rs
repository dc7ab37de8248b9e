//! Answers that are not refusals: JSON with a strong ETag.
//!
//! The ETag is a hash of the customer and of the bytes of the answer: it changes when and only when the answer does, also
//! for progress that no event records, and what happens to other customers does not show in it.

use crate::problem::{Kind, Problem};
use aws_lc_rs::digest::{Context, SHA256};
use axum::body::Body;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;
use shardlift_model::CustomerId;

/// Renders an answer for a customer, or for everybody.
///
/// # Errors
/// When it cannot be written as JSON, which is a bug.
pub(crate) fn json(
    value: &impl Serialize,
    customer: Option<&CustomerId>,
    asked: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| internal(&error))?;
    bytes(body, Form::Json, customer, asked)
}

/// The same for what is rendered already.
///
/// # Errors
/// As [`json`].
pub(crate) fn bytes(
    body: Vec<u8>,
    form: Form,
    customer: Option<&CustomerId>,
    asked: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let tag = etag(&body, customer);
    let unchanged = asked.get_all(IF_NONE_MATCH).iter().any(|value| matches(value, &tag));
    let mut response = if unchanged { Response::new(Body::empty()) } else { Response::new(Body::from(body)) };
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_str(&tag).map_err(|error| internal(&error))?);
    // To be asked for again each time, which costs a 304; kept by the client alone where it is a customer's.
    let keep = if customer.is_some() { "private, no-cache" } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(VARY, HeaderValue::from_static("authorization, accept"));
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    }
    Ok(response)
}

fn internal(error: &impl std::error::Error) -> Problem {
    tracing::error!(%error, "an answer could not be made");
    Problem::new(Kind::Internal, "The server's log says more.")
}

fn etag(body: &[u8], customer: Option<&CustomerId>) -> String {
    let mut context = Context::new(&SHA256);
    context.update(b"shardlift status answer\0");
    // Names hold no NUL, so the parts cannot run into each other; nobody is the empty name, which no customer has.
    context.update(customer.map_or("", CustomerId::as_str).as_bytes());
    context.update(b"\0");
    context.update(body);
    format!("\"{}\"", hex::encode(&context.finish().as_ref()[..16]))
}

/// Weak comparison, as the header asks for.
fn matches(value: &HeaderValue, tag: &str) -> bool {
    let Ok(value) = value.to_str() else { return false };
    value.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// What an answer is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    /// DER (RFC 2585, section 4.2).
    RevocationList,
}

impl Form {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::RevocationList => "application/pkix-crl",
        }
    }

    /// What a caller who takes something else is told.
    pub(crate) const fn wanted(self) -> &'static str {
        match self {
            Self::Json => "The header Accept must allow application/json.",
            Self::RevocationList => "The header Accept must allow application/pkix-crl.",
        }
    }

    /// Whether the caller takes it: no word on it is a yes.
    pub(crate) fn is_taken(self, asked: &HeaderMap) -> bool {
        takes(self.media_type(), asked)
    }
}

fn takes(media_type: &str, asked: &HeaderMap) -> bool {
    let mut ranges = asked.get_all(ACCEPT).iter().flat_map(|value| value.to_str().unwrap_or("").split(','));
    // The range that says most about it decides.
    let weigh = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let precise = match parts.next()?.to_ascii_lowercase().as_str() {
            exact if exact == media_type => 3,
            "application/*" => 2,
            "*/*" => 1,
            _ => return None,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some((precise, weight.is_none_or(|weight| weight.parse().is_ok_and(|weight: f32| weight > 0.0))))
    };
    !asked.contains_key(ACCEPT) || {
        let best = ranges.by_ref().filter_map(weigh).max();
        best.is_some_and(|(_, wanted)| wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_that_says_most_about_json_decides() {
        for (accept, expected) in [
            ("*/*", true),
            ("application/json", true),
            ("Application/JSON;charset=utf-8", true),
            ("text/html, application/*;q=0.1", true),
            ("text/html", false),
            ("", false),
            ("*/*, application/json;q=0", false),
            ("*/*;q=0, application/json;q=0.5", true),
            ("application/json;q=x", false),
        ] {
            let asked: HeaderMap = [(ACCEPT, HeaderValue::from_static(accept))].into_iter().collect();
            assert_eq!(Form::Json.is_taken(&asked), expected, "{accept:?}");
        }
        assert!(Form::Json.is_taken(&HeaderMap::new()));
        let asked: HeaderMap = [(ACCEPT, HeaderValue::from_static("application/json"))].into_iter().collect();
        assert!(!Form::RevocationList.is_taken(&asked));
    }

    #[test]
    fn tags_are_compared_one_by_one() {
        let tag = etag(b"{}", None);
        for (value, expected) in [
            (tag.clone(), true),
            (format!("W/{tag}"), true),
            (format!("\"x\", {tag}"), true),
            ("*".to_owned(), true),
            ("\"x\"".to_owned(), false),
            (tag.trim_matches('"').to_owned(), false),
        ] {
            assert_eq!(matches(&HeaderValue::from_str(&value).unwrap(), &tag), expected, "{value}");
        }
    }

    #[test]
    fn equal_bytes_of_two_customers_have_different_tags() {
        let (one, two) = ("acme".parse().unwrap(), "bolt".parse().unwrap());
        let tags = [etag(b"{}", Some(&one)), etag(b"{}", Some(&two)), etag(b"{}", None), etag(b"[]", Some(&one))];
        assert_eq!(tags.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    }
}
