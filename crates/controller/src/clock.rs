//! The wall clock, for records and for people. Leases and deadlines go by `tokio::time::Instant`.

use shardlift_model::UnixMillis;

/// Now. A clock before 1970 reads as 1970.
pub(crate) fn now() -> UnixMillis {
    UnixMillis(u64::try_from(shardlift_net::since_epoch().as_millis()).unwrap_or(u64::MAX))
}
