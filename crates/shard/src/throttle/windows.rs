//! Times of day with a rate each: `UTC+02:00 02:00-06:00 unlimited, else 50 MiB/s`. Pure.
//!
//! The time zone comes first and is a fixed distance from UTC: a day always has 24 hours, no hour comes twice and none is left out.
//! A window may run across midnight. The first one that holds counts; what none of them holds for has the rate behind `else`.

use serde::{Deserialize, Serialize};
use shardlift_model::UnixMillis;
use std::fmt;
use std::str::FromStr;

/// Lowest rate that can be given. Below, transfers would take longer than their other end waits for the next bytes.
pub(crate) const RATE_MIN: u64 = 1 << 20;

/// Highest rate that can be given.
pub(crate) const RATE_MAX: u64 = 1 << 40;

/// Longest text.
const TEXT_BYTES_MAX: usize = 1000;

/// Most windows.
const WINDOWS_MAX: usize = 24;

const DAY_MINUTES: u32 = 24 * 60;

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {what}")]
pub struct WindowsError {
    /// The first character is in column 1.
    pub column: usize,
    /// What is expected there.
    pub what: String,
}

/// A time of day with its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    /// In minutes since midnight; before the end, or after it when midnight is in between.
    begin: u32,
    end: u32,
    rate: Option<u64>,
}

impl Window {
    const fn holds(&self, minute: u32) -> bool {
        if self.begin < self.end {
            self.begin <= minute && minute < self.end
        } else {
            self.begin <= minute || minute < self.end
        }
    }
}

/// Rates by time of day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Windows {
    text: String,
    /// East of UTC.
    offset_minutes: i32,
    windows: Vec<Window>,
    otherwise: Option<u64>,
}

/// What holds at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holding {
    /// In bytes per second; `None` without a limit.
    pub(crate) rate: Option<u64>,
    /// `08:00-18:00`, or empty for what no window holds for.
    pub(crate) name: String,
}

impl Windows {
    /// What holds now.
    pub(crate) fn at(&self, now: UnixMillis) -> Holding {
        let minutes = i64::try_from(now.0 / 60_000).unwrap_or(i64::MAX / 2) + i64::from(self.offset_minutes);
        let minute = u32::try_from(minutes.rem_euclid(i64::from(DAY_MINUTES))).unwrap_or(0);
        let clock = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
        match self.windows.iter().find(|window| window.holds(minute)) {
            Some(window) => {
                Holding { rate: window.rate, name: format!("{}-{}", clock(window.begin), clock(window.end)) }
            }
            None => Holding { rate: self.otherwise, name: String::new() },
        }
    }
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Windows> for String {
    fn from(windows: Windows) -> Self {
        windows.text
    }
}

impl TryFrom<String> for Windows {
    type Error = WindowsError;

    fn try_from(text: String) -> Result<Self, WindowsError> {
        text.parse()
    }
}

impl FromStr for Windows {
    type Err = WindowsError;

    fn from_str(text: &str) -> Result<Self, WindowsError> {
        let mut reader = Reader { text, at: 0 };
        if text.len() > TEXT_BYTES_MAX {
            return Err(reader.expected("a shorter text: it has more than 1000 bytes"));
        }
        let offset_minutes = reader.zone()?;
        let mut windows = Vec::new();
        loop {
            if reader.takes("else") {
                let otherwise = reader.rate()?;
                reader.end()?;
                return Ok(Self { text: text.trim().to_owned(), offset_minutes, windows, otherwise });
            }
            if windows.len() == WINDOWS_MAX {
                return Err(reader.expected("else: there are 24 windows already"));
            }
            windows.push(reader.window()?);
            if !reader.takes(",") {
                return Err(reader.expected("a comma, and at the end `else` with the rate of all other times"));
            }
        }
    }
}

/// A place in a text.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_spaces(&mut self) {
        let spaces = self.rest().len() - self.rest().trim_start_matches(' ').len();
        self.at += spaces;
    }

    /// Says what is expected at the next character that is no space.
    fn expected(&self, what: &str) -> WindowsError {
        let mut here = Reader { text: self.text, at: self.at };
        here.skip_spaces();
        let before = here.text.get(..here.at).unwrap_or_default();
        WindowsError { column: before.chars().count() + 1, what: format!("{what} is expected") }
    }

    fn takes(&mut self, word: &str) -> bool {
        self.skip_spaces();
        let found = self.rest().starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn end(&mut self) -> Result<(), WindowsError> {
        self.skip_spaces();
        if self.rest().is_empty() { Ok(()) } else { Err(self.expected("nothing more")) }
    }

    /// Digits right here, no space before them.
    fn digits(&mut self) -> Option<u64> {
        let length = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let number = self.rest().get(..length)?.parse().ok()?;
        self.at += length;
        Some(number)
    }

    fn zone(&mut self) -> Result<i32, WindowsError> {
        if !self.takes("UTC") {
            return Err(self.expected("the time zone, UTC or a distance from it such as UTC+02:00,"));
        }
        let sign = match self.rest().bytes().next() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Ok(0),
        };
        self.at += 1;
        let begin = self.at;
        let minutes = self.time()?;
        if minutes > 14 * 60 {
            self.at = begin;
            return Err(self.expected("a distance of at most 14:00"));
        }
        Ok(sign * i32::try_from(minutes).unwrap_or(0))
    }

    /// `HH:MM`, up to `24:00`.
    fn time(&mut self) -> Result<u32, WindowsError> {
        self.skip_spaces();
        let begin = self.at;
        let bytes = self.rest().as_bytes();
        let is_time = bytes.len() >= 5
            && bytes[2] == b':'
            && [0, 1, 3, 4].iter().all(|at| bytes[*at].is_ascii_digit())
            && !bytes.get(5).is_some_and(u8::is_ascii_digit);
        if is_time {
            let digit = |at: usize| u32::from(bytes[at] - b'0');
            let (hours, minutes) = (digit(0) * 10 + digit(1), digit(3) * 10 + digit(4));
            if minutes < 60 && hours * 60 + minutes <= DAY_MINUTES {
                self.at += 5;
                return Ok(hours * 60 + minutes);
            }
        }
        self.at = begin;
        Err(self.expected("a time of day such as 02:00"))
    }

    fn window(&mut self) -> Result<Window, WindowsError> {
        let begin = self.time()?;
        if !self.takes("-") {
            return Err(self.expected("a dash and the end of the window"));
        }
        self.skip_spaces();
        let place = self.at;
        let end = self.time()?;
        if begin == end || begin == DAY_MINUTES || end == 0 {
            self.at = place;
            return Err(self.expected("an end that is not the beginning, at 00:01 or later,"));
        }
        Ok(Window { begin, end, rate: self.rate()? })
    }

    fn rate(&mut self) -> Result<Option<u64>, WindowsError> {
        self.skip_spaces();
        let begin = self.at;
        if self.takes("unlimited") {
            return Ok(None);
        }
        let rate = self.digits().and_then(|number| {
            self.skip_spaces();
            let units = [("KiB/s", 1 << 10), ("MiB/s", 1 << 20), ("GiB/s", 1 << 30), ("B/s", 1_u64)];
            let (unit, scale) = units.into_iter().find(|(unit, _)| self.rest().starts_with(unit))?;
            self.at += unit.len();
            number.checked_mul(scale)
        });
        match rate {
            Some(rate @ RATE_MIN..=RATE_MAX) => Ok(Some(rate)),
            Some(_) => {
                self.at = begin;
                Err(self.expected("a rate from 1 MiB/s to 1024 GiB/s"))
            }
            None => {
                self.at = begin;
                Err(self.expected("a rate such as 50 MiB/s, or `unlimited`,"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
