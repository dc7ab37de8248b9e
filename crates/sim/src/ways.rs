//! Which ways of the table a search has taken: a way that the model does not know would be a way that nobody checked.

use shardlift_migration::Stage;
use std::sync::atomic::{AtomicU32, Ordering};

/// From each stage, a bit for each that was entered from it.
#[derive(Debug, Default)]
pub struct Ways([AtomicU32; Stage::ALL.len()]);

impl Ways {
    /// Notes one. Most are known already, and then nothing is written.
    pub(crate) fn take(&self, from: Stage, next: Stage) {
        let (taken, bit) = (&self.0[from as usize], 1 << next as u32);
        if taken.load(Ordering::Relaxed) & bit == 0 {
            taken.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Those of the table that were not taken.
    #[must_use]
    pub fn untaken(&self) -> Vec<(Stage, Stage)> {
        let ways = Stage::ALL.into_iter().flat_map(|from| from.followers().iter().map(move |next| (from, *next)));
        ways.filter(|(from, next)| self.0[*from as usize].load(Ordering::Relaxed) >> *next as u32 & 1 == 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_not_untaken() {
        let ways = Ways::default();
        let all = ways.untaken();
        ways.take(Stage::Sealed, Stage::Promoting);
        let left = ways.untaken();
        assert_eq!(left.len() + 1, all.len());
        assert!(!left.contains(&(Stage::Sealed, Stage::Promoting)));
    }
}
