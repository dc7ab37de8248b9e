//! How much has to be moved so that nodes that leave are ever caught up with: more than their clients store. Pure.

use shardlift_model::NodeId;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// A node that nothing was sent of for so long is not on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(30);

/// What is stored fades by half in this time.
const HALF_LIFE: Duration = Duration::from_secs(5);

/// So much more than is stored has to be moved: what waits must become less.
const MORE: f64 = 1.5;

/// What clients store at nodes that are on their way to another shard.
#[derive(Debug, Default)]
pub(crate) struct KeepUp {
    sent: BTreeMap<NodeId, Instant>,
    /// Bytes stored since the last step.
    stored: u64,
    /// Bytes per second.
    rate: f64,
}

impl KeepUp {
    /// Something of a node is sent to another shard.
    pub(crate) fn sent(&mut self, now: Instant, node: &NodeId) {
        match self.sent.get_mut(node) {
            Some(at) => *at = now,
            None => drop(self.sent.insert(node.clone(), now)),
        }
    }

    /// A client stored so many bytes at a node.
    pub(crate) fn stored(&mut self, node: &NodeId, bytes: u64) {
        if self.sent.contains_key(node) {
            self.stored += bytes;
        }
    }

    /// Bytes per second that have to be moved, `since` the last step.
    pub(crate) fn step(&mut self, now: Instant, since: Duration) -> u64 {
        self.sent.retain(|_, at| now.saturating_duration_since(*at) < ON_ITS_WAY);
        let seconds = since.as_secs_f64().max(1e-3);
        let left = (-seconds / HALF_LIFE.as_secs_f64()).exp2();
        let stored = std::mem::take(&mut self.stored) as f64 / seconds;
        self.rate = self.rate * left + stored * (1.0 - left);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of bytes")]
        let least = (self.rate * MORE) as u64;
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(250);

    #[test]
    fn what_is_stored_at_nodes_on_their_way_has_to_follow_and_no_more() {
        let (mut keep_up, mut now) = (KeepUp::default(), Instant::now());
        let (leaves, stays): (NodeId, NodeId) = ("leaves".parse().unwrap(), "stays".parse().unwrap());
        let mut live = |keep_up: &mut KeepUp, seconds: u32, sends: bool| {
            for _ in 1..seconds * 4 {
                now += STEP;
                if sends {
                    keep_up.sent(now, &leaves);
                }
                keep_up.stored(&leaves, 1_000_000);
                keep_up.stored(&stays, 50_000_000);
                keep_up.step(now, STEP);
            }
            now += STEP;
            keep_up.step(now, STEP)
        };
        assert_eq!(live(&mut keep_up, 30, false), 0, "nothing is on its way");
        let least = live(&mut keep_up, 30, true);
        assert!((5_000_000..=6_000_000).contains(&least), "{least}");
        let gone = live(&mut keep_up, 120, false);
        assert!(gone < 100, "{gone}");
    }
}
