//! A week after the other, hours that nobody watched, clocks that jump, bytes that are none.

use super::*;

/// Monday 00:00.
const MONDAY: u64 = 493_848;

fn at(hour: u64) -> UnixMillis {
    UnixMillis(hour * 3_600_000 + 5)
}

fn counts(requests: u64, bytes_in: u64) -> Counts {
    Counts { requests, bytes_in, ..Counts::default() }
}

/// A node that does the same each day at 02:00, for so many weeks.
fn nightly(weeks: u64) -> Activity {
    let mut activity = Activity::default();
    activity.advance(at(MONDAY), || 0);
    for day in 0..weeks * 7 {
        let hour = MONDAY + day * 24 + 2;
        let bytes = day * 1000;
        activity.note(at(hour), Counts::session(), || bytes);
        activity.note(at(hour), counts(100, 1 << 20), || bytes);
    }
    activity.advance(at(MONDAY + weeks * 168), || weeks * 7 * 1000);
    activity
}

#[test]
fn monday_is_a_monday() {
    assert_eq!(HourOfWeek::of_epoch(MONDAY).number(), 0);
}

#[test]
fn what_happens_each_day_is_usual_in_its_hour_and_in_no_other() {
    for weeks in [1, 2, 9] {
        let activity = nightly(weeks);
        for hour in HourOfWeek::all() {
            let usual = activity.usual(hour);
            let expected = if hour.of_day() == 2 { (100, 1 << 20, 16) } else { (0, 0, 0) };
            assert_eq!((usual.requests, usual.bytes_in, usual.session_sixteenths), expected, "{hour}, {weeks} weeks");
        }
        assert_eq!(activity.load_kib()[26], 1024 + 100 * REQUEST_KIB);
        assert_eq!((activity.sessions_per_week(), activity.watched_hours()), (7, weeks * 168));
        assert_eq!(activity.schedule(), "daily 02:00");
        assert_eq!(activity.growth_bytes_per_day(), 1000, "{weeks} weeks");
    }
}

#[test]
fn four_weeks_are_a_mean_and_then_the_newest_is_a_quarter() {
    let mut activity = Activity::default();
    activity.advance(at(MONDAY), || 0);
    let mut seen = Vec::new();
    for (week, requests) in [100, 200, 300, 400, 650, 0, 0].into_iter().enumerate() {
        activity.note(at(MONDAY + week as u64 * 168), counts(requests, 0), || 0);
        activity.advance(at(MONDAY + week as u64 * 168 + 1), || 0);
        seen.push(activity.usual(HourOfWeek::of(0)).requests);
    }
    assert_eq!(seen, [100, 150, 200, 250, 350, 262, 196]);
}

#[test]
fn what_ends_is_forgotten_and_takes_no_room() {
    let mut activity = nightly(4);
    let full = activity.encode().len();
    activity.advance(at(MONDAY + 4 * 168 + 60 * 168), || 0);
    assert_eq!((activity.week(), activity.usual.len()), (Counts::default(), 0));
    assert!(activity.encode().len() + 7 * 11 == full && full < 200, "{full} bytes");
}

#[test]
fn what_was_never_closed_is_not_counted_in_a_later_hour() {
    let mut activity = Activity::default();
    activity.note(at(MONDAY), counts(100, 5), || 0);
    activity.advance(at(MONDAY + FORGOTTEN_HOURS + 3), || 0);
    activity.advance(at(MONDAY + FORGOTTEN_HOURS + 6), || 0);
    assert_eq!(activity.week(), Counts::default());
}

#[test]
fn hours_that_nobody_watched_do_not_count() {
    let mut watched = nightly(4);
    let before = watched.week();
    // The shard was down for ten days from the end of the hour on.
    watched.resume(MONDAY + 4 * 168, at(MONDAY + 4 * 168 + 240), 28_000);
    assert_eq!((watched.week(), watched.present_hour()), (before, MONDAY + 4 * 168 + 240));
    let mut idle = nightly(4);
    // The shard was there for these ten days, and the node did nothing.
    idle.resume(MONDAY + 4 * 168 + 240, at(MONDAY + 4 * 168 + 240), 28_000);
    assert!(idle.week().requests < before.requests);
    let mut same_hour = nightly(1);
    same_hour.note(at(MONDAY + 168), counts(7, 0), || 0);
    same_hour.resume(MONDAY + 168, at(MONDAY + 168), 0);
    assert_eq!(same_hour.open.requests, 7, "an hour goes on after a restart within it");
}

#[test]
fn a_clock_that_jumps_does_no_lasting_harm() {
    let mut activity = nightly(2);
    let before = activity.week();
    activity.advance(at(MONDAY + 2 * 168 - 1), || 0);
    assert_eq!(activity.present_hour(), MONDAY + 2 * 168, "a minute back is the same hour still");
    activity.advance(at(MONDAY), || 0);
    assert_eq!((activity.present_hour(), activity.week()), (MONDAY, before));
    activity.advance(at(u64::MAX / 3_600_000 - 1), || 0);
    activity.advance(at(MONDAY), || 0);
    assert_eq!(activity.present_hour(), MONDAY);
}

#[test]
fn growth_follows_the_days_and_can_be_negative() {
    let mut activity = Activity::default();
    activity.advance(at(MONDAY), || 1_000_000);
    activity.advance(at(MONDAY + 48), || 1_000_400);
    assert_eq!(activity.growth_bytes_per_day(), 200);
    for day in 3..60 {
        activity.advance(at(MONDAY + day * 24), || 1_000_400 - (day - 2) * 1000);
    }
    assert!((-1000..=-990).contains(&activity.growth_bytes_per_day()), "{}", activity.growth_bytes_per_day());
}

#[test]
fn a_client_is_known_by_its_first_word() {
    let mut activity = Activity::default();
    assert!(activity.note_client("restic/0.18.1 (linux amd64)"));
    assert!(!activity.note_client("restic/0.18.1 (other)"), "no news");
    for strange in ["", "  ", "ab\u{e4}c", "a<b", &"x".repeat(65)] {
        assert!(!activity.note_client(strange), "{strange}");
    }
    assert_eq!(activity.client(), "restic/0.18.1");
}

#[test]
fn an_activity_survives_its_encoding_and_bad_bytes_are_refused() {
    let mut activity = nightly(3);
    activity.note_client("rustic/0.11.4");
    activity.note(at(MONDAY + 3 * 168), Counts::request(77), || 5);
    for activity in [activity.clone(), Activity::default()] {
        assert_eq!(Activity::decode(&activity.encode()), Ok(activity));
    }
    let good = activity.encode();
    for length in 0..good.len() {
        assert!(Activity::decode(&good[..length]).is_err(), "cut off at {length}");
    }
    let mut swapped = good.clone();
    let hours = good.len() - 22;
    swapped.copy_within(hours..hours + 11, hours + 11);
    assert!(Activity::decode(&swapped).is_err(), "hours twice");
    for (at, byte) in [(0, 2), (good.len() - 11, 168), (good.len() - 7 * 11 - 1, 200), (8 * 7 + 1 + 8 * 4, 200)] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert!(Activity::decode(&bad).is_err(), "byte {at}");
    }
}

#[test]
fn schedules_read_as_people_say_them() {
    let of = |hours: &[usize]| {
        let mut activity = Activity::default();
        activity.advance(at(MONDAY), || 0);
        for hour in 0..168 {
            if hours.contains(&hour) {
                activity.note(at(MONDAY + hour as u64), Counts::session(), || 0);
            }
            activity.advance(at(MONDAY + hour as u64 + 1), || 0);
        }
        activity.schedule()
    };
    let days = |days: std::ops::Range<usize>, hours: &[usize]| {
        days.flat_map(|day| hours.iter().map(move |hour| day * 24 + hour)).collect::<Vec<_>>()
    };
    let all: Vec<usize> = (0..168).collect();
    assert_eq!(of(&[]), "no usual hour");
    assert_eq!(of(&all), "hourly");
    assert_eq!(of(&days(0..5, &[9, 17])), "Mon-Fri 09:00, 17:00");
    assert_eq!(of(&[26, 146]), "Tue,Sun 02:00");
    assert_eq!(of(&[days(0..7, &[2]), vec![147]].concat()), "daily 02:00; Sun 03:00");
    assert_eq!(of(&days(0..7, &[0, 4, 8, 12, 16, 20])), "daily 00:00, 04:00, 08:00, 12:00 and 2 more hours");
    assert_eq!(of(&days(0..2, &all[..24])), "Mon,Tue hourly");
}
