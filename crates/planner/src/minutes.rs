//! Minutes of a day, in UTC: what windows come to when they are put together, compared and cut.

use crate::policy::{WINDOWS_MAX, Window};

const DAY: usize = 24 * 60;

/// Some minutes of each day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Minutes([bool; DAY]);

impl Minutes {
    /// Those that are part of one of these windows.
    pub(crate) fn of(windows: &[Window]) -> Self {
        Self::that(|minute| windows.iter().any(|window| window.contains(minute)))
    }

    /// Those for which this holds.
    pub(crate) fn that(holds: impl Fn(u16) -> bool) -> Self {
        Self(std::array::from_fn(|minute| u16::try_from(minute).is_ok_and(&holds)))
    }

    /// Those that are part of both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|minute| self.0[minute] && other.0[minute]))
    }

    /// True when it has every minute of the other.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.and(other) == *other
    }

    /// As windows, each as long as it can be; one that goes over midnight is one. Of more than a batch may have, the first.
    pub(crate) fn windows(&self) -> Vec<Window> {
        let at = |minute: usize| self.0[minute % DAY];
        if self.0.iter().all(|minute| *minute) {
            return vec![Window { from_minute: 0, to_minute: minute(DAY) }];
        }
        let starts = (0..DAY).filter(|start| at(*start) && !at(start + DAY - 1));
        let window = |start: usize| {
            let end = (start..start + DAY).find(|end| !at(*end)).unwrap_or(start) % DAY;
            Window { from_minute: minute(start), to_minute: minute(if end == 0 { DAY } else { end }) }
        };
        starts.map(window).take(WINDOWS_MAX).collect()
    }
}

/// At most the 1440 of the end of a day.
fn minute(minute: usize) -> u16 {
    u16::try_from(minute).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(windows: &str) -> Minutes {
        Minutes::of(&windows.split_whitespace().map(|window| window.parse().unwrap()).collect::<Vec<_>>())
    }

    fn shown(minutes: &Minutes) -> String {
        minutes.windows().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn windows_are_joined_and_cut_to_the_minute() {
        for (windows, joined) in [
            ("02:00-04:00 03:30-06:00", "02:00-06:00"),
            ("22:00-02:00 01:00-03:00", "22:00-03:00"),
            ("20:00-24:00 00:00-01:00", "20:00-01:00"),
            ("20:00-24:00", "20:00-24:00"),
            ("00:00-12:00 12:00-24:00", "00:00-24:00"),
            ("", ""),
        ] {
            assert_eq!(shown(&of(windows)), joined, "{windows}");
        }
        assert_eq!(shown(&of("01:00-05:00").and(&of("03:15-04:00 04:30-12:00"))), "03:15-04:00 04:30-05:00");
        assert_eq!(shown(&of("23:00-01:00").and(&of("00:00-24:00"))), "23:00-01:00");
    }

    #[test]
    fn a_minute_more_is_not_covered() {
        assert!(of("22:00-06:00").covers(&of("23:00-24:00 00:00-06:00")));
        assert!(!of("22:00-06:00").covers(&of("23:00-06:01")));
        assert!(of("00:00-24:00").covers(&of("09:00-17:00")) && of("").covers(&of("")));
    }

    #[test]
    fn no_more_windows_are_made_than_a_batch_may_have() {
        let every_other = Minutes::that(|minute| minute % 2 == 0);
        assert_eq!(every_other.windows().len(), WINDOWS_MAX);
        assert!(every_other.covers(&Minutes::of(&every_other.windows())));
    }
}
