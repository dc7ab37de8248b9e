//! From time in which data moves to time on the clock.

use super::Conditions;
use shardlift_model::UnixMillis;

const MINUTE_MS: u64 = 60_000;
const DAY_MINUTES: u16 = 24 * 60;

/// How much of each minute of the day counts.
pub(super) struct Day {
    /// By minute in UTC: 1 in full, 0 not at all, between them where a cap is below the rate.
    shares: Vec<f64>,
    /// Of a whole day, in milliseconds.
    counts_ms: f64,
    is_even: bool,
}

impl Day {
    /// For work that goes at this rate while nothing of the hours holds it back.
    pub(super) fn of(conditions: &Conditions, rate: f64) -> Self {
        let Conditions { windows, source_hours, .. } = conditions;
        let share = |minute: u16| {
            let is_open = windows.is_empty() || windows.iter().any(|window| window.contains(minute));
            let below = source_hours.at(minute).map(|cap| cap as f64).filter(|cap| *cap < rate);
            let share = below.map_or(1.0, |cap| cap / rate);
            if is_open { share } else { 0.0 }
        };
        let shares: Vec<f64> = (0..DAY_MINUTES).map(share).collect();
        let counts_ms = shares.iter().sum::<f64>() * MINUTE_MS as f64;
        let is_even = shares.iter().all(|share| *share >= 1.0);
        Self { shares, counts_ms, is_even }
    }

    /// Time on the clock until so much time has counted; `None` when none ever does.
    pub(super) fn wall_ms(&self, now: UnixMillis, active_ms: f64) -> Option<u64> {
        if self.is_even {
            return Some(active_ms as u64);
        }
        if self.counts_ms <= 0.0 {
            return None;
        }
        // Whole days first, so that long work needs no long walk.
        let days = ((active_ms / self.counts_ms).floor() - 1.0).max(0.0);
        let mut left = active_ms - days * self.counts_ms;
        let day_ms = u64::from(DAY_MINUTES) * MINUTE_MS;
        let start = now.0 % day_ms;
        let mut wall = 0;
        // Less than two days are left, whatever rounding did.
        while left >= 1.0 && wall < 3 * day_ms {
            let at = start + wall;
            let rest = MINUTE_MS - at % MINUTE_MS;
            let minute = usize::try_from(at / MINUTE_MS % u64::from(DAY_MINUTES)).unwrap_or(0);
            let share = self.shares.get(minute).copied().unwrap_or(0.0);
            let counts = rest as f64 * share;
            if counts >= left {
                wall += (left / share).ceil() as u64;
                break;
            }
            left -= counts;
            wall += rest;
        }
        Some((days as u64).saturating_mul(day_ms).saturating_add(wall))
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
    use super::*;

    #[test]
    fn only_time_inside_the_windows_counts() {
        let windows = vec!["02:00-06:00".parse().unwrap()];
        let day = Day::of(&Conditions { windows, ..Conditions::default() }, 1e8);
        let hour = 3_600_000;
        let wall = |start: u64, hours: u64| day.wall_ms(UnixMillis(start * hour), (hours * hour) as f64);
        assert_eq!(wall(0, 1), Some(3 * hour));
        assert_eq!(wall(3, 3), Some(3 * hour));
        assert_eq!(wall(3, 4), Some(24 * hour));
        assert_eq!(wall(0, 40), Some((9 * 24 + 6) * hour));
        assert_eq!(Day::of(&Conditions::default(), 1e8).wall_ms(UnixMillis(5), 77.0), Some(77));
        // Hundreds of years are no loop of hundreds of years.
        assert!(wall(0, 1 << 22).is_some());
    }

    #[test]
    fn hours_with_a_cap_below_the_rate_count_in_proportion() {
        let source_hours = "UTC 02:00-06:00 unlimited, else 50 MiB/s".parse().unwrap();
        let conditions = Conditions { source_hours, ..Conditions::default() };
        let hour = 3_600_000;
        let wall = |rate_mib: u64, start: u64, hours: u64| {
            let day = Day::of(&conditions, (rate_mib << 20) as f64);
            day.wall_ms(UnixMillis(start * hour), (hours * hour) as f64).map(|wall| wall / hour)
        };
        assert_eq!([wall(40, 0, 3), wall(100, 0, 1), wall(100, 0, 3)], [Some(3), Some(2), Some(4)]);
        // 4 hours in full and 20 at half: 14 a day.
        assert_eq!(wall(100, 2, 14 * 3), Some(72));
        let closed = "UTC else 0 B/s".parse().unwrap();
        assert_eq!(
            Day::of(&Conditions { source_hours: closed, ..conditions.clone() }, 1.0).wall_ms(UnixMillis(0), 1.0),
            None
        );
    }

    #[test]
    fn times_are_rounded_up_to_minutes() {
        assert_eq!(
            [Some(0), Some(1), Some(3_660_001), Some(90_000_000), None].map(shown),
            ["0 min", "1 min", "1 h 02 min", "1 d 1 h", "never"]
        );
    }
}
