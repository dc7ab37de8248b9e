//! Load by hour of the week, in a form of which a million fit into memory.
//!
//! The unit is the operator's: any figure that adds up over nodes and in which the capacity of shards is stated, such as
//! busy milliseconds per hour. A profile holds 168 steps of 16 bits and the size of one step; clones share their memory.

use serde::{Deserialize, Serialize};
pub use shardlift_model::{HOURS, HourOfWeek};
use std::sync::Arc;

/// Largest load of one hour. Sums over ten million nodes still fit into 64 bits.
pub const LOAD_MAX: u64 = 1 << 40;

/// Figures that are no load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Not one figure per hour.
    #[error("{0} hours were given, 168 are expected")]
    Hours(usize),
    /// Beyond [`LOAD_MAX`].
    #[error("a load of {0} in one hour is beyond {LOAD_MAX}")]
    TooLarge(u64),
    /// Steps without a size.
    #[error("a step of 0 makes every hour 0")]
    NoUnit,
}

/// Load in each hour of the week. Without a measurement it is zero in every hour.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct LoadProfile(Option<Arc<Measured>>);

#[derive(Debug, PartialEq, Eq)]
struct Measured {
    unit: u64,
    highest: u16,
    steps: [u16; HOURS],
}

/// What a profile is stored as; no steps stand for zero.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    unit: u64,
    steps: Vec<u16>,
}

static NOTHING: [u16; HOURS] = [0; HOURS];

impl LoadProfile {
    /// The profile of these figures. The step is as small as 16 bits allow; figures are rounded up to whole steps, so
    /// that load is never made to look smaller than it is.
    ///
    /// # Errors
    /// [`LoadError`] when there are not 168 figures, or one is absurd.
    pub fn of_hours(hours: &[u64]) -> Result<Self, LoadError> {
        if hours.len() != HOURS {
            return Err(LoadError::Hours(hours.len()));
        }
        let highest = hours.iter().copied().max().unwrap_or(0);
        if highest > LOAD_MAX {
            return Err(LoadError::TooLarge(highest));
        }
        let unit = highest.div_ceil(u64::from(u16::MAX)).max(1);
        let mut steps = [0; HOURS];
        for (step, load) in steps.iter_mut().zip(hours) {
            *step = u16::try_from(load.div_ceil(unit)).unwrap_or(u16::MAX);
        }
        Ok(Self::of_steps(unit, steps))
    }

    fn of_steps(unit: u64, steps: [u16; HOURS]) -> Self {
        let highest = steps.iter().copied().max().unwrap_or(0);
        Self((highest > 0).then(|| Arc::new(Measured { unit, highest, steps })))
    }

    /// True when no hour has any load.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.0.is_none()
    }

    /// Load in one hour.
    #[must_use]
    pub fn at(&self, hour: HourOfWeek) -> u64 {
        self.0.as_ref().map_or(0, |measured| u64::from(measured.steps[hour.number()]) * measured.unit)
    }

    /// Load of the busiest hour.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.0.as_ref().map_or(0, |measured| u64::from(measured.highest) * measured.unit)
    }

    /// The steps of all hours; [`LoadProfile::unit`] is the size of one.
    #[must_use]
    pub fn steps(&self) -> &[u16; HOURS] {
        self.0.as_ref().map_or(&NOTHING, |measured| &measured.steps)
    }

    /// The size of one step; 1 when there is no load.
    #[must_use]
    pub fn unit(&self) -> u64 {
        self.0.as_ref().map_or(1, |measured| measured.unit)
    }

    /// Adds it to a row of sums.
    pub fn add_to(&self, row: &mut [u64; HOURS]) {
        if let Some(Measured { unit, steps, .. }) = self.0.as_deref() {
            for (sum, step) in row.iter_mut().zip(steps) {
                *sum = sum.saturating_add(u64::from(*step) * unit);
            }
        }
    }
}

impl TryFrom<Stored> for LoadProfile {
    type Error = LoadError;

    fn try_from(Stored { unit, steps }: Stored) -> Result<Self, LoadError> {
        if steps.is_empty() {
            return Ok(Self::default());
        }
        let count = steps.len();
        let steps: [u16; HOURS] = steps.try_into().map_err(|_| LoadError::Hours(count))?;
        if unit == 0 {
            return Err(LoadError::NoUnit);
        }
        let highest = steps.iter().copied().max().unwrap_or(0);
        let load = u64::from(highest).saturating_mul(unit);
        if load > LOAD_MAX + unit.min(LOAD_MAX) {
            return Err(LoadError::TooLarge(load));
        }
        Ok(Self::of_steps(unit, steps))
    }
}

impl From<LoadProfile> for Stored {
    fn from(profile: LoadProfile) -> Self {
        let steps = if profile.is_zero() { Vec::new() } else { profile.steps().to_vec() };
        Self { unit: profile.unit(), steps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_never_makes_load_look_smaller_and_is_near() {
        let hours: Vec<u64> = (0..168_u64).map(|hour| hour * hour * 1_000_003).collect();
        let profile = LoadProfile::of_hours(&hours).unwrap();
        for (hour, load) in HourOfWeek::all().zip(&hours) {
            assert!(profile.at(hour) >= *load && profile.at(hour) < load + profile.unit());
        }
        assert!(profile.unit() <= profile.highest() / 65_000);
    }

    #[test]
    fn figures_that_are_no_load_are_refused() {
        assert_eq!(LoadProfile::of_hours(&[1; 24]), Err(LoadError::Hours(24)));
        assert_eq!(LoadProfile::of_hours(&[LOAD_MAX + 1; 168]), Err(LoadError::TooLarge(LOAD_MAX + 1)));
        assert!(LoadProfile::of_hours(&[0; 168]).unwrap().is_zero());
        assert!(serde_json::from_str::<LoadProfile>(r#"{"unit":1,"steps":[1,2]}"#).is_err());
        assert!(serde_json::from_str::<LoadProfile>(r#"{"unit":1,"steps":[-1]}"#).is_err());
        assert!(serde_json::from_str::<HourOfWeek>("168").is_err());
    }

    #[test]
    fn a_stored_profile_is_read_back() {
        let profile = LoadProfile::of_hours(&[LOAD_MAX; 168]).unwrap();
        for profile in [profile, LoadProfile::default()] {
            let text = serde_json::to_string(&profile).unwrap();
            assert_eq!(serde_json::from_str::<LoadProfile>(&text).unwrap(), profile);
        }
    }
}
