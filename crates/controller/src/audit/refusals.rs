//! How many refusals are written down one by one: a stranger must not fill the disk. The others are counted.

use std::time::Duration;
use tokio::time::Instant;

/// What is bounded together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Without a certificate of this cluster.
    Stranger,
    /// With one.
    Member,
}

impl Asker {
    const ALL: [Self; 2] = [Self::Stranger, Self::Member];

    /// Refusals of one minute that are written down.
    const fn written_max(self) -> u32 {
        match self {
            Self::Stranger => 60,
            Self::Member => 600,
        }
    }

    /// As the record of the others says it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Stranger => "strangers",
            Self::Member => "members",
        }
    }
}

/// The present span of time, a minute.
#[derive(Debug)]
pub(super) struct Refusals {
    span: Duration,
    began: Instant,
    written: [u32; 2],
    more: [u64; 2],
}

impl Refusals {
    pub(super) const fn new(span: Duration, now: Instant) -> Self {
        Self { span, began: now, written: [0; 2], more: [0; 2] }
    }

    /// True when one is written down; else it was counted, as all are while there is no room.
    pub(super) const fn take(&mut self, asker: Asker, has_room: bool) -> bool {
        let at = asker as usize;
        if has_room && self.written[at] < asker.written_max() {
            self.written[at] += 1;
            return true;
        }
        self.more[at] += 1;
        false
    }

    /// When the present minute is over, if somebody waits for that.
    pub(super) fn due(&self) -> Option<Instant> {
        self.more.iter().any(|more| *more > 0).then(|| self.began + self.span)
    }

    /// Begins a new minute when the present one is over. What was counted in it, for each sort of askers.
    pub(super) fn turn(&mut self, now: Instant) -> Vec<(Asker, u64)> {
        if now < self.began + self.span { Vec::new() } else { self.rest(now) }
    }

    /// The same at once.
    pub(super) fn rest(&mut self, now: Instant) -> Vec<(Asker, u64)> {
        let ended = std::mem::replace(self, Self::new(self.span, now));
        Asker::ALL.into_iter().zip(ended.more).filter(|(_, more)| *more > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_minute_has_room_for_so_many_and_counts_the_others() {
        const MINUTE: Duration = Duration::from_secs(60);
        let now = Instant::now();
        let mut refusals = Refusals::new(MINUTE, now);
        let written = (0..100).filter(|_| refusals.take(Asker::Stranger, true)).count();
        assert_eq!((written, refusals.due()), (60, Some(now + MINUTE)));
        assert!(refusals.take(Asker::Member, true), "strangers leave room for members");
        assert_eq!(refusals.turn(now + MINUTE / 2), vec![]);
        assert!(!refusals.take(Asker::Stranger, true));
        assert_eq!(refusals.turn(now + MINUTE), vec![(Asker::Stranger, 41)]);
        assert_eq!((refusals.due(), refusals.take(Asker::Stranger, true)), (None, true));
        assert!(!refusals.take(Asker::Member, false), "there is no room");
        assert_eq!(refusals.rest(now + MINUTE), vec![(Asker::Member, 1)]);
    }
}
