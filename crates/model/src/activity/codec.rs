//! The form in which an activity is stored and travels: version 1, numbers big-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version |
//! | 8 | the hour since 1970 that is being counted |
//! | 5 * 8 | its requests, bytes in, bytes out, microseconds, sessions in sixteenths |
//! | 8 | hours that have been counted |
//! | 8, 8, 8, 8 | growth: day since 1970, bytes at its begin, bytes a day (signed), days that went into it |
//! | 1, n | length of the client's name, the name |
//! | 1, k * 11 | hours of the week with figures; each: its number, then five figures of 16 bits, in rising order |

use super::small::Small;
use super::{Activity, CLIENT_BYTES_MAX, Counts, DAYS, Growth};
use crate::week::{HOURS, HourOfWeek};

const VERSION: u8 = 1;

/// Bytes that are no activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no record of activity: {0}")]
pub struct ActivityError(&'static str);

impl Activity {
    /// As it is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(100 + self.client.len() + self.usual.len() * 11);
        bytes.push(VERSION);
        let mut number = |number: u64| bytes.extend_from_slice(&number.to_be_bytes());
        number(self.hour);
        self.open.figures().into_iter().for_each(&mut number);
        number(self.watched);
        number(self.growth.day);
        number(self.growth.bytes);
        number(self.growth.per_day.cast_unsigned());
        number(self.growth.days.cast_unsigned());
        // Both are bounded far below 256 by what makes them.
        bytes.push(u8::try_from(self.client.len()).unwrap_or(0));
        bytes.extend_from_slice(self.client.as_bytes());
        bytes.push(u8::try_from(self.usual.len()).unwrap_or(0));
        for (hour, figures) in &self.usual {
            bytes.push(u8::from(*hour));
            figures.iter().for_each(|figure| bytes.extend_from_slice(&figure.0.to_be_bytes()));
        }
        bytes
    }

    /// What [`Activity::encode`] made.
    ///
    /// # Errors
    /// [`ActivityError`] says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, ActivityError> {
        let mut rest = Rest(bytes);
        if rest.byte()? != VERSION {
            return Err(ActivityError("an unknown version"));
        }
        let hour = rest.number()?;
        let mut figures = [0; 5];
        for figure in &mut figures {
            *figure = rest.number()?;
        }
        let watched = rest.number()?;
        let growth = Growth {
            day: rest.number()?,
            bytes: rest.number()?,
            per_day: rest.number()?.cast_signed(),
            days: rest.number()?.cast_signed(),
        };
        if !(0..=DAYS).contains(&growth.days) {
            return Err(ActivityError("a number of days that cannot be"));
        }
        let mut activity = Self { hour, open: Counts::of(figures), watched, growth, ..Self::default() };
        let length = usize::from(rest.byte()?);
        let client = std::str::from_utf8(rest.take(length)?).map_err(|_| ActivityError("a client's name"))?;
        if length > CLIENT_BYTES_MAX
            || (!client.is_empty() && !activity.note_client(client))
            || activity.client != client
        {
            return Err(ActivityError("a client's name"));
        }
        activity.usual = rest.hours()?;
        Ok(activity)
    }
}

struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], ActivityError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ActivityError("it ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, ActivityError> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u64, ActivityError> {
        let bytes = self.take(8)?.try_into().map_err(|_| ActivityError("it ends early"))?;
        Ok(u64::from_be_bytes(bytes))
    }

    /// The rest of it: hours in rising order.
    fn hours(&mut self) -> Result<Vec<(HourOfWeek, [Small; 5])>, ActivityError> {
        let count = usize::from(self.byte()?);
        if count > HOURS || self.0.len() != count * 11 {
            return Err(ActivityError("more or fewer hours than it says"));
        }
        let mut hours: Vec<(HourOfWeek, [Small; 5])> = Vec::with_capacity(count);
        for row in self.0.chunks_exact(11) {
            let hour = HourOfWeek::try_from(row[0]).map_err(|_| ActivityError("an hour that is none"))?;
            if hours.last().is_some_and(|(last, _)| *last >= hour) {
                return Err(ActivityError("hours that are not in order"));
            }
            let mut figures = [Small::default(); 5];
            for (figure, bytes) in figures.iter_mut().zip(row[1..].chunks_exact(2)) {
                *figure = Small(u16::from_be_bytes([bytes[0], bytes[1]]));
            }
            hours.push((hour, figures));
        }
        Ok(hours)
    }
}
