//! Texts, right and wrong, and the minutes that they stand for.

use super::*;
use proptest::prelude::*;

fn at(windows: &str, time: &str) -> (Option<u64>, String) {
    let (hours, minutes) = time.split_once(':').unwrap();
    let minutes = hours.parse::<u64>().unwrap() * 60 + minutes.parse::<u64>().unwrap();
    // Some day; all are the same.
    let holding = windows.parse::<Windows>().unwrap().at(UnixMillis((20_000 * 1440 + minutes) * 60_000));
    (holding.rate.map(|rate| rate >> 20), holding.name)
}

#[test]
fn the_first_window_that_holds_counts_and_else_is_all_other_times() {
    let night = "UTC 02:00-06:00 unlimited, else 50 MiB/s";
    assert_eq!(at(night, "01:59"), (Some(50), String::new()));
    assert_eq!(at(night, "02:00"), (None, "02:00-06:00".to_owned()));
    assert_eq!(at(night, "05:59"), (None, "02:00-06:00".to_owned()));
    assert_eq!(at(night, "06:00").0, Some(50));
    let overlapping = "UTC 08:00-18:00 10MiB/s,12:00-24:00 20 MiB/s , else unlimited ";
    let rates = ["07:59", "12:00", "18:00", "23:59", "00:00"].map(|time| at(overlapping, time).0);
    assert_eq!(rates, [None, Some(10), Some(20), Some(20), None]);
    assert_eq!(at("UTC else 1 GiB/s", "00:00").0, Some(1024));
}

#[test]
fn a_window_may_run_across_midnight_and_a_zone_shifts_it() {
    let night = "UTC 22:00-06:00 unlimited, else 5 MiB/s";
    let free = |windows: &str, time: &str| at(windows, time).0.is_none();
    assert_eq!(
        ["21:59", "22:00", "23:59", "00:00", "05:59", "06:00"].map(|time| free(night, time)),
        [false, true, true, true, true, false]
    );
    let east = "UTC+02:00 22:00-06:00 unlimited, else 5 MiB/s";
    assert_eq!(["19:59", "20:00", "03:59", "04:00"].map(|time| free(east, time)), [false, true, true, false]);
    let west = "UTC-09:30 22:00-06:00 unlimited, else 5 MiB/s";
    assert_eq!(["07:29", "07:30", "15:29", "15:30"].map(|time| free(west, time)), [false, true, true, false]);
}

#[test]
fn what_is_wrong_is_said_with_its_column() {
    for (text, column, what) in [
        ("", 1, "time zone"),
        ("02:00-06:00 unlimited, else 50 MiB/s", 1, "time zone"),
        ("UTC+15:00 else unlimited", 5, "at most 14:00"),
        ("UTC 2:00-06:00 unlimited, else unlimited", 5, "time of day"),
        ("UTC 02:60-06:00 unlimited, else unlimited", 5, "time of day"),
        ("UTC 02:00 06:00 unlimited, else unlimited", 11, "dash"),
        ("UTC 02:00-24:01 unlimited, else unlimited", 11, "time of day"),
        ("UTC 02:00-02:00 unlimited, else unlimited", 11, "not the beginning"),
        ("UTC 24:00-02:00 unlimited, else unlimited", 11, "not the beginning"),
        ("UTC 02:00-06:00 fast, else unlimited", 17, "a rate such as"),
        ("UTC 02:00-06:00 50 MB/s, else unlimited", 17, "a rate such as"),
        ("UTC 02:00-06:00 5 B/s, else unlimited", 17, "from 1 MiB/s"),
        ("UTC 02:00-06:00 unlimited", 26, "comma"),
        ("UTC 02:00-06:00 unlimited,", 27, "time of day"),
        ("UTC else 99999999999999999999 MiB/s", 10, "a rate such as"),
        ("UTC else unlimited, and more", 19, "nothing more"),
        ("UTC ü", 5, "time of day"),
        ("UTC+0ü:00 else unlimited", 5, "time of day"),
    ] {
        let error = text.parse::<Windows>().unwrap_err();
        assert_eq!(error.column, column, "{text}: {error}");
        assert!(error.what.contains(what), "{text}: {error}");
    }
    assert!(format!("UTC {}else unlimited", "01:00-02:00 unlimited, ".repeat(25)).parse::<Windows>().is_err());
    assert!(format!("UTC else unlimited{}", " ".repeat(1000)).parse::<Windows>().is_err());
}

/// Written apart from [`Window::holds`]: minute by minute.
fn minutes_of(begin: u32, end: u32) -> Vec<u32> {
    let mut minutes = Vec::new();
    let mut minute = begin;
    while minute % DAY_MINUTES != end % DAY_MINUTES || minutes.is_empty() {
        minutes.push(minute % DAY_MINUTES);
        minute += 1;
    }
    minutes
}

proptest! {
    #[test]
    fn nothing_that_is_typed_breaks_the_parser(text in "[UTC0-9:,+ \\-a-zü/]{0,60}") {
        if let Ok(windows) = text.parse::<Windows>() {
            prop_assert_eq!(windows.to_string().parse::<Windows>().unwrap(), windows);
        }
    }

    #[test]
    fn a_window_holds_for_exactly_its_minutes(
        begin in 0..DAY_MINUTES, length in 1..DAY_MINUTES, offset in -14 * 60..=14 * 60_i32, day in 0_u64..40_000,
    ) {
        let end = (begin + length) % DAY_MINUTES;
        prop_assume!(end != 0);
        let clock = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
        let sign = if offset < 0 { '-' } else { '+' };
        let zone = format!("UTC{sign}{}", clock(offset.unsigned_abs()));
        let text = format!("{zone} {}-{} 7 MiB/s, else unlimited", clock(begin), clock(end));
        let windows: Windows = text.parse().unwrap();
        let inside = minutes_of(begin, end);
        for minute in 0..DAY_MINUTES {
            let local = i64::try_from(day + 2).unwrap() * i64::from(DAY_MINUTES) + i64::from(minute);
            let utc = u64::try_from(local - i64::from(offset)).unwrap();
            let holds = windows.at(UnixMillis(utc * 60_000 + 59_999)).rate.is_some();
            prop_assert_eq!(holds, inside.contains(&minute), "{} at {}", text, clock(minute));
        }
    }
}
