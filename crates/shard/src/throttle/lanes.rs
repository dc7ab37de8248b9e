//! Who may have the next bytes of a rate: one lane for each node and kind of work, served in turn. Pure: time is an argument.
//!
//! A taker pays before it goes on. What was not used is saved up for [`BURST`] and no longer. Within a lane the order is that of
//! asking; among lanes each has its turn, so that one node with many transfers takes nothing from the others. The rate may change at
//! any time, for those who wait as well. Nobody waits for ever: the rate is never zero, and a lane is passed over by no other twice.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// So much of a rate may be used at once after a pause.
pub(super) const BURST: Duration = Duration::from_millis(250);

/// What is said to a taker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Go,
    Wait,
}

#[derive(Debug)]
struct Waiting<W> {
    ticket: u64,
    bytes: u64,
    waiter: W,
}

/// Takers of a rate; `L` names a lane.
#[derive(Debug)]
pub(super) struct Lanes<L, W> {
    /// Bytes per second; `None` without a limit.
    rate: Option<u64>,
    /// Bytes that may be taken.
    credit: f64,
    credited: Option<Instant>,
    lanes: BTreeMap<L, VecDeque<Waiting<W>>>,
    /// Lanes with somebody in them; the first has its turn.
    turns: VecDeque<L>,
    tickets: u64,
}

impl<L: Ord + Clone, W> Lanes<L, W> {
    pub(super) const fn new(rate: Option<u64>) -> Self {
        Self { rate, credit: 0.0, credited: None, lanes: BTreeMap::new(), turns: VecDeque::new(), tickets: 0 }
    }

    pub(super) fn set_rate(&mut self, now: Instant, rate: Option<u64>) {
        self.earn(now);
        self.rate = rate;
    }

    /// Whether so many bytes may go now. On [`Decision::Wait`] the taker is to be [parked](Self::park).
    pub(super) fn ask(&mut self, now: Instant, bytes: u64) -> Decision {
        self.earn(now);
        if self.rate.is_some() && (!self.turns.is_empty() || !self.pay(bytes)) {
            return Decision::Wait;
        }
        Decision::Go
    }

    /// Puts a taker at the end of its lane. Returns its ticket.
    pub(super) fn park(&mut self, lane: L, bytes: u64, waiter: W) -> u64 {
        self.tickets += 1;
        let waiting = Waiting { ticket: self.tickets, bytes, waiter };
        let queue = self.lanes.entry(lane.clone()).or_default();
        if queue.is_empty() {
            self.turns.push_back(lane);
        }
        queue.push_back(waiting);
        self.tickets
    }

    /// A taker waits no longer.
    pub(super) fn leave(&mut self, lane: &L, ticket: u64) {
        let Some(queue) = self.lanes.get_mut(lane) else { return };
        queue.retain(|waiting| waiting.ticket != ticket);
        if queue.is_empty() {
            self.lanes.remove(lane);
            self.turns.retain(|other| other != lane);
        }
    }

    /// Those who may go now, in turn.
    pub(super) fn release(&mut self, now: Instant) -> Vec<W> {
        self.earn(now);
        let mut released = Vec::new();
        while let Some(lane) = self.turns.front().cloned() {
            let Some(bytes) = self.lanes.get(&lane).and_then(VecDeque::front).map(|waiting| waiting.bytes) else {
                self.turns.pop_front();
                continue;
            };
            if self.rate.is_some() && !self.pay(bytes) {
                break;
            }
            self.turns.pop_front();
            let Some(queue) = self.lanes.get_mut(&lane) else { continue };
            released.extend(queue.pop_front().map(|waiting| waiting.waiter));
            if queue.is_empty() {
                self.lanes.remove(&lane);
            } else {
                self.turns.push_back(lane);
            }
        }
        released
    }

    /// How long the next one has to wait at the present rate; `None` when nobody does.
    pub(super) fn next_in(&self) -> Option<Duration> {
        let bytes = self.lanes.get(self.turns.front()?)?.front()?.bytes;
        let Some(rate) = self.rate else { return Some(Duration::ZERO) };
        let lacking = (bytes as f64 - self.credit).max(0.0);
        Some(Duration::from_secs_f64((lacking / rate as f64).min(3600.0)))
    }

    pub(super) fn waiting(&self) -> usize {
        self.lanes.values().map(VecDeque::len).sum()
    }

    fn pay(&mut self, bytes: u64) -> bool {
        // A millionth of a byte is the rounding of many small sums.
        let pays = self.credit + 1e-6 >= bytes as f64;
        self.credit -= if pays { bytes as f64 } else { 0.0 };
        pays
    }

    /// Credit for the time that has passed. Whoever waits saves up what he needs, however much that is; otherwise a burst is all.
    fn earn(&mut self, now: Instant) {
        let Some(rate) = self.rate else {
            self.credited = Some(now);
            return;
        };
        let burst = rate as f64 * BURST.as_secs_f64();
        let Some(credited) = self.credited.replace(now) else {
            self.credit = burst;
            return;
        };
        self.credited = Some(credited.max(now));
        let earned = rate as f64 * now.saturating_duration_since(credited).as_secs_f64();
        let head = self.turns.front().and_then(|lane| self.lanes.get(lane)?.front());
        let most = head.map_or(burst, |waiting| burst.max(waiting.bytes as f64));
        self.credit = (self.credit + earned).min(most.max(self.credit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    /// Runs until all have what they asked for; who got it when.
    fn run(lanes: &mut Lanes<u8, (u8, u64)>, begin: Instant, step: Duration) -> Vec<(Duration, (u8, u64))> {
        let (mut now, mut went) = (begin, Vec::new());
        while lanes.waiting() > 0 {
            went.extend(lanes.release(now).into_iter().map(|who| (now - begin, who)));
            assert!(now - begin < Duration::from_secs(100_000), "somebody waits for ever");
            now += lanes.next_in().unwrap_or(step).max(step);
        }
        went
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let (mut lanes, now) = (Lanes::<u8, ()>::new(None), Instant::now());
        assert_eq!(lanes.ask(now, u64::MAX), Decision::Go);
        lanes.set_rate(now, Some(1000));
        assert_eq!(lanes.ask(now, 0), Decision::Go);
        assert_eq!(lanes.ask(now, 10), Decision::Wait, "what was not limited has saved nothing");
        lanes.park(1, u64::MAX, ());
        lanes.set_rate(now, None);
        assert_eq!(lanes.next_in(), Some(Duration::ZERO));
        assert_eq!(lanes.release(now).len(), 1, "who waits goes when the limit goes");
    }

    #[test]
    fn who_leaves_is_not_waited_for() {
        let (mut lanes, now) = (Lanes::<u8, u8>::new(Some(1000)), Instant::now());
        assert_eq!(lanes.ask(now, 250), Decision::Go);
        let first = lanes.park(1, 1_000_000, 1);
        lanes.park(2, 10, 2);
        assert!(lanes.next_in().unwrap() > Duration::from_secs(900));
        lanes.leave(&1, first);
        assert_eq!((lanes.waiting(), lanes.release(now + 11 * MS)), (1, vec![2]));
        lanes.leave(&1, first);
    }

    #[test]
    fn a_rate_that_rises_helps_those_who_wait_already() {
        let (mut lanes, now) = (Lanes::<u8, u8>::new(Some(1)), Instant::now());
        assert_eq!(lanes.ask(now, 1000), Decision::Wait);
        lanes.park(1, 1000, 1);
        assert!(lanes.release(now + Duration::from_secs(1)).is_empty());
        lanes.set_rate(now + Duration::from_secs(1), Some(10_000));
        assert_eq!(lanes.release(now + Duration::from_secs(1) + 101 * MS), vec![1]);
    }

    proptest! {
        #[test]
        fn the_rate_is_kept_and_used_and_lanes_have_their_turns(
            rate in 1_000_u64..100_000_000,
            takers in proptest::collection::vec((0_u8..5, 0_u64..2_000_000), 1..200),
        ) {
            let (mut lanes, begin) = (Lanes::new(Some(rate)), Instant::now());
            lanes.earn(begin);
            for (lane, bytes) in &takers {
                lanes.park(*lane, *bytes, (*lane, *bytes));
            }
            let went = run(&mut lanes, begin, Duration::from_micros(1));
            prop_assert_eq!(went.len(), takers.len());
            let total: u64 = takers.iter().map(|(_, bytes)| bytes).sum();
            let (burst, slack) = (rate as f64 * BURST.as_secs_f64(), rate as f64 * 1e-3 + 1.0);
            let mut taken = 0.0;
            for (at, (_, bytes)) in &went {
                taken += *bytes as f64;
                prop_assert!(taken <= burst + rate as f64 * at.as_secs_f64() + slack, "faster than the rate");
            }
            let last = went[went.len() - 1].0.as_secs_f64();
            prop_assert!(last <= total as f64 / rate as f64 + 1e-3, "slower than the rate: {} s", last);
            // Of two lanes that both had somebody waiting, neither was served twice in a row.
            for at in 1..went.len() {
                let (before, this) = (went[at - 1].1.0, went[at].1.0);
                let others_wait = went[at..].iter().any(|(_, (lane, _))| *lane != before);
                prop_assert!(before != this || !others_wait, "lane {} was served twice in a row at {}", this, at);
            }
            // Within a lane the order of asking holds.
            for lane in 0..5 {
                let asked: Vec<u64> = takers.iter().filter(|(of, _)| *of == lane).map(|(_, bytes)| *bytes).collect();
                let got: Vec<u64> = went.iter().filter(|(_, (of, _))| *of == lane).map(|(_, (_, bytes))| *bytes).collect();
                prop_assert_eq!(asked, got);
            }
        }
    }
}
