//! When a batch may flip, and what its soak must show: plain values with their spelling in plan files.

use serde::{Deserialize, Serialize};
use shardlift_model::ByteCount;
use std::fmt;
use std::str::FromStr;

/// Minutes of a day.
const DAY_MINUTES: u16 = 24 * 60;

/// Most windows of one batch.
pub const WINDOWS_MAX: usize = 32;

/// Longest time that a plan file can ask for: about ten years.
const MILLIS_MAX: u64 = 3660 * 24 * 3_600_000;

/// What a batch waits for before it flips, once all its nodes are ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Nothing more.
    #[default]
    Now,
    /// Until no node of it has a session: no young lock, no request in flight, no open connection.
    Idle,
    /// One of its windows.
    Window,
}

/// A part of each day, in UTC. One that ends before it begins goes over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// First minute of the day that is part of it.
    pub from_minute: u16,
    /// First minute after it; 1440 is the end of the day.
    pub to_minute: u16,
}

/// What is done when a soaking node gives an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnAlert {
    /// The batches that wait for this one go on waiting.
    #[default]
    Hold,
    /// Its nodes are moved back as well.
    RollBack,
}

/// What a soak must show before its verdict is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoakPolicy {
    /// How long all nodes must have been served by their targets, in milliseconds.
    #[serde(default)]
    pub min_ms: u64,
    /// Each node must have stored a complete backup at its target.
    #[serde(default)]
    pub backup: bool,
    /// Each node's copies must have been compared and read again.
    #[serde(default)]
    pub verify: bool,
    /// What an alert leads to.
    #[serde(default)]
    pub on_alert: OnAlert,
}

/// Text that is no value of a policy; says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(&'static str);

impl PolicyError {
    pub(crate) const fn form(expected: &'static str) -> Self {
        Self(expected)
    }
}

impl Window {
    /// True when it has a minute and its minutes are those of a day.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.from_minute < DAY_MINUTES && self.to_minute <= DAY_MINUTES && self.from_minute != self.to_minute
    }

    /// True when this minute of the day is part of it.
    #[must_use]
    pub const fn contains(self, minute: u16) -> bool {
        if self.from_minute < self.to_minute {
            self.from_minute <= minute && minute < self.to_minute
        } else {
            self.from_minute <= minute || minute < self.to_minute
        }
    }

    /// Minutes from this minute of the day until it begins next; 0 while it lasts.
    #[must_use]
    pub const fn minutes_until(self, minute: u16) -> u16 {
        if self.contains(minute) { 0 } else { (self.from_minute + DAY_MINUTES - minute) % DAY_MINUTES }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from_minute, self.to_minute);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl FromStr for Window {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let form = PolicyError("a window is two times of day in UTC, such as 02:00-06:00");
        let (from, to) = text.split_once('-').ok_or(form.clone())?;
        let (Some(from_minute), Some(to_minute)) = (minute_of_day(from), minute_of_day(to)) else { return Err(form) };
        let window = Self { from_minute, to_minute };
        if window.is_valid() { Ok(window) } else { Err(PolicyError("a window begins before 24:00 and has a length")) }
    }
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let two_digits = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| digits)
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY_MINUTES).then_some(minute)
}

impl When {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Now, Self::Idle, Self::Window];

    /// The word for people and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Idle => "idle",
            Self::Window => "window",
        }
    }
}

impl FromStr for When {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let found = Self::ALL.into_iter().find(|when| when.as_str() == text);
        found.ok_or(PolicyError("\"now\", \"idle\" or \"window\" is expected"))
    }
}

impl OnAlert {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Hold, Self::RollBack];

    /// The word for people and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::RollBack => "roll_back",
        }
    }
}

impl FromStr for OnAlert {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let found = Self::ALL.into_iter().find(|on_alert| on_alert.as_str() == text);
        found.ok_or(PolicyError("\"hold\" or \"roll_back\" is expected"))
    }
}

/// Milliseconds of a time such as `30s`, `15m`, `6h` or `2d`.
///
/// # Errors
/// [`PolicyError`] when it is none, or longer than ten years.
pub fn parse_millis(text: &str) -> Result<u64, PolicyError> {
    let form = PolicyError("a time is a whole number and a unit, such as 30s, 15m, 6h or 2d");
    let unit = match text.as_bytes().last() {
        Some(b's') => 1000,
        Some(b'm') => 60_000,
        Some(b'h') => 3_600_000,
        Some(b'd') => 86_400_000,
        _ => return Err(form),
    };
    let number = text.get(..text.len().saturating_sub(1)).unwrap_or("");
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(form);
    }
    let millis = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    millis.filter(|millis| *millis <= MILLIS_MAX).ok_or(PolicyError("at most ten years can be asked for"))
}

/// Bytes of a size such as `500 GiB` or `2TiB`.
///
/// # Errors
/// [`PolicyError`] when it is none, or larger than what can be counted.
pub fn parse_bytes(text: &str) -> Result<ByteCount, PolicyError> {
    let form = PolicyError("a size is a whole number and a unit, B, KiB, MiB, GiB or TiB, such as 500 GiB");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(|| form.clone())?;
    let scale = match unit.strip_prefix(' ').unwrap_or(unit) {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1_u64 << 40,
        _ => return Err(form),
    };
    if number.is_empty() {
        return Err(form);
    }
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale));
    bytes.map(ByteCount).ok_or(PolicyError("so many bytes cannot be counted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_read_as_they_are_written() {
        for text in ["02:00-06:00", "22:30-01:15", "00:00-24:00", "23:59-24:00"] {
            let window: Window = text.parse().unwrap();
            assert_eq!(window.to_string(), text);
        }
        for text in
            ["", "2:00-6:00", "02:00", "02:00-02:00", "24:00-01:00", "02:60-03:00", "02:00-24:01", "+2:00-03:00"]
        {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_window_may_go_over_midnight() {
        let window: Window = "22:00-02:00".parse().unwrap();
        let inside = [22 * 60, 23 * 60 + 59, 0, 119];
        let outside = [120, 12 * 60, 22 * 60 - 1];
        assert!(inside.into_iter().all(|minute| window.contains(minute) && window.minutes_until(minute) == 0));
        assert_eq!(outside.map(|minute| window.minutes_until(minute)), [1200, 600, 1]);
    }

    #[test]
    fn sizes_have_a_unit_and_no_fraction() {
        let of = |text: &str| parse_bytes(text).map(|bytes| bytes.0);
        assert_eq!([of("7 B"), of("20MiB"), of("2 TiB"), of("0 B")], [Ok(7), Ok(20 << 20), Ok(2 << 40), Ok(0)]);
        for text in ["", "7", "TiB", " 2 TiB", "2  TiB", "-1 B", "1.5 GiB", "2 TB", "99999999 TiB", "2 tib", "2é"] {
            assert!(of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_a_unit_and_a_bound() {
        let read: Vec<_> = ["30s", "15m", "6h", "2d", "0s"].map(parse_millis).into_iter().collect();
        assert_eq!(read, [Ok(30_000), Ok(900_000), Ok(21_600_000), Ok(172_800_000), Ok(0)]);
        for text in ["", "s", "5", "-1s", "1.5h", "1 h", "99999d", "99999999999999999999s", "5ms", "5é"] {
            assert!(parse_millis(text).is_err(), "{text}");
        }
    }
}
