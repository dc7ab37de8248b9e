//! When a client usually comes, in words.

use super::{Activity, SIXTEENTHS};
use crate::week::HourOfWeek;
use std::collections::BTreeMap;

/// Hours or days that are named; of more, how many they are.
const NAMED_MAX: usize = 4;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const EVERY_DAY: u8 = 0b111_1111;

impl Activity {
    /// When its client usually begins a session, in UTC: `daily 02:00`, `Mon-Fri 09:00, 17:00`, `hourly`. Hours in which it does so in
    /// half of the weeks or more are named.
    #[must_use]
    pub fn schedule(&self) -> String {
        let usual = |hour: &HourOfWeek| self.usual(*hour).session_sixteenths * 2 >= SIXTEENTHS;
        // Hours of the day by the days on which they are usual; a bit for each day.
        let mut days_of = [0_u8; 24];
        for hour in HourOfWeek::all().filter(usual) {
            days_of[usize::from(hour.of_day())] |= 1 << hour.day();
        }
        let mut hours_by: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
        for (hour, days) in days_of.into_iter().enumerate().filter(|(_, days)| *days != 0) {
            hours_by.entry(days).or_default().push(hour);
        }
        if hours_by.is_empty() {
            return "no usual hour".to_owned();
        }
        // What happens on the most days first.
        let mut groups: Vec<(u8, Vec<usize>)> = hours_by.into_iter().collect();
        groups.sort_by_key(|(days, hours)| (std::cmp::Reverse(days.count_ones()), hours.first().copied()));
        let shown = groups.iter().take(NAMED_MAX).map(|(days, hours)| group(*days, hours));
        let mut text = shown.collect::<Vec<_>>().join("; ");
        if let Some(more) = groups.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
            text.push_str(&format!("; and {more} more"));
        }
        text
    }
}

fn group(days: u8, hours: &[usize]) -> String {
    let hours = match hours.len() {
        24 => return if days == EVERY_DAY { "hourly".to_owned() } else { format!("{} hourly", day_names(days)) },
        count if count > NAMED_MAX => {
            let first: Vec<String> = hours.iter().take(NAMED_MAX).map(|hour| format!("{hour:02}:00")).collect();
            format!("{} and {} more hours", first.join(", "), count - NAMED_MAX)
        }
        _ => hours.iter().map(|hour| format!("{hour:02}:00")).collect::<Vec<_>>().join(", "),
    };
    format!("{} {hours}", day_names(days))
}

fn day_names(days: u8) -> String {
    if days == EVERY_DAY {
        return "daily".to_owned();
    }
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for day in (0..DAYS.len()).filter(|day| days & (1 << day) != 0) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == day => *last = day,
            _ => runs.push((day, day)),
        }
    }
    let name = |(first, last): (usize, usize)| match last - first {
        0 => DAYS[first].to_owned(),
        1 => format!("{},{}", DAYS[first], DAYS[last]),
        _ => format!("{}-{}", DAYS[first], DAYS[last]),
    };
    runs.into_iter().map(name).collect::<Vec<_>>().join(",")
}
