//! Taking over what is there: the source's list, page by page, less what is here already.
//!
//! No progress is kept beyond the objects themselves: they are named by content, so resuming is a set difference.
//! What is kept is the seq of the FIRST page of the FIRST listing: everything that changes from then on is in the source's
//! journal after it. Locks do not travel here.

use super::error::PullError;
use super::replica::Replica;
use super::serve::before_locks;
use super::source::Page;
use crate::engine::ReplicaPhase;
use shardlift_model::{ObjectKey, ObjectRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

impl Replica {
    /// Brings all objects of the source here, locks apart.
    pub(super) async fn seed(&mut self) -> Result<(), PullError> {
        self.count_what_is_here().await?;
        let mut after = None;
        let mut page = self.net(self.source.list(after, false)).await?;
        if self.copy.journal_from().is_none() {
            // Before the first object: a crash must not move the point from which the journal is read.
            self.copy.begin_at(page.seq).await?;
        }
        loop {
            self.shared.progress.listed(&page);
            let wanted = self.lacking(after, &page.objects).await?;
            after = page.objects.last().map(|record| record.key);
            let next = self.page_after(after.filter(|_| page.more));
            // What was begun is ended, whatever becomes of the next page.
            let (absent, next) = tokio::join!(self.fetch_all(wanted), next);
            self.absent.extend(absent?);
            match next? {
                Some(next) => page = next,
                None => break,
            }
        }
        // Also after a completion that did not lead to a promotion: it follows again, and says so.
        self.enter(ReplicaPhase::Following).await?;
        Ok(())
    }

    /// The page of the source's list after this object; none after the last page.
    fn page_after(&self, after: Option<ObjectKey>) -> impl Future<Output = Result<Option<Page>, PullError>> + use<> {
        let (source, shared) = (self.source.clone(), Arc::clone(&self.shared));
        async move {
            let Some(after) = after else { return Ok(None) };
            tokio::select! {
                biased;
                () = shared.end.cancelled() => Err(PullError::Interrupted),
                page = source.list(Some(after), false) => page.map(Some),
            }
        }
    }

    /// Goes on where the journal of the writer was last applied. What is here was equal to the writer at a seq before that, so no
    /// listing is needed, and none is asked for.
    pub(super) async fn resume(&mut self) -> Result<(), PullError> {
        self.count_what_is_here().await?;
        self.damaged = self.copy.damaged().await?;
        self.enter(ReplicaPhase::Following).await?;
        // A writer at rest has nothing to tell for a long while; how far behind the copy is must be visible before that.
        self.follow(None, Duration::ZERO).await
    }

    /// Which objects of a page are not here, or are here with other bytes.
    async fn lacking(
        &mut self,
        after: Option<ObjectKey>,
        page: &[ObjectRecord],
    ) -> Result<Vec<ObjectRecord>, PullError> {
        let Some(last) = page.last() else { return Ok(Vec::new()) };
        let present = self.copy.records(after, Some(last.key), false).await?;
        self.wanted(&present, page).await
    }

    /// Those of the source's objects that are not among these here. What is here with other bytes is given up for it.
    async fn wanted(
        &mut self,
        here: &BTreeMap<ObjectKey, ObjectRecord>,
        there: &[ObjectRecord],
    ) -> Result<Vec<ObjectRecord>, PullError> {
        self.damaged.extend(here.values().filter(|record| record.is_damaged()).map(|record| record.key));
        let mut wanted = Vec::new();
        for record in there {
            match here.get(&record.key) {
                Some(own) if own == record => {}
                // The name says what the bytes are, unless the source has since recorded that they are not.
                Some(own) => {
                    self.keep_good(own, record)?;
                    self.forget(record.key).await?;
                    wanted.push(*record);
                }
                None => wanted.push(*record),
            }
        }
        Ok(wanted)
    }

    /// INV-07: what has rotted at the source since it was copied is here as it should be; it is not given up for the rotten
    /// one unless an operator has said so.
    pub(super) fn keep_good(&self, own: &ObjectRecord, at_source: &ObjectRecord) -> Result<(), PullError> {
        if self.accept_damaged || own.is_damaged() || !at_source.is_damaged() {
            return Ok(());
        }
        let key = own.key;
        Err(PullError::Failed(format!("damaged at the source since it was copied; the copy here is good: {key}")))
    }

    /// INV-12: deletes from this node's incoming copy and nowhere else.
    pub(super) async fn forget(&mut self, key: ObjectKey) -> Result<(), PullError> {
        if let Some(record) = self.copy.record(key).await? {
            self.copy.delete(key).await?;
            self.uncount(&record);
        }
        Ok(())
    }

    /// An object that is here no more, or that comes anew.
    pub(super) fn uncount(&mut self, record: &ObjectRecord) {
        self.damaged.remove(&record.key);
        self.shared.progress.update(|replica| {
            replica.objects_done = replica.objects_done.saturating_sub(1);
            replica.bytes_done = replica.bytes_done.saturating_sub(record.size);
            replica.objects_total = replica.objects_total.saturating_sub(1);
            replica.bytes_total = replica.bytes_total.saturating_sub(record.size);
        });
    }

    /// Makes the locks here those of the source, which stands still.
    pub(super) async fn reconcile_locks(&mut self) -> Result<(), PullError> {
        let mut after = Some(before_locks());
        loop {
            let page = self.net(self.source.list(after, true)).await?;
            let last = if page.more { page.objects.last().map(|record| record.key) } else { None };
            let here = self.copy.records(after, last, true).await?;
            self.settle(&here, &page.objects).await?;
            after = last;
            if !page.more {
                return Ok(());
            }
        }
    }

    /// Makes what is here in some range of keys what is there: fetches what is lacking, deletes what the source does not have.
    /// Returns how many objects differed.
    pub(super) async fn settle(
        &mut self,
        here: &BTreeMap<ObjectKey, ObjectRecord>,
        there: &[ObjectRecord],
    ) -> Result<usize, PullError> {
        let wanted = self.wanted(here, there).await?;
        let at_source: BTreeSet<ObjectKey> = there.iter().map(|record| record.key).collect();
        let surplus: Vec<ObjectKey> = here.keys().filter(|key| !at_source.contains(key)).copied().collect();
        let differing = wanted.len() + surplus.len();
        for key in surplus {
            self.forget(key).await?;
        }
        // What is absent now is deleted at the source: the next look no longer names it.
        self.fetch_all(wanted).await?;
        Ok(differing)
    }

    async fn count_what_is_here(&self) -> Result<(), PullError> {
        let (objects, bytes) = self.copy.totals()?;
        self.shared.progress.update(|replica| {
            replica.objects_done = objects;
            replica.bytes_done = bytes;
        });
        Ok(())
    }
}

pub(super) fn is_lock(key: &ObjectKey) -> bool {
    key.kind() == shardlift_model::ObjectKind::Locks
}
