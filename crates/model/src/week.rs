//! Hours of the week: what load is counted by.

use crate::units::UnixMillis;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Hours of a week.
pub const HOURS: usize = 168;

/// Milliseconds of an hour.
const HOUR_MILLIS: u64 = 3_600_000;

/// 1970 began on a Thursday, three days into its week.
const HOURS_BEFORE_1970: u64 = 72;

/// An hour of the week in UTC; 0 is Monday 00:00 to 01:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct HourOfWeek(u8);

/// A number that is no hour of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("hour {0} is not an hour of the week; 0 to 167 is expected")]
pub struct NoHourOfWeek(pub u8);

impl HourOfWeek {
    /// All of them, Monday 00:00 first.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..168_u8).map(Self)
    }

    /// The hour of this number; larger numbers go around.
    #[must_use]
    pub fn of(number: usize) -> Self {
        Self(u8::try_from(number % HOURS).unwrap_or(0))
    }

    /// The hour of the week of an hour since 1970.
    #[must_use]
    pub fn of_epoch(hour: u64) -> Self {
        Self(u8::try_from((hour % HOURS as u64 + HOURS_BEFORE_1970) % HOURS as u64).unwrap_or(0))
    }

    /// 0 to 167.
    #[must_use]
    pub fn number(self) -> usize {
        usize::from(self.0)
    }

    /// 0 to 6, Monday first.
    #[must_use]
    pub const fn day(self) -> u8 {
        self.0 / 24
    }

    /// 0 to 23.
    #[must_use]
    pub const fn of_day(self) -> u8 {
        self.0 % 24
    }
}

impl UnixMillis {
    /// Whole hours since 1970.
    #[must_use]
    pub const fn epoch_hour(self) -> u64 {
        self.0 / HOUR_MILLIS
    }
}

impl TryFrom<u8> for HourOfWeek {
    type Error = NoHourOfWeek;

    fn try_from(number: u8) -> Result<Self, NoHourOfWeek> {
        if usize::from(number) < HOURS { Ok(Self(number)) } else { Err(NoHourOfWeek(number)) }
    }
}

impl From<HourOfWeek> for u8 {
    fn from(hour: HourOfWeek) -> Self {
        hour.0
    }
}

impl fmt::Display for HourOfWeek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
        let day = DAYS.get(usize::from(self.day())).copied().unwrap_or("Sunday");
        f.pad(&format!("{day} {:02}:00", self.of_day()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_have_names() {
        assert_eq!(HourOfWeek::of(26).to_string(), "Tuesday 02:00");
        assert_eq!(HourOfWeek::of(167).to_string(), "Sunday 23:00");
    }

    #[test]
    fn instants_have_their_hour_of_the_week() {
        let name = |at| HourOfWeek::of_epoch(UnixMillis(at).epoch_hour()).to_string();
        assert_eq!(name(0), "Thursday 00:00");
        // 2026-11-23T15:28:00Z was a Monday.
        assert_eq!(name(1_795_447_680_000), "Monday 15:00");
        assert_eq!(HourOfWeek::try_from(168), Err(NoHourOfWeek(168)));
    }
}
