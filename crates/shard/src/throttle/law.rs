//! What is left for replication and deep verify, in bytes per second. Pure: time and everything that was measured are arguments.
//!
//! Four times a second, from how long the shard takes for its clients now ([`super::latency`]) against how long it usually takes:
//! - nobody is served: no limit, at once;
//! - clients notice: more than [`BUDGET`] of their requests are slow, by more than chance explains, or half of those for one
//!   operation take [`HALF_NOTICED`] times as long as usual: the rate is cut, at most to half, and then stays for [`SETTLE`], in
//!   which what was begun before the cut ends;
//! - they do not, and all that was allowed was used: it rises, quickly up to where it was cut last, slowly beyond;
//! - nobody knows what is usual: the floor, until that is learned;
//! - the floor is reached: what is measured there is usual, so that clients that are slow by themselves do not hold up a move for ever.
//!
//! A share of slow requests against a budget is how Google's *Site Reliability Workbook* tells a breach from noise: a quantile of a
//! few seconds is one request's luck. Cutting by how far the budget is passed is the gradient of Netflix' concurrency-limits and,
//! before it, of TCP Vegas; raising slowly and cutting fast is the additive increase and multiplicative decrease that lets many shards
//! share one disk or line fairly. docs/clients-first.md has the reasons. The rate is between floor and ceiling at all times, so nothing
//! starves; and the floor is never below what clients store at nodes that leave, so every move ends.

use super::evidence::Evidence;
use super::latency::{Counted, FELT, Operation, OperationSeen, USUAL_REQUESTS_MIN};
use super::limits::{Cap, Limits};
use super::reason::{Reason, Strain};
use std::time::Duration;
use tokio::time::Instant;

/// Between two steps.
pub(crate) const STEP: Duration = Duration::from_millis(250);

/// So many of all requests may be slow: with it the p99 is at most [`super::latency::NOTICED`] times the usual one.
pub(super) const BUDGET: f64 = 0.01;

/// From this multiple of the usual on clients notice that an operation takes longer, every time;
const HALF_NOTICED: f64 = 1.5;

/// and up to this one they are served as usual.
const HALF_AS_USUAL: f64 = 1.25;

/// From so many requests of a moment on their median says something.
const REQUESTS_MIN: f64 = 8.0;

/// From so many usual requests on the slowest hundredth of them is known as well as it ever will be.
const USUAL_REQUESTS_ENOUGH: f64 = 200.0;

/// After a cut the rate stays for so long.
const SETTLE: Duration = Duration::from_millis(1500);

/// A request in the shard's hands that is not answered for so long, and for so many times the usual, is noticed before it ends.
const STALLED: Duration = Duration::from_millis(500);
const STALLED_TIMES: u32 = 4;

/// The floor is kept for so long at most to learn what is usual.
const LEARN: Duration = Duration::from_secs(5);

/// How fast it rises in one step: up to where it was cut last, for [`NEAR`] beyond, and then.
const QUICKLY: f64 = 1.19;
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
    /// Since the last step, by [`Operation::ALL`].
    pub(crate) counted: [Counted; Operation::ALL.len()],
    /// Bytes per second that have to be moved for a move to end.
    pub(crate) keep_up: u64,
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
    /// What clients felt of the present rate.
    evidence: Evidence,
    /// Since when the floor is kept to learn.
    learning: Option<Instant>,
    /// Clients were there at the last step.
    served: bool,
    held: Option<Reason>,
}

impl Default for Law {
    fn default() -> Self {
        let (rate, cut_at) = (BEGIN as f64, CEILING as f64);
        let evidence = Evidence::default();
        Self { rate, cut_at, settled_at: None, evidence, learning: None, served: false, held: None }
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
        let floor = limits.floor.max(sample.keep_up).min(CEILING) as f64;
        if !self.served {
            // What was moved without clients says nothing about what they bear: it goes on where it was with them.
            self.served = true;
            self.settled_at = Some(now + SETTLE);
            self.evidence = Evidence::default();
        }
        if self.is_settled(now) {
            self.evidence.add(now, &sample.counted);
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
        let at_floor = self.rate <= floor && self.is_settled(now);
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
        let enough = known.iter().any(|seen| seen.usual.requests >= USUAL_REQUESTS_ENOUGH);
        let goes_on = !enough && now.saturating_duration_since(since) < LEARN;
        if !goes_on && !known.is_empty() {
            self.learning = None;
        }
        goes_on
    }

    fn is_settled(&self, now: Instant) -> bool {
        self.settled_at.is_none_or(|at| now >= at)
    }

    fn judge(&mut self, now: Instant, floor: f64, known: &[&OperationSeen], sample: &Sample) -> Reason {
        let settled = self.is_settled(now);
        let may_cut = settled && self.rate > floor && (sample.short || sample.moved >= NEXT_TO_NOTHING);
        let usual = known.iter().map(|seen| seen.usual.p99).max().unwrap_or(FELT);
        if sample.silent > STALLED.max(usual * STALLED_TIMES) {
            return self.cut(now, may_cut, 0.5, Reason::Stalled(sample.silent), sample);
        }
        let half = known.iter().map(|seen| median(seen)).max_by(|a, b| a.ratio().total_cmp(&b.ratio()));
        if let Some(half) = half.filter(|half| half.ratio() > HALF_NOTICED) {
            let gradient = (1.0 / half.ratio()).clamp(0.5, 0.9);
            return self.cut(now, may_cut, gradient, Reason::Held(half), sample);
        }
        if let Some((slow, gradient)) = self.evidence.breach(known) {
            return self.cut(now, may_cut, gradient, Reason::Slow(slow), sample);
        }
        let as_usual = half.is_none_or(|half| half.ratio() <= HALF_AS_USUAL) && self.evidence.is_within();
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
            self.evidence = Evidence::default();
        }
        self.held = Some(reason.clone());
        reason
    }
}

fn is_known(seen: &OperationSeen) -> bool {
    seen.now.requests >= REQUESTS_MIN && seen.usual.requests >= USUAL_REQUESTS_MIN
}

fn median(seen: &OperationSeen) -> Strain {
    let (now, usual) = (seen.now.p50.max(FELT), seen.usual.p50.max(FELT));
    Strain { operation: seen.operation, now, usual }
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
