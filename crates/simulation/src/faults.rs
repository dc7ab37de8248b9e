//! What goes wrong in a run and when, drawn from its seed before it begins. Most of it happens at a stage of somebody's move, or
//! a moment after it: that is where it hurts.

use crate::cluster::Order;
use crate::ground::{CONTROLLERS, NODES, ROUTER, SHARDS};
use crate::operator::{BATCHES, target_of};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use shardlift_migration::Stage;
use std::time::Duration;

/// Two hosts.
pub type Pair = (&'static str, &'static str);

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A part dies at once and comes back later.
    Crash(&'static str),
    /// Nothing passes between two parts.
    Partition(Pair),
    /// What the first sends to the second is lost: with a controller as the second, replies.
    OneWay(Pair),
    /// Nothing passes between two parts, and all of it arrives afterwards: clogged, or later than the next step.
    Hold(Pair),
    /// Another controller leads while the present one still runs, and what that one has sent arrives later.
    Takeover,
    /// All wall clocks are off by so many milliseconds; by a year and more, all certificates have ended.
    Skew(i64),
    /// A shard's disk is full: it comes back from a restart with no space.
    Full(usize),
    /// A bit of an object of a node changes on the source's disk.
    Rot(&'static str),
    /// The operator wants something.
    Order(Order),
}

/// When something happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// So long after the moving phase began.
    At(Duration),
    /// So long after a node has entered a stage for the `nth` time.
    Stage {
        /// Whose move.
        node: &'static str,
        /// Which stage.
        stage: Stage,
        /// Counted from one.
        nth: usize,
        /// How long after it was recorded.
        after: Duration,
    },
}

/// One thing, when and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// When.
    pub when: Moment,
    /// Until it is mended; no meaning for what cannot be.
    pub lasts: Duration,
    /// What.
    pub fault: Fault,
}

/// How long things go wrong.
pub const MOVING: Duration = Duration::from_secs(24);

/// Most faults of a plan.
const FAULTS_MAX: usize = 8;

/// An hour either way, and a time at which no certificate is good any more.
const SKEWS_MS: [i64; 3] = [3_600_000, -3_600_000, 800 * 86_400_000];

/// Stages that faults wait for, those of the cutover twice.
const STAGES: [Stage; 20] = [
    Stage::Offering,
    Stage::Copying,
    Stage::CatchingUp,
    Stage::Verifying,
    Stage::Fencing,
    Stage::Fencing,
    Stage::Completing,
    Stage::Completing,
    Stage::Sealing,
    Stage::Sealing,
    Stage::Sealed,
    Stage::Promoting,
    Stage::Promoting,
    Stage::Retiring,
    Stage::Retiring,
    Stage::Routing,
    Stage::Probing,
    Stage::Soaking,
    Stage::Detaching,
    Stage::Discarding,
];

struct Drawing {
    dice: StdRng,
}

impl Drawing {
    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.dice.random_range(0..all.len())]
    }

    fn node(&mut self) -> &'static str {
        self.of(&NODES).0
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.dice.random_range(range))
    }

    /// A link that somebody's move needs. The operator's own and the doctor's are never touched: they prove nothing.
    fn pair(&mut self, node: &'static str) -> Pair {
        let (source, target, controller) = (SHARDS[0], target_of(node), self.of(&CONTROLLERS));
        let client = NODES.into_iter().find(|(name, _)| *name == node).map_or(NODES[0].1, |(_, host)| host);
        let shard = if self.dice.random() { source } else { target };
        match self.dice.random_range(0..10) {
            0..3 => (controller, shard),
            3 => (controller, ROUTER),
            4..6 => (source, target),
            6..8 => (ROUTER, shard),
            _ => (client, ROUTER),
        }
    }

    fn turned(&mut self, node: &'static str) -> Pair {
        let (first, second) = self.pair(node);
        if self.dice.random() { (first, second) } else { (second, first) }
    }

    fn host(&mut self, node: &'static str) -> &'static str {
        let all = [SHARDS[0], SHARDS[0], target_of(node), target_of(node), ROUTER, CONTROLLERS[0], CONTROLLERS[1]];
        self.of(&all)
    }

    fn moment(&mut self, node: &'static str) -> Moment {
        if self.dice.random_ratio(1, 5) {
            return Moment::At(self.millis(0..18_000));
        }
        let nth = if self.dice.random_ratio(1, 3) { 2 } else { 1 };
        let after = if self.dice.random() { Duration::ZERO } else { self.millis(10..400) };
        Moment::Stage { node, stage: self.of(&STAGES), nth, after }
    }

    fn fault(&mut self) -> Planned {
        let node = self.node();
        let (lasts, fault) = match self.dice.random_range(0..100) {
            0..30 => (self.millis(50..6000), Fault::Crash(self.host(node))),
            30..44 => (self.millis(300..10_000), Fault::Partition(self.pair(node))),
            44..58 => (self.millis(300..10_000), Fault::OneWay(self.turned(node))),
            58..76 => (self.millis(300..12_000), Fault::Hold(self.pair(node))),
            76..88 => (self.millis(0..10_000), Fault::Takeover),
            88..93 => {
                let skew = self.of(&SKEWS_MS);
                (self.millis(1000..20_000), Fault::Skew(skew))
            }
            93..96 => (self.millis(2000..12_000), Fault::Full(self.dice.random_range(1..SHARDS.len()))),
            _ => (Duration::ZERO, Fault::Rot(node)),
        };
        Planned { when: self.moment(node), lasts, fault }
    }

    /// A way back is mostly wanted when there is something to go back from.
    fn wish(&mut self) -> Planned {
        let node = self.node();
        let (batch, _, _) = self.of(&BATCHES);
        let (order, stage) = match self.dice.random_range(0..7) {
            6 => (Order::Rehearse(batch), Stage::Soaking),
            0 => (Order::Abort(node), self.of(&STAGES)),
            1 => (Order::RollBack(node), self.of(&STAGES)),
            2 | 3 => (Order::RollBack(node), Stage::Soaking),
            _ => (Order::RollBackBatch(batch), Stage::Soaking),
        };
        let after = self.millis(0..1500);
        Planned {
            when: Moment::Stage { node, stage, nth: 1, after },
            lasts: Duration::ZERO,
            fault: Fault::Order(order),
        }
    }
}

/// The plan of a seed.
#[must_use]
pub fn plan(seed: u64) -> Vec<Planned> {
    let mut drawing = Drawing { dice: StdRng::seed_from_u64(seed) };
    let mut planned = Vec::new();
    for (batch, _, _) in BATCHES {
        let when = Moment::At(drawing.millis(0..3000));
        planned.push(Planned { when, lasts: Duration::ZERO, fault: Fault::Order(Order::Start(batch)) });
    }
    for _fault in 0..drawing.dice.random_range(0..=FAULTS_MAX) {
        planned.push(drawing.fault());
    }
    for _wish in 0..drawing.dice.random_range(0..3) {
        planned.push(drawing.wish());
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_plan_and_many_seeds_have_every_fault() {
        let mut words = std::collections::BTreeSet::new();
        for seed in 0..500 {
            let planned = plan(seed);
            assert_eq!(planned, plan(seed));
            for planned in planned {
                let text = format!("{:?}", planned.fault);
                words.insert(text.split(['(', ' ']).next().unwrap_or_default().to_owned());
            }
        }
        let all = ["Crash", "Full", "Hold", "OneWay", "Order", "Partition", "Rot", "Skew", "Takeover"];
        assert_eq!(words.into_iter().collect::<Vec<_>>(), all);
    }
}
