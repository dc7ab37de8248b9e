//! Fetching objects: in parallel, bounded for the node and for the shard, each hashed here and durable before it counts.

use super::batch::{LARGE_BYTES, Transfer, transfers};
use super::error::PullError;
use super::fetching::{Fetching, Got, Head};
use super::harvest::Harvest;
use super::judge::{Reading, Verdict, judge};
use super::progress::Arriving;
use super::replica::Replica;
use crate::engine::Arrived;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use shardlift_model::{ObjectKey, ObjectRecord, Sha256};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

/// Transfers of one node at the same time.
const STREAMS_MAX: usize = 4;

/// What is taken of the rate at once: so little that all who share it go on all the time.
const PIECE_BYTES: u64 = 128 * 1024;

/// What became of one object.
enum Outcome {
    /// As long as the source's record says, in memory.
    Held(ObjectRecord, Bytes),
    /// Not there any more, or not readable.
    Ended(Head),
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
        let share = self.net(async { Ok(self.memory.share(&transfer).await) }).await?;
        let mut share = share.ok_or(PullError::Interrupted)?;
        match transfer {
            Transfer::Together(records) => self.fetch_together(&records, &mut share.room).await,
            Transfer::Alone(record) => {
                let mut harvest = Harvest::default();
                self.fetch_alone(record, None, &mut harvest).await?;
                Ok(harvest)
            }
        }
    }

    async fn fetch_together(&self, records: &[ObjectRecord], room: &mut BytesMut) -> Result<Harvest, PullError> {
        let mut harvest = Harvest::default();
        let mut held = Vec::with_capacity(records.len());
        let mut suspects = Vec::new();
        let mut fetching = self.net(self.source.fetch(records.iter().map(|record| record.key), false)).await?;
        let mut arriving = self.shared.progress.arriving();
        let mut due = 0;
        for wanted in records {
            match self.net(read_whole(&mut fetching, *wanted, room)).await? {
                Outcome::Held(record, bytes) => {
                    due += record.size;
                    held.push((record, bytes));
                }
                Outcome::Ended(gone) => harvest.ended(wanted.key, gone),
                Outcome::Suspect(reading) => suspects.push(reading),
            }
            if due >= PIECE_BYTES {
                arriving.received(due);
                self.give_way(std::mem::take(&mut due)).await?;
            }
        }
        drop(fetching);
        self.give_way(due).await?;
        let asked: Vec<ObjectRecord> = held.iter().map(|(record, _)| *record).collect();
        let wrong = self.copy.put_batch(held).await?;
        let (bad, good): (Vec<_>, Vec<_>) = asked.into_iter().partition(|record| wrong.contains_key(&record.key));
        arriving.stored(good.len() as u64, good.iter().map(|record| record.size).sum());
        let readings = bad.into_iter().filter_map(|record| {
            let found = *wrong.get(&record.key)?;
            Some(Reading { size: record.size, found, record, source_read: None })
        });
        for reading in readings.chain(suspects) {
            self.fetch_alone(reading.record, Some(reading), &mut harvest).await?;
        }
        Ok(harvest)
    }

    /// One object straight to the disk; asked for twice when the first answer is not good. The second time the source says what it
    /// has read, which tells rot from damage on the way.
    async fn fetch_alone(
        &self,
        wanted: ObjectRecord,
        mut earlier: Option<Reading>,
        harvest: &mut Harvest,
    ) -> Result<(), PullError> {
        loop {
            let hashed = earlier.is_some();
            let mut fetching = self.net(self.source.fetch(std::iter::once(wanted.key), hashed)).await?;
            let record = match self.net(fetching.head()).await? {
                Head::Here(record) => as_asked(record, &wanted)?,
                gone => {
                    harvest.ended(wanted.key, gone);
                    return Ok(());
                }
            };
            let mut upload = self.copy.begin(record).await?;
            let mut arriving = self.shared.progress.arriving();
            let (mut size, mut due) = (0, 0);
            let source_read = loop {
                let bytes = match self.net(fetching.read(upload.room())).await? {
                    Got::Bytes(bytes) => bytes,
                    Got::End(source_read) => break source_read,
                };
                size += bytes as u64;
                // A source that sends more than it says could fill the disk.
                if size > record.size {
                    return Err(longer(&record));
                }
                due += bytes as u64;
                if due >= PIECE_BYTES {
                    arriving.received(due);
                    self.give_way(std::mem::take(&mut due)).await?;
                }
                upload.filled(bytes).await?;
            };
            self.give_way(due).await?;
            drop(fetching);
            let arrived = upload.complete().await?;
            let reading = Reading { size: arrived.size(), found: arrived.sha256(), record, source_read };
            match judge(&reading, earlier.as_ref()) {
                Verdict::Good => return self.keep(arrived, arriving, reading, false).await,
                Verdict::FetchAgain => earlier = Some(reading),
                Verdict::DamagedAtSource if self.accept_damaged => {
                    tracing::warn!(node = %self.copy.node(), object = %wanted.key, "damaged at the source; accepted as it is");
                    harvest.accepted.insert(wanted.key);
                    return self.keep(arrived, arriving, reading, true).await;
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

    /// Durable before it is counted.
    async fn keep(
        &self,
        arrived: Arrived,
        arriving: Arriving<'_>,
        reading: Reading,
        damaged: bool,
    ) -> Result<(), PullError> {
        arrived.keep(damaged || reading.record.key.expected_sha256().is_none()).await?;
        arriving.stored(1, reading.size);
        Ok(())
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

/// One small object into the room there is. What could be good by its length is hashed by who stores it, with the others.
async fn read_whole(fetching: &mut Fetching, wanted: ObjectRecord, room: &mut BytesMut) -> Result<Outcome, PullError> {
    let record = match fetching.head().await? {
        Head::Here(record) => as_asked(record, &wanted)?,
        gone => return Ok(Outcome::Ended(gone)),
    };
    if record.size > LARGE_BYTES {
        return Err(PullError::Waiting(format!("{} has grown at the source", wanted.key)));
    }
    room.resize(usize::try_from(record.size).unwrap_or(0), 0);
    let mut filled = 0;
    let mut beyond = [0; 1];
    let source_read = loop {
        let free = if filled < room.len() { &mut room[filled..] } else { &mut beyond[..] };
        match fetching.read(free).await? {
            Got::Bytes(_) if filled == room.len() => return Err(longer(&record)),
            Got::Bytes(bytes) => filled += bytes,
            Got::End(source_read) => break source_read,
        }
    };
    let data = room.split().freeze();
    if filled == data.len() && !record.is_damaged() {
        return Ok(Outcome::Held(record, data));
    }
    let found = hash_of(digest(&SHA256, &data[..filled]).as_ref());
    Ok(Outcome::Suspect(Reading { size: filled as u64, found, record, source_read }))
}

/// The source's present record of the object that was asked for.
fn as_asked(record: ObjectRecord, wanted: &ObjectRecord) -> Result<ObjectRecord, PullError> {
    match record.key == wanted.key {
        true => Ok(record),
        false => Err(PullError::Waiting("the source speaks of another object than asked for".to_owned())),
    }
}

fn longer(record: &ObjectRecord) -> PullError {
    PullError::Failed(format!("{} is longer at the source than its index says", record.key))
}

fn hash_of(bytes: &[u8]) -> Sha256 {
    let mut hash = [0; 32];
    hash.copy_from_slice(bytes);
    Sha256(hash)
}
