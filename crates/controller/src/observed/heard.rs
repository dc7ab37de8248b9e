//! What was last heard of the writer of a node that has a follower: should it be gone for good, this is all that is known of
//! what goes with it.

use shardlift_api::v1;
use shardlift_model::{ShardId, UnixMillis};

/// Looks that are kept of one writer.
const LOOKS_MAX: usize = 64;

/// The writer at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Its last change.
    pub(crate) seq: u64,
    /// Its snapshots.
    pub(crate) snapshots: u64,
    /// The last time it said so.
    pub(crate) at: UnixMillis,
}

/// A writer as it was heard, oldest look first; looks that found nothing new are one.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    writer: ShardId,
    looks: Vec<Look>,
}

impl Heard {
    pub(super) const fn new(writer: ShardId) -> Self {
        Self { writer, looks: Vec::new() }
    }

    /// Who it was.
    pub(crate) const fn writer(&self) -> &ShardId {
        &self.writer
    }

    pub(super) fn take(&mut self, status: &v1::NodeStatus, at: UnixMillis) {
        let look = Look { seq: status.seq, snapshots: status.snapshots, at };
        match self.looks.last_mut() {
            Some(last) if last.seq == look.seq => *last = look,
            // An answer that is older than the last one: two ask at the same time, and one was held up.
            Some(last) if last.seq > look.seq => {}
            _ => self.looks.push(look),
        }
        if self.looks.len() > LOOKS_MAX {
            // Half as fine, as far back.
            let mut odd = false;
            self.looks.retain(|_| {
                odd = !odd;
                odd
            });
        }
    }

    /// The last look.
    pub(crate) fn last(&self) -> Option<Look> {
        self.looks.last().copied()
    }

    /// The last moment at which the writer had no change after this one: what came after was stored later.
    pub(crate) fn since(&self, seq: u64) -> Option<UnixMillis> {
        self.looks.iter().rev().find(|look| look.seq <= seq).map(|look| look.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(looks: impl IntoIterator<Item = (u64, u64)>) -> Heard {
        let mut heard = Heard::new("b".parse().unwrap());
        for (seq, at) in looks {
            heard.take(&v1::NodeStatus { seq, snapshots: seq / 10, ..Default::default() }, UnixMillis(at));
        }
        heard
    }

    #[test]
    fn what_a_follower_lacks_was_stored_after_the_last_look_that_it_has() {
        let heard = heard([(10, 1), (10, 2), (12, 3), (12, 4), (15, 5)]);
        assert_eq!(heard.last(), Some(Look { seq: 15, snapshots: 1, at: UnixMillis(5) }));
        let since = [9, 10, 11, 12, 14, 15, 99].map(|seq| heard.since(seq).map(|at| at.0));
        assert_eq!(since, [None, Some(2), Some(2), Some(4), Some(4), Some(5), Some(5)]);
    }

    #[test]
    fn many_looks_are_kept_coarsely_and_never_say_too_late_a_moment() {
        let heard = heard((0..100_000).map(|n| (n, n)));
        assert!(heard.looks.len() <= LOOKS_MAX);
        assert_eq!((heard.since(0), heard.last().map(|look| look.seq)), (Some(UnixMillis(0)), Some(99_999)));
        for seq in [5, 70_000, 99_998] {
            assert!(heard.since(seq).is_some_and(|at| at.0 <= seq), "{seq}");
        }
    }

    #[test]
    fn an_answer_that_comes_late_is_not_heard() {
        let heard = heard([(10, 1), (20, 2), (15, 3)]);
        assert_eq!((heard.since(15), heard.last().map(|look| look.seq)), (Some(UnixMillis(1)), Some(20)));
    }
}
