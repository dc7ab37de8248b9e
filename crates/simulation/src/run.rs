//! One run: hosts, time, faults as planned, and what came of it.

use crate::chronicle::Chronicle;
use crate::cluster::{Phase, Shared};
use crate::faults::{Fault, MOVING, Moment, Planned, plan};
use crate::ground::{CONTROLLERS, Ground, NODES, ROUTER, SHARDS};
use crate::machine::Virtual;
use crate::mutant::{self, Mutant};
use crate::story::{Line, Story};
use crate::{client, operator, parts};
use anyhow::Result;
use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use turmoil::Sim;

/// How much virtual time passes before the next host has its turn. Also what a message takes at least.
const TICK: Duration = Duration::from_millis(10);

/// What a message takes from host to host.
const LATENCY: Duration = Duration::from_millis(2);

/// Segments on their way in one direction of a connection.
const SEGMENTS_MAX: usize = 4096;

/// How long nothing must have happened for the moving phase to end early, and how long it lasts at least.
const QUIET: Duration = Duration::from_secs(3);
const QUIET_MIN: Duration = Duration::from_secs(8);

/// No run takes longer, in virtual time.
const TIME_MAX: Duration = Duration::from_secs(900);

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What should not have happened.
    pub violations: Vec<String>,
    /// Hash of the story.
    pub trace: String,
    /// The story.
    pub lines: Vec<Line>,
    /// Virtual time that passed.
    pub lasted: Duration,
}

struct World<'a> {
    sim: Sim<'a>,
    shared: Arc<Shared>,
    machine: Arc<Virtual>,
    leader: usize,
    /// What is planned and has not begun; what has begun and is to be mended, with the time for it.
    ahead: Vec<Planned>,
    chronicle: Chronicle,
    open: Vec<(Duration, Fault)>,
    began: Option<Duration>,
}

/// Runs a seed from beginning to end.
///
/// # Errors
/// When the machine itself fails: files, certificates.
pub fn run(seed: u64) -> Result<Report> {
    run_with(seed, plan(seed), None)
}

/// Runs a seed with something broken and nothing else that goes wrong.
///
/// # Errors
/// As [`run`].
pub fn run_mutant(seed: u64, mutant: Mutant) -> Result<Report> {
    run_with(seed, mutant.plan(seed), Some(mutant))
}

fn run_with(seed: u64, ahead: Vec<Planned>, mutant: Option<Mutant>) -> Result<Report> {
    let ground = Ground::here()?;
    let shared = Arc::new(Shared::new(mutant)?);
    let story = shared.story.clone();
    let machine = Virtual::new(seed, ground.epoch);
    let _installed = shardlift_net::install(machine.clone());
    let panics = panics();
    let sim = hosts(&ground, &shared, seed);
    let mut world = World {
        sim,
        shared,
        machine,
        leader: 0,
        ahead,
        chronicle: Chronicle::default(),
        open: Vec::new(),
        began: None,
    };
    world.go();
    let lasted = world.sim.elapsed();
    drop(world);
    for _panic in panics..self::panics() {
        story.violate("-", "a panic");
    }
    let (violations, trace, lines) = (story.violations(), story.trace(), story.lines());
    Ok(Report { seed, violations, trace, lines, lasted })
}

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// Panics of this thread so far, caught or not.
fn panics() -> u64 {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            before(info);
        }));
    });
    PANICS.get()
}

/// A part that ends says why and leaves its host dark.
async fn told(story: Story, name: &'static str, part: impl Future<Output = Result<()>>) -> turmoil::Result {
    story.tell(name, "starts");
    match part.await {
        Ok(()) => story.tell(name, "ended"),
        Err(error) => story.tell(name, format_args!("ended: {error:#}")),
    }
    Ok(())
}

fn hosts<'a>(ground: &Rc<Ground>, shared: &Arc<Shared>, seed: u64) -> Sim<'a> {
    let mut sim = turmoil::Builder::new()
        .tick_duration(TICK)
        .simulation_duration(TIME_MAX)
        .min_message_latency(LATENCY)
        .max_message_latency(LATENCY)
        .tcp_capacity(SEGMENTS_MAX)
        .rng_seed(seed)
        .build();
    for name in SHARDS {
        let (ground, shared) = (ground.clone(), shared.clone());
        sim.host(name, move || told(shared.story.clone(), name, parts::shard(ground.clone(), shared.clone(), name)));
    }
    for name in CONTROLLERS {
        let (ground, shared) = (ground.clone(), shared.clone());
        sim.host(name, move || {
            told(shared.story.clone(), name, parts::controller(ground.clone(), shared.clone(), name))
        });
    }
    let (ground_, shared_) = (ground.clone(), shared.clone());
    sim.host(ROUTER, move || told(shared_.story.clone(), ROUTER, parts::router(ground_.clone(), shared_.clone())));
    for (number, (node, host)) in NODES.into_iter().enumerate() {
        let own = seed.wrapping_mul(31).wrapping_add(number as u64);
        let client = client::run(ground.clone(), shared.clone(), (node, host), own);
        sim.client(host, async move { Ok(client.await?) });
    }
    let operator = operator::run(ground.clone(), shared.clone());
    sim.client("operator", async move { Ok(operator.await?) });
    sim
}

impl World<'_> {
    fn go(&mut self) {
        loop {
            self.shared.story.set_now(self.sim.elapsed());
            if let Err(error) = self.chronicle.read_on(&self.shared.store, &self.shared.story) {
                self.shared.story.violate("-", format_args!("the store holds something else than events: {error:#}"));
                return;
            }
            self.interfere();
            match self.sim.step() {
                Ok(false) => {}
                Ok(true) => return,
                Err(error) => {
                    self.shared.story.violate("-", format_args!("the run breaks off: {error}"));
                    return;
                }
            }
        }
    }

    /// Does what is planned for now, and mends what has lasted long enough.
    fn interfere(&mut self) {
        let now = self.sim.elapsed();
        if !self.shared.is_at(Phase::Moving) {
            return;
        }
        if self.began.is_none() && matches!(self.shared.mutant, Some(Mutant::OldDisk | Mutant::Resurrection)) {
            let folders = &self.shared.folders;
            self.broken(mutant::replace(&folders.data(SHARDS[0]), &folders.kept(SHARDS[0])));
        }
        let began = *self.began.get_or_insert(now);
        let is_due = |next: &Planned| self.chronicle.has_come(&next.when, began, now);
        let (due, ahead) = std::mem::take(&mut self.ahead).into_iter().partition(is_due);
        self.ahead = ahead;
        let due: Vec<Planned> = if self.shared.is_at(Phase::Healed) { Vec::new() } else { due };
        for next in due {
            self.shared.story.tell("-", format_args!("{:?} for {:?}", next.fault, next.lasts));
            self.begin(&next.fault);
            self.open.push((now + next.lasts, next.fault));
        }
        let (due, open) = std::mem::take(&mut self.open).into_iter().partition(|(until, _)| *until <= now);
        self.open = open;
        for (_, fault) in due {
            self.mend(&fault);
        }
        if !self.shared.is_at(Phase::Healed) && (now >= began + MOVING || self.is_quiet(began, now)) {
            self.heal();
        }
        if self.shared.is_at(Phase::Healed) {
            self.keep_running();
        }
    }

    /// Nothing is wrong, nothing more is planned for a time to come, and nobody's move has gone on for a while.
    fn is_quiet(&self, began: Duration, now: Duration) -> bool {
        let timed = self.ahead.iter().any(|planned| matches!(planned.when, Moment::At(_)));
        self.open.is_empty() && !timed && now >= began + QUIET_MIN && now >= self.chronicle.told + QUIET
    }

    fn begin(&mut self, fault: &Fault) {
        match fault {
            Fault::Crash(host) => self.sim.crash(*host),
            Fault::Partition((one, other)) => self.sim.partition(*one, *other),
            Fault::OneWay((from, to)) => self.sim.partition_oneway(*from, *to),
            Fault::Hold((one, other)) => self.sim.hold(*one, *other),
            Fault::Takeover => {
                for part in SHARDS {
                    self.sim.hold(CONTROLLERS[self.leader], part);
                }
                self.leader = 1 - self.leader;
                self.shared.call(self.leader);
                self.sim.bounce(CONTROLLERS[self.leader]);
            }
            Fault::Skew(milliseconds) => self.machine.set_skew(*milliseconds),
            Fault::Full(shard) => {
                self.shared.set_full(*shard, true);
                self.sim.bounce(SHARDS[*shard]);
            }
            Fault::Rot(node) => self.shared.rot(node),
            Fault::Order(order) => self.shared.order(order.clone()),
        }
    }

    fn mend(&mut self, fault: &Fault) {
        match fault {
            Fault::Crash(host) => {
                self.damage(host);
                if !self.sim.is_host_running(*host) && !self.is_dark(host) {
                    self.sim.bounce(*host);
                }
            }
            Fault::Partition((one, other)) => self.sim.repair(*one, *other),
            Fault::OneWay((from, to)) => self.sim.repair_oneway(*from, *to),
            Fault::Hold((one, other)) => self.sim.release(*one, *other),
            Fault::Skew(_) => self.machine.set_skew(0),
            Fault::Full(shard) => {
                self.shared.set_full(*shard, false);
                self.sim.bounce(SHARDS[*shard]);
            }
            Fault::Takeover => {
                for (controller, part) in CONTROLLERS.iter().flat_map(|one| SHARDS.map(|part| (*one, part))) {
                    self.sim.release(controller, part);
                }
            }
            Fault::Rot(_) | Fault::Order(_) => return,
        }
        self.shared.story.tell("-", format_args!("{fault:?} is over"));
    }

    /// Mends everything.
    fn heal(&mut self) {
        for (_, fault) in std::mem::take(&mut self.open) {
            self.mend(&fault);
        }
        self.shared.go_on_to(Phase::Healed);
    }

    /// Starts again what has ended, as whatever watches over processes does.
    fn keep_running(&mut self) {
        for host in SHARDS.into_iter().chain([ROUTER, CONTROLLERS[self.leader]]) {
            if !self.sim.is_host_running(host) && !self.is_dark(host) {
                self.sim.bounce(host);
            }
        }
    }

    fn is_dark(&self, host: &str) -> bool {
        self.shared.mutant == Some(Mutant::Dark) && host != ROUTER && host != CONTROLLERS[0]
    }

    /// What a mutant does to the disk of a part that has died.
    fn damage(&self, host: &str) {
        let folders = &self.shared.folders;
        let (data, kept) = (folders.data(host), folders.kept(host));
        match self.shared.mutant {
            Some(Mutant::OldDisk) => self.broken(mutant::replace(&kept, &data)),
            Some(Mutant::LostObject) => self.broken(mutant::lose(&data.join(NODES[0].0))),
            Some(Mutant::Resurrection) => self.broken(mutant::bring_back(&kept, &data)),
            _ => {}
        }
    }

    fn broken(&self, done: Result<()>) {
        if let Err(error) = done {
            self.shared.story.tell("-", format_args!("the mutant itself failed: {error:#}"));
        }
    }
}
