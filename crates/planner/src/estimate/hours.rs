//! From time in which data moves to time on the clock.

use super::Cap;
use super::throughput::Pace;
use crate::policy::Window;
use shardlift_model::UnixMillis;
use std::collections::BTreeMap;

const MINUTE_MS: u64 = 60_000;
const DAY_MINUTES: u16 = 24 * 60;
const DAY_MS: u64 = DAY_MINUTES as u64 * MINUTE_MS;

/// Nobody waits so long; an end beyond it is "never". Ten years.
const NEVER_MS: f64 = 3660.0 * DAY_MS as f64;

/// How much of each minute of the day counts.
pub(super) struct Day {
    /// By minute in UTC: 1 in full, 0 not at all, between them where a cap is below the rate. Empty: all in full.
    shares: Vec<f64>,
}

/// What is to be moved, in time at the full rate.
#[derive(Clone, Copy)]
pub(super) struct Needed {
    pub(super) millis: f64,
    /// What comes to it in each millisecond on the clock.
    pub(super) growth: f64,
}

impl Day {
    /// For work that goes at this pace below what the caps allow at any time: it goes inside the windows alone, and below the
    /// lowest cap of the minute.
    pub(super) fn of(windows: &[Window], caps: &[&Cap], pace: Pace<'_>) -> Self {
        let always = caps.iter().map(|cap| cap.rate()).fold(f64::INFINITY, f64::min);
        if windows.is_empty() && caps.iter().all(|cap| cap.hours.is_none()) {
            return Self { shares: Vec::new() };
        }
        let full = pace.below(always);
        let mut known: BTreeMap<u64, f64> = BTreeMap::new();
        let share = |minute: u16| {
            let is_open = windows.is_empty() || windows.iter().any(|window| window.contains(minute));
            let lowest = caps.iter().filter_map(|cap| cap.hours.at(minute)).min();
            let mut under = |cap: u64| *known.entry(cap).or_insert_with(|| pace.below(always.min(cap as f64)) / full);
            if is_open { lowest.map_or(1.0, &mut under) } else { 0.0 }
        };
        Self { shares: (0..DAY_MINUTES).map(share).collect() }
    }

    /// Time on the clock until all is moved; `None` when that is never, or later than anybody waits.
    pub(super) fn wall_ms(&self, now: UnixMillis, needed: Needed) -> Option<u64> {
        let wall = if self.shares.is_empty() {
            needed.millis / (1.0 - needed.growth).max(0.0)
        } else {
            self.walked_ms(now, needed)?
        };
        (wall <= NEVER_MS).then_some(wall as u64)
    }

    /// Whole days first, so that long work needs no long walk: on the last one, what is left is no more than the most that
    /// any part of a day from now on takes away.
    fn walked_ms(&self, now: UnixMillis, needed: Needed) -> Option<f64> {
        let (mut sum, mut most) = (0.0, 0.0_f64);
        for (share, length) in self.from(now) {
            sum += (share - needed.growth) * length;
            most = most.max(sum);
        }
        let days = if needed.millis <= most {
            0.0
        } else if sum > 0.0 {
            ((needed.millis - most) / sum).ceil()
        } else {
            return None;
        };
        let mut left = needed.millis - days * sum;
        let mut wall = days * DAY_MS as f64;
        for (share, length) in self.from(now) {
            let net = share - needed.growth;
            if left <= net * length {
                // Nothing is left: it was over before, but for rounding.
                return Some(wall + if left > 0.0 { left / net } else { 0.0 });
            }
            left -= net * length;
            wall += length;
        }
        Some(wall)
    }

    /// A day from now on: the share of each minute and its length; the first and the last are parts of the same one.
    fn from(&self, now: UnixMillis) -> impl Iterator<Item = (f64, f64)> + '_ {
        let since = now.0 % DAY_MS;
        let first = usize::try_from(since / MINUTE_MS).unwrap_or(0);
        let part = since % MINUTE_MS;
        let length = move |at: usize| match at {
            0 => MINUTE_MS - part,
            at if at == self.shares.len() => part,
            _ => MINUTE_MS,
        };
        (0..=self.shares.len()).map(move |at| (self.shares[(first + at) % self.shares.len()], length(at) as f64))
    }
}

/// A time as people say it.
#[must_use]
pub fn shown(millis: Option<u64>) -> String {
    let Some(millis) = millis else { return "never".to_owned() };
    let minutes = millis.div_ceil(MINUTE_MS);
    match (minutes / u64::from(DAY_MINUTES), minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes:02} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::throughput::Throughput;
    use super::*;

    fn day(windows: &[&str], caps: &[&str], mib_per_second: u64) -> Day {
        let steady = Throughput::of(std::iter::once(((mib_per_second << 20) as f64, 1.0)));
        let windows: Vec<Window> = windows.iter().map(|window| window.parse().unwrap()).collect();
        let caps: Vec<Cap> = caps.iter().map(|hours| Cap { always: None, hours: hours.parse().unwrap() }).collect();
        Day::of(&windows, &caps.iter().collect::<Vec<_>>(), steady.times(1.0))
    }

    const HOUR: u64 = 3_600_000;

    fn hours(count: u64) -> Needed {
        Needed { millis: (count * HOUR) as f64, growth: 0.0 }
    }

    #[test]
    fn only_time_inside_the_windows_counts() {
        let night = day(&["02:00-06:00"], &[], 100);
        let wall = |start: u64, hours: u64| night.wall_ms(UnixMillis(start * HOUR), self::hours(hours));
        assert_eq!(wall(0, 1), Some(3 * HOUR));
        assert_eq!(wall(3, 3), Some(3 * HOUR));
        assert_eq!(wall(3, 4), Some(24 * HOUR));
        assert_eq!(wall(0, 40), Some((9 * 24 + 6) * HOUR));
        assert_eq!(day(&[], &[], 100).wall_ms(UnixMillis(5), Needed { millis: 77.0, growth: 0.0 }), Some(77));
        let odd = night.wall_ms(UnixMillis(3 * HOUR + 1234), hours(4));
        assert_eq!(odd, Some(24 * HOUR), "the second part of the first minute counts a day later");
        // Years are no loop of years, and what nobody waits for never ends.
        assert_eq!([wall(0, 4 * 3000), wall(0, 1 << 22)], [Some((2999 * 24 + 6) * HOUR), None]);
    }

    #[test]
    fn what_grows_does_so_around_the_clock() {
        let night = day(&["02:00-06:00"], &[], 100);
        let wall = |start: u64, growth: f64, millis: u64| {
            let millis = (millis * HOUR) as f64;
            night.wall_ms(UnixMillis(start * HOUR), Needed { millis, growth }).map(|wall| wall as f64 / HOUR as f64)
        };
        let near = |found: Option<f64>, hours: f64| assert!((found.unwrap() - hours).abs() < 1e-3, "{found:?} {hours}");
        near(wall(2, 0.1, 2), 2.0 / 0.9);
        near(wall(0, 0.1, 2), 2.0 + 2.2 / 0.9);
        // The first night takes 3.6 hours' worth, and 2 come to the rest until the next.
        near(wall(2, 0.1, 4), 24.0 + 2.4 / 0.9);
        assert_eq!([wall(2, 0.2, 4), wall(2, 4.0 / 24.0, 4)], [None, None]);
        assert_eq!(day(&[], &[], 1).wall_ms(UnixMillis(0), Needed { millis: 1.0, growth: 1.0 }), None);
    }

    #[test]
    fn hours_with_a_cap_below_the_rate_count_in_proportion() {
        let caps = ["UTC 02:00-06:00 unlimited, else 50 MiB/s", "UTC 04:00-08:00 unlimited, else 25 MiB/s"];
        let wall = |rate: u64, start: u64, hours: u64| {
            let wall = day(&[], &caps[..1], rate).wall_ms(UnixMillis(start * HOUR), self::hours(hours));
            wall.map(|wall| wall / HOUR)
        };
        assert_eq!([wall(40, 0, 3), wall(100, 0, 1), wall(100, 0, 3)], [Some(3), Some(2), Some(4)]);
        // 4 hours in full and 20 at half: 14 a day.
        assert_eq!(wall(100, 2, 14 * 3), Some(72));
        assert_eq!(day(&[], &["UTC else 0 B/s"], 1).wall_ms(UnixMillis(0), hours(1)), None);
        // Of two, the lower of the minute counts.
        let both = day(&[], &caps, 100);
        assert_eq!([3, 5, 7, 9].map(|hour: usize| both.shares[hour * 60]), [0.25, 1.0, 0.5, 0.25]);
    }

    #[test]
    fn times_are_rounded_up_to_minutes() {
        assert_eq!(
            [Some(0), Some(1), Some(3_660_001), Some(90_000_000), None].map(shown),
            ["0 min", "1 min", "1 h 02 min", "1 d 1 h", "never"]
        );
    }
}
