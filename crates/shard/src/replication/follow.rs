//! Tailing the source's change journal.
//!
//! Of all changes to one object in a page only the last one counts: the copy serves nobody, so states in between need not
//! be passed through. The applied seq becomes durable after the objects it stands for. Locks are skipped; they travel in
//! the final delta alone.

use super::error::PullError;
use super::harvest::named;
use super::replica::Replica;
use super::seed::is_lock;
use super::source::Happened;
use shardlift_model::{ObjectKey, ObjectRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

impl Replica {
    /// Applies one page of the journal, up to and including `last` when given. Waits up to `wait` for a change; a new wish
    /// ends the waiting.
    pub(super) async fn follow(&mut self, last: Option<u64>, wait: Duration) -> Result<(), PullError> {
        let applied = self.copy.applied_seq();
        let Some(page) = self.read_journal(applied, wait).await? else { return Ok(()) };
        let end = last.map_or(page.seq, |last| last.min(page.seq));
        let changes: Vec<_> = page.changes.into_iter().take_while(|(seq, _)| *seq <= end).collect();
        let reached = changes.last().map_or(applied, |(seq, _)| *seq);
        let mut latest: BTreeMap<ObjectKey, Happened> = BTreeMap::new();
        for (_, happened) in &changes {
            latest.insert(happened.key(), *happened);
        }
        latest.retain(|key, _| !is_lock(key));
        // A change explains an absence; what it leads to may be absent anew, which the next page has to explain.
        let unexplained: BTreeSet<ObjectKey> =
            self.absent.iter().filter(|key| !latest.contains_key(key)).copied().collect();
        self.apply(latest).await?;
        if reached > applied {
            self.copy.applied(reached).await?;
        }
        self.shared.progress.update(|replica| {
            replica.applied_seq = reached;
            replica.source_seq = replica.source_seq.max(page.seq);
        });
        self.shared.progress.moving();
        if reached == page.seq {
            check_absent(&unexplained)?;
        }
        Ok(())
    }

    /// `None` when there is a new wish.
    async fn read_journal(&mut self, after: u64, wait: Duration) -> Result<Option<super::source::Changes>, PullError> {
        let shared = self.shared.clone();
        let mut wishes = shared.wish.subscribe();
        let source = self.source.clone();
        let present = shared.wish();
        if wait.is_zero() {
            return self.net(source.journal(after, wait)).await.map(Some);
        }
        tokio::select! {
            () = shared.end.cancelled() => Err(PullError::Interrupted),
            _ = wishes.wait_for(|wish| *wish != present) => Ok(None),
            () = self.verification.finished() => Ok(None),
            page = source.journal(after, wait) => page.map(Some),
        }
    }

    async fn apply(&mut self, latest: BTreeMap<ObjectKey, Happened>) -> Result<(), PullError> {
        let mut wanted: Vec<ObjectRecord> = Vec::new();
        for (key, happened) in latest {
            self.absent.remove(&key);
            match happened {
                Happened::Delete(_) => self.forget(key).await?,
                Happened::Put(record) => match self.copy.record(key).await? {
                    Some(own) if own == record => {}
                    Some(own) => {
                        self.keep_good(&own, &record)?;
                        self.forget(key).await?;
                        wanted.push(record);
                    }
                    None => wanted.push(record),
                },
            }
        }
        let absent = self.fetch_all(wanted).await?;
        self.absent.extend(absent);
        Ok(())
    }
}

/// The whole journal was read: what was absent before that and is not in it was not deleted but lost.
fn check_absent(unexplained: &BTreeSet<ObjectKey>) -> Result<(), PullError> {
    if unexplained.is_empty() {
        return Ok(());
    }
    let (count, names) = (unexplained.len(), named(unexplained.iter()));
    let text = "listed by the source and then absent without a delete in its journal";
    Err(PullError::Failed(format!("{count} object(s) {text}: {names}")))
}
