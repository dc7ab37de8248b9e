//! How far a copy is, in memory: what an operator sees of a replica job. Nothing is decided from it.

use super::source::Page;
use crate::control::message;
use crate::engine::ReplicaRecord;
use shardlift_api::v1;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of objects that are on their way: seen at once, and again gone when they do not arrive.
#[derive(Debug)]
pub(crate) struct Arriving<'p> {
    progress: &'p Progress,
    bytes: u64,
}

/// The visible state of one job.
#[derive(Debug)]
pub(crate) struct Progress {
    replica: Mutex<v1::Replica>,
}

impl Progress {
    /// As the last job left it.
    pub(crate) fn resumed(source: &str, record: &ReplicaRecord) -> Self {
        let replica = v1::Replica {
            phase: message::phase(record.phase).into(),
            source: source.to_owned(),
            applied_seq: record.applied_seq,
            damaged_at_source: record.damaged_at_source,
            verified: record.verified.as_ref().map(message::verified),
            waiting_for: "the first answer of the source".to_owned(),
            ..v1::Replica::default()
        };
        Self { replica: Mutex::new(replica) }
    }

    pub(crate) fn snapshot(&self) -> v1::Replica {
        self.lock().clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut v1::Replica)) {
        change(&mut self.lock());
    }

    pub(crate) fn phase(&self, phase: v1::ReplicaPhase) {
        self.update(|replica| replica.phase = phase.into());
    }

    /// A page of the source's list: its totals replace what was believed before.
    pub(crate) fn listed(&self, page: &Page) {
        self.update(|replica| {
            replica.objects_total = page.objects_total;
            replica.bytes_total = page.bytes_total;
            replica.source_seq = replica.source_seq.max(page.seq);
            replica.waiting_for.clear();
        });
    }

    /// Objects begin to arrive.
    pub(crate) const fn arriving(&self) -> Arriving<'_> {
        Arriving { progress: self, bytes: 0 }
    }

    pub(crate) fn moving(&self) {
        self.update(|replica| {
            replica.waiting_for.clear();
            replica.failure.clear();
        });
    }

    pub(crate) fn waiting(&self, reason: String) {
        self.update(|replica| replica.waiting_for = reason);
    }

    pub(crate) fn failed(&self, reason: String) {
        self.update(|replica| {
            "an operator".clone_into(&mut replica.waiting_for);
            replica.failure = reason;
        });
    }

    fn lock(&self) -> MutexGuard<'_, v1::Replica> {
        // Plain values: a panic elsewhere while the lock was held leaves nothing half done.
        self.replica.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arriving<'_> {
    /// So many bytes more were received.
    pub(crate) fn received(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.progress.update(|replica| replica.bytes_arriving += bytes);
    }

    /// Objects that are durable here, newly counted; whatever else was received with them did not arrive.
    pub(crate) fn stored(mut self, objects: u64, bytes: u64) {
        // In one step: nobody sees them twice, or not at all.
        let received = std::mem::take(&mut self.bytes);
        self.progress.update(|replica| {
            replica.bytes_arriving -= received;
            replica.objects_done += objects;
            replica.bytes_done += bytes;
            replica.objects_total = replica.objects_total.max(replica.objects_done);
            replica.bytes_total = replica.bytes_total.max(replica.bytes_done);
        });
    }
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        self.progress.update(|replica| replica.bytes_arriving -= self.bytes);
    }
}
