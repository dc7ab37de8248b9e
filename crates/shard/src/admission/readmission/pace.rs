//! How many new sessions per second, and whose turn it is. Pure: time is an argument.
//!
//! A stage begins with the first client that comes for a node after its promotion, at the configured rate. Once a second the
//! rate is judged by what the shard did in it: twice the rate when clients had to wait and work was done well, half of it, though
//! never less than at the start, when it was not. Nobody waits for ever: the rate is never zero, turns are taken in the order
//! of arrival, and a stage has an end. Then there is no limit, and all who wait come in.
//!
//! Time in which nobody has to wait raises nothing: that the shard can serve few well says nothing about many.

use shardlift_model::UnixMillis;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Work that takes longer counts as slow.
pub(super) const WELL_TIME_MAX: Duration = Duration::from_secs(1);

/// Of so many pieces of work one may be slow.
const SLOW_ONE_IN: u64 = 20;

/// At a rate above this, everybody whom a listener takes is in within about a second.
pub(super) const RATE_MAX: u64 = 10_000;

/// After clients had to wait, so many seconds without one that has to are the end of the stage.
const CALM_SECONDS: u64 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// The credit that one session costs, so that credit is counted in millionths.
const UNIT: u64 = 1_000_000;

/// A promotion whose clients are let in in stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Promotion {
    /// When it was.
    pub(super) at: UnixMillis,
    /// For how much longer its clients are staged.
    pub(super) left: Duration,
}

/// What is said to a new session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    In,
    Wait,
}

/// How the work of a second was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    Well,
    Badly,
    /// Nothing to judge by.
    Unknown,
}

/// Counts of one second.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    let_in: u64,
    done: u64,
    slow: u64,
    /// Somebody had to wait.
    short: bool,
}

#[derive(Debug)]
struct Stage {
    /// The newest promotion that it is for.
    newest: UnixMillis,
    until: Instant,
    /// Sessions per second.
    rate: u64,
    credit: u64,
    credited: Instant,
    second: Second,
    second_ends: Instant,
    before: Second,
    /// Seconds since somebody had to wait; `None` before anybody had to.
    calm: Option<u64>,
}

/// The rate, and who waits for it: each with what is needed to call him in.
#[derive(Debug)]
pub(super) struct Pace<W> {
    /// The rate at the start. Zero: no limit ever.
    start: u64,
    stage: Option<Stage>,
    /// The newest promotion whose stage is over.
    settled: Option<UnixMillis>,
    waiting: BTreeMap<u64, W>,
    tickets: u64,
    /// Sessions let in while staged.
    let_in: u64,
}

impl<W> Pace<W> {
    pub(super) fn new(per_second: u32) -> Self {
        Self { start: per_second.into(), stage: None, settled: None, waiting: BTreeMap::new(), tickets: 0, let_in: 0 }
    }

    /// A new session for a node that was promoted here. On [`Decision::Wait`] it is to be [parked](Self::park).
    pub(super) fn ask(&mut self, now: Instant, promotion: Promotion) -> Decision {
        self.advance(now);
        if self.start == 0 || promotion.left.is_zero() {
            return Decision::In;
        }
        let until = now + promotion.left;
        match &mut self.stage {
            Some(stage) => {
                stage.newest = stage.newest.max(promotion.at);
                stage.until = stage.until.max(until);
            }
            None if self.settled.is_some_and(|settled| promotion.at <= settled) => return Decision::In,
            None => self.stage = Some(Stage::new(now, promotion.at, until, self.start)),
        }
        let first = self.waiting.is_empty();
        let Some(stage) = &mut self.stage else { return Decision::In };
        if first && stage.spend() {
            self.let_in += 1;
            return Decision::In;
        }
        stage.second.short = true;
        Decision::Wait
    }

    /// Puts somebody at the end of those who wait. Returns his ticket.
    pub(super) fn park(&mut self, waiting: W) -> u64 {
        self.tickets += 1;
        self.waiting.insert(self.tickets, waiting);
        self.tickets
    }

    /// Somebody waits no longer.
    pub(super) fn leave(&mut self, ticket: u64) {
        self.waiting.remove(&ticket);
    }

    /// Those whose turn it is, in order.
    pub(super) fn release(&mut self, now: Instant) -> Vec<W> {
        self.advance(now);
        let mut called = Vec::new();
        while !self.waiting.is_empty() && self.stage.as_mut().is_none_or(Stage::spend) {
            called.extend(self.waiting.pop_first().map(|(_, waiting)| waiting));
        }
        self.let_in += called.len() as u64;
        called
    }

    /// A piece of a request's work was done in this time.
    pub(super) fn done(&mut self, now: Instant, took: Duration) {
        self.advance(now);
        if let Some(stage) = &mut self.stage {
            stage.second.done += 1;
            stage.second.slow += u64::from(took > WELL_TIME_MAX);
        }
    }

    /// Sessions per second; `None` without a limit.
    pub(super) fn rate(&mut self, now: Instant) -> Option<u64> {
        self.advance(now);
        self.stage.as_ref().map(|stage| stage.rate)
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many were let in while staged.
    pub(super) const fn let_in(&self) -> u64 {
        self.let_in
    }

    fn advance(&mut self, now: Instant) {
        let Some(stage) = &mut self.stage else { return };
        stage.earn(now);
        if now >= stage.second_ends {
            stage.end_second(now, self.start, !self.waiting.is_empty());
        }
        let calm = stage.calm.is_some_and(|calm| calm >= CALM_SECONDS);
        if now >= stage.until || calm || stage.rate > RATE_MAX {
            self.settled = self.settled.max(Some(stage.newest));
            self.stage = None;
        }
    }
}

impl Stage {
    fn new(now: Instant, newest: UnixMillis, until: Instant, rate: u64) -> Self {
        Self {
            newest,
            until,
            rate,
            credit: UNIT,
            credited: now,
            second: Second::default(),
            second_ends: now + SECOND,
            before: Second::default(),
            calm: None,
        }
    }

    /// Credit for the time that has passed. What is saved up is worth a quarter of a second, so that calm is no way to a crowd.
    fn earn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.credited).min(SECOND);
        self.credited = self.credited.max(now);
        let earned = u64::try_from(passed.as_micros()).unwrap_or(UNIT) * self.rate;
        self.credit = (self.credit + earned).min((self.rate * UNIT / 4).max(UNIT));
    }

    const fn spend(&mut self) -> bool {
        let enough = self.credit >= UNIT;
        if enough {
            self.credit -= UNIT;
            self.second.let_in += 1;
        }
        enough
    }

    /// Judges the second that has passed, and sets the rate of the next. Seconds in which nothing was asked are passed over.
    fn end_second(&mut self, now: Instant, start: u64, crowded: bool) {
        let idle = now.saturating_duration_since(self.second_ends).as_secs();
        let short = self.second.short || crowded;
        self.rate = match self.judge() {
            Judgement::Well if short => self.rate * 2,
            Judgement::Badly => (self.rate / 2).max(start),
            Judgement::Well | Judgement::Unknown => self.rate,
        };
        self.calm = match self.calm {
            _ if crowded => Some(0),
            _ if short => Some(idle),
            calm => calm.map(|calm| calm + 1 + idle),
        };
        self.before = if idle == 0 { self.second } else { Second::default() };
        self.second = Second::default();
        self.second_ends += SECOND * u32::try_from(idle + 1).unwrap_or(u32::MAX);
    }

    fn judge(&self) -> Judgement {
        let Second { done, slow, .. } = self.second;
        // Those of the second before have had a second at least.
        let answered = done + self.before.done >= self.before.let_in;
        match () {
            () if !answered || slow * SLOW_ONE_IN > done => Judgement::Badly,
            () if done == 0 => Judgement::Unknown,
            () => Judgement::Well,
        }
    }
}
