//! When a batch flips: in the hours of the day in which its nodes do next to nothing on any day of the week; where the operator has
//! said when, in those of these hours, and where there are none, when the operator has said.

use crate::draft::Moment;
use crate::load::{HOURS, LoadProfile};
use crate::minutes::Minutes;
use crate::policy::{When, Window};

/// An hour is idle when its load is at most this share of the busiest hour's.
const IDLE_PERCENT: u128 = 5;

/// How long a batch whose nodes have no hour in common waits until they are idle by chance.
const FORCE_AFTER_MS: u64 = 24 * 3_600_000;

const DAY: usize = 24;

/// The moment for nodes with these loads, within what is wished.
pub(super) fn of<'l>(loads: impl Iterator<Item = &'l LoadProfile>, wished: &[Window]) -> Moment {
    let idle = idle(loads);
    if wished.is_empty() {
        return idle;
    }
    let both = Minutes::of(wished).and(&Minutes::of(&idle.windows)).windows();
    let windows = if both.is_empty() { wished.to_vec() } else { both };
    Moment { when: When::Window, windows, force_after_ms: None }
}

/// The moment that disturbs nodes with these loads least.
fn idle<'l>(loads: impl Iterator<Item = &'l LoadProfile>) -> Moment {
    let mut week = [0_u64; HOURS];
    loads.for_each(|load| load.add_to(&mut week));
    let busiest = week.iter().copied().max().unwrap_or(0);
    if busiest == 0 {
        return Moment::default();
    }
    let is_idle = |hour: &usize| {
        let most = u128::from(busiest) * IDLE_PERCENT;
        week.iter().skip(*hour).step_by(DAY).all(|load| u128::from(*load) * 100 <= most)
    };
    let windows = Minutes::that(|minute| is_idle(&usize::from(minute / 60))).windows();
    if windows.is_empty() {
        return Moment { when: When::Idle, windows, force_after_ms: Some(FORCE_AFTER_MS) };
    }
    Moment { when: When::Window, windows, force_after_ms: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A profile with this load in these hours of each day and 1 in all others.
    fn busy(hours: &[usize], load: u64) -> LoadProfile {
        let week: Vec<u64> = (0..HOURS).map(|hour| if hours.contains(&(hour % DAY)) { load } else { 1 }).collect();
        LoadProfile::of_hours(&week).unwrap()
    }

    fn shown(loads: &[LoadProfile]) -> (When, String) {
        let moment = of(loads.iter(), &[]);
        assert!(moment.windows.iter().all(|window| window.is_valid()));
        let windows: Vec<String> = moment.windows.iter().map(ToString::to_string).collect();
        (moment.when, windows.join(" "))
    }

    #[test]
    fn nodes_that_back_up_at_night_flip_by_day() {
        assert_eq!(shown(&[busy(&[22, 23, 0, 1, 2], 100)]), (When::Window, "03:00-22:00".to_owned()));
        assert_eq!(shown(&[busy(&[1, 2], 100), busy(&[4], 80)]), (When::Window, "03:00-04:00 05:00-01:00".to_owned()));
        assert_eq!(shown(&[busy(&[9, 10], 100)]), (When::Window, "11:00-09:00".to_owned()));
        assert_eq!(shown(&[busy(&[0, 1], 100)]), (When::Window, "02:00-24:00".to_owned()));
    }

    #[test]
    fn nodes_that_are_always_busy_flip_when_they_are_idle_by_chance() {
        let moment = of([busy(&[], 1)].iter(), &[]);
        let expected = Moment { when: When::Idle, windows: Vec::new(), force_after_ms: Some(86_400_000) };
        assert_eq!(moment, expected);
        // Each has its idle hours; they have none in common.
        let day: Vec<usize> = (0..12).collect();
        let night: Vec<usize> = (12..24).collect();
        assert_eq!(shown(&[busy(&day, 100), busy(&night, 100)]).0, When::Idle);
    }

    #[test]
    fn one_busy_day_of_the_week_is_enough_to_avoid_an_hour() {
        let mut week = [1; HOURS];
        week[3] = 100;
        week[2 * DAY + 15] = 6;
        week[2 * DAY + 17] = 5;
        let profile = LoadProfile::of_hours(&week).unwrap();
        assert_eq!(shown(&[profile]), (When::Window, "04:00-15:00 16:00-03:00".to_owned()));
    }

    #[test]
    fn without_load_nobody_knows() {
        assert_eq!(of([LoadProfile::default()].iter(), &[]), Moment::default());
    }

    #[test]
    fn what_the_operator_has_said_holds_and_idle_hours_within_it_are_preferred() {
        let night = [busy(&[22, 23, 0, 1, 2], 100)];
        let within = |wished: &[&str]| {
            let wished: Vec<Window> = wished.iter().map(|window| window.parse().unwrap()).collect();
            let moment = of(night.iter(), &wished);
            assert_eq!((moment.when, moment.force_after_ms), (When::Window, None));
            moment.windows.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(within(&["01:30-05:30"]), "03:00-05:30");
        assert_eq!(within(&["20:00-23:00", "02:00-04:00"]), "03:00-04:00 20:00-22:00");
        assert_eq!(within(&["23:00-01:00"]), "23:00-01:00", "they are never idle then, and it is said all the same");
        let unknown = of([LoadProfile::default()].iter(), &["01:00-05:00".parse().unwrap()]);
        assert_eq!((unknown.when, unknown.windows.len()), (When::Window, 1));
    }
}
