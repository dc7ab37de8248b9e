//! One batch: nodes that flip together, when they may, and what their soak must show.

use crate::record::BatchOrders;
use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, NodeId, ShardId, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use shardlift_planner::{OnAlert, SoakPolicy, When, Window};

/// Milliseconds of a minute.
const MINUTE_MS: u64 = 60_000;

/// Minutes of a day.
const DAY_MINUTES: u64 = 24 * 60;

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchPhase {
    /// Not started.
    Planned,
    /// Nodes seed, follow and become ready.
    Preparing,
    /// Nodes are fenced and sealed.
    CuttingOver,
    /// The one commit record exists; promotion and routing follow.
    Committed,
    /// Its nodes are served by their targets, or were moved back.
    Soaking,
    /// Old credentials ended, old copies are in quarantine.
    Released,
    /// All its nodes left it before the commit.
    Aborted,
    /// Moved back: none of its nodes is served by its target any more.
    RolledBack,
}

/// What a soak came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All that the policy asks for was seen. Batches that wait for this one go on.
    Good,
    /// A node gave an alert.
    Bad {
        /// Which, and what it was.
        reason: String,
    },
}

/// Nodes that flip together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Its name.
    pub batch: BatchId,
    /// The plan it belongs to.
    pub plan_revision: u64,
    /// Its place in the plan.
    pub position: u32,
    /// Batches whose soak must have come to a good end before this one may cut over.
    pub after: BTreeSet<BatchId>,
    /// Which node goes where. Nodes that left the batch stay listed; their migration says so.
    pub nodes: BTreeMap<NodeId, ShardId>,
    /// What it waits for when all its nodes are ready.
    #[serde(default)]
    pub when: When,
    /// When it may cut over; empty: at any time.
    #[serde(default)]
    pub windows: Vec<Window>,
    /// After so many milliseconds since all nodes were ready it does not wait for idle nodes any more.
    #[serde(default)]
    pub force_after_ms: Option<u64>,
    /// What its soak must show.
    #[serde(default)]
    pub soak: SoakPolicy,
    /// Where it stands.
    pub phase: BatchPhase,
    /// An operator holds it: no new phase begins.
    pub paused: bool,
    /// When it was started.
    pub started_at: Option<UnixMillis>,
    /// Since when all its nodes are ready.
    #[serde(default)]
    pub ready_at: Option<UnixMillis>,
    /// When the present cutover began.
    pub cutover_at: Option<UnixMillis>,
    /// When it was committed.
    pub committed_at: Option<UnixMillis>,
    /// What its soak came to.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// Who ordered what.
    #[serde(default)]
    pub orders: BatchOrders,
}

impl Batch {
    /// True when it may cut over at this time of day.
    #[must_use]
    pub fn window_at(&self, now: UnixMillis) -> bool {
        self.windows.is_empty() || self.windows.iter().any(|window| window.contains(minute_of_day(now)))
    }

    /// When its next window begins, or now while one lasts. `None` when it has no windows: any time is right.
    #[must_use]
    pub fn next_window(&self, now: UnixMillis) -> Option<UnixMillis> {
        let minute = minute_of_day(now);
        let wait = self.windows.iter().map(|window| window.minutes_until(minute)).min()?;
        if wait == 0 {
            return Some(now);
        }
        let this_minute = now.0 - now.0 % MINUTE_MS;
        Some(UnixMillis(this_minute.saturating_add(u64::from(wait) * MINUTE_MS)))
    }

    /// True when it waits for its nodes to be idle, and has not waited as long as it is to.
    #[must_use]
    pub fn waits_for_idle(&self, now: UnixMillis) -> bool {
        self.when == When::Idle && self.force_left(now).is_none_or(|left| !left.is_zero())
    }

    /// How much longer it waits for idle nodes; `None`: without end, or not yet.
    #[must_use]
    pub fn force_left(&self, now: UnixMillis) -> Option<Duration> {
        let (after, since) = (Duration::from_millis(self.force_after_ms?), self.ready_at?);
        Some(after.saturating_sub(now.since(since)))
    }
}

fn minute_of_day(now: UnixMillis) -> u16 {
    // A remainder below 1440 always fits.
    u16::try_from(now.0 / MINUTE_MS % DAY_MINUTES).unwrap_or(0)
}

impl BatchPhase {
    /// The word for people and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Preparing => "preparing",
            Self::CuttingOver => "cutting_over",
            Self::Committed => "committed",
            Self::Soaking => "soaking",
            Self::Released => "released",
            Self::Aborted => "aborted",
            Self::RolledBack => "rolled_back",
        }
    }

    /// True when nothing more will happen to the batch by itself.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Released | Self::Aborted | Self::RolledBack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windowed(windows: &[&str]) -> Batch {
        let mut bench = crate::fixture::Bench::planned(&[("one", &[], &["n1"])]);
        let mut batch = bench.world.batches.pop_first().unwrap().1;
        batch.windows = windows.iter().map(|window| window.parse().unwrap()).collect();
        batch
    }

    #[test]
    fn the_next_window_is_the_nearest_one() {
        let day = 20_000 * 86_400_000;
        let at = |hour: u64, minute: u64| UnixMillis(day + (hour * 60 + minute) * MINUTE_MS + 1234);
        let start = |hour: u64| UnixMillis(day + hour * 3_600_000);
        let batch = windowed(&["02:00-04:00", "22:00-01:00"]);
        for (now, next) in [
            (at(1, 30), start(2)),
            (at(3, 0), at(3, 0)),
            (at(4, 0), start(22)),
            (at(23, 59), at(23, 59)),
            (at(0, 59), at(0, 59)),
        ] {
            assert_eq!(batch.next_window(now), Some(next));
            assert_eq!(batch.window_at(now), now == next);
        }
        assert_eq!(windowed(&["02:00-04:00"]).next_window(at(5, 0)), Some(start(26)));
        assert_eq!(windowed(&[]).next_window(at(5, 0)), None);
        assert!(windowed(&[]).window_at(at(5, 0)));
    }
}
