//! Clients first: replication and deep verify get what this shard's clients leave.
//!
//! The shard measures how long it takes for its clients ([`latency`]); a loop ([`law`]) makes of that, and of what an operator allows
//! ([`limits`], [`windows`]), a rate in bytes per second, which all work that is not a client's shares: what is sent to other shards,
//! what is written of what they send, and what is read again. It is shared fairly among the nodes ([`lanes`], [`turnstile`]). The
//! reason for the present rate is always there to be seen ([`reason`]).
//!
//! - Nothing starves: the rate is never below the floor unless an operator's cap is, and neither can be zero. Nor is it below what the
//!   clients of nodes that leave store ([`keep_up`]): a move that falls behind never ends.
//! - A node that changes hands is not held back, and neither is anything that could be in its way on the same connections and disks.
//! - Limits that were set while the shard runs are durable before they are in force ([`kept`]).
//!
//! There is no task behind this: the loop goes a step when bytes are asked for, when clients come or are served, and when somebody
//! looks.

mod change;
mod evidence;
mod keep_up;
mod kept;
mod lanes;
mod latency;
mod law;
mod limits;
mod reason;
mod served;
mod streams;
mod turnstile;
mod windows;

#[cfg(test)]
mod tests;

pub use change::{LimitsChange, SetLimitsError};
pub(crate) use latency::{Operation, OperationSeen};
pub use limits::{Limits, LimitsError};
pub(crate) use served::{Client, OwnTime};
pub(crate) use streams::Seat;
pub(crate) use turnstile::Turnstile;
pub use windows::{Windows, WindowsError};

use crate::engine::nodes::lock;
use crate::engine::{EngineError, now as wall_clock};
use keep_up::KeepUp;
use kept::{Kept, KeptFile};
use latency::{Beside, Latencies};
use law::{Law, STEP, Sample, Verdict};
use reason::Reason;
use shardlift_model::NodeId;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use streams::Streams;
use tokio::time::Instant;

/// Clients are there for so long after their last request.
const CLIENTS_STAY: Duration = Duration::from_secs(2);

/// A node changes hands for so long after the last sign of it.
const HURRY: Duration = Duration::from_secs(2);

/// Clients are undisturbed while less than this is moved in a second, and was for [`AFTERMATH`].
const NEXT_TO_NOTHING: u64 = 1 << 20;

/// What was moved is on its way to the disk for so long.
const AFTERMATH: Duration = Duration::from_secs(2);

/// Work that gives way to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// Sending a node's objects to another shard.
    Send,
    /// Writing objects that another shard sends.
    Write,
    /// Reading a copy again.
    Verify,
}

impl Work {
    pub(crate) const ALL: [Self; 3] = [Self::Send, Self::Write, Self::Verify];

    /// The word for it in metrics.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Send => "sent",
            Self::Write => "written",
            Self::Verify => "verified",
        }
    }
}

#[derive(Debug)]
struct State {
    kept: Kept,
    law: Law,
    latencies: Latencies,
    keep_up: KeepUp,
    verdict: Verdict,
    stepped: Option<Instant>,
    /// Since then: bytes, and whether somebody had to wait for them.
    moved: u64,
    short: bool,
    disturbed: Option<Instant>,
    clients: u64,
    client_seen: Option<Instant>,
    /// Parts of requests that the shard is at work on.
    in_hand: u64,
    /// Since when there are any, or one of them was done last.
    heard: Option<Instant>,
    hurry_until: Option<Instant>,
}

/// Lets work that is not a client's go on at the rate that clients leave.
#[derive(Debug)]
pub(crate) struct Throttle {
    configured: Limits,
    file: KeptFile,
    changing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    turnstile: Turnstile<(Work, NodeId)>,
    served: Arc<Streams>,
    pulled: Arc<Streams>,
    bytes: [AtomicU64; Work::ALL.len()],
    waits: AtomicU64,
}

/// How it stands.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) limits: Limits,
    /// Whether the limits are those of the configuration.
    pub(crate) is_configured: bool,
    pub(crate) revision: u64,
    /// Bytes per second; `None` without a limit.
    pub(crate) rate: Option<u64>,
    pub(crate) reason: String,
    /// One of [`Standing::WORDS`].
    pub(crate) word: &'static str,
    /// Takers that wait for their bytes.
    pub(crate) waiting: u64,
    /// How often somebody had to wait.
    pub(crate) waits: u64,
    /// By [`Work::ALL`].
    pub(crate) bytes: [u64; Work::ALL.len()],
    pub(crate) operations: Vec<latency::OperationSeen>,
}

impl Standing {
    /// All words for reasons.
    pub(crate) const WORDS: [&'static str; 11] = Reason::WORDS;
}

impl Throttle {
    /// With what was set last, or else as configured. Blocks on the disk.
    ///
    /// # Errors
    /// [`EngineError::State`] when what was set cannot be read.
    pub(crate) fn open(state_folder: &Path, configured: Limits) -> Result<Self, EngineError> {
        let file = KeptFile::new(state_folder);
        let kept = file.read()?;
        let state = State {
            kept,
            law: Law::default(),
            latencies: Latencies::default(),
            keep_up: KeepUp::default(),
            verdict: Verdict { rate: None, reason: Reason::NoClients, learns: false },
            stepped: None,
            moved: 0,
            short: false,
            disturbed: None,
            clients: 0,
            client_seen: None,
            in_hand: 0,
            heard: None,
            hurry_until: None,
        };
        let throttle = Self {
            configured,
            file,
            changing: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
            turnstile: Turnstile::new(None),
            served: Arc::default(),
            pulled: Arc::default(),
            bytes: Default::default(),
            waits: AtomicU64::new(0),
        };
        throttle.in_force();
        Ok(throttle)
    }

    /// Waits until so many bytes of a node may be moved.
    pub(crate) async fn take(&self, work: Work, node: &NodeId, bytes: u64) {
        self.step(false);
        let waited = self.turnstile.take((work, node.clone()), bytes).await;
        self.waits.fetch_add(waited.into(), Ordering::Relaxed);
        self.bytes[work as usize].fetch_add(bytes, Ordering::Relaxed);
        let mut state = lock(&self.state);
        if work == Work::Send {
            state.keep_up.sent(Instant::now(), node);
        }
        state.moved += bytes;
        state.short |= waited;
    }

    /// A node changes hands: for a moment nothing is held back.
    pub(crate) fn hurry(&self) {
        let was = lock(&self.state).hurry_until.replace(Instant::now() + HURRY);
        if was.is_none_or(|until| until < Instant::now()) {
            self.step(true);
        }
    }

    /// Waits for the seat of a transfer to another shard.
    pub(crate) async fn serve(&self) -> Seat {
        self.served.seat().await
    }

    /// Waits for the seat of a transfer from another shard.
    pub(crate) async fn pull(&self) -> Seat {
        self.pulled.seat().await
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> Standing {
        self.step(false);
        let now = Instant::now();
        let mut state = lock(&self.state);
        let (rate, reason) = (state.verdict.rate, &state.verdict.reason);
        Standing {
            limits: state.limits(&self.configured).clone(),
            is_configured: state.kept.limits.is_none(),
            revision: state.kept.revision,
            rate,
            reason: reason.sentence(rate),
            word: reason.word(),
            waiting: self.turnstile.waiting() as u64,
            waits: self.waits.load(Ordering::Relaxed),
            bytes: std::array::from_fn(|work| self.bytes[work].load(Ordering::Relaxed)),
            operations: state.latencies.seen(now).to_vec(),
        }
    }

    /// What was kept is in force from now on.
    fn in_force(&self) {
        let streams = lock(&self.state).limits(&self.configured).streams;
        self.served.limit(streams);
        self.pulled.limit(streams);
        self.step(true);
    }

    /// A step of the loop, when it is time for one.
    fn step(&self, at_once: bool) {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let since = state.stepped.map_or(STEP, |stepped| now.saturating_duration_since(stepped));
        if since < STEP && !at_once {
            return;
        }
        let before = state.verdict.rate;
        state.step(now, since, &self.configured);
        if state.verdict.rate != before {
            self.turnstile.set_rate(state.verdict.rate);
        }
    }
}

impl State {
    fn limits<'a>(&'a self, configured: &'a Limits) -> &'a Limits {
        self.kept.limits.as_ref().unwrap_or(configured)
    }

    fn has_clients(&self, now: Instant) -> bool {
        self.clients > 0 || self.client_seen.is_some_and(|seen| now.saturating_duration_since(seen) < CLIENTS_STAY)
    }

    fn step(&mut self, now: Instant, since: Duration, configured: &Limits) {
        let millis = u64::try_from(since.max(Duration::from_millis(1)).as_millis()).unwrap_or(u64::MAX);
        let moved = self.moved.saturating_mul(1000) / millis;
        if moved > NEXT_TO_NOTHING {
            self.disturbed = Some(now);
        }
        let silent = self.heard.filter(|_| self.in_hand > 0).map(|heard| now.saturating_duration_since(heard));
        let limits = self.limits(configured).clone();
        let sample = Sample {
            clients: self.has_clients(now),
            silent: silent.unwrap_or_default(),
            operations: self.latencies.seen(now).to_vec(),
            counted: self.latencies.take_counted(),
            keep_up: self.keep_up.step(now, since),
            short: self.short,
            moved,
            hurry: self.hurry_until.is_some_and(|until| now < until),
            cap: limits.cap_at(wall_clock()),
        };
        self.verdict = self.law.step(now, &limits, &sample);
        (self.stepped, self.moved, self.short) = (Some(now), 0, false);
    }

    fn beside(&self, now: Instant) -> Beside {
        let settled = self.disturbed.is_none_or(|at| now.saturating_duration_since(at) > AFTERMATH);
        if settled && self.moved < NEXT_TO_NOTHING {
            return Beside::Nothing;
        }
        if self.verdict.learns { Beside::Floor } else { Beside::Move }
    }
}
