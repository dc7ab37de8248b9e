//! What an operator allows: caps, and whether clients come first. Values only.

use super::windows::{RATE_MAX, RATE_MIN, Windows};
use serde::{Deserialize, Serialize};
use shardlift_model::{ByteCount, UnixMillis};

/// Most transfers that can be allowed.
const STREAMS_MAX: u32 = 1024;

/// The floor when nobody says otherwise: a small part of what any disk and network give.
const FLOOR: u64 = 8 << 20;

/// What an operator allows to replication and deep verify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes per second at most.
    pub cap: Option<u64>,
    /// Bytes per second at most, by time of day.
    pub windows: Option<Windows>,
    /// Transfers at the same time at most, those that are served and those that are pulled each for themselves.
    pub streams: Option<u32>,
    /// Whether less is moved while clients notice.
    pub clients_first: bool,
    /// Bytes per second that are moved however clients fare, unless a cap is lower.
    pub floor: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cap: None, windows: None, streams: None, clients_first: true, floor: FLOOR }
    }
}

/// Why limits are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// A rate that makes no sense.
    #[error("{field}: 1.0 MiB/s to 1.0 TiB/s is expected, not {}/s", ByteCount(*.found))]
    Rate {
        /// Which one.
        field: &'static str,
        /// What was given.
        found: u64,
    },
    /// A number of transfers that makes no sense.
    #[error("streams: 1 to {STREAMS_MAX} is expected, not {0}")]
    Streams(u32),
}

/// A cap that holds, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cap {
    pub(crate) rate: u64,
    pub(crate) why: CapReason,
}

/// Where a cap comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CapReason {
    /// The one for all times.
    Always,
    /// That of a window; empty for the times between them.
    Window(String),
}

impl Limits {
    /// The same, if all of it makes sense.
    ///
    /// # Errors
    /// [`LimitsError`] names what does not.
    pub fn checked(self) -> Result<Self, LimitsError> {
        for (field, rate) in [("cap", self.cap), ("floor", Some(self.floor))] {
            if let Some(found) = rate.filter(|rate| !(RATE_MIN..=RATE_MAX).contains(rate)) {
                return Err(LimitsError::Rate { field, found });
            }
        }
        if let Some(streams) = self.streams.filter(|streams| !(1..=STREAMS_MAX).contains(streams)) {
            return Err(LimitsError::Streams(streams));
        }
        Ok(self)
    }

    /// The lowest cap that holds now.
    pub(crate) fn cap_at(&self, now: UnixMillis) -> Option<Cap> {
        let always = self.cap.map(|rate| Cap { rate, why: CapReason::Always });
        let window = self.windows.as_ref().and_then(|windows| {
            let holding = windows.at(now);
            holding.rate.map(|rate| Cap { rate, why: CapReason::Window(holding.name) })
        });
        match (always, window) {
            (Some(always), Some(window)) if window.rate < always.rate => Some(window),
            (always, window) => always.or(window),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_cap_holds_and_says_where_it_comes_from() {
        let night = UnixMillis(3 * 3_600_000);
        let day = UnixMillis(12 * 3_600_000);
        let windows = Some("UTC 02:00-06:00 unlimited, else 50 MiB/s".parse().unwrap());
        let limits = Limits { windows, ..Limits::default() };
        assert_eq!(limits.cap_at(night), None);
        let other_times = Cap { rate: 50 << 20, why: CapReason::Window(String::new()) };
        assert_eq!(limits.cap_at(day), Some(other_times.clone()));
        let capped = |mebibytes: u64| Limits { cap: Some(mebibytes << 20), ..limits.clone() };
        assert_eq!(capped(80).cap_at(day), Some(other_times));
        assert_eq!(capped(80).cap_at(night), Some(Cap { rate: 80 << 20, why: CapReason::Always }));
        assert_eq!(capped(20).cap_at(day), Some(Cap { rate: 20 << 20, why: CapReason::Always }));
    }

    #[test]
    fn limits_that_cannot_be_meant_are_refused() {
        let usual = Limits::default;
        assert_eq!(usual().checked(), Ok(usual()));
        for bad in [
            Limits { cap: Some(0), ..usual() },
            Limits { cap: Some(RATE_MIN - 1), ..usual() },
            Limits { floor: 0, ..usual() },
            Limits { floor: RATE_MAX + 1, ..usual() },
            Limits { streams: Some(0), ..usual() },
            Limits { streams: Some(STREAMS_MAX + 1), ..usual() },
        ] {
            assert!(bad.clone().checked().is_err(), "{bad:?}");
        }
        let error = Limits { cap: Some(1000), ..usual() }.checked().unwrap_err().to_string();
        assert_eq!(error, "cap: 1.0 MiB/s to 1.0 TiB/s is expected, not 1000 B/s");
    }
}
