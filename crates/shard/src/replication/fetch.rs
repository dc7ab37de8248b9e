//! Fetching objects: in parallel, bounded for the node and for the shard, each hashed here and durable before it counts.

use super::batch::{LARGE_BYTES, Transfer, transfers};
use super::error::PullError;
use super::harvest::Harvest;
use super::judge::{Reading, Verdict, judge};
use super::replica::Replica;
use super::source::{End, Fetching, Piece};
use crate::engine::ReplicaUpload;
use aws_lc_rs::digest::{Context, SHA256, digest};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use shardlift_model::{ObjectKey, ObjectRecord, Sha256};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

/// Transfers of one node at the same time.
const STREAMS_MAX: usize = 4;

/// What became of one object.
enum Outcome {
    /// Good, in memory.
    Held(Bytes),
    Ended(End),
    /// Not what was promised.
    Suspect(Reading),
}

impl Replica {
    /// Brings these objects here. Returns those that are no longer at the source; objects that only an operator can help
    /// with are an error, given when all others are here.
    pub(super) async fn fetch_all(&mut self, wanted: Vec<ObjectRecord>) -> Result<BTreeSet<ObjectKey>, PullError> {
        let mut harvest = Harvest::default();
        let mut first_error = None;
        {
            let this = &*self;
            let stopped = AtomicBool::new(false);
            let stopped = &stopped;
            let mut running = futures::stream::iter(transfers(wanted))
                .map(|transfer| async move {
                    // What has begun is always ended, so that nothing is written behind the back of whoever follows.
                    if stopped.load(Ordering::Relaxed) {
                        return Ok(Harvest::default());
                    }
                    let result = this.transfer(transfer).await;
                    stopped.fetch_or(result.is_err(), Ordering::Relaxed);
                    result
                })
                .buffer_unordered(STREAMS_MAX);
            while let Some(result) = running.next().await {
                match result {
                    Ok(part) => harvest.merge(part),
                    Err(error) => first_error = first_error.or(Some(error)),
                }
            }
        }
        self.note_damage(&harvest).await?;
        match first_error {
            Some(error) => Err(error),
            None => harvest.absent_unless_failed(),
        }
    }

    async fn transfer(&self, transfer: Transfer) -> Result<Harvest, PullError> {
        let _seat = self.seat().await?;
        let permit = self.net(async { Ok(self.transfers.acquire_many(transfer.weight()).await) }).await?;
        let _permit = permit.map_err(|_closed| PullError::Interrupted)?;
        match transfer {
            Transfer::Together(records) => self.fetch_together(&records).await,
            Transfer::Alone(record) => {
                let mut harvest = Harvest::default();
                self.fetch_alone(record, None, &mut harvest).await?;
                Ok(harvest)
            }
        }
    }

    async fn fetch_together(&self, records: &[ObjectRecord]) -> Result<Harvest, PullError> {
        let mut harvest = Harvest::default();
        let mut good = Vec::with_capacity(records.len());
        let mut suspects = Vec::new();
        let mut fetching = self.net(self.source.fetch(records.iter().map(|record| record.key))).await?;
        for (position, wanted) in records.iter().enumerate() {
            match self.read_whole(&mut fetching, position, *wanted).await? {
                (record, Outcome::Held(bytes)) => good.push((record, bytes)),
                (_, Outcome::Ended(end)) => harvest.ended(wanted.key, end),
                (record, Outcome::Suspect(reading)) => suspects.push((record, reading)),
            }
        }
        let objects = good.len() as u64;
        let bytes = good.iter().map(|(record, _)| record.size).sum();
        self.copy.put_batch(good).await?;
        self.shared.progress.stored(objects, bytes);
        for (record, reading) in suspects {
            self.fetch_alone(record, Some(reading), &mut harvest).await?;
        }
        Ok(harvest)
    }

    /// One small object into memory, judged.
    async fn read_whole(
        &self,
        fetching: &mut Fetching,
        position: usize,
        wanted: ObjectRecord,
    ) -> Result<(ObjectRecord, Outcome), PullError> {
        let mut record = wanted;
        let mut data = BytesMut::new();
        loop {
            let piece = self.piece(fetching, position, &mut record, data.len() as u64).await?;
            data.extend_from_slice(&piece.data);
            if data.len() as u64 > LARGE_BYTES {
                return Err(PullError::Waiting(format!("{} has grown at the source", wanted.key)));
            }
            let source_read = match piece.end {
                None => continue,
                Some(End::Whole(source_read)) => source_read,
                Some(end) => return Ok((record, Outcome::Ended(end))),
            };
            let found = hash_of(digest(&SHA256, &data).as_ref());
            let reading = Reading { size: data.len() as u64, found, record, source_read };
            let outcome = match judge(&reading, None) {
                Verdict::Good => Outcome::Held(data.freeze()),
                _ => Outcome::Suspect(reading),
            };
            return Ok((record, outcome));
        }
    }

    /// One object straight to the disk; asked for twice when the first answer is not good.
    async fn fetch_alone(
        &self,
        wanted: ObjectRecord,
        mut earlier: Option<Reading>,
        harvest: &mut Harvest,
    ) -> Result<(), PullError> {
        loop {
            let mut record = wanted;
            let mut upload = self.copy.begin(wanted).await?;
            let mut hash = Context::new(&SHA256);
            let mut size = 0;
            let mut fetching = self.net(self.source.fetch(std::iter::once(wanted.key))).await?;
            let source_read = loop {
                let piece = self.piece(&mut fetching, 0, &mut record, size).await?;
                size += piece.data.len() as u64;
                hash.update(&piece.data);
                upload.write(piece.data).await?;
                match piece.end {
                    None => {}
                    Some(End::Whole(source_read)) => break source_read,
                    Some(end) => {
                        harvest.ended(wanted.key, end);
                        return Ok(());
                    }
                }
            };
            let reading = Reading { size, found: hash_of(hash.finish().as_ref()), record, source_read };
            match judge(&reading, earlier.as_ref()) {
                Verdict::Good => return self.keep(upload, reading, false).await,
                Verdict::FetchAgain => earlier = Some(reading),
                Verdict::DamagedAtSource if self.accept_damaged => {
                    tracing::warn!(node = %self.copy.node(), object = %wanted.key, "damaged at the source; accepted as it is");
                    harvest.accepted.insert(wanted.key);
                    return self.keep(upload, reading, true).await;
                }
                Verdict::DamagedAtSource => {
                    harvest.damaged.insert(wanted.key);
                    return Ok(());
                }
                Verdict::Unreadable => {
                    harvest.unreadable.insert(wanted.key);
                    return Ok(());
                }
                Verdict::Corrupted => {
                    return Err(PullError::Waiting(format!(
                        "{} arrives with other bytes than the source sent",
                        wanted.key
                    )));
                }
            }
        }
    }

    /// Durable before it is counted. The engine hashes what it wrote once more on its own: what it found must be what was
    /// judged.
    async fn keep(&self, upload: ReplicaUpload, reading: Reading, damaged: bool) -> Result<(), PullError> {
        let kept = upload.finish(damaged || reading.record.key.expected_sha256().is_none()).await?;
        if kept.sha256 != reading.found {
            return Err(PullError::Failed(format!("{} was written with other bytes than arrived", kept.key)));
        }
        self.shared.progress.stored(1, reading.size);
        Ok(())
    }

    /// The next piece of the object at `position`, of which `arrived` bytes are here. Keeps `record` to what the source's
    /// index says now.
    async fn piece(
        &self,
        fetching: &mut Fetching,
        position: usize,
        record: &mut ObjectRecord,
        arrived: u64,
    ) -> Result<Piece, PullError> {
        let piece = self.net(fetching.next()).await?;
        let piece = piece.filter(|piece| piece.position == position);
        let piece =
            piece.ok_or_else(|| PullError::Waiting("the source sends another object than asked for".to_owned()))?;
        self.give_way(piece.data.len() as u64).await?;
        if let Some(now) = piece.record {
            if now.key != record.key {
                return Err(PullError::Waiting("the source speaks of another object than asked for".to_owned()));
            }
            *record = now;
        }
        // A source that sends more than it says could fill the disk.
        if arrived + piece.data.len() as u64 > record.size {
            return Err(PullError::Failed(format!("{} is longer at the source than its index says", record.key)));
        }
        Ok(piece)
    }

    async fn note_damage(&mut self, harvest: &Harvest) -> Result<(), PullError> {
        let before = self.shared.progress.snapshot().damaged_at_source;
        self.damaged.extend(harvest.damaged.iter().chain(&harvest.accepted).copied());
        let count = self.damaged.len() as u64;
        if count != before {
            self.shared.progress.update(|replica| replica.damaged_at_source = count);
            self.copy.record_damage(count).await?;
        }
        Ok(())
    }
}

fn hash_of(bytes: &[u8]) -> Sha256 {
    let mut hash = [0; 32];
    hash.copy_from_slice(bytes);
    Sha256(hash)
}
