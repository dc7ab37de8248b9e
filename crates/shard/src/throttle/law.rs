//! What is left for replication and deep verify, in bytes per second. Pure: time and everything that was measured are arguments.
//!
//! Four times a second, from how long the shard takes for its clients now ([`super::latency`]) against how long it usually takes:
//! - nobody is served: no limit, at once;
//! - clients notice (a quantile is over [`NOTICED`] times the usual one): the rate is multiplied with usual / now, at most halved,
//!   and then stays for [`SETTLE`], in which the figures take in what the cut has changed;
//! - they do not, and all that was allowed was used: it rises, quickly up to where it was cut last, slowly beyond;
//! - nobody knows what is usual: the floor, until that is learned;
//! - the floor is reached: what is measured there is usual, so that clients that are slow by themselves do not hold up a move for ever.
//!
//! Cutting in proportion to usual / now is the gradient of Netflix' concurrency-limits and, before it, of TCP Vegas; raising slowly
//! and cutting fast is the additive increase and multiplicative decrease that lets many shards share one disk or line fairly.
//! docs/clients-first.md has the reasons. The rate is between floor and ceiling at all times, so nothing starves.

use super::latency::OperationSeen;
use super::limits::{Cap, Limits};
use super::reason::{Reason, Strain};
use std::time::Duration;
use tokio::time::Instant;

/// Between two steps.
pub(crate) const STEP: Duration = Duration::from_millis(250);

/// From this multiple of the usual on clients notice.
const NOTICED: f64 = 1.25;

/// Up to this multiple they are served as usual.
const AS_USUAL: f64 = 1.10;

/// What is faster than this is felt by nobody, whatever is usual.
const FELT: Duration = Duration::from_millis(4);

/// From so many requests of a moment on their median says something, and from so many usual ones what is usual;
const REQUESTS_MIN: f64 = 4.0;
const USUAL_REQUESTS_MIN: f64 = 8.0;

/// from so many on the slowest tenth says something, and from so many the slowest hundredth: below, it is the one slowest request.
const P90_REQUESTS_MIN: f64 = 40.0;
const P99_REQUESTS_MIN: f64 = 200.0;

/// After a cut the rate stays for so long.
const SETTLE: Duration = Duration::from_millis(1500);

/// A request in the shard's hands that is not answered for so long, and for so many times the usual, is noticed before it ends.
const STALLED: Duration = Duration::from_millis(500);
const STALLED_TIMES: u32 = 4;

/// The floor is kept for so long at most to learn what is usual.
const LEARN: Duration = Duration::from_secs(5);

/// How fast it rises in one step: up to where it was cut last, for [`NEAR`] beyond, and then.
const QUICKLY: f64 = 1.12;
const SLOWLY: f64 = 1.01;
const FASTER: f64 = 1.05;

/// So long after a cut what was too much then is too much still.
const NEAR: Duration = Duration::from_secs(5);

const SLOWLY_BYTES: f64 = 512.0 * 1024.0;

/// Who is slow while less than this is moved is so by himself.
const NEXT_TO_NOTHING: u64 = 1 << 20;

/// Where it begins when nothing is known.
const BEGIN: u64 = 64 << 20;

/// No disk and no network of a shard is faster.
pub(crate) const CEILING: u64 = 16 << 30;

/// What was measured since the last step.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Requests are in progress, or were a moment ago.
    pub(crate) clients: bool,
    /// For how long a request has been in the shard's hands while none was done.
    pub(crate) silent: Duration,
    pub(crate) operations: Vec<OperationSeen>,
    /// Somebody had to wait for the rate.
    pub(crate) short: bool,
    /// Bytes per second that were moved.
    pub(crate) moved: u64,
    /// A node changes hands.
    pub(crate) hurry: bool,
    pub(crate) cap: Option<Cap>,
}

/// A rate with its reason.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    /// Bytes per second; `None` without a limit.
    pub(crate) rate: Option<u64>,
    pub(crate) reason: Reason,
    /// What is served now counts as usual although something is moved.
    pub(crate) learns: bool,
}

/// The loop's memory.
#[derive(Debug)]
pub(crate) struct Law {
    rate: f64,
    /// Where it was cut last.
    cut_at: f64,
    settled_at: Option<Instant>,
    /// Since when the floor is kept to learn.
    learning: Option<Instant>,
    /// Clients were there at the last step.
    served: bool,
    held: Option<Reason>,
}

impl Default for Law {
    fn default() -> Self {
        let (rate, cut_at) = (BEGIN as f64, CEILING as f64);
        Self { rate, cut_at, settled_at: None, learning: None, served: false, held: None }
    }
}

impl Law {
    /// One step.
    pub(crate) fn step(&mut self, now: Instant, limits: &Limits, sample: &Sample) -> Verdict {
        if sample.hurry {
            return Verdict { rate: None, reason: Reason::Hurry, learns: false };
        }
        if !limits.clients_first || !sample.clients {
            let reason = if limits.clients_first { Reason::NoClients } else { Reason::Off };
            (self.served, self.learning, self.held) = (false, None, None);
            return capped(None, reason, sample.cap.as_ref(), false);
        }
        let floor = limits.floor.min(CEILING) as f64;
        if !self.served {
            // What was moved without clients says nothing about what they bear: it goes on where it was with them.
            self.served = true;
            self.settled_at = Some(now + SETTLE);
        }
        let known: Vec<&OperationSeen> = sample.operations.iter().filter(|seen| is_known(seen)).collect();
        if self.learns(now, &known, &sample.operations) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a floor is a number of bytes"
            )]
            return capped(Some(floor as u64), Reason::Learning, sample.cap.as_ref(), true);
        }
        let reason = self.judge(now, floor, &known, sample);
        self.rate = self.rate.clamp(floor, CEILING as f64);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between the floor and the ceiling"
        )]
        let verdict = capped(Some(self.rate as u64), reason, sample.cap.as_ref(), false);
        // Less is never moved: what is slow now is not so because of the move, and is what is usual at this hour.
        let at_floor = self.rate <= floor && self.settled_at.is_none_or(|at| now >= at);
        Verdict { learns: at_floor, ..verdict }
    }

    /// Whether the floor is kept to learn what is usual. Also after hours of a move, when what was usual has faded.
    fn learns(&mut self, now: Instant, known: &[&OperationSeen], all: &[OperationSeen]) -> bool {
        let is_new = |seen: &OperationSeen| seen.now.requests >= 1.0 && seen.usual.requests < USUAL_REQUESTS_MIN;
        let since = match self.learning {
            Some(since) => since,
            None if known.is_empty() && all.iter().any(is_new) => *self.learning.insert(now),
            None => return false,
        };
        let enough = known.iter().any(|seen| seen.usual.requests >= P99_REQUESTS_MIN);
        let goes_on = !enough && now.saturating_duration_since(since) < LEARN;
        if !goes_on && !known.is_empty() {
            self.learning = None;
        }
        goes_on
    }

    fn judge(&mut self, now: Instant, floor: f64, known: &[&OperationSeen], sample: &Sample) -> Reason {
        let settled = self.settled_at.is_none_or(|at| now >= at);
        let may_cut = settled && self.rate > floor && (sample.short || sample.moved >= NEXT_TO_NOTHING);
        let usual = known.iter().map(|seen| seen.usual.p99).max().unwrap_or(FELT);
        if sample.silent > STALLED.max(usual * STALLED_TIMES) {
            return self.cut(now, may_cut, 0.5, Reason::Stalled(sample.silent), sample);
        }
        let strain = known.iter().flat_map(|seen| strains(seen)).max_by(|a, b| a.ratio().total_cmp(&b.ratio()));
        if let Some(strain) = strain.filter(|strain| strain.ratio() > NOTICED) {
            let gradient = (1.0 / strain.ratio()).clamp(0.5, 0.9);
            return self.cut(now, may_cut, gradient, Reason::Held(strain), sample);
        }
        let as_usual = strain.is_none_or(|strain| strain.ratio() <= AS_USUAL);
        if !as_usual || !settled {
            return self.held.clone().unwrap_or(Reason::Enough);
        }
        self.held = None;
        if !sample.short {
            return Reason::Enough;
        }
        self.rate = self.risen(now).max(floor);
        Reason::Rising
    }

    fn risen(&self, now: Instant) -> f64 {
        if self.rate < self.cut_at * 0.9 {
            return self.rate * QUICKLY;
        }
        let is_near = self.settled_at.is_some_and(|at| now < at + NEAR);
        self.rate * if is_near { SLOWLY } else { FASTER } + SLOWLY_BYTES
    }

    /// From what is really moved, if that is less than what would have been allowed: a limit that nobody reaches protects nobody.
    fn cut(&mut self, now: Instant, may_cut: bool, factor: f64, reason: Reason, sample: &Sample) -> Reason {
        if may_cut {
            let used = if sample.short { self.rate } else { self.rate.min(sample.moved as f64 * 1.25) };
            self.cut_at = used;
            self.rate = used * factor;
            self.settled_at = Some(now + SETTLE);
        }
        self.held = Some(reason.clone());
        reason
    }
}

fn is_known(seen: &OperationSeen) -> bool {
    seen.now.requests >= REQUESTS_MIN && seen.usual.requests >= USUAL_REQUESTS_MIN
}

/// The quantiles that there are enough requests for.
fn strains(seen: &OperationSeen) -> impl Iterator<Item = Strain> {
    let requests = seen.now.requests.min(seen.usual.requests);
    let (operation, now, usual) = (seen.operation, seen.now, seen.usual);
    let quantiles = [
        (50, 0.0, now.p50, usual.p50),
        (90, P90_REQUESTS_MIN, now.p90, usual.p90),
        (99, P99_REQUESTS_MIN, now.p99, usual.p99),
    ];
    let told = quantiles.into_iter().filter(move |(_, least, ..)| requests >= *least);
    told.map(move |(percent, _, now, usual)| Strain { operation, percent, now: now.max(FELT), usual: usual.max(FELT) })
}

/// A cap that is lower holds, and is the reason.
fn capped(rate: Option<u64>, reason: Reason, cap: Option<&Cap>, learns: bool) -> Verdict {
    match cap.filter(|cap| rate.is_none_or(|rate| cap.rate < rate)) {
        Some(cap) => Verdict { rate: Some(cap.rate), reason: Reason::Cap(cap.why.clone()), learns },
        None => Verdict { rate, reason, learns },
    }
}

#[cfg(test)]
mod tests;
