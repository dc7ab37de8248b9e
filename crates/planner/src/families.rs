//! Families of inventories for measurements and tests: made from a seed, the same on every machine.
//!
//! Only whole numbers and products of fractions are used, no logarithms or powers, whose last bits differ between
//! libraries.

use crate::load::{HOURS, LoadProfile};
use crate::problem::{NodeLoad, PlanOptions, Problem, ShardCapacity};
use shardlift_model::{ByteCount, NameError, UnixMillis};
use std::fmt;

const GIB: u64 = 1 << 30;

/// A kind of inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Most nodes small, a few very large; load grows slower than size.
    HeavyTailed,
    /// Every node has its hour in the night.
    DailyPeaks,
    /// A full backup on one day of the week, small ones on the others.
    WeeklyFull,
    /// One node in a hundred has half of everything.
    FewGiants,
    /// All nodes small and alike.
    ManySmall,
    /// Customers whose nodes all start at the same minute.
    Correlated,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::HeavyTailed, Self::DailyPeaks, Self::WeeklyFull, Self::FewGiants, Self::ManySmall, Self::Correlated];

    /// Its name in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HeavyTailed => "heavy-tailed",
            Self::DailyPeaks => "daily-peaks",
            Self::WeeklyFull => "weekly-full",
            Self::FewGiants => "few-giants",
            Self::ManySmall => "many-small",
            Self::Correlated => "correlated",
        }
    }

    /// An inventory: all nodes on an overloaded source, and `shards - 1` targets with other load.
    ///
    /// # Errors
    /// None in practice: the names it makes are names.
    pub fn problem(self, nodes: usize, shards: usize, seed: u64) -> Result<Problem, NameError> {
        let mut dice = Dice::new(seed ^ (self as u64) << 32);
        let mut inventory = Vec::with_capacity(nodes);
        let mut row = [0_u64; HOURS];
        let mut bytes = 0_u64;
        for number in 0..nodes {
            let node = self.node(number, nodes, &mut dice)?;
            node.load.add_to(&mut row);
            bytes = bytes.saturating_add(node.bytes.0);
            inventory.push(node);
        }
        let highest = row.iter().copied().max().unwrap_or(1).max(1);
        // The source is at 140 % of what it bears.
        let capacity = highest * 100 / 140;
        let room = bytes / (shards.max(2) as u64 - 1) * 3;
        let mut all = vec![ShardCapacity {
            load_capacity: Some(capacity.max(1)),
            ..ShardCapacity::new("source".parse()?, ByteCount(bytes * 10 / 9), ByteCount(bytes / 9))
        }];
        for number in 1..shards {
            // All targets together bear about half as much again as the source.
            all.push(target(number, capacity * 2 / (shards.max(2) as u64 - 1), room, &mut dice)?);
        }
        Ok(Problem { source: "source".parse()?, nodes: inventory, shards: all, options: PlanOptions::default() })
    }

    fn node(self, number: usize, nodes: usize, dice: &mut Dice) -> Result<NodeLoad, NameError> {
        let customers = (nodes / 20).max(1) as u64;
        let customer = match self {
            Self::Correlated => dice.tail(customers.min(1 << 20)) % customers,
            _ => dice.below(customers),
        };
        let name = format!("c{customer}/n{number}").parse()?;
        let (bytes, intensity) = self.size(dice);
        let hours = self.week(customer, intensity, dice);
        let load = LoadProfile::of_hours(&hours).unwrap_or_default();
        Ok(NodeLoad {
            objects: bytes / (4 << 20) + 10,
            snapshots: 20,
            last_snapshot: UnixMillis(1_700_000_000_000 - dice.below(30) * 86_400_000),
            growth_bytes_per_day: i64::try_from(bytes / 1000).unwrap_or(0),
            sessions_per_week: u32::try_from(dice.below(8)).unwrap_or(0),
            load,
            ..NodeLoad::new(name, ByteCount(bytes))
        })
    }

    /// Bytes, and load of its busiest hour.
    fn size(self, dice: &mut Dice) -> (u64, u64) {
        match self {
            Self::HeavyTailed => {
                let tail = dice.tail(1 << 12);
                // Load grows by a factor of about 1.4 where the size doubles.
                let root = (1..=64_u64).find(|root| root * root >= tail).unwrap_or(64);
                (GIB / 4 * tail * (2 + dice.below(6)), 400 * root + dice.below(800 * root))
            }
            Self::FewGiants if dice.below(100) == 0 => (GIB * (200 + dice.below(800)), 40_000 + dice.below(40_000)),
            Self::FewGiants => (GIB * (1 + dice.below(8)), 200 + dice.below(800)),
            Self::ManySmall => (GIB / 8 * (4 + dice.below(8)), 500 + dice.below(500)),
            Self::DailyPeaks | Self::WeeklyFull | Self::Correlated => {
                let tail = dice.tail(64);
                (GIB * tail * (1 + dice.below(8)), 300 * tail + dice.below(2000))
            }
        }
    }

    fn week(self, customer: u64, intensity: u64, dice: &mut Dice) -> [u64; HOURS] {
        // Most start in the night: two dice around 02:00.
        let night = |dice: &mut Dice| (20 + dice.below(7) + dice.below(7)) % 24;
        let start = match self {
            // The customer's own hour, the same for all its nodes.
            Self::Correlated => night(&mut Dice::new(customer.wrapping_mul(0x9e37_79b9))),
            Self::ManySmall => dice.below(24),
            _ => night(dice),
        };
        let full = dice.below(7);
        let lasts = 1 + dice.below(4);
        let mut hours = [0; HOURS];
        for day in 0..7_u64 {
            let share = match self {
                Self::WeeklyFull if day == full || (day >= 5 && full < 5) => 100,
                Self::WeeklyFull => 12,
                _ => 70 + dice.below(31),
            };
            for hour in 0..lasts {
                let at = (day * 24 + start + hour) % HOURS as u64;
                hours[at as usize] += intensity * share / 100 * (4 - hour) / 4;
            }
            for hour in 0..24 {
                hours[(day * 24 + hour) as usize] += intensity / 40;
            }
        }
        hours
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A target that bears between half of `most` and all of it, and has 5 to 40 % of it from others.
fn target(number: usize, most: u64, room: u64, dice: &mut Dice) -> Result<ShardCapacity, NameError> {
    let capacity = most * (50 + dice.below(51)) / 100;
    let (base, busy) = (5 + dice.below(15), dice.below(24));
    let mut hours = [0; HOURS];
    for (hour, load) in hours.iter_mut().enumerate() {
        let from_busy = (hour as u64 % 24).abs_diff(busy).min(24 - (hour as u64 % 24).abs_diff(busy));
        *load = capacity * (base + 20_u64.saturating_sub(from_busy * 4)) / 100;
    }
    let free = room * (60 + dice.below(41)) / 100;
    Ok(ShardCapacity {
        load_capacity: Some(capacity.max(1)),
        load: LoadProfile::of_hours(&hours).unwrap_or_default(),
        ..ShardCapacity::new(format!("shard-{number:03}").parse()?, ByteCount(room), ByteCount(free))
    })
}

/// A small generator of numbers (SplitMix64): enough for inventories, not for secrets.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The sequence of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.roll()) * u128::from(end);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// 1 to `end`, half as often for each doubling.
    pub fn tail(&mut self, end: u64) -> u64 {
        let doublings = self.roll().trailing_zeros().min(40);
        ((1 << doublings) + self.below(1 << doublings)).clamp(1, end.max(1))
    }
}
