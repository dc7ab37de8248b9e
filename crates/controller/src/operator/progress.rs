//! How far a copy is: from the target's own count of what is durable, never from what was sent. How fast it goes, from what arrives
//! there.

use crate::observed::Observed;
use shardlift_api::v1;
use shardlift_migration::{Node, Phase};

/// One node's progress; all of it from the commit on, nothing while no copy was seen.
pub(crate) fn of_node(observed: &Observed, node: &Node) -> v1::Progress {
    let Some(migration) = &node.migration else { return v1::Progress::default() };
    let at_writer = observed.at_writer(node);
    let (objects, bytes) = at_writer.map_or((0, 0), |status| (status.objects, status.bytes));
    if migration.is_committed() {
        return v1::Progress {
            objects_done: objects,
            objects_total: objects,
            bytes_done: bytes,
            bytes_total: bytes,
            ..Default::default()
        };
    }
    let total = |known: u64, seen: u64| if known == 0 { seen } else { known };
    let Some(replica) = observed.replica(node) else {
        return v1::Progress { objects_total: objects, bytes_total: bytes, ..Default::default() };
    };
    let bytes_total = total(replica.bytes_total, bytes);
    let bytes_done = replica.bytes_done.min(bytes_total);
    let rate = observed.rates.get(&node.node).map_or(0, |rate| rate.bytes_per_second);
    let rate = if migration.phase() == Phase::Seeding { rate } else { 0 };
    let left = bytes_total - bytes_done;
    v1::Progress {
        objects_done: replica.objects_done.min(total(replica.objects_total, objects)),
        objects_total: total(replica.objects_total, objects),
        bytes_done,
        bytes_total,
        bytes_per_second: rate,
        lag: replica.source_seq.saturating_sub(replica.applied_seq),
        eta_ms: eta_ms(left, rate),
    }
}

/// Many nodes together. The estimate is for all that is left at the present rate.
pub(super) fn sum(parts: impl IntoIterator<Item = v1::Progress>) -> v1::Progress {
    let mut sum = parts.into_iter().fold(v1::Progress::default(), |sum, part| v1::Progress {
        objects_done: sum.objects_done + part.objects_done,
        objects_total: sum.objects_total + part.objects_total,
        bytes_done: sum.bytes_done + part.bytes_done,
        bytes_total: sum.bytes_total + part.bytes_total,
        bytes_per_second: sum.bytes_per_second + part.bytes_per_second,
        lag: sum.lag + part.lag,
        eta_ms: 0,
    });
    sum.eta_ms = eta_ms(sum.bytes_total - sum.bytes_done, sum.bytes_per_second);
    sum
}

/// 0 to 100; 100 only when nothing is left.
pub(crate) fn percent(progress: &v1::Progress) -> u8 {
    let v1::Progress { bytes_done, bytes_total, .. } = *progress;
    let hundredths = (u128::from(bytes_done) * 100).checked_div(u128::from(bytes_total)).unwrap_or(0);
    u8::try_from(hundredths.min(100)).unwrap_or(100)
}

fn eta_ms(left: u64, bytes_per_second: u64) -> u64 {
    let ms = (u128::from(left) * 1000).checked_div(u128::from(bytes_per_second)).unwrap_or(0);
    u64::try_from(ms).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_estimates_what_is_left_at_the_rate_of_all() {
        let part = |done, rate| v1::Progress {
            bytes_done: done,
            bytes_total: 1000,
            bytes_per_second: rate,
            ..Default::default()
        };
        let sum = sum([part(500, 100), part(1000, 0), part(0, 400)]);
        assert_eq!((sum.bytes_done, sum.bytes_total, sum.bytes_per_second, sum.eta_ms), (1500, 3000, 500, 3000));
        assert_eq!(percent(&sum), 50);
        assert_eq!(percent(&part(999, 0)), 99);
        assert_eq!(percent(&v1::Progress::default()), 0);
    }
}
