//! Tailing the source's change journal.
//!
//! Of all changes to one object in a page only the last one counts: the copy serves nobody, so states in between need not
//! be passed through. Locks are skipped; they travel in the final delta alone.
//!
//! What is here is at every instant all that the source had at the applied seq, and perhaps some of what came later, in the order in
//! which clients store: nothing that refers to what is not here. That is what is left when the source is gone for good. So new
//! objects come first, packs before what names them; deletes come last, durable together with the applied seq.

use super::error::PullError;
use super::harvest::named;
use super::replica::Replica;
use super::seed::is_lock;
use super::source::{Changes, Happened};
use shardlift_model::{ObjectKey, ObjectKind, ObjectRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Changes that are applied together.
struct Stretch {
    /// The last one of them.
    reached: u64,
    deletes: BTreeSet<ObjectKey>,
}

impl Replica {
    /// Applies one page of the journal, up to and including `last` when given. Waits up to `wait` for a change; a new wish
    /// ends the waiting.
    ///
    /// An object that was deleted before it could be fetched leaves a gap until that delete is reached. A copy that may have to stand
    /// in for its source closes it at once: it reads on, past `last` if need be, and takes nothing away before.
    pub(super) async fn follow(&mut self, last: Option<u64>, wait: Duration) -> Result<(), PullError> {
        let applied = self.copy.applied_seq();
        let Some(mut page) = self.read_journal(applied, wait).await? else { return Ok(()) };
        if let Some(last) = last {
            page.changes.retain(|(seq, _)| *seq <= last);
        }
        let mut stretch = Stretch { reached: applied, deletes: BTreeSet::new() };
        let mut source_seq = page.seq;
        self.take(page, &mut stretch).await?;
        while self.resumed && !self.absent.is_empty() {
            let page = self.net(self.source.journal(stretch.reached, Duration::ZERO)).await?;
            source_seq = page.seq;
            self.take(page, &mut stretch).await?;
        }
        let Stretch { reached, deletes } = stretch;
        if reached > applied {
            self.take_away(deletes, reached).await?;
        }
        self.shared.progress.update(|replica| {
            replica.applied_seq = reached;
            replica.source_seq = replica.source_seq.max(source_seq);
        });
        self.shared.progress.moving();
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
            biased;
            () = shared.end.cancelled() => Err(PullError::Interrupted),
            _ = wishes.wait_for(|wish| *wish != present) => Ok(None),
            () = self.verification.finished(&self.copy) => Ok(None),
            page = source.journal(after, wait) => page.map(Some),
        }
    }

    /// Brings what a page adds here; what it takes away is only noted.
    async fn take(&mut self, page: Changes, stretch: &mut Stretch) -> Result<(), PullError> {
        stretch.reached = page.changes.last().map_or(stretch.reached, |(seq, _)| *seq);
        let mut latest: BTreeMap<ObjectKey, Happened> = BTreeMap::new();
        for (_, happened) in &page.changes {
            latest.insert(happened.key(), *happened);
        }
        latest.retain(|key, _| !is_lock(key));
        // A change explains an absence; what it leads to may be absent anew, which the next page has to explain.
        self.absent.retain(|key| !latest.contains_key(key));
        if stretch.reached == page.seq {
            check_absent(&self.absent)?;
        }
        let here = self.copy.records_of(latest.keys().copied()).await?;
        let mut wanted: Vec<ObjectRecord> = Vec::new();
        for (key, happened) in latest {
            match happened {
                Happened::Delete(_) => {
                    stretch.deletes.insert(key);
                }
                Happened::Put(record) => {
                    stretch.deletes.remove(&key);
                    wanted.extend(self.unless_here(here.get(&key), record).await?);
                }
            }
        }
        self.fetch_in_order(wanted).await
    }

    /// A stored object that is not here, or is here with other bytes.
    async fn unless_here(
        &mut self,
        own: Option<&ObjectRecord>,
        record: ObjectRecord,
    ) -> Result<Option<ObjectRecord>, PullError> {
        match own {
            Some(own) if *own == record => return Ok(None),
            Some(own) => {
                self.keep_good(own, &record)?;
                if record.key == ObjectKey::Config {
                    // The one object that is never replaced: only a repository that is made anew has another.
                    self.forget(record.key).await?;
                } else {
                    self.uncount(own);
                }
            }
            None => {}
        }
        Ok(Some(record))
    }

    /// As clients store: an index after the packs that it lists, a snapshot after all that it needs.
    async fn fetch_in_order(&mut self, mut wanted: Vec<ObjectRecord>) -> Result<(), PullError> {
        for last in [ObjectKind::Data, ObjectKind::Index, ObjectKind::Snapshots] {
            let (now, later) = wanted.into_iter().partition(|record: &ObjectRecord| record.key.kind() <= last);
            wanted = later;
            let absent = self.fetch_all(now).await?;
            self.absent.extend(absent);
        }
        Ok(())
    }

    async fn take_away(&mut self, deletes: BTreeSet<ObjectKey>, reached: u64) -> Result<(), PullError> {
        let gone = self.copy.records_of(deletes.iter().copied()).await?;
        self.copy.applied(deletes, reached).await?;
        gone.values().for_each(|record| self.uncount(record));
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
