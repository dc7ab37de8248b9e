//! Whose token a request carries.
//!
//! Only the hash of a token is known here. A token is 256 random bits and is found by its hash, so the time of the look-up
//! depends on a value that nobody can steer without knowing a token; hashes are compared in constant time.
//! An unknown, an expired and a malformed token get the same answer.

use crate::problem::Problem;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use shardlift_api::view::World;
use shardlift_model::{CustomerId, UnixMillis};
use shardlift_pki::enrolment::{AccessToken, same_hash};
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest value of the header, in bytes; longer than any token.
const HEADER_BYTES_MAX: usize = 300;

/// The customer whose token the request carries.
///
/// # Errors
/// The refusal when there is none that is valid now.
pub(crate) fn customer_of(headers: &HeaderMap, world: &World, now: UnixMillis) -> Result<CustomerId, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Err(Problem::unauthenticated(false)) };
    // Two of them could mean two customers: what stands between here and the client may have looked at the other one.
    let only = values.next().is_none();
    let text = value.to_str().ok().filter(|text| only && text.len() <= HEADER_BYTES_MAX);
    text.and_then(bearer).and_then(|token| find(token, world, now)).ok_or_else(|| Problem::unauthenticated(true))
}

fn bearer(text: &str) -> Option<&str> {
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

fn find(token: &str, world: &World, now: UnixMillis) -> Option<CustomerId> {
    // The reason is not kept: which of the ways a text fails to be a token is nobody's business.
    let hash = AccessToken::parse(token).ok()?.hash();
    let (stored, access) = world.access.get_key_value(&hash)?;
    (same_hash(stored, &hash) && now < access.expires_at).then(|| access.customer.clone())
}

/// Now. A clock before 1970 reads as the end of time: no token is valid then.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(u128::MAX, |since| since.as_millis());
    UnixMillis(u64::try_from(since).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use shardlift_api::view::Access;
    use shardlift_pki::enrolment::EnrolmentToken;

    const END: UnixMillis = UnixMillis(1000);

    fn world_with(token: &AccessToken) -> World {
        let access = Access { customer: "acme".parse().unwrap(), expires_at: END };
        World { access: [(token.hash(), access)].into(), ..World::default() }
    }

    fn headers(values: &[String]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_token_opens_until_it_ends_and_not_a_moment_longer() {
        let token = AccessToken::create().unwrap();
        let world = world_with(&token);
        let shown = headers(&[format!("bEARER {}", *token.text())]);
        assert_eq!(customer_of(&shown, &world, UnixMillis(999)).unwrap().as_str(), "acme");
        assert!(customer_of(&shown, &world, END).is_err());
        assert!(customer_of(&shown, &world, UnixMillis(u64::MAX)).is_err());
    }

    #[test]
    fn unknown_expired_and_malformed_tokens_get_the_same_answer() {
        let token = AccessToken::create().unwrap();
        let world = world_with(&token);
        let good = format!("Bearer {}", *token.text());
        let expired = customer_of(&headers(std::slice::from_ref(&good)), &world, END).unwrap_err();
        let enrolment = EnrolmentToken::create(&"ab".repeat(32)).unwrap();
        for values in [
            vec![format!("Bearer {}", *AccessToken::create().unwrap().text())],
            vec![good.clone(), good.clone()],
            vec![good.replace("Bearer", "Basic")],
            vec![token.text().to_string()],
            vec![format!("Bearer {}", token.hash())],
            vec![format!("Bearer {}", *enrolment.text())],
            vec!["Bearer ".to_owned()],
            vec![String::new()],
            vec![format!("{good}{}", " ".repeat(HEADER_BYTES_MAX))],
        ] {
            let refused = customer_of(&headers(&values), &world, UnixMillis(1)).unwrap_err();
            assert_eq!(refused, expired, "{} header(s)", values.len());
        }
        assert_ne!(customer_of(&HeaderMap::new(), &world, UnixMillis(1)).unwrap_err(), expired);
    }

    #[test]
    fn the_clock_is_after_this_was_written() {
        assert!(now() > UnixMillis(1_700_000_000_000) && now() < UnixMillis(u64::MAX));
    }
}
