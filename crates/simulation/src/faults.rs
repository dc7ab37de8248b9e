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
    /// A part dies at once and comes back later; as often as not its host has lost its power.
    Crash(&'static str),
    /// A shard dies and does not come back while nodes move.
    Dead(&'static str),
    /// Nothing passes between two parts.
    Partition(Pair),
    /// What the first sends to the second is lost: with a controller as the second, replies.
    OneWay(Pair),
    /// Nothing passes between two parts, and all of it arrives afterwards: clogged, or later than the next step.
    Hold(Pair),
    /// Another controller leads while the present one still runs, and what that one has sent arrives later.
    Takeover,
    /// A host's wall clock is off by so many milliseconds; by years, all certificates have ended for it, or are not valid yet.
    Skew(&'static str, i64),
    /// The store fails the controller that leads.
    Store(StoreFault),
    /// A shard's disk is full: it comes back from a restart with no space.
    Full(usize),
    /// A bit of a pack of a node changes on the source's disk.
    Rot(&'static str),
    /// The operator wants something.
    Order(Order),
}

/// What is wrong with the store of the controller that leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// The next append is not taken.
    Refuses,
    /// The next append is taken, and the controller does not hear of it.
    AnswerLost,
    /// The next append is torn: it did not take place, and the controller does not know.
    Torn,
    /// No call arrives.
    OutOfReach,
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

/// An hour either way, and times at which no certificate is good any more, or not yet.
const SKEWS_MS: [i64; 4] = [3_600_000, -3_600_000, FAR_OFF_MS, -FAR_OFF_MS];

/// Longer than any certificate of a part or a node is valid.
pub const FAR_OFF_MS: i64 = 1200 * 86_400_000;

/// Stages that faults wait for, those of the cutover twice.
const STAGES: [Stage; 24] = [
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
    Stage::TakingStock,
    Stage::Redirecting,
    Stage::Releasing,
    Stage::Restoring,
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

    /// Also a client's.
    fn any_host(&mut self, node: &'static str) -> &'static str {
        let client = NODES.into_iter().find(|(name, _)| *name == node).map_or(NODES[0].1, |(_, host)| host);
        if self.dice.random_ratio(1, 4) { client } else { self.host(node) }
    }

    fn store_fault(&mut self) -> StoreFault {
        self.of(&[StoreFault::Refuses, StoreFault::AnswerLost, StoreFault::Torn, StoreFault::OutOfReach])
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
            0..27 => (self.millis(50..6000), Fault::Crash(self.host(node))),
            27..40 => (self.millis(300..10_000), Fault::Partition(self.pair(node))),
            40..53 => (self.millis(300..10_000), Fault::OneWay(self.turned(node))),
            53..70 => (self.millis(300..12_000), Fault::Hold(self.pair(node))),
            70..80 => (self.millis(0..10_000), Fault::Takeover),
            80..87 => {
                let (host, skew) = (self.any_host(node), self.of(&SKEWS_MS));
                (self.millis(1000..20_000), Fault::Skew(host, skew))
            }
            87..93 => (self.millis(500..8000), Fault::Store(self.store_fault())),
            93..96 => (self.millis(2000..12_000), Fault::Full(self.dice.random_range(1..SHARDS.len()))),
            _ => (Duration::ZERO, Fault::Rot(node)),
        };
        Planned { when: self.moment(node), lasts, fault }
    }

    /// A way back is mostly wanted when there is something to go back from.
    fn wish(&mut self) -> Planned {
        let node = self.node();
        let (batch, _, _) = self.of(&BATCHES);
        let (order, stage) = match self.dice.random_range(0..8) {
            7 => (Order::Release(batch), Stage::Soaking),
            6 => (Order::Rehearse(batch), Stage::Soaking),
            0 => (Order::Abort(node), self.of(&STAGES)),
            1 => (Order::RollBack(node), self.of(&STAGES)),
            2 | 3 => (Order::RollBack(node), Stage::Soaking),
            _ => (Order::RollBackBatch(batch), Stage::Soaking),
        };
        let after = self.millis(0..1500);
        at_stage(node, stage, after, Fault::Order(order))
    }

    /// A target dies for good, cut off from its follower before as often as not; a while later its nodes are given up.
    fn loss(&mut self) -> Vec<Planned> {
        let (_, target, nodes) = self.of(&BATCHES);
        let first = nodes[self.dice.random_range(0..nodes.len())];
        let mut planned = Vec::new();
        let mut after = self.millis(0..1500);
        if self.dice.random() {
            let lasts = self.millis(4000..8000);
            let cut = at_stage(first, Stage::Soaking, after, Fault::Partition((SHARDS[0], target)));
            planned.push(Planned { lasts, ..cut });
            after += self.millis(500..3000);
        }
        planned.push(Planned { lasts: MOVING, ..at_stage(first, Stage::Soaking, after, Fault::Dead(target)) });
        let given_up = if self.dice.random() { nodes.to_vec() } else { vec![first] };
        for node in given_up {
            after += self.millis(500..3000);
            planned.push(at_stage(first, Stage::Soaking, after, Fault::Order(Order::GiveUp(node))));
        }
        planned
    }

    /// A batch is released before its time, and a copy of it is wanted back.
    fn release(&mut self) -> Vec<Planned> {
        let (batch, _, nodes) = self.of(&BATCHES);
        let node = nodes[self.dice.random_range(0..nodes.len())];
        let released = Fault::Order(Order::Release(batch));
        let (soaked, aside) = (self.millis(0..1500), self.millis(0..1500));
        let mut planned = vec![at_stage(node, Stage::Soaking, soaked, released)];
        planned.push(at_stage(node, Stage::Released, aside, Fault::Order(Order::Restore(node))));
        if self.dice.random() {
            let back = self.millis(0..1500);
            planned.push(Planned {
                when: Moment::Stage { node, stage: Stage::Soaking, nth: 2, after: back },
                lasts: Duration::ZERO,
                fault: Fault::Order(Order::RollBack(node)),
            });
        }
        planned
    }
}

fn at_stage(node: &'static str, stage: Stage, after: Duration, fault: Fault) -> Planned {
    Planned { when: Moment::Stage { node, stage, nth: 1, after }, lasts: Duration::ZERO, fault }
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
    match drawing.dice.random_range(0..12) {
        0 => planned.extend(drawing.loss()),
        1 => planned.extend(drawing.release()),
        _ => {}
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
        let all = ["Crash", "Dead", "Full", "Hold", "OneWay", "Order", "Partition", "Rot", "Skew", "Store", "Takeover"];
        assert_eq!(words.into_iter().collect::<Vec<_>>(), all);
    }
}
