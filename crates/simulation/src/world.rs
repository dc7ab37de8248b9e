//! What is done to the hosts while they run: time goes on, what the plan says happens, and is mended when it has lasted.

use crate::chronicle::Chronicle;
use crate::cluster::{Phase, Shared};
use crate::faults::{FAR_OFF_MS, Fault, MOVING, Moment, Planned, StoreFault};
use crate::ground::{CONTROLLERS, NODES, ROUTER, SHARDS};
use crate::machine::Virtual;
use crate::mutant::{self, Mutant};
use crate::tally::Sort;
use anyhow::Result;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use shardlift_store::faulty::{self as store, FaultPlan};
use std::sync::Arc;
use std::time::Duration;
use turmoil::Sim;

/// How long nothing must have happened for the moving phase to end early, and how long it lasts at least.
const QUIET: Duration = Duration::from_secs(3);
const QUIET_MIN: Duration = Duration::from_secs(8);

/// How long the other controller waits before it leads in place of one that has ended.
const SUCCESSION: Duration = Duration::from_secs(1);

/// Most changes of a disk before the power goes in the middle of them.
const FUSE_MAX: u64 = 24;

/// Sets the dice of a run apart from those of its plan.
const OWN_DICE: u64 = 0x5eed;

/// The hosts of one run, and what is still to be done to them.
pub(crate) struct World<'a> {
    sim: Sim<'a>,
    shared: Arc<Shared>,
    machine: Arc<Virtual>,
    dice: StdRng,
    leader: usize,
    /// Since when the leader has ended.
    leaderless: Option<Duration>,
    /// What is planned and has not begun; what has begun and is to be mended, with the time for it.
    ahead: Vec<Planned>,
    chronicle: Chronicle,
    open: Vec<(Duration, Fault)>,
    began: Option<Duration>,
}

impl<'a> World<'a> {
    pub(crate) fn new(
        sim: Sim<'a>,
        shared: Arc<Shared>,
        machine: Arc<Virtual>,
        ahead: Vec<Planned>,
        seed: u64,
    ) -> Self {
        let dice = StdRng::seed_from_u64(seed ^ OWN_DICE);
        let (chronicle, open) = (Chronicle::default(), Vec::new());
        Self { sim, shared, machine, dice, leader: 0, leaderless: None, ahead, chronicle, open, began: None }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    /// From the beginning to the end.
    pub(crate) fn go(&mut self) {
        loop {
            self.shared.story.set_now(self.sim.elapsed());
            if let Err(error) = self.chronicle.read_on(&self.shared) {
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
            self.damaged(mutant::replace(&folders.data(SHARDS[0]), &folders.kept(SHARDS[0])));
        }
        for host in SHARDS.into_iter().chain([ROUTER]) {
            if self.shared.disks.get(host).is_some_and(|disk| disk.is_dark()) {
                self.shared.tally.count(Sort::CutMidway);
                self.shared.story.tell("-", format_args!("{host} loses power in the middle of a change"));
                self.crash(host);
            }
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
        } else {
            self.find_leader(now);
        }
    }

    /// Nothing is wrong, nothing more is planned for a time to come, and nobody's move has gone on for a while.
    fn is_quiet(&self, began: Duration, now: Duration) -> bool {
        let timed = self.ahead.iter().any(|planned| matches!(planned.when, Moment::At(_)));
        self.open.is_empty() && !timed && now >= began + QUIET_MIN && now >= self.chronicle.told + QUIET
    }

    fn begin(&mut self, fault: &Fault) {
        match fault {
            // Mostly in the middle of what it does to its disk.
            Fault::Crash(host) => match self.shared.disks.get(host) {
                Some(disk) if self.shared.mutant.is_none() && self.dice.random_ratio(3, 4) => {
                    disk.set_fuse(Some(self.dice.random_range(0..FUSE_MAX)))
                }
                _ => drop(self.crash(host)),
            },
            Fault::Dead(shard) => {
                if self.crash(shard) {
                    self.shared.tally.count(Sort::Dead);
                }
                if self.shared.mutant == Some(Mutant::FollowerLoses) {
                    self.damaged(mutant::lose(&self.shared.folders.data(SHARDS[0]).join(NODES[0].0)));
                }
            }
            Fault::Partition((one, other)) => {
                self.shared.tally.count(Sort::Partition);
                self.sim.partition(*one, *other);
            }
            Fault::OneWay((from, to)) => {
                self.shared.tally.count(Sort::OneWay);
                self.sim.partition_oneway(*from, *to);
            }
            Fault::Hold((one, other)) => {
                self.shared.tally.count(Sort::Hold);
                self.sim.hold(*one, *other);
            }
            Fault::Takeover => {
                for part in SHARDS {
                    self.sim.hold(CONTROLLERS[self.leader], part);
                }
                self.succeed(Sort::Takeover);
            }
            Fault::Skew(host, milliseconds) => {
                let far = milliseconds.abs() >= FAR_OFF_MS;
                self.shared.tally.count(if far { Sort::ClockFarOff } else { Sort::ClockOff });
                self.machine.set_skew(host, *milliseconds);
            }
            Fault::Store(fault) => self.break_store(*fault),
            Fault::Full(shard) => {
                self.shared.set_full(*shard, true);
                if self.crash(SHARDS[*shard]) {
                    self.shared.tally.count(Sort::DiskFull);
                    self.sim.bounce(SHARDS[*shard]);
                }
            }
            Fault::Rot(node) => {
                let rotted = self.shared.rot(node, &mut self.dice);
                self.damaged(rotted);
            }
            Fault::Order(order) => self.shared.order(order.clone()),
        }
    }

    fn mend(&mut self, fault: &Fault) {
        match fault {
            Fault::Crash(host) | Fault::Dead(host) => {
                self.damage(host);
                if let Some(disk) = self.shared.disks.get(host) {
                    disk.set_fuse(None);
                }
                if !self.sim.is_host_running(*host) && !self.is_dark(host) {
                    self.sim.bounce(*host);
                }
            }
            Fault::Partition((one, other)) => self.sim.repair(*one, *other),
            Fault::OneWay((from, to)) => self.sim.repair_oneway(*from, *to),
            Fault::Hold((one, other)) => self.sim.release(*one, *other),
            Fault::Skew(host, _) => self.machine.set_skew(host, 0),
            // What waits for the next append is over with it.
            Fault::Store(StoreFault::Refuses | StoreFault::AnswerLost | StoreFault::Torn) => return,
            Fault::Store(StoreFault::OutOfReach) => {
                for handle in (0..CONTROLLERS.len()).filter_map(|controller| self.shared.handle(controller)) {
                    handle.set_plan(FaultPlan::none());
                }
            }
            Fault::Full(shard) => {
                self.shared.set_full(*shard, false);
                if self.sim.is_host_running(SHARDS[*shard]) {
                    self.crash(SHARDS[*shard]);
                    self.sim.bounce(SHARDS[*shard]);
                }
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

    /// A part dies; false when it was dead. More often than not its host loses its power, and with it what is not durable.
    fn crash(&mut self, host: &'static str) -> bool {
        let disk = self.shared.disks.get(host).cloned();
        let midway = disk.as_ref().is_some_and(|disk| disk.is_dark());
        // A part that has ended because its disk was gone has died of it all the same.
        if !midway && !self.sim.is_host_running(host) {
            return false;
        }
        self.shared.tally.count(Sort::Crash);
        if let Some(disk) = &disk {
            disk.power_off();
        }
        self.sim.crash(host);
        let Some(disk) = disk else { return true };
        let always = self.shared.mutant.is_some_and(|mutant| mutant.lie(host).is_some());
        if always || midway || self.dice.random_ratio(2, 3) {
            match disk.lose(&mut self.dice) {
                Ok(loss) => {
                    self.shared.tally.add(Sort::PowerCut, u64::from(loss.files + loss.names > 0));
                    self.shared.tally.add(Sort::TornFile, loss.files);
                    self.shared.tally.add(Sort::UndoneName, loss.names);
                    let what = format_args!("loses power: {} files torn, {} names undone", loss.files, loss.names);
                    self.shared.story.tell(host, what);
                }
                Err(error) => self.shared.story.violate(host, format_args!("its disk is not kept account of: {error}")),
            }
        }
        disk.power_on();
        true
    }

    fn break_store(&self, fault: StoreFault) {
        let plan = match fault {
            StoreFault::Refuses => FaultPlan::script([store::Fault::FailBefore]),
            StoreFault::AnswerLost => FaultPlan::script([store::Fault::FailAfter]),
            StoreFault::Torn => FaultPlan::script([store::Fault::Torn]),
            StoreFault::OutOfReach => FaultPlan::Unreachable,
        };
        if let Some(handle) = self.shared.handle(self.leader) {
            handle.set_plan(plan);
        }
    }

    /// The other controller leads.
    fn succeed(&mut self, sort: Sort) {
        self.shared.tally.count(sort);
        self.leaderless = None;
        self.leader = 1 - self.leader;
        self.shared.call(self.leader);
        self.sim.bounce(CONTROLLERS[self.leader]);
    }

    /// A controller that has ended by itself is replaced by the other; one that has crashed comes back.
    fn find_leader(&mut self, now: Duration) {
        let leader = CONTROLLERS[self.leader];
        let crashed = self.open.iter().any(|(_, fault)| *fault == Fault::Crash(leader));
        if crashed || self.sim.is_host_running(leader) {
            self.leaderless = None;
        } else if now >= *self.leaderless.get_or_insert(now) + SUCCESSION {
            self.shared.story.tell("-", format_args!("{leader} has ended; the other is called"));
            self.succeed(Sort::Succession);
        }
    }

    /// Mends everything.
    fn heal(&mut self) {
        for (_, fault) in std::mem::take(&mut self.open) {
            self.mend(&fault);
        }
        for handle in (0..CONTROLLERS.len()).filter_map(|controller| self.shared.handle(controller)) {
            handle.set_plan(FaultPlan::none());
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
            Some(Mutant::OldDisk) => self.damaged(mutant::replace(&kept, &data)),
            Some(Mutant::LostObject) => self.damaged(mutant::lose(&data.join(NODES[0].0))),
            Some(Mutant::Resurrection) => self.damaged(mutant::bring_back(&kept, &data)),
            _ => {}
        }
    }

    /// What could not be damaged is no fault of the parts, but the run shows less than it says.
    fn damaged(&self, done: Result<()>) {
        if let Err(error) = done {
            self.shared.story.violate("-", format_args!("the damage itself failed: {error:#}"));
        }
    }
}
