//! The wall clock in the two forms certificates need. Never for a lease.

use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use shardlift_model::UnixMillis;
use std::sync::Arc;
use std::time::Duration;

/// The clock by which every handshake judges certificates: the same that all else goes by.
#[derive(Debug)]
struct WallClock;

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(shardlift_net::since_epoch()))
    }
}

/// The clock for configurations of TLS. Clients outside this crate that make their own take it too.
#[must_use]
pub fn time_provider() -> Arc<dyn TimeProvider> {
    Arc::new(WallClock)
}

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
