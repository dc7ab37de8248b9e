//! The way back as operators see it all through the soak: who follows, how far behind, what a rollback would take and keep.

use crate::observed::Observed;
use shardlift_api::v1;
use shardlift_migration::{Migration, Node, World};
use std::time::Duration;

/// Clients wait about so long at least: fence, last changes, seal, commit, promotion.
const CUTOVER: Duration = Duration::from_millis(500);

/// Changes that a follower takes over in a second, at a cautious guess.
const CHANGES_PER_SECOND: u64 = 200;

/// `None` while there is none: before the commit, once the old copy is in quarantine, and when the node is back and only its
/// former writer, which was given up, is still waited for.
pub(crate) fn way_back(world: &World, observed: &Observed, node: &Node) -> Option<v1::WayBack> {
    let moving = node.migration.as_ref()?;
    if !moving.is_soaking() && !moving.is_back() || moving.is_concluded() {
        return None;
    }
    let replica = observed.replica(node);
    let lag = replica.map_or(0, |replica| replica.source_seq.saturating_sub(replica.applied_seq));
    let before = moving.promoted.map_or(0, |promoted| promoted.snapshots);
    let snapshots = observed.at_writer(node).map_or(0, |status| status.snapshots);
    Some(v1::WayBack {
        follower: moving.source.to_string(),
        lag,
        takes_ms: takes(lag),
        snapshots_kept: snapshots.saturating_sub(before),
        problem: problem(world, observed, node, moving).unwrap_or_default(),
        rehearsed: moving.rehearsed.map_or_else(String::new, |rehearsal| {
            format!("{}, clients waited {} ms", super::fleet::rfc3339(rehearsal.at), rehearsal.took_ms)
        }),
        failed: moving.rollback_failed.clone().unwrap_or_default(),
    })
}

/// Why a way back should not be begun now: clients would wait for changes that could come home beforehand. Nothing is said of a
/// node without a way back; that is for the state machine to refuse.
pub(super) fn too_far_behind(world: &World, observed: &Observed, node: &Node) -> Option<String> {
    let way_back =
        way_back(world, observed, node).filter(|_| node.migration.as_ref().is_some_and(|m| m.is_soaking()))?;
    let v1::WayBack { follower, lag, .. } = way_back;
    (lag > world.limits.ready_lag_max).then(|| {
        format!("shard {follower} is {lag} changes behind for node {}: clients would wait for all of them", node.node)
    })
}

fn takes(lag: u64) -> u64 {
    let catching_up = lag.saturating_mul(1000) / CHANGES_PER_SECOND;
    u64::try_from(CUTOVER.as_millis()).unwrap_or(u64::MAX).saturating_add(catching_up)
}

/// What a rollback would have to wait for right now.
fn problem(world: &World, observed: &Observed, node: &Node, moving: &Migration) -> Option<String> {
    for shard in [&moving.source, &moving.target] {
        let seen = observed.shards.get(shard).filter(|_| world.shards.contains_key(shard));
        if !seen.is_some_and(crate::observed::ShardSeen::is_reachable) {
            return Some(format!("shard {shard} does not answer"));
        }
    }
    let Some(replica) = observed.replica(node) else {
        return Some(format!("{} does not follow", moving.source));
    };
    if !replica.failure.is_empty() {
        return Some(format!("{} cannot follow: {}", moving.source, replica.failure));
    }
    (!replica.waiting_for.is_empty()).then(|| format!("{} waits: {}", moving.source, replica.waiting_for))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rollback_takes_grows_with_the_lag() {
        assert_eq!(takes(0), 500);
        assert_eq!(takes(400), 2500);
        assert_eq!(takes(u64::MAX), 500 + u64::MAX / CHANGES_PER_SECOND);
    }
}
