//! The state machines against simulated shards and routers: messages are delayed, doubled, dropped and reordered, answers
//! fail, fences are lost, shards are gone for good, operators act at random, controllers restart in the middle of it. At
//! every event all checkers run, at every step the shards are asked who takes writes; in the end, with faults over, every
//! batch must end.

mod mutants;
mod operators;
mod shards;

use crate::fixture::Bench;
use crate::{BatchPhase, Effect, Event, Input, OnAlert, Outcome, SoakPolicy, Stage, Verdict, When};
use proptest::prelude::*;
use shardlift_model::{BatchId, NodeId, UnixMillis};
use shardlift_planner::PlanBatch;
use shards::{Request, Shards};

/// Most messages under way.
const MESSAGES_MAX: usize = 12;

/// Splitmix64: a run follows from its seed.
pub(crate) struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % (bound.max(1) as u64)).unwrap()
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        let at = self.below(from.len());
        from.get(at)
    }
}

/// What a batch waits for and what its soak must show, at random.
fn policy(dice: &mut Dice, batch: &mut PlanBatch) {
    batch.when = *dice.pick(&When::ALL).unwrap();
    batch.force_after_ms = (batch.when == When::Idle && dice.chance(50)).then_some(5000);
    if batch.when == When::Window || dice.chance(20) {
        // The clock begins at 00:16:40: one lasts, the other one begins soon.
        let windows = ["23:00-12:00", "00:17-24:00"];
        batch.windows = vec![dice.pick(&windows).unwrap().parse().unwrap()];
    }
    let on_alert = *dice.pick(&OnAlert::ALL).unwrap();
    batch.soak = SoakPolicy { min_ms: dice.roll() % 3000, backup: dice.chance(50), verify: dice.chance(50), on_alert };
}

struct Simulation {
    bench: Bench,
    shards: Shards,
    dice: Dice,
    requests: Vec<Request>,
    /// All that was ever sent: any of it may arrive once more, much later.
    archive: Vec<Request>,
    answers: Vec<Input>,
    faults: bool,
    /// How many events there were when the faults ended.
    calm_since: usize,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let names = ["n1", "n2", "n3", "n4", "n5", "n6"];
        let nodes = &names[..=dice.below(6)];
        let batches = (dice.below(3) + 1).min(nodes.len());
        let chunk = nodes.len().div_ceil(batches);
        let labels = ["one", "two", "three"];
        let free = dice.chance(30);
        let afters: [&[&str]; 3] = if free { [&[], &[], &[]] } else { [&[], &["one"], &["two"]] };
        let planned: Vec<_> =
            nodes.chunks(chunk).enumerate().map(|(at, nodes)| (labels[at], afters[at], nodes)).collect();
        let mut bench = Bench::planned_with(&planned, |batch| policy(&mut dice, batch));
        if dice.chance(90) {
            bench.certify_all();
        }
        let shards = Shards::holding(bench.world.nodes.values());
        Self {
            bench,
            shards,
            dice,
            requests: Vec::new(),
            archive: Vec::new(),
            answers: Vec::new(),
            faults: true,
            calm_since: 0,
        }
    }

    fn step(&mut self) {
        self.bench.now = UnixMillis(self.bench.now.0 + self.dice.roll() % 100);
        for (percent, act) in [
            (80, Self::send as fn(&mut Self)),
            (80, Self::deliver),
            (80, Self::deliver),
            (80, Self::hear),
            (80, Self::hear),
            (if self.faults { 5 } else { 0 }, Self::arrive_late),
            (20, Self::write),
            (40, Self::end_writes),
            (20, |simulation| simulation.shards.follow()),
            (5, Self::disturb),
            (15, Self::operate),
        ] {
            if self.dice.chance(percent) {
                act(self);
                self.shards.check();
            }
        }
        self.input(Input::Tick);
    }

    /// Refusals are answers, too; what matters is that nothing illegal was recorded.
    fn input(&mut self, input: Input) {
        drop(self.bench.input(input));
        if self.bench.is_dead() {
            self.bench.restart();
        }
    }

    fn send(&mut self) {
        let effects = self.bench.effects();
        let Some(effect) = self.dice.pick(&effects).cloned() else { return };
        if self.requests.len() >= MESSAGES_MAX {
            self.requests.remove(0);
        }
        let request = self.request(effect);
        self.requests.push(request);
    }

    fn request(&self, effect: Effect) -> Request {
        match effect {
            Effect::SyncRouters { version } => {
                let routes = self.bench.world.routes();
                let table = routes.values().map(|to| (to.node.clone(), to.shard.clone(), to.sever)).collect();
                Request::Routes { version, table }
            }
            effect => Request::Effect(effect),
        }
    }

    fn deliver(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let at = self.dice.below(self.requests.len());
        let request = self.requests[at].clone();
        if !(self.faults && self.dice.chance(10)) {
            self.requests.remove(at);
        }
        if self.faults && self.dice.chance(10) {
            return;
        }
        self.archive.push(request.clone());
        let fail = self.faults && self.dice.chance(1);
        self.answers.extend(self.shards.handle(&request, fail));
        if self.answers.len() > MESSAGES_MAX {
            self.answers.remove(0);
        }
    }

    fn arrive_late(&mut self) {
        let Some(request) = self.dice.pick(&self.archive).cloned() else { return };
        self.answers.extend(self.shards.handle(&request, false));
    }

    fn hear(&mut self) {
        if self.answers.is_empty() {
            return;
        }
        let at = self.dice.below(self.answers.len());
        let answer = self.answers[at].clone();
        if !(self.faults && self.dice.chance(10)) {
            self.answers.remove(at);
        }
        if !(self.faults && self.dice.chance(10)) {
            self.input(answer);
        }
    }

    fn write(&mut self) {
        let nodes: Vec<NodeId> = self.bench.world.nodes.keys().cloned().collect();
        if let Some(node) = self.dice.pick(&nodes) {
            self.shards.begin_write(node);
        }
    }

    fn end_writes(&mut self) {
        if let Some(node) = self.any_node() {
            self.shards.end_writes(&node);
        }
    }

    fn disturb(&mut self) {
        match self.dice.below(8) {
            // It dies between two events, whichever they will be.
            0 => self.bench.dies_in = Some(self.dice.below(6) + 1),
            1 | 4 | 5 => self.shards.lose_a_fence(self.dice.roll()),
            6 | 7 if self.faults && self.dice.chance(20) => self.lose_a_writer(),
            2 if self.dice.chance(20) => self.bench.now = UnixMillis(self.bench.now.0 + 40_000),
            3 if self.dice.chance(50) => {
                let Some(node) = self.any_node() else { return };
                let token = self.bench.world.token(&self.bench.world.nodes[&node]);
                let damaged_at_source = self.dice.chance(50);
                let outcome = match self.dice.below(3) {
                    0 => Outcome::ReplicaFailed { reason: "broken".to_owned(), damaged_at_source },
                    1 => Outcome::FenceLost { reason: "the lease is over".to_owned() },
                    _ => Outcome::Refused { reason: "no".to_owned() },
                };
                self.input(Input::Answer { node, token, outcome });
            }
            _ => {}
        }
    }

    /// A target burns down that serves a node, is to, or was the last to.
    fn lose_a_writer(&mut self) {
        let Some(node) = self.any_node() else { return };
        let committed = self.bench.world.migration(&node).filter(|(_, moving)| {
            moving.begins_takeover() || (moving.takeover.is_none() && operators::is_back_at_its_source(moving))
        });
        if let Some(target) = committed.map(|(_, moving)| moving.target.clone()) {
            self.shards.lose(&node, &target);
        }
    }

    fn any_node(&mut self) -> Option<NodeId> {
        let nodes: Vec<NodeId> = self.bench.world.nodes.keys().cloned().collect();
        self.dice.pick(&nodes).cloned()
    }

    /// With no faults any more: everything sent arrives and is answered.
    fn settle(&mut self) {
        self.faults = false;
        self.calm_since = self.bench.journal.len();
        self.bench.restart();
        self.bench.certify_missing();
        for _ in 0..400 {
            let batches: Vec<BatchId> = self.bench.world.batches.keys().cloned().collect();
            for batch in batches {
                self.input(Input::ResumeBatch { batch: batch.clone() });
                if self.dice.chance(10) {
                    let force = self.dice.chance(50);
                    self.input(Input::ReleaseBatch { batch: batch.clone(), force });
                }
                self.give_up_behind_a_rollback(&batch);
                self.input(Input::StartBatch { batch });
            }
            let nodes: Vec<NodeId> = self.bench.world.nodes.keys().cloned().collect();
            for node in nodes {
                self.shards.end_writes(&node);
                self.give_up_what_is_gone(&node);
                self.input(Input::RetryNode { node, accept_damaged: true });
            }
            for effect in self.bench.effects() {
                let request = self.request(effect);
                for answer in self.shards.handle(&request, false) {
                    self.input(answer);
                }
                self.shards.check();
            }
            self.shards.follow();
            self.bench.now = UnixMillis(self.bench.now.0 + 200);
            self.input(Input::Tick);
            if self.is_settled() {
                return;
            }
        }
        panic!("batches do not end: {:?} {:?}", self.bench.stages(), self.bench.world.batches);
    }

    fn is_settled(&self) -> bool {
        let over = |phase: BatchPhase| phase == BatchPhase::Soaking || phase.is_over();
        let rests = |stage: &Stage| stage.is_over() || *stage == Stage::Soaking;
        self.bench.world.batches.values().all(|batch| over(batch.phase)) && self.bench.stages().values().all(rests)
    }
}

fn run(seed: u64, steps: usize) -> Simulation {
    let mut simulation = Simulation::new(seed);
    for _ in 0..steps {
        simulation.step();
    }
    simulation.settle();
    simulation
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mix_of_faults_keeps_the_invariants_and_every_batch_ends(seed in any::<u64>()) {
        run(seed, 600);
    }
}

/// Whether the last way back before this event was one without the writer.
fn was_taken_over(simulation: &Simulation, number: usize, node: &NodeId) -> bool {
    let before = simulation.bench.journal[..number].iter().rev();
    let mut ways = before.filter_map(|event| match event {
        Event::TakeoverStarted { node: of, .. } if of == node => Some(true),
        Event::RollbackStarted { node: of, .. } if of == node => Some(false),
        _ => None,
    });
    ways.next().unwrap()
}

#[test]
fn the_simulation_comes_to_every_stage_and_every_kind_of_end() {
    let mut stages = std::collections::BTreeSet::new();
    let mut ends = std::collections::BTreeSet::new();
    let mut seen: std::collections::BTreeMap<&str, u32> = std::collections::BTreeMap::new();
    for seed in 0..40 {
        let simulation = run(seed, 1000);
        for (number, event) in simulation.bench.journal.iter().enumerate() {
            let stormy = number < simulation.calm_since;
            let kind = match event {
                Event::StageEntered { stage, .. } => {
                    stages.insert(*stage);
                    continue;
                }
                Event::FenceLost { .. } => "fence lost",
                Event::MoveHeld { .. } => "held",
                Event::LeadershipTaken { .. } => "restart",
                Event::BatchCommitted { .. } if stormy => "committed",
                Event::RollbackStarted { rehearsal: true, .. } => "rehearsal",
                Event::RollbackStarted { .. } => "rollback",
                Event::RollbackCommitted { .. } if stormy => "rolled back",
                Event::RollbackUndone { .. } => "rollback undone",
                Event::TakeoverStarted { .. } if stormy => "given up",
                Event::TakeoverCommitted { .. } if stormy => "taken over",
                Event::WriterWrittenOff { node, .. } if was_taken_over(&simulation, number, node) => "written off",
                Event::WriterWrittenOff { .. } => "written off when all was back",
                Event::RestoreStarted { .. } => "restored",
                Event::SettingsChanged { .. } => "set",
                Event::SeedingAdvised { .. } => "advised",
                Event::VerdictReached { verdict: Verdict::Good, .. } => "good",
                Event::VerdictReached { .. } => "bad",
                Event::PlanApplied { plan, .. } if plan.revision > 1 => "planned again",
                _ => continue,
            };
            *seen.entry(kind).or_default() += 1;
        }
        ends.extend(simulation.bench.world.batches.values().map(|batch| batch.phase));
    }
    let decided = |stage: &Stage| {
        use Stage::{Planned, Promoting, Redirecting, Restoring, TakingStock};
        matches!(stage, Planned | Promoting | Restoring | TakingStock | Redirecting)
    };
    let missing: Vec<_> = Stage::ALL.into_iter().filter(|stage| !stages.contains(stage) && !decided(stage)).collect();
    assert!(missing.is_empty(), "never entered: {missing:?}");
    let wanted = [BatchPhase::Aborted, BatchPhase::Released, BatchPhase::RolledBack];
    assert!(wanted.iter().all(|phase| ends.contains(phase)), "{ends:?}");
    for (kind, least) in [
        ("fence lost", 20),
        ("held", 50),
        ("restart", 120),
        ("committed", 10),
        ("rehearsal", 5),
        ("rollback", 20),
        ("rolled back", 10),
        ("rollback undone", 10),
        ("restored", 3),
        ("given up", 10),
        ("taken over", 5),
        ("written off", 5),
        ("written off when all was back", 3),
        ("good", 20),
        ("bad", 5),
        ("planned again", 10),
        ("set", 10),
        ("advised", 10),
    ] {
        assert!(seen.get(kind).is_some_and(|count| *count >= least), "too tame: {kind}: {seen:?}");
    }
}
