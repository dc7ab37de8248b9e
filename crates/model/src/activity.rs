//! What a node does at its shard, as it shows there: requests, bytes and time by hour of the week, sessions, growth, its client.
//!
//! Kept small: an hour of the week in which nothing happens takes no room, one in which something does takes 11 bytes. Hours are means
//! over the weeks, the last four of which weigh most: the first four count alike, from then on the newest is a quarter. Only hours in
//! which the shard was there to see them count. The clock is an argument.

mod codec;
mod schedule;
mod small;

pub use codec::ActivityError;

use crate::units::UnixMillis;
use crate::week::{HOURS, HourOfWeek};
use small::Small;

/// Weeks over which an hour is the plain mean.
const WEEKS: u64 = 4;

/// Days over which growth is the plain mean; from then on the newest day is an eighth.
const DAYS: i64 = 8;

/// Hours of silence after which what was usual says nothing any more.
const FORGOTTEN_HOURS: u64 = HOURS as u64 * 8;

/// What a request costs its shard beside its bytes, in KiB: a lookup, a commit or a listing in place of as many bytes passed through.
pub const REQUEST_KIB: u64 = 64;

/// Longest name of a client in bytes.
const CLIENT_BYTES_MAX: usize = 64;

/// Sessions are counted in sixteenths, so that one in some weeks does not vanish.
const SIXTEENTHS: u64 = 16;

/// What happens within an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Requests that were answered.
    pub requests: u64,
    /// Bytes of objects that were stored.
    pub bytes_in: u64,
    /// Bytes of objects that were sent.
    pub bytes_out: u64,
    /// The shard's own time for them, in microseconds.
    pub busy_us: u64,
    /// Sessions that began, in sixteenths.
    pub session_sixteenths: u64,
}

impl Counts {
    /// One request.
    #[must_use]
    pub const fn request(busy_us: u64) -> Self {
        Self { requests: 1, bytes_in: 0, bytes_out: 0, busy_us, session_sixteenths: 0 }
    }

    /// One session that began.
    #[must_use]
    pub const fn session() -> Self {
        Self { requests: 0, bytes_in: 0, bytes_out: 0, busy_us: 0, session_sixteenths: SIXTEENTHS }
    }

    /// What it costs a shard, in KiB: bytes both ways, and [`REQUEST_KIB`] for each request.
    #[must_use]
    pub const fn load_kib(&self) -> u64 {
        let bytes = self.bytes_in.saturating_add(self.bytes_out).div_ceil(1024);
        bytes.saturating_add(self.requests.saturating_mul(REQUEST_KIB))
    }

    /// The shard's mean time for a request, in microseconds.
    #[must_use]
    pub const fn mean_us(&self) -> u64 {
        match self.busy_us.checked_div(self.requests) {
            Some(mean) => mean,
            None => 0,
        }
    }

    fn figures(self) -> [u64; 5] {
        [self.requests, self.bytes_in, self.bytes_out, self.busy_us, self.session_sixteenths]
    }

    fn of([requests, bytes_in, bytes_out, busy_us, session_sixteenths]: [u64; 5]) -> Self {
        Self { requests, bytes_in, bytes_out, busy_us, session_sixteenths }
    }

    fn plus(self, other: Self) -> Self {
        let mut sum = self.figures();
        sum.iter_mut().zip(other.figures()).for_each(|(sum, more)| *sum = sum.saturating_add(more));
        Self::of(sum)
    }
}

/// The life of a node at its shard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Activity {
    /// The hour since 1970 that `open` counts; zero before anything was seen.
    hour: u64,
    open: Counts,
    /// Hours that have been counted.
    watched: u64,
    /// In the order of their hours.
    usual: Vec<(HourOfWeek, [Small; 5])>,
    growth: Growth,
    client: String,
}

/// How a node's bytes change from day to day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Growth {
    /// The day since 1970 that began with `bytes`; zero before anything was seen.
    day: u64,
    bytes: u64,
    per_day: i64,
    days: i64,
}

impl Activity {
    /// Adds to the hour of `now`. `bytes` is what the node holds, asked for when a day may be over.
    pub fn note(&mut self, now: UnixMillis, counts: Counts, bytes: impl FnOnce() -> u64) {
        self.advance(now, bytes);
        self.open = self.open.plus(counts);
    }

    /// Takes note of what the client calls itself: the first word, such as `restic/0.18.1`. Returns whether that is news.
    pub fn note_client(&mut self, agent: &str) -> bool {
        let word = agent.split_ascii_whitespace().next().unwrap_or_default();
        let is_meant = |byte: u8| byte.is_ascii_alphanumeric() || b"._/+-".contains(&byte);
        if word.is_empty() || word.len() > CLIENT_BYTES_MAX || !word.bytes().all(is_meant) || word == self.client {
            return false;
        }
        word.clone_into(&mut self.client);
        true
    }

    /// Counts the hours and days that are over at `now`. Returns whether one was. A clock that goes back by more than an hour begins
    /// anew with the hour that it shows.
    pub fn advance(&mut self, now: UnixMillis, bytes: impl FnOnce() -> u64) -> bool {
        let hour = now.epoch_hour();
        if hour == self.hour {
            return false;
        }
        if self.hour == 0 || hour.saturating_add(1) < self.hour {
            self.hour = hour;
            self.growth = Growth { day: hour / 24, bytes: bytes(), ..self.growth };
            return true;
        }
        if hour < self.hour {
            return false;
        }
        if hour - self.hour > FORGOTTEN_HOURS {
            self.usual.clear();
            // Of an hour that is long over: it is not to be counted as another.
            self.open = Counts::default();
            self.watched = 0;
            self.hour = hour;
        }
        while self.hour < hour {
            self.close_hour();
        }
        if hour / 24 > self.growth.day {
            self.growth.close_days(hour / 24, bytes());
        }
        true
    }

    /// Goes on after a time in which nobody watched: from the end of the hour `watched_until`, counted since 1970, to `now`.
    pub fn resume(&mut self, watched_until: u64, now: UnixMillis, bytes: u64) {
        if self.hour == 0 {
            return;
        }
        let last = watched_until.clamp(self.hour, now.epoch_hour().max(self.hour));
        self.advance(UnixMillis(last.saturating_mul(3_600_000)), || bytes);
        if now.epoch_hour() > self.hour {
            self.close_hour();
            self.hour = now.epoch_hour();
            self.growth.close_days(self.hour / 24, bytes);
        }
    }

    fn close_hour(&mut self) {
        let week = HourOfWeek::of_epoch(self.hour);
        let counts = std::mem::take(&mut self.open);
        let weeks = (self.watched / HOURS as u64 + 1).min(WEEKS);
        let mean =
            |before: u64, now: u64| (u128::from(before) * u128::from(weeks - 1) + u128::from(now)) / u128::from(weeks);
        let small = |before: u64, now: u64| Small::of(u64::try_from(mean(before, now)).unwrap_or(u64::MAX));
        let before = self.usual(week).figures();
        let mut after = [Small::default(); 5];
        for (after, (before, now)) in after.iter_mut().zip(before.into_iter().zip(counts.figures())) {
            *after = small(before, now);
        }
        let is_idle = after == [Small::default(); 5];
        match self.usual.binary_search_by_key(&week, |(hour, _)| *hour) {
            Ok(at) if is_idle => drop(self.usual.remove(at)),
            Ok(at) => self.usual[at].1 = after,
            Err(_) if is_idle => {}
            Err(at) => self.usual.insert(at, (week, after)),
        }
        self.watched = self.watched.saturating_add(1);
        self.hour += 1;
    }

    /// What is usual in an hour of the week.
    #[must_use]
    pub fn usual(&self, hour: HourOfWeek) -> Counts {
        match self.usual.binary_search_by_key(&hour, |(known, _)| *known) {
            Ok(at) => Counts::of(self.usual[at].1.map(Small::get)),
            Err(_) => Counts::default(),
        }
    }

    /// What it costs its shard in each hour of the week, in KiB.
    #[must_use]
    pub fn load_kib(&self) -> [u64; HOURS] {
        let mut hours = [0; HOURS];
        for (hour, figures) in &self.usual {
            hours[hour.number()] = Counts::of(figures.map(Small::get)).load_kib();
        }
        hours
    }

    /// A week as it usually is, all hours together.
    #[must_use]
    pub fn week(&self) -> Counts {
        self.usual.iter().fold(Counts::default(), |sum, (_, figures)| sum.plus(Counts::of(figures.map(Small::get))))
    }

    /// Sessions in a usual week, rounded up.
    #[must_use]
    pub fn sessions_per_week(&self) -> u64 {
        self.week().session_sixteenths.div_ceil(SIXTEENTHS)
    }

    /// Bytes that the node gains in a day; below zero when it shrinks.
    #[must_use]
    pub const fn growth_bytes_per_day(&self) -> i64 {
        self.growth.per_day
    }

    /// Hours that have been counted: what less than a week was watched says nothing of the rest of it.
    #[must_use]
    pub const fn watched_hours(&self) -> u64 {
        self.watched
    }

    /// What happened so far in the hour that is being counted.
    #[must_use]
    pub const fn present(&self) -> Counts {
        self.open
    }

    /// The hour since 1970 that is being counted.
    #[must_use]
    pub const fn present_hour(&self) -> u64 {
        self.hour
    }

    /// What the client called itself last; empty when it never did.
    #[must_use]
    pub fn client(&self) -> &str {
        &self.client
    }
}

impl Growth {
    /// All days up to the one that begins now; they share alike in what came together.
    fn close_days(&mut self, day: u64, bytes: u64) {
        let over = i64::try_from(day.saturating_sub(self.day)).unwrap_or(i64::MAX);
        if over == 0 {
            return;
        }
        let gained = i128::from(bytes) - i128::from(self.bytes);
        let daily = i64::try_from(gained / i128::from(over)).unwrap_or(if gained < 0 { i64::MIN } else { i64::MAX });
        for _ in 0..over.min(DAYS * 8) {
            self.days = (self.days + 1).min(DAYS);
            let step = (i128::from(daily) - i128::from(self.per_day)) / i128::from(self.days);
            self.per_day = i64::try_from(i128::from(self.per_day) + step).unwrap_or(self.per_day);
        }
        (self.day, self.bytes) = (day, bytes);
    }
}

#[cfg(test)]
mod tests;
