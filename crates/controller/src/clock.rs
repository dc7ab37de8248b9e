//! The wall clock, for records and for people. Leases and deadlines go by `tokio::time::Instant`.

use shardlift_model::UnixMillis;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now. A clock before 1970 reads as 1970.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
