//! The wall clock in the two forms certificates need. Never for a lease.

use rustls_pki_types::UnixTime;
use shardlift_model::UnixMillis;
use std::time::Duration;

/// The present instant. A clock before 1970 reads as 1970: nothing is valid then.
pub(crate) fn now() -> UnixMillis {
    UnixMillis(u64::try_from(shardlift_net::since_epoch().as_millis()).unwrap_or(u64::MAX))
}

/// The form that verifiers take.
pub(crate) const fn unix_time(now: UnixMillis) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(now.0))
}

/// Back from the form that verifiers take.
pub(crate) const fn unix_millis(now: UnixTime) -> UnixMillis {
    UnixMillis(now.as_secs().saturating_mul(1000))
}
