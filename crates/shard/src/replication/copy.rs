//! This shard's incoming copy of one node: all that a replica job may do to the own storage.
//!
//! INV-12: there is one node in here and no way to name another.

use super::error::PullError;
use super::side::Side;
use crate::auth::htpasswd::Passwords;
use crate::engine::{
    DeepVerifyId, DeepVerifyRecord, DigestPart, Engine, EngineError, NodeSnapshot, PutError, ReplicaPhase,
    ReplicaRecord, ReplicaUpload, VerifiedRecord,
};
use crate::throttle::{Seat, Work};
use bytes::Bytes;
use shardlift_model::digest::{Digest, Prefix};
use shardlift_model::{NodeId, ObjectKey, ObjectRecord, Sha256, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Rows of the own index that are read at a time.
const PAGE_ROWS: usize = 10_000;

/// One node's copy.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    engine: Arc<Engine>,
    passwords: Arc<Passwords>,
    node: NodeId,
}

impl Copy {
    pub(crate) const fn new(engine: Arc<Engine>, passwords: Arc<Passwords>, node: NodeId) -> Self {
        Self { engine, passwords, node }
    }

    /// Waits until so many bytes of what the source sends may be written.
    pub(crate) async fn may_write(&self, bytes: u64) {
        self.engine.throttle().take(Work::Write, &self.node, bytes).await;
    }

    /// The copy goes to its final state: nothing is held back for a moment.
    pub(crate) fn hurry(&self) {
        self.engine.throttle().hurry();
    }

    /// Waits until one more transfer may be pulled.
    pub(crate) async fn pull(&self) -> Seat {
        self.engine.throttle().pull().await
    }

    pub(crate) const fn node(&self) -> &NodeId {
        &self.node
    }

    fn snapshot(&self) -> Result<NodeSnapshot, EngineError> {
        self.engine.node(&self.node).ok_or_else(|| EngineError::NodeUnknown(self.node.clone()))
    }

    fn replica(&self) -> ReplicaRecord {
        self.engine.node(&self.node).and_then(|snapshot| snapshot.replica).unwrap_or_default()
    }

    pub(crate) fn applied_seq(&self) -> u64 {
        self.replica().applied_seq
    }

    pub(crate) fn journal_from(&self) -> Option<u64> {
        self.replica().journal_from
    }

    /// Objects and bytes, locks included.
    pub(crate) fn totals(&self) -> Result<(u64, u64), EngineError> {
        self.snapshot().map(|snapshot| (snapshot.objects, snapshot.bytes))
    }

    /// Own objects whose bytes do not match their name.
    pub(crate) async fn damaged(&self) -> Result<BTreeSet<ObjectKey>, EngineError> {
        if self.snapshot()?.damaged == 0 {
            return Ok(BTreeSet::new());
        }
        let records = self.records(None, None, false).await?;
        Ok(records.into_values().filter(ObjectRecord::is_damaged).map(|record| record.key).collect())
    }

    /// Own records after one key up to and including another.
    pub(crate) async fn records(
        &self,
        after: Option<ObjectKey>,
        last: Option<ObjectKey>,
        with_locks: bool,
    ) -> Result<BTreeMap<ObjectKey, ObjectRecord>, EngineError> {
        let mut records = BTreeMap::new();
        let mut from = after;
        loop {
            let page = self.engine.page_objects(&self.node, from, PAGE_ROWS, with_locks).await?;
            let more = page.more;
            for record in page.objects {
                if last.is_some_and(|last| record.key > last) {
                    return Ok(records);
                }
                from = Some(record.key);
                records.insert(record.key, record);
            }
            if !more {
                return Ok(records);
            }
        }
    }

    /// Own records at a place of the digest's tree.
    pub(crate) async fn records_at(&self, place: &Prefix) -> Result<BTreeMap<ObjectKey, ObjectRecord>, EngineError> {
        self.engine.objects_at(&self.node, *place).await
    }

    /// What lies at these places of the own digest.
    pub(crate) async fn parts(&self, places: Vec<Prefix>) -> Result<Vec<DigestPart>, EngineError> {
        Ok(self.engine.digest_parts(&self.node, places).await?.0)
    }

    pub(crate) async fn record(&self, key: ObjectKey) -> Result<Option<ObjectRecord>, EngineError> {
        self.engine.object(&self.node, key).await
    }

    /// Own records of those of these objects that are here.
    pub(crate) async fn records_of(
        &self,
        keys: impl Iterator<Item = ObjectKey>,
    ) -> Result<BTreeMap<ObjectKey, ObjectRecord>, EngineError> {
        let records = self.engine.objects(&self.node, keys.collect()).await?;
        Ok(records.into_iter().map(|record| (record.key, record)).collect())
    }

    pub(crate) async fn digest(&self, with_locks: bool) -> Result<Digest, EngineError> {
        Ok(self.engine.digest_of(&self.node, with_locks).await?.0)
    }

    /// Small objects, hashed and durable together. Returns those whose bytes are not what their name says, with what was found; nothing
    /// of them is kept.
    pub(crate) async fn put_batch(
        &self,
        objects: Vec<(ObjectRecord, Bytes)>,
    ) -> Result<BTreeMap<ObjectKey, Sha256>, PullError> {
        let keys: Vec<ObjectKey> = objects.iter().map(|(record, _)| record.key).collect();
        let mut wrong = BTreeMap::new();
        if keys.is_empty() {
            return Ok(wrong);
        }
        for (key, stored) in keys.into_iter().zip(self.engine.put_replica_batch(&self.node, objects, false).await?) {
            match stored {
                Err(PutError::HashMismatch { found }) => {
                    wrong.insert(key, found);
                }
                stored => drop(stored?),
            }
        }
        Ok(wrong)
    }

    pub(crate) async fn begin(&self, expected: ObjectRecord) -> Result<ReplicaUpload, PullError> {
        Ok(self.engine.begin_put_replica(&self.node, expected).await?)
    }

    pub(crate) async fn delete(&self, key: ObjectKey) -> Result<(), EngineError> {
        self.engine.apply_replica_delete(&self.node, key).await.map(drop)
    }

    /// From where the source's journal is read. Kept once and never moved.
    pub(crate) async fn begin_at(&self, seq: u64) -> Result<(), EngineError> {
        let begin = move |replica: &mut ReplicaRecord| {
            if replica.journal_from.is_none() {
                replica.journal_from = Some(seq);
                replica.applied_seq = seq;
            }
            Ok(())
        };
        self.engine.update_replica(&self.node, begin).await
    }

    /// Takes away what the source has deleted; all changes up to `seq` are here then. Both are durable together.
    pub(crate) async fn applied(&self, deletes: BTreeSet<ObjectKey>, seq: u64) -> Result<(), EngineError> {
        self.engine.apply_replica_deletes(&self.node, deletes, seq).await
    }

    pub(crate) async fn record_phase(&self, phase: ReplicaPhase) -> Result<(), EngineError> {
        self.keep(move |replica| {
            replica.phase = phase;
            replica.failure = None;
        })
        .await
    }

    pub(crate) async fn record_damage(&self, damaged_at_source: u64) -> Result<(), EngineError> {
        self.keep(move |replica| replica.damaged_at_source = damaged_at_source).await
    }

    pub(crate) async fn record_verified(&self, verified: VerifiedRecord) -> Result<(), EngineError> {
        self.keep(move |replica| {
            replica.verified = Some(verified);
            replica.verify_asked = false;
        })
        .await
    }

    pub(crate) async fn record_failure(&self, reason: &str) -> Result<(), EngineError> {
        let reason = reason.to_owned();
        self.keep(move |replica| replica.failure = Some(reason)).await
    }

    async fn keep(&self, change: impl FnOnce(&mut ReplicaRecord) + Send + 'static) -> Result<(), EngineError> {
        let change = move |replica: &mut ReplicaRecord| {
            change(replica);
            Ok(())
        };
        self.engine.update_replica(&self.node, change).await
    }

    /// Begins to read every own byte again, for the command with this token.
    pub(crate) async fn read_again(&self, token: Token) -> Result<DeepVerifyId, EngineError> {
        self.engine.deep_verify_under(&self.node, token).await?;
        Ok(DeepVerifyId::new(token, 0))
    }

    /// What that has come to, once it has ended.
    pub(crate) fn was_read_again(&self, id: DeepVerifyId) -> Option<DeepVerifyRecord> {
        self.engine.deep_verified(&self.node, id)
    }

    /// Takes over settings, sessions, certificates and credentials.
    pub(crate) async fn merge(&self, side: Side) -> Result<(), PullError> {
        self.engine.merge_side_data(&self.node, side.data).await?;
        let passwords = Arc::clone(&self.passwords);
        let merging = shardlift_net::spawn_blocking(move || passwords.merge(&side.credentials)).await;
        let merged = merging.map_err(|_| EngineError::Stopped)?;
        merged.map_err(|error| {
            tracing::error!(node = %self.node, error = shardlift_api::fault::chain(&error), "credentials were not taken over");
            PullError::Waiting("the own password file: see the shard's log".to_owned())
        })
    }
}
