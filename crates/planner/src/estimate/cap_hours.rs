//! Caps by time of day, in the words in which a shard gives its own: `UTC+02:00 02:00-06:00 unlimited, else 50 MiB/s`.
//!
//! Here they are read to estimate by; the shard alone keeps them. The first window that holds counts.

use crate::policy::{PolicyError, WINDOWS_MAX, Window};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

const DAY_MINUTES: i32 = 24 * 60;

/// Most bytes per second by time of day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapHours {
    /// In UTC; `None`: no cap.
    windows: Vec<(Window, Option<u64>)>,
    otherwise: Option<u64>,
}

impl CapHours {
    /// True when no minute has a cap.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.otherwise.is_none() && self.windows.iter().all(|(_, cap)| cap.is_none())
    }

    /// The least that some minute may have; `None`: no cap at all.
    pub(super) fn lowest(&self) -> Option<u64> {
        self.windows.iter().filter_map(|(_, cap)| *cap).chain(self.otherwise).min()
    }

    /// The cap in this minute of the day, in UTC.
    #[must_use]
    pub fn at(&self, minute: u16) -> Option<u64> {
        let holding = self.windows.iter().find(|(window, _)| window.contains(minute));
        holding.map_or(self.otherwise, |(_, cap)| *cap)
    }
}

impl FromStr for CapHours {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let form = || PolicyError::form("caps by time of day read as UTC+02:00 02:00-06:00 unlimited, else 50 MiB/s");
        let rest = text.trim().strip_prefix("UTC").ok_or_else(form)?;
        let (offset, rest) = zone(rest).ok_or_else(form)?;
        let mut hours = Self::default();
        for part in rest.split(',').map(str::trim) {
            if let Some(rate) = part.strip_prefix("else") {
                hours.otherwise = cap(rate).ok_or_else(form)?;
                return Ok(hours);
            }
            let (window, rate) = window(part).ok_or_else(form)?;
            hours.windows.push((in_utc(window.parse()?, offset), cap(rate).ok_or_else(form)?));
            if hours.windows.len() > WINDOWS_MAX {
                return Err(form());
            }
        }
        Err(form())
    }
}

/// Minutes east of UTC, and what follows.
fn zone(text: &str) -> Option<(i32, &str)> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return Some((0, text)),
    };
    let time = text.get(1..6)?;
    let (hours, minutes) = time.split_once(':')?;
    let minutes = hours.parse::<u8>().ok()? as i32 * 60 + minutes.parse::<u8>().ok()? as i32;
    Some((sign * minutes, text.get(6..)?))
}

/// `02:00 - 06:00 50 MiB/s`: the window without spaces, and the rate.
fn window(text: &str) -> Option<(String, &str)> {
    let (begin, rest) = text.split_once('-')?;
    let rest = rest.trim_start();
    Some((format!("{}-{}", begin.trim(), rest.get(..5)?), rest.get(5..)?))
}

fn cap(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text == "unlimited" {
        return Some(None);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let scale: u64 = match unit.trim_start() {
        "B/s" => 1,
        "KiB/s" => 1 << 10,
        "MiB/s" => 1 << 20,
        "GiB/s" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale).map(Some)
}

fn in_utc(window: Window, offset: i32) -> Window {
    let shifted = |minute: u16| {
        let minute = (i32::from(minute) - offset).rem_euclid(DAY_MINUTES);
        // A remainder below 1440 always fits.
        u16::try_from(minute).unwrap_or(0)
    };
    let (from_minute, to_minute) = (shifted(window.from_minute), shifted(window.to_minute));
    // Midnight as an end is that of the same day; a whole day has no other end than its beginning.
    let to_minute = if to_minute == 0 || to_minute == from_minute { to_minute + 1440 } else { to_minute };
    if to_minute > 1440 { Window { from_minute: 0, to_minute: 1440 } } else { Window { from_minute, to_minute } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, hours: [u16; 4]) -> [Option<u64>; 4] {
        let read: CapHours = text.parse().unwrap();
        hours.map(|hour| read.at(hour * 60))
    }

    #[test]
    fn caps_of_a_shard_are_read_in_utc() {
        let mib = |count: u64| Some(count << 20);
        let text = "UTC 02:00-06:00 unlimited, 22:00-01:00 5 MiB/s, else 50 MiB/s";
        assert_eq!(at(text, [3, 6, 23, 1]), [None, mib(50), mib(5), mib(50)]);
        assert_eq!(
            at("UTC+02:00 02:00-06:00 unlimited, else 1 GiB/s", [0, 3, 4, 23]),
            [None, None, mib(1024), mib(1024)]
        );
        assert_eq!(at("UTC-05:30 00:00-24:00 7 MiB/s, else unlimited", [0, 5, 12, 23]), [mib(7); 4]);
        assert_eq!(at("UTC+01:00 23:00-24:00 7 MiB/s, else unlimited", [21, 22, 23, 0]), [None, mib(7), None, None]);
        assert_eq!(at("UTC else 5 MiB/s", [0, 1, 2, 3]), [mib(5); 4]);
    }

    #[test]
    fn what_is_no_text_of_a_shard_is_refused() {
        for text in
            ["", "else 5 MiB/s", "UTC", "UTC 02:00-06:00 unlimited", "UTC 2-6 unlimited, else 1 B/s", "UTC else 5"]
        {
            assert!(text.parse::<CapHours>().is_err(), "{text}");
        }
    }
}
